//! Shell completion: the scripts for the shells, and what can stand at the cursor.
//!
//! The scripts of bash, zsh and fish hold no candidates: they ask the program (`__complete WORD ... CURRENT`), which prints one
//! candidate a line, with its description after a tab, and `:files` where the shell should complete paths.

mod at_cursor;

use clap::Command;
use clap_complete::{Shell, generate};

pub use at_cursor::{Candidate, Completion, NameKind, at_cursor};

use super::arguments::{CommandWord, command};

/// The hidden command that the scripts call.
pub const VERB: &str = "__complete";

/// The script for a shell of [`SHELLS`](super::arguments::SHELLS); empty for any other.
pub fn script(shell: &str, program: &str) -> String {
    let template = match shell {
        "bash" => include_str!("script.bash"),
        "zsh" => include_str!("script.zsh"),
        "fish" => include_str!("script.fish"),
        "powershell" => return of_options(program),
        _ => return String::new(),
    };
    let commands = if program == "envo" { "envo envo-run" } else { program };
    template.replace("COMMANDS", commands).replace("PROGRAM", program)
}

/// The script for PowerShell, which knows commands and options but no names.
fn of_options(program: &str) -> String {
    let mut buffer = Vec::new();
    generate(Shell::PowerShell, &mut program_definition(program), program, &mut buffer);
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

    #[test]
    fn powershell_is_offered_the_commands_and_their_options() {
        let script = script("powershell", "envo");
        assert!(script.contains("run-parallel") && script.contains("skip-missing-interpreters"), "{script}");
    }

    #[test]
    fn scripts_complete_the_name_by_which_the_program_was_called() {
        assert!(script("bash", "envo").ends_with("complete -F _envo envo envo-run\n"));
        assert!(script("bash", "tox").ends_with("complete -F _tox tox\n"));
        assert!(script("zsh", "tox").starts_with("#compdef tox\n"));
    }

    #[test]
    fn an_unknown_shell_has_no_script() {
        assert_eq!(script("cmd", "envo"), "");
    }
}
