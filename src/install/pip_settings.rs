//! Reads pip's settings from `PIP_…` variables and its configuration files, for an installer that replaces pip.
//! <https://pip.pypa.io/en/stable/topics/configuration/>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::model::EnvVariables;
use crate::platform::system;
use crate::source::ini;

/// The settings of pip that another installer has to follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipSettings {
    pub sources: IndexSettings,
    pub constraints: Vec<String>,
    pub requirements: Vec<String>,
    pub pre: bool,
    pub network: NetworkSettings,
    pub require_hashes: bool,
    /// Names, `:all:` and `:none:`, separated by commas.
    pub no_binary: Vec<String>,
    pub only_binary: Vec<String>,
    pub no_deps: bool,
    pub upgrade: bool,
    pub no_build_isolation: bool,
    pub no_cache: bool,
    /// Whether to compile installed modules: if Python may not write bytecode itself (`PYTHONDONTWRITEBYTECODE`), each
    /// run would compile them again. pip always compiles unless `no-compile` is set.
    pub compile: bool,
    /// Settings that only pip supports, by pip's names.
    pub only_pip: Vec<String>,
}

/// Where pip looks for packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexSettings {
    pub index_url: Option<String>,
    pub extra_index_urls: Vec<String>,
    pub no_index: bool,
    pub find_links: Vec<String>,
}

/// How pip connects to an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    pub trusted_hosts: Vec<String>,
    pub certificate: Option<String>,
    pub client_certificate: Option<String>,
    pub proxy: Option<String>,
    pub timeout: Option<String>,
    pub retries: Option<String>,
}

/// Settings with an effect on pip that no other installer reproduces.
const ONLY_PIP: [&str; 32] = [
    "abi",
    "build-constraint",
    "config-settings",
    "dry-run",
    "editable",
    "exclude-newer",
    "global-option",
    "ignore-installed",
    "ignore-requires-python",
    "implementation",
    "install-option",
    "isolated",
    "keyring-provider",
    "local-log",
    "log",
    "log-file",
    "no-clean",
    "no-use-pep517",
    "only-final",
    "platform",
    "prefer-binary",
    "prefix",
    "python",
    "python-version",
    "report",
    "root",
    "src",
    "target",
    "uploaded-prior-to",
    "use-deprecated",
    "use-feature",
    "user",
];

impl PipSettings {
    /// Reads the settings pip would have in the environment at `env_dir`; `variables` are those of its processes.
    pub fn read(variables: &EnvVariables, env_dir: &Path) -> Self {
        Self::from_files(variables, &files(variables, env_dir))
    }

    /// Why only pip can follow these settings, if so.
    pub fn only_pips(&self) -> Option<String> {
        self.only_pip.first().map(|setting| format!("uv knows nothing like pip's setting {setting}"))
    }

    fn from_files(variables: &EnvVariables, files: &[PathBuf]) -> Self {
        let mut settings = Self::default();
        let mut values = match configured(files) {
            Ok(values) => values,
            Err(file) => {
                settings.only_pip.push(format!("{} (unreadable)", file.display()));
                return settings;
            }
        };
        for (name, value) in variables.iter() {
            let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
            let Some(name) = name.strip_prefix("PIP_") else { continue };
            // pip looks for the variable of every option, so an empty one counts as not set.
            if !value.is_empty() {
                values.insert(normalized(name), value.into_owned());
            }
        }
        settings.compile = variables.get("PYTHONDONTWRITEBYTECODE").is_some_and(|value| !value.is_empty());
        for (name, value) in &values {
            settings.apply(name, value);
        }
        settings
    }

