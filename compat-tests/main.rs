//! Black-box tests: every test runs the real binary in a project of its own and checks its output, its exit code and
//! the files it leaves behind. `support` contains the helpers; the other folders contain the tests, by topic.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests stand outside the program: they start it and set its variables"
)]

mod building;
mod configuration;
mod locking;
mod python;
mod release;
mod reports;
mod running;
mod runtimes;
mod serving;
mod shipping;
mod support;
