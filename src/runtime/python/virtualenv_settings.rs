//! Reads `VIRTUALENV_…` variables and `virtualenv.ini`. envo supports the simple options; for the others a real
//! virtualenv creates the environment.
//! <https://virtualenv.pypa.io/en/latest/cli_interface.html#defaults>

use std::ffi::OsString;
use std::path::PathBuf;

use crate::bounded;
use crate::model::EnvVariables;
use crate::platform::system;
use crate::source::ini;

const PREFIX: &str = "VIRTUALENV_";

/// Options for the contents of an environment that only virtualenv itself supports, each with the values that change
/// nothing.
const ONLY_VIRTUALENV: [(&str, &[&str]); 10] = [
    ("activators", &[]),
    ("creator", &["builtin", "cpython3-posix"]),
    ("discovery", &["builtin"]),
    ("extra_search_dir", &[]),
    ("pip", &["bundle", "embed"]),
    ("seeder", &["app-data"]),
    ("setuptools", &["bundle", "embed"]),
    ("symlinks", &["1", "yes", "true", "on"]),
    ("wheel", &[]),
    ("no_wheel", &["0", "no", "false", "off"]),
];

/// The settings of one environment. tox itself decides about system packages, copies and downloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualenvSettings {
    pub prompt: Option<String>,
    pub no_seed: bool,
    pub no_pip: bool,
    /// Whether setuptools is also installed for Pythons for which virtualenv leaves it out by default.
    pub setuptools: bool,
    pub no_setuptools: bool,
    pub no_vcs_ignore: bool,
    /// The name of the first option that requires a real virtualenv.
    pub only_virtualenv: Option<&'static str>,
    /// Every such variable, as a real virtualenv gets it.
    pub variables: Vec<(OsString, OsString)>,
}

