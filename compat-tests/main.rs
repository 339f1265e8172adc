//! The program as a user meets it: every test here starts the real binary in a project of its own and looks at what it
//! prints, how it ends and what it leaves behind. `support` holds the means; the other folders hold the tests, by theme.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests stand outside the program: they start it and set its variables"
)]

mod building;
mod configuration;
mod locking;
mod python;
mod reports;
mod running;
mod runtimes;
mod serving;
mod support;
