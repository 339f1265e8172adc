//! PEP 508 requirements that keep their original form: names, quotes of urls and the shape of markers
//! survive, and the printed form is that of Python's `packaging` library, which tox shows, compares and
//! passes to pip. (The `pep508_rs` crate normalises names and simplifies markers, so its output differs from
//! tox's.)

pub mod evaluate;
mod parse;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A name as PEP 503 compares them: lower case, runs of `-`, `_` and `.` become one `-`.
pub fn canonical_name(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut separator = false;
    for character in name.chars() {
        if matches!(character, '-' | '_' | '.') {
            separator = true;
            continue;
        }
        if separator {
            result.push('-');
            separator = false;
        }
        result.extend(character.to_lowercase());
    }
    if separator {
        result.push('-');
    }
    result
}

/// Why a text is not a valid requirement, in `packaging`'s words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n    {text}\n    {}{}^", " ".repeat(*.start), "~".repeat(*.end - *.start))]
pub struct InvalidRequirement {
    pub message: String,
    pub text: String,
    /// Where the error begins and where it was noticed, in characters.
    pub start: usize,
    pub end: usize,
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// As written.
    pub name: String,
    /// As written.
    pub extras: BTreeSet<String>,
    /// `>=1`, `<2`, sorted and without repetition.
    pub specifiers: BTreeSet<String>,
    pub url: Option<String>,
    pub marker: Option<Marker>,
}

impl FromStr for Requirement {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, InvalidRequirement> {
        parse::requirement(text)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if !self.extras.is_empty() {
            write!(formatter, "[{}]", joined(&self.extras))?;
        }
        formatter.write_str(&joined(&self.specifiers))?;
        if let Some(url) = &self.url {
            write!(formatter, " @ {url}")?;
        }
        if let Some(marker) = &self.marker {
            let space = if self.url.is_some() { " " } else { "" };
            write!(formatter, "{space}; {marker}")?;
        }
        Ok(())
    }
}

fn joined(items: &BTreeSet<String>) -> String {
    items.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// A marker expression: terms with `and` and `or` between them, in their original order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker(pub Vec<MarkerPart>);

impl FromStr for Marker {
    type Err = InvalidRequirement;

    fn from_str(text: &str) -> Result<Self, InvalidRequirement> {
        parse::marker(text)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkerPart {
    Comparison {
        left: Operand,
        operator: String,
        right: Operand,
    },
    /// The content of parentheses.
    Group(Marker),
    And,
    Or,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operand {
    /// `python_version`, `extra`, …
    Variable(String),
    /// A quoted text, without its quotes.
    Text(String),
}

impl Marker {
    /// A marker that holds when all of `markers` do.
    pub fn all(markers: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = Vec::new();
        for marker in markers {
            if !parts.is_empty() {
                parts.push(MarkerPart::And);
            }
            parts.push(MarkerPart::Group(marker));
        }
        Self(parts)
    }

    fn write(&self, formatter: &mut fmt::Formatter<'_>, outermost: bool) -> fmt::Result {
        // Parentheses around a single term are redundant and left out, however many there are.
        match self.0.as_slice() {
            [MarkerPart::Group(inner)] => return inner.write(formatter, outermost),
            [term @ MarkerPart::Comparison { .. }] => return term.write(formatter),
            _ => {}
        }
        if !outermost {
            formatter.write_str("(")?;
        }
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            part.write(formatter)?;
        }
        if !outermost {
            formatter.write_str(")")?;
        }
        Ok(())
    }
}

impl MarkerPart {
    fn write(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Comparison { left, operator, right } => write!(formatter, "{left} {operator} {right}"),
            Self::Group(marker) => marker.write(formatter, false),
            Self::And => formatter.write_str("and"),
            Self::Or => formatter.write_str("or"),
        }
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter, true)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => formatter.write_str(name),
            Self::Text(text) if text.contains('"') => write!(formatter, "'{text}'"),
            Self::Text(text) => write!(formatter, "\"{text}\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<Requirement>() {
            Ok(requirement) => requirement.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn requirements_print_as_python_packaging_prints_them() {
        for (text, expected) in [
            ("six", "six"),
            ("  My.Pkg [b, a] >= 1.0, <2 , <2", "My.Pkg[a,b]<2,>=1.0"),
            ("a (>=1)", "a>=1"),
            ("a==1.*", "a==1.*"),
            ("a~=1.0.dev", "a~=1.0.dev"),
            ("a!=1.0a1.post2.dev3+local.1", "a!=1.0a1.post2.dev3+local.1"),
            ("a===whatever-you like", ""),
            ("a @ https://x/y?z", "a @ https://x/y?z"),
            ("a @ https://x/y ; os.name=='nt'", "a @ https://x/y ; os_name == \"nt\""),
            ("a; python_implementation=='CPython'", "a; platform_python_implementation == \"CPython\""),
            ("a;extra == 'Foo_Bar'", "a; extra == \"foo-bar\""),
            ("a; ((os_name == 'nt'))", "a; os_name == \"nt\""),
            (
                "a; (os_name == 'nt' or os_name == 'x') and 'b' not   in sys_platform",
                "a; (os_name == \"nt\" or os_name == \"x\") and \"b\" not in sys_platform",
            ),
            ("a; os_name == 'say \"hi\"'", "a; os_name == 'say \"hi\"'"),
        ] {
            if expected.is_empty() {
                assert!(text.parse::<Requirement>().is_err(), "{text}");
            } else {
                assert_eq!(shown(text), expected, "{text}");
            }
        }
    }

    #[test]
    fn invalid_requirements_are_reported_in_the_words_of_packaging() {
        for (text, expected) in [
            ("", "Expected package name at the start of dependency specifier\n    \n    ^"),
            ("a b", "Expected semicolon (after name with no version specifier) or end\n    a b\n      ^"),
            (
                "a>=1 b",
                "Expected comma (within version specifier), semicolon (after version specifier) or end\n    a>=1 b\n     ~~~~^",
            ),
            ("a[b", "Expected matching RIGHT_BRACKET for LEFT_BRACKET, after extras\n    a[b\n     ~~^"),
            ("a[b c]", "Expected comma between extra names\n    a[b c]\n        ^"),
            ("a>=1.*", ".* suffix can only be used with `==` or `!=` operators\n    a>=1.*\n     ~~~~^"),
            ("a;", "Expected a marker variable or quoted string\n    a;\n      ^"),
            (
                "a; os_name is 'x'",
                "Expected marker operator, one of <=, <, !=, ==, >=, >, ~=, ===, in, not in\n    a; os_name is 'x'\n               ^",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_case_and_separators() {
        assert_eq!(canonical_name("My__Pkg.-x"), "my-pkg-x");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_survives_printing(text in "\\PC{0,40}|a[\\[\\]()=<>~!,;@ a-c0-9.*'\"]{0,30}") {
            if let Ok(requirement) = text.parse::<Requirement>() {
                let printed = requirement.to_string();
                proptest::prop_assert_eq!(printed.parse::<Requirement>().map(|again| again.to_string()), Ok(printed.clone()));
            }
        }
    }
}
