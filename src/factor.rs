//! Expands expressions such as `py{310,311}-{a,b}`, and filters the lines of a value by the factors of an environment.
//! <https://tox.wiki/en/4.67.15/reference/config.html#generative-environments>

mod ranges;

use std::borrow::Cow;

pub use ranges::{LATEST_PYTHON_MINOR_MAX, LATEST_PYTHON_MINOR_MIN, MOST_NAMES, Unusable, expand_ranges};

use crate::error::{ConfigError, ErrorClass};
use crate::python_text::{digit, is_space, is_word, strip};

/// The limit for the names of an expression in bytes.
const MOST_BYTES: usize = 128 << 20;

/// The error for an expression that expands to too many environments.
pub fn too_many(expression: &str) -> ConfigError {
    let shown: String = expression.chars().take(80).collect();
    ConfigError::handled(format!(
        "`{shown}` expands to too many environments: more than {MOST_NAMES}, or {} MiB of names",
        MOST_BYTES >> 20
    ))
    .hint("write a shorter range or fewer groups")
}

/// Expands `a,{b,c}-d` to environment names.
pub fn expand_environments(expression: &str) -> Result<Vec<String>, ConfigError> {
    // Most names have nothing to expand.
    if !expression.is_empty() && expression.bytes().all(is_common) {
        return Ok(vec![expression.to_owned()]);
    }
    let written_out = expand_ranges(expression).and_then(|expression| expand_groups(&expression));
    let mut names = written_out.map_err(|reason| match reason {
        Unusable::Name(bad) => ConfigError::new(ErrorClass::Value, bad),
        Unusable::TooMany => too_many(expression),
    })?;
    for name in names.iter_mut().filter(|name| name.contains('!')) {
        *name = without_negations(name);
    }
    Ok(names)
}

/// Whether a byte has no special meaning in a name.
fn is_common(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn without_negation(factor: &str) -> &str {
    factor.strip_prefix('!').unwrap_or(factor)
}

/// The name in a condition, without the exclamation mark of a negation.
fn without_negations(name: &str) -> String {
    name.split('-').map(without_negation).collect::<Vec<_>>().join("-")
}

/// The possible condition before the marker of a line.
fn condition_of(line: &str, marker: usize) -> &str {
    strip(&line[..marker])
}

/// Whether a condition has neither braces nor ranges, so that it need not be expanded.
fn is_plain(condition: &str) -> bool {
    // A range may start after any character that is not part of a name, including `!` and `[`.
    let may_be_range = |one: &str| {
        let before = one.trim_end_matches(|c| c == '-' || digit(c).is_some());
        before.len() < one.len() && !before.ends_with(|c| is_word(c) || c == '.')
    };
    let is_list = condition.contains(',');
    !condition.contains('{') && (!is_list || !plain_alternatives(condition).any(may_be_range))
}

/// The alternatives of a plain condition.
fn plain_alternatives(condition: &str) -> impl Iterator<Item = &str> {
    condition.split(',').filter(|alternative| !alternative.is_empty()).map(strip)
}

/// The position of the first colon before whitespace or the end of the line.
fn marker_position(line: &str) -> Option<usize> {
    let mut colons = memchr::memchr_iter(b':', line.as_bytes());
    colons.find(|at| line[at + 1..].chars().next().is_none_or(is_space))
}

/// Evaluates conditions line by line. Generated files repeat a condition on many lines, so the result for the previous line
/// is reused.
pub(crate) struct LineConditions<'a, T> {
    /// The start of the last line with a marker, including the marker and the space after it.
    start: &'a str,
    answer: T,
}

impl<'a, T: Copy> LineConditions<'a, T> {
    pub(crate) fn new(initial: T) -> Self {
        Self { start: "", answer: initial }
    }

    /// The result of `answer` for the line's condition, and the text after the marker; `None` if there is no marker.
    pub(crate) fn of(&mut self, line: &'a str, answer: impl FnOnce(&'a str) -> T) -> Option<(T, &'a str)> {
        if self.start.is_empty() || !line.starts_with(self.start) {
            let marker = marker_position(line)?;
            // Without a space after it, this would not be a marker on a longer line.
            let blank = line[marker + 1..].chars().next();
            self.start = blank.map_or("", |blank| &line[..marker + 1 + blank.len_utf8()]);
            self.answer = answer(condition_of(line, marker));
            return Some((self.answer, &line[marker + 1..]));
        }
        Some((self.answer, &line[self.start.len()..]))
    }
}

