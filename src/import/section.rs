//! Builds a `[testenv:NAME]` section, with commands as values.

use super::fields::{CLOSE, OPEN, cleaned, written};
use crate::source::ini::write;

/// An environment that is being written. Its texts may have fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportedSection {
    pub name: String,
    /// Keys and the lines of their values, in order.
    keys: Vec<(&'static str, Vec<String>)>,
    /// What people are to look at, above the keys.
    comments: Vec<String>,
    /// What an INI file cannot say: the key, the line's beginning and why.
    refused: Vec<String>,
}

impl ImportedSection {
    /// A section of an environment whose name cannot stand as it is gets one that can.
    pub fn new(name: &str) -> Self {
        Self { name: environment_name(name), ..Self::default() }
    }

    pub fn comment(&mut self, text: impl Into<String>) {
        self.comments.push(text.into());
    }

    /// Adds a line to a key; the same line is not added twice, and one that cannot be written is refused.
    pub fn add(&mut self, key: &'static str, line: impl AsRef<str>) {
        let line = match written(line.as_ref()).and_then(|line| write::check_line(&line).map(|()| line)) {
            Ok(line) => line,
            Err(reason) => {
                let shown: String = cleaned(line.as_ref()).chars().take(40).flat_map(char::escape_default).collect();
                self.refused.push(format!("`{key}` cannot have `{shown}`: {reason}"));
                return;
            }
        };
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, lines)) if lines.contains(&line) => {}
            Some((_, lines)) => lines.push(line),
            None => self.keys.push((key, vec![line])),
        }
    }

    /// What could not be written.
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    pub fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(known, _)| *known == key)
    }

    pub fn text(&self) -> String {
        write::section(&format!("testenv:{}", self.name), &self.comments, &self.keys)
    }
}

/// Letters, digits, `-`, `_` and `.` are what a name of an environment has.
pub fn environment_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}

/// Whether a text can be the name of a variable.
pub fn is_variable_name(name: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(begins) && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Whether a command is for a shell rather than for the words in it.
pub fn needs_shell(command: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    let mut depth = 0;
    for character in command.chars() {
        match (quote, character) {
            (_, OPEN) => depth += 1,
            (_, CLOSE) => depth -= 1,
            _ if depth > 0 => {}
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '|' | '&' | ';' | '<' | '>' | '`' | '*' | '(' | '\n') => return true,
            (None | Some('"'), '$') if before != '\\' => return true,
            _ => {}
        }
        before = character;
    }
    // `NAME=value program` sets a variable.
    let first = command.split_whitespace().next().unwrap_or_default();
    (first.contains('=') && !first.starts_with('-'))
        || matches!(first, "cd" | "export" | "exec" | "source" | "." | "if" | "while" | "for")
}

/// The words of a command as a value.
pub fn words_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = !word.is_empty() && !word.contains([' ', '\t', '\n', '\'', '"', '\\']);
        if plain { word.clone() } else { format!("'{}'", word.replace('\'', "'\"'\"'")) }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The words of a command, as POSIX shells split them; a quote that is not closed ends with the text.
