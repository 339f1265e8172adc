//! Replaces expressions with their values. The rules depend on the setting: a command line quotes substituted text, a
//! list rejects new entries in the middle of one, a requirement rejects line breaks.

use std::cell::Cell;

use crate::error::{ConfigError, ErrorClass};
use crate::python_text::quote::{is_line_break, quote_words};
use crate::requirements::check_substitution;
use crate::settings::expand::command_line::{CommandPiece, CommandPieceKind, QuoteState, join_pieces, with_colons};
use crate::settings::expand::parse::{TextPart, has_expression, parse_with};
use crate::settings::expand::{FoundReference, Trail, ValueLookup, parse_reference};
use crate::settings::nesting::{Nesting, Step};

/// The limit for chains of references.
const DEEPEST: usize = 100;
/// How many bytes of values that hold expressions are gone through for one text, and come out of any of them. Values that refer
/// to values twice each would otherwise take a time that doubles with each of them, and quotes within quotes a room that does.
const MOST_TEXT: usize = 1 << 20;

/// The limit for all substituted text in bytes.
const MOST_RESULT: usize = 64 << 20;

/// The kind of text that is being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceStyle {
    Plain,
    /// The word of a command that may be its program.
    Program,
    /// One command per line.
    Commands,
    /// Entries of a list, set or mapping between these separators.
    Entries(&'static [char]),
    /// Lines of a requirements file.
    Requirements,
}

/// Replaces every expression in `text`. `prefix` is the prefix of environments' sections.
pub fn replace(
    lookup: &dyn ValueLookup,
    prefix: &str,
    style: ReplaceStyle,
    text: &str,
    trail: &Trail,
) -> Result<String, ConfigError> {
    let needs_work = text.contains(['{', '\\']) || text.contains("[]");
    if !needs_work {
        return Ok(text.to_owned());
    }
    let limits = ExpansionLimits::default();
    let replacer = Replacer { lookup, prefix, style, trail, depth: 0, limits: &limits, recursive: true };
    replacer.expand(&parse_with(text, lookup.escaped_brace()))
}

/// Replaces the expressions in `text`, but not those in their values.
pub fn replace_once(lookup: &dyn ValueLookup, prefix: &str, text: &str, trail: &Trail) -> Result<String, ConfigError> {
    let limits = ExpansionLimits::default();
    let replacer =
        Replacer { lookup, prefix, style: ReplaceStyle::Plain, trail, depth: 0, limits: &limits, recursive: false };
    replacer.expand(&parse_with(text, lookup.escaped_brace()))
}

#[derive(Clone, Copy)]
struct Replacer<'a> {
    lookup: &'a dyn ValueLookup,
    prefix: &'a str,
    style: ReplaceStyle,
    trail: &'a Trail,
    depth: usize,
    limits: &'a ExpansionLimits,
    recursive: bool,
}

/// The limits of an expansion.
#[derive(Default)]
struct ExpansionLimits {
    /// Set if values are nested too deeply: the rest stays as written.
    exhausted: Cell<bool>,
    /// Bytes of values that were scanned.
    text: Cell<usize>,
    /// Bytes that were inserted.
    result: Cell<usize>,
}

/// The value of an expression, before it is joined with the text around it.
enum ReplacedValue {
    Found(FoundReference),
    /// Written in the expression itself: the arguments from `start` on (up to `stop`), as joined text.
    Default {
        text: String,
        start: usize,
        stop: Option<usize>,
    },
    Matches(Vec<String>),
    Positional(Vec<String>),
}

impl ReplacedValue {
    fn text(&self) -> String {
        match self {
            Self::Found(FoundReference::Raw(text) | FoundReference::Text(text) | FoundReference::Arguments(text))
            | Self::Default { text, .. } => text.clone(),
            Self::Matches(matches) => matches.join(" "),
            Self::Positional(words) => quote_words(words),
        }
    }
}