/// Keeps the lines of a value that apply to an environment with these factors, which are computed only if there is a
/// condition.
pub fn filter<'v, 'a>(value: &'v str, active: impl Fn() -> &'a ActiveFactors) -> Result<Cow<'v, str>, ConfigError> {
    // Nearly all values have no conditions; nothing to do for them.
    if !has_marker(value) && !value.contains('\\') {
        return Ok(without_empty_lines(value));
    }
    let mut kept = String::new();
    let mut any = false;
    let mut keep = |line: &str| {
        if any {
            kept.push('\n');
        }
        kept.push_str(line);
        any = true;
    };
    let mut conditions = LineConditions::new(None);
    let mut failure = Ok(());
    let mut continues = false;
    let mut skipping = false;
    for line in lines(value) {
        let found = conditions.of(line, |condition| match FactorCondition::parse(condition) {
            Ok(condition) => condition.map(|condition| active().satisfy(&condition)),
            Err(error) => {
                failure = Err(error);
                None
            }
        });
        match found.and_then(|(holds, rest)| Some((holds?, strip(rest)))) {
            None => {
                if skipping && !continues && !line.ends_with('\\') {
                    skipping = false;
                    continue;
                }
                if !line.is_empty() {
                    keep(line);
                    continues = line.ends_with('\\');
                }
                skipping = false;
            }
            Some((true, content)) => {
                keep(content);
                continues = content.ends_with('\\');
                skipping = false;
            }
            Some((false, content)) => skipping = content.ends_with('\\'),
        }
    }
    failure.map(|()| Cow::Owned(kept))
}

/// `split('\n')`, for texts of a hundred thousand lines.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.scan(0, move |start, end| Some(&text[std::mem::replace(start, end + 1)..end]))
}

/// Whether any line may have a condition.
pub(crate) fn has_marker(value: &str) -> bool {
    marker_position(value).is_some()
}

fn without_empty_lines(value: &str) -> Cow<'_, str> {
    // Lists begin on the line below their key.
    let value = value.trim_matches('\n');
    if memchr::memmem::find(value.as_bytes(), b"\n\n").is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(lines(value).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n"))
}

/// Collects the environment names in the conditions of a value that contain an unknown factor.
pub fn mentioned_environments(
    value: &str,
    is_known: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(String),
) -> Result<(), ConfigError> {
    if !has_marker(value) {
        return Ok(());
    }
    let mut failure = Ok(());
    let is_new = |name: &str| name.split('-').any(|factor| !is_known(without_negation(factor)));
    let mut conditions = LineConditions::new(());
    for line in lines(value) {
        conditions.of(line, |condition| match FactorCondition::parse(condition) {
            Ok(condition) => {
                let names = condition.map(|condition| condition.0).unwrap_or_default();
                names.iter().filter(|name| is_new(name)).for_each(|name| found(without_negations(name)));
            }
            Err(error) => failure = Err(error),
        });
    }
    failure
}

/// The condition of a line: names of environments, of which one must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactorCondition(Vec<String>);

impl FactorCondition {
    /// Names of environments, possibly negated, of which one must match.
    pub(crate) fn alternatives(&self) -> &[String] {
        &self.0
    }

    /// `None` if the text is not a condition.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, ConfigError> {
        if !is_plain(text) {
            return match expand_ranges(text).and_then(|text| expand_groups(&text)) {
                Ok(names) => Ok(Some(Self(names))),
                Err(Unusable::Name(_)) => Ok(None),
                Err(Unusable::TooMany) => Err(too_many(text)),
            };
        }
        let valid = plain_alternatives(text).all(|name| name.split('-').all(is_factor));
        Ok(valid.then(|| Self(plain_alternatives(text).map(str::to_owned).collect())))
    }
}

/// The factors that hold for an environment: those of its name, the platform and the machine.
#[derive(Debug, Clone, Default)]
pub struct ActiveFactors(Vec<String>);

impl ActiveFactors {
    /// `platform` is Python's `sys.platform`, `machine` the instruction set in Python's spelling.
    pub fn of(name: Option<&str>, platform: &str, machine: &str) -> Self {
        let names = name.map(|name| expand_environments(name).unwrap_or_default()).unwrap_or_default();
        let mut factors: Vec<String> = names.iter().flat_map(|name| name.split('-')).map(str::to_owned).collect();
        let machine = normalize_machine(machine);
        let names_machine = factors
            .iter()
            .any(|factor| KNOWN_MACHINES.contains(&factor.as_str()) || normalize_machine(factor) == machine);
        if !names_machine {
            factors.push(machine.into_owned());
        }
        factors.push(platform.to_owned());
        Self(factors)
    }

