//! Builds the tree out of the events of the `toml_parser` crate, by the rules of <https://toml.io/en/v1.0.0> for what may
//! be added to which table. It gives up at whatever is not plainly right: the `toml` crate then decides, and finds the
//! words for what is wrong.

use std::borrow::Cow;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::lexer::{Token, TokenKind};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

use super::{Children, Entry, FEW, NONE, Origin, Payload, ROOT, Text, TomlTree};

/// How deep arrays and tables may stand in one another; the limit of the `toml` crate.
const DEEPEST: usize = 80;
/// Expressions are parsed as soon as there are so many tokens, so that those of a large file need not be kept.
const TOKENS: usize = 4096;

/// `None`: the text is wrong, or hard to tell from wrong.
pub(super) fn build(text: &Arc<String>) -> Option<TomlTree> {
    let mut tree = TomlTree::empty(Arc::clone(text));
    let mut refused = Refused(false);
    let source = Source::new(text);
    let mut builder =
        Builder { source, tree: &mut tree, table: ROOT, path: Vec::new(), pending: None, open: Vec::new() };
    let mut tokens: Vec<Token> = Vec::with_capacity(TOKENS + TOKENS / 4);
    let mut depth = 0_usize;
    for token in source.lex() {
        tokens.push(token);
        match token.kind() {
            TokenKind::LeftSquareBracket | TokenKind::LeftCurlyBracket => depth += 1,
            TokenKind::RightSquareBracket | TokenKind::RightCurlyBracket => depth = depth.checked_sub(1)?,
            // Outside brackets, a line's end is an expression's end.
            TokenKind::Newline if depth == 0 && tokens.len() >= TOKENS => {
                parse_document(&tokens, &mut builder, &mut refused);
                tokens.clear();
            }
            _ => {}
        }
        if refused.0 {
            return None;
        }
    }
    parse_document(&tokens, &mut builder, &mut refused);
    let whole = builder.open.is_empty() && builder.path.is_empty() && builder.pending.is_none();
    (whole && !refused.0).then_some(tree)
}

/// Remembers that anything was wrong.
struct Refused(bool);

impl ErrorSink for Refused {
    fn report_error(&mut self, _: ParseError) {
        self.0 = true;
    }
}

fn refuse(errors: &mut dyn ErrorSink) {
    errors.report_error(ParseError::new("refused"));
}

/// A simple key, and where it begins.
type Step = (Text, u32);

struct Builder<'t> {
    source: Source<'t>,
    tree: &'t mut TomlTree,
    /// The table that keys go to.
    table: u32,
    /// The key or the header that is being read.
    path: Vec<Step>,
    /// The table and the key that wait for their value.
    pending: Option<(u32, Step)>,
    /// The arrays and inline tables that are open.
    open: Vec<u32>,
}

impl<'t> Builder<'t> {
    /// A decoded text as part of the file's, where it stands in there as it is.
    fn keep(&mut self, decoded: Cow<'t, str>) -> Text {
        let length = decoded.len() as u32;
        match decoded {
            Cow::Borrowed("") => Text::default(),
            Cow::Borrowed(part) => {
                let start = part.as_ptr().addr() - self.source.input().as_ptr().addr();
                Text { start: start as u32, length }
            }
            Cow::Owned(text) => self.tree.remember(&text),
        }
    }

    /// The table that the steps lead to from `start`, made where it is missing. `None`: they may not lead there.
    fn descend(&mut self, start: u32, steps: &[Step], origin: Origin) -> Option<u32> {
        let mut table = start;
        for &(key, place) in steps {
            table = match self.tree.find_text(table, key) {
                None => self.tree.add(table, (key, place), Payload::Table(Children::default(), origin)),
                Some(found) => match (self.tree.entries[found as usize].payload, origin) {
                    (Payload::Table(_, Origin::Dotted), Origin::Dotted)
                    | (Payload::Table(_, Origin::Header | Origin::Implied), Origin::Implied) => found,
                    (Payload::ArrayOfTables(tables), Origin::Implied) => tables.last,
                    _ => return None,
                },
            };
        }
        Some(table)
    }

