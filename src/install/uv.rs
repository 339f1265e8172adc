//! Installs with uv instead of pip: the same arguments, and pip's settings translated to uv's. Anything uv would do
//! differently is left to pip, with a reason.
//! <https://docs.astral.sh/uv/pip/compatibility/>

use std::path::{Path, PathBuf};

use super::pip::Pip;
use super::pip_settings::PipSettings;
use super::{InstallCommand, InstallRequest, Installer};
use crate::model::{Command, ExitRule};

/// uv's variables that affect an installation, as tox-uv lists them: when one of them changes, requirements are
/// installed again.
pub const RESOLUTION_VARIABLES: [&str; 19] = [
    "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_FORK_STRATEGY",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_KEYRING_PROVIDER",
    "UV_NO_INDEX",
    "UV_NO_SOURCES",
    "UV_OFFLINE",
    "UV_OVERRIDE",
    "UV_PRERELEASE",
    "UV_REQUIRE_HASHES",
    "UV_RESOLUTION",
    "UV_TORCH_BACKEND",
];

/// Whether the user chose uv, which then reads its own configuration too, or it only replaces pip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UvRole {
    StandIn,
    Chosen,
}

/// Installs with uv into one environment.
#[derive(Debug, Clone)]
pub struct Uv {
    pub program: PathBuf,
    /// The environment's interpreter.
    pub python: PathBuf,
    pub pip: Pip,
    pub settings: PipSettings,
    /// `pip_pre`.
    pub pre: bool,
    pub role: UvRole,
}

/// Options of a request combined with pip's settings.
#[derive(Default)]
pub(super) struct UvArguments {
    /// Options passed on unchanged.
    pub(super) options: Vec<String>,
    /// Requirements, files and editable paths, in their order.
    pub(super) requirements: Vec<String>,
    pub(super) index_url: Option<String>,
    pub(super) extra_index_urls: Vec<String>,
    pub(super) no_index: bool,
    pub(super) pre: bool,
    require_hashes: bool,
    pub(super) no_deps: bool,
}

impl Installer for Uv {
    fn command(&self, request: &InstallRequest) -> InstallCommand {
        match self.translate(request) {
            Ok(translation) => InstallCommand {
                shown: self.pip.argv(&request.arguments),
                variables: self.variables(&translation),
                // pip's results do not depend on them.
                hidden_variables: if self.role == UvRole::StandIn { &RESOLUTION_VARIABLES } else { &[] },
                run: self.argv(translation),
                note: None,
            },
            Err(reason) => self.pip.clone().because(format!("pip installs, not uv: {reason}")).command(request),
        }
    }
}

impl Uv {
    pub(super) fn translate(&self, request: &InstallRequest) -> Result<UvArguments, String> {
        if let Some(reason) = self.settings.only_pips() {
            return Err(reason);
        }
        if request.has_requirement_options {
            return Err("a requirement has config settings of its own".to_owned());
        }
        let mut translation = UvArguments {
            index_url: self.settings.sources.index_url.clone(),
            extra_index_urls: self.settings.sources.extra_index_urls.clone(),
            no_index: self.settings.sources.no_index,
            pre: self.pre || self.settings.pre,
            require_hashes: self.settings.require_hashes,
            no_deps: self.settings.no_deps,
            ..UvArguments::default()
        };
        self.translate_settings(&mut translation);
        translate_arguments(&request.arguments, &mut translation)?;
        self.translate_nested(&request.nested_options, &mut translation)?;
        Ok(translation)
    }

    fn translate_settings(&self, translation: &mut UvArguments) {
        let settings = &self.settings;
        let mut each = |option: &str, values: &[String]| {
            for value in values {
                translation.options.extend([option.to_owned(), value.clone()]);
            }
        };
        each("--find-links", &settings.sources.find_links);
        each("--constraint", &settings.constraints);
        each("--allow-insecure-host", &settings.network.trusted_hosts);
        each("--requirement", &settings.requirements);
        for (option, values) in [("--no-binary", &settings.no_binary), ("--only-binary", &settings.only_binary)] {
            for value in values {
                add_names(option, value, &mut translation.options);
            }
        }
        for (option, wanted) in [("--upgrade", settings.upgrade), ("--no-build-isolation", settings.no_build_isolation)]
        {
            if wanted {
                translation.options.push(option.to_owned());
            }
        }
    }

