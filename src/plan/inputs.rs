//! Collects what an environment is made from and run with, for its digest and for finding out what a change affects.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Plan;
use crate::bounded;
use crate::digest::sha256;
use crate::error::ConfigError;
use crate::model::{EnvInputs, Runner, lock_name};
use crate::os_text;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::keys::{self, DefaultValue};
use crate::settings::own_keys;
use crate::settings::value::SettingValue;

/// The settings that decide what is installed into an environment.
const CONTENTS: [&str; 36] = [
    "runner",
    "base_python",
    "system_site_packages",
    "always_copy",
    "download",
    "virtualenv_spec",
    "deps",
    "constraints",
    "constrain_package_deps",
    "use_frozen_constraints",
    "pip_pre",
    "install_command",
    "installer",
    "dependency_groups",
    "extras",
    "pylock",
    "package",
    "package_env",
    "package_root",
    "package_glob",
    "extra_setup_commands",
    "layer_on",
    "runtime",
    "node_deps",
    "ruby_deps",
    "go_deps",
    "rust_deps",
    "script",
    "platforms",
    "uv_seed",
    "uv_resolution",
    "uv_python_preference",
    "uv_sync_flags",
    "only_groups",
    "no_default_groups",
    "uv_sync_locked",
];

/// Settings that affect neither what is installed nor what runs, or that are only known from an interpreter.
const WITHOUT_EFFECT: [&str; 13] = [
    "description",
    "labels",
    "env_dir",
    "env_tmp_dir",
    "env_log_dir",
    "recreate",
    "parallel_show_output",
    "parallel_share_cores",
    "wheel_build_env",
    "meta_dir",
    "pkg_dir",
    "inputs",
    "inputs_exclude",
];

/// The files with the metadata of a Python project.
const METADATA: [&str; 3] = ["pyproject.toml", "setup.cfg", "setup.py"];

/// Files named by requirement files may name others, as often as this.
const MOST_NESTED: usize = 1000;

impl Plan {
    /// What an environment is made from and run with.
    pub fn inputs(&self, name: &str) -> Result<EnvInputs, ConfigError> {
        let set = self.settings.environment(name);
        let mut inputs = EnvInputs::default();
        self.add_settings(&set, "", &mut inputs)?;
        if let Some(entry) = self.defined.iter().find(|entry| entry.name == name)
            && let Some(package) = &entry.package
        {
            let builder = self.settings.environment_of_kind(&package.builder, package.builder_kind);
            self.add_settings(&builder, &format!("{}: ", package.builder), &mut inputs)?;
            let folder = self.settings.path(self.settings.core(), "package_root")?;
            let root = self.settings.tox_root()?;
            for file in METADATA {
                // Most projects do not have all of them.
                if folder.join(file).is_file() {
                    self.add_file(&root.join(&folder).join(file), &mut inputs)?;
                }
            }
        }
        for base in self.bases(name).unwrap_or_default() {
            self.add_settings(&self.settings.environment(&base), &format!("{base}: "), &mut inputs)?;
        }
        let lock = self.project()?.lock_dir.join(lock_name::file_name(name));
        if lock.is_file() {
            self.add_file(&lock, &mut inputs)?;
        }
        Ok(inputs)
    }

    fn add_settings(&self, set: &ConfigSet, prefix: &str, inputs: &mut EnvInputs) -> Result<(), ConfigError> {
        let mut keys = self.settings.defined_keys(set)?;
        let own = own_keys(&self.settings, set)?;
        keys.extend(own.into_iter().filter(|key| !keys::CORE.contains(key)));
        for name in keys {
            let Some(key) = keys::find(name) else { continue };
            if key.initial == DefaultValue::Constant || WITHOUT_EFFECT.contains(&name) {
                continue;
            }
            let is_content = CONTENTS.contains(&name) || name.starts_with("config_settings_");
            if !is_content && set.kind != SetKind::Run {
                continue;
            }
            // An invalid value is reported when it is needed.
            let text = match self.settings.value(set, name) {
                Ok(SettingValue::Variables(pairs)) => variables(&pairs),
                Ok(value) => value.show().text,
                Err(error) => format!("error: {}", error.message),
            };
            let text = self.portable(&text)?;
            let group = if is_content { &mut inputs.contents } else { &mut inputs.behaviour };
            group.insert(format!("{prefix}{name}"), text);
        }
        for file in self.named_files(set)? {
            self.add_file(&file, inputs)?;
        }
        Ok(())
    }

    /// The text without what differs between machines: the paths of the project and of the host Python.
    fn portable(&self, text: &str) -> Result<String, ConfigError> {
        let (root, host) = (self.settings.tox_root()?, self.settings.interpreters.host_python());
        let mut text = text.to_owned();
        for (path, short) in [(host.as_path(), "{host_python}"), (root.as_path(), ".")] {
            let path = os_text::decode(path.as_os_str());
            if path.len() > 1 && text.contains(&path) {
                text = text.replace(&path, short);
            }
        }
        Ok(text)
    }

