//! Installs with pip: the environment's `install_command` with the arguments filled in.

use super::{InstallCommand, InstallRequest, Installer};
use crate::error::ConfigError;
use crate::model::Command;
use crate::model::environment::InstallSettings;

/// Installs with `install_command`, which is pip by default.
#[derive(Debug, Clone)]
pub struct Pip {
    command: Command,
    /// Why another installer is not used.
    note: Option<String>,
}

impl Pip {
    pub fn new(installation: &InstallSettings) -> Result<Self, ConfigError> {
        Ok(Self { command: installation.command.get()?, note: None })
    }

    /// The same installer with a reason for it.
    #[must_use]
    pub fn because(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// `install_command` with `arguments` in place of `{packages}`, or appended.
    pub fn argv(&self, arguments: &[String]) -> Command {
        let argv = &self.command.argv;
        let at = argv.iter().position(|word| word == "{packages}").unwrap_or(argv.len());
        let after = argv.get(at + 1..).unwrap_or_default();
        let argv = argv[..at].iter().chain(arguments).chain(after).cloned().collect();
        Command { argv, exit_rule: self.command.exit_rule }
    }
}

impl Installer for Pip {
    fn command(&self, request: &InstallRequest) -> InstallCommand {
        let command = self.argv(&request.arguments);
        InstallCommand {
            shown: command.clone(),
            run: command,
            variables: Vec::new(),
            hidden_variables: &[],
            note: self.note.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &str) -> Vec<String> {
        let words = words.split(' ').map(str::to_owned).collect();
        let pip = Pip { command: Command::from_words(words), note: None };
        let command = pip.command(&InstallRequest::new("deps", vec!["a".to_owned(), "-r".to_owned(), "b".to_owned()]));
        assert_eq!(command.fallback(), None);
        command.run.argv
    }

    #[test]
    fn arguments_take_the_place_of_packages_or_follow() {
        assert_eq!(command("pip install {packages} --last").join(" "), "pip install a -r b --last");
        assert_eq!(command("pip install").join(" "), "pip install a -r b");
        assert_eq!(command("- pip {packages} {packages}").join(" "), "pip a -r b {packages}");
    }
}
