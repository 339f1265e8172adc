//! From the files of other programs that run services or lock packages to envo's: text in, the text of a `tox.ini` out, and notes on
//! what could not be translated. Reads no file but what it is given, and runs nothing.

mod compose;
mod compose_values;
pub mod locks;
mod procfile;
mod section;

pub use compose::compose;
pub use procfile::procfile;

/// A translated file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Imported {
    /// Environments, in the order of the file.
    pub sections: Vec<section::Section>,
    /// What could not be translated, for people.
    pub notes: Vec<String>,
}

impl Imported {
    fn note(&mut self, service: &str, text: impl AsRef<str>) {
        self.notes.push(format!("{service}: {}", text.as_ref()));
    }

    /// The sections as they stand in a `tox.ini`.
    pub fn text(&self) -> String {
        self.sections.iter().map(section::Section::text).collect::<Vec<_>>().join("\n")
    }
}
