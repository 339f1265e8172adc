//! Splits the options of a line as Python's `shlex.split` does: POSIX quoting, no comments.

/// The words of `text`.
pub(super) fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(characters.next().ok_or("No escaped character")?),
            '\'' | '"' => quoted(character, &mut characters, word.get_or_insert_default())?,
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, characters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match characters.next().ok_or("No closing quotation")? {
            character if character == quote => return Ok(()),
            // Inside double quotes a backslash only escapes the quote and itself.
            '\\' if quote == '"' => {
                let escaped = characters.next().ok_or("No escaped character")?;
                if !matches!(escaped, '"' | '\\') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            character => word.push(character),
        }
    }
}

/// `argument` in such a way that [`split`] reads it as one word again.
pub(super) fn escape(argument: &str) -> String {
    if argument.is_empty() {
        return "''".to_owned();
    }
    let mut result = String::with_capacity(argument.len());
    for character in argument.chars() {
        if character.is_whitespace() || matches!(character, '\\' | '\'' | '"') {
            result.push('\\');
        }
        result.push(character);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{escape, split};

    #[test]
    fn words_are_split_as_python_splits_them() {
        let words = |text| split(text).map(|words| words.join("|"));
        assert_eq!(words(r#"-r  "a b" c\ d ''"#), Ok("-r|a b|c d|".to_owned()));
        assert_eq!(words(r#"a"b\"\x"'c\'"#), Ok(r#"ab"\xc\"#.to_owned()));
        assert_eq!(words("'"), Err("No closing quotation"));
        assert_eq!(words("a\\"), Err("No escaped character"));
    }

    proptest::proptest! {
        #[test]
        fn an_escaped_argument_stays_one_argument(argument in "[a-z '\"\\\\\t-]{0,12}") {
            proptest::prop_assert_eq!(split(&escape(&argument)), Ok(vec![argument]));
        }
    }
}
