//! Reads INI text as strictly as Python's `ConfigParser(interpolation=None)`.
//!
//! The `configparser` crate assembles the values. It is laxer than Python and forgets positions, so [`scan`] walks
//! the lines first by Python's rules (<https://docs.python.org/3/library/configparser.html>): it reports the
//! errors of Python, records all positions, and passes the crate a canonical text in which the sections are numbered, so
//! that no name can be misread, and each section's values are one line, so that large files take little time.

mod scan;
pub mod write;

pub use scan::{IniError, IniErrorKind};

use configparser::ini::{Ini, IniDefault};

use super::document::{IniDocument, IniSection};
use crate::python_text::strip_end;
use scan::{GUARD, IniScan, LINE_END};

/// Python's name for the section whose values are inherited by all others.
pub const DEFAULT_SECTION: &str = "DEFAULT";
/// The one section of the canonical text.
const VALUES: &str = "values";

/// Reads a whole file's text; a byte order mark has to be removed before.
pub fn read(text: &str) -> Result<IniDocument, IniError> {
    let scan = IniScan::of(text)?;
    let values: Vec<Option<String>> = match parser().read(scan.canonical) {
        Ok(mut parsed) => parsed.swap_remove(VALUES).unwrap_or_default().into_values().collect(),
        Err(_) => Vec::new(),
    };
    let mut sections = Vec::with_capacity(scan.sections.len());
    let mut defaults = IniSection::new(DEFAULT_SECTION.to_owned(), 0);
    let mut starts = scan.starts.as_slice();
    for mut section in scan.sections {
        let own = if section.name == DEFAULT_SECTION {
            scan.default_starts.as_slice()
        } else {
            starts.split_off(..section.entries.len()).unwrap_or_default()
        };
        for (at, entry) in section.entries.iter_mut().enumerate() {
            let (number, start) = own[at];
            let text = values.get(number).and_then(Option::as_deref).unwrap_or_default();
            let text = text.strip_prefix(GUARD).unwrap_or(text);
            // A value ends where the next of the same line begins; the last one may have lost blanks at its end.
            let end = own.get(at + 1).filter(|next| next.0 == number).map_or(text.len(), |next| next.1);
            entry.value = finish(text.get(start..end.min(text.len())).unwrap_or_default());
        }
        if section.name == DEFAULT_SECTION { defaults = section } else { sections.push(section) }
    }
    Ok(IniDocument::new(sections, defaults))
}

/// The crate with the settings under which it agrees with Python on canonical text.
fn parser() -> Ini {
    let mut options = IniDefault::default();
    options.case_sensitive = true;
    // A section is one line of the canonical text.
    options.multiline = false;
    options.default_section = VALUES.to_owned();
    options.comment_symbols = Vec::new();
    options.delimiters = vec!['='];
    options.enable_inline_comments = false;
    Ini::new_from_defaults(options)
}

/// Restores the lines and trims the end as Python does.
fn finish(value: &str) -> String {
    let mut value = strip_end(value).to_owned();
    if memchr::memchr(LINE_END as u8, value.as_bytes()).is_some() {
        // Both are one byte, so the text is changed where it stands.
        let mut bytes = value.into_bytes();
        bytes.iter_mut().filter(|byte| **byte == LINE_END as u8).for_each(|byte| *byte = b'\n');
        value = String::from_utf8(bytes).unwrap_or_default();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        read(text).expect("valid").get(section, key).map(|entry| entry.value.clone())
    }

    #[test]
    fn continuation_lines_join_and_comment_lines_vanish() {
        let text = "[a]\nx = 1\n  2\n  # gone\n\n  [3]\ny: z\n";
        assert_eq!(value(text, "a", "x").as_deref(), Some("1\n2\n\n[3]"));
        assert_eq!(value(text, "a", "y").as_deref(), Some("z"));
    }

    #[test]
    fn every_line_of_a_value_knows_where_it_stands() {
        let document = read("[a]\nx =\n  1\n  # gone\n  2\n").expect("valid");
        assert_eq!(document.get("a", "x").expect("there").lines.iter().collect::<Vec<_>>(), [2, 3, 5]);
    }

    #[test]
    fn keys_are_lowered_and_default_values_show_everywhere() {
        let text = "[DEFAULT]\nFoo=1\n[a]\nBar=2\n";
        assert_eq!(value(text, "a", "foo").as_deref(), Some("1"));
        assert_eq!(value(text, "a", "bar").as_deref(), Some("2"));
        assert_eq!(value(text, "missing", "foo").as_deref(), Some("1"));
    }

    #[test]
    fn what_python_refuses_is_refused_with_its_words() {
        let message = |text: &str| read(text).expect_err("invalid").in_python_words("tox.ini");
        assert_eq!(message("a = 1\n"), "File contains no section headers.\nfile: 'tox.ini', line: 1\n'a = 1\\n'");
        assert_eq!(message("[a]\n[a]\n"), "While reading from 'tox.ini' [line  2]: section 'a' already exists");
        assert_eq!(
            message("[a]\nb=1\nB=2\n"),
            "While reading from 'tox.ini' [line  3]: option 'b' in section 'a' already exists"
        );
        assert_eq!(message("[a]\nb\n"), "Source contains parsing errors: 'tox.ini'\n\t[line  2]: 'b\\n'");
    }

    #[test]
    fn odd_names_are_not_misread() {
        assert_eq!(value("[ a ]\n[b = c\n", " a ", "[b").as_deref(), Some("c"));
        assert_eq!(value("[x] y ]\nk=[\n  ]\n", "x] y ", "k").as_deref(), Some("[\n]"));
        assert_eq!(value("[x]\nk\u{a0}=\u{a0}1\u{1f}\n", "x", "k").as_deref(), Some("1"));
    }
}
