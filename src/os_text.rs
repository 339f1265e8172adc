//! Converts the operating system's text, which need not be UTF-8, to characters and back without loss. Python
//! represents a byte that it cannot decode by half of a surrogate pair (`surrogateescape`), which a Rust string cannot
//! contain; here it is one of the last private-use characters. If the text itself contains one of these, it is
//! represented by its four bytes, so that every text is restored exactly.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The byte zero. Only bytes beyond ASCII are represented this way.
const ZERO: u32 = 0x10_ff00;

/// The text as characters.
pub fn decode(text: &OsStr) -> String {
    match text.to_str() {
        Some(text) => escape(text).into_owned(),
        None => decode_bytes(text.as_bytes()),
    }
}

/// Escapes a text that never was an operating system's text, as [`decode`] would.
pub fn escape(text: &str) -> Cow<'_, str> {
    if has_byte(text) { Cow::Owned(decode_bytes(text.as_bytes())) } else { Cow::Borrowed(text) }
}

fn decode_bytes(bytes: &[u8]) -> String {
    let mut result = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_byte(character) {
                result.extend(character.encode_utf8(&mut [0; 4]).bytes().map(carried));
            } else {
                result.push(character);
            }
        }
        result.extend(chunk.invalid().iter().copied().map(carried));
    }
    result
}

/// The text that [`decode`] was given.
pub fn encode(text: &str) -> OsString {
    if !has_byte(text) {
        return OsString::from(text);
    }
    let mut result = Vec::with_capacity(text.len());
    for character in text.chars() {
        match byte(character) {
            Some(byte) => result.push(byte),
            None => result.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    OsString::from_vec(result)
}

/// The text for users: bytes that are not UTF-8 are shown as in Python (`\udcff`).
pub fn shown(text: &str) -> Cow<'_, str> {
    if !has_byte(text) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len());
    for chunk in encode(text).as_bytes().utf8_chunks() {
        result.push_str(chunk.valid());
        result.extend(chunk.invalid().iter().map(|byte| format!("\\u{:04x}", surrogate(*byte))));
    }
    Cow::Owned(result)
}

/// Python's surrogate for such a byte.
pub fn surrogate(byte: u8) -> u16 {
    0xdc00 + u16::from(byte)
}

/// The byte that a character represents.
pub fn byte(character: char) -> Option<u8> {
    let byte = u32::from(character).checked_sub(ZERO).and_then(|byte| u8::try_from(byte).ok());
    byte.filter(|byte| !byte.is_ascii())
}

fn is_byte(character: char) -> bool {
    byte(character).is_some()
}

/// Whether any character represents a byte. Whole files are searched, so their first byte in UTF-8 is looked for first.
fn has_byte(text: &str) -> bool {
    memchr::memchr(0xf4, text.as_bytes()).is_some() && text.contains(is_byte)
}

fn carried(byte: u8) -> char {
    char::from_u32(ZERO + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_decoded_comes_back_as_it_was() {
        let mut texts = vec![b"".to_vec(), b"plain".to_vec(), "é四\u{10fffd}\u{10ff80}\u{10ff7f}".into()];
        texts.extend((0..=u8::MAX).map(|byte| vec![b'a', byte, b'b']));
        texts.push(b"\xf4\x8f\xbe".to_vec());
        texts.push([b"\xff\xc3".as_slice(), "\u{10ffff}é".as_bytes(), b"\xed\xa0\x80"].concat());
        for bytes in texts {
            let text = decode(OsStr::from_bytes(&bytes));
            assert_eq!(encode(&text).as_bytes(), bytes, "{text:?}");
        }
    }

    #[test]
    fn bytes_are_shown_as_python_shows_them_and_characters_as_they_are() {
        assert_eq!(shown(&decode(OsStr::from_bytes(b"a\xffb\xc3"))), "a\\udcffb\\udcc3");
        assert_eq!(shown(&decode(OsStr::new("é\u{10ffff}"))), "é\u{10ffff}");
        assert!(matches!(escape("é"), Cow::Borrowed("é")));
        assert_eq!(encode(&escape("é\u{10ffff}")), "é\u{10ffff}");
    }
}
