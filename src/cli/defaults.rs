//! Finds the default of an option: its variable, then the user's file.

use std::cell::RefCell;

use super::convert::{self, ConversionError, SettingType};
use super::user_file::UserFile;
use super::{OptionNotice, Severity};
use crate::execute::shell::redact;
use crate::model::EnvVariables;
use crate::python_text::python_repr;

pub struct Defaults<'a> {
    variables: &'a EnvVariables,
    file: UserFile,
    notices: RefCell<Vec<OptionNotice>>,
}

impl<'a> Defaults<'a> {
    pub fn new(variables: &'a EnvVariables, file: UserFile, notices: Vec<OptionNotice>) -> Self {
        Self { variables, file, notices: RefCell::new(notices) }
    }

    pub fn into_notices(self) -> Vec<OptionNotice> {
        self.notices.into_inner()
    }

    /// The default of a single value, if there is a valid one.
    pub fn value<T>(&self, id: &str, of: &SettingType<T>) -> Option<T> {
        self.find(id, of.python_name, of.convert, of.convert)
    }

    /// The default of a choice.
    pub fn choice(&self, id: &str, choices: &[&str]) -> Option<String> {
        let names: Vec<String> = choices.iter().map(|choice| python_repr(choice)).collect();
        let convert = |text: &str| convert::one_of(text, choices);
        self.find(id, &format!("typing.Literal[{}]", names.join(", ")), convert, convert)
    }

    /// The default of a list: separated by `;` in a variable, in INI notation in the file.
    pub fn list<T>(&self, id: &str, entries_of: &SettingType<T>) -> Option<Vec<T>> {
        let convert = entries_of.convert;
        let of_variable = |text: &str| text.split(';').filter(|entry| !entry.is_empty()).map(convert).collect();
        let of_file = |text: &str| convert::list(text).iter().map(|entry| convert(entry)).collect();
        self.find(id, &format!("list[{}]", entries_of.python_name), of_variable, of_file)
    }

    fn find<T>(
        &self,
        id: &str,
        type_name: &str,
        of_variable: impl Fn(&str) -> Result<T, ConversionError>,
        of_file: impl Fn(&str) -> Result<T, ConversionError>,
    ) -> Option<T> {
        let upper = id.to_uppercase();
        for name in [format!("TOX_{upper}"), format!("TOX{upper}")] {
            let Some(text) = self.variables.text(&name) else { continue };
            match of_variable(&text) {
                Ok(value) => return Some(value),
                Err(reason) => self.warn(unusable_variable(&name, &text, type_name, &reason)),
            }
        }
        let text = self.file.get(id)?;
        match of_file(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let message = python_repr(&format!("failed to load core.{id}: {}", reason.message));
                let path = self.file.path.display();
                self.warn(format!("{path} key {id} as type {type_name} failed with HandledError({message})"));
                None
            }
        }
    }

    pub fn warn(&self, text: String) {
        self.notices.borrow_mut().push(OptionNotice { severity: Severity::Warning, text });
    }
}

/// tox's warning, without a reason that could quote a secret.
fn unusable_variable(name: &str, text: &str, type_name: &str, reason: &ConversionError) -> String {
    let shown = redact(&[text]).remove(0);
    let reason = if shown == text { reason.python_repr() } else { reason.class.to_owned() };
    format!("env var {name}={} cannot be transformed to {type_name} because {reason}", python_repr(&shown))
}
