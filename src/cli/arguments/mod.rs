//! The definitions of all commands and options for `clap`, in tox's spellings.
//!
//! An option's id is tox's name for its value: the same name is used for its variable (`TOX_<ID>`) and its key in the
//! user's configuration file. Only the given command is defined at run time, so that parsing takes well under a millisecond.

mod fanout;
mod locks;
mod options;
mod shapes;
mod shipping;

pub use fanout::{BALANCES, CACHE_ACTIONS, EXPORTS, LIST_FORMATS, SUMMARIES};
pub use locks::{GRAPH_FORMATS, TABLE_FORMATS};
pub use options::{COLORS, DEPENDS_FORMATS, IMPORT_KINDS, REPORTS, RUNNERS, SHELLS};
pub use shipping::PACK_FORMATS;

use clap::{Arg, Command};

use super::verb::Verb;

/// The first word of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandWord {
    Verb(Verb),
    /// `legacy`, also the default; its options select another verb.
    Legacy,
}

impl CommandWord {
    /// All words, in the order of the help.
    pub fn all() -> impl Iterator<Item = Self> {
        Verb::ALL.into_iter().map(Self::Verb).chain([Self::Legacy])
    }

    /// The verb; `None` for `legacy`, whose options select it.
    pub(super) fn verb(self) -> Option<Verb> {
        match self {
            Self::Verb(verb) => Some(verb),
            Self::Legacy => None,
        }
    }

    pub fn name(self) -> &'static str {
        self.verb().map_or("legacy", |verb| verb.spelling().0)
    }

    pub fn alias(self) -> Option<&'static str> {
        self.verb().map_or(Some("le"), |verb| verb.spelling().1)
    }

    /// The command of that name or short name.
    pub fn find(word: &str) -> Option<Self> {
        Self::all().find(|command| command.name() == word || command.alias() == Some(word))
    }

    /// One line for the list of commands.
    pub fn summary(self) -> &'static str {
        self.verb().map_or("Accept the options of tox 3 (the default command)", Verb::summary)
    }

    pub(super) fn usage(self) -> &'static str {
        self.verb().unwrap_or(Verb::Run).usage()
    }

    /// The paragraph at the top of its help.
    pub(super) fn explanation(self) -> &'static str {
        let of_legacy = "Accepts the options of tox 3. It is the default command, so that tox -e py311 and tox -l keep \
                         their meaning.";
        self.verb().map_or(of_legacy, Verb::explanation)
    }

    /// Example arguments and their effect, for its help.
    pub(super) fn examples(self) -> &'static [(&'static str, &'static str)] {
        let of_legacy: &[_] =
            &[("-e py311 -- -k login", "one environment"), ("-l", "list environments"), ("-p auto", "in parallel")];
        self.verb().map_or(of_legacy, Verb::examples)
    }

    /// Whether environments can be selected, unlike for commands about the program or the configuration format.
    pub(super) fn concerns_environments(self) -> bool {
        self.verb().is_none_or(Verb::concerns_environments)
    }

    /// Whether it only talks to the running supervisor and builds nothing.
    pub(super) fn talks_only(self) -> bool {
        self.verb().is_some_and(Verb::talks_only)
    }

    /// Whether it builds environments to serve them.
    pub(super) fn serves(self) -> bool {
        self.verb().is_some_and(Verb::serves)
    }

    fn arguments(self) -> Vec<Arg> {
        use options::{building, command_specific, environment, parallel, selection};
        let mut result = command_specific(self);
        if self.concerns_environments() {
            result.extend(selection(self));
        }
        if self.verb().is_some_and(fanout::chooses) {
            result.extend(fanout::recent());
            result.extend(fanout::slices());
        }
        if matches!(self, Self::Verb(Verb::Run | Verb::RunParallel)) {
            result.extend(fanout::watching());
        }
        let is_about_locks = self.verb().is_some_and(Verb::is_about_locks);
        if self.verb().is_some_and(|verb| verb == Verb::Merge || verb.is_about_releases()) {
            result.extend(options::general());
            return result;
        }
        let builds_nothing = self.verb().is_some_and(Verb::is_about_shells)
            || matches!(
                self,
                Self::Verb(Verb::Env | Verb::Services | Verb::Mcp | Verb::Cache | Verb::Export | Verb::Secrets)
            );
        if !self.talks_only() && !is_about_locks && !builds_nothing {
            result.extend(building(self));
        }
        if matches!(self, Self::Verb(Verb::RunParallel) | Self::Legacy) {
            result.extend(parallel(self));
        }
        let shows_only = is_about_locks
            || matches!(
                self,
                Self::Verb(Verb::List | Verb::Depends | Verb::Cache | Verb::Export | Verb::Secrets | Verb::Env)
            );
        if self.concerns_environments() && !shows_only {
            result.extend(environment(self));
        }
        result.extend(program_options());
        result
    }
}

/// The definition of a command, for a program called `program`.
pub fn command(word: CommandWord, program: &str) -> Command {
    let full_name = format!("{program} {}", word.name());
    Command::new(full_name.clone())
        .override_usage(format!("{full_name} {}", word.usage()))
        .args(word.arguments())
        .args_override_self(true)
        // `scan` handles these two, because the order of the words decides whether they apply.
        .disable_help_flag(true)
        .disable_version_flag(true)
}

/// The options of every command.
pub fn program_options() -> Vec<Arg> {
    let mut result = options::project();
    result.extend(options::general());
    result
}

/// All spellings of an option, for messages such as `-c/--conf`.
pub fn spellings(argument: &Arg) -> Vec<String> {
    let mut result = Vec::new();
    let short = argument.get_short().into_iter().chain(argument.get_all_short_aliases().unwrap_or_default());
    result.extend(short.map(|letter| format!("-{letter}")));
    let long = argument.get_long().into_iter().chain(argument.get_all_aliases().unwrap_or_default());
    result.extend(long.map(|name| format!("--{name}")));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_is_sound_for_clap() {
        for word in CommandWord::all() {
            command(word, "envo").debug_assert();
        }
    }

    #[test]
    fn short_names_lead_to_their_commands() {
        assert_eq!(CommandWord::find("p"), Some(CommandWord::Verb(Verb::RunParallel)));
        assert_eq!(CommandWord::find("de"), Some(CommandWord::Verb(Verb::Depends)));
        assert_eq!(CommandWord::find("x"), None);
    }
}
