//! The forms in which a value may appear in output.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// A line of a value, or a part of its base64 form, that is shorter is left alone: it would hide too much.
pub const SHORTEST: usize = 4;

/// The value itself, its lines, and what base64, URL encoding, JSON and shells make of it.
pub fn forms(value: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::from([value.to_vec()]);
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    found.extend(lines.filter(|line| line.len() >= SHORTEST).map(<[u8]>::to_vec));
    let whole: Vec<Vec<u8>> = found.iter().cloned().chain([[value, b"\n"].concat()]).collect();
    for part in &whole {
        base64_forms(part, &mut found);
    }
    for part in &whole[..whole.len() - 1] {
        url_forms(part, &mut found);
        if let Ok(text) = std::str::from_utf8(part) {
            found.extend(quoted_forms(text));
        }
    }
    found
}

/// The value alone, and within a longer text, where it may begin at any of three positions; of those only the characters
/// that depend on nothing else.
fn base64_forms(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    for alphabet in [&alphabet::STANDARD, &alphabet::URL_SAFE] {
        let engine = GeneralPurpose::new(alphabet, NO_PAD);
        found.insert(engine.encode(value).into_bytes());
        for before in 0..3 {
            let text = engine.encode([&vec![0; before], value].concat()).into_bytes();
            let (first, last) = ((before * 8).div_ceil(6), (before + value.len()) * 8 / 6);
            if last >= first + SHORTEST {
                found.insert(text[first..last].to_vec());
            }
        }
    }
}

/// Percent encoding, with the characters that different programs leave as they are.
fn url_forms(value: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    for kept in ["-_.~", "-_.~/", "-_.", "-_.*", "-_.!~*'()", "-_.~:@/?!$&'()*,;="] {
        for space in ["%20", "+"] {
            for upper in [true, false] {
                let mut text = Vec::with_capacity(value.len());
                for &byte in value {
                    match byte {
                        b' ' => text.extend_from_slice(space.as_bytes()),
                        _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => text.push(byte),
                        _ if upper => text.extend(format!("%{byte:02X}").bytes()),
                        _ => text.extend(format!("%{byte:02x}").bytes()),
                    }
                }
                found.insert(text);
            }
        }
    }
}

/// As a string in JSON, in Python and in a shell, without the outer quotes.
fn quoted_forms(text: &str) -> Vec<Vec<u8>> {
    let json = serde_json::Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let ascii: String = json
        .chars()
        .map(|c| {
            let mut units = [0; 2];
            match c {
                c if c.is_ascii() => c.to_string(),
                c => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
            }
        })
        .collect();
    let python = crate::python_text::python_repr(text);
    let python = python[1..python.len() - 1].to_owned();
    let shell = text.replace('\'', "'\\''");
    let shell_of_python = text.replace('\'', "'\"'\"'");
    [json, ascii, python, shell, shell_of_python].map(String::into_bytes).to_vec()
}
