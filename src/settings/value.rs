//! Typed values of settings, and their representation in `config`.

use std::path::{Component, Path, PathBuf};

use serde_json::Value as Json;

use crate::model::{Command, ExitRule};
use crate::os_text;
use crate::python_text::quote::quote_words;
use crate::python_text::shlex;

/// What a key holds. tox's Python types, of which each key has one (see `keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    Text,
    /// Text in an INI file; in TOML also what says the same: a number, a boolean, a list whose entries are its lines.
    Plain,
    /// One command: text in an INI file; in TOML also a list of its words.
    Line,
    /// Text that may be absent; empty counts as absent.
    OptionalText,
    Boolean,
    OptionalBoolean,
    Integer,
    Float,
    Path,
    List,
    Set,
    /// Environment names, braces and ranges written out.
    Environments,
    /// Labels, each with environment names.
    Labels,
    Command,
    Commands,
    /// `set_env`.
    Variables,
    Requirements,
    Constraints,
    /// PEP 508 requirements, one an entry.
    RequirementList,
    /// Keys and values, or absent.
    OptionalMapping,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SettingValue {
    Absent,
    Text(String),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Path(PathBuf),
    List(Vec<String>),
    /// Sorted, without duplicates.
    Set(Vec<String>),
    Environments(Vec<String>),
    Labels(Vec<(String, Vec<String>)>),
    Command(Command),
    Commands(Vec<Command>),
    /// Names and values, sorted by name.
    Variables(Vec<(String, String)>),
    /// The text of a requirements setting; shown by its lines.
    Requirements(String),
    Mapping(Vec<(String, Json)>),
}

/// A value as `config` writes it in INI notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniValue {
    pub text: String,
    /// Whether the value is of a kind that stands on lines of its own when it has several.
    pub is_list: bool,
}

impl SettingValue {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// tox's `stringify`. `requirement_lines` gives the lines of a requirements text.
    pub fn show(&self) -> IniValue {
        let single = |text: String| IniValue { text, is_list: false };
        let lines = |lines: Vec<String>| IniValue { text: lines.join("\n"), is_list: true };
        match self {
            Self::Absent => single("None".to_owned()),
            Self::Text(text) => single(text.clone()),
            Self::Boolean(flag) => single(if *flag { "True" } else { "False" }.to_owned()),
            Self::Integer(number) => single(number.to_string()),
            Self::Float(number) => single(python_float(*number)),
            Self::Path(path) => single(os_text::decode(path.as_os_str())),
            Self::List(entries) | Self::Set(entries) | Self::Environments(entries) => lines(entries.clone()),
            Self::Labels(labels) => {
                lines(labels.iter().map(|(name, members)| format!("{name}={}", members.join("\n"))).collect())
            }
            Self::Command(command) => IniValue { text: shown_command(command, quote_words), is_list: true },
            Self::Commands(commands) => {
                lines(commands.iter().map(|command| shown_command(command, quote_words)).collect())
            }
            Self::Variables(pairs) => lines(pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            Self::Requirements(text) => lines(text.lines().map(str::to_owned).collect()),
            Self::Mapping(pairs) => {
                lines(pairs.iter().map(|(name, value)| format!("{name}={}", mapping_text(value))).collect())
            }
        }
    }

    /// tox's `to_native`, for `config --format json`.
    pub fn json(&self) -> Json {
        let texts = |entries: &[String]| Json::from(entries.to_vec());
        match self {
            Self::Absent => Json::from("None"),
            Self::Text(text) => Json::from(text.clone()),
            Self::Boolean(flag) => Json::from(*flag),
            Self::Integer(number) => Json::from(*number),
            Self::Float(number) => Json::from(*number),
            Self::Path(path) => Json::from(os_text::decode(path.as_os_str())),
            Self::List(entries) | Self::Set(entries) | Self::Environments(entries) => texts(entries),
            Self::Labels(labels) => labels.iter().map(|(name, members)| (name.clone(), texts(members))).collect(),
            Self::Command(command) => Json::from(shell(command)),
            Self::Commands(commands) => Json::from(commands.iter().map(shell).collect::<Vec<_>>()),
            Self::Variables(pairs) => {
                pairs.iter().map(|(name, value)| (name.clone(), Json::from(value.clone()))).collect()
            }
            Self::Requirements(text) => Json::from(text.lines().map(str::to_owned).collect::<Vec<_>>()),
            Self::Mapping(pairs) => pairs.iter().cloned().collect(),
        }
    }
}

fn mapping_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The command as one would type it, line breaks inside words kept.
fn shell(command: &Command) -> String {
    shown_command(command, shlex::join)
}

/// The command, quoted that way, behind tox's mark.
fn shown_command(command: &Command, quote: impl Fn(&[String]) -> String) -> String {
    let words = quote(&command.argv);
    mark(command).map_or_else(|| words.clone(), |mark| format!("{mark} {words}"))
}

fn mark(command: &Command) -> Option<&'static str> {
    match command.exit_rule {
        ExitRule::Zero => None,
        ExitRule::Any => Some("-"),
        ExitRule::NonZero => Some("!"),
    }
}

/// The words of a command with tox's marks in front.
pub fn raw_words(command: &Command) -> Vec<String> {
    mark(command).map(str::to_owned).into_iter().chain(command.argv.iter().cloned()).collect()
}

/// Python's `repr` of a number: very large and very small ones by their exponent.
fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    let scientific = format!("{number:e}");
    let exponent =
        scientific.split_once('e').and_then(|(digits, exponent)| Some((digits, exponent.parse::<i32>().ok()?)));
    if let Some((digits, exponent)) = exponent.filter(|(_, exponent)| !(-4..16).contains(exponent)) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let text = format!("{number}");
    if text.contains(['.', 'i']) { text } else { format!("{text}.0") }
}

/// A path as Python's `pathlib` keeps it: without `.` and doubled separators, but with `..`.
pub fn python_path(text: &str) -> PathBuf {
    let text = os_text::encode(text);
    let cleaned: PathBuf = Path::new(&text).components().filter(|part| !matches!(part, Component::CurDir)).collect();
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_show_as_python_writes_them() {
        assert_eq!(SettingValue::Boolean(true).show().text, "True");
        assert_eq!(SettingValue::Float(0.0).show().text, "0.0");
        let shown = |text: &str| text.parse().map(|number| SettingValue::Float(number).show().text).ok();
        for text in ["0.3", "nan", "inf", "-inf", "1e+16", "1.5e-05", "0.0001", "1234567890123456.0", "1e+300", "-0.0"]
        {
            assert_eq!(shown(text).as_deref(), Some(text));
        }
        assert_eq!(SettingValue::Absent.show().text, "None");
        assert_eq!(SettingValue::List(vec!["a".into(), "b".into()]).show().text, "a\nb");
    }

    #[test]
    fn data_keeps_the_line_breaks_in_words() {
        let command = Command { argv: vec!["x".into(), "a\nb".into()], exit_rule: ExitRule::Zero };
        let value = SettingValue::Commands(vec![command]);
        assert_eq!(value.show().text, "x 'a b'");
        assert_eq!(value.json(), Json::from(vec!["x 'a\nb'"]));
    }

    #[test]
    fn paths_lose_dots_and_doubled_separators_only() {
        assert_eq!(python_path("a//./b/../c/"), PathBuf::from("a/b/../c"));
        assert_eq!(python_path("./"), PathBuf::from("."));
    }
}
