//! The runners, which create and run environments: tox's own, and those of plugins that envo implements.

/// A runner or packager by tox's name for it. <https://tox.wiki/en/4.67.15/reference/config.html#runner>,
/// <https://github.com/tox-dev/tox-uv>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Runner {
    Virtualenv,
    /// Environments created and filled by uv.
    Uv,
    /// Environments that `uv sync` fills from the project's lock file.
    UvLock,
    /// Environments of one script, filled with the requirements in its PEP 723 block.
    Script,
    /// The same, created and filled by uv.
    UvScript,
    /// Like [`Self::Virtualenv`], but environments with other names may use it
    /// (tox-ignore-env-name-mismatch).
    IgnoreName,
    Pep517Packager,
    CommandPackager,
    UvPep517Packager,
    UvCommandPackager,
}

impl Runner {
    const ALL: [Self; 10] = [
        Self::Virtualenv,
        Self::Uv,
        Self::UvLock,
        Self::Script,
        Self::UvScript,
        Self::IgnoreName,
        Self::Pep517Packager,
        Self::CommandPackager,
        Self::UvPep517Packager,
        Self::UvCommandPackager,
    ];

    /// The runner or packager of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|runner| runner.name() == name)
    }

    /// The runner with that name; `None` if it does not exist, or is a packager.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL[..6].iter().copied().find(|runner| runner.name() == name)
    }

    /// The valid values of `runner`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL[..6].iter().map(|runner| runner.name())
    }

    /// tox's name for it in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtualenv => "virtualenv",
            Self::Uv => "uv-venv-runner",
            Self::UvLock => "uv-venv-lock-runner",
            Self::Script => "virtualenv-pep-723",
            Self::UvScript => "uv-venv-pep-723",
            Self::IgnoreName => "ignore_env_name_mismatch",
            Self::Pep517Packager => "virtualenv-pep-517",
            Self::CommandPackager => "virtualenv-cmd-builder",
            Self::UvPep517Packager => "uv-venv-pep-517",
            Self::UvCommandPackager => "uv-venv-cmd-builder",
        }
    }

    /// tox's class: shown by `config` as `type`, and recorded in `.tox-info.json`.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Virtualenv => "VirtualEnvRunner",
            Self::Uv => "UvVenvRunner",
            Self::UvLock => "UvVenvLockRunner",
            Self::Script => "Pep723Runner",
            Self::UvScript => "UvVenvPep723Runner",
            Self::IgnoreName => "IgnoreEnvNameMismatchVirtualEnvRunner",
            Self::Pep517Packager => "Pep517VirtualEnvPackager",
            Self::CommandPackager => "VirtualEnvCmdBuilder",
            Self::UvPep517Packager => "UvVenvPep517Packager",
            Self::UvCommandPackager => "UvVenvCmdBuilder",
        }
    }

    pub fn uses_uv(self) -> bool {
        matches!(self, Self::Uv | Self::UvLock | Self::UvScript | Self::UvPep517Packager | Self::UvCommandPackager)
    }

    /// Whether the environment is for a script, which specifies its own requirements.
    pub fn runs_script(self) -> bool {
        matches!(self, Self::Script | Self::UvScript)
    }

    /// Whether the project may be installed into its environments.
    pub fn takes_package(self) -> bool {
        self != Self::UvLock && !self.runs_script()
    }

    /// The packager for environments of this runner; `external` if it runs commands of its own.
    pub fn packager(self, external: bool) -> Self {
        match (self.uses_uv(), external) {
            (false, false) => Self::Pep517Packager,
            (false, true) => Self::CommandPackager,
            (true, false) => Self::UvPep517Packager,
            (true, true) => Self::UvCommandPackager,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packagers_are_no_runners() {
        assert_eq!(Runner::of("uv-venv-lock-runner"), Some(Runner::UvLock));
        assert_eq!(Runner::of("uv-venv-pep-723"), Some(Runner::UvScript));
        assert_eq!(Runner::of("uv-venv-pep-517"), None);
        assert_eq!(Runner::of(""), None);
    }

    #[test]
    fn uv_environments_have_their_package_built_in_uv_environments() {
        assert_eq!(Runner::Uv.packager(false), Runner::UvPep517Packager);
        assert_eq!(Runner::Virtualenv.packager(true), Runner::CommandPackager);
    }
}
