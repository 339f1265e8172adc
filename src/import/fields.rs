//! Texts during translation: an `{env:…}` or `{service:…}` field is enclosed in two reserved characters, so that it is
//! distinct from the braces of the text itself. [`written`] is the only way to convert them back.

pub(super) const OPEN: char = '\u{FDD0}';
pub(super) const CLOSE: char = '\u{FDD1}';

/// An expression in a text.
pub fn field(expression: &str) -> String {
    format!("{OPEN}{expression}{CLOSE}")
}

/// The variable of that name where envo runs, else a text.
pub fn variable(name: &str, default: &str) -> String {
    field(&format!("env:{name}:{default}"))
}

/// A text from a file: it has no fields.
pub fn cleaned(text: &str) -> String {
    text.replace([OPEN, CLOSE], "\u{FFFD}")
}

/// The text with everything outside of fields changed.
pub fn outside(text: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut result = String::new();
    let mut depth = 0;
    for part in text.split_inclusive([OPEN, CLOSE]) {
        let (inner, last) = match part.char_indices().next_back() {
            Some((end, mark @ (OPEN | CLOSE))) => (&part[..end], Some(mark)),
            _ => (part, None),
        };
        if depth == 0 {
            result.push_str(&change(inner))
        } else {
            result.push_str(inner)
        }
        if let Some(mark) = last {
            result.push(mark);
            depth += if mark == OPEN { 1 } else { -1 };
        }
    }
    result
}

/// A template of ours, in which `<NAME>` is a field.
pub fn template(text: &str) -> String {
    ["host", "port", "port:dist", "port:epmd", "port:console", "env_dir", "env_tmp_dir", "tox_root", "work_dir"]
        .iter()
        .fold(text.to_owned(), |text, name| text.replace(&format!("<{name}>"), &field(name)))
}

/// The text with the defaults of variables; other fields are omitted.
pub fn settled(text: &str) -> String {
    let mut open = vec![String::new()];
    for character in text.chars() {
        match character {
            OPEN => open.push(String::new()),
            CLOSE => {
                let inner = open.pop().unwrap_or_default();
                let value = inner.strip_prefix("env:").and_then(|rest| rest.split_once(':')).map(|(_, value)| value);
                match open.last_mut() {
                    Some(outer) => outer.push_str(value.unwrap_or_default()),
                    None => open.push(inner),
                }
            }
            other => {
                if let Some(text) = open.last_mut() {
                    text.push(other);
                }
            }
        }
    }
    open.swap_remove(0)
}

/// The text as a value of a `tox.ini`, where braces and the sign of a comment stand for themselves.
pub fn written(text: &str) -> Result<String, &'static str> {
    let mut result = String::with_capacity(text.len());
    let mut before = ' ';
    for character in text.chars() {
        if before == '\\' && matches!(character, OPEN | '{' | '}' | '#') {
            return Err("it has a backslash before a brace or a `#`");
        }
        match character {
            OPEN => result.push('{'),
            CLOSE => result.push('}'),
            '{' | '}' | '#' => result.extend(['\\', character]),
            other => result.push(other),
        }
        before = character;
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_from_braces() {
        let text = format!("{{a}} # {}:{}", field("port"), variable("A", &format!("{{b}}{}", variable("C", "d"))));
        assert_eq!(written(&text).unwrap(), "\\{a\\} \\# {port}:{env:A:\\{b\\}{env:C:d}}");
        assert_eq!(settled(&text), "{a} # :{b}d");
        assert_eq!(cleaned(&field("port")), "\u{FFFD}port\u{FFFD}");
        for text in ["\\{a", "\\#", &format!("C:\\{}", field("port"))] {
            assert!(written(text).is_err(), "{text}");
        }
    }
}
