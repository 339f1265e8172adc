//! INI files against Python's `ConfigParser(interpolation=None)`: values, and kinds and words of errors.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    envo_fuzz::same_file(&text, &envo_fuzz::answers::of_ini(&text));
});
