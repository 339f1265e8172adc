//! Reads a command line by the rules of Python's `argparse`, which tox uses, and passes `clap` an unambiguous one.
//!
//! The rules differ from `clap`'s in common cases: the command word may be anywhere, long options may be abbreviated,
//! `-f a b` takes all words up to the next option, and unknown arguments are collected instead of ending the program.
//! The options themselves come from the definitions for `clap`.

use clap::{Arg, ArgAction, Command};

use super::UsageError;
use super::arguments::{CommandWord, command, spellings};

/// A command line split at its first `--`.
#[derive(Debug, PartialEq, Eq)]
pub struct SplitCommandLine<'a> {
    pub own: &'a [String],
    /// The words after `--`, if there is one.
    pub positional: Option<&'a [String]>,
}

pub fn split(words: &[String]) -> SplitCommandLine<'_> {
    match words.iter().position(|word| word == "--") {
        Some(at) => SplitCommandLine { own: &words[..at], positional: Some(&words[at + 1..]) },
        None => SplitCommandLine { own: words, positional: None },
    }
}

/// The position of the command word, if there is one; a word that is the value of an option does not count.
pub fn find_command(words: &[String]) -> Option<(usize, CommandWord)> {
    // tox considers only the options of `legacy` here, for any command.
    let known = OptionSpellings::of(&command(CommandWord::Legacy, ""));
    // The number of following words that are values; `None` for all up to the next option.
    let mut values = Some(0);
    for (at, word) in words.iter().enumerate() {
        if looks_like_option(word) {
            values = Some(0);
        }
        if values != Some(0) {
            values = values.map(|count| count - 1);
            continue;
        }
        let Some(arity) = known.exact(word).map(|option| option.arity).filter(|arity| *arity != Arity::None) else {
            match CommandWord::find(word) {
                Some(command) => return Some((at, command)),
                None => continue,
            }
        };
        let command_follows = words.get(at + 1).is_some_and(|next| CommandWord::find(next).is_some());
        values = match arity {
            Arity::Optional if command_follows => Some(0),
            Arity::Many => None,
            _ => Some(1),
        };
    }
    None
}

/// The parts of a command line, with values not yet converted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ScannedCommandLine {
    /// For `clap`, without the program's name.
    pub tokens: Vec<String>,
    /// The words that match no option or argument of the command.
    pub unknown: Vec<String>,
    pub request: Option<HelpRequest>,
}

/// A request to show something instead of running the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HelpRequest {
    Help,
    Version,
}

/// Scans `words`, which do not include the command word.
pub fn scan(definition: &Command, words: &[String]) -> Result<ScannedCommandLine, UsageError> {
    let known = OptionSpellings::of(definition);
    let kinds = words.iter().map(|word| known.classify(word)).collect::<Result<Vec<_>, _>>()?;
    let mut scanner =
        ArgumentScanner { known: &known, words, kinds: &kinds, at: 0, result: ScannedCommandLine::default() };
    let mut positional: Vec<String> = Vec::new();
    while scanner.at < words.len() && scanner.result.request.is_none() {
        match &kinds[scanner.at] {
            ArgumentKind::Option { at, attached } => scanner.option(&known.options[*at], attached.as_deref())?,
            ArgumentKind::Unknown => scanner.set_aside(),
            ArgumentKind::Value
                if known.positional == Arity::Many || (known.positional == Arity::One && positional.is_empty()) =>
            {
                positional.push(words[scanner.at].clone());
                scanner.at += 1;
            }
            ArgumentKind::Value => scanner.set_aside(),
        }
    }
    let mut result = scanner.result;
    if !positional.is_empty() {
        result.tokens.push("--".to_owned());
        result.tokens.append(&mut positional);
    }
    Ok(result)
}

/// What may follow the words of an unfinished command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NextWord {
    /// The id of the option of which the word may be a value.
    pub option: Option<String>,
    /// Whether the option has no value yet and needs one.
    pub must_be_value: bool,
    /// The number of positional values so far.
    pub positionals: usize,
}

