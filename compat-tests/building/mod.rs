//! Tests of environments and packages: creating, reusing, recreating, installing, building, also with full disks and
//! damaged caches.

mod backends;
mod build;
mod cache_command;
mod caches;
mod creation;
mod durability;
mod installing;
mod interpreters;
mod layers;
mod packaging;
mod scripts;
