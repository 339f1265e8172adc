//! What a person may write for an interpreter (`py311`, `3.12`, `pypy3.10`, `python3.8-64`, a path), taken apart.

use std::path::PathBuf;

/// Parts that were not written are `None` and match anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PythonSpec {
    /// The text as written.
    pub text: String,
    /// In lower case; `py` and `python` say nothing and give `None`.
    pub implementation: Option<String>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub micro: Option<u32>,
    /// 32 or 64.
    pub architecture: Option<u32>,
    pub machine: Option<String>,
    pub free_threaded: Option<bool>,
    pub debug: Option<bool>,
    /// A path to an interpreter, when that is what was written.
    pub path: Option<PathBuf>,
    /// A version specifier such as `>=3.11,<3.13` (PEP 440), when that is what was written.
    pub specifier: Option<String>,
}