pub fn split(command: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    // What stands in a field is not text of the command.
    let mut depth = 0;
    let mut characters = command.chars().peekable();
    while let Some(character) = characters.next() {
        depth += i32::from(character == OPEN) - i32::from(character == CLOSE);
        match (quote, character) {
            (_, c) if depth > 0 || c == CLOSE => word.get_or_insert_default().push(c),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some('"'), '\\') if matches!(characters.peek(), Some('"' | '\\' | '$' | '`')) => {
                word.get_or_insert_default().extend(characters.next());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A text for a shell in one line.
pub fn one_line(text: &str) -> String {
    let mut result = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let goes_on = ["&&", "|", ";", "\\", "{", "("].iter().any(|end| result.ends_with(end))
            || result.split_whitespace().next_back().is_some_and(|word| matches!(word, "do" | "then" | "else"));
        result = result.strip_suffix('\\').map_or(result.clone(), str::to_owned);
        if !result.is_empty() {
            result.push_str(if goes_on || line.starts_with(['&', '|']) { " " } else { "; " });
        }
        result.push_str(line);
    }
    result
}

/// The words that run a command: for `sh` if it needs one.
pub fn command_words(command: &str) -> Vec<String> {
    let command = command.trim();
    if !needs_shell(command) {
        return split(command);
    }
    // A single program needs no shell to stay for it.
    let text = command.strip_prefix("exec ").filter(|text| !text.contains(['&', ';', '|', '\n'])).unwrap_or(command);
    vec!["sh".to_owned(), "-c".to_owned(), one_line(text)]
}

/// A command as a value: for `sh` if it needs one. Other than words, what is quoted stays as it is written.
pub fn command_line(command: &str) -> String {
    let command = command.trim();
    if needs_shell(command) { words_line(&command_words(command)) } else { command.to_owned() }
}

/// The program of a command line written by [`command_line`].
pub fn program(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Whether a program comes with a Python environment, so that it need not be allowed.
pub fn is_pythons(program: &str) -> bool {
    const OF_PYTHON: [&str; 13] = [
        "python",
        "python3",
        "gunicorn",
        "uvicorn",
        "hypercorn",
        "daphne",
        "celery",
        "flask",
        "fastapi",
        "django-admin",
        "waitress-serve",
        "honcho",
        "rq",
    ];
    OF_PYTHON.contains(&program)
}

/// What has to be installed for a program of Python's.
pub fn distribution(program: &str) -> Option<&str> {
    match program {
        "python" | "python3" => None,
        "django-admin" => Some("django"),
        "waitress-serve" => Some("waitress"),
        "fastapi" => Some("fastapi[standard]"),
        other => is_pythons(other).then_some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fields::field;

    #[test]
    fn commands_for_a_shell_are_told_from_words() {
        for shell in ["a | b", "a && b", "A=1 b", "echo $HOME", "a > b", "cd x", "echo \"$A\"", "ls *.py", "exec x"] {
            assert!(needs_shell(shell), "{shell}");
        }
        for words in ["python -m app", "echo 'a | b'", "echo '$A'", "run --x=1", "a \"b;c\""] {
            assert!(!needs_shell(words), "{words}");
        }
        assert_eq!(command_line("a 'b' | c {x}"), "sh -c 'a '\"'\"'b'\"'\"' | c {x}'");
        assert_eq!(command_line("exec run $A"), "sh -c 'run $A'");
        assert!(!needs_shell("--config.file=x"));
    }

    #[test]
    fn a_script_of_several_lines_is_one_line() {
        let script = "set -e\n# why\npython a.py &&\n  python b.py\nfor x in 1; do\n  echo $x\ndone\ncurl \\\n  -f x\n";
        assert_eq!(one_line(script), "set -e; python a.py && python b.py; for x in 1; do echo $x; done; curl  -f x");
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        assert_eq!(split("a 'b c' \"d \\\" e\" f\\ g ''"), ["a", "b c", "d \" e", "f g", ""]);
        assert_eq!(split("a 'b"), ["a", "b"]);
        assert!(split("  ").is_empty());
    }

    #[test]
    fn a_section_refuses_what_would_become_another_key() {
        let mut section = ImportedSection::new("a b");
        section.comment("look\nhere");
        section.add("serve", format!("run # {}", field("port")));
        section.add("set_env", "A = 1\n[testenv:evil]\ncommands = rm");
        section.add("depends", "x");
        section.add("depends", "y");
        section.add("depends", "x");
        assert_eq!(section.text(), "[testenv:a-b]\n# look here\nserve = run \\# {port}\ndepends =\n    x\n    y\n");
        assert_eq!(section.refused().len(), 1);
    }
}
