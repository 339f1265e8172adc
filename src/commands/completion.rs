//! `envo completion`: generates a completion script for a shell.

use anyhow::Result;

use crate::cli::completion;
use crate::cli::options::Options;
use crate::exit_code;
use crate::report::plain;

/// Prints the script for the named shell.
///
/// # Errors
/// Never; the signature is that of every verb.
pub fn execute(options: &Options) -> Result<i32> {
    plain::out(&completion::script(&options.generate.shell, &options.invocation.program));
    Ok(exit_code::OK)
}
