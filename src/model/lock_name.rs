//! Names the file of an environment's lock. PEP 751 allows no dot in the name after `pylock.`, and environments have
//! names like `py3.11`: a dot becomes `_`, and an underscore two of them. Names that this would make ambiguous, and
//! characters not allowed in file names, are percent-encoded.

/// `py3.11` as `pylock.py3_11.toml`.
pub fn file_name(environment: &str) -> String {
    format!("pylock.{}.toml", encoded(environment))
}

pub fn encoded(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let is_separator = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| matches!(c, '.' | '_'));
    let mut result = String::with_capacity(name.len());
    for (at, &character) in characters.iter().enumerate() {
        match character {
            '_' => result.push_str("__"),
            // Next to another separator it would look like an underscore.
            '.' if !is_separator(at.checked_sub(1)) && !is_separator(Some(at + 1)) => result.push('_'),
            '-' | '+' | '@' | '=' | ',' => result.push(character),
            _ if character.is_alphanumeric() => result.push(character),
            _ => character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| result.push_str(&format!("%{byte:02X}"))),
        }
    }
    result
}

pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(&first) = rest.first() {
        let taken = match first {
            b'_' => {
                let run = rest.iter().take_while(|byte| **byte == b'_').count();
                match run {
                    1 => bytes.push(b'.'),
                    run if run % 2 == 0 => bytes.resize(bytes.len() + run / 2, b'_'),
                    _ => return None,
                }
                run
            }
            b'%' => {
                let digits = std::str::from_utf8(rest.get(1..3)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                3
            }
            b'.' => return None,
            byte => {
                bytes.push(byte);
                1
            }
        };
        rest = &rest[taken..];
    }
    let name = String::from_utf8(bytes).ok()?;
    (!name.is_empty() && encoded(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(file_name: &str) -> Option<String> {
        decoded(file_name.strip_prefix("pylock.")?.strip_suffix(".toml")?)
    }

    #[test]
    fn names_are_readable_in_files_and_come_back() {
        for (name, file) in [
            ("py311", "pylock.py311.toml"),
            ("py3.11", "pylock.py3_11.toml"),
            ("3.13-docs", "pylock.3_13-docs.toml"),
            ("my_env", "pylock.my__env.toml"),
            ("a._b", "pylock.a%2E__b.toml"),
            ("a..b", "pylock.a%2E%2Eb.toml"),
            ("a b", "pylock.a%20b.toml"),
            ("100%", "pylock.100%25.toml"),
            ("grün", "pylock.grün.toml"),
        ] {
            assert_eq!(file_name(name), file);
            assert_eq!(environment(file).as_deref(), Some(name));
        }
    }

    #[test]
    fn no_two_names_share_a_file() {
        let letters = ['a', '.', '_', '%', '2', 'E'];
        let mut seen = std::collections::HashMap::new();
        for number in 0..letters.len().pow(5) {
            let name: String = (0..5).map(|at| letters[number / letters.len().pow(at) % letters.len()]).collect();
            let file = file_name(&name);
            assert_eq!(environment(&file), Some(name.clone()));
            assert_eq!(seen.insert(file, name.clone()), None, "{name}");
        }
    }

    #[test]
    fn other_files_are_nobodys_lock() {
        for file in
            ["pylock.toml", "pylock.a.b.toml", "uv.lock", "pylock..toml", "pylock.a%2.toml", "pylock.a___b.toml"]
        {
            assert_eq!(environment(file), None, "{file}");
        }
    }
}
