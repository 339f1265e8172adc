//! Reads the configuration of the tox plugins that envo replaces: tox-gh's `[gh]`, tox-gh-actions' `[gh-actions]`, and
//! tox-envfile's file of variables. `plan::job` applies it.
//! <https://github.com/tox-dev/tox-gh>, <https://github.com/ymyzk/tox-gh-actions>,
//! <https://github.com/hypothesis/tox-envfile>

use crate::bounded;
use crate::error::ConfigError;
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::convert::environments;
use crate::settings::dotenv;
use crate::settings::expand::Trail;
use crate::settings::keys::{DefaultValue, SettingKey};
use crate::settings::loader::{KeyLocation, without_comments};
use crate::settings::post_process::normalize_name;
use crate::settings::value::{SettingValue, ValueKind};

/// The file that tox-envfile loads, next to the configuration.
const ENVIRONMENT_FILE: &str = ".devdata.env";

/// The prefix of an environment name list, by its purpose.
pub type EnvNameMapping = Vec<(String, Vec<String>)>;

/// The one key of tox-gh's section.
static GH_PYTHON: SettingKey = SettingKey {
    name: "python",
    aliases: &[],
    kind: ValueKind::Labels,
    initial: DefaultValue::Nothing,
    doc: "environments that run in a job with that Python",
};

/// The settings of tox-gh-actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GhActions {
    /// Factors by the version of the job's Python.
    pub python: EnvNameMapping,
    /// By the name of a variable, in upper case: factors by its value.
    pub variables: Vec<(String, EnvNameMapping)>,
}

impl Settings {
    /// Whether `requires` names the distribution; `name` is in normal form.
    pub fn requires_distribution(&self, name: &str) -> bool {
        self.required_distributions().iter().any(|required| required == name)
    }

    /// The names in `requires`, in normal form; empty if it is invalid.
    pub fn required_distributions(&self) -> Vec<String> {
        let requires = self.list(self.core(), "requires").unwrap_or_default();
        requires.iter().map(|requirement| distribution(requirement)).collect()
    }

    /// `[gh] python`; `None` when there is no such section.
    pub fn gh_mapping(&self) -> Result<Option<EnvNameMapping>, ConfigError> {
        let loader = match self.toml() {
            None => self.loader("gh"),
            Some(document) => self.toml_loader(document, &["gh"])?,
        };
        let Some(loader) = loader else { return Ok(None) };
        let trail = self.entering(&loader, &GH_PYTHON, &Trail::default())?;
        let place = KeyLocation { set: self.core(), loader: &loader, key: &GH_PYTHON, trail: &trail };
        Ok(Some(match self.load_from(&place)? {
            Some(SettingValue::Labels(mapping)) => mapping,
            _ => Vec::new(),
        }))
    }

    /// `[gh-actions]` and `[gh-actions:env]`, which are read as they are written, without substitution; `None` when there
    /// is neither.
    pub fn gh_actions(&self) -> Result<Option<GhActions>, ConfigError> {
        let Some(document) = self.ini() else { return Ok(None) };
        let sections = [document.section("gh-actions"), document.section("gh-actions:env")];
        if sections == [None, None] {
            return Ok(None);
        }
        let mut found = GhActions::default();
        if let Some(entry) = document.get("gh-actions", "python") {
            found.python = factors_by_word(&entry.value)?;
        }
        for entry in sections[1].into_iter().flat_map(|section| &section.entries) {
            found.variables.push((entry.key.to_uppercase(), factors_by_word(&entry.value)?));
        }
        Ok(Some(found))
    }

    /// The variables that tox-envfile sets in every environment, in the order of its file.
    pub(super) fn loaded_variables(&self, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
        let file = self.source.path.with_file_name(ENVIRONMENT_FILE);
        if set.kind.is_package() || !file.is_file() || !self.requires_distribution("tox-envfile") {
            return Ok(Vec::new());
        }
        let text = bounded::read_text(&file)
            .map_err(|error| ConfigError::fail(format!("{} cannot be read: {error}", file.display())))?;
        dotenv::variables(&text, &self.options.process.variables)
            .map_err(|reason| ConfigError::fail(format!("{}: {reason}", file.display())))
    }
}

/// The name a requirement starts with, in normal form.
fn distribution(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
    normalize_name(&requirement[..end.unwrap_or(requirement.len())])
}

/// Lines of `WORD: FACTORS`; the last of several with one word counts.
fn factors_by_word(text: &str) -> Result<EnvNameMapping, ConfigError> {
    let mut found: EnvNameMapping = Vec::new();
    let text = without_comments(text).replace("\\\n", "");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((word, rest)) = line.split_once(':') else {
            let quoted = crate::python_text::python_repr(line);
            return Err(ConfigError::handled(format!(
                "[gh-actions] lines must be of form key: factors, found {quoted}"
            )));
        };
        let factors = environments(rest.trim())?;
        match found.iter_mut().find(|(known, _)| known == word.trim()) {
            Some((_, known)) => *known = factors,
            None => found.push((word.trim().to_owned(), factors)),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_written_out_and_comments_left_out() {
        let found = factors_by_word("\n3.8: py38, docs # both\n# 3.9: no\n3.10: py310-django{2,3}\n3.8: py38\n");
        let expected = [("3.8", vec!["py38"]), ("3.10", vec!["py310-django2", "py310-django3"])];
        let expected: EnvNameMapping =
            expected.map(|(word, names)| (word.to_owned(), names.into_iter().map(str::to_owned).collect())).into();
        assert_eq!(found, Ok(expected));
        assert!(factors_by_word("3.8 py38").is_err());
    }

    #[test]
    fn distributions_are_known_in_any_spelling() {
        assert_eq!(distribution("Tox_GH.Actions>=3; python_version > '3'"), "tox-gh-actions");
        assert_eq!(distribution("tox-gh"), "tox-gh");
        assert_eq!(distribution("Tox-UV-bare"), "tox-uv-bare");
        assert_eq!(distribution("tox-uvx"), "tox-uvx");
    }
}
