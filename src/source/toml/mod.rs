//! A TOML file as one compact tree, in which every key knows where it stands. Large files have hundreds of thousands of
//! values of which few are ever asked for, so texts stay in the file's own text, and a value becomes a [`toml::Value`]
//! only when somebody wants it.

mod build;

use std::sync::Arc;

use rustc_hash::FxHashMap;
use toml::de::DeTable;

/// Tables with more keys than this are looked up by an index; below it, looking at each is faster and takes no memory.
const FEW: u32 = 16;
const ROOT: u32 = 0;
/// Stands for no node; the root is nobody's sibling or child.
const NONE: u32 = ROOT;
/// Larger files are refused, in bytes: places are kept in 32 bits, and escapes may need some behind the end.
const LARGEST: usize = 1 << 30;

/// A part of the file's text or, behind its end, of what escapes came to.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    start: u32,
    length: u32,
}

/// How a table came to be, which decides what may be added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A header of its own.
    Header,
    /// The header of a table inside it.
    Implied,
    /// A key with dots.
    Dotted,
    Inline,
}

#[derive(Debug, Clone, Copy)]
enum Payload {
    Text(Text),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// As it is written.
    Datetime(Text),
    Array(Children),
    /// Out of headers with two brackets.
    ArrayOfTables(Children),
    Table(Children, Origin),
}

/// Nodes that are chained by [`Entry::next`].
#[derive(Debug, Clone, Copy, Default)]
struct Children {
    first: u32,
    last: u32,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Empty in an array.
    key: Text,
    /// Where the key, or the value of an array, begins in the file.
    place: u32,
    next: u32,
    payload: Payload,
}

/// A whole file.
#[derive(Debug, Clone)]
pub struct TomlTree {
    text: Arc<String>,
    /// What escapes came to.
    decoded: String,
    entries: Vec<Entry>,
    /// Key → node, of each table that has many.
    index: FxHashMap<u32, FxHashMap<Box<str>, u32>>,
}

impl TomlTree {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with it, in the words of the `toml` crate.
    pub fn read(text: &Arc<String>) -> Result<Self, toml::de::Error> {
        if text.len() > LARGEST {
            return Err(serde::de::Error::custom("the file is larger than 1 GiB"));
        }
        if let Some(tree) = build::build(text) {
            return Ok(tree);
        }
        // This also finds the numbers that are too large, which the table with places keeps as they are written.
        toml::from_str::<toml::Table>(text)?;
        let table = DeTable::parse(text)?;
        let mut tree = Self::empty(Arc::clone(text));
        build::copy_table(&mut tree, ROOT, table.get_ref());
        Ok(tree)
    }

    fn empty(text: Arc<String>) -> Self {
        let root = Entry {
            key: Text::default(),
            place: 0,
            next: NONE,
            payload: Payload::Table(Children::default(), Origin::Header),
        };
        Self { text, decoded: String::new(), entries: vec![root], index: FxHashMap::default() }
    }

    pub fn root(&self) -> Node<'_> {
        Node { tree: self, at: ROOT }
    }

    /// The value that has this [`Node::position`] in the tree; the root where none has.
    pub fn node(&self, position: usize) -> Node<'_> {
        let at = if position < self.entries.len() { position as u32 } else { ROOT };
        Node { tree: self, at }
    }

    fn text(&self, text: Text) -> &str {
        let (start, length) = (text.start as usize, text.length as usize);
        let found = match start.checked_sub(self.text.len()) {
            None => self.text.get(start..start + length),
            Some(start) => self.decoded.get(start..start + length),
        };
        found.unwrap_or_default()
    }

    fn bytes(&self, text: Text) -> &[u8] {
        let (start, length) = (text.start as usize, text.length as usize);
        let (held, start) = match start.checked_sub(self.text.len()) {
            None => (self.text.as_bytes(), start),
            Some(start) => (self.decoded.as_bytes(), start),
        };
        held.get(start..start + length).unwrap_or_default()
    }

    fn children(&self, at: u32) -> Children {
        match self.entries[at as usize].payload {
            Payload::Array(children) | Payload::ArrayOfTables(children) | Payload::Table(children, _) => children,
            _ => Children::default(),
        }
    }

    fn find(&self, table: u32, key: &str) -> Option<u32> {
        let Payload::Table(children, _) = self.entries[table as usize].payload else { return None };
        if children.count > FEW {
            return self.index.get(&table)?.get(key).copied();
        }
        let mut at = children.first;
        while at != NONE {
            let entry = &self.entries[at as usize];
            if entry.key.length as usize == key.len() && self.bytes(entry.key) == key.as_bytes() {
                return Some(at);
            }
            at = entry.next;
        }
        None
    }
}

/// A value of the file.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    tree: &'a TomlTree,
    at: u32,
}

impl<'a> Node<'a> {
    fn payload(self) -> Payload {
        self.tree.entries[self.at as usize].payload
    }

    /// The value of a key, if this is a table that has it.
    pub fn get(self, key: &str) -> Option<Self> {
        self.tree.find(self.at, key).map(|at| Self { tree: self.tree, at })
    }

    pub fn is_table(self) -> bool {
        matches!(self.payload(), Payload::Table(..))
    }

    pub fn is_array(self) -> bool {
        matches!(self.payload(), Payload::Array(_) | Payload::ArrayOfTables(_))
    }

    pub fn as_table(self) -> Option<Self> {
        self.is_table().then_some(self)
    }

