//! What the oracle takes from the support folder of the tests.

pub mod real_tox;