    /// uv supports indexes, links and binary options of nested files, but not the other options. If a file names an
    /// index, pip prefers it to the one in its settings, and uv does the opposite.
    fn translate_nested(&self, options: &[String], translation: &mut UvArguments) -> Result<(), String> {
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("pre", _) => translation.pre = true,
                ("require_hashes", _) => translation.require_hashes = true,
                ("prefer_binary" | "features_enabled" | "trusted_hosts", _) => {
                    return Err(format!("uv knows nothing like `{option}` in a requirement file"));
                }
                ("index_url", _) if self.settings.sources.index_url.is_some() => {
                    return Err("a requirement file names an index, and so do pip's settings".to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn argv(&self, translation: UvArguments) -> Command {
        let mut argv = vec![
            self.program.display().to_string(),
            "pip".to_owned(),
            "install".to_owned(),
            "--python".to_owned(),
            self.python.display().to_string(),
        ];
        // pip looks for the best version on all indexes, uv on the first that has the name.
        argv.extend(["--index-strategy", "unsafe-best-match"].map(str::to_owned));
        if self.role == UvRole::StandIn {
            argv.push("--no-sources".to_owned());
        }
        if translation.pre {
            argv.extend(["--prerelease", "allow"].map(str::to_owned));
        }
        for (option, wanted) in [
            ("--no-index", translation.no_index),
            ("--require-hashes", translation.require_hashes),
            ("--no-deps", translation.no_deps),
            ("--compile-bytecode", self.settings.compile),
        ] {
            if wanted {
                argv.push(option.to_owned());
            }
        }
        argv.extend(translation.options);
        argv.extend(translation.requirements);
        Command { argv, exit_rule: ExitRule::Zero }
    }

    /// Values that may contain credentials are passed as variables, unchanged, because other users can see command
    /// lines.
    pub(super) fn variables(&self, translation: &UvArguments) -> Vec<(String, String)> {
        let settings = &self.settings;
        let mut variables: Vec<(String, String)> =
            [("UV_PYTHON_DOWNLOADS", "never"), ("UV_NO_PROGRESS", "1")].map(owned).to_vec();
        if self.role == UvRole::StandIn {
            variables.push(owned(("UV_NO_CONFIG", "1")));
        }
        let mut set = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                variables.push((name.to_owned(), value.clone()));
            }
        };
        set("UV_INDEX_URL", translation.index_url.as_ref());
        let extra = translation.extra_index_urls.join(" ");
        set("UV_EXTRA_INDEX_URL", (!extra.is_empty()).then_some(&extra));
        set("SSL_CERT_FILE", settings.network.certificate.as_ref());
        set("SSL_CLIENT_CERT", settings.network.client_certificate.as_ref());
        for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
            set(name, settings.network.proxy.as_ref());
        }
        set("UV_HTTP_TIMEOUT", settings.network.timeout.as_ref());
        set("UV_HTTP_RETRIES", settings.network.retries.as_ref());
        if settings.no_cache {
            variables.push(owned(("UV_NO_CACHE", "1")));
        }
        variables
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// pip takes several names at once, uv one per option.
fn add_names(option: &str, names: &str, options: &mut Vec<String>) {
    for name in names.split(',').filter(|name| !name.is_empty()) {
        options.extend([option.to_owned(), name.to_owned()]);
    }
}

fn translate_arguments(arguments: &[String], translation: &mut UvArguments) -> Result<(), String> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| format!("{argument} has no value"));
        match argument.as_str() {
            "-r" | "-e" | "-c" => {
                let value = value()?;
                translation.requirements.extend([argument.clone(), value]);
            }
            "-i" => translation.index_url = Some(value()?),
            "--extra-index-url" => translation.extra_index_urls.push(value()?),
            "--no-index" => translation.no_index = true,
            "-f" => {
                let value = value()?;
                translation.options.extend(["--find-links".to_owned(), value]);
            }
            "--trusted-host" => {
                let value = value()?;
                translation.options.extend(["--allow-insecure-host".to_owned(), value]);
            }
            "--no-binary" | "--only-binary" => {
                let value = value()?;
                add_names(argument, &value, &mut translation.options);
            }
            "--pre" => translation.pre = true,
            "--require-hashes" => translation.require_hashes = true,
            "--no-deps" => translation.no_deps = true,
            "--force-reinstall" => translation.options.push("--reinstall".to_owned()),
            "--prefer-binary" | "--use-feature" => return Err(format!("uv knows nothing like {argument}")),
            other => {
                if let Some(file) = other.strip_prefix("-c") {
                    translation.requirements.extend(["-c".to_owned(), file.to_owned()]);
                } else if let Some(setting) = other.strip_prefix("--config-settings=") {
                    translation.options.extend(["--config-setting".to_owned(), setting.to_owned()]);
                } else if other.starts_with('-') {
                    return Err(format!("uv may not know {other}"));
                } else {
                    translation.requirements.push(uv_requirement(other));
                }
            }
        }
    }
    Ok(())
}

