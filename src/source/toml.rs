//! Reads a TOML file as a tree in which every key has its location.

use std::ops::Range;
use std::sync::Arc;

use toml::Value;
use toml::de::{DeTable, DeValue};
use toml::map::Map;

use crate::os_text;

/// A whole file.
#[derive(Debug, Clone)]
pub struct TomlTree(TomlValue);

/// Where a value is written: offsets in the file's text, in bytes.
pub type Span = Range<usize>;

/// The entries of a table, in the order in which keys are first mentioned.
pub type TomlTable = Map<String, TomlValue>;

/// A value with its location.
#[derive(Debug, Clone)]
pub struct TomlValue {
    /// The offset of its key (or of itself in an array) in the file, in bytes.
    place: usize,
    /// Empty if the value is not from the file.
    span: Span,
    pub content: TomlContent,
}

#[derive(Debug, Clone)]
pub enum TomlContent {
    /// Neither an array nor a table.
    Scalar(Value),
    Array(Vec<TomlValue>),
    Table(TomlTable),
}

impl TomlTree {
    /// Reads a file's text.
    pub fn read(text: &Arc<String>) -> Result<Self, toml::de::Error> {
        let table = DeTable::parse(text)?;
        let Some(content) = TomlContent::of_table(table.get_ref()) else {
            // The crate finds the words for a number that is too large only when it is asked for its value.
            toml::from_str::<toml::Table>(text)?;
            return Err(serde::de::Error::custom("a number is too large"));
        };
        Ok(Self(TomlValue { place: 0, span: 0..0, content }))
    }

    pub fn root(&self) -> &TomlValue {
        &self.0
    }
}

impl TomlContent {
    /// `None`: a number in it is too large.
    fn of_table(table: &DeTable<'_>) -> Option<Self> {
        let located = table.iter().map(|(key, value)| {
            let content = Self::of(value.get_ref())?;
            let located = TomlValue { place: key.span().start, span: value.span(), content };
            Some((os_text::escape(key.get_ref()).into_owned(), located))
        });
        let mut located = located.collect::<Option<Vec<_>>>()?;
        // The crate moves a table whose header follows those of tables inside it to the end.
        located.sort_by_cached_key(|(_, value)| value.first_mention());
        Some(Self::Table(located.into_iter().collect()))
    }

    fn of(value: &DeValue<'_>) -> Option<Self> {
        Some(Self::Scalar(match value {
            DeValue::String(text) => Value::String(os_text::escape(text).into_owned()),
            DeValue::Integer(number) => Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
            DeValue::Float(number) => {
                let written = number.as_str();
                let number: f64 = written.parse().ok()?;
                Value::Float((written.contains("inf") || !number.is_infinite()).then_some(number)?)
            }
            DeValue::Boolean(flag) => Value::Boolean(*flag),
            DeValue::Datetime(moment) => Value::Datetime(*moment),
            DeValue::Array(values) => {
                let located = values.iter().map(|value| {
                    let span = value.span();
                    Some(TomlValue { place: span.start, span, content: Self::of(value.get_ref())? })
                });
                return located.collect::<Option<_>>().map(Self::Array);
            }
            DeValue::Table(table) => return Self::of_table(table),
        }))
    }
}

impl TomlValue {
    /// A value that is written at `span`, or that comes from what is written there.
    pub fn new(content: TomlContent, span: Span) -> Self {
        Self { place: span.start, span, content }
    }

    pub fn text(text: String, span: Span) -> Self {
        Self::new(TomlContent::Scalar(Value::String(text)), span)
    }

    pub fn list(values: Vec<Self>, span: Span) -> Self {
        Self::new(TomlContent::Array(values), span)
    }

    /// Where it, or anything in it, is mentioned first. Keys are in that order already.
    fn first_mention(&self) -> usize {
        let first = match &self.content {
            TomlContent::Table(table) => table.values().next(),
            TomlContent::Array(values) => values.first(),
            TomlContent::Scalar(_) => None,
        };
        first.map_or(self.place, |first| first.first_mention().min(self.place))
    }

