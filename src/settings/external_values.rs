//! Settings in which the braces of external values are marked, so that they are not mistaken for fields of services
//! (`{port}`), which are filled in later.

use std::ffi::OsString;
use std::sync::Arc;

use crate::model::EnvVariables;
use crate::model::literal::{MARK, literal_fields};
use crate::settings::Settings;
use crate::settings::config_set::ConfigSet;
use crate::settings::keys;
use crate::settings::service::asks_for_services;

impl Settings {
    /// These settings for texts in which fields are filled in. They are others only where something from outside looks
    /// like a field.
    pub(super) fn for_fields(self: &Arc<Self>) -> Arc<Self> {
        self.marked.get_or_init(|| self.marked_copy()).clone().unwrap_or_else(|| Arc::clone(self))
    }

    /// The same for one environment.
    pub(super) fn set_for_fields(self: &Arc<Self>, set: &Arc<ConfigSet>) -> (Arc<Self>, Arc<ConfigSet>) {
        let settings = self.for_fields();
        let set = match &set.name {
            Some(name) if !Arc::ptr_eq(&settings, self) => settings.environment(name),
            _ => Arc::clone(set),
        };
        (settings, set)
    }

    fn marked_copy(&self) -> Option<Arc<Self>> {
        let text = &self.source.text;
        let serves = text.contains("serve") || asks_for_services(self) || !self.options.project.packaged.is_empty();
        if !serves {
            return None;
        }
        let mut options = (*self.options).clone();
        options.process.variables = marked_variables(&options.process.variables);
        let words = |words: Vec<String>| words.iter().map(|word| marked(word)).collect();
        options.invocation.positional = options.invocation.positional.map(words);
        let brings_files = text.contains("file|") || text.contains("glob");
        let escapes = text.contains("\\{") || options.project.overrides.iter().any(|one| one.contains("\\{"));
        let same = options.process.variables == self.options.process.variables
            && options.invocation.positional == self.options.invocation.positional;
        if same && !brings_files && !escapes {
            return None;
        }
        let settings = Self::new(self.source.clone(), Arc::new(options), Arc::clone(&self.interpreters)).ok()?;
        let _ = settings.marks_outside.set(());
        Some(settings)
    }

    /// A text from outside as these settings know it.
    pub(super) fn text_from_outside(&self, text: String) -> String {
        if self.marks_outside.get().is_some() { marked(&text) } else { text }
    }

    /// What `\{` becomes, which begins no field either.
    pub(super) fn escaped_brace(&self) -> char {
        if self.marks_outside.get().is_some() { MARK } else { '{' }
    }
}

fn marked(text: &str) -> String {
    literal_fields(text, is_field)
}

fn marked_variables(variables: &EnvVariables) -> EnvVariables {
    let value = |value: &std::ffi::OsStr| match value.to_str().filter(|text| text.contains('{')) {
        Some(text) => OsString::from(marked(text)),
        None => value.to_owned(),
    };
    variables.iter().map(|(name, one)| (name.to_owned(), value(one))).collect()
}

/// Whether what stands in braces may be a field of a service, and is no expression of the configuration's own, which holds
/// in a variable of this process as well.
fn is_field(inside: &str) -> bool {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match inside.split_once(':') {
        Some((kind, _)) => matches!(kind, "service" | "port"),
        None => matches!(inside, "port" | "host" | "instance") || is_name(inside) && keys::find(inside).is_none(),
    }
}
