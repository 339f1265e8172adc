//! Text as systemd reads it in units.

/// `%` begins a specifier.
pub fn escaped(text: &str) -> String {
    text.replace('%', "%%").replace('\\', "\\\\")
}

/// A word of a command line.
/// <https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html#Command%20lines>
pub fn quoted(word: &str) -> String {
    assignment(&word.replace('$', "$$"))
}

/// A `NAME=value` for `Environment=`, in which no variables are expanded.
pub fn assignment(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    let text = escaped(word).replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_systemd_reads_them() {
        for (word, written) in [
            ("--port=80", "--port=80"),
            ("a b", "\"a b\""),
            ("50%", "\"50%%\""),
            ("$HOME", "\"$$HOME\""),
            ("say \"x\"\\", "\"say \\\"x\\\"\\\\\""),
            ("", "\"\""),
            (";", "\";\""),
        ] {
            assert_eq!(quoted(word), written);
        }
        assert_eq!(assignment("PRICE=5 $"), "\"PRICE=5 $\"");
    }
}
