//! Finds the environments that a change affects: those whose settings, files or services are no longer what they were. What
//! is not known counts as affected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::Plan;
use super::inputs::{project_part, relative};
use crate::error::ConfigError;
use crate::os_text;
use crate::settings::value::SettingValue;
use crate::source::{ConfigDocument, ConfigSource, IniDocument};

/// What has changed in the project.
#[derive(Default)]
pub struct Changes {
    /// Paths relative to the project's root.
    pub files: BTreeSet<String>,
    /// The configuration before the change, if that changed.
    pub before: Option<Box<Plan>>,
    /// `pyproject.toml` before the change, if that changed.
    pub pyproject: Option<String>,
    /// Why it is not known what has changed.
    pub unknown: Option<String>,
}

/// Whether a change affects an environment, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AffectedEnv {
    pub name: String,
    pub affected: bool,
    pub because: String,
}

/// The commands whose words may name files.
const COMMANDS: [&str; 4] = ["commands_pre", "commands", "commands_post", "extra_setup_commands"];

/// Folders and files at the top of a project that contain documentation.
const DOCUMENTATION: [&str; 3] = ["doc", "docs", "documentation"];
const DOCUMENTS: [&str; 12] = [
    "authors",
    "changelog",
    "changes",
    "code_of_conduct",
    "contributing",
    "contributors",
    "copying",
    "history",
    "license",
    "news",
    "notice",
    "readme",
];

impl Plan {
    /// For each of `names` whether the change affects it.
    pub fn affected(&self, changes: &Changes, names: &[String]) -> Result<Vec<AffectedEnv>, ConfigError> {
        let comparison = Comparison::new(self, changes)?;
        let mut found = Vec::new();
        for name in names {
            let reason = comparison.reason(name)?;
            found.push(AffectedEnv {
                name: name.clone(),
                affected: reason.is_some(),
                because: reason.unwrap_or_else(|| "none of its inputs has changed".to_owned()),
            });
        }
        Ok(found)
    }
}

struct Comparison<'a> {
    plan: &'a Plan,
    changes: &'a Changes,
    root: PathBuf,
    known: Vec<String>,
    /// The changed files that are inputs of every environment without `inputs`.
    general: Vec<&'a str>,
    /// A change of the configuration that affects all environments.
    of_all: Option<String>,
}

impl<'a> Comparison<'a> {
    fn new(plan: &'a Plan, changes: &'a Changes) -> Result<Self, ConfigError> {
        let root = plan.settings.tox_root()?;
        let known = plan.runs()?;
        let configuration = relative(&plan.settings.source.path, &root);
        let of_all =
            changes.before.as_ref().and_then(|before| other_sections(&before.settings.source, &plan.settings.source));
        let mut claimed: BTreeSet<String> = BTreeSet::from(["envo.lock".to_owned()]);
        let locks = relative(&plan.project()?.lock_dir, &root);
        if !changes.files.is_empty() {
            for name in &known {
                let files = plan.named_files(&plan.settings.environment(name))?;
                claimed.extend(files.iter().map(|file| relative(file, &root)));
            }
        }
        let is_general = |file: &&str| {
            let is_own = *file == configuration && *file != "setup.cfg" || *file == "pyproject.toml";
            !is_own && !claimed.contains(*file) && !is_below(file, &locks)
        };
        let mut general: Vec<&str> = changes.files.iter().map(String::as_str).filter(is_general).collect();
        // What changed in it outside tox's own table is for the project and its tools.
        if changes.files.contains("pyproject.toml") && changes.project_changed(&root) {
            general.push("pyproject.toml");
        }
        Ok(Self { plan, changes, root, known, general, of_all })
    }

    /// Why an environment is affected; `None` if it is not.
    fn reason(&self, name: &str) -> Result<Option<String>, ConfigError> {
        if let Some(reason) = self.own_reason(name)? {
            return Ok(Some(reason));
        }
        for service in self.plan.services_of(name, &self.known)? {
            if let Some(reason) = self.own_reason(&service)? {
                return Ok(Some(format!("it needs the service `{service}`: {reason}")));
            }
        }
        Ok(None)
    }

