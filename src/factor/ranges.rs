//! Expands ranges of numbers in names of environments: `py3{10-13}`.
//! <https://tox.wiki/en/4.67.15/reference/config.html#generative-environments>

use crate::python_text::{digit, is_word};

/// The limit of environments for an expression.
pub const MOST_NAMES: usize = 1_000_000;

/// Why an expression cannot be expanded.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// This is not a name of an environment.
    Name(String),
    TooMany,
}

/// The minor versions that open ranges (`py3{11-}`, `py3{-13}`) end at; tox 4.67.15's values.
pub const LATEST_PYTHON_MINOR_MIN: u64 = 11;
pub const LATEST_PYTHON_MINOR_MAX: u64 = 15;
/// Expands the ranges in braces and lists: `{10-13}`, `{10-}` up to the newest minor version, `{-13}` from the oldest.
pub fn expand_ranges(value: &str) -> Result<String, Unusable> {
    if !may_have_range(value) {
        return Ok(value.to_owned());
    }
    let mut left = MOST_NAMES;
    let mut result = String::with_capacity(value.len());
    let mut previous: Option<char> = None;
    let mut at = 0;
    while let Some(character) = value[at..].chars().next() {
        if let Some((range, length)) = range_at(&value[at..], previous)? {
            range.write(&mut result, &mut left)?;
            at += length;
            previous = value[..at].chars().next_back();
        } else {
            result.push(character);
            at += character.len_utf8();
            previous = Some(character);
        }
    }
    Ok(result)
}

/// Whether a hyphen could belong to a range: next to a digit, with a delimiter or a digit on the other side.
fn may_have_range(value: &str) -> bool {
    let bytes = value.as_bytes();
    // Digits of other scripts are no single bytes.
    let is_digit = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_digit() || !byte.is_ascii());
    memchr::memchr_iter(b'-', bytes).any(|at| {
        let (before, after) = (at.checked_sub(1).and_then(|before| bytes.get(before)), bytes.get(at + 1));
        let ends = is_digit(after) || matches!(after, Some(b',' | b'}'));
        let begins = is_digit(before) || matches!(before, Some(b'{' | b','));
        begins && ends
    })
}

/// The numbers from one to another, in either direction.
enum Range<'a> {
    Numbers(u64, u64),
    /// A number that is too large, as written.
    Text(&'a str),
}

impl Range<'_> {
    /// Writes the numbers between commas; `left` is the number of names that are still allowed.
    fn write(&self, result: &mut String, left: &mut usize) -> Result<(), Unusable> {
        let (start, stop) = match self {
            Self::Numbers(start, stop) => (*start, *stop),
            Self::Text(text) => {
                result.push_str(text);
                return Ok(());
            }
        };
        let count = usize::try_from(start.abs_diff(stop)).unwrap_or(usize::MAX).saturating_add(1);
        *left = left.checked_sub(count).ok_or(Unusable::TooMany)?;
        let texts: Vec<String> = if start < stop {
            (start..=stop).map(|number| number.to_string()).collect()
        } else {
            (stop..=start).rev().map(|number| number.to_string()).collect()
        };
        result.push_str(&texts.join(","));
        Ok(())
    }
}

/// The numbers of the range at the start of `text`, and its length without the delimiter after it.
fn range_at(text: &str, previous: Option<char>) -> Result<Option<(Range<'_>, usize)>, Unusable> {
    let delimited = |at: usize| text[at..].starts_with([',', '}']);
    let first = digits(text);
    if first == 0 {
        let end = text.strip_prefix('-').map_or(0, |rest| 1 + digits(rest));
        if !matches!(previous, Some('{' | ',')) || end < 2 || !delimited(end) {
            return Ok(None);
        }
        let stop = number(&text[1..end])?;
        return Ok(Some((open(LATEST_PYTHON_MINOR_MIN, stop, stop), end)));
    }
    let opens = !previous.is_some_and(|c| is_word(c) || ".-".contains(c));
    if opens && text[first..].starts_with('-') {
        let end = first + 1 + digits(&text[first + 1..]);
        if delimited(end) {
            let start = number(&text[..first])?;
            let range = if end == first + 1 {
                open(start, LATEST_PYTHON_MINOR_MAX, start)
            } else {
                Range::Numbers(start, number(&text[first + 1..end])?)
            };
            return Ok(Some((range, end)));
        }
    }
    // A number outside a range is skipped as a whole, so that its tail does not start one.
    Ok(delimited(first).then(|| (Range::Text(&text[..first]), first)))
}

/// The length of the digits at the start of `text` in bytes.
fn digits(text: &str) -> usize {
    text.find(|c| digit(c).is_none()).unwrap_or(text.len())
}

fn number(digits: &str) -> Result<u64, Unusable> {
    let sum = digits.chars().try_fold(0_u64, |sum, one| sum.checked_mul(10)?.checked_add(digit(one)?));
    sum.ok_or(Unusable::TooMany)
}

/// An open range; if it would be empty, only the given number.
fn open(start: u64, stop: u64, written: u64) -> Range<'static> {
    if start > stop { Range::Numbers(written, written) } else { Range::Numbers(start, stop) }
}