impl Replacer<'_> {
    fn expand(&self, parts: &[TextPart]) -> Result<String, ConfigError> {
        match self.style {
            ReplaceStyle::Plain | ReplaceStyle::Program => self.join(parts),
            ReplaceStyle::Commands => Ok(join_pieces(&self.pieces(parts, true)?)),
            ReplaceStyle::Entries(separators) => self.join_entries(parts, separators),
            ReplaceStyle::Requirements => self.join_requirements(parts),
        }
    }

    fn join(&self, parts: &[TextPart]) -> Result<String, ConfigError> {
        let mut result = String::new();
        for part in parts {
            match part {
                TextPart::Text(text) => result.push_str(text),
                TextPart::Expression(arguments) => result.push_str(&self.expression(arguments)?.0),
            }
        }
        Ok(result)
    }

    /// The text for an expression, and whether it had a value.
    fn expression(&self, arguments: &[Vec<TextPart>]) -> Result<(String, bool), ConfigError> {
        if self.limits.exhausted.get() {
            return Ok((literal(arguments), false));
        }
        let _nesting = Nesting::enter(Step::Expression)?;
        let flat = arguments.iter().map(|argument| self.expand_argument(argument)).collect::<Result<Vec<_>, _>>()?;
        let Some(value) = self.value(&flat, self.style == ReplaceStyle::Program)? else {
            return Ok((format!("{{{}}}", flat.join(":")), false));
        };
        let text = value.text();
        if matches!(value, ReplacedValue::Found(FoundReference::Raw(_))) && self.recursive && has_expression(&text) {
            return Ok((self.nested(&text)?, true));
        }
        self.count(&text)?;
        Ok((text, true))
    }

    fn count(&self, text: &str) -> Result<(), ConfigError> {
        self.limits.result.set(self.limits.result.get().saturating_add(text.len()));
        if self.limits.result.get() > MOST_RESULT { Err(too_much(text)) } else { Ok(()) }
    }

    fn expand_argument(&self, argument: &[TextPart]) -> Result<String, ConfigError> {
        match self.style {
            ReplaceStyle::Requirements => self.join_requirements(argument),
            ReplaceStyle::Entries(separators) => self.join_checked(argument, separators),
            ReplaceStyle::Plain | ReplaceStyle::Program | ReplaceStyle::Commands => self.join(argument),
        }
    }

    fn nested(&self, text: &str) -> Result<String, ConfigError> {
        let nested = Self { depth: self.depth + 1, ..*self };
        if nested.too_deep(text)? {
            return Ok(text.to_owned());
        }
        let expanded = nested.expand(&parse_with(text, self.lookup.escaped_brace()))?;
        // Measured for itself: around it stands the same text again.
        if expanded.len() > MOST_TEXT { Err(too_much(text)) } else { Ok(expanded) }
    }

    /// Whether the values must stay as written, as in tox.
    fn too_deep(&self, text: &str) -> Result<bool, ConfigError> {
        let seen = self.limits.text.get().saturating_add(text.len() + 1);
        self.limits.text.set(seen);
        if seen > MOST_TEXT {
            return Err(too_much(text));
        }
        if self.depth <= DEEPEST {
            return Ok(false);
        }
        if !self.limits.exhausted.replace(true) {
            self.lookup.warn(format!("Could not expand {text} after recursing {} frames", self.depth));
        }
        Ok(true)
    }

    /// Resolves one expression from its arguments; `None`: it has no value and stays as written.
    fn value(&self, flat: &[String], program_first: bool) -> Result<Option<ReplacedValue>, ConfigError> {
        let rest = &flat[1..];
        match flat[0].as_str() {
            "/" => return Ok(Some(ReplacedValue::Found(FoundReference::Text("/".to_owned())))),
            "" if rest.len() == 1 && rest[0].is_empty() => {
                return Ok(Some(ReplacedValue::Found(FoundReference::Text(":".to_owned()))));
            }
            "env" => return self.variable(rest).map(Some),
            "tty" => return Ok(Some(self.terminal(rest))),
            "posargs" => return self.positional(rest, program_first).map(Some),
            "glob" => return self.glob(rest).map(Some),
            "factor" => return self.factor(rest).map(Some),
            _ => {}
        }
        let whole = flat.join(":");
        let Some((reference, default)) = parse_reference(&whole, self.prefix) else { return Ok(None) };
        if let Some(found) = self.lookup.reference(&reference, self.trail)? {
            return Ok(Some(ReplacedValue::Found(found)));
        }
        if reference.section.is_none() && is_service_field(reference.key, default) {
            return Ok(None);
        }
        Ok(default.map(|text| ReplacedValue::Default { text: text.to_owned(), start: 1, stop: None }))
    }

    fn variable(&self, rest: &[String]) -> Result<ReplacedValue, ConfigError> {
        let name = named(rest, "No variable name was supplied in {env} substitution")?;
        match self.lookup.variable(name, self.trail)? {
            Some(found) => Ok(ReplacedValue::Found(found)),
            None => Ok(ReplacedValue::Default { text: rest[1..].join(":"), start: 2, stop: None }),
        }
    }

    fn terminal(&self, rest: &[String]) -> ReplacedValue {
        let chosen = usize::from(!self.lookup.is_terminal());
        let text = rest.get(chosen).cloned().unwrap_or_default();
        ReplacedValue::Default { text, start: chosen + 1, stop: Some(chosen + 2) }
    }

    fn positional(&self, rest: &[String], program_first: bool) -> Result<ReplacedValue, ConfigError> {
        match self.lookup.positional(self.trail, program_first)? {
            Some(words) => Ok(ReplacedValue::Positional(words)),
            None => Ok(ReplacedValue::Default { text: rest.join(":"), start: 1, stop: None }),
        }
    }

    fn glob(&self, rest: &[String]) -> Result<ReplacedValue, ConfigError> {
        let pattern = named(rest, "No pattern was supplied in glob substitution")?;
        let matches = self.lookup.glob(pattern)?;
        if matches.is_empty() {
            return Ok(ReplacedValue::Default { text: rest[1..].join(":"), start: 2, stop: None });
        }
        Ok(ReplacedValue::Matches(matches))
    }

    fn factor(&self, rest: &[String]) -> Result<ReplacedValue, ConfigError> {
        let label = named(rest, "No label was supplied in {factor} substitution")?;
        let default = (rest.len() > 1).then(|| rest[1..].join(":"));
        match self.lookup.factor(label, default.as_deref())? {
            Some(text) => Ok(ReplacedValue::Found(FoundReference::Text(text))),
            None => Ok(ReplacedValue::Default { text: default.unwrap_or_default(), start: 2, stop: None }),
        }
    }

    // --- lists -------------------------------------------------------------------------------------------------------

    fn join_entries(&self, parts: &[TextPart], separators: &'static [char]) -> Result<String, ConfigError> {
        let by_line = separators == [',', '\n']
            && parts.iter().any(|part| matches!(part, TextPart::Text(text) if text.contains('\n')));
        // A comma is data if the entries are one per line.
        let separators: &'static [char] = if by_line { &['\n'] } else { separators };
        let narrowed = Self { style: ReplaceStyle::Entries(separators), ..*self };
        narrowed.join_checked(parts, separators)
    }

    fn join_checked(&self, parts: &[TextPart], separators: &[char]) -> Result<String, ConfigError> {
        let mut result = String::new();
        for (at, part) in parts.iter().enumerate() {
            match part {
                TextPart::Text(text) => result.push_str(text),
                TextPart::Expression(arguments) => {
                    let (text, resolved) = self.expression(arguments)?;
                    if resolved && text.contains(separators) && shares_entry(parts, at, separators) {
                        return Err(ConfigError::value("a substitution within an entry cannot add an entry separator"));
                    }
                    result.push_str(&text);
                }
            }
        }
        Ok(result)
    }

    // --- requirements ------------------------------------------------------------------------------------------------

    fn join_requirements(&self, parts: &[TextPart]) -> Result<String, ConfigError> {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            texts.push(match part {
                TextPart::Text(text) => text.clone(),
                TextPart::Expression(arguments) => self.expression(arguments)?.0,
            });
        }
        let mut marked = texts.clone();
        let mut shares_any = false;
        for at in 0..parts.len() {
            if matches!(parts[at], TextPart::Expression(_)) && check_requirement(parts, &texts, at)? {
                shares_any = true;
                marked[at] = format!("\0{at}\0");
            }
        }
        let joined = texts.concat();
        if shares_any {
            check_substitution(&marked.concat(), &joined).map_err(ConfigError::value)?;
        }
        Ok(joined)
    }

    // --- commands ----------------------------------------------------------------------------------------------------

    /// `program`: whether a word that starts here may be the program of a command.
    fn pieces(&self, parts: &[TextPart], program: bool) -> Result<Vec<CommandPiece>, ConfigError> {
        let mut pieces: Vec<CommandPiece> = Vec::new();
        let mut before = QuoteState::default();
        for part in parts {
            let within_program = program && before.is_within_program();
            let found = match part {
                TextPart::Text(text) => vec![CommandPiece::Text(text.clone())],
                TextPart::Expression(arguments) => self.expression_pieces(arguments, within_program)?,
            };
            found.iter().for_each(|piece| before.pass(piece.as_str()));
            pieces.extend(found);
        }
        Ok(pieces)
    }

    fn expression_pieces(&self, arguments: &[Vec<TextPart>], program: bool) -> Result<Vec<CommandPiece>, ConfigError> {
        if self.limits.exhausted.get() {
            return Ok(vec![CommandPiece::Text(literal(arguments))]);
        }
        let _nesting = Nesting::enter(Step::Expression)?;
        let mut argument_pieces =
            arguments.iter().map(|argument| self.pieces(argument, program)).collect::<Result<Vec<_>, _>>()?;
        let flat: Vec<String> =
            argument_pieces.iter().map(|pieces| pieces.iter().map(CommandPiece::as_str).collect::<String>()).collect();
        let Some(value) = self.value(&flat, program)? else {
            let mut pieces = vec![CommandPiece::Text("{".to_owned())];
            pieces.extend(with_colons(argument_pieces));
            pieces.push(CommandPiece::Text("}".to_owned()));
            return Ok(pieces);
        };
        if let ReplacedValue::Default { start, stop, .. } = value {
            let stop = stop.unwrap_or(argument_pieces.len()).min(argument_pieces.len());
            let chosen = argument_pieces.drain(start.min(stop)..stop).collect();
            return Ok(with_colons(chosen));
        }
        if let ReplacedValue::Found(FoundReference::Raw(text)) = &value
            && self.recursive
            && has_expression(text)
            && let Some(piece) = self.nested_piece(text, program)?
        {
            return Ok(vec![piece]);
        }
        let text = value.text();
        self.count(&text)?;
        let quoted = if let ReplacedValue::Positional(words) = &value { Some(words.join(" ")) } else { None };
        let kind = match value {
            ReplacedValue::Found(FoundReference::Arguments(_)) => CommandPieceKind::Arguments,
            ReplacedValue::Matches(matches) => CommandPieceKind::Matches(matches),
            _ => CommandPieceKind::Plain,
        };
        Ok(vec![CommandPiece::Replaced { text, kind, quoted }])
    }

    fn nested_piece(&self, text: &str, program: bool) -> Result<Option<CommandPiece>, ConfigError> {
        let nested = Self { depth: self.depth + 1, ..*self };
        if nested.too_deep(text)? {
            return Ok(None);
        }
        let pieces = nested.pieces(&parse_with(text, self.lookup.escaped_brace()), program)?;
        let joined = join_pieces(&pieces);
        if joined.len() > MOST_TEXT {
            return Err(too_much(text));
        }
        let quoted = pieces
            .iter()
            .map(|piece| match piece {
                CommandPiece::Replaced { quoted: Some(quoted), .. } => quoted.as_str(),
                other => other.as_str(),
            })
            .collect();
        Ok(Some(CommandPiece::Replaced { text: joined, kind: CommandPieceKind::Plain, quoted: Some(quoted) }))
    }
}