/// What may follow `words`, which do not include the command word.
pub fn next_word(definition: &Command, words: &[String]) -> NextWord {
    let known = OptionSpellings::of(definition);
    let mut next = NextWord::default();
    for word in words {
        let option = match known.classify(word) {
            Ok(ArgumentKind::Value) if next.option.is_some() => {
                let stays = next.option.take().filter(|id| known.takes_many(id));
                (next.option, next.must_be_value) = (stays, false);
                continue;
            }
            Ok(ArgumentKind::Value) => {
                next.positionals += 1;
                continue;
            }
            Ok(ArgumentKind::Option { at, attached: None }) => Some(&known.options[at]),
            // `-rve`: the last letter may have a value.
            Ok(ArgumentKind::Option { at, attached: Some(rest) }) if known.options[at].arity == Arity::None => {
                rest.chars().next_back().and_then(|letter| known.exact(&format!("-{letter}")))
            }
            _ => None,
        };
        let option = option.filter(|option| option.arity != Arity::None);
        next.must_be_value = option.is_some_and(|option| option.arity != Arity::Optional);
        next.option = option.map(|option| option.id.clone());
    }
    next
}

/// The option whose value is part of `word`, as in `--env=a` or `-ea`, and where the value begins.
pub fn attached_value(definition: &Command, word: &str) -> Option<(String, usize)> {
    let known = OptionSpellings::of(definition);
    match known.classify(word) {
        Ok(ArgumentKind::Option { at, attached: Some(value) }) if known.options[at].arity != Arity::None => {
            let value = if word.starts_with("--") { value.as_str() } else { value.trim_start_matches('=') };
            Some((known.options[at].id.clone(), word.len() - value.len()))
        }
        _ => None,
    }
}

/// The number of values of an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arity {
    None,
    One,
    /// Zero or one.
    Optional,
    /// At least one.
    Many,
}

impl Arity {
    fn of(argument: &Arg) -> Self {
        if !matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
            return Self::None;
        }
        match argument.get_num_args() {
            Some(range) if range.min_values() == 0 => Self::Optional,
            Some(range) if range.max_values() > 1 => Self::Many,
            _ => Self::One,
        }
    }
}

/// An option by one of its spellings.
struct SpelledOption {
    id: String,
    text: String,
    arity: Arity,
    request: Option<HelpRequest>,
    /// All spellings, for messages.
    display: String,
}

struct OptionSpellings {
    options: Vec<SpelledOption>,
    /// The number of words without a dash that it takes.
    positional: Arity,
}

enum ArgumentKind {
    Option {
        at: usize,
        attached: Option<String>,
    },
    /// Looks like an option but is unknown.
    Unknown,
    Value,
}

/// Options that cannot be abbreviated, since the abbreviations are those of tox's options.
const SPELLED_OUT: [&str; 2] = ["--watch", "--restart"];

impl OptionSpellings {
    fn of(definition: &Command) -> Self {
        let mut result = Self { options: Vec::new(), positional: Arity::None };
        for argument in definition.get_arguments() {
            let texts = spellings(argument);
            if texts.is_empty() {
                result.positional = Arity::of(argument);
            }
            let request = match argument.get_id().as_str() {
                "help" => Some(HelpRequest::Help),
                "version" => Some(HelpRequest::Version),
                _ => None,
            };
            let (arity, display) = (Arity::of(argument), texts.join("/"));
            let spelled = |text| SpelledOption {
                id: argument.get_id().to_string(),
                text,
                arity,
                request,
                display: display.clone(),
            };
            result.options.extend(texts.into_iter().map(spelled));
        }
        result
    }

    fn takes_many(&self, id: &str) -> bool {
        self.options.iter().any(|option| option.id == id && option.arity == Arity::Many)
    }

    fn exact(&self, text: &str) -> Option<&SpelledOption> {
        self.position(text).map(|at| &self.options[at])
    }

    fn position(&self, text: &str) -> Option<usize> {
        self.options.iter().position(|option| option.text == text)
    }

