//! Translates files of other programs (Procfile, compose file, locks, manifests) to sections of a `tox.ini`, with notes on
//! what could not be translated. Reads no files itself, and runs nothing.

mod compose;
mod fields;
pub mod locks;
mod manifests;
mod procfile;
mod section;

use crate::python_text::escaped;

pub use compose::compose;
pub use manifests::manifests;
pub use procfile::procfile;
pub use section::ImportedSection;

/// Access to the project and the machine for a translation.
pub struct ProjectFiles<'a> {
    /// The text of a file, by its path relative to the project's root.
    pub read: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a program is on PATH or in one of some folders, which may be patterns.
    pub has_program: &'a dyn Fn(&str, &[&str]) -> bool,
}

/// A translated file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Environments, in the order of the file.
    pub sections: Vec<ImportedSection>,
    /// Notes on what could not be translated.
    pub notes: Vec<String>,
    /// How many services the file has, how many can run as they are, and which have to be looked at.
    pub total: usize,
    pub can_run: usize,
    pub to_look_at: Vec<String>,
}

impl Imported {
    pub fn note(&mut self, service: &str, text: impl AsRef<str>) {
        self.notes.push(format!("{service}: {}", text.as_ref()));
    }

    /// The sections as the text of a `tox.ini`.
    pub fn text(&self) -> String {
        self.sections.iter().map(ImportedSection::text).collect::<Vec<_>>().join("\n")
    }

    /// Notes and summary, each in one line that a terminal shows as it is.
    pub fn lines(&self) -> Vec<String> {
        self.notes.iter().chain(&self.summary()).map(|note| escaped(note)).collect()
    }

    /// How much of it can be used without a change.
    fn summary(&self) -> Option<String> {
        if self.total == 0 {
            return None;
        }
        let (what, rest) = (if self.total == 1 { "service" } else { "services" }, self.to_look_at.join(", "));
        let rest = if rest.is_empty() { rest } else { format!("; look at {rest}") };
        Some(format!("{} of {} {what} can run as they are{rest}", self.can_run, self.total))
    }
}
