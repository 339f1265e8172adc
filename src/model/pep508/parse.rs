//! The recursive descent behind [`Requirement`]'s `FromStr`, with the productions and messages of `packaging`.

use std::collections::BTreeSet;

use super::{InvalidRequirement, Marker, MarkerPart, Operand, Requirement, canonical_name};

type ParsedRequirementText<T> = Result<T, InvalidRequirement>;

pub(super) fn requirement(text: &str) -> ParsedRequirementText<Requirement> {
    let mut scanner = RequirementScanner { text, position: 0 };
    scanner.skip_space();
    let Some(name) = scanner.identifier() else {
        return Err(scanner.expected("package name at the start of dependency specifier"));
    };
    scanner.skip_space();
    let extras = scanner.extras()?;
    scanner.skip_space();
    let mut requirement = Requirement { name, extras, specifiers: BTreeSet::new(), url: None, marker: None };
    let start;
    let after = if scanner.take("@") {
        scanner.skip_space();
        start = scanner.position;
        let length = scanner.rest().find([' ', '\t']).unwrap_or(scanner.rest().len());
        if length == 0 {
            return Err(scanner.expected("URL after @"));
        }
        requirement.url = Some(scanner.advance(length).to_owned());
        "semicolon (after URL and whitespace)"
    } else {
        start = scanner.position;
        requirement.specifiers = scanner.specifiers()?;
        if requirement.specifiers.is_empty() {
            "semicolon (after name with no version specifier)"
        } else {
            "comma (within version specifier), semicolon (after version specifier)"
        }
    };
    scanner.skip_space();
    if !scanner.rest().is_empty() {
        if !scanner.take(";") {
            return Err(scanner.error(format!("Expected {after} or end"), start));
        }
        let mut marker = scanner.marker(0)?;
        normalize_extras(&mut marker);
        requirement.marker = Some(marker);
        scanner.skip_space();
        if !scanner.rest().is_empty() {
            return Err(scanner.expected("end of dependency specifier"));
        }
    }
    Ok(requirement)
}

/// A marker on its own.
pub(super) fn marker(text: &str) -> ParsedRequirementText<Marker> {
    let mut scanner = RequirementScanner { text, position: 0 };
    let mut marker = scanner.marker(0)?;
    if !scanner.rest().is_empty() {
        return Err(scanner.expected("end of marker expression"));
    }
    normalize_extras(&mut marker);
    Ok(marker)
}

/// `packaging` writes the names of extras in canonical form, at the top level only.
fn normalize_extras(marker: &mut Marker) {
    for part in &mut marker.0 {
        if let MarkerPart::Comparison { left, right, .. } = part {
            match (left, right) {
                (Operand::Variable(variable), Operand::Text(text))
                | (Operand::Text(text), Operand::Variable(variable))
                    if variable == "extra" =>
                {
                    *text = canonical_name(text);
                }
                _ => {}
            }
        }
    }
}

const VARIABLES: [&str; 18] = [
    "python_full_version",
    "python_version",
    "os_name",
    "os.name",
    "sys_platform",
    "sys.platform",
    "platform_release",
    "platform_system",
    "platform_version",
    "platform.version",
    "platform_machine",
    "platform.machine",
    "platform_python_implementation",
    "platform.python_implementation",
    "python_implementation",
    "implementation_name",
    "implementation_version",
    "extra",
];

const OPERATORS: [&str; 8] = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];

/// Deeper parentheses than this are refused, so that no input can exhaust the stack.
const DEEPEST: usize = 64;

