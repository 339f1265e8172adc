//! Tests of reports for programs, of the documentation and of its examples.

mod architecture;
mod docs_examples;
mod docs_generated;
mod files;
pub mod fixtures;
mod sizes;
