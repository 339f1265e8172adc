//! Formats envo's result for a text in the same way as the oracle.

use envo::factor::{self, ActiveFactors};
use envo::os_text;
use envo::python_text::shlex;
use envo::settings::expand::parse::TextPart;
use envo::source::IniSection;
use envo::source::ini::{self, IniErrorKind};
use serde_json::{Value, json};

/// An INI file: sections with their values, or the kind of error and its message.
pub fn of_ini(text: &str) -> Value {
    match ini::read(&os_text::escape(text.strip_prefix('\u{feff}').unwrap_or(text))) {
        Ok(document) => {
            let sections: Vec<_> =
                document.sections.iter().map(|section| json!([plain(&section.name), values(section)])).collect();
            json!({ "sections": sections, "defaults": values(&document.defaults) })
        }
        Err(error) => {
            let name = match error.kind {
                IniErrorKind::MissingSectionHeader { .. } => "MissingSectionHeaderError",
                IniErrorKind::DuplicateSection { .. } => "DuplicateSectionError",
                IniErrorKind::DuplicateOption { .. } => "DuplicateOptionError",
                IniErrorKind::Parsing { .. } => "ParsingError",
            };
            json!({ "error": name, "message": error.in_python_words("tox.ini") })
        }
    }
}

fn values(section: &IniSection) -> Value {
    section.entries.iter().map(|entry| json!([plain(&entry.key), plain(&entry.value)])).collect()
}

/// What was read without the marks of characters that carry bytes.
fn plain(text: &str) -> String {
    os_text::encode(text).into_string().expect("the file is UTF-8")
}

/// The words of a command. tox takes the dash that ignores an exit code off the first word in the same step.
pub fn of_words(text: &str) -> Value {
    let mut words = shlex::words(text);
    if let Some(program) = words.first_mut().filter(|word| *word != "-")
        && let Some(rest) = program.strip_prefix('-')
    {
        *program = rest.to_owned();
        words.insert(0, "-".to_owned());
    }
    json!(words)
}

/// Texts as they are, expressions as lists of arguments.
pub fn of_parts(parts: &[TextPart]) -> Value {
    parts
        .iter()
        .map(|part| match part {
            TextPart::Text(text) => json!(text),
            TextPart::Expression(arguments) => arguments.iter().map(|argument| of_parts(argument)).collect(),
        })
        .collect()
}

/// The lines of a value that hold for an environment.
pub fn of_conditions(value: &str, active: &ActiveFactors) -> Value {
    json!(factor::filter(value, || active).expect("few enough"))
}
