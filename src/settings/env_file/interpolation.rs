//! `$NAME` and `${NAME}` in values, with the operators of the shell. Pure.
//! <https://docs.docker.com/reference/compose-file/interpolation/>

/// The limit for nested expressions.
const DEEPEST: usize = 50;
/// The limit for a value in bytes; a process can receive 128 KiB.
const MOST_BYTES: usize = 4 << 20;

/// The known variables, and those that were missing.
pub struct InterpolationLookup<'a> {
    pub value: &'a dyn Fn(&str) -> Option<String>,
    /// Variables that were replaced with nothing because they are not set.
    pub unset: Vec<String>,
}

/// The text with its variables replaced.
pub fn interpolated(text: &str, lookup: &mut InterpolationLookup<'_>) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    append(text, lookup, DEEPEST, &mut result)?;
    Ok(result)
}

fn append(text: &str, lookup: &mut InterpolationLookup<'_>, depth: usize, result: &mut String) -> Result<(), String> {
    let mut rest = text;
    while let Some((before, expression)) = rest.split_once('$') {
        result.push_str(before);
        if result.len() > MOST_BYTES {
            return Err(format!("the value exceeds {} MiB", MOST_BYTES >> 20));
        }
        if let Some(after) = expression.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(braced) = expression.strip_prefix('{') {
            let (name, after) = braced.split_at(name_length(braced));
            let invalid = || {
                let line = expression.lines().next().unwrap_or_default();
                format!("invalid expression: `${line}` (write `$$` for a dollar sign that is part of the value)")
            };
            if name.is_empty() {
                return Err(invalid());
            }
            if let Some(after) = after.strip_prefix('}') {
                result.push_str(&plain(name, lookup));
                rest = after;
                continue;
            }
            let end = closing(braced).ok_or_else(invalid)?;
            let operation = InterpolationOperator::of(&braced[name.len()..end]).ok_or_else(invalid)?;
            if depth == 0 {
                return Err("expressions are nested too deeply".to_owned());
            }
            operation.append(name, lookup, depth - 1, result)?;
            rest = &braced[end + 1..];
        } else {
            let (name, after) = expression.split_at(name_length(expression));
            if name.is_empty() {
                result.push('$');
            } else {
                result.push_str(&plain(name, lookup));
            }
            rest = after;
        }
    }
    result.push_str(rest);
    Ok(())
}

fn plain(name: &str, lookup: &mut InterpolationLookup<'_>) -> String {
    (lookup.value)(name).unwrap_or_else(|| {
        lookup.unset.push(name.to_owned());
        String::new()
    })
}

fn name_length(text: &str) -> usize {
    let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { length }
}

/// The position of the closing brace in `text`, on the same line; braces inside must be paired, or else the last one of
/// the line is used.
fn closing(text: &str) -> Option<usize> {
    let line = text.split_once('\n').map_or(text, |(line, _)| line);
    let mut open = 1;
    let mut bytes = line.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'}' => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            b'{' => {
                open += 1;
                // As in Compose, the text after an opening brace is not checked.
                bytes.next();
            }
            _ => {}
        }
    }
    line.rfind('}')
}

/// The text between the name and the closing brace.
struct InterpolationOperator<'a> {
    kind: InterpolationKind,
    /// Whether an empty value counts as unset.
    of_empty: bool,
    argument: &'a str,
}

enum InterpolationKind {
    Default,
    Alternative,
    Required,
}

impl<'a> InterpolationOperator<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (of_empty, text) = text.strip_prefix(':').map_or((false, text), |rest| (true, rest));
        let kind = match text.chars().next()? {
            '-' => InterpolationKind::Default,
            '+' => InterpolationKind::Alternative,
            '?' => InterpolationKind::Required,
            _ => return None,
        };
        Some(Self { kind, of_empty, argument: &text[1..] })
    }

    fn append(
        &self,
        name: &str,
        lookup: &mut InterpolationLookup<'_>,
        depth: usize,
        result: &mut String,
    ) -> Result<(), String> {
        let known_unset = lookup.unset.len();
        // An error in it is reported even if it is not used.
        let mut argument = String::new();
        append(self.argument, lookup, depth, &mut argument)?;
        let value = (lookup.value)(name).filter(|value| !(self.of_empty && value.is_empty()));
        let outcome = match (&self.kind, value) {
            (InterpolationKind::Default, None) | (InterpolationKind::Alternative, Some(_)) => {
                result.push_str(&argument);
                return Ok(());
            }
            (InterpolationKind::Default | InterpolationKind::Required, Some(value)) => {
                result.push_str(&value);
                Ok(())
            }
            (InterpolationKind::Alternative, None) => Ok(()),
            (InterpolationKind::Required, None) => {
                let colon = if argument.is_empty() { "" } else { ": " };
                Err(format!("the required variable `{name}` is missing{colon}{argument}"))
            }
        };
        lookup.unset.truncate(known_unset);
        outcome
    }
}
