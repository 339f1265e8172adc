//! Where expressions begin and end against the real tox.

#![no_main]

use envo::settings::expand::parse::parse;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    envo_fuzz::same("expressions", text.as_ref(), &envo_fuzz::answers::of_parts(&parse(&text)));
});
