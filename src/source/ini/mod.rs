//! Reads INI text as strictly as Python's `ConfigParser(interpolation=None)`.
//!
//! The `configparser` crate puts the values together. It is laxer than Python and forgets positions, so [`scan`] walks
//! the lines first by Python's rules (<https://docs.python.org/3/library/configparser.html>): it reports what Python
//! reports, notes where everything stands, and hands the crate a canonical text in which sections and keys are numbered,
//! so that no name can be misread.

mod scan;

pub use scan::{IniError, IniErrorKind};

use configparser::ini::{Ini, IniDefault};

use super::document::{Entry, IniDocument, IniSection};
use crate::python_text::is_space;
use scan::{GUARD, Scan};

/// Python's name for the section whose values show in all others.
pub const DEFAULT_SECTION: &str = "DEFAULT";

/// Reads a whole file's text; a byte order mark has to be removed before.
///
/// # Errors
/// What Python's parser reports, with the line.
pub fn read(text: &str) -> Result<IniDocument, IniError> {
    let scan = Scan::of(text)?;
    let mut values = parser().read(scan.canonical).unwrap_or_default();
    let mut sections = Vec::with_capacity(scan.sections.len());
    let mut defaults = IniSection::new(DEFAULT_SECTION, 0);
    for (number, found) in scan.sections.into_iter().enumerate() {
        let mut parsed = values.swap_remove(&number.to_string()).unwrap_or_default();
        let mut section = IniSection::new(&found.name, found.line);
        for (at, place) in found.keys.into_iter().enumerate() {
            let value = parsed.get_mut(&at.to_string()).and_then(Option::take).unwrap_or_default();
            section.push(Entry { key: place.key, value: finish(value), lines: place.lines, column: place.column });
        }
        if found.name == DEFAULT_SECTION { defaults = section } else { sections.push(section) }
    }
    Ok(IniDocument::new(sections, defaults))
}

/// The crate with the settings under which it agrees with Python on canonical text.
fn parser() -> Ini {
    let mut options = IniDefault::default();
    options.case_sensitive = true;
    options.multiline = true;
    options.default_section = DEFAULT_SECTION.to_owned();
    options.comment_symbols = Vec::new();
    options.delimiters = vec!['='];
    options.enable_inline_comments = false;
    Ini::new_from_defaults(options)
}

/// Takes the guards out and trims the end as Python does.
fn finish(mut value: String) -> String {
    if value.contains('\r') {
        value = value.replace("\r\n", "\n");
    }
    // One guard stands at the start of a line; any other is the file's own character.
    let unguarded: Vec<&str> = value.split('\n').map(|line| line.strip_prefix(GUARD).unwrap_or(line)).collect();
    value = unguarded.join("\n");
    value.truncate(value.trim_end_matches(is_space).len());
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
        assert_eq!(document.get("a", "x").expect("there").lines, [2, 3, 5]);
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
