//! Finds expressions in a text: `{…}` with arguments between colons, and `[]` for `{posargs}`.
//!
//! One pass with a stack of open braces, so that time is linear in the length of the text. A brace that is never closed
//! is text, and so are the colons after it.

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextPart {
    Text(String),
    /// An expression: its arguments, each again a list of pieces. Never without an argument, which may be empty.
    Expression(Vec<Vec<TextPart>>),
}

/// Expressions nested deeper than this are text, because they would exhaust the stack.
const DEEPEST: usize = 64;

/// Characters that a backslash escapes; the backslash is removed.
fn is_escapable(character: char) -> bool {
    matches!(character, ':' | '{' | '}' | '[' | ']')
}

/// The pieces of `text`. A doubled backslash stays doubled, for the splitting into words that comes later.
pub fn parse(text: &str) -> Vec<TextPart> {
    parse_with(text, '{')
}

/// [`parse`] with a replacement for `\{`, a literal brace.
pub fn parse_with(text: &str, brace: char) -> Vec<TextPart> {
    let mut stack: Vec<Vec<Vec<TextPart>>> = Vec::new();
    let mut top: Vec<TextPart> = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let deep = stack.len() >= DEEPEST;
        let current = stack.last_mut().and_then(|arguments| arguments.last_mut()).unwrap_or(&mut top);
        match character {
            '\\' => match characters.clone().next() {
                Some(next) if is_escapable(next) => {
                    characters.next();
                    push(current, if next == '{' { brace } else { next });
                }
                Some('\\') => {
                    characters.next();
                    push(current, '\\');
                    push(current, '\\');
                }
                _ => push(current, '\\'),
            },
            '{' if !deep => stack.push(vec![Vec::new()]),
            ':' => match stack.last_mut() {
                Some(arguments) => arguments.push(Vec::new()),
                None => push(&mut top, ':'),
            },
            '}' => match stack.pop() {
                Some(arguments) => {
                    let parent = stack.last_mut().and_then(|open| open.last_mut()).unwrap_or(&mut top);
                    parent.push(TextPart::Expression(arguments));
                }
                None => push(&mut top, '}'),
            },
            '[' if characters.clone().next() == Some(']') => {
                characters.next();
                current.push(TextPart::Expression(vec![vec![TextPart::Text("posargs".to_owned())]]));
            }
            other => {
                push(current, other);
                // Text without special characters is added at once.
                let rest = characters.as_str();
                let plain = rest.find(['\\', '{', '}', ':', '[']).unwrap_or(rest.len());
                if let Some(TextPart::Text(text)) = current.last_mut() {
                    text.push_str(&rest[..plain]);
                }
                characters = rest[plain..].chars();
            }
        }
    }
    for arguments in stack {
        // An unclosed brace: everything after it belongs to the surrounding text.
        push(&mut top, '{');
        for (at, argument) in arguments.into_iter().enumerate() {
            if at > 0 {
                push(&mut top, ':');
            }
            argument.into_iter().for_each(|part| append(&mut top, part));
        }
    }
    top
}

/// Whether there is any expression in `text`.
pub fn has_expression(text: &str) -> bool {
    text.contains(['{', '[']) && parse(text).iter().any(|part| matches!(part, TextPart::Expression(_)))
}

fn push(parts: &mut Vec<TextPart>, character: char) {
    match parts.last_mut() {
        Some(TextPart::Text(text)) => text.push(character),
        _ => parts.push(TextPart::Text(character.to_string())),
    }
}

fn append(parts: &mut Vec<TextPart>, part: TextPart) {
    match (parts.last_mut(), part) {
        (Some(TextPart::Text(text)), TextPart::Text(more)) => text.push_str(&more),
        (_, part) => parts.push(part),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> TextPart {
        TextPart::Text(value.to_owned())
    }

    #[test]
    fn expressions_nest_and_colons_separate_their_arguments() {
        assert_eq!(
            parse("a{env:X:{env:Y:z}}b"),
            [
                text("a"),
                TextPart::Expression(vec![
                    vec![text("env")],
                    vec![text("X")],
                    vec![TextPart::Expression(vec![vec![text("env")], vec![text("Y")], vec![text("z")]])],
                ]),
                text("b"),
            ]
        );
        assert_eq!(parse("{}"), [TextPart::Expression(vec![vec![]])]);
        assert_eq!(parse("{:}"), [TextPart::Expression(vec![vec![], vec![]])]);
    }

    #[test]
    fn unclosed_braces_are_text() {
        assert_eq!(parse("{a:b"), [text("{a:b")]);
        assert_eq!(parse("{a:{b}"), [text("{a:"), TextPart::Expression(vec![vec![text("b")]])]);
        assert_eq!(parse("a}"), [text("a}")]);
        assert_eq!(parse(&"{".repeat(100_000)), [TextPart::Text("{".repeat(100_000))]);
    }

    #[test]
    fn a_backslash_takes_the_meaning_away() {
        assert_eq!(parse(r"\{a\}\:\[]"), [text("{a}:[]")]);
        assert_eq!(parse(r"\\{a}"), [text(r"\\"), TextPart::Expression(vec![vec![text("a")]])]);
        assert_eq!(parse(r"\n"), [text(r"\n")]);
    }

    #[test]
    fn empty_brackets_mean_positional_arguments() {
        assert_eq!(parse("pytest []"), [text("pytest "), TextPart::Expression(vec![vec![text("posargs")]])]);
    }
}
