//! Reads `deps` and `constraints` like tox: pip's requirement file format with tox's additions (`-rfile`
//! without a space, `--no-deps`). Nested files are read here; files behind `http(s)` URLs are left to the
//! installer. <https://pip.pypa.io/en/stable/reference/requirements-file-format/>

mod arguments;
mod content;
mod encoding;
mod lines;
mod options;
mod parser;

mod redact;
mod requirement;

use crate::error::ConfigError;
use crate::model::requirements::RequirementText;
use crate::model::{EnvVariables, ParsedRequirementFile};

/// The setting that the text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequirementKind {
    /// `deps`: requirements, options and files.
    Deps,
    /// `constraints`: constraint files only.
    Constraints,
}

/// Parses the text of a setting and every file it names; `variables` (those of the environment's processes)
/// fill in `${NAME}`.
///
/// # Errors
///
/// In tox's words, with values of secret variables masked; the location names the nested file.
pub fn parse(
    text: &RequirementText,
    kind: RequirementKind,
    variables: &EnvVariables,
) -> Result<ParsedRequirementFile, ConfigError> {
    parser::requirements(text, kind, variables)
}

/// Refuses a text in which substitution changed options or added arguments. `marked` is the text with `\0…\0`
/// in place of substituted values.
pub fn check_substitution(marked: &str, substituted: &str) -> Result<(), String> {
    lines::check_substitution(marked, substituted)
}

/// Checks the form of the setting, as far as tox does before anything is installed.
pub fn check_form(text: &RequirementText, kind: RequirementKind) -> Result<(), ConfigError> {
    lines::normalize(&text.text, kind).map(drop).map_err(ConfigError::value)
}

/// The setting as shown by `config`: as written, except for options, which are merged as by pip. Empty if pip
/// would get no arguments.
pub fn display_lines(
    text: &RequirementText,
    kind: RequirementKind,
    variables: &EnvVariables,
) -> Result<Vec<String>, ConfigError> {
    parser::display_lines(text, kind, variables)
}