impl VirtualenvSettings {
    /// `variables` are those of the environment's processes; `own` are this process's, which locate the user's file:
    /// tox calls virtualenv in its own process. An unreadable file is ignored, as virtualenv does.
    pub fn read(variables: &EnvVariables, own: &EnvVariables) -> Self {
        let file = configuration_file(variables, own).and_then(|file| bounded::read(file).ok());
        let document = file.and_then(|bytes| ini::read(&String::from_utf8_lossy(&bytes)).ok());
        let section = document.as_ref().and_then(|document| document.section("virtualenv"));
        // A variable takes precedence, unless it is empty.
        let value = |name: &str| {
            let variable = variables.text(&format!("{PREFIX}{}", name.to_uppercase()));
            let entry =
                || section?.entries.iter().find(|entry| *entry.key == *name).map(|entry| entry.value.to_string());
            variable.filter(|value| !value.is_empty()).or_else(entry).map(|value| value.trim().to_owned())
        };
        let holds = |names: &[&str]| names.iter().find_map(|name| truth(&value(name)?)).unwrap_or(false);
        let only = ONLY_VIRTUALENV.iter().find(|(name, usual)| {
            value(name).is_some_and(|value| !value.is_empty() && !usual.contains(&value.to_lowercase().as_str()))
        });
        let own = variables.iter().filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        Self {
            prompt: value("prompt").filter(|prompt| !prompt.is_empty()),
            no_seed: holds(&["no_seed", "without_pip"]),
            no_pip: holds(&["no_pip"]),
            setuptools: value("setuptools").is_some_and(|version| !version.is_empty()),
            no_setuptools: holds(&["no_setuptools"]),
            no_vcs_ignore: holds(&["no_vcs_ignore"]),
            only_virtualenv: only.map(|(name, _)| *name),
            variables: own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// `variables` with all `VIRTUALENV_…` variables replaced by those of the environment.
    pub fn applied_to(&self, variables: &EnvVariables) -> EnvVariables {
        let others = variables.iter().filter(|(name, _)| !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        let others = others.map(|(name, value)| (name.to_owned(), value.to_owned()));
        others.chain(self.variables.iter().cloned()).collect()
    }
}

/// The words for yes and no in virtualenv; any other leaves an option unchanged.
fn truth(value: &str) -> Option<bool> {
    match value.to_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

fn configuration_file(variables: &EnvVariables, own: &EnvVariables) -> Option<PathBuf> {
    let named = |name: &str| own.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let file = variables.get("VIRTUALENV_CONFIG_FILE").filter(|value| !value.is_empty()).map(PathBuf::from);
    file.or_else(|| {
        let home = named("HOME");
        let support = home.as_deref().and_then(system::application_support);
        let configuration = || named("XDG_CONFIG_HOME").or_else(|| Some(home?.join(".config")));
        Some(support.or_else(configuration)?.join("virtualenv/virtualenv.ini"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> VirtualenvSettings {
        let variables = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        VirtualenvSettings { variables: Vec::new(), ..VirtualenvSettings::read(&variables, &variables) }
    }

    #[test]
    fn what_is_simple_is_obeyed_by_every_name_it_has() {
        let none = VirtualenvSettings::default();
        for (name, value, expected) in [
            ("VIRTUALENV_PROMPT", "mine", VirtualenvSettings { prompt: Some("mine".to_owned()), ..none.clone() }),
            ("VIRTUALENV_NO_SEED", "1", VirtualenvSettings { no_seed: true, ..none.clone() }),
            ("VIRTUALENV_WITHOUT_PIP", "yes", VirtualenvSettings { no_seed: true, ..none.clone() }),
            ("VIRTUALENV_NO_PIP", "On", VirtualenvSettings { no_pip: true, ..none.clone() }),
            ("VIRTUALENV_NO_SETUPTOOLS", "true", VirtualenvSettings { no_setuptools: true, ..none.clone() }),
            ("VIRTUALENV_NO_VCS_IGNORE", "1", VirtualenvSettings { no_vcs_ignore: true, ..none.clone() }),
            ("VIRTUALENV_NO_PIP", "0", none.clone()),
            ("VIRTUALENV_NO_PIP", "perhaps", none.clone()),
            ("VIRTUALENV_NO_PIP", "", none.clone()),
            ("VIRTUALENV_PIP", "bundle", none.clone()),
            ("VIRTUALENV_SETUPTOOLS", "embed", VirtualenvSettings { setuptools: true, ..none.clone() }),
            ("VIRTUALENV_SYMLINK_APP_DATA", "1", none.clone()),
            ("VIRTUALENV_PIP", "23.1", VirtualenvSettings { only_virtualenv: Some("pip"), ..none.clone() }),
            ("VIRTUALENV_CREATOR", "venv", VirtualenvSettings { only_virtualenv: Some("creator"), ..none.clone() }),
            ("VIRTUALENV_SYMLINKS", "1", none.clone()),
            ("VIRTUALENV_SYMLINKS", "0", VirtualenvSettings { only_virtualenv: Some("symlinks"), ..none.clone() }),
            ("VIRTUALENV_NO_PERIODIC_UPDATE", "1", none.clone()),
        ] {
            assert_eq!(read(&[(name, value)]), expected, "{name}={value}");
        }
    }

    #[test]
    fn a_variable_counts_more_than_the_file_and_an_empty_one_does_not() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("virtualenv.ini");
        std::fs::write(&file, "[virtualenv]\nno_pip = true\nprompt = 50%\n[other]\nno_seed = 1\n")?;
        let named = ("VIRTUALENV_CONFIG_FILE", file.to_str().unwrap_or_default());
        let settings = read(&[named, ("VIRTUALENV_PROMPT", "")]);
        assert_eq!((settings.no_pip, settings.no_seed, settings.prompt.as_deref()), (true, false, Some("50%")));
        let settings = read(&[named, ("VIRTUALENV_NO_PIP", "no"), ("VIRTUALENV_PROMPT", "mine")]);
        assert_eq!((settings.no_pip, settings.prompt.as_deref()), (false, Some("mine")));
        std::fs::create_dir(folder.path().join("virtualenv"))?;
        std::fs::rename(&file, folder.path().join("virtualenv/virtualenv.ini"))?;
        assert!(read(&[("XDG_CONFIG_HOME", folder.path().to_str().unwrap_or_default())]).no_pip);
        std::fs::write(&file, "nonsense")?;
        assert_eq!(read(&[named]), VirtualenvSettings::default());
        Ok(())
    }
}
