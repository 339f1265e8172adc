//! INI files against Python's `ConfigParser(interpolation=None)`.

use envo::source::IniSection;
use envo::source::ini::{self, IniErrorKind};
use serde_json::{Value, json};

use super::oracle::Oracle;
use super::{same_for_all, texts};

/// The last Python whose parser words its errors as 3.11 does.
const LAST_WITH_THESE_WORDS: (u64, u64) = (3, 12);

#[test]
fn ini_files_mean_what_they_mean_to_python() {
    let oracle = Oracle::start();
    if oracle.version > LAST_WITH_THESE_WORDS {
        return;
    }
    same_for_all(texts::ini(), &oracle, |oracle, text| (oracle.ask("ini", text.as_str()), read(text)));
}

fn read(text: &str) -> Value {
    match ini::read(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        Ok(document) => {
            let sections: Vec<_> =
                document.sections.iter().map(|section| json!([section.name, values(section)])).collect();
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
    section.entries.iter().map(|entry| json!([entry.key, entry.value])).collect()
}

#[test]
fn every_line_of_a_value_has_its_place_in_the_file() {
    let runner = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
    proptest::proptest!(runner, |(text in texts::ini())| {
        let Ok(document) = ini::read(&text) else { return Ok(()) };
        for entry in document.sections.iter().flat_map(|section| &section.entries) {
            proptest::prop_assert!(entry.value.split('\n').count() <= entry.lines.iter().count(), "{:?}", entry);
            proptest::prop_assert!(entry.lines.iter().is_sorted(), "{:?}", entry);
        }
    });
}
