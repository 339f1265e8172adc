//! Reads YAML with limits: compose files and locks may be untrusted, and a few hundred bytes can expand to gigabytes.
//! Every key is text; aliases and nesting are limited.
//! <https://yaml.org/spec/1.2.2/>

use std::collections::HashMap;

use yaml_rust2::parser::{Event, Parser, Tag};
use yaml_rust2::scanner::{Marker, TScalarStyle};
use yaml_rust2::yaml::Hash;
use yaml_rust2::{ScanError, Yaml};

/// The limit for nesting. Code that uses the result may recurse.
const MAX_DEPTH: usize = 100;
/// The limit for values in a document, including those that aliases repeat.
const MAX_VALUES: usize = 1_000_000;
/// The limit for text that aliases repeat, in bytes.
const MAX_REPEATED_BYTES: usize = 16 << 20;

/// The first document of a text; [`Yaml::Null`] if it is empty.
pub fn parse(text: &str) -> Result<Yaml, String> {
    let mut parser = Parser::new_from_str(text.trim_start_matches('\u{feff}'));
    let mut loader = YamlLoader::default();
    loop {
        let (event, mark) = parser.next_token().map_err(|error| described(&error))?;
        match event {
            // Later documents are ignored, as by the programs that own these files.
            Event::DocumentEnd | Event::StreamEnd => return Ok(loader.document.unwrap_or(Yaml::Null)),
            event => loader.event(event).map_err(|reason| located(mark, &reason))?,
        }
    }
}

fn described(error: &ScanError) -> String {
    located(*error.marker(), error.info())
}

fn located(mark: Marker, reason: &str) -> String {
    format!("line {}, column {}: {reason}", mark.line(), mark.col() + 1)
}

/// A sequence or mapping that is not yet closed.
struct OpenCollection {
    value: Yaml,
    anchor: usize,
    /// Of a mapping: the key whose value comes next.
    key: Option<String>,
    /// The number of values and bytes in it.
    size: YamlBudget,
}

#[derive(Debug, Clone, Copy, Default)]
struct YamlBudget {
    values: usize,
    bytes: usize,
}

#[derive(Default)]
struct YamlLoader {
    document: Option<Yaml>,
    open: Vec<OpenCollection>,
    anchors: HashMap<usize, (Yaml, YamlBudget)>,
    total: YamlBudget,
}

impl YamlLoader {
    fn event(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::SequenceStart(anchor, _) => self.begin(Yaml::Array(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Yaml::Hash(Hash::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                self.add(open.value, open.size, open.anchor)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let size = YamlBudget { values: 1, bytes: text.len() };
                self.count(1)?;
                self.add(scalar(text, style, tag.as_ref()), size, anchor)
            }
            Event::Alias(anchor) => {
                let Some((_, size)) = self.anchors.get(&anchor) else {
                    return Err("an alias refers to a value that contains it".to_owned());
                };
                let size = *size;
                self.count(size.values)?;
                self.total.bytes += size.bytes;
                if self.total.bytes > MAX_REPEATED_BYTES {
                    return Err("aliases expand to too many values".to_owned());
                }
                let value = self.anchors[&anchor].0.clone();
                self.add(value, size, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, value: Yaml, anchor: usize) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} levels deep"));
        }
        self.count(1)?;
        self.open.push(OpenCollection { value, anchor, key: None, size: YamlBudget { values: 1, bytes: 0 } });
        Ok(())
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.total.values += values;
        if self.total.values > MAX_VALUES {
            return Err(format!("it exceeds {MAX_VALUES} values"));
        }
        Ok(())
    }

    /// Adds a finished value to its parent.
    fn add(&mut self, value: Yaml, size: YamlBudget, anchor: usize) -> Result<(), String> {
        if anchor > 0 {
            self.total.bytes += size.bytes;
            self.count(size.values)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some(value);
            return Ok(());
        };
        open.size.values += size.values;
        open.size.bytes += size.bytes;
        match (&mut open.value, open.key.take()) {
            (Yaml::Array(entries), _) => entries.push(value),
            (Yaml::Hash(entries), Some(key)) => {
                let key = Yaml::String(key);
                if entries.contains_key(&key) {
                    return Err(format!("`{}` is defined twice", key.as_str().unwrap_or_default()));
                }
                entries.insert(key, value);
            }
            (_, _) => open.key = Some(text(&value).ok_or("a key is not text")?),
        }
        Ok(())
    }
}

/// The value of a scalar by the core schema; other tags, such as `!reset`, are ignored.
fn scalar(text: String, style: TScalarStyle, tag: Option<&Tag>) -> Yaml {
    let is_text = tag.is_some_and(|tag| tag.handle == "tag:yaml.org,2002:" && tag.suffix == "str");
    if style != TScalarStyle::Plain || is_text {
        return Yaml::String(text);
    }
    match Yaml::from_str(&text) {
        // A number is kept as it is written where its digits say more than its value: a version, a mode.
        Yaml::Integer(number) if number.to_string() != text => Yaml::Real(text),
        value => value,
    }
}

/// A scalar as text.
pub fn text(value: &Yaml) -> Option<String> {
    match value {
        Yaml::String(text) | Yaml::Real(text) => Some(text.clone()),
        Yaml::Integer(number) => Some(number.to_string()),
        Yaml::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_the_core_schema_says() {
        let read = parse("a: [1, 010, 1.50, yes, true, ~, '5', !!str 7, !reset x]\nb: &x {c: 1}\nd: *x\n---\nlater\n")
            .unwrap();
        let texts: Vec<_> = read["a"].as_vec().unwrap().iter().map(text).collect();
        let expected = ["1", "010", "1.50", "yes", "true", "", "5", "7", "x"];
        assert_eq!(texts.iter().map(|text| text.clone().unwrap_or_default()).collect::<Vec<_>>(), expected);
        assert_eq!(read["d"]["c"].as_i64(), Some(1));
        assert_eq!(parse("").unwrap(), Yaml::Null);
        assert_eq!(parse("7: x").unwrap()["7"].as_str(), Some("x"));
    }

    #[test]
    fn aliases_cannot_grow_without_a_limit() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for level in 1..12 {
            let before = vec![format!("*a{}", level - 1); 9].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{before}]\n"));
        }
        assert!(parse(&laughs).unwrap_err().contains("it exceeds"), "values");
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
        assert!(parse(&long).unwrap_err().contains("aliases expand to too many values"), "bytes");
        for own in ["a: &a [*a]", "a: &a {b: *a}", "*x"] {
            assert!(parse(own).is_err(), "{own}");
        }
    }

    #[test]
    fn nesting_has_a_depth() {
        for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[{a: ", "}]")] {
            for deep in [99_999, 101] {
                let text = format!("{}{}", open.repeat(deep), close.repeat(deep));
                assert!(parse(&text).is_err(), "{open} {deep}");
            }
        }
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, expected) in [
            ("a: 1\na: 2", "line 2, column 4: `a` is defined twice"),
            ("a:\n  - {b: 1", "line "),
            ("{[1]: 2}", "a key is not text"),
            ("a: 'b", "line "),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
