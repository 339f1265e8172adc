//! Converts text from variables and the user's file to values, with the errors that Python raises in tox.

use std::path::PathBuf;

use crate::os_text;
use crate::python_text::python_repr;

/// Why a text is not of a type, as a Python exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversionError {
    pub class: &'static str,
    pub message: String,
}

impl ConversionError {
    pub fn value(message: impl Into<String>) -> Self {
        Self { class: "ValueError", message: message.into() }
    }

    pub fn python_repr(&self) -> String {
        format!("{}({})", self.class, python_repr(&self.message))
    }
}

/// The type of a setting: its name in Python, and the conversion from text.
pub struct SettingType<T> {
    pub python_name: &'static str,
    pub convert: fn(&str) -> Result<T, ConversionError>,
}

pub const INTEGER: SettingType<i64> = SettingType { python_name: "<class 'int'>", convert: integer };
pub const BOOLEAN: SettingType<bool> = SettingType { python_name: "<class 'bool'>", convert: boolean };
pub const TEXT: SettingType<String> =
    SettingType { python_name: "<class 'str'>", convert: |text| Ok(text.trim().to_owned()) };
pub const PATH: SettingType<Option<PathBuf>> = SettingType {
    python_name: "<class 'pathlib.Path'>",
    convert: |text| match text.trim() {
        "" => Err(ConversionError::value("path value is empty (does it reference an unset variable?)")),
        _ => Ok(Some(PathBuf::from(os_text::encode(text)))),
    },
};
/// An optional value: empty text is `None`.
pub const OPTIONAL_PATH: SettingType<Option<PathBuf>> = SettingType {
    python_name: "pathlib.Path | None",
    convert: |text| {
        Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(|text| PathBuf::from(os_text::encode(text))))
    },
};
/// An optional value: empty text is `None`.
pub const OPTIONAL_INTEGER: SettingType<Option<i64>> = SettingType {
    python_name: "int | None",
    convert: |text| match text.trim() {
        "" => Ok(None),
        text => integer(text).map(Some),
    },
};

/// Python's `int(text)`: surrounding whitespace and single underscores between digits are allowed.
pub fn integer(text: &str) -> Result<i64, ConversionError> {
    let digits = text.trim();
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let well_placed =
        unsigned.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let parsed = if well_placed { digits.replace('_', "").parse().ok() } else { None };
    parsed
        .ok_or_else(|| ConversionError::value(format!("invalid literal for int() with base 10: {}", python_repr(text))))
}

fn boolean(text: &str) -> Result<bool, ConversionError> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => {
            let valid = ", 0, 1, false, no, off, on, true, yes";
            let text = python_repr(text);
            let message = format!("value {text} cannot be transformed to bool, valid: {valid}");
            Err(ConversionError { class: "TypeError", message })
        }
    }
}

/// An override: `KEY=VALUE`.
pub fn configuration_override(text: &str) -> Result<String, ConversionError> {
    if text.contains('=') {
        return Ok(text.to_owned());
    }
    let message = format!("override {text} has no = sign in it");
    Err(ConversionError { class: "ArgumentTypeError", message })
}

/// One of `choices`, spelled exactly.
pub fn one_of(text: &str, choices: &[&str]) -> Result<String, ConversionError> {
    if choices.contains(&text) {
        return Ok(text.to_owned());
    }
    let choices: Vec<String> = choices.iter().map(|choice| python_repr(choice)).collect();
    Err(ConversionError::value(format!("{text} must be one of ({})", choices.join(", "))))
}

/// The entries of a list in INI notation: one per line, or separated by commas on one line.
pub fn list(text: &str) -> Vec<String> {
    let separator = if text.contains('\n') { '\n' } else { ',' };
    text.split(separator).map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_python_reads_them() {
        assert_eq!(integer(" +1_000 "), Ok(1000));
        assert_eq!(integer("-3"), Ok(-3));
        for bad in ["", "1.00", "1__0", "_1", "x", "--1", "99999999999999999999"] {
            assert!(integer(bad).is_err(), "{bad}");
        }
        let error = integer("1.00").expect_err("no integer").python_repr();
        assert_eq!(error, "ValueError(\"invalid literal for int() with base 10: '1.00'\")");
    }

    #[test]
    fn booleans_are_read_as_tox_reads_them() {
        assert_eq!(boolean(" Yes "), Ok(true));
        assert_eq!(boolean(""), Ok(false));
        assert_eq!(
            boolean("mm").expect_err("no boolean").python_repr(),
            "TypeError(\"value 'mm' cannot be transformed to bool, valid: , 0, 1, false, no, off, on, true, yes\")"
        );
    }

    #[test]
    fn lists_split_at_lines_or_else_at_commas() {
        assert_eq!(list(" a, b ,"), ["a", "b"]);
        assert_eq!(list("\na,b\nc"), ["a,b", "c"]);
    }
}