    fn apply(&mut self, name: &str, value: &str) {
        let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match name {
            "index-url" | "pypi-url" => self.sources.index_url = Some(value.to_owned()),
            "extra-index-url" => self.sources.extra_index_urls = words(),
            "no-index" => self.sources.no_index = is_true(value),
            "find-links" => self.sources.find_links = words(),
            "constraint" => self.constraints = words(),
            "requirement" => self.requirements = words(),
            "pre" => self.pre = is_true(value),
            "trusted-host" => self.network.trusted_hosts = words(),
            "cert" => self.network.certificate = Some(value.to_owned()),
            "client-cert" => self.network.client_certificate = Some(value.to_owned()),
            "proxy" => self.network.proxy = Some(value.to_owned()),
            "require-hashes" => self.require_hashes = is_true(value),
            "no-binary" => self.no_binary = words(),
            "only-binary" => self.only_binary = words(),
            "no-deps" | "no-dependencies" => self.no_deps = is_true(value),
            "upgrade" => self.upgrade = is_true(value),
            // pip inverts the `no-` spelling of these, as documented: a false value disables.
            "no-build-isolation" => self.no_build_isolation = !is_true(value),
            "compile" => self.compile |= is_true(value),
            "no-compile" if is_true(value) => self.compile = false,
            "no-cache-dir" => self.no_cache = is_true(value),
            "timeout" | "default-timeout" => self.network.timeout = Some(value.to_owned()),
            "retries" => self.network.retries = Some(value.to_owned()),
            name if ONLY_PIP.contains(&name) && !is_false(value) => self.only_pip.push(name.to_owned()),
            _ => {}
        }
    }
}

fn normalized(name: &str) -> String {
    name.to_lowercase().replace('_', "-").trim_start_matches("--").to_owned()
}

fn is_true(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "y" | "yes" | "t" | "true" | "on" | "1")
}

fn is_false(value: &str) -> bool {
    matches!(value.to_lowercase().as_str(), "" | "n" | "no" | "f" | "false" | "off" | "0")
}