    pub fn as_str(self) -> Option<&'a str> {
        match self.payload() {
            Payload::Text(text) => Some(self.tree.text(text)),
            _ => None,
        }
    }

    pub fn as_bool(self) -> Option<bool> {
        match self.payload() {
            Payload::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    /// What an array or a table holds, in the order in which it is first mentioned. The keys of an array are empty.
    pub fn entries(self) -> impl Iterator<Item = (&'a str, Self)> {
        let first = self.tree.children(self.at).first;
        let follow = |at: u32| (at != NONE).then_some(at);
        let ids = std::iter::successors(follow(first), move |at| follow(self.tree.entries[*at as usize].next));
        ids.map(move |at| (self.tree.text(self.tree.entries[at as usize].key), Self { tree: self.tree, at }))
    }

    pub fn keys(self) -> impl Iterator<Item = &'a str> {
        self.entries().map(|(key, _)| key)
    }

    /// Where it stands in the tree.
    pub fn position(self) -> usize {
        self.at as usize
    }

    /// Where its key, or itself in an array, begins in the file's text.
    pub fn place(self) -> usize {
        self.tree.entries[self.at as usize].place as usize
    }

    pub fn to_value(self) -> toml::Value {
        match self.payload() {
            Payload::Text(text) => toml::Value::String(self.tree.text(text).to_owned()),
            Payload::Integer(number) => toml::Value::Integer(number),
            Payload::Float(number) => toml::Value::Float(number),
            Payload::Boolean(flag) => toml::Value::Boolean(flag),
            Payload::Datetime(text) => {
                let text = self.tree.text(text);
                text.parse().map_or_else(|_| toml::Value::String(text.to_owned()), toml::Value::Datetime)
            }
            Payload::Array(_) | Payload::ArrayOfTables(_) => {
                toml::Value::Array(self.entries().map(|(_, value)| value.to_value()).collect())
            }
            Payload::Table(..) => toml::Value::Table(self.to_table()),
        }
    }

    /// An empty table where this is none.
    pub fn to_table(self) -> toml::Table {
        if !self.is_table() {
            return toml::Table::new();
        }
        self.entries().map(|(key, value)| (key.to_owned(), value.to_value())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TomlTree, String> {
        TomlTree::read(&Arc::new(text.to_owned())).map_err(|error| error.to_string())
    }

    /// Reads it as the `toml` crate does, and finds out whether that took no help of the crate.
    fn alone(text: &str) -> bool {
        let expected = toml::from_str::<toml::Table>(text).map_err(|error| error.to_string());
        let found = read(text).map(|tree| tree.root().to_table());
        assert_eq!(found, expected, "{text}");
        build::build(&Arc::new(text.to_owned())).is_some()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        assert!(alone(concat!(
            "\"a b\" = 'c'\nd.e.f = 0xff\nd.e.g = [1, 2.5, -inf, true, \"\\u00e9\\n\", [], {}]\n",
            "[h]\nwhen = 1979-05-27T07:32:00Z\nlong = \"\"\"\nx\\\n  y\"\"\"\nraw = '''\n\\'''\n",
            "[h.i.j]\nk = { l.m = 1, l.n = { o = [ { p = 1 }, ] } } # comment\r\n",
            "[[q]]\nr = 1\n[q.s]\nt = 1\n[[q]]\n[[q.u]]\n[[q.u]]\nv = ''\n"
        )));
        assert!(alone("") && alone("# only this") && alone("\u{feff}a = 1"));
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
            assert!(!alone(text), "{text}");
        }
        let deep = |depth: usize| format!("a = {}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(alone(&deep(80)) && !alone(&deep(81)));
    }

    #[test]
    fn what_only_the_crate_takes_for_right_is_read_with_its_places() {
        let text = "[a.b.c]\n[a]\nb.d = [2.5, 0x1f, 'e']\n";
        assert!(!alone(text));
        let tree = read(text).expect("valid");
        let inner = tree.root().get("a").and_then(|a| a.get("b")?.get("d")).expect("there");
        assert_eq!(text.get(inner.place()..inner.place() + 1), Some("d"));
    }

    #[test]
    fn keys_stay_in_the_order_in_which_they_are_first_mentioned() {
        let tree = read("[env.a.set_env]\nX = '1'\n[env.b]\n[env.a]\nc = 1\n").expect("valid");
        assert_eq!(tree.root().get("env").expect("there").keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn keys_are_found_however_many_there_are() {
        let count = 3 * FEW;
        let text: String = (0..count).map(|number| format!("[env.e{number}]\nkey = {number}\n")).collect();
        assert!(alone(&text));
        let tree = read(&text).expect("valid");
        let environments = tree.root().get("env").expect("there");
        for number in 0..count {
            let found = environments.get(&format!("e{number}")).expect("there");
            assert_eq!(found.get("key").map(Node::to_value), Some(toml::Value::Integer(number.into())));
        }
        assert!(environments.get("e").is_none() && !alone(&format!("{text}[env.e{}]\n", count - 1)));
    }

    #[test]
    fn a_file_larger_than_is_parsed_at_once_is_read_whole() {
        let text: String = (0..5000).map(|number| format!("k{number} = [\n  {number},\n]\n")).collect();
        assert!(alone(&text) && !alone(&format!("{text}a = [")));
    }

    #[test]
    fn every_key_knows_where_it_stands() {
        let text = "a = 1\n[b]\n\"c\" = { d = 2 }\n";
        let tree = read(text).expect("valid");
        let inner = tree.root().get("b").and_then(|table| table.get("c")).expect("there");
        let start = |node: Node<'_>| text.get(node.place()..node.place() + 1);
        assert_eq!((start(inner), inner.get("d").and_then(start)), (Some("\""), Some("d")));
    }
}