    /// `ArgumentParser._parse_optional`.
    fn classify(&self, word: &str) -> Result<ArgumentKind, UsageError> {
        if !word.starts_with('-') || word == "-" {
            return Ok(ArgumentKind::Value);
        }
        if let Some(at) = self.position(word) {
            return Ok(ArgumentKind::Option { at, attached: None });
        }
        let (head, tail) = match word.split_once('=') {
            Some((head, tail)) => (head, Some(tail.to_owned())),
            None => (word, None),
        };
        if let Some(at) = self.position(head) {
            return Ok(ArgumentKind::Option { at, attached: tail });
        }
        if word.starts_with("--") {
            let fits = |text: &str| text.starts_with(head) && !SPELLED_OUT.contains(&text);
            let fitting: Vec<usize> = (0..self.options.len()).filter(|&at| fits(&self.options[at].text)).collect();
            match fitting.as_slice() {
                [] => {}
                [at] => return Ok(ArgumentKind::Option { at: *at, attached: tail }),
                several => {
                    let names: Vec<&str> = several.iter().map(|&at| self.options[at].text.as_str()).collect();
                    let message = format!("ambiguous option: {word} could match {}", names.join(", "));
                    return Err(UsageError::new(message));
                }
            }
        } else if let Some((letter, rest)) = short_option(word)
            && let Some(at) = self.position(letter)
        {
            return Ok(ArgumentKind::Option { at, attached: Some(rest.to_owned()) });
        }
        Ok(if looks_like_option(word) && !word.contains(' ') { ArgumentKind::Unknown } else { ArgumentKind::Value })
    }
}

/// `-xrest` as `-x` and `rest`.
fn short_option(word: &str) -> Option<(&str, &str)> {
    let letter = word.chars().nth(1)?;
    Some(word.split_at(1 + letter.len_utf8()))
}

/// Whether a word starts like an option and is not a negative number.
fn looks_like_option(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else { return false };
    let digits = |text: &str| text.chars().all(|character| character.is_ascii_digit());
    let number = match rest.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !fraction.is_empty(),
        None => digits(rest),
    };
    !number && !word.contains(' ')
}

struct ArgumentScanner<'a> {
    known: &'a OptionSpellings,
    words: &'a [String],
    kinds: &'a [ArgumentKind],
    at: usize,
    result: ScannedCommandLine,
}

