//! Where expressions begin and end against the real tox.

#![no_main]

use envo::settings::expand::parse::parse;

/// With so many tox still answers.
const MOST_BRACES: usize = 12;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    // tox parses the text after each unclosed brace again within every other one: its time doubles with each.
    if text.matches('{').count() > MOST_BRACES {
        let _ = parse(&text);
        return;
    }
    envo_fuzz::same("expressions", text.as_ref(), &envo_fuzz::answers::of_parts(&parse(&text)));
});