    /// Opens the table that a header names. `None`: there may be no such header here.
    fn header(&mut self, is_array: bool) -> Option<()> {
        let path = std::mem::take(&mut self.path);
        let ((key, place), steps) = path.split_last()?;
        let parent = self.descend(ROOT, steps, Origin::Implied)?;
        let found = self.tree.find_text(parent, *key);
        let table = Payload::Table(Children::default(), Origin::Header);
        self.table = if is_array {
            let array = match found.map(|at| (at, self.tree.entries[at as usize].payload)) {
                None => self.tree.add(parent, (*key, *place), Payload::ArrayOfTables(Children::default())),
                Some((at, Payload::ArrayOfTables(_))) => at,
                Some(_) => return None,
            };
            self.tree.add(array, (Text::default(), *place), table)
        } else {
            match found.map(|at| (at, self.tree.entries[at as usize].payload)) {
                None => self.tree.add(parent, (*key, *place), table),
                Some((at, Payload::Table(children, Origin::Implied))) => {
                    let entry = &mut self.tree.entries[at as usize];
                    entry.payload = Payload::Table(children, Origin::Header);
                    entry.place = *place;
                    at
                }
                Some(_) => return None,
            }
        };
        self.path = path;
        self.path.clear();
        Some(())
    }

    /// Finds out where the value goes whose key is complete. `None`: it may not go there.
    fn assign(&mut self) -> Option<()> {
        let path = std::mem::take(&mut self.path);
        let (last, steps) = path.split_last()?;
        let start = self.open.last().copied().unwrap_or(self.table);
        let table = self.descend(start, steps, Origin::Dotted)?;
        if self.pending.is_some() || self.tree.find_text(table, last.0).is_some() {
            return None;
        }
        self.pending = Some((table, *last));
        self.path = path;
        self.path.clear();
        Some(())
    }

    /// Puts a value where it belongs. `None`: nothing waits for one.
    fn attach(&mut self, payload: Payload, place: usize) -> Option<u32> {
        if let Some((table, step)) = self.pending.take() {
            return Some(self.tree.add(table, step, payload));
        }
        let array = *self.open.last()?;
        let Payload::Array(_) = self.tree.entries[array as usize].payload else { return None };
        Some(self.tree.add(array, (Text::default(), place as u32), payload))
    }

    fn open(&mut self, payload: Payload, span: Span, errors: &mut dyn ErrorSink) -> bool {
        let opened = if self.open.len() < DEEPEST { self.attach(payload, span.start()) } else { None };
        match opened {
            Some(at) => self.open.push(at),
            None => refuse(errors),
        }
        opened.is_some()
    }

    fn close(&mut self, errors: &mut dyn ErrorSink) {
        if self.open.pop().is_none() || self.pending.is_some() || !self.path.is_empty() {
            refuse(errors);
        }
    }

    fn value(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) -> Option<Payload> {
        let raw = self.source.get(span)?.as_str();
        let mut decoded = Cow::Borrowed("");
        if let Some(plain) = plain_string(raw, encoding) {
            return Some(Payload::Text(self.keep(Cow::Borrowed(plain))));
        }
        let kind = toml_parser::Raw::new_unchecked(raw, encoding, span).decode_scalar(&mut decoded, errors);
        Some(match kind {
            ScalarKind::String => Payload::Text(self.keep(decoded)),
            ScalarKind::Boolean(flag) => Payload::Boolean(flag),
            ScalarKind::Integer(radix) => Payload::Integer(i64::from_str_radix(&decoded, radix.value()).ok()?),
            ScalarKind::Float => {
                let number: f64 = decoded.parse().ok()?;
                let written = decoded.contains("inf");
                Payload::Float((written || !number.is_infinite()).then_some(number)?)
            }
            ScalarKind::DateTime => {
                decoded.parse::<toml::value::Datetime>().ok()?;
                Payload::Datetime(self.keep(decoded))
            }
        })
    }
}

/// What stands between the quotes of a string of one line, where that needs no decoding: most strings are such.
fn plain_string(raw: &str, encoding: Option<Encoding>) -> Option<&str> {
    let quote = match encoding? {
        Encoding::BasicString => '"',
        Encoding::LiteralString => '\'',
        _ => return None,
    };
    let inner = raw.strip_prefix(quote)?.strip_suffix(quote)?;
    inner.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != b'\\').then_some(inner)
}