fn too_much(text: &str) -> ConfigError {
    let shown: String = text.chars().take(80).collect();
    ConfigError::value(format!("the value is too large at {shown}"))
        .hint("values that refer to another value twice double its size: write some of them out")
}

fn named<'a>(rest: &'a [String], message: &str) -> Result<&'a str, ConfigError> {
    match rest.first() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(ConfigError::new(ErrorClass::Match, message)),
    }
}

/// Whether an expression that names no setting is a field of a running service: `{service:ENV:FIELD}`, or a
/// service's own `{port:NAME}`. It stays as written until the service runs.
fn is_service_field(key: &str, default: Option<&str>) -> bool {
    match (key, default) {
        ("service", Some(rest)) => rest.contains(':'),
        ("port", Some(name)) => !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit()),
        _ => false,
    }
}

/// An expression as it was written.
fn literal(arguments: &[Vec<TextPart>]) -> String {
    let flat: Vec<String> = arguments
        .iter()
        .map(|argument| {
            let texts = argument.iter().map(|part| match part {
                TextPart::Text(text) => text.clone(),
                TextPart::Expression(inner) => literal(inner),
            });
            texts.collect::<String>()
        })
        .collect();
    format!("{{{}}}", flat.join(":"))
}

/// Whether the expression at `at` has text of the same entry on either side.
fn shares_entry(parts: &[TextPart], at: usize, separators: &[char]) -> bool {
    let before = parts[..at].iter().rev();
    let after = parts[at + 1..].iter();
    has_text(before, |text| text.rsplit(separators).next().unwrap_or_default())
        || has_text(after, |text| text.split(separators).next().unwrap_or_default())
}

