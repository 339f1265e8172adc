//! Files of variables as python-dotenv reads them. Pure. <https://saurabh-kumar.com/python-dotenv/#file-format>

use crate::model::EnvVariables;

/// The variables of the file, in order, each once; those without a value are omitted. `${NAME}` and `${NAME:-default}`
/// refer to earlier lines of the file, else to `host`.
pub fn variables(text: &str, host: &EnvVariables) -> Result<Vec<(String, String)>, String> {
    let mut bytes = 0;
    let mut found: Vec<(String, String)> = Vec::new();
    let mut rest = text;
    while let Some(binding) = next(&mut rest) {
        let Some((name, value)) = binding else { continue };
        let value = match value {
            DotenvText::Literal(value) => value,
            DotenvText::Open(value) => {
                let value = substituted(&value, &found, host);
                value.ok_or_else(|| format!("`{name}` exceeds {} MiB", MOST_BYTES >> 20))?
            }
        };
        bytes += value.len();
        if bytes > MOST_BYTES {
            return Err(format!("its variables exceed {} MiB at `{name}`", MOST_BYTES >> 20));
        }
        found.retain(|(known, _)| *known != name);
        found.push((name, value));
    }
    Ok(found)
}

/// The limit for the values of a file in bytes; no process can receive more.
const MOST_BYTES: usize = 16 << 20;

enum DotenvText {
    /// Variables in it are substituted; python-dotenv ignores the kind of quotes.
    Open(String),
    /// Used as it is.
    Literal(String),
}

/// Reads the next binding; the inner `None` is a line without one. `None` at the end.
fn next<'a>(rest: &mut &'a str) -> Option<Option<(String, DotenvText)>> {
    *rest = rest.trim_start();
    if rest.is_empty() {
        return None;
    }
    let line_end = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let (line, after) = rest.split_at(line_end);
    let unbound = |rest: &mut &'a str| {
        *rest = after;
        Some(None)
    };
    if line.starts_with('#') {
        return unbound(rest);
    }
    let text = line.strip_prefix("export").filter(|text| text.starts_with([' ', '\t'])).unwrap_or(line).trim_start();
    let Some((name, _)) = text.split_once('=') else { return unbound(rest) };
    let name = name.trim();
    let name = name.strip_prefix('\'').and_then(|name| name.strip_suffix('\'')).unwrap_or(name);
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '#') {
        return unbound(rest);
    }
    let start = line.find('=').map_or(line.len(), |at| at + 1);
    let value = rest[start..].trim_start_matches([' ', '\t']);
    for quote in ['"', '\''] {
        let Some(inner) = value.strip_prefix(quote) else { continue };
        let Some(end) = closing(inner, quote) else { return unbound(rest) };
        let behind = &inner[end + 1..];
        let line_end = behind.find(['\n', '\r']).unwrap_or(behind.len());
        let tail = behind[..line_end].trim();
        *rest = &behind[line_end..];
        if !tail.is_empty() && !tail.starts_with('#') {
            return Some(None);
        }
        return Some(Some((name.to_owned(), text_of(unescaped(&inner[..end], quote)))));
    }
    *rest = after;
    let plain = &line[start..];
    let comment = plain.match_indices('#').map(|(at, _)| at).find(|at| plain[..*at].ends_with([' ', '\t']));
    Some(Some((name.to_owned(), text_of(plain[..comment.unwrap_or(plain.len())].trim().to_owned()))))
}

fn text_of(value: String) -> DotenvText {
    if value.contains("${") { DotenvText::Open(value) } else { DotenvText::Literal(value) }
}

/// The position of the closing quote; a backslash escapes the next character.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, character)| {
        let closes = character == quote && !escaped;
        escaped = character == '\\' && !escaped;
        closes.then_some(at)
    })
}

/// The escapes of each kind of quotes; others stay as they are.
fn unescaped(text: &str, quote: char) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let meant = match (character, characters.peek(), quote) {
            ('\\', Some('\\'), _) => Some('\\'),
            ('\\', Some('\''), _) => Some('\''),
            ('\\', Some('"'), '"') => Some('"'),
            ('\\', Some('n'), '"') => Some('\n'),
            ('\\', Some('r'), '"') => Some('\r'),
            ('\\', Some('t'), '"') => Some('\t'),
            ('\\', Some('a'), '"') => Some('\u{7}'),
            ('\\', Some('b'), '"') => Some('\u{8}'),
            ('\\', Some('f'), '"') => Some('\u{c}'),
            ('\\', Some('v'), '"') => Some('\u{b}'),
            _ => None,
        };
        if meant.is_some() {
            characters.next();
        }
        result.push(meant.unwrap_or(character));
    }
    result
}

/// `None` if it is too large.
fn substituted(text: &str, found: &[(String, String)], host: &EnvVariables) -> Option<String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, expression)) = rest.split_once("${") {
        result.push_str(before);
        let Some((expression, after)) = expression.split_once('}') else {
            result.push_str("${");
            rest = expression;
            continue;
        };
        let (name, default) = expression.split_once(":-").unwrap_or((expression, ""));
        let known = found.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        result.push_str(&known.or_else(|| host.text(name)).unwrap_or_else(|| default.to_owned()));
        rest = after;
        if result.len() > MOST_BYTES {
            return None;
        }
    }
    result.push_str(rest);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let mut host = EnvVariables::default();
        host.set("HOST", "machine");
        variables(text, &host).expect("little enough")
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn comments_quotes_and_escapes_are_read_as_python_dotenv_reads_them() {
        let text = "# no\nA=1\nexport B = two # comment\nC=\"x\\ny\" # c\nD='x\\ny'\nE=a#b\nF=\nG\nH=\"two\nlines\"\n";
        let expected =
            [("A", "1"), ("B", "two"), ("C", "x\ny"), ("D", "x\\ny"), ("E", "a#b"), ("F", ""), ("H", "two\nlines")];
        assert_eq!(read(text), pairs(&expected));
    }

    #[test]
    fn values_refer_to_earlier_ones_and_to_the_machine() {
        let text = "A=1\nB=${A}-${HOST}-${NONE:-d}-${NONE}\nA=2\nHOST=own\nC=${HOST}${open\n";
        let expected = [("B", "1-machine-d-"), ("A", "2"), ("HOST", "own"), ("C", "own${open")];
        assert_eq!(read(text), pairs(&expected));
    }

    #[test]
    fn invalid_lines_are_skipped() {
        assert_eq!(read("=x\na b=c\nQ=\"open\nR=1\n"), pairs(&[("R", "1")]));
        assert_eq!(read("A=\"x\" y\nB=1"), pairs(&[("B", "1")]));
        assert_eq!(read("\u{feff}"), pairs(&[]));
    }
}
