//! The one writer of INI text. What goes through it is read back as the same sections, keys and values: nothing that
//! is written can begin a section, a key or a condition of its own.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// Why a text cannot be written, as a phrase for people.
pub type UnwritableReason = &'static str;

/// Whether a line can be (part of) a value. Blanks at its ends are not part of a value, so they are a reason too.
pub fn check_line(line: &str) -> Result<(), UnwritableReason> {
    static CONDITION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\w{}.!,\\-]+:(\s|$)").expect("the pattern is valid"));
    if line.chars().any(|c| (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err("it has a line break or another control character");
    }
    if line.trim() != line {
        return Err("it starts or ends with a space");
    }
    if line.starts_with([';', '#']) {
        return Err("it would be a comment");
    }
    if line.ends_with('\\') {
        return Err("it ends with a backslash, which would join it to the next line");
    }
    if CONDITION.is_match(line) {
        return Err("it begins like a condition (`factor: `)");
    }
    Ok(())
}

/// Whether a section may have that name.
pub fn check_section(name: &str) -> Result<(), UnwritableReason> {
    let fits =
        !name.is_empty() && name.trim() == name && !name.contains(['[', ']']) && !name.contains(char::is_control);
    if fits { Ok(()) } else { Err("a section cannot have that name") }
}

/// One section. Lines that cannot be written are left out: whoever wants to know asks [`check_line`] before.
pub fn section(name: &str, comments: &[String], keys: &[(&'static str, Vec<String>)]) -> String {
    let mut text = String::new();
    if check_section(name).is_err() {
        return text;
    }
    let _ = writeln!(text, "[{name}]");
    for comment in comments {
        let comment: String = comment.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(text, "# {comment}");
    }
    for (key, lines) in keys {
        let lines: Vec<&String> = lines.iter().filter(|line| check_line(line).is_ok()).collect();
        match lines.as_slice() {
            [one] => {
                let _ = writeln!(text, "{}", format!("{key} = {one}").trim_end());
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read;
    use super::*;

    #[test]
    fn a_section_is_written_as_people_write_it() {
        let keys = [("serve", vec!["run".to_owned()]), ("depends", vec!["x".to_owned(), "y".to_owned()])];
        assert_eq!(
            section("testenv:a", &["look\nhere".to_owned()], &keys),
            "[testenv:a]\n# look here\nserve = run\ndepends =\n    x\n    y\n"
        );
    }

    #[test]
    fn what_would_become_something_else_is_refused() {
        for line in ["a\n[x]", "a\rb = c", "a\u{2028}b", "a\u{85}b", " a", "; a", "# a", "a\\", "py311: a", "a,!b:\tc"]
        {
            assert!(check_line(line).is_err(), "{line:?}");
        }
        for line in ["", "[x]", "a = b", "http://x: y", "a ; b", "A = b: c", "\\# a"] {
            assert!(check_line(line).is_ok(), "{line:?}");
        }
        for name in ["", "a]b", "a\n[b", " a"] {
            assert!(check_section(name).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            name in "\\PC{0,6}|[a\\]\\[\n: ]{0,6}",
            lines in proptest::collection::vec("\\PC{0,8}|[a#;:= \\\\\n\r\t\\[\\]]{0,8}", 0..4),
        ) {
            let kept: Vec<&String> = lines.iter().filter(|line| check_line(line).is_ok() && !line.is_empty()).collect();
            let keys = [("one", lines.clone()), ("two", vec!["end".to_owned()])];
            let text = section(&name, &lines, &keys) + &section("last", &[], &keys);
            prop_assume!(name != "DEFAULT" && name != "last");
            let read = read(&text).unwrap();
            let names: Vec<&str> = read.sections.iter().map(|section| section.name.as_str()).collect();
            let expected: Vec<&str> = if check_section(&name).is_ok() { vec![&name, "last"] } else { vec!["last"] };
            prop_assert_eq!(&names, &expected);
            for section in &read.sections {
                let value = &section.get("one").unwrap().value;
                let lines: Vec<&str> = value.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
                prop_assert_eq!(&lines, &kept);
                prop_assert_eq!(&section.get("two").unwrap().value, "end");
                prop_assert_eq!(section.entries.len(), 2);
            }
        }
    }
}
