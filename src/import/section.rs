//! One `[testenv:NAME]` as it is written.

use std::fmt::Write as _;

/// An environment that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    pub name: String,
    /// Keys and the lines of their values, in order.
    keys: Vec<(&'static str, Vec<String>)>,
    /// What people are to look at, above the keys.
    comments: Vec<String>,
}

impl Section {
    /// A section of an environment whose name cannot stand as it is gets one that can.
    pub fn new(name: &str) -> Self {
        Self { name: environment_name(name), ..Self::default() }
    }

    pub fn comment(&mut self, text: impl Into<String>) {
        self.comments.push(text.into());
    }

    /// Adds a line to a key; the same line is not added twice.
    pub fn add(&mut self, key: &'static str, line: impl Into<String>) {
        let line = line.into();
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, lines)) if lines.contains(&line) => {}
            Some((_, lines)) => lines.push(line),
            None => self.keys.push((key, vec![line])),
        }
    }

    /// Renames a key, where the section has it.
    pub fn rename(&mut self, from: &str, to: &'static str) {
        for (key, _) in self.keys.iter_mut().filter(|(key, _)| *key == from) {
            *key = to;
        }
    }

    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.keys.iter().find(|(known, _)| *known == key).map(|(_, lines)| lines.as_slice())
    }

    /// Changes every line of every key.
    pub fn change(&mut self, mut change: impl FnMut(&'static str, &str) -> String) {
        for (key, lines) in &mut self.keys {
            for line in lines {
                *line = change(key, line);
            }
        }
    }

    pub fn text(&self) -> String {
        let mut text = format!("[testenv:{}]\n", self.name);
        for comment in &self.comments {
            let _ = writeln!(text, "# {}", comment.replace('\n', " "));
        }
        for (key, lines) in &self.keys {
            match lines.as_slice() {
                [one] => {
                    let _ = writeln!(text, "{key} = {one}");
                }
                several => {
                    let _ = writeln!(text, "{key} =");
                    for line in several {
                        let _ = writeln!(text, "    {line}");
                    }
                }
            }
        }
        text
    }
}

/// Letters, digits, `-`, `_` and `.` are what a name of an environment has.
pub fn environment_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect()
}

/// Text as a value of a `tox.ini` says it: braces and the sign of a comment stand for themselves.
pub fn literal(text: &str) -> String {
    literal_part(text).trim().to_owned()
}

/// [`literal`] of a text that something else stands beside.
pub fn literal_part(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.replace(['\r', '\n'], " ").chars() {
        if matches!(character, '{' | '}' | '#') {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

/// Whether a command is for a shell rather than for the words in it.
pub fn needs_shell(command: &str) -> bool {
    let mut quote = None;
    let mut before = ' ';
    for character in command.chars() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '|' | '&' | ';' | '<' | '>' | '`' | '*' | '(') => return true,
            (None | Some('"'), '$') if before != '\\' => return true,
            _ => {}
        }
        before = character;
    }
    // `NAME=value program` sets a variable.
    let first = command.split_whitespace().next().unwrap_or_default();
    first.contains('=') || matches!(first, "cd" | "export" | "exec" | "source" | ".")
}

/// The words of a command as a value.
pub fn words_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = !word.is_empty() && !word.contains([' ', '\t', '\n', '\'', '"', '\\']);
        if plain { literal_part(word) } else { format!("'{}'", literal_part(word).replace('\'', "'\"'\"'")) }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A command as a value: for `sh` where it needs one.
pub fn command_line(command: &str) -> String {
    let command = command.trim();
    if !needs_shell(command) {
        return literal(command);
    }
    let text = command.strip_prefix("exec ").unwrap_or(command);
    format!("sh -c '{}'", literal(text).replace('\'', "'\"'\"'"))
}

/// The program of a command line written by [`command_line`].
pub fn program(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Whether a program comes with a Python environment, so that it need not be allowed.
pub fn is_pythons(program: &str) -> bool {
    const OF_PYTHON: [&str; 12] = [
        "python",
        "python3",
        "gunicorn",
        "uvicorn",
        "hypercorn",
        "daphne",
        "celery",
        "flask",
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
        other => is_pythons(other).then_some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_for_a_shell_are_told_from_words() {
        for shell in ["a | b", "a && b", "A=1 b", "echo $HOME", "a > b", "cd x", "echo \"$A\"", "ls *.py", "exec x"] {
            assert!(needs_shell(shell), "{shell}");
        }
        for words in ["python -m app", "echo 'a | b'", "echo '$A'", "run --x=1", "a \"b;c\""] {
            assert!(!needs_shell(words), "{words}");
        }
        assert_eq!(command_line("exec a 'b' | c {x}"), "sh -c 'a '\"'\"'b'\"'\"' | c \\{x\\}'");
        assert_eq!(command_line("a # b"), "a \\# b");
    }

    #[test]
    fn a_section_is_written_as_people_write_it() {
        let mut section = Section::new("a b");
        section.comment("look\nhere");
        section.add("serve", "run");
        section.add("depends", "x");
        section.add("depends", "y");
        section.add("depends", "x");
        assert_eq!(section.text(), "[testenv:a-b]\n# look here\nserve = run\ndepends =\n    x\n    y\n");
    }
}
