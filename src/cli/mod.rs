//! From what was typed ([`arguments`]) to what was meant ([`options`]). The only room besides `execute/environment` that
//! reads environment variables; it takes one snapshot of them.

pub mod options;
