//! `env_file`: variables from files, read as Docker Compose reads them.
//! <https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax>

mod interpolation;
mod statements;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::Path;

use crate::bounded;
use crate::error::ConfigError;
use interpolation::{InterpolationLookup, interpolated};
use statements::{EnvFileError, StatementValue, parse};

/// The variables from files.
#[derive(Debug, Default)]
pub struct EnvFiles {
    /// In order, each once.
    pub variables: Vec<(String, String)>,
    /// The variables that were replaced with nothing.
    pub warnings: Vec<String>,
    bytes: usize,
}

/// The limit for all values in bytes; no process can receive more.
const MOST_BYTES: usize = 16 << 20;

/// Reads the files listed in `files`, one per line, relative to `root`; one after `-` is optional. Later files override
/// earlier ones. `outside` returns the variables that are set before any file is read.
pub fn read(files: &str, root: &Path, outside: &dyn Fn(&str) -> Option<String>) -> Result<EnvFiles, ConfigError> {
    let mut found = EnvFiles::default();
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, optional) = line.strip_prefix('-').map_or((line, false), |rest| (rest.trim_start(), true));
        let path = root.join(crate::os_text::encode(name));
        match bounded::read(&path) {
            Ok(content) => found.add(&content, &path, outside)?,
            Err(error) if optional && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(ConfigError::handled(format!(
                    "`env_file = {line}`: {} cannot be read: {error}",
                    path.display()
                ))
                .hint(format!("write `- {name}` if the file is optional")));
            }
        }
    }
    Ok(found)
}

impl EnvFiles {
    /// Adds the variables of another file.
    fn add(
        &mut self,
        content: &[u8],
        path: &Path,
        outside: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let error = |line: usize, what: &str| ConfigError::handled(format!("{}:{line}: {what}", path.display()));
        let text = std::str::from_utf8(content).map_err(|fault| {
            let line = 1 + content[..fault.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            error(line, "the text is not UTF-8")
        })?;
        for statement in parse(&crate::os_text::escape(text))
            .map_err(|EnvFileError { line, what, hint }| error(line, &what).hint(hint))?
        {
            let (line, name) = (statement.line, statement.name);
            let value = match statement.value {
                None => outside(&name),
                Some(StatementValue::Literal(value)) => Some(value),
                Some(StatementValue::Template(template)) => {
                    let value = |name: &str| outside(name).or_else(|| self.get(name).map(str::to_owned));
                    let mut lookup = InterpolationLookup { value: &value, unset: Vec::new() };
                    let value = interpolated(&template, &mut lookup).map_err(|what| error(line, &what))?;
                    let unset = lookup.unset;
                    self.warnings.extend(unset.iter().map(|unset| warning(path, line, &name, unset)));
                    Some(value)
                }
            };
            let Some(value) = value else { continue };
            if value.contains('\0') {
                return Err(error(line, "a value cannot hold a NUL character"));
            }
            self.bytes += value.len();
            if self.bytes > MOST_BYTES {
                let message = format!("the variables exceed {} MiB", MOST_BYTES >> 20);
                return Err(error(line, &message));
            }
            self.set(name, value);
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.variables.push((name, value)),
        }
    }
}

fn warning(path: &Path, line: usize, name: &str, unset: &str) -> String {
    format!(
        "{}:{line}: `{name}` uses `${unset}`, which is not set and counts as empty; write `$$` for a dollar sign, or \
         `${{{unset}:-}}` if that is meant",
        path.display()
    )
}