    fn own_reason(&self, name: &str) -> Result<Option<String>, ConfigError> {
        if let Some(reason) = &self.changes.unknown {
            return Ok(Some(reason.clone()));
        }
        if let Some(reason) = self.changed_settings(name)? {
            return Ok(Some(reason));
        }
        if self.changes.files.is_empty() {
            return Ok(None);
        }
        let changed = |file: &str| Some(format!("`{file}` has changed"));
        let project_changed = || self.changes.project_changed(&self.root);
        for file in self.plan.inputs(name)?.files.keys().filter(|file| self.changes.files.contains(*file)) {
            if file != "pyproject.toml" || project_changed() {
                return Ok(changed(file));
            }
        }
        if let Some(file) = self.file_of_commands(name)? {
            return Ok(Some(format!("`{file}` has changed, which its commands name")));
        }
        Ok(self.general_input(name)?.and_then(changed))
    }

    /// The settings that are not what they were.
    fn changed_settings(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(before) = &self.changes.before else { return Ok(None) };
        if !before.runs()?.iter().any(|one| one == name) && !before.settings.is_declared(name) {
            return Ok(Some("it is new".to_owned()));
        }
        let Ok(old) = before.inputs(name) else {
            return Ok(Some("its settings before the change cannot be read".to_owned()));
        };
        let changed = self.plan.inputs(name)?.changed_settings(&old);
        if !changed.is_empty() {
            let names: Vec<String> = changed.iter().map(|key| format!("`{key}`")).collect();
            let verb = if names.len() == 1 { "has" } else { "have" };
            return Ok(Some(format!("{} {verb} changed", names.join(", "))));
        }
        Ok(self.of_all.clone())
    }

    /// A changed file that the words of the environment's commands name, or that is below a folder that they name.
    fn file_of_commands(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let set = self.plan.settings.environment(name);
        let folder = self.plan.settings.path(&set, "change_dir").unwrap_or_else(|_| self.root.clone());
        let mut named: BTreeSet<String> = BTreeSet::from([relative(&folder, &self.root)]);
        for key in COMMANDS {
            let Ok(SettingValue::Commands(commands)) = self.plan.settings.value(&set, key) else { continue };
            for word in commands.iter().flat_map(|command| &command.argv) {
                // `--cov=src`, `tests/test_a.py::test_b`
                let word = word.rsplit_once('=').map_or(word.as_str(), |(_, value)| value);
                let word = word.split("::").next().unwrap_or_default();
                if word.is_empty() || word.starts_with('-') {
                    continue;
                }
                named.insert(relative(&normalized(&folder.join(os_text::encode(word))), &self.root));
            }
        }
        // The root itself is named by `.`, which says nothing about which of its files count.
        named.retain(|path| !path.is_empty() && !path.starts_with('/'));
        let is_named = |file: &&String| ancestors(file).any(|path| named.contains(path));
        Ok(self.changes.files.iter().find(is_named).map(String::as_str).filter(|file| !self.is_configuration(file)))
    }

    fn is_configuration(&self, file: &str) -> bool {
        *file == relative(&self.plan.settings.source.path, &self.root)
    }

    /// A changed file that affects the environment unless it says otherwise.
    fn general_input(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let (settings, set) = (&self.plan.settings, self.plan.settings.environment(name));
        let own = crate::settings::own_keys(settings, &set)?;
        let read = |key: &'static str| match own.contains(&key) {
            true => self.patterns(name, key, &settings.list(&set, key)?).map(Some),
            false => Ok(None),
        };
        let (inputs, excluded) = (read("inputs")?, read("inputs_exclude")?);
        let matches = |patterns: &Gitignore, file: &str| patterns.matched_path_or_any_parents(file, false).is_ignore();
        let counts = |file: &&&str| {
            let is_outside = file.starts_with("../") || file.starts_with('/');
            let is_input = match &inputs {
                Some(inputs) => !is_outside && matches(inputs, file),
                None => !is_documentation(file) && !is_outside,
            };
            is_input && excluded.as_ref().is_none_or(|excluded| !matches(excluded, file))
        };
        Ok(self.general.iter().find(counts).copied())
    }

    fn patterns(&self, name: &str, key: &str, lines: &[String]) -> Result<Gitignore, ConfigError> {
        let mut builder = GitignoreBuilder::new("");
        let invalid = |line: &str, error: ignore::Error| {
            let text = format!("`{key}` of `{name}` contains the invalid pattern `{line}`: {error}");
            let place = self.plan.settings.written_at(name, key);
            place.into_iter().fold(ConfigError::handled(text), ConfigError::at)
        };
        for line in lines {
            builder.add_line(None, line).map_err(|error| invalid(line, error))?;
        }
        builder.build().map_err(|error| invalid("", error))
    }
}

