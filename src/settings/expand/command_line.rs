//! Joins pieces into command lines, quoting substituted text for its position.

use crate::python_text::quote::{quote_words, split_lines};
use crate::python_text::shlex;

/// A text made of pieces, some of which must be quoted on a command line.
pub(super) enum CommandPiece {
    Text(String),
    Replaced { text: String, kind: CommandPieceKind, quoted: Option<String> },
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum CommandPieceKind {
    Plain,
    Arguments,
    Matches(Vec<String>),
}

impl CommandPiece {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Replaced { text, .. } => text,
        }
    }
}

pub(super) fn with_colons(arguments: Vec<Vec<CommandPiece>>) -> Vec<CommandPiece> {
    let mut pieces = Vec::new();
    for (at, argument) in arguments.into_iter().enumerate() {
        if at > 0 {
            pieces.push(CommandPiece::Text(":".to_owned()));
        }
        pieces.extend(argument);
    }
    pieces
}

/// The position on the last line of a text that is read piece by piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum QuoteState {
    /// Only spaces so far.
    #[default]
    Start,
    /// At the marks before a command.
    Marks,
    /// After the marks.
    Behind,
    Program,
    Arguments,
}

impl QuoteState {
    pub(super) fn pass(&mut self, text: &str) {
        for character in text.chars() {
            *self = match (*self, character) {
                (_, '\n') => Self::Start,
                (Self::Arguments, _) => Self::Arguments,
                (Self::Program, blank) if blank.is_whitespace() => Self::Arguments,
                (Self::Start, blank) if blank.is_whitespace() => Self::Start,
                (Self::Marks | Self::Behind, blank) if blank.is_whitespace() => Self::Behind,
                (Self::Start | Self::Marks, '-' | '!') => Self::Marks,
                _ => Self::Program,
            };
        }
    }

    /// Whether the next word is still the command's program.
    pub(super) fn is_within_program(self) -> bool {
        self != Self::Arguments
    }
}

/// Joins the pieces of command lines, quoting substituted text for its position.
pub(super) fn join_pieces(pieces: &[CommandPiece]) -> String {
    let merged = merge_texts(pieces);
    let mut result = String::new();
    let mut quote: Option<char> = None;
    for (at, piece) in merged.iter().enumerate() {
        let CommandPiece::Replaced { text, kind, quoted } = piece else {
            quote = open_quote(quote, piece.as_str());
            result.push_str(piece.as_str());
            continue;
        };
        let mut text = match quote {
            Some(_) => quoted.clone().unwrap_or_else(|| text.clone()),
            None => quoted_for_kind(text, kind),
        };
        if quote.is_some() || shares_line(&merged, at) {
            text = split_lines(&text).join(" ");
        }
        if let Some(open) = quote {
            result.push_str(&escape_within(open, &text));
        } else {
            quote = open_quote(quote, &text);
            result.push_str(&text);
        }
    }
    result
}

fn quoted_for_kind(text: &str, kind: &CommandPieceKind) -> String {
    match kind {
        CommandPieceKind::Plain => text.to_owned(),
        CommandPieceKind::Arguments => {
            let lines = text.split('\n').map(|line| if line.is_empty() { String::new() } else { shlex::quote(line) });
            lines.collect::<Vec<_>>().join("\n")
        }
        CommandPieceKind::Matches(matches) => quote_words(matches),
    }
}

fn merge_texts(pieces: &[CommandPiece]) -> Vec<CommandPiece> {
    let mut merged: Vec<CommandPiece> = Vec::new();
    for piece in pieces {
        match (merged.last_mut(), piece) {
            (Some(CommandPiece::Text(text)), CommandPiece::Text(more)) => text.push_str(more),
            (_, CommandPiece::Text(text)) => merged.push(CommandPiece::Text(text.clone())),
            (_, CommandPiece::Replaced { text, kind, quoted }) => {
                merged.push(CommandPiece::Replaced { text: text.clone(), kind: kind.clone(), quoted: quoted.clone() });
            }
        }
    }
    merged
}

fn shares_line(pieces: &[CommandPiece], at: usize) -> bool {
    let near = |piece: Option<&CommandPiece>, nearest: fn(&str) -> &str| match piece {
        None => false,
        Some(CommandPiece::Replaced { .. }) => true,
        Some(CommandPiece::Text(text)) => !nearest(text).trim().is_empty(),
    };
    near(at.checked_sub(1).map(|before| &pieces[before]), |text| text.rsplit('\n').next().unwrap_or_default())
        || near(pieces.get(at + 1), |text| text.split('\n').next().unwrap_or_default())
}

fn escape_within(quote: char, text: &str) -> String {
    if quote == '\'' {
        return text.replace('\'', "'\"'\"'");
    }
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        // An escaped comment sign was restored before the line is split into words.
        if character == '"' || (character == '\\' && characters.peek() != Some(&'#')) {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

fn open_quote(mut quote: Option<char>, text: &str) -> Option<char> {
    let mut escaped = false;
    for character in text.chars() {
        if character == '\n' {
            (quote, escaped) = (None, false);
        } else if escaped {
            escaped = false;
        } else if character == '\\' && quote != Some('\'') {
            escaped = true;
        } else if quote == Some(character) {
            quote = None;
        } else if quote.is_none() && matches!(character, '\'' | '"') {
            quote = Some(character);
        }
    }
    quote
}

#[cfg(test)]
mod tests {
    use super::QuoteState;

    #[test]
    fn the_program_is_the_first_word_behind_the_marks() {
        let within = |text: &str| {
            let mut progress = QuoteState::default();
            text.split_inclusive('e').for_each(|bit| progress.pass(bit));
            progress.is_within_program()
        };
        for text in ["", " ", "- ", "-!-", "- pyt", "pytest", "a b\n", "a b\n c", "!\tx-"] {
            assert!(within(text), "{text:?}");
        }
        for text in ["pytest ", "- pytest ", "a\nb c", "- - ", " x y\tz"] {
            assert!(!within(text), "{text:?}");
        }
    }
}