/// pip treats anything with a separator as a path; uv only if it begins with a separator or a dot.
fn uv_requirement(text: &str) -> String {
    let is_path = Path::new(text).is_relative()
        && text.contains('/')
        && !text.starts_with('.')
        && !text.contains([':', '@', ' ', ';']);
    if is_path { format!("./{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::pip_settings::{IndexSettings, NetworkSettings};
    use crate::model::environment::InstallSettings;
    use crate::model::requirements::RequirementText;
    use crate::model::{Command, Deferred};

    fn installation() -> InstallSettings {
        let words = ["python", "-I", "-m", "pip", "install", "{packages}"].map(str::to_owned).to_vec();
        InstallSettings {
            command: Deferred::ready(Command::from_words(words)),
            command_is_default: true,
            installer: crate::model::environment::InstallerChoice::Automatic,
            list_dependencies_command: Command::from_words(Vec::new()),
            pip_pre: false,
            constraints: Deferred::ready(RequirementText::default()),
            constrain_package_deps: false,
            use_frozen_constraints: false,
        }
    }

    fn command(settings: PipSettings, arguments: &[&str]) -> Result<InstallCommand, crate::error::ConfigError> {
        let uv = Uv {
            program: "/bin/uv".into(),
            python: "/e/bin/python".into(),
            pip: Pip::new(&installation())?,
            settings,
            pre: false,
            role: UvRole::StandIn,
        };
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Ok(uv.command(&InstallRequest::new("deps", arguments)))
    }

    fn shown(command: &InstallCommand) -> String {
        let start = "/bin/uv pip install --python /e/bin/python --index-strategy unsafe-best-match --no-sources ";
        let variables: Vec<String> = command.variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let start_variables = "UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1 UV_NO_CONFIG=1";
        let variables = variables.join(" ");
        let argv = command.run.argv.join(" ");
        let rest = argv.strip_prefix(start).unwrap_or(&argv);
        format!("{rest}|{}", variables.strip_prefix(start_variables).unwrap_or(&variables).trim())
    }

    #[test]
    fn arguments_of_pip_become_those_of_uv() -> Result<(), crate::error::ConfigError> {
        for (arguments, expected) in [
            (
                vec!["a>=1", "./b", "c/d", "e @ https://x/y", "https://x/z"],
                "a>=1 ./b ./c/d e @ https://x/y https://x/z|",
            ),
            (vec!["-r", "r.txt", "-e", ".[x]", "-c", "c.txt", "-c/e/c.txt"], "-r r.txt -e .[x] -c c.txt -c /e/c.txt|"),
            (
                vec!["a", "-i", "https://u:p@i", "--extra-index-url", "https://j"],
                "a|UV_INDEX_URL=https://u:p@i UV_EXTRA_INDEX_URL=https://j",
            ),
            (
                vec!["a", "--no-index", "-f", "w", "--pre", "--no-binary", "x,y", "--trusted-host", "h"],
                "--prerelease allow --no-index --find-links w --no-binary x --no-binary y --allow-insecure-host h a|",
            ),
            (
                vec!["--force-reinstall", "--no-deps", "--config-settings=k=v", "/d/p.tar.gz"],
                "--no-deps --reinstall --config-setting k=v /d/p.tar.gz|",
            ),
        ] {
            let command = command(PipSettings::default(), &arguments)?;
            assert_eq!(shown(&command), expected);
            assert_eq!(command.shown.argv.join(" "), format!("python -I -m pip install {}", arguments.join(" ")));
            assert_eq!(command.fallback(), Some(&command.shown));
        }
        Ok(())
    }

    #[test]
    fn settings_of_pip_reach_uv() -> Result<(), crate::error::ConfigError> {
        let settings = PipSettings {
            sources: IndexSettings {
                index_url: Some("https://i".to_owned()),
                extra_index_urls: vec!["https://j".to_owned()],
                find_links: vec!["w".to_owned()],
                ..IndexSettings::default()
            },
            constraints: vec!["c.txt".to_owned()],
            pre: true,
            network: NetworkSettings {
                certificate: Some("/c.pem".to_owned()),
                proxy: Some("http://p".to_owned()),
                ..NetworkSettings::default()
            },
            no_binary: vec![":all:".to_owned()],
            ..PipSettings::default()
        };
        let command = command(settings, &["a", "--extra-index-url", "https://k"])?;
        let expected = "--prerelease allow --find-links w --constraint c.txt --no-binary :all: a|UV_INDEX_URL=https://i \
                        UV_EXTRA_INDEX_URL=https://j https://k SSL_CERT_FILE=/c.pem HTTP_PROXY=http://p HTTPS_PROXY=http://p";
        assert_eq!(shown(&command), expected);
        Ok(())
    }

    #[test]
    fn what_uv_cannot_do_is_left_to_pip_with_the_reason() -> Result<(), crate::error::ConfigError> {
        let unknown = PipSettings { only_pip: vec!["use-feature".to_owned()], ..PipSettings::default() };
        for (settings, arguments, reason) in [
            (unknown, vec!["a"], "uv knows nothing like pip's setting use-feature"),
            (PipSettings::default(), vec!["a", "--use-feature", "fast-deps"], "uv knows nothing like --use-feature"),
            (PipSettings::default(), vec!["--global-option=x", "a"], "uv may not know --global-option=x"),
            (PipSettings::default(), vec!["-r"], "-r has no value"),
        ] {
            let command = command(settings, &arguments)?;
            assert_eq!(command.note, Some(format!("pip installs, not uv: {reason}")));
            assert_eq!(command.run, command.shown);
            assert_eq!(command.fallback(), None);
        }
        Ok(())
    }

    #[test]
    fn options_of_nested_files_are_carried_over_or_left_to_pip() -> Result<(), crate::error::ConfigError> {
        let uv = Uv {
            program: "uv".into(),
            python: "python".into(),
            pip: Pip::new(&installation())?,
            settings: PipSettings {
                sources: IndexSettings { index_url: Some("https://i".to_owned()), ..IndexSettings::default() },
                ..PipSettings::default()
            },
            pre: false,
            role: UvRole::StandIn,
        };
        let with = |option: &str| {
            let mut request = InstallRequest::new("deps", vec!["-r".to_owned(), "r.txt".to_owned()]);
            request.nested_options.push(option.to_owned());
            uv.command(&request)
        };
        assert!(with("pre=True").run.argv.contains(&"--prerelease".to_owned()));
        assert!(with("require_hashes=True").run.argv.contains(&"--require-hashes".to_owned()));
        assert!(with("no_binary=a").note.is_none());
        for option in ["features_enabled=['fast-deps']", "index_url=['https://x']", "trusted_hosts=['x']"] {
            assert!(with(option).note.is_some(), "{option}");
        }
        Ok(())
    }
}