    /// The value of a key, if this is a table that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.table()?.get(key)
    }

    pub fn table(&self) -> Option<&TomlTable> {
        match &self.content {
            TomlContent::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn array(&self) -> Option<&[Self]> {
        match &self.content {
            TomlContent::Array(values) => Some(values),
            _ => None,
        }
    }

    pub fn scalar(&self) -> Option<&Value> {
        match &self.content {
            TomlContent::Scalar(value) => Some(value),
            _ => None,
        }
    }

    pub fn is_table(&self) -> bool {
        self.table().is_some()
    }

    pub fn is_array(&self) -> bool {
        self.array().is_some()
    }

    pub fn as_table(&self) -> Option<&Self> {
        self.is_table().then_some(self)
    }

    pub fn as_str(&self) -> Option<&str> {
        self.scalar()?.as_str()
    }

    pub fn is_str(&self) -> bool {
        self.as_str().is_some()
    }

    /// The entries of an array or a table, in the order of their first mention. The keys of an array are empty.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Self)> {
        let values = self.array().unwrap_or_default().iter().map(|value| ("", value));
        values.chain(self.table().into_iter().flatten().map(|(key, value)| (key.as_str(), value)))
    }

    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(key, _)| key)
    }

    /// The offset of its key (or of itself in an array) in the file's text.
    pub fn place(&self) -> usize {
        self.place
    }

    /// The value in it whose key begins at that offset.
    pub fn written_at(&self, place: usize) -> Option<&Self> {
        self.entries().find_map(|(_, entry)| {
            if entry.place == place && !self.is_array() { Some(entry) } else { entry.written_at(place) }
        })
    }

    pub fn span(&self) -> Span {
        self.span.clone()
    }

    pub fn to_value(&self) -> Value {
        match &self.content {
            TomlContent::Scalar(value) => value.clone(),
            TomlContent::Array(values) => Value::Array(values.iter().map(Self::to_value).collect()),
            TomlContent::Table(_) => Value::Table(self.to_table()),
        }
    }

    /// An empty table if this is not a table.
    pub fn to_table(&self) -> toml::Table {
        let entries = self.table().into_iter().flatten();
        entries.map(|(key, value)| (key.to_owned(), value.to_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TomlTree, String> {
        TomlTree::read(&Arc::new(text.to_owned())).map_err(|error| error.to_string())
    }

    /// Parses the text with the `toml` crate, which validates it.
    fn is_valid(text: &str) -> bool {
        let expected = toml::from_str::<toml::Table>(text).map_err(|error| error.to_string());
        let found = read(text).map(|tree| tree.root().to_table());
        assert_eq!(found, expected, "{text}");
        found.is_ok()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        assert!(is_valid(concat!(
            "\"a b\" = 'c'\nd.e.f = 0xff\nd.e.g = [1, 2.5, -inf, true, \"\\u00e9\\n\", [], {}]\n",
            "[h]\nwhen = 1979-05-27T07:32:00Z\nlong = \"\"\"\nx\\\n  y\"\"\"\nraw = '''\n\\'''\n",
            "[h.i.j]\nk = { l.m = 1, l.n = { o = [ { p = 1 }, ] } } # comment\r\n",
            "[[q]]\nr = 1\n[q.s]\nt = 1\n[[q]]\n[[q.u]]\n[[q.u]]\nv = ''\n"
        )));
        assert!(is_valid("") && is_valid("# only this") && is_valid("\u{feff}a = 1"));
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_the_crate() {
        let wrong = [
            "a = 1\na = 2",
            "a = 1\n[a]",
            "[a]\n[a]",
            "[a]\nb.c = 1\n[a.b]",
            "a.b = 1\na.b.c = 2",
            "a = {}\na.b = 1",
            "a = {}\n[a.b]",
            "a = []\n[[a]]",
            "[[a]]\n[a]",
            "[a]\n[[a]]",
            "a = { b = 1, b = 2 }",
            "a = { b.c = 1, b = 2 }",
            "a = 99999999999999999999",
            "a = 1e999",
            "a = 2000-13-01",
            "a = [1",
            "a = ]",
            "a",
            "a =",
            "= 1",
            "[a",
            "a = 1 b = 2",
            "a = \"\\q\"",
            "a = 'b\nc'",
            "a = \"\u{1}\"",
            "a = '\u{7f}'",
            "a = \"b",
            "a = \"",
            "a b = 1",
            "ä = 1",
            "\u{1}",
            "# \u{1}",
        ];
        for text in wrong {
            assert!(!is_valid(text), "{text}");
        }
        let deep = |depth: usize| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_valid(&deep(80)) && !is_valid(&deep(81)));
    }

    #[test]
    fn keys_stay_in_the_order_in_which_they_are_first_mentioned() {
        let tree = read("[env.a.set_env]\nX = '1'\n[env.b]\n[env.a]\nc = 1\n").expect("valid");
        assert_eq!(tree.root().get("env").expect("there").keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn every_key_knows_where_it_stands() {
        let text = "a = 1\n[b]\n\"c\" = { d = 2 }\n";
        let tree = read(text).expect("valid");
        let inner = tree.root().get("b").and_then(|table| table.get("c")).expect("there");
        let start = |value: &TomlValue| text.get(value.place()..value.place() + 1);
        assert_eq!((start(inner), inner.get("d").and_then(start)), (Some("\""), Some("d")));
        let spans = |value: &TomlValue| text.get(value.span()).map(str::to_owned);
        assert_eq!(spans(inner).as_deref(), Some("{ d = 2 }"));
        assert_eq!(inner.get("d").and_then(spans).as_deref(), Some("2"));
    }
}
