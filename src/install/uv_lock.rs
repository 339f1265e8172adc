//! Translates requests and pip's settings to the arguments of `uv pip compile`, which locks. Starts nothing.
//! <https://docs.astral.sh/uv/pip/compile/>

use super::InstallRequest;
use super::uv::{Uv, UvArguments, UvRole};

/// The default index of uv and pip.
const DEFAULT_INDEX: &str = "https://pypi.org/simple";

/// Options for locking besides the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UvLockRequest {
    /// `3.11`.
    pub python_version: String,
    /// One platform in uv's notation; `None`: all platforms.
    pub platform: Option<String>,
    /// Every version may change.
    pub upgrade: bool,
    /// The versions of these packages may change.
    pub upgrade_packages: Vec<String>,
}

/// A call of uv that locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UvLockCommand {
    /// The arguments, except for the output file.
    pub arguments: Vec<String>,
    /// uv's standard input, relative to the project's root.
    pub requirements: String,
    pub variables: Vec<(String, String)>,
    /// The indexes that packages may come from.
    pub indexes: Vec<String>,
}

impl Uv {
    /// The call that locks `request`. `self.python` may be empty: then uv chooses the Python to build with.
    pub fn lock(&self, request: &InstallRequest, lock_request: &UvLockRequest) -> Result<UvLockCommand, String> {
        let translation = self.translate(request)?;
        let mut arguments = ["pip", "compile", "--quiet", "--no-header", "--generate-hashes", "--python-version"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(lock_request.python_version.clone());
        match &lock_request.platform {
            Some(platform) => arguments.extend(["--python-platform".to_owned(), platform.clone()]),
            None => arguments.push("--universal".to_owned()),
        }
        if !self.python.as_os_str().is_empty() {
            arguments.extend(["--python".to_owned(), self.python.display().to_string()]);
        }
        arguments.extend(["--index-strategy", "unsafe-best-match"].map(str::to_owned));
        if self.role == UvRole::StandIn {
            arguments.push("--no-sources".to_owned());
        }
        if translation.pre {
            arguments.extend(["--prerelease", "allow"].map(str::to_owned));
        }
        for (option, wanted) in [
            ("--no-index", translation.no_index),
            ("--no-deps", translation.no_deps),
            ("--upgrade", lock_request.upgrade),
        ] {
            if wanted {
                arguments.push(option.to_owned());
            }
        }
        for name in &lock_request.upgrade_packages {
            arguments.extend(["--upgrade-package".to_owned(), name.clone()]);
        }
        let mut requirements = lines(&translation.requirements);
        let mut options = translation.options.iter();
        while let Some(option) = options.next() {
            match option.as_str() {
                // Installed packages and upgrading them make no difference to a lock.
                "--upgrade" | "--reinstall" => {}
                "--requirement" => {
                    requirements.push_str(&format!("-r {}\n", options.next().map_or("", String::as_str)))
                }
                _ => arguments.push(option.clone()),
            }
        }
        Ok(UvLockCommand {
            arguments,
            requirements,
            variables: self.variables(&translation),
            indexes: indexes(&translation),
        })
    }
}

/// The arguments as lines of a requirements file.
fn lines(words: &[String]) -> String {
    let mut text = String::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        text.push_str(word);
        if matches!(word.as_str(), "-r" | "-c" | "-e") {
            text.push(' ');
            text.push_str(words.next().map_or("", String::as_str));
        }
        text.push('\n');
    }
    text
}

fn indexes(translation: &UvArguments) -> Vec<String> {
    if translation.no_index {
        return Vec::new();
    }
    let first = translation.index_url.clone().unwrap_or_else(|| DEFAULT_INDEX.to_owned());
    std::iter::once(first).chain(translation.extra_index_urls.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::pip::Pip;
    use crate::install::pip_settings::IndexSettings;
    use crate::install::pip_settings::PipSettings;
    use crate::model::environment::{InstallSettings, InstallerChoice};
    use crate::model::requirements::RequirementText;
    use crate::model::{Command, Deferred};

    fn command(
        settings: PipSettings,
        arguments: &[&str],
        lock_request: &UvLockRequest,
    ) -> Result<UvLockCommand, String> {
        let installation = InstallSettings {
            command: Deferred::ready(Command::from_words(vec!["pip".to_owned()])),
            command_is_default: true,
            installer: InstallerChoice::Automatic,
            list_dependencies_command: Command::from_words(Vec::new()),
            pip_pre: false,
            constraints: Deferred::ready(RequirementText::default()),
            constrain_package_deps: false,
            use_frozen_constraints: false,
        };
        let pip = Pip::new(&installation).map_err(|error| error.message)?;
        let uv = Uv { program: "uv".into(), python: "/py".into(), pip, settings, pre: false, role: UvRole::StandIn };
        uv.lock(&InstallRequest::new("lock", arguments.iter().map(|&word| word.to_owned()).collect()), lock_request)
    }

    #[test]
    fn what_would_be_installed_is_locked_with_the_same_settings() -> Result<(), String> {
        let settings = PipSettings {
            sources: IndexSettings {
                index_url: Some("https://u:p@i/simple".to_owned()),
                find_links: vec!["w".to_owned()],
                ..IndexSettings::default()
            },
            upgrade: true,
            requirements: vec!["always.txt".to_owned()],
            ..PipSettings::default()
        };
        let lock_request = UvLockRequest {
            python_version: "3.11".to_owned(),
            upgrade_packages: vec!["attrs".to_owned()],
            ..UvLockRequest::default()
        };
        let arguments =
            ["a>=1", "-r", "r.txt", "-e", "./lib", "-c", "c.txt", "--pre", "--extra-index-url", "https://j"];
        let command = command(settings, &arguments, &lock_request)?;
        assert_eq!(
            command.arguments.join(" "),
            "pip compile --quiet --no-header --generate-hashes --python-version 3.11 --universal --python /py \
             --index-strategy unsafe-best-match --no-sources --prerelease allow --upgrade-package attrs --find-links w"
        );
        assert_eq!(command.requirements, "a>=1\n-r r.txt\n-e ./lib\n-c c.txt\n-r always.txt\n");
        assert_eq!(command.indexes, ["https://u:p@i/simple", "https://j"]);
        assert!(command.variables.contains(&("UV_PYTHON_DOWNLOADS".to_owned(), "never".to_owned())));
        assert!(command.variables.contains(&("UV_INDEX_URL".to_owned(), "https://u:p@i/simple".to_owned())));
        Ok(())
    }

    #[test]
    fn one_platform_is_locked_for_alone() -> Result<(), String> {
        let lock_request = UvLockRequest {
            python_version: "3.9".to_owned(),
            platform: Some("windows".to_owned()),
            upgrade: true,
            ..UvLockRequest::default()
        };
        let command = command(
            PipSettings {
                sources: IndexSettings { no_index: true, ..IndexSettings::default() },
                ..PipSettings::default()
            },
            &["a"],
            &lock_request,
        )?;
        let words = command.arguments.join(" ");
        assert!(words.contains("--python-platform windows") && !words.contains("--universal"), "{words}");
        assert!(words.contains("--no-index --upgrade"), "{words}");
        assert_eq!(command.indexes, [] as [String; 0]);
        Ok(())
    }
}
