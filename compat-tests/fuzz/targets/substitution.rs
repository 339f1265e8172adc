//! Expressions replaced by values that hold expressions themselves: no panic, no hang. The first byte of the input chooses
//! the style; the parts of the rest between vertical bars are the text and the values of the variables A, B, C and so on.

#![no_main]

use envo::error::ConfigError;
use envo::settings::expand::replace::{ReplaceStyle, replace};
use envo::settings::expand::{FoundReference, ValueLookup, Reference, Trail};

struct Values<'a>(Vec<&'a str>);

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let letter = name.bytes().next().filter(|_| name.len() == 1)?;
        self.0.get(usize::from(letter.to_ascii_uppercase().checked_sub(b'A')?)).copied()
    }
}

impl ValueLookup for Values<'_> {
    fn reference(&self, reference: &Reference<'_>, _: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        Ok(self.get(reference.key).map(|text| match reference.section {
            Some(_) => FoundReference::Raw(text.to_owned()),
            None => FoundReference::Arguments(text.to_owned()),
        }))
    }

    fn variable(&self, name: &str, _: &Trail) -> Result<Option<FoundReference>, ConfigError> {
        Ok(self.get(name).map(|text| FoundReference::Raw(text.to_owned())))
    }

    fn positional(&self, _: &Trail, program_first: bool) -> Result<Option<Vec<String>>, ConfigError> {
        let words = self.0.last().filter(|_| self.0.len() > 1);
        Ok(words.map(|words| words.split(' ').skip(usize::from(program_first)).map(str::to_owned).collect()))
    }

    fn glob(&self, pattern: &str) -> Result<Vec<String>, ConfigError> {
        Ok(self.get(pattern).into_iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect())
    }

    fn factor(&self, label: &str, default: Option<&str>) -> Result<Option<String>, ConfigError> {
        Ok(self.get(label).or(default).map(str::to_owned))
    }

    fn is_terminal(&self) -> bool {
        self.0.len() > 2
    }

    fn warn(&self, _: String) {}
}

const STYLES: [ReplaceStyle; 6] = [
    ReplaceStyle::Plain,
    ReplaceStyle::Program,
    ReplaceStyle::Commands,
    ReplaceStyle::Entries(&[',', '\n']),
    ReplaceStyle::Entries(&['\n']),
    ReplaceStyle::Requirements,
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let (style, prefix) = (usize::from(*first) % STYLES.len(), usize::from(*first) / STYLES.len() % 2);
    let input = String::from_utf8_lossy(rest);
    let mut parts = input.split('|');
    let text = parts.next().unwrap_or_default();
    let values = Values(parts.collect());
    let _ = replace(&values, ["testenv", "*"][prefix], STYLES[style], text, &Trail::default());
});
