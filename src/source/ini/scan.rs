//! One walk over the lines by the rules of Python's `RawConfigParser._read`, for errors and positions.

use std::collections::HashSet;
use std::fmt::Write as _;

use super::DEFAULT_SECTION;
use crate::error::python_repr;
use crate::python_text::{is_space, strip};

/// Stands before the text of every value line in the canonical text, so that nothing in it looks like syntax or is
/// trimmed. A private-use character.
pub(super) const GUARD: char = '\u{f8ff}';

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IniErrorKind {
    MissingSectionHeader {
        text: String,
    },
    DuplicateSection {
        section: String,
    },
    DuplicateOption {
        section: String,
        option: String,
    },
    /// Every line that is neither a header nor a key.
    Parsing {
        lines: Vec<(usize, String)>,
    },
}

/// Why a text is not a valid INI file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniError {
    pub kind: IniErrorKind,
    /// The first line that is wrong, from one.
    pub line: usize,
}

impl IniError {
    /// The message of the exception that Python 3.11 raises for a file of that name.
    pub fn in_python_words(&self, file: &str) -> String {
        let (name, line) = (python_repr(file), self.line);
        match &self.kind {
            IniErrorKind::MissingSectionHeader { text } => {
                format!("File contains no section headers.\nfile: {name}, line: {line}\n{}", python_repr(text))
            }
            IniErrorKind::DuplicateSection { section } => {
                format!("While reading from {name} [line {line:>2}]: section {} already exists", python_repr(section))
            }
            IniErrorKind::DuplicateOption { section, option } => format!(
                "While reading from {name} [line {line:>2}]: option {} in section {} already exists",
                python_repr(option),
                python_repr(section)
            ),
            IniErrorKind::Parsing { lines } => {
                let mut message = format!("Source contains parsing errors: {name}");
                for (number, text) in lines {
                    let _ = write!(message, "\n\t[line {number:>2}]: {}", python_repr(text));
                }
                message
            }
        }
    }
}

/// Where a key stands.
pub(super) struct KeyPlace {
    pub key: String,
    pub lines: Vec<usize>,
    pub column: usize,
}

pub(super) struct SectionPlace {
    pub name: String,
    pub line: usize,
    pub keys: Vec<KeyPlace>,
}

pub(super) struct Scan {
    pub sections: Vec<SectionPlace>,
    pub canonical: String,
}

impl Scan {
    pub(super) fn of(text: &str) -> Result<Self, IniError> {
        let mut walk = Walk::default();
        for (at, line) in universal_newlines(text).split_inclusive('\n').enumerate() {
            walk.line(at + 1, line)?;
        }
        if let Some((line, _)) = walk.malformed.first() {
            let line = *line;
            return Err(IniError { kind: IniErrorKind::Parsing { lines: walk.malformed }, line });
        }
        Ok(Self { sections: walk.sections, canonical: walk.canonical })
    }
}

/// Python opens text files with universal newlines.
fn universal_newlines(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

#[derive(Default)]
struct Walk {
    sections: Vec<SectionPlace>,
    /// Index of the section that keys go to.
    current: Option<usize>,
    /// Whether a key of the current section is open for continuation lines. An empty name never is.
    in_key: bool,
    /// Indentation, in characters, of the line that opened the key.
    indent: usize,
    names: HashSet<String>,
    keys: HashSet<(usize, String)>,
    malformed: Vec<(usize, String)>,
    canonical: String,
}

impl Walk {
    fn line(&mut self, number: usize, line: &str) -> Result<(), IniError> {
        let text = strip(line);
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.is_empty() {
            self.blank(number);
            return Ok(());
        }
        let indent = line.chars().take_while(|c| is_space(*c)).count();
        if self.in_key && indent > self.indent {
            self.continuation(number, text);
            return Ok(());
        }
        self.indent = indent;
        if let Some(name) = section_name(text) {
            return self.section(number, name);
        }
        match self.current {
            Some(section) => self.key(number, line, text, section),
            None => {
                let kind = IniErrorKind::MissingSectionHeader { text: line.to_owned() };
                Err(IniError { kind, line: number })
            }
        }
    }

    fn open_key(&mut self) -> Option<&mut KeyPlace> {
        if !self.in_key {
            return None;
        }
        self.sections.get_mut(self.current?)?.keys.last_mut()
    }

    fn blank(&mut self, number: usize) {
        if let Some(key) = self.open_key() {
            key.lines.push(number);
            self.canonical.push('\n');
        }
    }

    fn continuation(&mut self, number: usize, text: &str) {
        if let Some(key) = self.open_key() {
            key.lines.push(number);
            let _ = writeln!(self.canonical, "\t{GUARD}{text}");
        }
    }

    fn section(&mut self, line: usize, name: &str) -> Result<(), IniError> {
        self.in_key = false;
        if name == DEFAULT_SECTION {
            // Python lets the default section appear more than once.
            if let Some(at) = self.sections.iter().position(|section| section.name == name) {
                self.current = Some(at);
                let _ = writeln!(self.canonical, "[{at}]");
                return Ok(());
            }
        } else if !self.names.insert(name.to_owned()) {
            return Err(IniError { kind: IniErrorKind::DuplicateSection { section: name.to_owned() }, line });
        }
        self.current = Some(self.sections.len());
        let _ = writeln!(self.canonical, "[{}]", self.sections.len());
        self.sections.push(SectionPlace { name: name.to_owned(), line, keys: Vec::new() });
        Ok(())
    }

    fn key(&mut self, number: usize, line: &str, text: &str, section: usize) -> Result<(), IniError> {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            self.malformed.push((number, line.to_owned()));
            return Ok(());
        };
        let option = key.trim_end_matches(is_space).to_lowercase();
        if option.is_empty() {
            // Python notes the error and goes on with the empty name.
            self.malformed.push((number, line.to_owned()));
        }
        if !self.keys.insert((section, option.clone())) {
            let section = self.sections[section].name.clone();
            return Err(IniError { kind: IniErrorKind::DuplicateOption { section, option }, line: number });
        }
        let keys = &mut self.sections[section].keys;
        let _ = writeln!(self.canonical, "{}={GUARD}{}", keys.len(), strip(value));
        self.in_key = !option.is_empty();
        keys.push(KeyPlace { key: option, lines: vec![number], column: self.indent + 1 });
        Ok(())
    }
}

/// `[NAME]`, where the name reaches to the last bracket of the line and anything may follow.
fn section_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('[')?;
    let end = rest.rfind(']')?;
    (end > 0).then(|| &rest[..end])
}
