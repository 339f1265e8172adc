//! Marks braces that do not begin a field. `{port}` is filled in only in the configuration: in text from
//! other sources (a variable of this process, a file of variables, the command line) it is only text. If a
//! text combines both, the braces from other sources are marked until the fields are filled in.

/// Represents a `{` that is text. Unicode reserves this character for use inside programs.
pub const MARK: char = '\u{fdd0}';

/// The text with every brace marked as text.
pub fn literal(text: &str) -> String {
    text.replace('{', MARK.encode_utf8(&mut [0; 4]))
}

/// The text with the braces marked that begin a field for which `is_field` holds.
pub fn literal_fields(text: &str, is_field: impl Fn(&str) -> bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let inside = &rest[at + 1..];
        let field = inside.split_once('}').map(|(field, _)| field).filter(|field| !field.contains('{'));
        result.push_str(&rest[..at]);
        result.push(if field.is_some_and(&is_field) { MARK } else { '{' });
        rest = inside;
    }
    result.push_str(rest);
    result
}

/// Whether any brace is marked.
pub fn has_literal(text: &str) -> bool {
    text.contains(MARK)
}

/// The text as part of a regular expression, in which a marked brace is escaped.
pub fn in_pattern(text: &str) -> String {
    text.replace(MARK, "\\x7b")
}

/// The text without marks.
pub fn plain(text: &str) -> String {
    text.replace(MARK, "{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_text_is_restored() {
        for text in ["", "{port}", "{\"a\": {\"b\": 1}}", "é{ü}{", "}{x"] {
            assert_eq!(plain(&literal(text)), text);
            assert_eq!(plain(&literal_fields(text, |_| true)), text);
            assert_eq!(literal_fields(text, |_| false), text);
        }
        assert_eq!(
            literal_fields("{port} {env:X} {a{port}", |field| field == "port"),
            "\u{fdd0}port} {env:X} {a\u{fdd0}port}"
        );
        assert!(has_literal(&literal("{")) && !has_literal("{"));
    }
}
