//! Commands split into words against `shlex` as tox uses it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    envo_fuzz::same("words", text.as_ref(), &envo_fuzz::answers::of_words(&text));
});
