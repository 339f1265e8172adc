//! Generates shell completions from the definitions of the options.

use clap::Command;
use clap_complete::{Shell, generate};

use super::arguments::{CommandWord, command};

/// The script for a shell of [`SHELLS`](super::arguments::SHELLS); empty for any other.
pub fn script(shell: &str, program: &str) -> String {
    let Ok(shell) = shell.parse::<Shell>() else { return String::new() };
    let mut buffer = Vec::new();
    generate(shell, &mut program_definition(program), program, &mut buffer);
    String::from_utf8_lossy(&buffer).into_owned()
}

/// All commands as subcommands; without one, the options are those of `legacy`.
fn program_definition(program: &str) -> Command {
    let commands = CommandWord::all().map(|word| {
        let definition = command(word, program).name(word.name()).about(word.summary());
        match word.alias() {
            Some(alias) => definition.visible_alias(alias),
            None => definition,
        }
    });
    command(CommandWord::Legacy, program).name(program.to_owned()).disable_help_subcommand(true).subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::SHELLS;

    #[test]
    fn every_shell_is_offered_the_commands_and_their_options() {
        for shell in SHELLS {
            let script = script(shell, "envo");
            assert!(script.contains("run-parallel") && script.contains("skip-missing-interpreters"), "{shell}");
        }
    }

    #[test]
    fn an_unknown_shell_has_no_script() {
        assert_eq!(script("cmd", "envo"), "");
    }
}
