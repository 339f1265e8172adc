//! The output formats of `config`: INI with colours, JSON as written by Python, TOML.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::os_text;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IniColor {
    Yellow,
    Green,
    Cyan,
    LightRed,
}

pub fn paint(text: &str, color: IniColor, enabled: bool) -> String {
    if !enabled {
        return text.to_owned();
    }
    let code = match color {
        IniColor::Yellow => 33,
        IniColor::Green => 32,
        IniColor::Cyan => 36,
        IniColor::LightRed => 91,
    };
    format!("\x1b[{code}m{text}\x1b[39m")
}

/// The text without the colours of [`paint`].
pub fn without_color(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |result, part| result + part.split_once('m').map_or(part, |(_, rest)| rest))
}

/// Indents each line that is not blank by two columns (Python's `textwrap.indent`).
pub fn indent(text: &str) -> String {
    let indented =
        text.split('\n').map(|line| if line.trim().is_empty() { line.to_owned() } else { format!("  {line}") });
    indented.collect::<Vec<_>>().join("\n")
}

/// JSON indented by two spaces and in ASCII only, as written by Python's `json.dumps(indent=2)`.
pub fn json(value: &Json) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    if text.is_ascii() {
        return text;
    }
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            result.push(character);
        } else {
            let mut units = [0u16; 2];
            let units = match os_text::byte(character) {
                Some(byte) => &[os_text::surrogate(byte)][..],
                None => character.encode_utf16(&mut units),
            };
            for unit in units {
                let _ = write!(result, "\\u{unit:04x}");
            }
        }
    }
    result
}

/// Keys in green, without their quotes, as tox shows JSON on a terminal.
pub fn color_json(text: &str) -> String {
    let line = |line: &str| {
        let body = line.trim_start_matches(' ');
        let blanks = &line[..line.len() - body.len()];
        match body.strip_prefix('"').and_then(|rest| rest.split_once("\":")) {
            Some((key, rest)) if !key.is_empty() && !key.contains('"') => {
                format!("{blanks}{}:{rest}", paint(key, IniColor::Green, true))
            }
            _ => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// TOML: plain keys first, then a table for each nested mapping, as written by the `tomli-w` library.
pub fn toml(value: &Json) -> String {
    let mut text = String::new();
    write_table(&mut text, value, &[]);
    text.trim_end_matches('\n').to_owned()
}

fn write_table(text: &mut String, table: &Json, path: &[String]) {
    let Json::Object(entries) = table else { return };
    let (tables, plain): (Vec<_>, Vec<_>) = entries.iter().partition(|(_, value)| value.is_object());
    if !path.is_empty() && (!plain.is_empty() || tables.is_empty()) {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "[{}]", path.join("."));
    }
    for (key, value) in plain {
        let _ = writeln!(text, "{} = {}", toml_key(key), toml_value(value));
    }
    for (key, value) in tables {
        let path: Vec<String> = path.iter().cloned().chain([toml_key(key)]).collect();
        write_table(text, value, &path);
    }
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_owned() } else { toml_text(key) }
}

fn toml_text(text: &str) -> String {
    let mut result = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            '\t' => result.push('\t'),
            other if (other as u32) < 0x20 || other as u32 == 0x7f => {
                let _ = write!(result, "\\u{:04x}", other as u32);
            }
            other => result.push(other),
        }
    }
    result.push('"');
    result
}

fn toml_value(value: &Json) -> String {
    match value {
        Json::String(text) => toml_text(text),
        Json::Array(entries) if entries.is_empty() => "[]".to_owned(),
        Json::Array(entries) => {
            let lines: String = entries.iter().map(|entry| format!("    {},\n", toml_value(entry))).collect();
            format!("[\n{lines}]")
        }
        Json::Object(entries) => {
            let pairs = entries.iter().map(|(key, value)| format!("{} = {}", toml_key(key), toml_value(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Headers in yellow, keys in green.
pub fn color_toml(text: &str) -> String {
    let line = |line: &str| {
        if line.starts_with('[') && line.ends_with(']') {
            return paint(line, IniColor::Yellow, true);
        }
        let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(line.len());
        let starts_as_key = line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        match line[end..].trim_start().strip_prefix('=') {
            Some(rest) if starts_as_key => format!("{} ={rest}", paint(&line[..end], IniColor::Green, true)),
            _ => line.to_owned(),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
