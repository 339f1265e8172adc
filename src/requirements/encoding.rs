//! Decodes the bytes of a requirement file: by its byte order mark, else by a `# coding:` line, else as
//! UTF-8. <https://pip.pypa.io/en/stable/reference/requirements-file-format/#encoding>

use std::str::Utf8Error;
use std::sync::LazyLock;

use regex::Regex;
use regex::bytes::Regex as BytesRegex;

pub(super) fn decode(bytes: Vec<u8>, file: &str) -> Result<String, String> {
    if let Some(text) = by_mark(&bytes) {
        return Ok(text);
    }
    if let Some(name) = declared(&bytes) {
        return match Encoding::named(&name) {
            Some(encoding) => encoding.decode(&bytes),
            None => Err(format!("requirements file {file} declares unknown encoding {name}")),
        };
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| one_each(error.as_bytes())))
}

fn by_mark(bytes: &[u8]) -> Option<String> {
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Some(String::from_utf8_lossy(rest).into_owned());
    }
    if let Some(rest) = bytes.strip_prefix(b"\0\0\xfe\xff") {
        return Some(from_32(rest, u32::from_be_bytes));
    }
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe\0\0") {
        return Some(from_32(rest, u32::from_le_bytes));
    }
    if let Some(rest) = bytes.strip_prefix(b"\xfe\xff") {
        return Some(from_16(rest, u16::from_be_bytes));
    }
    let rest = bytes.strip_prefix(b"\xff\xfe")?;
    Some(from_16(rest, u16::from_le_bytes))
}

/// The encoding declared in one of the first two lines.
fn declared(bytes: &[u8]) -> Option<String> {
    static DECLARATION: LazyLock<BytesRegex> =
        LazyLock::new(|| BytesRegex::new(r"(?-u)coding[:=]\s*([-\w.]+)").expect("the pattern is valid"));
    let comments = bytes.split(|byte| *byte == b'\n').take(2).filter(|line| line.starts_with(b"#"));
    let name = comments.into_iter().find_map(|line| DECLARATION.captures(line)?.get(1))?;
    Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Ascii,
    /// Latin-1, and all other supersets of ASCII: other characters occur only in comments.
    AsciiBased,
}

impl Encoding {
    /// `None`: Python has no such codec.
    fn named(name: &str) -> Option<Self> {
        static OTHERS: LazyLock<Regex> = LazyLock::new(|| {
            let pattern = r"(?x)^(
                latin(_?\d+)? | l\d+ | 8859 | (iso_?)?8859(_\d+)+ | iso8859(_?\d+)? | iso_ir_\d+ | iso_?2022_?\w+
                | (cp | windows_? | ibm)_?\d+ | \d{3,4} | koi8_[rtu] | kz_?1048 | mac_?\w+ | hp_roman8 | roman8 | r8
                | gb2312(_\w+)? | gbk | gb18030(_2000)? | (ms|cp)9\d\d | hz(_gb)? | chinese | big5(_?hkscs | _tw)?
                | euc_?(jp | jisx0213 | jis_?2004 | kr | cn) | u_?jis | (shift_?|s_?)jis(x0213 | _?2004)? | johab | uhc
                | korean | ks_?c_?5601(_1987)? | ks_?x_?1001 | pt(cp)?154 | tis_?620(_0)?
                | arabic | cyrillic | greek8? | hebrew | thai
            )$";
            Regex::new(pattern).expect("the pattern is valid")
        });
        let name = name.to_lowercase().replace(['-', '.', ' '], "_");
        match name.as_str() {
            "utf_8" | "utf8" | "u8" | "utf" | "utf_8_sig" | "cp65001" => Some(Self::Utf8),
            "ascii" | "us_ascii" | "646" | "us" | "iso646_us" | "ansi_x3_4_1968" => Some(Self::Ascii),
            other => OTHERS.is_match(other).then_some(Self::AsciiBased),
        }
    }

    fn decode(self, bytes: &[u8]) -> Result<String, String> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| not_utf8(error, bytes)),
            Self::Ascii => match bytes.iter().position(|byte| !byte.is_ascii()) {
                Some(at) => Err(format!(
                    "'ascii' codec can't decode byte 0x{:02x} in position {at}: ordinal not in range(128)",
                    bytes[at]
                )),
                None => Ok(one_each(bytes)),
            },
            Self::AsciiBased => Ok(one_each(bytes)),
        }
    }
}

/// The error in Python's words.
fn not_utf8(error: Utf8Error, bytes: &[u8]) -> String {
    let at = error.valid_up_to();
    let length = error.error_len().unwrap_or(bytes.len() - at);
    let reason = match (error.error_len(), bytes[at]) {
        (None, _) => "unexpected end of data",
        (_, 0x80..=0xc1 | 0xf5..) => "invalid start byte",
        _ => "invalid continuation byte",
    };
    match length {
        1 => format!("'utf-8' codec can't decode byte 0x{:02x} in position {at}: {reason}", bytes[at]),
        _ => format!("'utf-8' codec can't decode bytes in position {at}-{}: {reason}", at + length - 1),
    }
}

fn one_each(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn from_32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> String {
    let units = bytes.as_chunks().0.iter().map(|chunk| unit(*chunk));
    units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn from_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|chunk| unit(*chunk)).collect();
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, String> {
        decode(bytes.to_vec(), "r.txt")
    }

    #[test]
    fn files_are_read_in_the_encoding_of_their_mark() {
        for bytes in [
            b"art".to_vec(),
            b"\xef\xbb\xbfart".to_vec(),
            b"\xff\xfea\0r\0t\0".to_vec(),
            b"\xfe\xff\0a\0r\0t".to_vec(),
            b"\xff\xfe\0\0a\0\0\0r\0\0\0t\0\0\0".to_vec(),
            b"\0\0\xfe\xff\0\0\0a\0\0\0r\0\0\0t".to_vec(),
        ] {
            assert_eq!(decoded(&bytes), Ok("art".to_owned()));
        }
        assert_eq!(decoded(b"art # \xe9"), Ok("art # é".to_owned()));
    }

    #[test]
    fn files_are_read_in_the_encoding_a_comment_declares() {
        let latin = b"# -*- coding: latin-1 -*-\nart # \xe9";
        assert_eq!(decoded(latin), Ok("# -*- coding: latin-1 -*-\nart # é".to_owned()));
        for (text, error) in [
            (&b"# coding: nope\nart"[..], "requirements file r.txt declares unknown encoding nope"),
            (b"\n# coding=utf-8-unix\nart", "requirements file r.txt declares unknown encoding utf-8-unix"),
            (
                b"# coding: ascii\n\xe9",
                "'ascii' codec can't decode byte 0xe9 in position 16: ordinal not in range(128)",
            ),
            (
                b"# coding: utf8\n\xe9 a",
                "'utf-8' codec can't decode byte 0xe9 in position 15: invalid continuation byte",
            ),
            (b"# coding: utf8\n\xff", "'utf-8' codec can't decode byte 0xff in position 15: invalid start byte"),
            (b"# coding: utf8\n\xe9\x80", "'utf-8' codec can't decode bytes in position 15-16: unexpected end of data"),
        ] {
            assert_eq!(decoded(text), Err(error.to_owned()));
        }
        // Only in a comment, and in the first two lines.
        for text in [&b"art # coding: nope"[..], b"a\n\n# coding: nope"] {
            assert!(decoded(text).is_ok());
        }
    }
}
