//! One walk over the lines by the rules of Python's `RawConfigParser._read`, for errors and positions.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::DEFAULT_SECTION;
use crate::python_text::python_repr;
use crate::python_text::{strip, strip_end, strip_start};
use crate::source::{IniEntry, IniSection, LineNumbers};

/// Stands before the values of a section in the canonical text, so that nothing is trimmed there. A private-use character.
pub(super) const GUARD: char = '\u{f8ff}';
/// Stands between the lines of a value in the canonical text; Python knows no such character in the lines of a file.
pub(super) const LINE_END: char = '\r';

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IniErrorKind {
    MissingSectionHeader {
        text: String,
    },
    DuplicateSection {
        section: String,
        /// The line on which it stands already.
        first: usize,
    },
    DuplicateOption {
        section: String,
        option: String,
        /// The line on which it stands already.
        first: usize,
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
    /// How to correct it; `lines_before` is the number of lines of the file before the text.
    pub fn remedy(&self, lines_before: usize) -> String {
        match &self.kind {
            IniErrorKind::MissingSectionHeader { .. } => {
                "write the section that this belongs to above it, such as `[testenv]`".to_owned()
            }
            IniErrorKind::DuplicateSection { section, first } => {
                format!("`[{section}]` begins on line {} already: write everything there", first + lines_before)
            }
            IniErrorKind::DuplicateOption { option, first, .. } => {
                format!("`{option}` is set on line {} already: keep one of the two", first + lines_before)
            }
            IniErrorKind::Parsing { .. } => {
                "a line is `KEY = VALUE`, or is indented to continue the value above it".to_owned()
            }
        }
    }

    /// The message of the exception that Python 3.11 raises for a file of that name.
    pub fn in_python_words(&self, file: &str) -> String {
        let (name, line) = (python_repr(file), self.line);
        match &self.kind {
            IniErrorKind::MissingSectionHeader { text } => {
                format!("File contains no section headers.\nfile: {name}, line: {line}\n{}", python_repr(text))
            }
            IniErrorKind::DuplicateSection { section, .. } => {
                format!("While reading from {name} [line {line:>2}]: section {} already exists", python_repr(section))
            }
            IniErrorKind::DuplicateOption { section, option, .. } => format!(
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

/// Where a value begins: the number of its line in the canonical text, and how far behind the guard.
pub(super) type ValueStart = (usize, usize);

pub(super) struct IniScan {
    /// Their values are still empty.
    pub sections: Vec<IniSection>,
    /// Where the value of each entry begins, section after section.
    pub starts: Vec<ValueStart>,
    /// The same for the default section, which may be continued behind others.
    pub default_starts: Vec<ValueStart>,
    pub canonical: String,
}

impl IniScan {
    pub(super) fn of(text: &str) -> Result<Self, IniError> {
        let text = universal_newlines(text);
        let mut walk = IniWalk { canonical: String::with_capacity(text.len() + text.len() / 8), ..IniWalk::default() };
        let (mut start, mut number) = (0, 1);
        for end in memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1).chain([text.len()]) {
            if start < end {
                walk.line(number, &text[start..end])?;
            }
            (start, number) = (end, number + 1);
        }
        walk.canonical.push('\n');
        if let Some((line, _)) = walk.malformed.first() {
            let line = *line;
            return Err(IniError { kind: IniErrorKind::Parsing { lines: walk.malformed }, line });
        }
        let IniWalk { sections, starts, default_starts, canonical, .. } = walk;
        Ok(Self { sections, starts, default_starts, canonical })
    }
}

/// Python opens text files with universal newlines.
fn universal_newlines(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_some() {
        text.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        text.into()
    }
}

#[derive(Default)]
struct IniWalk<'t> {
    sections: Vec<IniSection>,
    starts: Vec<ValueStart>,
    default_starts: Vec<ValueStart>,
    /// Index of the section that keys go to.
    current: Option<usize>,
    /// Whether a key of the current section is open for continuation lines. An empty name never is.
    in_key: bool,
    /// Indentation, in characters, of the line that opened the key.
    indent: usize,
    names: FxHashSet<&'t str>,
    /// Index of the default section.
    default: Option<usize>,
    /// Every key once: sections repeat them.
    keys: FxHashSet<Arc<str>>,
    malformed: Vec<(usize, String)>,
    /// How many lines the canonical text has.
    count: usize,
    /// Where the text of its last line begins.
    start: usize,
    canonical: String,
}

impl<'t> IniWalk<'t> {
    fn line(&mut self, number: usize, line: &'t str) -> Result<(), IniError> {
        let body = strip_start(line);
        let text = strip_end(body);
        if text.starts_with(['#', ';']) {
            return Ok(());
        }
        if text.is_empty() {
            self.open_line(number);
            return Ok(());
        }
        let blanks = &line[..line.len() - body.len()];
        let indent = if blanks.is_ascii() { blanks.len() } else { blanks.chars().count() };
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

    /// Adds a line to the value that is open, if any.
    fn open_line(&mut self, number: usize) -> bool {
        let section = self.current.filter(|_| self.in_key).and_then(|at| self.sections.get_mut(at));
        let Some(entry) = section.and_then(|section| section.entries.last_mut()) else { return false };
        entry.lines.push(number);
        self.canonical.push(LINE_END);
        true
    }

    fn continuation(&mut self, number: usize, text: &str) {
        if self.open_line(number) {
            self.canonical.push_str(text);
        }
    }

    fn section(&mut self, line: usize, name: &'t str) -> Result<(), IniError> {
        self.in_key = false;
        let _ = write!(self.canonical, "\n{}={GUARD}", self.count);
        self.count += 1;
        self.start = self.canonical.len();
        if name == DEFAULT_SECTION {
            // Python lets the default section appear more than once.
            if self.default.is_some() {
                self.current = self.default;
                return Ok(());
            }
            self.default = Some(self.sections.len());
        } else if !self.names.insert(name) {
            let first = self.sections.iter().find(|section| section.name == name).map_or(line, |section| section.line);
            return Err(IniError { kind: IniErrorKind::DuplicateSection { section: name.to_owned(), first }, line });
        }
        self.current = Some(self.sections.len());
        let mut section = IniSection::new(name.to_owned(), line);
        // Generated sections are as long as the one before.
        section.entries.reserve_exact(self.sections.last().map_or(0, |before| before.entries.len()));
        self.sections.push(section);
        Ok(())
    }

    fn key(&mut self, number: usize, line: &str, text: &str, section: usize) -> Result<(), IniError> {
        let Some((key, value)) = text.split_once(['=', ':']) else {
            self.malformed.push((number, line.to_owned()));
            return Ok(());
        };
        let key = strip_end(key);
        // Nearly all keys are lower ASCII letters, which needs no look at Unicode's tables.
        let is_lower = key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let key = if is_lower { Cow::Borrowed(key) } else { Cow::Owned(key.to_lowercase()) };
        if key.is_empty() {
            // Python notes the error and goes on with the empty name.
            self.malformed.push((number, line.to_owned()));
        }
        let starts = if self.default == Some(section) { &mut self.default_starts } else { &mut self.starts };
        let section = &mut self.sections[section];
        if let Some(entry) = section.get(&key) {
            let first = entry.lines.first().unwrap_or(number);
            let (section, option) = (section.name.clone(), key.into_owned());
            return Err(IniError { kind: IniErrorKind::DuplicateOption { section, option, first }, line: number });
        }
        starts.push((self.count - 1, self.canonical.len() - self.start));
        self.canonical.push_str(strip(value));
        self.in_key = !key.is_empty();
        let lines = LineNumbers::starting_at(number);
        let known = self.keys.get(key.as_ref()).map(Arc::clone);
        let key = known.unwrap_or_else(|| {
            let key: Arc<str> = key.into();
            self.keys.insert(Arc::clone(&key));
            key
        });
        let column = u32::try_from(self.indent + 1).unwrap_or(u32::MAX);
        section.push(IniEntry { key, value: String::new(), lines, column });
        Ok(())
    }
}

/// `[NAME]`, where the name reaches to the last bracket of the line and anything may follow.
fn section_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('[')?;
    let end = rest.rfind(']')?;
    (end > 0).then(|| &rest[..end])
}
