//! What to say about words that no option takes.

use clap::Command;

use super::arguments::{CommandWord, command, spellings};
use crate::error::ConfigError;
use crate::execute::shell::redact;

/// How alike two spellings must be to be taken for each other, from 0 to 1.
const ALIKE: f64 = 0.85;

/// tox's error, with hints that know what else was possible.
pub fn error(words: &[String], word: CommandWord, definition: &Command) -> ConfigError {
    let message = format!(
        "unrecognized arguments: {}\nhint: if you tried to pass arguments to a command use -- to separate them from tox \
         ones",
        redact(words).join(" ")
    );
    let error = ConfigError::handled(message);
    match words.iter().find_map(|unknown| hint(unknown, word, definition)) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(unknown: &str, word: CommandWord, definition: &Command) -> Option<String> {
    if !unknown.starts_with('-') {
        return nearest(unknown, CommandWord::all().map(CommandWord::name))
            .map(|name| format!("did you mean the command `{name}`?"));
    }
    let option = unknown.split('=').next().unwrap_or(unknown);
    let takes = |definition: &Command| definition.get_arguments().flat_map(spellings).any(|text| text == option);
    let others: Vec<&str> = CommandWord::all()
        .filter(|other| *other != word && takes(&command(*other, "")))
        .map(CommandWord::name)
        .collect();
    if !others.is_empty() {
        return Some(format!("`{option}` is no option of `{}` but of: {}", word.name(), others.join(", ")));
    }
    let known: Vec<String> = definition.get_arguments().flat_map(spellings).collect();
    nearest(option, known.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"))
}

fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(text, candidate), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::Verb;

    fn hints(unknown: &str, word: CommandWord) -> Vec<String> {
        error(&[unknown.to_owned()], word, &command(word, "envo")).hints
    }

    #[test]
    fn the_hint_knows_what_was_meant() {
        assert_eq!(hints("--skip-pgk-install", CommandWord::Verb(Verb::Run)), ["did you mean `--skip-pkg-install`?"]);
        assert_eq!(hints("lst", CommandWord::Legacy), ["did you mean the command `list`?"]);
        assert_eq!(hints("--core=1", CommandWord::Verb(Verb::Run)), ["`--core` is no option of `run` but of: config"]);
        assert!(hints("tests/test_login.py", CommandWord::Verb(Verb::Run)).is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let words = ["--api-token=hunter2".to_owned()];
        let error = error(&words, CommandWord::Verb(Verb::Run), &command(CommandWord::Verb(Verb::Run), "envo"));
        assert!(error.message.starts_with("unrecognized arguments: --api-token=*******\nhint: "));
    }
}