    /// The files that say what is installed: requirement and constraint files with those that they name, `pylock`, the
    /// script and lock files of uv.
    pub(super) fn named_files(&self, set: &ConfigSet) -> Result<BTreeSet<PathBuf>, ConfigError> {
        let root = self.settings.tox_root()?;
        let mut found = BTreeSet::new();
        let defined = self.settings.defined_keys(set)?;
        for key in ["deps", "constraints"].into_iter().filter(|key| defined.contains(key)) {
            if let Ok(SettingValue::Requirements(text)) = self.settings.value(set, key) {
                requirement_files(&text, &root, key == "constraints", &mut found);
            }
        }
        for key in ["pylock", "script"].into_iter().filter(|key| defined.contains(key)) {
            let path = self.settings.text(set, key).unwrap_or_default();
            found.extend((!path.is_empty()).then(|| root.join(path)));
        }
        if self.settings.runner(set)?.is_some_and(|runner| runner == Runner::UvLock) {
            found.extend([root.join("uv.lock"), root.join("pyproject.toml")]);
        }
        Ok(found)
    }

    fn add_file(&self, path: &Path, inputs: &mut EnvInputs) -> Result<(), ConfigError> {
        let name = relative(path, &self.settings.tox_root()?);
        let digest = match path.file_name().is_some_and(|name| name == "pyproject.toml") {
            true => bounded::read_text(path).ok().map(|text| sha256(project_part(&text))),
            false => bounded::digest(path).ok(),
        };
        inputs.files.insert(name, digest);
        Ok(())
    }
}

/// The path as seen from the root, in characters.
pub(super) fn relative(path: &Path, root: &Path) -> String {
    let path: PathBuf = path.components().collect();
    os_text::decode(path.strip_prefix(root).unwrap_or(&path).as_os_str())
}

/// `pyproject.toml` without tox's own table, which is compared setting by setting.
pub(super) fn project_part(text: &str) -> String {
    let Ok(mut table) = text.trim_start_matches('\u{feff}').parse::<toml::Table>() else { return text.to_owned() };
    if let Some(toml::Value::Table(tools)) = table.get_mut("tool") {
        tools.remove("tox");
    }
    table.to_string()
}

/// Without the seed, which is random in every run.
fn variables(pairs: &[(String, String)]) -> String {
    let kept = pairs.iter().filter(|(name, _)| name != "PYTHONHASHSEED");
    kept.map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Finds the files named in a requirements text, and those named in them.
fn requirement_files(text: &str, root: &Path, are_files: bool, found: &mut BTreeSet<PathBuf>) {
    let mut open = vec![(text.to_owned(), root.to_owned(), are_files)];
    while let Some((text, folder, are_files)) = open.pop() {
        for line in text.lines() {
            let line = line.split(" #").next().unwrap_or_default().trim();
            let Some(name) = named_file(line, are_files) else { continue };
            let path: PathBuf = folder.join(os_text::encode(name)).components().collect();
            if name.contains("://") || found.len() >= MOST_NESTED || !found.insert(path.clone()) {
                continue;
            }
            if let Ok(text) = bounded::read_text(&path) {
                let folder = path.parent().unwrap_or(root).to_owned();
                open.push((text, folder, false));
            }
        }
    }
}

/// The file that a line of requirements names: `-r file`, `-cfile`, `--requirement=file`; `./folder` and wheels too.
fn named_file(line: &str, is_file: bool) -> Option<&str> {
    const OPTIONS: [&str; 4] = ["--requirement", "--constraint", "-r", "-c"];
    for option in OPTIONS {
        if let Some(rest) = line.strip_prefix(option) {
            return Some(rest.trim_start_matches(['=', ' ', '\t']).trim()).filter(|name| !name.is_empty());
        }
    }
    let is_local = (is_file || line.starts_with('.') || line.starts_with('/')) && !line.starts_with(['-', '#']);
    let name = line.split([';', '[', ' ']).next().unwrap_or_default();
    (is_local && !name.is_empty() && name != ".").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_every_spelling_and_in_other_files() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("requirements"))?;
        std::fs::write(folder.path().join("requirements/dev.txt"), "-r base.txt # why\npytest\n")?;
        std::fs::write(folder.path().join("requirements/base.txt"), "-cpins.txt\n-r dev.txt\n")?;
        let mut found = BTreeSet::new();
        let text = "six\n-r requirements/dev.txt\n--constraint=c.txt\n-r https://host/x.txt\n./local[x]\n# -r no.txt\n";
        requirement_files(text, folder.path(), false, &mut found);
        let names: Vec<String> = found.iter().map(|path| relative(path, folder.path())).collect();
        assert_eq!(names, ["c.txt", "local", "requirements/base.txt", "requirements/dev.txt", "requirements/pins.txt"]);
        Ok(())
    }

    #[test]
    fn the_table_of_tox_is_no_part_of_the_project() {
        let (one, other) = ("[project]\nname='a'\n[tool.tox]\nx=1\n", "[project]\nname='a'\n[tool.tox]\nx=2\n");
        assert_eq!(project_part(one), project_part(other));
        assert_ne!(project_part(one), project_part("[project]\nname='b'\n"));
    }
}
