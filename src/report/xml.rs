//! Escapes text for XML, which may contain neither control characters nor terminal colours.

/// The content of an element.
pub(super) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in without_colors(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' => escaped.push_str("&#13;"),
            character if is_allowed(character) => escaped.push(character),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped
}

/// The value of an attribute in double quotes.
pub(super) fn attribute(value: &str) -> String {
    text(value).replace('"', "&quot;").replace('\'', "&apos;").replace('\n', "&#10;").replace('\t', "&#9;")
}

fn is_allowed(character: char) -> bool {
    match character {
        '\t' | '\n' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        character => !character.is_control(),
    }
}

/// The text without the sequences that switch colours and move the cursor (`ESC [ … letter`) or set a window
/// title (`ESC ] … BEL`).
pub(super) fn without_colors(text: &str) -> String {
    let mut rest = text;
    let mut plain = String::with_capacity(text.len());
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        let sequence = &rest[at + 1..];
        let end = match sequence.as_bytes().first() {
            Some(b'[') => control_sequence(&sequence.as_bytes()[1..]).map(|end| end + 1),
            Some(b']') => sequence.find('\x07').map(|end| end + 1),
            _ => None,
        };
        match end {
            Some(end) => rest = &sequence[end..],
            None => {
                plain.push('\x1b');
                rest = sequence;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The end of the sequence whose parameters begin here, if it is one.
fn control_sequence(bytes: &[u8]) -> Option<usize> {
    let parameters = bytes.iter().take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
    bytes.get(parameters).is_some_and(|last| (0x40..=0x7e).contains(last)).then_some(parameters + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_xml_characters_are_replaced_and_colours_removed() {
        assert_eq!(text("a\x1b[1;31mb\x1b[0m<&>\0\x08é\n"), "ab&lt;&amp;&gt;\u{fffd}\u{fffd}é\n");
        assert_eq!(text("\x1b]0;title\x07x\x1b[3"), "x\u{fffd}[3");
        assert_eq!(text("a\r\nb\u{85}\u{ffff}"), "a&#13;\nb\u{fffd}\u{fffd}");
        assert_eq!(text("\x1b"), "\u{fffd}");
        assert_eq!(text("\x1b[é\x1b[31mx"), "\u{fffd}[éx");
    }

    #[test]
    fn attributes_keep_quotes_and_line_ends() {
        assert_eq!(attribute("a\"b'\n"), "a&quot;b&apos;&#10;");
    }
}
