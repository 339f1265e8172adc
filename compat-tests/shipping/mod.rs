//! Tests of packed environments: what is in them, what is refused, and how they are checked, installed and switched.

mod application;
mod debian;
mod hostile;
mod images;
mod packing;
mod releases;
mod verifying;
mod verifying_formats;
