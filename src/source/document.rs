//! An INI file as sections of located values, with Python's `[DEFAULT]` inheritance.

use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Sections with more keys than this are looked up by an index; below it, looking at each is faster and takes no memory.
const FEW: usize = 12;

/// A value and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IniEntry {
    /// In lower case, as Python's `ConfigParser` keeps it.
    pub key: Arc<str>,
    /// The lines joined by `\n`, without comment lines and trailing whitespace.
    pub value: String,
    /// The line of the file, from one, for each line of `value`.
    pub lines: LineNumbers,
    /// The column of the key, from one.
    pub column: u32,
}

/// Lines of a file, from one, in order. Nearly always they follow one another, so only where they do not is kept. Large
/// files have tens of thousands of values, hence the narrow numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineNumbers {
    first: u32,
    last: u32,
    count: u32,
    /// How many lines stand before a gap, and how many lines the file has left out there.
    gaps: Option<Box<LineGaps>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct LineGaps(Vec<(u32, u32)>);

impl LineNumbers {
    pub fn starting_at(first: usize) -> Self {
        let first = narrow(first);
        Self { first, last: first, count: 1, gaps: None }
    }

    /// Appends a line.
    pub fn push(&mut self, line: usize) {
        let line = narrow(line);
        if self.count == 0 {
            self.first = line;
        } else if line > self.last + 1 {
            self.gaps.get_or_insert_default().0.push((self.count, line - self.last - 1));
        }
        self.last = line;
        self.count += 1;
    }

    pub fn first(&self) -> Option<usize> {
        (self.count > 0).then_some(self.first as usize)
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let mut gaps = self.gaps.iter().flat_map(|gaps| gaps.0.iter().copied()).peekable();
        let mut skipped = 0;
        (0..self.count).map(move |at| {
            while let Some((_, more)) = gaps.next_if(|(before, _)| *before <= at) {
                skipped += more;
            }
            (self.first + at + skipped) as usize
        })
    }
}

/// A line's number; no file that can be read has more lines.
fn narrow(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IniSection {
    pub name: String,
    /// The line of the header, from one; 0 for a section that is not in the file.
    pub line: usize,
    pub entries: Vec<IniEntry>,
    /// The bits of the existing keys: most requested keys do not exist.
    bits: u64,
    /// Key → position among the entries, once there are more than a few.
    index: FxHashMap<Arc<str>, usize>,
}

impl IniSection {
    pub fn new(name: String, line: usize) -> Self {
        Self { name, line, entries: Vec::new(), bits: 0, index: FxHashMap::default() }
    }

    /// Adds a value; an existing key keeps its first value.
    pub fn push(&mut self, entry: IniEntry) {
        if self.contains(&entry.key) {
            return;
        }
        self.bits |= bit(&entry.key);
        let at = self.entries.len();
        if at == FEW {
            self.index = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
        }
        if at >= FEW {
            self.index.insert(entry.key.clone(), at);
        }
        self.entries.push(entry);
    }

    pub fn get(&self, key: &str) -> Option<&IniEntry> {
        if self.bits & bit(key) == 0 {
            return None;
        }
        if self.entries.len() <= FEW {
            return self.entries.iter().find(|entry| *entry.key == *key);
        }
        self.index.get(key).map(|&at| &self.entries[at])
    }

    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// One bit for a key, the same for some others.
fn bit(key: &str) -> u64 {
    let bytes = key.as_bytes();
    let (first, last) = (bytes.first().copied().unwrap_or_default(), bytes.last().copied().unwrap_or_default());
    1 << ((usize::from(first) ^ (usize::from(last) << 1) ^ bytes.len().wrapping_mul(7)) % 64)
}

/// The sections in the order of the file, `[DEFAULT]` apart. Its values are part of every section, after the section's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IniDocument {
    pub sections: Vec<IniSection>,
    pub defaults: IniSection,
    index: FxHashMap<String, usize>,
}

impl IniDocument {
    /// # Panics
    /// Never: section names are unique, because the reader rejects duplicates.
    pub fn new(sections: Vec<IniSection>, defaults: IniSection) -> Self {
        let index = sections.iter().enumerate().map(|(at, section)| (section.name.clone(), at)).collect();
        Self { sections, defaults, index }
    }

    pub fn section(&self, name: &str) -> Option<&IniSection> {
        self.position(name).map(|at| &self.sections[at])
    }

    /// The position of the section in [`Self::sections`].
    pub fn position(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// A value of a section, else of `[DEFAULT]`. A section that does not exist still inherits `[DEFAULT]`.
    pub fn get(&self, section: &str, key: &str) -> Option<&IniEntry> {
        self.section(section).and_then(|found| found.get(key)).or_else(|| self.defaults.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_remember_their_gaps() {
        let mut lines = LineNumbers::starting_at(3);
        [4, 6, 7, 10].into_iter().for_each(|line| lines.push(line));
        assert_eq!(lines.iter().collect::<Vec<_>>(), [3, 4, 6, 7, 10]);
        assert_eq!((lines.first(), LineNumbers::default().first()), (Some(3), None));
    }

    #[test]
    fn keys_are_found_however_many_there_are() {
        let mut section = IniSection::new("s".to_owned(), 1);
        for number in 0..3 * FEW {
            let entry = |value: &str| IniEntry {
                key: format!("k{number}").into(),
                value: value.to_owned(),
                lines: LineNumbers::default(),
                column: 1,
            };
            section.push(entry("first"));
            section.push(entry("second"));
            let found = (0..=number).all(|one| section.get(&format!("k{one}")).is_some_and(|one| one.value == "first"));
            assert!(found && section.entries.len() == number + 1 && !section.contains("k"));
        }
    }
}
