//! Helpers for the tests: projects, gates, servers, indexes and the machine's programs. How to write a test:
//! `docs/CONTRIBUTING.md`.

pub mod filters;
pub mod gate;
pub mod machine;
pub mod package_index;
pub mod package_managers;
pub mod project;
pub mod real_tox;
pub mod running;
pub mod web;
pub mod wheels;
