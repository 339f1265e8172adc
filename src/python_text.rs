//! Python's rules for characters, and its representation of values. They define the meaning of a configuration, and
//! Python's sets of spaces, letters and digits differ from those of Rust's standard library.

pub mod glob;
pub mod glob_paths;
pub mod path;
pub mod quote;
pub mod shlex;

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::LazyLock;

use regex::Regex;
use toml::Value;

use crate::os_text;

/// `str.isspace`, `str.strip` and `\s`: a little more than Unicode's White_Space.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `str.strip`.
pub fn strip(text: &str) -> &str {
    strip_end(strip_start(text))
}

/// `str.lstrip`.
pub fn strip_start(text: &str) -> &str {
    // Nearly all whitespace is ASCII, which needs no decoding.
    let bytes = text.as_bytes();
    let mut start = 0;
    while start < bytes.len() && is_ascii_space(bytes[start]) {
        start += 1;
    }
    let text = &text[start..];
    if text.as_bytes().first().is_some_and(|byte| !byte.is_ascii()) { text.trim_start_matches(is_space) } else { text }
}

/// `str.rstrip`.
pub fn strip_end(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut end = bytes.len();
    while end > 0 && is_ascii_space(bytes[end - 1]) {
        end -= 1;
    }
    if text.as_bytes()[..end].last().is_some_and(|byte| !byte.is_ascii()) {
        return text[..end].trim_end_matches(is_space);
    }
    &text[..end]
}

fn is_ascii_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | 0x1c..=0x1f | b' ')
}

/// `\w`: letters, numbers and the underscore, but no combining marks.
pub fn is_word(character: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}]").ok());
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '_';
    }
    matches_one(&WORD, character)
}

/// `\d` and what `int` makes of it.
pub fn digit(character: char) -> Option<u64> {
    if character.is_ascii() {
        return character.to_digit(10).map(u64::from);
    }
    // Unicode assigns decimal digits in runs of ten that begin with zero.
    is_decimal(character).then(|| {
        let before = (0..u32::from(character)).rev().map_while(char::from_u32);
        before.take_while(|one| is_decimal(*one)).count() as u64 % 10
    })
}

fn is_decimal(character: char) -> bool {
    static DECIMAL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Nd}").ok());
    matches_one(&DECIMAL, character)
}

/// `str.isprintable`: what `repr` writes as it is.
pub fn is_printable(character: char) -> bool {
    static HIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").ok());
    if character.is_ascii() {
        return (' '..='~').contains(&character);
    }
    !matches_one(&HIDDEN, character)
}

/// A text from outside on one line, without terminal control characters: like `repr`, without the quotes. Bytes that are
/// not UTF-8 are shown as `\xff`.
pub fn escaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for chunk in os_text::encode(text).as_bytes().utf8_chunks() {
        chunk.valid().chars().for_each(|character| push_escaped(&mut result, character));
        result.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    result
}

/// A text of several lines without characters that control a terminal or disguise the text.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(misleads) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        match os_text::byte(character) {
            Some(byte) => result.push_str(&format!("\\u{:04x}", os_text::surrogate(byte))),
            None if misleads(character) => push_escaped(&mut result, character),
            None => result.push(character),
        }
    }
    Cow::Owned(result)
}

/// Whether a character controls a terminal, or changes the direction of text.
/// <https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters>
pub fn misleads(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        '\u{2028}' | '\u{2029}' => true,
        other => other.is_control() || os_text::byte(other).is_some(),
    }
}

/// A character as `repr` writes it, apart from quotes and the backslash.
pub fn push_escaped(result: &mut String, character: char) {
    match character {
        '\n' => result.push_str("\\n"),
        '\r' => result.push_str("\\r"),
        '\t' => result.push_str("\\t"),
        c if is_printable(c) => result.push(c),
        c => result.push_str(&match u32::from(c) {
            code @ ..0x100 => format!("\\x{code:02x}"),
            code @ ..0x10000 => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        }),
    }
}

fn matches_one(pattern: &Option<Regex>, character: char) -> bool {
    pattern.as_ref().is_some_and(|pattern| pattern.is_match(character.encode_utf8(&mut [0; 4])))
}

/// A value as Python's `repr` shows it.
pub fn repr(value: &Value) -> String {
    match value {
        Value::String(text) => python_repr(text),
        Value::Boolean(true) => "True".to_owned(),
        Value::Boolean(false) => "False".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Table(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", python_repr(key), repr(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Longer words are cut in messages: names of thousands of characters would hide what is said of them.
const LONGEST_WORD: usize = 300;

/// The text with the middle of overlong words left out.
pub fn shortened(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_WORD || text.split_whitespace().all(|word| word.chars().count() <= LONGEST_WORD) {
        return Cow::Borrowed(text);
    }
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let characters: Vec<char> = word.chars().collect();
        if characters.len() <= LONGEST_WORD {
            return word.to_owned();
        }
        let (start, end) = (&characters[..100], &characters[characters.len() - 40..]);
        start.iter().chain(&['…']).chain(end).collect()
    });
    Cow::Owned(words.collect())
}

/// A text as Python's `repr` writes it: single quotes unless only single quotes are inside.
pub fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut result = String::with_capacity(text.len() + 2);
    result.push(quote);
    // A character of the range that carries bytes is put together again; bytes are shown as Python carries them.
    let text = os_text::encode(text);
    for chunk in text.as_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => result.push_str("\\\\"),
                c if c == quote => {
                    result.push('\\');
                    result.push(c);
                }
                c => push_escaped(&mut result, c),
            }
        }
        result.extend(chunk.invalid().iter().map(|byte| format!("\\u{:04x}", os_text::surrogate(*byte))));
    }
    result.push(quote);
    result
}

