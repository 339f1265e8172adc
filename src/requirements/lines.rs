//! Splits text into logical lines: joins continuations, removes comments, fills in variables.

use crate::model::EnvVariables;
use crate::python_text::quote::split_lines;
use crate::python_text::shlex;
use crate::requirements::RequirementKind;
use crate::requirements::arguments;
use crate::requirements::arguments::LineOptions;
use crate::requirements::redact::SecretValues;

/// The options that take a value, which in tox may follow without a space.
const ONE_VALUE: [&str; 14] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "-e",
    "--editable",
    "-c",
    "--constraint",
    "-r",
    "--requirement",
    "-f",
    "--find-links",
    "--trusted-host",
    "--use-feature",
    "--no-binary",
];

/// The ones among them whose value is a path, in which spaces need no quotes.
const PATH_VALUE: [&str; 8] = ["-c", "--constraint", "-r", "--requirement", "-f", "--find-links", "-e", "--editable"];

/// The text of a setting in the form in which its lines are parsed and shown.
pub(super) fn normalize(text: &str, kind: RequirementKind) -> Result<String, String> {
    let joined = text.replace('\r', "").replace("\\\n", "");
    let mut lines: Vec<String> = split_lines(&joined).into_iter().map(normalize_line).collect();
    if kind == RequirementKind::Constraints {
        if lines.iter().any(|line| line.starts_with('-')) {
            return Err("only constraints files or URLs can be provided".to_owned());
        }
        for line in &mut lines {
            if !without_comment(line).is_empty() {
                line.insert_str(0, "-c ");
            }
        }
    }
    let mut result = lines.join("\n");
    if joined.ends_with("\\\n") {
        result.push('\n');
    }
    Ok(result)
}

fn normalize_line(line: &str) -> String {
    let mut line = line.to_owned();
    for option in ONE_VALUE.into_iter().chain(["--only-binary"]) {
        let follows = line.strip_prefix(option).and_then(|rest| rest.chars().next());
        if follows.is_some_and(|follows| !follows.is_whitespace() && follows != '=') {
            line.insert(option.len(), ' ');
            break;
        }
    }
    for option in PATH_VALUE {
        let Some(rest) = line.strip_prefix(option) else { continue };
        let Some(blank) = rest.chars().next().filter(|follows| follows.is_whitespace()) else { continue };
        let value = &rest[blank.len_utf8()..];
        // Spaces in quotes stay as they are.
        if !value.trim_start().starts_with(['\'', '"']) {
            line = format!("{option} {}", with_escaped_blanks(value));
        }
        break;
    }
    line
}

fn with_escaped_blanks(value: &str) -> String {
    let mut result = String::with_capacity(value.len());
    let mut previous = None;
    for character in value.chars() {
        if character.is_whitespace() && previous != Some('\\') {
            result.push('\\');
        }
        result.push(character);
        previous = Some(character);
    }
    result
}

/// Logical lines with the number of the physical line each begins on.
pub(super) fn logical_lines(content: &str) -> Vec<(usize, String)> {
    let mut result = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    for (index, line) in split_lines(content).into_iter().enumerate() {
        let is_comment = line.trim_start().starts_with('#');
        if line.ends_with('\\') && !is_comment {
            pending.get_or_insert((index + 1, String::new())).1.push_str(line.trim_matches('\\'));
            continue;
        }
        let (number, mut joined) = pending.take().unwrap_or((index + 1, String::new()));
        if is_comment {
            // In joined lines, a comment begins only after a space.
            joined.push(' ');
        }
        joined.push_str(line);
        result.push((number, joined));
    }
    result.extend(pending);
    result.retain_mut(|(_, line)| {
        *line = without_comment(line).to_owned();
        !line.is_empty()
    });
    result
}

/// The line without its comment and surrounding spaces: a `#` at the start or after a space that is not
/// escaped.
pub(super) fn without_comment(line: &str) -> &str {
    for (at, _) in line.match_indices('#') {
        let mut before = line[..at].chars().rev();
        let is_comment = match before.next() {
            None => true,
            Some(blank) if blank.is_whitespace() => before.next() != Some('\\'),
            Some(_) => false,
        };
        if is_comment {
            return line[..at].trim();
        }
    }
    line.trim()
}

/// Every `${NAME}` of the line, with its position.
fn references(line: &str) -> impl Iterator<Item = (usize, &str)> {
    line.match_indices("${").filter_map(|(at, _)| {
        let rest = &line[at + 2..];
        let end = rest.find('}')?;
        let name = &rest[..end];
        let valid = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        (!name.is_empty() && name.bytes().all(valid)).then_some((at, name))
    })
}

/// Fills in the variables of a line; those that are not set or empty stay as they are.
pub(super) fn expand(line: &str, variables: &EnvVariables, secrets: &mut SecretValues) -> String {
    let mut expanded = line.to_owned();
    for (_, name) in references(line) {
        if let Some(value) = variables.text(name).filter(|value| !value.is_empty()) {
            expanded = expanded.replace(&format!("${{{name}}}"), &value);
            secrets.learn(name, &value);
        }
    }
    expanded
}

/// Refuses a line in which variables added options or arguments, unless it consists of one variable.
pub(super) fn check_expansion(line: &str, expanded: &str) -> Result<(), String> {
    let mut marked = String::new();
    let mut copied = 0;
    for (at, name) in references(line) {
        let end = at + name.len() + 3;
        if at == 0 && end == line.len() {
            return Ok(());
        }
        marked.push_str(&line[copied..at]);
        marked.push_str(&format!("\0{at}\0"));
        copied = end;
    }
    if copied == 0 {
        return Ok(());
    }
    marked.push_str(&line[copied..]);
    let before = tokens(&split_lines(&marked))?;
    check_tokens(&before, &tokens(&split_lines(expanded))?)
}

