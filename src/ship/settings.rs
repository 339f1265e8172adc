//! Reads the `pack_` keys of an environment.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::plan::Plan;
use crate::settings::value::SettingValue;

/// The values of an environment's `pack_` keys.
#[derive(Debug, Clone)]
pub struct PackSettings {
    pub command: Vec<String>,
    pub tests: Vec<String>,
    pub is_bundled: bool,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub keep: usize,
    /// The secret key.
    pub sign: Option<PathBuf>,
}

impl PackSettings {
    pub fn read(plan: &Plan, name: &str) -> Result<Self, ConfigError> {
        let settings = &plan.settings;
        let set = settings.environment(name);
        let invalid = |key: &str, message: String| {
            let error = ConfigError::handled(message);
            match settings.written_at(name, key) {
                Some(place) => error.at(place),
                None => error,
            }
        };
        let command = match settings.value(&set, "pack_command")? {
            SettingValue::Command(command) => command.argv,
            _ => Vec::new(),
        };
        let interpreter = settings.text(&set, "pack_interpreter")?;
        let is_bundled = match interpreter.trim() {
            "bundled" => true,
            "system" => false,
            other => {
                let message = format!("`pack_interpreter` is `{other}`, must be one of bundled, system");
                return Err(invalid("pack_interpreter", message));
            }
        };
        let keep = settings.text(&set, "pack_keep")?;
        let keep = keep.trim().parse().ok().filter(|keep| *keep > 0).ok_or_else(|| {
            invalid("pack_keep", format!("`pack_keep` is `{}`, must be a number of at least 1", keep.trim()))
        })?;
        let sign = settings.text(&set, "pack_sign")?;
        let sign = match sign.trim() {
            "" => None,
            text => match text.strip_prefix("minisign:").filter(|path| !path.is_empty()) {
                Some(path) => Some(settings.root().join(path)),
                None => {
                    let message = format!("`pack_sign` is `{text}`, must be `minisign:` and the path of a secret key");
                    return Err(invalid("pack_sign", message));
                }
            },
        };
        let tests = settings.list(&set, "pack_tests")?;
        let known = if tests.is_empty() { Vec::new() } else { plan.runs()? };
        if let Some(unknown) = tests.iter().find(|test| !known.contains(test) && **test != name) {
            return Err(invalid("pack_tests", format!("`pack_tests` names `{unknown}`, which is not an environment")));
        }
        let (include, exclude) = (settings.list(&set, "pack_include")?, settings.list(&set, "pack_exclude")?);
        Ok(Self { command, tests, is_bundled, include, exclude, keep, sign })
    }
}