/// The values of pip's configuration files; the error is a file that pip would reject.
fn configured(files: &[PathBuf]) -> Result<BTreeMap<String, String>, PathBuf> {
    let mut general = BTreeMap::new();
    let mut of_install = BTreeMap::new();
    for file in files {
        let Ok(bytes) = bounded::read(file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let document = ini::read(&text).map_err(|_| file.clone())?;
        for (section, values) in [("global", &mut general), ("install", &mut of_install)] {
            if let Some(section) = document.section(section) {
                for entry in &section.entries {
                    values.insert(normalized(&entry.key), entry.value.trim().to_owned());
                }
            }
        }
    }
    // The section `install` takes precedence, whichever file it is in.
    general.extend(of_install);
    Ok(general)
}

/// pip's configuration files; later ones take precedence.
fn files(variables: &EnvVariables, env_dir: &Path) -> Vec<PathBuf> {
    let named = variables.text("PIP_CONFIG_FILE").filter(|file| !file.is_empty()).map(PathBuf::from);
    if named.as_deref() == Some(Path::new("/dev/null")) {
        return Vec::new();
    }
    let home = variables.text("HOME").map(PathBuf::from);
    let mut files = Vec::new();
    if let Some(support) = system::application_support(Path::new("/")) {
        files.push(support.join("pip/pip.conf"));
    } else {
        let folders = variables.text("XDG_CONFIG_DIRS").filter(|folders| !folders.is_empty());
        let folders = folders.unwrap_or_else(|| "/etc/xdg".to_owned());
        files.extend(folders.split(':').map(|folder| Path::new(folder).join("pip/pip.conf")));
        files.push(PathBuf::from("/etc/pip.conf"));
    }
    // An existing file named by the variable replaces the user's.
    if !named.as_ref().is_some_and(|file| file.exists())
        && let Some(home) = home
    {
        files.push(home.join(".pip/pip.conf"));
        let support = system::application_support(&home).map(|folder| folder.join("pip"));
        let configuration = variables.text("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
        files.push(match support.filter(|support| support.is_dir()) {
            Some(support) => support.join("pip.conf"),
            None => configuration.map_or_else(|| home.join(".config"), PathBuf::from).join("pip/pip.conf"),
        });
    }
    files.push(env_dir.join("pip.conf"));
    files.extend(named);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads without the configuration files of the test machine.
    fn read(variables: &EnvVariables, env_dir: &Path) -> PipSettings {
        let mut files = files(variables, env_dir);
        files.retain(|file| !file.starts_with("/etc") && !file.starts_with("/Library"));
        PipSettings::from_files(variables, &files)
    }

    fn variables(pairs: &[(&str, &str)]) -> EnvVariables {
        let mut variables = EnvVariables::default();
        variables.set("XDG_CONFIG_DIRS", "/nonexistent");
        for (name, value) in pairs {
            variables.set(*name, *value);
        }
        variables
    }

    #[test]
    fn variables_are_read_as_pip_reads_them() {
        let variables = variables(&[
            ("PIP_INDEX_URL", "https://i"),
            ("PIP_EXTRA_INDEX_URL", "https://a https://b"),
            ("PIP_NO_INDEX", "false"),
            ("PIP_PRE", "1"),
            ("PIP_CONSTRAINT", ""),
            ("PIP_NO_BUILD_ISOLATION", "0"),
            ("PIP_USE_FEATURE", "fast-deps"),
            ("PIP_USER", "no"),
            ("PIP_QUIET", "3"),
            ("NPM_PRE", "1"),
        ]);
        let expected = PipSettings {
            sources: IndexSettings {
                index_url: Some("https://i".to_owned()),
                extra_index_urls: vec!["https://a".to_owned(), "https://b".to_owned()],
                ..IndexSettings::default()
            },
            pre: true,
            no_build_isolation: true,
            only_pip: vec!["use-feature".to_owned()],
            ..PipSettings::default()
        };
        assert_eq!(read(&variables, Path::new("/nonexistent")), expected);
    }

    #[test]
    fn what_python_may_not_compile_itself_is_compiled_unless_pip_may_not() {
        let reads = |pairs: &[(&str, &str)]| read(&variables(pairs), Path::new("/nonexistent")).compile;
        assert!(!reads(&[]));
        assert!(!reads(&[("PYTHONDONTWRITEBYTECODE", "")]));
        assert!(reads(&[("PYTHONDONTWRITEBYTECODE", "1")]));
        assert!(reads(&[("PIP_COMPILE", "1")]));
        assert!(!reads(&[("PIP_COMPILE", "0")]));
        assert!(!reads(&[("PYTHONDONTWRITEBYTECODE", "1"), ("PIP_NO_COMPILE", "1")]));
    }

    #[test]
    fn files_count_in_the_order_of_pip() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let root = folder.path();
        let home = root.display().to_string();
        std::fs::create_dir_all(root.join(".config/pip"))?;
        std::fs::create_dir_all(root.join("env"))?;
        let user = "[install]\nfind_links =\n  a\n  b\n[global]\nindex-url = https://user\nproxy = p\n";
        std::fs::write(root.join(".config/pip/pip.conf"), user)?;
        std::fs::write(root.join("env/pip.conf"), "[global]\nindex-url = https://env\nfind-links = c\n")?;
        let settings = read(&variables(&[("HOME", &home), ("PIP_PROXY", "q")]), &root.join("env"));
        assert_eq!(settings.sources.index_url.as_deref(), Some("https://env"));
        assert_eq!(settings.sources.find_links, ["a", "b"]);
        assert_eq!(settings.network.proxy.as_deref(), Some("q"));

        let named = root.join("named.conf").display().to_string();
        std::fs::write(&named, "[global]\npre = yes\n")?;
        let settings = read(&variables(&[("HOME", &home), ("PIP_CONFIG_FILE", &named)]), root);
        assert_eq!(settings, PipSettings { pre: true, ..PipSettings::default() });

        std::fs::write(&named, "nonsense")?;
        let settings = read(&variables(&[("HOME", &home), ("PIP_CONFIG_FILE", &named)]), root);
        assert_eq!(settings.only_pip, [format!("{named} (unreadable)")]);
        Ok(())
    }
}
