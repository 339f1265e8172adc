//! Reports for programs, the documentation and its examples.

mod architecture;
mod docs_examples;
mod docs_generated;
mod files;
pub mod fixtures;
