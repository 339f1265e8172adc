//! Tests of packed environments: what is in them, what is refused, and how they are checked, installed and switched.

mod application;
mod hostile;
mod packing;
mod releases;
mod verifying;
