//! Variables in the values of a compose file: `$NAME`, `${NAME}`, `${NAME:-default}` and the others become `{env:…}` with
//! what `.env` says as the default. <https://docs.docker.com/reference/compose-file/interpolation/>

use std::collections::{BTreeMap, BTreeSet};

use yaml_rust2::Yaml;

use crate::import::fields::{cleaned, variable};
use crate::model::EnvVariables;
use crate::settings::dotenv;

/// How deep defaults may be nested in defaults.
const MAX_DEPTH: usize = 20;

#[derive(Debug, Default)]
pub struct Interpolation {
    /// The variables of `.env`.
    pub known: BTreeMap<String, String>,
    /// Which of them were used.
    pub used: BTreeSet<String>,
    /// Those that are set nowhere and have no default.
    pub missing: BTreeSet<String>,
    /// How many bytes the values of variables came to.
    pub bytes: usize,
}

/// How many bytes values of variables may come to, each as often as it is used.
pub const MAX_BYTES: usize = 64 << 20;

impl Interpolation {
    /// The value with every text in it interpolated; keys stay.
    pub fn value(&mut self, value: Yaml) -> Yaml {
        match value {
            Yaml::String(text) => Yaml::String(self.text(&text, 0)),
            Yaml::Array(entries) => Yaml::Array(entries.into_iter().map(|entry| self.value(entry)).collect()),
            Yaml::Hash(entries) => {
                Yaml::Hash(entries.into_iter().map(|(key, value)| (key, self.value(value))).collect())
            }
            other => other,
        }
    }

    fn text(&mut self, text: &str, depth: usize) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            result.push_str(&cleaned(&rest[..at]));
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('$') {
                result.push('$');
                rest = after;
            } else if let Some(inside) = after.strip_prefix('{') {
                // Without a brace that closes, or too deep, the rest means itself.
                let Some((inside, after)) = (depth < MAX_DEPTH).then(|| braced(inside)).flatten() else {
                    return result + &cleaned(&rest[at..]);
                };
                result.push_str(&self.braces(inside, depth));
                rest = after;
            } else {
                let (name, after) = after.split_at(name_end(after));
                match name {
                    "" => result.push('$'),
                    name => result.push_str(&self.expression(name, None)),
                }
                rest = after;
            }
        }
        result + &cleaned(rest)
    }

    /// What stands in `${…}`.
    fn braces(&mut self, inside: &str, depth: usize) -> String {
        let (name, how) = inside.split_at(name_end(inside));
        let (needs_text, how) = how.strip_prefix(':').map_or((false, how), |how| (true, how));
        let mut of = |text: &str| self.text(text, depth + 1);
        match how.chars().next() {
            Some('-') => {
                let default = of(&how[1..]);
                self.expression(name, Some((default, needs_text)))
            }
            Some('+') => {
                let value = of(&how[1..]);
                let known = self.known.get(name).is_some_and(|known| !needs_text || !known.is_empty());
                if known { value } else { String::new() }
            }
            _ => self.expression(name, None),
        }
    }

    /// A variable, with its default and whether that counts for an empty value, too.
    fn expression(&mut self, name: &str, default: Option<(String, bool)>) -> String {
        self.bytes += self.known.get(name).map_or(0, String::len);
        if self.bytes > MAX_BYTES {
            // The reader of the file looks at it.
            return String::new();
        }
        let known = self.known.get(name).map(|value| cleaned(value));
        if known.is_some() {
            self.used.insert(name.to_owned());
        }
        let value = match (known, default) {
            (Some(known), Some((default, true))) if known.is_empty() => default,
            (Some(known), _) => known,
            (None, Some((default, _))) => default,
            (None, None) => {
                self.missing.insert(name.to_owned());
                String::new()
            }
        };
        variable(name, &value)
    }
}

/// The text up to the brace that closes, and what comes after it.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let mut before = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
        before = character;
    }
    None
}

fn name_end(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

/// The variables of a `.env` beside a compose file.
pub fn variables_of(text: &str) -> Result<BTreeMap<String, String>, String> {
    Ok(dotenv::variables(text, &EnvVariables::default())?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fields::written;

    #[test]
    fn variables_become_those_of_tox() {
        let mut interpolation = Interpolation { known: variables_of("K=v\nE=\n").unwrap(), ..Interpolation::default() };
        let mut of = |text: &str| written(&interpolation.text(text, 0)).unwrap();
        assert_eq!(of("a$B-${C}/${D:-e}${F-g}$$h$"), "a{env:B:}-{env:C:}/{env:D:e}{env:F:g}$h$");
        assert_eq!(of("${K}${K:-d}${E:-d}${E-d}"), "{env:K:v}{env:K:v}{env:E:d}{env:E:}");
        assert_eq!(of("${A:-${B:-c}}${K:+set}${N:+set}${R:?must}"), "{env:A:{env:B:c}}set{env:R:}");
        assert_eq!(of("{x} # y ${open"), "\\{x\\} \\# y $\\{open");
        assert_eq!(interpolation.missing.iter().cloned().collect::<Vec<_>>(), ["B", "C", "R"]);
        let deep = format!("{}{}", "${A:-".repeat(50_000), "}".repeat(50_000));
        assert!(interpolation.text(&deep, 0).contains("$"));
    }
}
