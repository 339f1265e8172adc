//! `envo quickstart`: a first `tox.ini`, for a project tested by pytest.

use anyhow::{Context as _, Result};

use super::opening::{discovery, report_missing_configuration};
use crate::cli::options::Options;
use crate::cli::{TOX_VERSION, program_version};
use crate::exit_code;
use crate::model::InterpreterLookup as _;
use crate::report::plain;

/// Writes the file, unless there is one already.
///
/// # Errors
/// When the configuration at hand cannot be read, or the folder cannot be written to.
pub fn execute(options: &Options) -> Result<i32> {
    report_missing_configuration(options)?;
    let root = &options.quickstart_root;
    let file = root.join("tox.ini");
    if file.exists() {
        plain::out(&format!("{} already exist, refusing to overwrite\n", file.display()));
        return Ok(exit_code::FAILED);
    }
    let content = content(&environment_name(options));
    let (program, version) = (&options.program, program_version(&options.program));
    plain::out(&format!("{program} {version} quickstart utility, will create {}:\n{content}", file.display()));
    fs_err::create_dir_all(root)?;
    fs_err::write(&file, content).context("the configuration could not be written")?;
    Ok(exit_code::OK)
}

/// The environment of the Python at hand; `py`, which means just that Python, when there is none to ask.
fn environment_name(options: &Options) -> String {
    let interpreters = discovery(options);
    let host = interpreters.host_python().display().to_string();
    match interpreters.find(&[host]) {
        Some(found) => format!("py{}{}", found.version.major, found.version.minor),
        None => "py".to_owned(),
    }
}

/// What tox writes, to the letter.
fn content(environment: &str) -> String {
    format!(
        "[tox]\n\
         env_list =\n    {environment}\n\
         minversion = {TOX_VERSION}\n\
         \n\
         [testenv]\n\
         description = run the tests with pytest\n\
         package = wheel\n\
         wheel_build_env = .pkg\n\
         deps =\n    pytest>=6\n\
         commands =\n    pytest {{tty:--color=yes}} {{posargs}}\n"
    )
}