/// Like [`check_expansion`], for a setting's own substitutions; `marked` has marks around them.
pub(super) fn check_substitution(marked: &str, substituted: &str) -> Result<(), String> {
    let of_text = |text: &str| {
        let lines = logical_lines(&normalize(text, RequirementKind::Deps)?);
        tokens(&lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>())
    };
    check_tokens(&of_text(marked)?, &of_text(substituted)?)
}

fn check_tokens(before: &[Vec<String>], after: &[Vec<String>]) -> Result<(), String> {
    let same_line = |(before, after): (&Vec<String>, &Vec<String>)| {
        before.len() == after.len() && before.iter().zip(after).all(|(before, after)| fits(before, after))
    };
    if before.len() == after.len() && before.iter().zip(after).all(same_line) {
        Ok(())
    } else {
        Err("a requirement substitution cannot change pip options".to_owned())
    }
}

fn tokens(lines: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let line = |line: &&str| {
        let (requirement, options) = break_off_options(line);
        let mut tokens = vec![requirement.to_owned()];
        tokens.extend(shlex::split(options)?);
        Ok(tokens)
    };
    lines.iter().map(line).collect()
}

/// Whether `expanded` is `token` with any text in place of its marks.
fn fits(token: &str, expanded: &str) -> bool {
    let mut pieces = token.split('\0');
    let Some(mut rest) = pieces.next().and_then(|first| expanded.strip_prefix(first)) else { return false };
    // Between two marks is a variable, then the text that follows it.
    let mut following: Vec<&str> = pieces.skip(1).step_by(2).collect();
    let Some(last) = following.pop() else { return rest.is_empty() };
    for piece in following {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Splits a line before its first word that begins with a dash: only the rest is split by quoting rules, as
/// these would damage markers.
pub(super) fn break_off_options(line: &str) -> (&str, &str) {
    let mut at = 0;
    for word in line.split(' ') {
        if word.starts_with('-') {
            return (line[..at].trim(), &line[at..]);
        }
        at += word.len() + 1;
    }
    (line.trim(), "")
}

/// The requirement and the options of one line; `kind` is `None` for nested files.
pub(super) fn parse(line: &str, kind: Option<RequirementKind>) -> Result<(&str, LineOptions), String> {
    let (requirement, options) = break_off_options(line);
    if options.is_empty() {
        return Ok((requirement, LineOptions::default()));
    }
    Ok((requirement, arguments::parse(&shlex::split(options)?, kind)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_follow_short_and_long_options_at_once() -> Result<(), String> {
        for (text, expected) in [
            ("-rreq.txt", "-r req.txt"),
            ("--requirementreq.txt", "--requirement req.txt"),
            ("-r a b.txt", r"-r a\ b.txt"),
            (r"-r a\ b.txt", r"-r a\ b.txt"),
            ("-e 'a b'", "-e 'a b'"),
            ("--index-url=x", "--index-url=x"),
            ("a\\\nb", "ab"),
            ("a\r\nb\\\n", "a\nb"),
            ("pkg", "pkg"),
        ] {
            assert_eq!(normalize(text, RequirementKind::Deps)?, expected, "{text}");
        }
        Ok(())
    }

    #[test]
    fn constraints_are_files_and_nothing_else() {
        let read = |text| normalize(text, RequirementKind::Constraints);
        assert_eq!(read("c.txt\n# note\n\nd.txt"), Ok("-c c.txt\n# note\n\n-c d.txt".to_owned()));
        assert_eq!(read("-c c.txt"), Err("only constraints files or URLs can be provided".to_owned()));
    }

    #[test]
    fn comments_are_removed_and_continued_lines_joined() {
        let lines = logical_lines("# c\na \\\n b # d\n\nc#d\ne\\ #f\ng \\\n # h\ni \\");
        let expected = [(2, "a  b"), (5, "c#d"), (6, r"e\ #f"), (7, "g"), (9, "i")];
        assert_eq!(lines, expected.map(|(number, line)| (number, line.to_owned())));
    }

    #[test]
    fn variables_are_filled_in_unless_unset_or_empty() {
        let mut variables = EnvVariables::default();
        variables.set("NAME", "value");
        variables.set("EMPTY", "");
        let mut secrets = SecretValues::default();
        let line = "${NAME}-${EMPTY}-${MISSING}-${name}-${NAME}";
        assert_eq!(expand(line, &variables, &mut secrets), "value-${EMPTY}-${MISSING}-${name}-value");
    }

    #[test]
    fn substitution_may_not_change_options() {
        let check = |marked, text| check_substitution(marked, text);
        assert!(check("--index-url https://host/\u{0}1\u{0} --pre\na", "--index-url https://host/x --pre\na").is_ok());
        assert!(check("c/\u{0}1\u{0}.txt", "c/x.txt --index-url=https://other #.txt").is_err());
        assert!(check("-i https://h/\u{0}1\u{0} -i https://t", "-i https://h/x -i https://o # -i https://t").is_err());
        assert!(check("a==\u{0}1\u{0}\nb", "a==1\nb").is_ok());
    }

    #[test]
    fn filling_in_may_not_add_arguments() {
        let changed = Err("a requirement substitution cannot change pip options".to_owned());
        for (line, expanded, expected) in [
            ("${A}", "-i x -i y", Ok(())),
            ("-i https://${A}/${B}", "-i https://h/s", Ok(())),
            ("-i ${A}", "-i x --pre", changed.clone()),
            ("-i ${A}", "-i x\n--pre", changed.clone()),
            ("${A} >= 1", "beta >= 1", Ok(())),
            ("${A} >= 1", "-e beta >= 1", changed),
        ] {
            assert_eq!(check_expansion(line, expanded), expected, "{line}");
        }
    }
}
