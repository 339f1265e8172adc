//! Runs the tox that is installed with the host Python instead, if plugins are required and that tox has them. Installs
//! nothing.

use std::ffi::OsString;

use anyhow::Result;

use crate::builder::provision::safe_path;
use crate::cli::options::Options;
use crate::cli::{HelpAnswer, HelpRequest};
use crate::error::ConfigError;
use crate::execute::process;
use crate::model::{Interpreter, InterpreterLookup as _};
use crate::plan::provision::{ProvisionContext, inline_plugin, is_met_by};
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::distributions::Distributions;
use crate::source;

/// Replaces this process with that tox, if it satisfies `requires`.
pub fn hand_over(
    requires: &[String],
    around: &ProvisionContext<'_>,
    options: &Options,
    discovery: &PythonDiscovery,
) -> Result<()> {
    let Some(host) = discovery.find(&[discovery.host_python().display().to_string()]) else { return Ok(()) };
    if !has_everything(requires, around, &host)? {
        return Ok(());
    }
    Err(run(&host, &options.invocation.arguments, options))
}

/// Has a plugin beside the configuration show its own part in the answer to `--help` or `--version`: becomes that tox, if
/// there is such a plugin and there is such a tox.
pub fn answer(answer: &HelpAnswer) -> Result<()> {
    let Some(options) = &answer.options else { return Ok(()) };
    let (config, root) = (options.project.config_file.as_deref(), options.project.root_dir.as_deref());
    let file = match source::discover(config, root, &options.process.current_dir) {
        Ok(found) => found.source.path,
        // Help is wanted most when the configuration is wrong.
        Err(_) if answer.kind == HelpRequest::Help => {
            let path = options.process.current_dir.join(config.unwrap_or(std::path::Path::new("tox.ini")));
            if path.is_dir() { path.join("tox.ini") } else { path }
        }
        Err(_) => return Ok(()),
    };
    if inline_plugin(&file).is_none() {
        return Ok(());
    }
    let discovery = crate::commands::discovery::discovery(options);
    let around = ProvisionContext { file: &file, text: "", variables: &options.process.variables, markers: None };
    let Some(host) = discovery.find(&[discovery.host_python().display().to_string()]) else { return Ok(()) };
    if !has_everything(&["tox".to_owned()], &around, &host)? {
        return Ok(());
    }
    Err(run(&host, &answer.words, options))
}

fn has_everything(requires: &[String], around: &ProvisionContext<'_>, host: &Interpreter) -> Result<bool, ConfigError> {
    let distributions = Distributions::of(host);
    is_met_by(requires, around, |name| distributions.version(name))
}

fn run(host: &Interpreter, arguments: &[String], options: &Options) -> anyhow::Error {
    let words = [safe_path(&host.version), "-m", "tox"].map(OsString::from).into_iter();
    let error = process::become_program(
        &host.executable,
        words.chain(arguments.iter().map(|word| crate::os_text::encode(word))),
        &options.process.variables,
    );
    anyhow::Error::from(error).context(format!("cannot start {}", host.executable.display()))
}