struct RequirementScanner<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> RequirementScanner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn advance(&mut self, length: usize) -> &'a str {
        let taken = &self.rest()[..length];
        self.position += length;
        taken
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn take(&mut self, literal: &str) -> bool {
        let found = self.rest().starts_with(literal);
        if found {
            self.position += literal.len();
        }
        found
    }

    /// Consumes `word` if it is the next whole word.
    fn take_word(&mut self, word: &str) -> bool {
        let follows = self.rest().strip_prefix(word).and_then(|rest| rest.chars().next());
        let before = self.text[..self.position].chars().next_back();
        let found = self.rest().starts_with(word) && !follows.is_some_and(is_word) && !before.is_some_and(is_word);
        if found {
            self.position += word.len();
        }
        found
    }

    fn error(&self, message: String, start: usize) -> InvalidRequirement {
        let characters = |end: usize| self.text[..end].chars().count();
        InvalidRequirement {
            message,
            text: self.text.to_owned(),
            start: characters(start),
            end: characters(self.position),
        }
    }

    fn expected(&self, what: &str) -> InvalidRequirement {
        self.error(format!("Expected {what}"), self.position)
    }

    fn identifier(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            return None;
        }
        let end = rest
            .find(|character: char| !(character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')))
            .unwrap_or(rest.len());
        // A name ends at the end of a word: not at a dot or dash, and not before a letter that a name must
        // not contain.
        let word_ends_at = |end: &usize| {
            rest[..*end].ends_with(is_word) != rest[*end..].starts_with(is_word) && rest.is_char_boundary(*end)
        };
        let length = (1..=end).rev().find(word_ends_at)?;
        Some(self.advance(length).to_owned())
    }

    fn extras(&mut self) -> ParsedRequirementText<BTreeSet<String>> {
        let mut extras = BTreeSet::new();
        let open = self.position;
        if !self.take("[") {
            return Ok(extras);
        }
        self.skip_space();
        if let Some(first) = self.identifier() {
            extras.insert(first);
            loop {
                self.skip_space();
                if self.rest().starts_with(|next: char| next.is_ascii_alphanumeric()) {
                    return Err(self.error("Expected comma between extra names".to_owned(), self.position));
                }
                if !self.take(",") {
                    break;
                }
                self.skip_space();
                extras.insert(self.identifier().ok_or_else(|| self.expected("extra name after comma"))?);
            }
        }
        self.skip_space();
        self.close("]", open, "RIGHT_BRACKET for LEFT_BRACKET, after extras")?;
        Ok(extras)
    }

    fn close(&mut self, closing: &str, open: usize, what: &str) -> ParsedRequirementText<()> {
        if self.take(closing) { Ok(()) } else { Err(self.error(format!("Expected matching {what}"), open)) }
    }

    fn specifiers(&mut self) -> ParsedRequirementText<BTreeSet<String>> {
        let open = self.position;
        let parenthesised = self.take("(");
        self.skip_space();
        let mut specifiers = BTreeSet::new();
        while let Some(length) = specifier_length(self.rest()) {
            let start = self.position;
            let written = self.advance(length).trim_end();
            let operator = OPERATORS.into_iter().find(|operator| written.starts_with(operator)).unwrap_or("");
            // An arbitrary version (`===`) may include the comma that follows it.
            let version = written[operator.len()..].trim_start().trim_end_matches(',');
            specifiers.insert(format!("{operator}{version}"));
            self.check_trail(operator, start)?;
            self.skip_space();
            if !self.take(",") {
                break;
            }
            self.skip_space();
        }
        self.skip_space();
        if parenthesised {
            self.close(")", open, "RIGHT_PARENTHESIS for LEFT_PARENTHESIS, after version specifier")?;
        }
        Ok(specifiers)
    }

    /// Checks for invalid text directly after a version.
    fn check_trail(&mut self, operator: &str, start: usize) -> ParsedRequirementText<()> {
        if self.rest().starts_with(".*") {
            let message = if matches!(operator, "==" | "!=") {
                ".* suffix cannot be used with pre-release, post-release, dev or local versions"
            } else {
                ".* suffix can only be used with `==` or `!=` operators"
            };
            let mut error = self.error(message.to_owned(), start);
            error.end += 1;
            return Err(error);
        }
        let local = self.rest().strip_prefix('+').and_then(|label| label.chars().next());
        if local.is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit()) {
            let message = "Local version label can only be used with `==` or `!=` operators";
            return Err(self.error(message.to_owned(), start));
        }
        Ok(())
    }

    fn marker(&mut self, depth: usize) -> ParsedRequirementText<Marker> {
        let mut parts = vec![self.marker_atom(depth)?];
        loop {
            if self.take_word("or") {
                parts.push(MarkerPart::Or);
            } else if self.take_word("and") {
                parts.push(MarkerPart::And);
            } else {
                return Ok(Marker(parts));
            }
            parts.push(self.marker_atom(depth)?);
        }
    }

    fn marker_atom(&mut self, depth: usize) -> ParsedRequirementText<MarkerPart> {
        self.skip_space();
        let open = self.position;
        let part = if depth < DEEPEST && self.take("(") {
            self.skip_space();
            let inner = self.marker(depth + 1)?;
            self.skip_space();
            self.close(")", open, "RIGHT_PARENTHESIS for LEFT_PARENTHESIS, after marker expression")?;
            MarkerPart::Group(inner)
        } else {
            let left = self.operand()?;
            self.skip_space();
            let operator = self.operator()?;
            self.skip_space();
            MarkerPart::Comparison { left, operator, right: self.operand()? }
        };
        self.skip_space();
        Ok(part)
    }

    fn operand(&mut self) -> ParsedRequirementText<Operand> {
        for variable in VARIABLES.into_iter().chain(["extras", "dependency_groups"]) {
            if self.take_word(variable) {
                let name = variable.replace('.', "_");
                let name =
                    if name == "python_implementation" { "platform_python_implementation".to_owned() } else { name };
                return Ok(Operand::Variable(name));
            }
        }
        let quote = self.rest().chars().next().filter(|first| matches!(first, '\'' | '"'));
        let length = quote.and_then(|quote| self.rest()[1..].find(quote));
        match length {
            Some(length) => {
                let quoted = self.advance(length + 2);
                Ok(Operand::Text(quoted[1..=length].to_owned()))
            }
            None => Err(self.error("Expected a marker variable or quoted string".to_owned(), self.position)),
        }
    }

    fn operator(&mut self) -> ParsedRequirementText<String> {
        if self.take_word("in") {
            return Ok("in".to_owned());
        }
        if self.take_word("not") {
            let before = self.position;
            self.skip_space();
            if self.position == before {
                return Err(self.expected("whitespace after 'not'"));
            }
            if !self.take_word("in") {
                return Err(self.expected("'in' after 'not'"));
            }
            return Ok("not in".to_owned());
        }
        match OPERATORS.into_iter().find(|operator| self.take(operator)) {
            Some(operator) => Ok(operator.to_owned()),
            None => Err(self.expected("marker operator, one of <=, <, !=, ==, >=, >, ~=, ===, in, not in")),
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of the version specifier at the start of `text` (PEP 440, as `packaging` reads it).
fn specifier_length(text: &str) -> Option<usize> {
    let operator = OPERATORS.into_iter().find(|operator| text.starts_with(operator))?;
    let version = text[operator.len()..].trim_start();
    let start = text.len() - version.len();
    if operator == "===" {
        let end = version.find(|character: char| character.is_whitespace() || matches!(character, ';' | ')'));
        return Some(start + end.unwrap_or(version.len()));
    }
    let mut cursor = RequirementCursor { text: version.as_bytes(), position: 0 };
    let segments = cursor.release()?;
    let equality = matches!(operator, "==" | "!=");
    if operator == "~=" && segments < 2 {
        return None;
    }
    if equality && cursor.take(b".*") {
        return Some(start + cursor.position);
    }
    cursor.suffix(&["alpha", "beta", "preview", "pre", "a", "b", "c", "rc"]);
    if !cursor.implicit_post() {
        cursor.suffix(&["post", "rev", "r"]);
    }
    cursor.suffix(&["dev"]);
    if equality {
        cursor.local();
    }
    Some(start + cursor.position)
}

struct RequirementCursor<'a> {
    text: &'a [u8],
    position: usize,
}

impl RequirementCursor<'_> {
    fn at(&self, offset: usize) -> u8 {
        self.text.get(self.position + offset).copied().unwrap_or(0)
    }

    /// Consumes `literal`, ignoring case.
    fn take(&mut self, literal: &[u8]) -> bool {
        let there = self.text.get(self.position..self.position + literal.len());
        let found = there.is_some_and(|there| there.eq_ignore_ascii_case(literal));
        if found {
            self.position += literal.len();
        }
        found
    }

    fn digits(&mut self) -> usize {
        let start = self.position;
        while self.at(0).is_ascii_digit() {
            self.position += 1;
        }
        self.position - start
    }

    fn separator(&mut self) {
        if matches!(self.at(0), b'-' | b'_' | b'.') {
            self.position += 1;
        }
    }

    /// `v1!2.3`: the number of parts of the release.
    fn release(&mut self) -> Option<usize> {
        self.take(b"v");
        if self.digits() == 0 {
            return None;
        }
        if self.at(0) == b'!' && self.at(1).is_ascii_digit() {
            self.position += 1;
            self.digits();
        }
        let mut segments = 1;
        while self.at(0) == b'.' && self.at(1).is_ascii_digit() {
            self.position += 1;
            self.digits();
            segments += 1;
        }
        Some(segments)
    }

    /// `.post1` and the like: an optional separator, one of `names`, an optional separator, an optional number.
    fn suffix(&mut self, names: &[&str]) {
        let before = self.position;
        self.separator();
        if names.iter().any(|name| self.take(name.as_bytes())) {
            // `dev` allows a separator like the others do; a separator without a following word is consumed,
            // as by the regular expression of `packaging`.
            self.separator();
            self.digits();
        } else {
            self.position = before;
        }
    }

    /// `1.0-1` is a post release.
    fn implicit_post(&mut self) -> bool {
        let found = self.at(0) == b'-' && self.at(1).is_ascii_digit();
        if found {
            self.position += 1;
            self.digits();
        }
        found
    }

    fn local(&mut self) {
        if self.at(0) != b'+' || !self.at(1).is_ascii_alphanumeric() {
            return;
        }
        self.position += 1;
        loop {
            while self.at(0).is_ascii_alphanumeric() {
                self.position += 1;
            }
            if !(matches!(self.at(0), b'-' | b'_' | b'.') && self.at(1).is_ascii_alphanumeric()) {
                return;
            }
            self.position += 1;
        }
    }
}
