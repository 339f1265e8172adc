//! Locks of every language: written, checked, installed from, updated and inspected.

mod audit;
mod everywhere;
mod imported;
mod index;
mod languages;
mod locks;
mod managers;