impl ArgumentScanner<'_> {
    fn set_aside(&mut self) {
        self.result.unknown.push(self.words[self.at].clone());
        self.at += 1;
    }

    /// Takes the option at the scanner's position, with its values; `attached` is the rest of the same word.
    fn option(&mut self, first: &SpelledOption, attached: Option<&str>) -> Result<(), UsageError> {
        let mut option = first;
        let mut attached = attached;
        loop {
            let Some(rest) = attached else { return self.detached(option) };
            if option.arity != Arity::None {
                self.emit_value(option, rest);
                self.at += 1;
                return Ok(());
            }
            // `-rv`: the rest is more one-letter options, of which the last may have a value.
            let ignored =
                || UsageError::about(&option.display, &format!("ignored explicit argument {rest:?}").replace('"', "'"));
            if option.text.starts_with("--") {
                return Err(ignored());
            }
            let Some(letter) = rest.chars().next() else { return Err(ignored()) };
            let Some(next) = self.known.exact(&format!("-{letter}")) else { return Err(ignored()) };
            self.emit(option);
            let rest = &rest[letter.len_utf8()..];
            attached = match next.arity {
                _ if rest.is_empty() => None,
                Arity::None => Some(rest),
                _ => Some(rest.strip_prefix('=').unwrap_or(rest)),
            };
            option = next;
        }
    }

    /// An option whose values, if any, are the following words.
    fn detached(&mut self, option: &SpelledOption) -> Result<(), UsageError> {
        self.at += 1;
        let rest = &self.kinds[self.at..];
        let available = rest.iter().take_while(|kind| matches!(kind, ArgumentKind::Value)).count();
        let missing = |what| Err(UsageError::about(&option.display, what));
        match option.arity {
            Arity::One if available == 0 => return missing("expected one argument"),
            Arity::Many if available == 0 => return missing("expected at least one argument"),
            Arity::Optional if available == 0 => self.emit(option),
            Arity::None => self.emit(option),
            Arity::One | Arity::Optional => {
                self.emit_value(option, &self.words[self.at]);
                self.at += 1;
            }
            Arity::Many => {
                self.result.tokens.push(option.text.clone());
                self.result.tokens.extend_from_slice(&self.words[self.at..self.at + available]);
                self.at += available;
            }
        }
        Ok(())
    }

    fn emit(&mut self, option: &SpelledOption) {
        self.result.tokens.push(option.text.clone());
        self.result.request = self.result.request.or(option.request);
    }

    fn emit_value(&mut self, option: &SpelledOption, value: &str) {
        self.result.tokens.push(format!("{}={value}", option.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::Verb;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    fn command_of(line: &str) -> Option<&'static str> {
        find_command(&words(line)).map(|(_, command)| command.name())
    }

    fn tokens(word: CommandWord, line: &str) -> ScannedCommandLine {
        scan(&command(word, "envo"), &words(line)).expect("valid")
    }

    fn problem(word: CommandWord, line: &str) -> String {
        scan(&command(word, "envo"), &words(line)).expect_err("invalid").message
    }

    #[test]
    fn the_command_may_be_anywhere_but_is_no_option_value() {
        assert_eq!(command_of("-e A,B serve"), Some("serve"));
        assert_eq!(command_of("-e list"), None);
        assert_eq!(command_of("-e=x list"), Some("list"));
        assert_eq!(command_of("-f py legacy"), None);
        assert_eq!(command_of("-f py -e a list"), Some("list"));
        assert_eq!(command_of("-f py list -r"), None);
        assert_eq!(command_of("run -f py legacy"), Some("run"));
        assert_eq!(command_of("-s r"), Some("run"));
        assert_eq!(command_of("-s true r"), Some("run"));
        assert_eq!(command_of("-p 2 l"), Some("list"));
        assert_eq!(command_of("-rv c"), Some("config"));
        assert_eq!(command_of(""), None);
    }

    #[test]
    fn abbreviated_options_are_expanded() {
        assert_eq!(
            tokens(CommandWord::Verb(Verb::Run), "--skip-mis --work=x").tokens,
            ["--skip-missing-interpreters", "--workdir=x"]
        );
        let of_tox = tokens(CommandWord::Verb(Verb::Run), "--w=x --res=y --watch --restart").tokens;
        assert_eq!(of_tox, ["--workdir=x", "--result-json=y", "--watch", "--restart"]);
        assert_eq!(
            problem(CommandWord::Verb(Verb::Run), "--no-rec"),
            "ambiguous option: --no-rec could match --no-recreate-pkg, --no-recreate-provision"
        );
    }

    #[test]
    fn joined_letters_are_split_into_options() {
        assert_eq!(tokens(CommandWord::Verb(Verb::Run), "-rvvepy -e=a").tokens, ["-r", "-v", "-v", "-e=py", "-e=a"]);
        assert_eq!(
            problem(CommandWord::Verb(Verb::Run), "-rz"),
            "argument -r/--recreate: ignored explicit argument 'z'"
        );
        assert_eq!(
            problem(CommandWord::Verb(Verb::Run), "--recreate=1"),
            "argument -r/--recreate: ignored explicit argument '1'"
        );
    }

    #[test]
    fn an_option_takes_only_as_many_values_as_it_accepts() {
        assert_eq!(tokens(CommandWord::Verb(Verb::Config), "-k deps -2 -e py").tokens, ["-k", "deps", "-2", "-e=py"]);
        assert_eq!(tokens(CommandWord::Legacy, "-p 2 -s -p").tokens, ["-p=2", "-s", "-p"]);
        assert_eq!(problem(CommandWord::Verb(Verb::Config), "-k -e py"), "argument -k: expected at least one argument");
        assert_eq!(
            problem(CommandWord::Verb(Verb::RunParallel), "-p"),
            "argument -p/--parallel: expected one argument"
        );
    }

    #[test]
    fn unknown_arguments_are_collected_in_order() {
        assert_eq!(tokens(CommandWord::Verb(Verb::List), "-e x -v --nope=1").unknown, ["-e", "x", "--nope=1"]);
        let scanned = tokens(CommandWord::Verb(Verb::Devenv), "-e py path more -r");
        assert_eq!(scanned.tokens, ["-e=py", "-r", "--", "path"]);
        assert_eq!(scanned.unknown, ["more"]);
    }

    #[test]
    fn help_ends_the_scan_but_earlier_errors_count() {
        assert_eq!(tokens(CommandWord::Verb(Verb::Run), "-vh -e").request, Some(HelpRequest::Help));
        assert_eq!(tokens(CommandWord::Verb(Verb::Run), "--version -e").request, Some(HelpRequest::Version));
        assert_eq!(problem(CommandWord::Verb(Verb::Run), "-e -h"), "argument -e: expected one argument");
    }

    #[test]
    fn only_the_first_double_dash_splits() {
        let line = words("-e -- a -- b");
        assert_eq!(split(&line), SplitCommandLine { own: &line[..1], positional: Some(&line[2..]) });
        assert_eq!(split(&line[..1]).positional, None);
    }
}
