//! Errors and hints for unknown arguments.

use clap::Command;

use super::arguments::{CommandWord, command, spellings};
use super::options::Verb;
use crate::did_you_mean::most_alike;
use crate::error::ConfigError;
use crate::execute::shell::redact;

/// tox's error, with hints for similar options and commands.
pub fn error(words: &[String], word: CommandWord, definition: &Command) -> ConfigError {
    let message = format!(
        "unrecognized arguments: {}\nhint: if you tried to pass arguments to a command use -- to separate them from tox \
         ones",
        redact(words).join(" ")
    );
    let error = ConfigError::handled(message);
    let in_words = asked_in_words(words, word);
    match in_words.or_else(|| words.iter().find_map(|unknown| hint(unknown, word, definition))) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// The usage of `help` and `version`, if they were followed by other words.
fn asked_in_words(words: &[String], word: CommandWord) -> Option<String> {
    match (words.first()?.as_str(), words.get(1)) {
        ("version", _) if word == CommandWord::Legacy => Some("`envo version` takes no arguments".to_owned()),
        ("help", Some(name)) if word == CommandWord::Legacy => Some(match most_alike(name, names()) {
            Some(name) => format!("did you mean `envo help {name}`?"),
            None => format!("`{name}` is not a command; `envo help` lists them"),
        }),
        ("help", _) if word != CommandWord::Legacy => Some(format!("write `envo help {}`", word.name())),
        _ => None,
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    CommandWord::all().map(CommandWord::name)
}

/// Commands by the names that other tools have for them.
const ELSEWHERE: [(&str, &str); 4] = [("status", "ps"), ("ls", "list"), ("show", "config"), ("shell", "devenv")];

fn hint(unknown: &str, word: CommandWord, definition: &Command) -> Option<String> {
    if !unknown.starts_with('-') {
        let elsewhere = ELSEWHERE.iter().find(|(name, _)| *name == unknown).map(|(_, command)| *command);
        let command = elsewhere.or_else(|| most_alike(unknown, names()));
        // After a command, a word is not meant as another command.
        return match command.filter(|_| word == CommandWord::Legacy) {
            Some(name) => Some(format!("did you mean the command `{name}`?")),
            None => environment_hint(unknown, word),
        };
    }
    if word.talks_only() && matches!(unknown, "-e" | "--env") {
        return Some(format!("`{0}` takes names without `{unknown}`: `envo {0} NAME`", word.name()));
    }
    let option = unknown.split('=').next().unwrap_or(unknown);
    let takes = |definition: &Command| definition.get_arguments().flat_map(spellings).any(|text| text == option);
    let others: Vec<&str> = CommandWord::all()
        .filter(|other| *other != word && takes(&command(*other, "")))
        .map(CommandWord::name)
        .collect();
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|name| format!("`{name}`")).collect();
        return Some(format!("`{option}` is not an option of `{}` (it belongs to {})", word.name(), others.join(", ")));
    }
    let known: Vec<String> = definition.get_arguments().flat_map(spellings).collect();
    most_alike(option, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"))
}

/// A hint for a name without `-e`; the usage, if the command has no environments.
fn environment_hint(name: &str, word: CommandWord) -> Option<String> {
    let takes_names = command(word, "").get_arguments().flat_map(spellings).any(|text| text == "-e");
    let is_name = !name.is_empty() && name.chars().all(|one| one.is_alphanumeric() || "-_.,{}".contains(one));
    let command = word.name();
    match word {
        CommandWord::Legacy if is_name => {
            Some(format!("if `{name}` is an environment, `envo run -e {name}` runs it; `envo help` lists the commands"))
        }
        CommandWord::Legacy => None,
        _ if takes_names => is_name.then(|| format!("environments are named with `-e`: `envo {command} -e {name}`")),
        CommandWord::Verb(Verb::List | Verb::Depends) if is_name => Some(format!(
            "`envo {command}` takes no names: it shows every environment; `envo config -e {name}` shows the settings of one"
        )),
        _ => Some(format!("usage: `envo {command} {}`", word.usage())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hints(unknown: &str, word: CommandWord) -> Vec<String> {
        error(&[unknown.to_owned()], word, &command(word, "envo")).hints
    }

    #[test]
    fn the_hint_names_a_similar_word() {
        assert_eq!(hints("--skip-pgk-install", CommandWord::Verb(Verb::Run)), ["did you mean `--skip-pkg-install`?"]);
        assert_eq!(hints("lst", CommandWord::Legacy), ["did you mean the command `list`?"]);
        assert_eq!(
            hints("py311", CommandWord::Legacy),
            ["if `py311` is an environment, `envo run -e py311` runs it; `envo help` lists the commands"]
        );
        assert_eq!(hints("status", CommandWord::Legacy), ["did you mean the command `ps`?"]);
        let named = ["environments are named with `-e`: `envo exec -e py311`"];
        assert_eq!(hints("py311", CommandWord::Verb(Verb::Exec)), named);
        assert_eq!(hints("-e", CommandWord::Verb(Verb::Down)), ["`down` takes names without `-e`: `envo down NAME`"]);
        assert_eq!(
            hints("--core=1", CommandWord::Verb(Verb::Run)),
            ["`--core` is not an option of `run` (it belongs to `config`)"]
        );
        assert!(hints("tests/test_login.py", CommandWord::Verb(Verb::Run)).is_empty());
        let expected =
            "`envo list` takes no names: it shows every environment; `envo config -e x` shows the settings of one";
        assert_eq!(hints("x", CommandWord::Verb(Verb::List)), [expected]);
        assert_eq!(hints("b", CommandWord::Verb(Verb::Quickstart)), ["usage: `envo quickstart [options] [root]`"]);
    }

    #[test]
    fn help_and_version_name_their_arguments() {
        let hints = |words: &[&str], word| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            error(&words, word, &command(word, "envo")).hints
        };
        let legacy = CommandWord::Legacy;
        assert_eq!(hints(&["help", "lst"], legacy), ["did you mean `envo help list`?"]);
        assert_eq!(hints(&["help", "NOTHING"], legacy), ["`NOTHING` is not a command; `envo help` lists them"]);
        assert_eq!(hints(&["help", "x"], CommandWord::Verb(Verb::Run)), ["write `envo help run`"]);
        assert_eq!(hints(&["version", "x"], legacy), ["`envo version` takes no arguments"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let words = ["--api-token=hunter2".to_owned()];
        let error = error(&words, CommandWord::Verb(Verb::Run), &command(CommandWord::Verb(Verb::Run), "envo"));
        assert!(error.message.starts_with("unrecognized arguments: --api-token=*******\nhint: "));
    }
}
