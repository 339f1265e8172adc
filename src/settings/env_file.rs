//! `env_file`: variables from files as Docker Compose and most programs that read `.env` write them.
//! <https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax>

use std::path::Path;

use crate::error::ConfigError;

/// Reads the files named in `files`, one a line, below `root`; one after `-` may be missing. Of two that set the same
/// variable the later one counts.
///
/// # Errors
/// A file that cannot be read, or a line in it that cannot be understood.
pub fn read(files: &str, root: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for line in files.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, optional) = line.strip_prefix('-').map_or((line, false), |rest| (rest.trim_start(), true));
        let path = root.join(name);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(ConfigError::handled(format!(
                    "`env_file = {line}`: {} cannot be read: {error}",
                    path.display()
                ))
                .hint(format!("write `- {name}` if the file need not be there")));
            }
        };
        for (name, value) in parse(&text, &path)? {
            match variables.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => variables.push((name, value)),
            }
        }
    }
    Ok(variables)
}

/// `NAME=VALUE` a line, `export` before it or not; in quotes a value may have several lines.
fn parse(text: &str, path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let mut variables = Vec::new();
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            rest = after;
            continue;
        }
        let wrong = |what: &str| {
            ConfigError::handled(format!("{}:{number}: {what}: `{trimmed}`", path.display())).hint(
                "a line reads NAME=VALUE, with quotes around a value that has blanks at its ends or several lines",
            )
        };
        let (name, value) =
            rest.split_once('=').filter(|(name, _)| !name.contains('\n')).ok_or_else(|| wrong("no `=`"))?;
        let name = name.trim();
        let name = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(name, str::trim);
        if name.is_empty() || name.contains([' ', '\t', '\0', '"', '\'']) {
            return Err(wrong("this is no name of a variable"));
        }
        let value = value.trim_start_matches([' ', '\t']);
        let (value, left) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&value[1..], quote).ok_or_else(|| wrong("the quote is not closed"))?,
            _ => {
                let (line, after) = value.split_once('\n').unwrap_or((value, ""));
                (plain(line), after)
            }
        };
        if value.contains('\0') {
            return Err(wrong("a value cannot hold a NUL character"));
        }
        number += rest[..rest.len() - left.len()].trim_end_matches('\n').matches('\n').count();
        variables.push((name.to_owned(), value));
        rest = left;
    }
    Ok(variables)
}

/// A value without quotes ends at a comment, which begins after a blank.
fn plain(line: &str) -> String {
    let end = [line.find(" #"), line.find("\t#")].into_iter().flatten().min().unwrap_or(line.len());
    line[..end].trim().to_owned()
}

/// The value up to the closing quote, and what follows its line. Escapes count in double quotes alone.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if quote == '"' => match characters.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                other @ ('"' | '\\' | '$') => value.push(other),
                other => value.extend(['\\', other]),
            },
            _ if character == quote => {
                let after = &text[at + 1..];
                return Some((value, after.split_once('\n').map_or("", |(_, after)| after)));
            }
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text, Path::new(".env")).unwrap()
    }

    fn own(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lines_are_read_as_compose_reads_them() {
        let text = "\u{feff}# comment\n\nA=1 # one\nexport B = two words \nC='as # is\\n'\nD=\"a\\n\\\"b\\\" \\x\" # c\n\
                    E=\nF=x#y\nURL=http://a/?b=c\nG=\"two\nlines\"\r\nH=last";
        let expected = own(&[
            ("A", "1"),
            ("B", "two words"),
            ("C", "as # is\\n"),
            ("D", "a\n\"b\" \\x"),
            ("E", ""),
            ("F", "x#y"),
            ("URL", "http://a/?b=c"),
            ("G", "two\nlines"),
            ("H", "last"),
        ]);
        assert_eq!(pairs(text), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let message = |text: &str| parse(text, Path::new(".env")).unwrap_err().message;
        assert_eq!(message("A=1\nnothing\n"), ".env:2: no `=`: `nothing`");
        assert_eq!(message("A='1\n2'\nB=\"x\n"), ".env:3: the quote is not closed: `B=\"x`");
        assert!(message("a b=1").contains("no name of a variable"));
        assert!(message("=1").contains("no name of a variable"));
        assert!(message("A=\0").contains("NUL"));
    }

    #[test]
    fn later_files_count_more_and_one_after_a_dash_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "X=1\nY=1").unwrap();
        std::fs::write(folder.path().join("b"), "Y=2\nZ=2").unwrap();
        assert_eq!(read("a\n- missing\nb\n", folder.path()).unwrap(), own(&[("X", "1"), ("Y", "2"), ("Z", "2")]));
        let error = read("a\nmissing", folder.path()).unwrap_err();
        assert!(error.message.starts_with("`env_file = missing`: "), "{error}");
        assert_eq!(error.hints, ["write `- missing` if the file need not be there"]);
    }
}