fn has_text<'a>(parts: impl Iterator<Item = &'a TextPart>, nearest: impl Fn(&str) -> &str) -> bool {
    for part in parts {
        let TextPart::Text(text) = part else { return true };
        let near = nearest(text);
        if !near.trim().is_empty() {
            return true;
        }
        if near.len() != text.len() {
            return false;
        }
    }
    false
}

/// Whether the expression at `at` has more of the same line around it.
fn check_requirement(parts: &[TextPart], texts: &[String], at: usize) -> Result<bool, ConfigError> {
    let text = &texts[at];
    // Only the next character is checked, so that many expressions in one text do not take quadratic time.
    let following = || texts[at + 1..].iter().find_map(|text| text.chars().next());
    let ends_open = text.ends_with('\\') && following().is_none_or(is_line_break);
    let breaks_inside = text.char_indices().any(|(i, c)| c == '\\' && text[i + 1..].starts_with(is_line_break));
    if ends_open || breaks_inside {
        return Err(ConfigError::value("a requirement substitution cannot end a line with a backslash"));
    }
    let breaks: Vec<char> = text.chars().filter(|c| is_line_break(*c)).collect();
    let before = parts[..at].iter().rev();
    let after = parts[at + 1..].iter();
    let shares = has_text(before, |text| text.rsplit(is_line_break).next().unwrap_or_default())
        || has_text(after, |text| text.split(is_line_break).next().unwrap_or_default());
    if shares && !breaks.is_empty() {
        return Err(ConfigError::value("a substitution within a requirement cannot add a line break"));
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::expand::Reference;

    #[test]
    fn fields_of_running_services_are_told_from_defaults() {
        assert!(is_service_field("service", Some("db:url")));
        assert!(is_service_field("port", Some("http")));
        for (key, default) in [("service", Some("db")), ("service", None), ("port", Some("8080")), ("port", Some(""))] {
            assert!(!is_service_field(key, default), "{key} {default:?}");
        }
        assert!(!is_service_field("other", Some("a:b")));
    }

    /// Variables that may refer to others, each with the value that its name asks for.
    struct VariableValues<'a> {
        value: &'a dyn Fn(&str) -> FoundReference,
        asked: Cell<usize>,
        warned: Cell<usize>,
    }

    impl ValueLookup for VariableValues<'_> {
        fn reference(&self, _: &Reference<'_>, _: &Trail) -> Result<Option<FoundReference>, ConfigError> {
            Ok(None)
        }

        fn variable(&self, name: &str, _: &Trail) -> Result<Option<FoundReference>, ConfigError> {
            self.asked.set(self.asked.get() + 1);
            Ok(Some((self.value)(name)))
        }

        fn positional(&self, _: &Trail, _: bool) -> Result<Option<Vec<String>>, ConfigError> {
            Ok(None)
        }

        fn glob(&self, _: &str) -> Result<Vec<String>, ConfigError> {
            Ok(Vec::new())
        }

        fn factor(&self, _: &str, _: Option<&str>) -> Result<Option<String>, ConfigError> {
            Ok(None)
        }

        fn is_terminal(&self) -> bool {
            false
        }

        fn warn(&self, _: String) {
            self.warned.set(self.warned.get() + 1);
        }
    }

    #[test]
    fn what_a_value_that_refers_to_itself_many_times_came_to_is_kept_where_it_is_given_up() {
        let value = |_: &str| FoundReference::Raw("{env:a}".repeat(30));
        let lookup = VariableValues { value: &value, asked: Cell::new(0), warned: Cell::new(0) };
        let replaced = replace(&lookup, "testenv", ReplaceStyle::Plain, "{env:a}", &Trail::default());
        let replaced = replaced.unwrap_or_else(|error| panic!("{error}"));
        // Each of the hundred values before it is given up has had the first of its thirty expressions replaced.
        assert_eq!(replaced.matches("{env:a}").count(), 100 * 29 + 30);
        assert_eq!(lookup.warned.get(), 1);
    }

    #[test]
    fn values_that_double_are_an_error() {
        // Where requirements are meant, such a value is refused before.
        // Quotes within quotes grow in a command line, as each is written so that the next one leaves it alone.
        for (style, quotes) in
            [(ReplaceStyle::Plain, ""), (ReplaceStyle::Commands, ""), (ReplaceStyle::Commands, "\"'")]
        {
            // For fifty names.
            let value = |name: &str| match name.len() {
                51.. => FoundReference::Text(quotes.to_owned()),
                _ => FoundReference::Raw(format!("{quotes}{{env:{name}x}}{quotes}{{env:{name}x}}{quotes}")),
            };
            let lookup = VariableValues { value: &value, asked: Cell::new(0), warned: Cell::new(0) };
            let error = replace(&lookup, "testenv", style, "{env:a}", &Trail::default()).expect_err("too much");
            assert!(error.message.starts_with("the value is too large at "), "{style:?} {quotes}: {error}");
            assert!(lookup.asked.get() < 200_000, "{style:?} {quotes}: {}", lookup.asked.get());
        }
    }

    #[test]
    fn values_and_expressions_in_one_another_end_in_an_error_on_a_small_stack() {
        let value =
            |name: &str| FoundReference::Raw(format!("{}{{env:{name}x}}{}", "{env:N:".repeat(60), "}".repeat(60)));
        for style in
            [ReplaceStyle::Plain, ReplaceStyle::Commands, ReplaceStyle::Entries(&['\n']), ReplaceStyle::Requirements]
        {
            let lookup = VariableValues { value: &value, asked: Cell::new(0), warned: Cell::new(0) };
            let error = replace(&lookup, "testenv", style, "{env:a}", &Trail::default()).expect_err("too deep");
            assert_eq!(error.class, ErrorClass::Recursion, "{style:?}: {error}");
        }
    }

    #[test]
    fn long_values_that_are_put_in_often_are_an_error() {
        let long = "x".repeat(1 << 20);
        let value = |_: &str| FoundReference::Raw(long.clone());
        let lookup = VariableValues { value: &value, asked: Cell::new(0), warned: Cell::new(0) };
        let replaced =
            |times| replace(&lookup, "testenv", ReplaceStyle::Plain, &"{env:a}".repeat(times), &Trail::default());
        assert_eq!(replaced(2).map_or(0, |text| text.len()), 2 << 20);
        assert!(replaced(100_000).is_err());
    }
}
