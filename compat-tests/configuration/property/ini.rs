//! Compares INI files with Python's `ConfigParser(interpolation=None)`.

use envo::source::ini;

use super::oracle::Oracle;
use super::{answers, same_for_all, texts};

/// The last Python whose parser words its errors as 3.11 does.
const LAST_WITH_THESE_WORDS: (u64, u64) = (3, 12);

#[test]
fn ini_files_mean_what_they_mean_to_python() {
    let oracle = Oracle::start();
    if oracle.version > LAST_WITH_THESE_WORDS {
        return;
    }
    same_for_all(texts::ini(), &oracle, |oracle, text| (oracle.ask("ini", text.as_str()), answers::of_ini(text)));
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
