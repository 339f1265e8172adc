//! Formats the help from the definitions of the options, in two columns that fit in 80 characters.

use clap::{Arg, ArgAction};

use super::arguments::{CommandWord, command, program_options, spellings};

/// The description of the program.
pub const DESCRIPTION: &str = "Reads a project's tox configuration, builds its environments, runs their commands and \
                               manages the services they need.";

/// The maximum width of a line.
const WIDTH: usize = 80;
/// The column of explanations; a longer name has its explanation on the next line.
const COLUMN: usize = 28;

/// The help of a command.
pub fn of_command(word: CommandWord, program: &str, colored: bool) -> String {
    let mut page = HelpPage::new(colored);
    let full_name = format!("{program} {}", word.name());
    page.usage(&format!("{full_name} {}", word.usage()));
    page.paragraph(word.explanation());
    page.examples(program, word.examples());
    page.options(command(word, program).get_arguments());
    page.text
}

/// The help of the program itself, with `note` as the last line.
pub fn of_program(program: &str, note: &str, colored: bool) -> String {
    let mut page = HelpPage::new(colored);
    page.usage(&format!("{program} [command] [options] [-- ARGUMENT ...]"));
    page.paragraph(DESCRIPTION);
    page.title("subcommands");
    for word in CommandWord::all() {
        let alias = word.alias().map(|alias| format!(" ({alias})")).unwrap_or_default();
        page.row(&format!("{}{alias}", word.name()), word.summary());
    }
    let examples = [
        ("run", "build and test everything in env_list"),
        ("run -e py311 -- -k login", "one environment; pass -k login to its commands"),
        ("serve -e api,web", "start two services and their dependencies"),
    ];
    page.examples(program, &examples);
    page.text.push('\n');
    page.paragraph(&format!("For the options of a command, use for example: {program} run --help"));
    page.options(program_options().iter());
    // Tools search for this exact line, so it is never wrapped.
    page.text.push_str(&format!("\n{note}\n"));
    page.text
}

struct HelpPage {
    text: String,
    colored: bool,
}

impl HelpPage {
    fn new(colored: bool) -> Self {
        Self { text: String::new(), colored }
    }

    fn usage(&mut self, usage: &str) {
        self.text.push_str(&format!("usage: {usage}\n\n"));
    }

    fn paragraph(&mut self, text: &str) {
        for line in wrap(text, WIDTH) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn title(&mut self, title: &str) {
        let (bold, plain) = if self.colored { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        self.text.push_str(&format!("\n{bold}{title}:{plain}\n"));
    }

    fn row(&mut self, name: &str, text: &str) {
        let mut lines = wrap(text, WIDTH - COLUMN).into_iter();
        self.text.push_str("  ");
        if self.colored {
            self.text.push_str(&format!("\u{1b}[36m{name}\u{1b}[0m"));
        } else {
            self.text.push_str(name);
        }
        let end = 2 + name.chars().count();
        if end + 2 <= COLUMN
            && let Some(first) = lines.next()
        {
            self.text.push_str(&" ".repeat(COLUMN - end));
            self.text.push_str(&first);
        }
        for line in lines {
            self.text.push_str(&format!("\n{:COLUMN$}{line}", ""));
        }
        self.text.push('\n');
    }

    /// Options under their headings, in the order of the definitions.
    fn options<'a>(&mut self, arguments: impl Iterator<Item = &'a Arg>) {
        let mut heading = None;
        for argument in arguments {
            if argument.get_help_heading() != heading {
                heading = argument.get_help_heading();
                self.title(heading.unwrap_or("Options"));
            }
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            self.row(&names(argument), &help);
        }
    }

    fn examples(&mut self, program: &str, examples: &[(&str, &str)]) {
        self.title("Examples");
        let width = examples.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        for (line, text) in examples {
            self.text.push_str(&format!("  {program} {line:width$}  {text}\n"));
        }
    }
}

/// For example `-c, --conf file`; long names are aligned.
pub fn names(argument: &Arg) -> String {
    let names = spellings(argument).join(", ");
    let indent = if names.starts_with("--") { "    " } else { "" };
    let Some(value) = argument.get_value_names().and_then(<[_]>::first) else { return format!("{indent}{names}") };
    if !matches!(argument.get_action(), ArgAction::Set | ArgAction::Append) {
        return format!("{indent}{names}");
    }
    let range = argument.get_num_args();
    let value = match range {
        _ if names.is_empty() => return value.to_string(),
        Some(range) if range.min_values() == 0 => format!("[{value}]"),
        Some(range) if range.max_values() > 1 => format!("{value} ..."),
        _ => value.to_string(),
    };
    format!("{indent}{names} {value}")
}

/// Breaks a text at spaces into lines of at most `width` characters, unless a word is longer.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_fits(help: &str) {
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > WIDTH).collect();
        assert!(long.is_empty(), "{long:?}");
    }

    #[test]
    fn help_stays_within_eighty_columns_and_names_every_option() {
        for word in CommandWord::all() {
            let help = of_command(word, "envo", false);
            assert_fits(&help);
            assert!(help.starts_with(&format!("usage: envo {}", word.name())), "{help}");
            for argument in command(word, "envo").get_arguments() {
                assert!(argument.get_help().is_some(), "{}", argument.get_id());
                assert!(spellings(argument).iter().all(|text| help.contains(text)), "{}", argument.get_id());
            }
        }
        let help = of_program("tox", "note", false);
        assert_fits(&help);
        assert!(
            help.starts_with("usage: tox ") && help.contains("--verbose") && help.contains("subcommands:"),
            "{help}"
        );
        assert!(help.ends_with("\nnote\n"));
    }

    #[test]
    fn a_long_name_has_its_explanation_on_the_next_line() {
        let mut page = HelpPage::new(false);
        page.row("--short", "one two");
        page.row("--a-name-wider-than-its-column", "three");
        let column = " ".repeat(COLUMN);
        assert_eq!(page.text, format!("  {:26}one two\n  --a-name-wider-than-its-column\n{column}three\n", "--short"));
    }

    #[test]
    fn colours_are_used_only_on_request() {
        assert!(!of_program("envo", "", false).contains('\u{1b}'));
        assert!(of_program("envo", "", true).contains('\u{1b}'));
    }
}
