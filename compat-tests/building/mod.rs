//! Environments and packages: created, reused, recreated, installed, built, also when disks are full and caches damaged.

mod backends;
mod build;
mod caches;
mod creation;
mod durability;
mod installing;
mod interpreters;
mod packaging;
mod scripts;
