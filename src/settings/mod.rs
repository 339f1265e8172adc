//! Raw text to typed values: factors, substitution, inheritance, overrides; lazily, each value with its place and trail.

pub mod expand;
pub mod factor;
pub mod split;