    /// Whether one of the alternatives of a condition holds.
    pub(crate) fn satisfy(&self, condition: &FactorCondition) -> bool {
        let holds = |factor: &str| self.contains(without_negation(factor)) != factor.starts_with('!');
        condition.0.iter().any(|name| name.split('-').all(holds))
    }

    pub fn contains(&self, factor: &str) -> bool {
        self.0.iter().any(|one| one == factor)
    }
}

/// Instruction sets, by the names Python settled on.
const KNOWN_MACHINES: [&str; 10] =
    ["arm64", "loongarch64", "ppc", "ppc64", "ppc64le", "riscv64", "s390x", "sparc64", "x86", "x86_64"];

fn normalize_machine(machine: &str) -> Cow<'_, str> {
    let is_lower = machine.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let lower = if is_lower { Cow::Borrowed(machine) } else { Cow::Owned(machine.to_lowercase()) };
    match lower.as_ref() {
        "amd64" => Cow::Borrowed("x86_64"),
        "aarch64" => Cow::Borrowed("arm64"),
        "i386" | "i486" | "i586" | "i686" => Cow::Borrowed("x86"),
        _ => lower,
    }
}

/// Expands the braces of `py-{a,b},c`.
fn expand_groups(value: &str) -> Result<Vec<String>, Unusable> {
    let mut result = Vec::new();
    let mut bytes = 0_usize;
    for expression in split_outside_braces(value) {
        let mut variants = vec![String::new()];
        for part in parts_of(strip(expression)) {
            let alternatives: Vec<&str> = part.split(',').map(strip).collect();
            if let [only] = alternatives[..] {
                if variants.len().saturating_mul(only.len()) > MOST_BYTES {
                    return Err(Unusable::TooMany);
                }
                variants.iter_mut().for_each(|start| start.push_str(only));
                continue;
            }
            let names = variants.len().saturating_mul(alternatives.len());
            let longest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
            let length =
                longest(&mut variants.iter().map(String::len)) + longest(&mut alternatives.iter().map(|one| one.len()));
            if result.len().saturating_add(names) > MOST_NAMES || names.saturating_mul(length) > MOST_BYTES {
                return Err(Unusable::TooMany);
            }
            variants = variants
                .iter()
                .flat_map(|start| alternatives.iter().map(move |alternative| [start.as_str(), alternative].concat()))
                .collect();
        }
        for variant in &variants {
            if !variant.bytes().all(is_common) && !variant.split('-').all(is_factor) {
                return Err(Unusable::Name(variant.clone()));
            }
        }
        bytes += variants.iter().map(String::len).sum::<usize>();
        if bytes > MOST_BYTES {
            return Err(Unusable::TooMany);
        }
        result.append(&mut variants);
    }
    Ok(result)
}