fn is_plain_key(raw: &str) -> bool {
    !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

impl EventReceiver for Builder<'_> {
    fn std_table_open(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if !self.path.is_empty() || !self.open.is_empty() || self.pending.is_some() {
            refuse(errors);
        }
    }

    fn std_table_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if self.header(false).is_none() {
            refuse(errors);
        }
    }

    fn array_table_open(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        self.std_table_open(span, errors);
    }

    fn array_table_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if self.header(true).is_none() {
            refuse(errors);
        }
    }

    fn inline_table_open(&mut self, span: Span, errors: &mut dyn ErrorSink) -> bool {
        self.open(Payload::Table(Children::default(), Origin::Inline), span, errors)
    }

    fn inline_table_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        self.close(errors);
    }

    fn array_open(&mut self, span: Span, errors: &mut dyn ErrorSink) -> bool {
        self.open(Payload::Array(Children::default()), span, errors)
    }

    fn array_close(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        self.close(errors);
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return refuse(errors) };
        let mut decoded = Cow::Borrowed("");
        if encoding.is_none() && is_plain_key(raw.as_str()) {
            decoded = Cow::Borrowed(raw.as_str());
        } else {
            toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span).decode_key(&mut decoded, errors);
        }
        if self.path.len() >= DEEPEST {
            refuse(errors);
        }
        let key = self.keep(decoded);
        self.path.push((key, span.start() as u32));
    }

    fn key_val_sep(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        if self.assign().is_none() {
            refuse(errors);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, errors: &mut dyn ErrorSink) {
        let value = self.value(span, encoding, errors);
        if value.and_then(|value| self.attach(value, span.start())).is_none() {
            refuse(errors);
        }
    }

    fn comment(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        match self.source.get(span) {
            Some(raw) => raw.decode_comment(errors),
            None => refuse(errors),
        }
    }

    fn newline(&mut self, span: Span, errors: &mut dyn ErrorSink) {
        match self.source.get(span) {
            Some(raw) => raw.decode_newline(errors),
            None => refuse(errors),
        }
    }

    fn error(&mut self, _: Span, errors: &mut dyn ErrorSink) {
        refuse(errors);
    }
}

impl TomlTree {
    fn find_text(&self, table: u32, key: Text) -> Option<u32> {
        self.find(table, self.text(key))
    }

    /// Keeps a text that does not stand in the file as it is.
    fn remember(&mut self, text: &str) -> Text {
        let start = (self.text.len() + self.decoded.len()) as u32;
        self.decoded.push_str(text);
        Text { start, length: text.len() as u32 }
    }

    /// Adds a value to an array or a table that does not have the key.
    fn add(&mut self, parent: u32, (key, place): Step, payload: Payload) -> u32 {
        let at = self.entries.len() as u32;
        self.entries.push(Entry { key, place, next: NONE, payload });
        let Some(children) = self.entries[parent as usize].payload.children_mut() else { return at };
        let before = *children;
        *children =
            Children { first: if before.count == 0 { at } else { before.first }, last: at, count: before.count + 1 };
        if before.count > 0 {
            self.entries[before.last as usize].next = at;
        }
        if before.count >= FEW && matches!(self.entries[parent as usize].payload, Payload::Table(..)) {
            self.note(parent, before, at);
        }
        at
    }

    /// Adds a key to the index of a large table.
    fn note(&mut self, table: u32, before: Children, at: u32) {
        let mut index = self.index.remove(&table).unwrap_or_default();
        let mut noted = if before.count == FEW { before.first } else { at };
        while noted != NONE {
            let entry = self.entries[noted as usize];
            index.insert(self.text(entry.key).into(), noted);
            noted = entry.next;
        }
        self.index.insert(table, index);
    }
}

impl Payload {
    fn children_mut(&mut self) -> Option<&mut Children> {
        match self {
            Self::Array(children) | Self::ArrayOfTables(children) | Self::Table(children, _) => Some(children),
            _ => None,
        }
    }
}

/// Adds what the `toml` crate read.
pub(super) fn copy_table(tree: &mut TomlTree, parent: u32, table: &DeTable<'_>) {
    for (key, value) in table {
        let step = (tree.remember(key.get_ref()), key.span().start as u32);
        copy(tree, parent, step, value.get_ref());
    }
}

fn copy(tree: &mut TomlTree, parent: u32, step: Step, value: &DeValue<'_>) {
    let payload = match value {
        DeValue::String(text) => Payload::Text(tree.remember(text)),
        DeValue::Integer(number) => {
            Payload::Integer(i64::from_str_radix(number.as_str(), number.radix()).unwrap_or_default())
        }
        DeValue::Float(number) => Payload::Float(number.as_str().parse().unwrap_or_default()),
        DeValue::Boolean(flag) => Payload::Boolean(*flag),
        DeValue::Datetime(moment) => Payload::Datetime(tree.remember(&moment.to_string())),
        DeValue::Array(_) => Payload::Array(Children::default()),
        DeValue::Table(_) => Payload::Table(Children::default(), Origin::Inline),
    };
    let at = tree.add(parent, step, payload);
    match value {
        DeValue::Array(values) => {
            for value in values.iter() {
                copy(tree, at, (Text::default(), value.span().start as u32), value.get_ref());
            }
        }
        DeValue::Table(table) => copy_table(tree, at, table),
        _ => {}
    }
}
