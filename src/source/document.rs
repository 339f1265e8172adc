//! An INI file as sections of located values, with Python's `[DEFAULT]` inheritance.

use std::collections::HashMap;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// In lower case, as Python's `ConfigParser` keeps it.
    pub key: String,
    /// The lines joined by `\n`, comment lines left out, trailing blanks removed.
    pub value: String,
    /// The line of the file, from one, that each line of `value` stands on.
    pub lines: Vec<usize>,
    /// The column of the key, from one.
    pub column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IniSection {
    pub name: String,
    /// The line of the header, from one; 0 for a section that is not in the file.
    pub line: usize,
    pub entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl IniSection {
    pub fn new(name: &str, line: usize) -> Self {
        Self { name: name.to_owned(), line, entries: Vec::new(), index: HashMap::new() }
    }

    /// Adds a value; a key that is there already keeps its first value.
    pub fn push(&mut self, entry: Entry) {
        if !self.index.contains_key(&entry.key) {
            self.index.insert(entry.key.clone(), self.entries.len());
            self.entries.push(entry);
        }
    }

    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.index.get(key).map(|&at| &self.entries[at])
    }

    pub fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }
}

/// The sections in the order of the file, `[DEFAULT]` apart. Its values show in every section, after the section's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IniDocument {
    pub sections: Vec<IniSection>,
    pub defaults: IniSection,
    index: HashMap<String, usize>,
}

impl IniDocument {
    /// # Panics
    /// Never: section names are unique, as the reader refuses duplicates.
    pub fn new(sections: Vec<IniSection>, defaults: IniSection) -> Self {
        let index = sections.iter().enumerate().map(|(at, section)| (section.name.clone(), at)).collect();
        Self { sections, defaults, index }
    }

    pub fn section(&self, name: &str) -> Option<&IniSection> {
        self.index.get(name).map(|&at| &self.sections[at])
    }

    /// A value of a section, else of `[DEFAULT]`. A section that does not exist still inherits `[DEFAULT]`.
    pub fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        self.section(section).and_then(|found| found.get(key)).or_else(|| self.defaults.get(key))
    }
}
