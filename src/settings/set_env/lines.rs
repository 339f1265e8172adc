//! Parses the notation of `set_env`: lines, their markers, and files of variables. Pure.

use std::path::Path;

use crate::error::ConfigError;
use crate::model::pep508::Marker;
use crate::python_text::python_repr;
use crate::python_text::quote::split_lines;
use crate::settings::definitions::{RawVariable, VariableDefinitions};
use crate::settings::loader::has_expression;
use crate::settings::set_env::SetEnvLine;

/// What a text says. One that was `substituted` already may have braces in names.
pub(super) fn parse(text: &str, substituted: bool) -> Result<Vec<SetEnvLine>, ConfigError> {
    let lines = split_lines(text).into_iter().filter(|line| !line.trim().is_empty());
    let parsed = lines.map(|line| match line.strip_prefix("file|") {
        Some(path) => Ok(SetEnvLine::File(path.to_owned())),
        None => parse_line(line, substituted),
    });
    parsed.collect()
}

/// The error for a line that says nothing.
pub(super) fn invalid_line(line: &str) -> ConfigError {
    ConfigError::value(format!("invalid line {} in set_env", python_repr(line)))
}

fn parse_line(line: &str, substituted: bool) -> Result<SetEnvLine, ConfigError> {
    match split_line(line) {
        Some((name, _)) if name.is_empty() => Err(ConfigError::value("invalid set_env entry with an empty name")),
        Some((name, raw)) if !name.contains('{') || (substituted && !has_expression(line)) => {
            check_marker(&name, raw.marker.as_deref()).map_err(|mut error| {
                error.message.push_str("\nescape a literal ';' in the value as '\\;'");
                error
            })?;
            Ok(SetEnvLine::Variable { name, raw })
        }
        _ if has_expression(line) => Ok(SetEnvLine::Pending(line.to_owned())),
        _ => Err(invalid_line(line)),
    }
}

pub(in crate::settings) fn check_marker(name: &str, marker: Option<&str>) -> Result<(), ConfigError> {
    let Some(marker) = marker else { return Ok(()) };
    let failed = |error| ConfigError::value(format!("invalid marker for set_env key {}: {error}", python_repr(name)));
    marker.parse::<Marker>().map(drop).map_err(failed)
}

pub(super) fn split_line(line: &str) -> Option<(String, RawVariable)> {
    let (name, rest) = line.split_once('=')?;
    let (value, marker) = split_marker(rest.trim());
    Some((name.trim().to_owned(), RawVariable { value, marker }))
}

/// Splits a value from the marker behind an unquoted, unescaped semicolon. Quotes count only when they are closed.
pub(super) fn split_marker(text: &str) -> (String, Option<String>) {
    let unescaped = |text: &str| text.replace("\\;", ";");
    for respect_quotes in [true, false] {
        let mut open: Option<char> = None;
        for (at, character) in text.char_indices() {
            if respect_quotes && matches!(character, '"' | '\'') && !is_escaped(text, at) {
                match open {
                    None => open = Some(character),
                    Some(quote) if quote == character => open = None,
                    Some(_) => {}
                }
            } else if character == ';' && open.is_none() && !text[..at].ends_with('\\') {
                let marker = text[at + 1..].trim();
                return (unescaped(text[..at].trim()), (!marker.is_empty()).then(|| marker.to_owned()));
            }
        }
        if open.is_none() {
            break;
        }
    }
    (unescaped(text), None)
}

fn is_escaped(text: &str, at: usize) -> bool {
    text[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The notation of variables that were worked out.
pub(super) fn as_lines(entries: &VariableDefinitions) -> String {
    let line = |(name, raw): &(String, RawVariable)| {
        let value = raw.value.replace(';', "\\;");
        raw.marker.as_ref().map_or(format!("{name}={value}"), |marker| format!("{name}={value}; {marker}"))
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Name and value around the first equals sign that is not inside an expression.
pub(super) fn split_outside_expressions(line: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '=' if depth == 0 => return Some((&line[..at], &line[at + 1..])),
            _ => {}
        }
    }
    None
}

/// The variables of a file.
///
/// # Errors
/// A line that sets none; what stands in it may be a secret and is not shown.
pub(super) fn parse_env_file(text: &str, path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut pairs = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.contains('\0') {
            let message = format!("invalid line in set_env at {}:{}: NUL character", path.display(), at + 1);
            return Err(ConfigError::fail(message));
        }
        let (name, value) = line.split_once('=').unwrap_or_default();
        let name = name.trim();
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).unwrap_or(name);
        let name = name.trim_start_matches([' ', '\t']);
        if name.is_empty() {
            let message = format!("invalid line {} in {} for set_env, expected KEY=VALUE", at + 1, path.display());
            return Err(ConfigError::fail(message));
        }
        pairs.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_stands_behind_an_unquoted_semicolon() {
        let split = |text| split_marker(text);
        assert_eq!(split("1; python_version>'3'"), ("1".to_owned(), Some("python_version>'3'".to_owned())));
        assert_eq!(split("'a;b'"), ("'a;b'".to_owned(), None));
        assert_eq!(split("a\\;b"), ("a;b".to_owned(), None));
        assert_eq!(split("it's;x"), ("it's".to_owned(), Some("x".to_owned())));
    }

    #[test]
    fn environment_files_take_exports_and_comments() {
        let path = Path::new("x.env");
        let pairs = parse_env_file("# no\nexport A = 1 \n\nB=2;3\n", path).expect("valid");
        assert_eq!(pairs, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2;3".to_owned())]);
        assert!(parse_env_file("nothing", path).is_err());
    }
}
