//! Decides what can stand at the cursor: commands, options, choices, files, or names of the configuration.

use clap::{Arg, Command};

use crate::cli::arguments::{CommandWord, IMPORT_KINDS, command};
use crate::cli::scan;

/// Names that only the configuration has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    Environment,
    Service,
    /// A service to give a number of instances, as `NAME=`.
    ScaledService,
    Label,
    Factor,
    Profile,
    /// A setting, of the table of keys.
    Key,
}

/// A word to offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    pub text: String,
    pub description: String,
}

impl Candidate {
    pub fn new(text: impl Into<String>, description: impl Into<String>) -> Self {
        Self { text: text.into(), description: description.into() }
    }
}

/// What can stand at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The part of the word that stays: `--env=`, or `a,` of a list.
    pub prefix: String,
    /// The rest of the word, with which candidates have to start.
    pub typed: String,
    pub candidates: Vec<Candidate>,
    pub names: Option<NameKind>,
    pub files: bool,
    /// The words before the cursor that form a command line by themselves.
    pub settled: Vec<String>,
}

/// `words`: those after the program, of which the last is the one to complete.
pub fn at_cursor(words: &[String], program: &str) -> Completion {
    let (current, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut result = Completion { typed: current.to_owned(), settled: before.to_vec(), ..Completion::default() };
    if before.iter().any(|word| word == "--") {
        result.files = true;
        return result;
    }
    if before == ["help"] {
        result.candidates = commands();
        return result;
    }
    let found = scan::find_command(before);
    let (word, own) = match found {
        Some((at, word)) => (word, [&before[..at], &before[at + 1..]].concat()),
        None => (CommandWord::Legacy, before.to_vec()),
    };
    let definition = command(word, program);
    let next = scan::next_word(&definition, &own);
    if let Some((id, length)) = scan::attached_value(&definition, current) {
        let (prefix, typed) = current.split_at(length);
        (result.prefix, result.typed) = (prefix.to_owned(), typed.to_owned());
        result.offer_values(&definition, &id, 0);
        return result;
    }
    if let Some(id) = next.option.as_deref() {
        result.offer_values(&definition, id, 0);
        if next.must_be_value {
            result.settled.pop();
            return result;
        }
    }
    if current.starts_with('-') {
        result.candidates = definition.get_arguments().flat_map(options).collect();
        (result.names, result.files) = (None, false);
    } else if next.option.is_none() {
        let positional = definition.get_arguments().find(|argument| argument.is_positional());
        match positional {
            Some(argument) => result.offer_values(&definition, argument.get_id().as_str(), next.positionals),
            None if found.is_none() => {
                result.candidates = commands();
                result.candidates.push(Candidate::new("help", "Show the help of a command"));
                result.candidates.push(Candidate::new("version", "Show the version"));
            }
            None => {}
        }
    }
    result
}

impl Completion {
    /// The values of an option or positional argument; `position`: how many positional values stand before it.
    fn offer_values(&mut self, definition: &Command, id: &str, position: usize) {
        let Some(argument) = definition.get_arguments().find(|argument| argument.get_id() == id) else { return };
        let choices = argument.get_possible_values();
        match id {
            "env" | "service_names" | "labels" | "factors" | "service_profiles" | "list_keys_only"
            | "service_scale" => {
                self.names = Some(match id {
                    "labels" => NameKind::Label,
                    "factors" => NameKind::Factor,
                    "service_profiles" => NameKind::Profile,
                    "list_keys_only" => NameKind::Key,
                    "service_scale" => NameKind::ScaledService,
                    _ if is_about_services(definition, id) => NameKind::Service,
                    _ => NameKind::Environment,
                });
                if id == "env" {
                    self.keep_list();
                }
            }
            "import_words" if position == 0 => {
                self.candidates = IMPORT_KINDS.iter().map(|kind| Candidate::new(*kind, "")).collect();
            }
            "skip_missing_interpreters" => {
                self.candidates = ["config", "true", "false"].map(|value| Candidate::new(value, "")).into();
            }
            "config_file" | "root_dir" | "work_dir" | "no_provision" | "result_json" | "junit_xml" | "install_pkg"
            | "output_file" | "sbom_file" | "audit_database" | "discover" | "devenv_path" | "quickstart_root"
            | "import_words" => self.files = true,
            _ => self.candidates = choices.iter().map(|value| Candidate::new(value.get_name(), "")).collect(),
        }
    }

    /// Only the last name of a list such as `a,b` is completed; within braces, nothing is.
    fn keep_list(&mut self) {
        if self.typed.matches('{').count() > self.typed.matches('}').count() {
            self.names = None;
        } else if let Some(comma) = self.typed.rfind(',') {
            let name = self.typed.split_off(comma + 1);
            self.prefix.push_str(&self.typed);
            self.typed = name;
        }
    }
}

fn is_about_services(definition: &Command, id: &str) -> bool {
    id == "service_names" || definition.get_arguments().any(|argument| argument.get_id() == "service_names")
}

fn commands() -> Vec<Candidate> {
    CommandWord::all().map(|word| Candidate::new(word.name(), word.summary())).collect()
}

/// The spellings of an option that its help shows.
fn options(argument: &Arg) -> Vec<Candidate> {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let long = argument.get_long().map(|name| format!("--{name}"));
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    long.into_iter().chain(short).map(|text| Candidate::new(text, help.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Completion {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        at_cursor(&words, "envo")
    }

    fn texts(line: &str) -> Vec<String> {
        let completion = at(line);
        let fits = |one: &String| one.starts_with(&completion.typed);
        completion.candidates.into_iter().map(|one| one.text).filter(fits).collect()
    }

    #[test]
    fn commands_are_offered_until_there_is_one() {
        assert_eq!(texts("qui"), ["quickstart"]);
        assert_eq!(texts("-v vers"), ["version"]);
        assert_eq!(texts("help sch"), ["schema"]);
        assert_eq!(texts("run qui"), [] as [&str; 0]);
    }

    #[test]
    fn options_are_those_of_the_command() {
        assert_eq!(texts("serve --prof"), ["--profile"]);
        assert_eq!(texts("run --prof"), [] as [&str; 0]);
        assert_eq!(texts("--show"), ["--showconfig"]);
    }

    #[test]
    fn names_are_offered_as_the_values_that_take_them() {
        for (line, kind) in [
            ("-e ", NameKind::Environment),
            ("run -e ", NameKind::Environment),
            ("r -rve ", NameKind::Environment),
            ("exec -e ", NameKind::Environment),
            ("run -m a ", NameKind::Label),
            ("run -f ", NameKind::Factor),
            ("up -e ", NameKind::Service),
            ("logs -f ", NameKind::Service),
            ("serve a ", NameKind::Service),
            ("scale ", NameKind::ScaledService),
            ("up --scale ", NameKind::ScaledService),
            ("up --profile ", NameKind::Profile),
            ("config -k deps ", NameKind::Key),
        ] {
            assert_eq!(at(line).names, Some(kind), "{line}");
        }
        for line in ["", "run ", "run -x ", "run -e a ", "-e a -- ", "list ", "run -e py{3"] {
            assert_eq!(at(line).names, None, "{line}");
        }
    }

    #[test]
    fn the_part_of_a_word_before_its_value_stays() {
        for (line, prefix, typed) in [
            ("run -epy", "-e", "py"),
            ("run -e=py", "-e=", "py"),
            ("run -e a,b,py", "a,b,", "py"),
            ("run -e=a,py", "-e=a,", "py"),
            ("up --profile=d", "--profile=", "d"),
            ("run -e py{310,311},li", "py{310,311},", "li"),
        ] {
            let completion = at(line);
            assert!(completion.names.is_some(), "{line}");
            assert_eq!((completion.prefix.as_str(), completion.typed.as_str()), (prefix, typed), "{line}");
        }
    }

    #[test]
    fn choices_and_files_are_offered_where_they_are_meant() {
        assert_eq!(texts("config --format "), ["ini", "json", "toml"]);
        assert_eq!(texts("config --format=t"), ["toml"]);
        assert_eq!(texts("run --runner uv-venv-l"), ["uv-venv-lock-runner"]);
        assert_eq!(texts("completion z"), ["zsh"]);
        assert_eq!(texts("import p"), ["procfile", "pipenv", "poetry", "pdm", "pip-tools"]);
        for line in ["-c ", "run --workdir=", "import compose ", "run -- ", "devenv "] {
            assert!(at(line).files, "{line}");
        }
        assert!(!at("run ").files);
    }

    #[test]
    fn the_words_before_an_unfinished_option_are_a_command_line() {
        assert_eq!(at("run -c x -e ").settled, ["run", "-c", "x"]);
        assert_eq!(at("run -m a ").settled, ["run", "-m", "a"]);
    }
}
