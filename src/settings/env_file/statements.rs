//! Parses the statements of a file of variables, before substitution. Pure.

/// One statement. The value of `NAME` alone comes from outside the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Statement {
    pub line: usize,
    pub name: String,
    pub value: Option<StatementValue>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum StatementValue {
    /// Used as it is.
    Literal(String),
    /// Variables in it are substituted.
    Template(String),
}

/// An error, with its line.
#[derive(Debug, PartialEq, Eq)]
pub struct EnvFileError {
    pub line: usize,
    pub what: String,
    pub hint: &'static str,
}

const NOT_A_STATEMENT: &str = "write NAME=VALUE, or NAME to take a variable from envo's environment";
const QUOTES: &str = "inside quotes, write `\\'` or `\\\"` for a quote that is part of the value";

pub fn parse(text: &str) -> Result<Vec<Statement>, EnvFileError> {
    let mut parser = EnvFileParser { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 };
    let mut statements = Vec::new();
    while parser.skip_to_statement() {
        statements.push(parser.statement()?);
    }
    Ok(statements)
}

struct EnvFileParser<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> EnvFileParser<'a> {
    /// Skips blank lines and comments; `false` at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.advance(self.rest.len() - self.rest.trim_start().len());
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.advance(self.rest_of_line().len());
        }
    }

    fn statement(&mut self) -> Result<Statement, EnvFileError> {
        let line = self.line;
        let written = self.rest_of_line();
        let words = match written.strip_prefix("export") {
            Some(words) if words.starts_with(is_blank) => words.trim_start_matches(is_blank),
            _ => written,
        };
        let end = words.find(['=', ':']).unwrap_or(words.len());
        let name = words[..end].trim_end_matches(is_blank);
        if name.is_empty() || !name.chars().all(is_of_name) {
            let what = format!("`{}` is not a valid variable name", name.escape_debug());
            return Err(EnvFileError { line, what, hint: NOT_A_STATEMENT });
        }
        self.advance(written.len() - words.len() + end);
        if end == words.len() {
            return Ok(Statement { line, name: name.to_owned(), value: None });
        }
        self.advance(1);
        self.advance(self.rest.len() - self.rest.trim_start_matches(is_blank).len());
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => StatementValue::Template(self.plain()),
        };
        Ok(Statement { line, name: name.to_owned(), value: Some(value) })
    }

    /// A value without quotes ends with the line, or at a comment, which begins after a space.
    fn plain(&mut self) -> String {
        let line = self.rest_of_line();
        self.advance(line.len());
        line.split_once(" #").map_or(line, |(value, _)| value).trim_end().to_owned()
    }

    /// A value in quotes, which may have several lines. A backslash escapes a quote.
    fn quoted(&mut self, quote: char) -> Result<StatementValue, EnvFileError> {
        let (line, inner) = (self.line, &self.rest[1..]);
        let mut is_escaped = false;
        let closing = inner.char_indices().find(|(_, character)| {
            let closes = *character == quote && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            closes
        });
        let Some((end, _)) = closing else {
            let what = format!("the quote is not closed: `{}`", self.rest_of_line().trim_end());
            return Err(EnvFileError { line, what, hint: QUOTES });
        };
        let value = &inner[..end];
        self.advance(end + 2);
        let behind = self.rest_of_line().trim();
        let is_statement = self.rest.starts_with(is_blank) && behind.contains(['=', ':']);
        if !(behind.is_empty() || behind.starts_with('#') || is_statement) {
            let what = format!("text follows the closing quote: `{behind}`");
            return Err(EnvFileError { line: self.line, what, hint: QUOTES });
        }
        Ok(if quote == '"' {
            StatementValue::Template(unescaped(value))
        } else {
            StatementValue::Literal(value.replace("\\'", "'"))
        })
    }

    fn rest_of_line(&self) -> &'a str {
        self.rest.split_once('\n').map_or(self.rest, |(line, _)| line)
    }

    fn advance(&mut self, length: usize) {
        let (passed, rest) = self.rest.split_at(length);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }
}

/// White space within a line.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

fn is_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '[' | ']')
}

/// The escapes of double quotes; others stay as they are. A dollar sign stays escaped for the substitution.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('a') => result.push('\u{7}'),
            Some('b') => result.push('\u{8}'),
            Some('f') => result.push('\u{c}'),
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('t') => result.push('\t'),
            Some('v') => result.push('\u{b}'),
            Some('$') => result.push_str("$$"),
            Some(other @ ('"' | '\\')) => result.push(other),
            Some('0') => {
                let rest = characters.as_str();
                let length = rest.bytes().take(3).take_while(u8::is_ascii_digit).count();
                let digits = &rest[..length];
                match u8::from_str_radix(digits, 8) {
                    Ok(number) if length == 3 => result.push(char::from(number)),
                    // As Compose leaves it.
                    _ => result.extend(["\\", digits]),
                }
                characters = rest[length..].chars();
            }
            other => result.extend(std::iter::once('\\').chain(other)),
        }
    }
    result
}
