//! Reads `pyproject.toml` by the packaging standards, and shows its values as Python's messages do.

use std::path::Path;

use toml::{Table, Value};

use crate::bounded;
use crate::error::{ConfigError, Location};
use crate::python_text::python_repr;

/// The file in `root`; `None` if it does not exist.
pub fn read(root: &Path) -> Result<Option<Table>, ConfigError> {
    let file = root.join("pyproject.toml");
    let text = match bounded::read_text(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::fail(format!("could not read {}: {error}", file.display()))),
    };
    // Windows editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    text.parse::<Table>().map(Some).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        let shown = file.display().to_string();
        ConfigError::fail(format!("could not read {shown}: {what} (at line {line}, column {column})")).at(Location {
            file,
            line,
            column,
            length: 1,
        })
    })
}

/// The list of texts under `key` of a table named `table`; empty if it is missing.
pub fn strings(values: &Table, table: &str, key: &str) -> Result<Vec<String>, ConfigError> {
    let Some(value) = values.get(key) else { return Ok(Vec::new()) };
    let texts = value.as_array().and_then(|entries| {
        entries.iter().map(|entry| entry.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>()
    });
    texts.ok_or_else(|| ConfigError::fail(format!("{table}.{key} must be a list of strings, got {}", repr(value))))
}

/// A value as Python's `repr` shows the result of `tomllib`.
pub fn repr(value: &Value) -> String {
    match value {
        Value::String(text) => python_repr(text),
        Value::Boolean(true) => "True".to_owned(),
        Value::Boolean(false) => "False".to_owned(),
        Value::Array(entries) => format!("[{}]", entries.iter().map(repr).collect::<Vec<_>>().join(", ")),
        Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{}: {}", python_repr(key), repr(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Float(number) if number.fract() == 0.0 => format!("{number:.1}"),
        Value::Integer(_) | Value::Float(_) | Value::Datetime(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_toml_is_reported_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pyproject.toml"), "[build-system]\nä = \n").unwrap();
        let error = read(folder.path()).expect_err("broken");
        assert!(error.message.contains("(at line 2, column "), "{}", error.message);
        assert_eq!(error.location.map(|location| location.line), Some(2));
    }

    #[test]
    fn a_file_that_is_not_text_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pyproject.toml"), b"\xff\xfe").unwrap();
        assert!(read(folder.path()).expect_err("no text").message.starts_with("could not read "));
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        let table: Table = "a = [1, 2.0, 1.5, true, 'x', {b = \"it's\"}]".parse().unwrap();
        assert_eq!(repr(&table["a"]), "[1, 2.0, 1.5, True, 'x', {'b': \"it's\"}]");
    }
}
