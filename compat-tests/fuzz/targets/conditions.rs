//! Conditional lines against the real tox: the first byte of the input chooses the environment.

#![no_main]

use serde_json::json;

const NAMES: [&str; 15] = [
    "a", "b", "py", "py-a", "a-b", "a-lint", "10", "py-10", "py-11-b", "a-arm64", "x86_64", "a-amd64", "a--b", "win32",
    "é",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let (name, value) = (NAMES[usize::from(*first) % NAMES.len()], String::from_utf8_lossy(rest));
    // Products of many braces and long ranges grow without bounds in tox and in envo alike.
    let longest = value.split(|c: char| !c.is_numeric()).map(|number| number.chars().count()).max().unwrap_or(0);
    let most_braces = if !value.contains('-') { 5 } else if longest < 3 { 3 } else { 1 };
    if value.matches('{').count() > most_braces || (longest > 4 && value.contains('-')) {
        return;
    }
    let found = envo_fuzz::answers::of_conditions(&value, &envo_fuzz::active(name));
    envo_fuzz::same("conditions", json!({ "value": value, "name": name }), &found);
});
