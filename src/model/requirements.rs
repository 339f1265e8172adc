//! The parsed text of `deps` or `constraints`. Filled by `requirements`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The text of a `deps` or `constraints` setting after substitution, and the folder that relative paths in it
/// refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequirementText {
    pub text: String,
    pub root: PathBuf,
}

/// A parsed requirements text including all nested files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ParsedRequirementFile {
    /// The arguments for the installer's command line: options, requirements and `-r file`/`-c file` as
    /// written.
    pub arguments: Vec<String>,
    /// Global options in tox's canonical `key=value` form, for comparing with the last installation.
    pub options: Vec<String>,
    /// The ones among [`Self::options`] that nested files set or changed.
    pub nested_options: Vec<String>,
    /// Each requirement in canonical form, nested files included; constraints start with `-c `. Values of secret-looking
    /// variables are masked, since this is stored.
    pub requirements: Vec<String>,
    /// The same as lines of a constraints file, including secrets, without parts that a constraint cannot
    /// have.
    pub constraint_lines: Vec<String>,
}