/// A value as Python's `repr` shows what it read from JSON.
pub fn value_repr(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "None".to_owned(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::String(text) => python_repr(text),
        serde_json::Value::Array(items) => format!("[{}]", items.iter().map(value_repr).collect::<Vec<_>>().join(", ")),
        serde_json::Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", python_repr(key), value_repr(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// JSON in ASCII: characters beyond it become `\uXXXX`, in two halves where one does not suffice.
pub fn ascii_json(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            result.push(character);
        } else {
            result.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    result
}

/// Python's message for bytes that are not UTF-8.
pub fn decode_error(bytes: &[u8], error: &std::str::Utf8Error) -> String {
    let at = error.valid_up_to();
    let first = bytes.get(at).copied().unwrap_or_default();
    let Some(length) = error.error_len() else {
        let last = bytes.len().saturating_sub(1);
        if last > at {
            return format!("'utf-8' codec can't decode bytes in position {at}-{last}: unexpected end of data");
        }
        return format!("'utf-8' codec can't decode byte 0x{first:02x} in position {at}: unexpected end of data");
    };
    let starts = matches!(first, 0xc2..=0xf4);
    let reason = if starts { "invalid continuation byte" } else { "invalid start byte" };
    if length > 1 {
        let last = at + length - 1;
        return format!("'utf-8' codec can't decode bytes in position {at}-{last}: {reason}");
    }
    format!("'utf-8' codec can't decode byte 0x{first:02x} in position {at}: {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_utf_8_are_shown_as_bytes() {
        let text = os_text::decode(std::os::unix::ffi::OsStrExt::from_bytes(b"a\xff\xc3\n\x1b"));
        assert_eq!(escaped(&text), r"a\xff\xc3\n\x1b");
        assert_eq!(escaped(&os_text::decode("\u{10ffff}é".as_ref())), r"\U0010ffffé");
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_left() {
        let text = "a\tb\nc é日本\u{a0}\u{200d}";
        assert_eq!(plain(text), text);
        assert_eq!(
            plain("\x1b[2Jx\r\x07\u{9b}31m\u{202e}y\u{2066}\u{2028}"),
            "\\x1b[2Jx\\r\\x07\\x9b31m\\u202ey\\u2066\\u2028"
        );
        for character in ('\0'..=char::MAX).filter(|character| misleads(*character)) {
            assert!(!escaped(&character.to_string()).contains(misleads), "{character:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_told_as_python_tells_them() {
        let told = |bytes: &[u8]| std::str::from_utf8(bytes).map_err(|error| decode_error(bytes, &error)).unwrap_err();
        assert_eq!(told(b"\xff\xfeA"), "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte");
        assert_eq!(told(b"a\xe9b"), "'utf-8' codec can't decode byte 0xe9 in position 1: invalid continuation byte");
        let expected = "'utf-8' codec can't decode bytes in position 1-2: invalid continuation byte";
        assert_eq!(told(b"a\xe2\x82x"), expected);
        assert_eq!(told(b"a\xe2\x82"), "'utf-8' codec can't decode bytes in position 1-2: unexpected end of data");
        assert_eq!(told(b"a\xe2"), "'utf-8' codec can't decode byte 0xe2 in position 1: unexpected end of data");
    }

    #[test]
    fn separators_of_files_are_blanks() {
        assert_eq!(strip("\u{1f}\u{85} a\u{a0}\u{1c}"), "a");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a");
    }

    #[test]
    fn marks_are_no_letters_but_numbers_of_all_kinds_are() {
        assert!("aé四²½Ⅷ٣_".chars().all(is_word));
        assert!(!"\u{301}\u{903}-😀".chars().any(is_word));
    }

    #[test]
    fn digits_of_every_script_count() {
        assert_eq!(
            ['0', '9', '٣', '９', '𝟘', '𝟿', '²', 'a'].map(digit),
            [0, 9, 3, 9, 0, 9].map(Some).into_iter().chain([None, None]).collect::<Vec<_>>()[..]
        );
    }

    #[test]
    fn control_characters_and_odd_blanks_are_not_printable() {
        assert!("aé四 😀~".chars().all(is_printable));
        assert!(!"\n\u{7f}\u{85}\u{a0}\u{ad}\u{200b}\u{2028}\u{3000}\u{e000}\u{378}".chars().any(is_printable));
    }

    #[test]
    fn python_repr_prefers_single_quotes_and_escapes_what_python_escapes() {
        assert_eq!(python_repr("a"), "'a'");
        assert_eq!(python_repr("it's"), "\"it's\"");
        assert_eq!(python_repr("it's \"x\"\n"), "'it\\'s \"x\"\\n'");
        assert_eq!(python_repr("é\u{1f}\u{a0}\u{2028}\u{e0001}"), r"'é\x1f\xa0\u2028\U000e0001'");
    }
}