impl Changes {
    /// Whether `pyproject.toml` changed outside tox's own table.
    fn project_changed(&self, root: &Path) -> bool {
        let now = crate::bounded::read_text(root.join("pyproject.toml")).unwrap_or_default();
        self.pyproject.as_ref().is_none_or(|before| project_part(before) != project_part(&now))
    }
}

/// Whether a file documents the project, as far as its name tells.
fn is_documentation(file: &str) -> bool {
    match file.split_once('/') {
        Some((folder, _)) => DOCUMENTATION.contains(&folder.to_ascii_lowercase().as_str()),
        None => {
            let name = file.to_ascii_lowercase();
            let (stem, extension) = name.split_once('.').unwrap_or((&name, ""));
            matches!(extension, "md" | "rst" | "adoc") || DOCUMENTS.contains(&stem)
        }
    }
}

/// The path and all folders above it.
fn ancestors(file: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(file), |path| path.rsplit_once('/').map(|(folder, _)| folder))
}

fn is_below(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The path without `.` and `..`.
fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                result.pop();
            }
            std::path::Component::CurDir => {}
            other => result.push(other),
        }
    }
    result
}

/// A changed section of an INI file that is for another program, such as `[pytest]`: any environment may read it.
fn other_sections(before: &ConfigSource, now: &ConfigSource) -> Option<String> {
    let (ConfigDocument::Ini(before), ConfigDocument::Ini(now)) = (&before.document, &now.document) else {
        return None;
    };
    let text = |document: &IniDocument, name: &str| {
        let entries = document.section(name)?.entries.iter();
        Some(entries.map(|entry| (entry.key.to_string(), entry.value.to_string())).collect::<BTreeMap<_, _>>())
    };
    let is_referred = |name: &str| {
        let reference = format!("{{[{name}]");
        [before, now].into_iter().any(|document| {
            document.sections.iter().flat_map(|section| &section.entries).any(|entry| entry.value.contains(&reference))
        })
    };
    let names = before.sections.iter().chain(&now.sections).map(|section| section.name.as_str());
    let is_own = |name: &str| {
        let name = name.strip_prefix("tox:").unwrap_or(name);
        matches!(name, "tox" | "testenv" | "pkgenv" | "gh" | "gh-actions")
            || ["testenv:", "gh-actions:"].iter().any(|prefix| name.starts_with(prefix))
    };
    let mut changed = names.filter(|name| !is_own(name) && text(before, name) != text(now, name));
    changed.find(|name| !is_referred(name)).map(|name| format!("`[{name}]` has changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_known_by_its_name() {
        for file in ["README.md", "docs/a/b.py", "LICENSE", "CHANGES.rst", "news.txt", "Doc/x"] {
            assert!(is_documentation(file), "{file}");
        }
        for file in ["setup.py", "src/docs/a.py", "requirements.txt", "src/readme.md", "readme_parser.py"] {
            assert!(!is_documentation(file), "{file}");
        }
    }

    #[test]
    fn folders_above_a_file_are_found() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a/b/c", "a/b", "a"]);
        assert!(is_below("locks/x", "locks") && !is_below("locksmith", "locks"));
        assert_eq!(normalized(Path::new("/a/./b/../c")), Path::new("/a/c"));
    }
}
