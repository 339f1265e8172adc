//! Compose files with their Dockerfiles and files of variables: no panic, no hang, and what is written is read back as the
//! sections that were meant. A line of three dashes and a name begins another file; the first is the compose file.

#![no_main]

use std::collections::HashMap;

use envo::import::{ProjectFiles, compose};
use envo::source::ini;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split("\n--- ");
    let source = parts.next().unwrap_or_default();
    let others: HashMap<&str, &str> = parts.filter_map(|part| part.split_once('\n')).collect();
    let files = ProjectFiles {
        read: &|path| others.get(path).map(|text| (*text).to_owned()),
        has_program: &|name, _| name.len() % 2 == 0,
    };
    let Ok(imported) = compose(source, "compose.yaml", &files) else { return };
    let shown = imported.lines();
    assert!(shown.iter().all(|line| !line.contains(char::is_control)), "{shown:?}");
    let written = imported.text();
    let read = ini::read(&written).unwrap_or_else(|error| panic!("{error:?} in {written:?}"));
    let names: Vec<&str> = read.sections.iter().map(|section| section.name.as_str()).collect();
    let expected: Vec<String> =
        imported.sections.iter().map(|section| format!("testenv:{}", section.name)).collect();
    assert_eq!(names, expected, "{written:?}");
});