/// Pieces between commas outside braces; empty pieces are skipped.
fn split_outside_braces(value: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let last_brace = end_of_braces(value);
    let (mut start, mut at) = (0, 0);
    while let Some(found) = memchr::memchr2(b'{', b',', &value.as_bytes()[at..]) {
        at += found;
        if let Some(group) = brace_group(&value[at..last_brace.max(at)]) {
            at += group.len() + 2;
            continue;
        }
        if value[at..].starts_with(',') {
            pieces.push(&value[start..at]);
            start = at + 1;
        }
        at += 1;
    }
    pieces.push(&value[start..]);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// The end of the text in which braces close; searching further repeatedly would take quadratic time.
fn end_of_braces(text: &str) -> usize {
    text.rfind('}').map_or(0, |at| at + 1)
}

/// The text inside the braces that `text` starts with; not empty and without a closing brace.
fn brace_group(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    (end > 0).then(|| &inner[..end])
}

/// Literal text and the insides of braces in turn.
fn parts_of(expression: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let last_brace = end_of_braces(expression);
    let (mut start, mut at) = (0, 0);
    while let Some(found) = memchr::memchr(b'{', &expression.as_bytes()[at..]) {
        at += found;
        match brace_group(&expression[at..last_brace.max(at)]) {
            Some(group) => {
                parts.push(&expression[start..at]);
                parts.push(group);
                at += group.len() + 2;
                start = at;
            }
            None => at += 1,
        }
    }
    parts.push(&expression[start..]);
    parts
}

/// A factor is made of word characters, dots and the wildcards of file name patterns; `!` may stand before it.
fn is_factor(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let mut rest = text.strip_prefix('!').unwrap_or(text).chars().peekable();
    let mut count = 0;
    while let Some(character) = rest.next() {
        let fits = is_word(character) || ".*?][-".contains(character);
        if !fits || (count == 0 && character == '-') {
            return false;
        }
        if character == '[' && rest.peek() == Some(&'!') {
            rest.next();
        }
        count += 1;
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Vec<String> {
        expand_environments(text).expect("valid")
    }

    #[test]
    fn braces_multiply_and_commas_separate() {
        assert_eq!(expanded("{py,pi}-{a,b},c"), ["py-a", "py-b", "pi-a", "pi-b", "c"]);
        assert_eq!(expanded("py{310, 311}"), ["py310", "py311"]);
        assert_eq!(expanded("a{b}{c,d}e"), ["abce", "abde"]);
        assert_eq!(expanded("py39-{,dep}"), ["py39-", "py39-dep"]);
        assert!(expand_environments("{a").is_err());
        assert!(expand_environments("a b").is_err());
    }

    #[test]
    fn ranges_are_closed_or_open_and_never_begin_inside_a_name() {
        assert_eq!(expanded("py3{10-12}"), ["py310", "py311", "py312"]);
        assert_eq!(expanded("py3{12-10}"), ["py312", "py311", "py310"]);
        assert_eq!(expanded("py3{14-}"), ["py314", "py315"]);
        assert_eq!(expanded("py3{-12}"), ["py311", "py312"]);
        assert_eq!(expanded("py3{16-}"), ["py316"]);
        assert_eq!(expanded("py-django-4-2,b"), ["py-django-4-2", "b"]);
        assert_eq!(expanded("py-django{4-2}"), ["py-django4", "py-django3", "py-django2"]);
        assert_eq!(expanded("3.{9-11}"), ["3.9", "3.10", "3.11"]);
    }

    #[test]
    fn ranges_and_products_are_written_out_up_to_a_limit() {
        assert_eq!(expanded("{1-100001}").len(), 100_001);
        let product = "{a,b}".repeat(19);
        assert_eq!(expanded(&product).len(), 1 << 19);
        for expression in [
            "{1-1000001}",
            "{1-600000},{1-600000}",
            "{1-99999999999999999999999}",
            "{99999999999999999999999-}",
            "{-99999999999999999999999}",
            &"{a,b}".repeat(20),
            &"{a,b}".repeat(2_000),
            &format!("{}{}", "{a,b}".repeat(18), "c".repeat(10_000)),
            &format!("{}{}", "c".repeat(10_000), "{a,b}".repeat(18)),
            &format!("{}{}", "{a,".repeat(100_000), "}".repeat(100_000)),
        ] {
            let error = expand_environments(expression).expect_err("too many");
            assert!(error.message.contains("expands to too many environments"), "{}", error.message);
            let active = ActiveFactors::of(Some("a"), "linux", "x86_64");
            assert!(filter(&format!("{expression}: x"), || &active).is_err(), "{expression}");
        }
        assert_eq!(expanded("py99999999999999999999999-a"), ["py99999999999999999999999-a"]);
    }

    fn filtered(value: &str, name: &str) -> String {
        let active = ActiveFactors::of(Some(name), "linux", "x86_64");
        filter(value, || &active).expect("few enough").into_owned()
    }

    #[test]
    fn conditional_lines_hold_for_the_environments_they_name() {
        let value = "always\npy310: a\npy311,lint: b\n!py310: c\npy310-x: d";
        assert_eq!(filtered(value, "py310"), "always\na");
        assert_eq!(filtered(value, "py311"), "always\nb\nc");
        assert_eq!(filtered(value, "py310-x"), "always\na\nd");
        assert_eq!(filtered("!10-,: kept", "a"), "kept");
        assert_eq!(filtered("linux: yes\nwin32: no\nx86_64: too", "py"), "yes\ntoo");
    }

    #[test]
    fn a_continued_line_belongs_to_its_condition() {
        assert_eq!(filtered("a: one \\\ntwo\nthree", "a"), "one \\\ntwo\nthree");
        assert_eq!(filtered("a: one \\\ntwo\nthree", "b"), "three");
    }

    #[test]
    fn a_colon_that_is_no_condition_stays() {
        assert_eq!(filtered("https://example.org\npip install x: y", "py"), "https://example.org\npip install x: y");
    }

    #[test]
    fn conditions_name_environments() {
        let mut found = Vec::new();
        let value = "a: 1\nb-{c,d}: 2\nb-{c,d}: 3\nplain\n!e,a: 3\nf:\nf:x\nf: x";
        mentioned_environments(value, &|factor| factor == "a", &mut |name| found.push(name)).expect("few enough");
        assert_eq!(found, ["b-c", "b-d", "e", "f", "f"]);
    }
}
