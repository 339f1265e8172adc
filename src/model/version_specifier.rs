//! Version specifiers for interpreters (`>=3.11,<3.13`), as far as python-discovery understands PEP 440:
//! releases of up to three parts with an optional pre-release. A comparison uses only as many parts as were
//! written, so that `<=3.11` accepts 3.11.4. Not suitable for specifiers of distributions.

use std::cmp::Ordering;

use super::interpreter::PythonVersion;

/// Longest first, so that `===` is not read as `==`.
const OPERATORS: [(&str, SpecifierOperator); 8] = [
    ("===", SpecifierOperator::Identical),
    ("==", SpecifierOperator::Equal),
    ("~=", SpecifierOperator::Compatible),
    ("!=", SpecifierOperator::Unequal),
    ("<=", SpecifierOperator::AtMost),
    (">=", SpecifierOperator::AtLeast),
    ("<", SpecifierOperator::Below),
    (">", SpecifierOperator::Above),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpecifierOperator {
    Identical,
    Equal,
    Compatible,
    Unequal,
    AtMost,
    AtLeast,
    Below,
    Above,
}

/// A release, padded with zeros, and its pre-release (`a` < `b` < `rc`), which sorts before the final release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SpecifierVersion {
    release: [u32; 3],
    /// The number of parts that were written.
    precision: usize,
    pre: Option<(u8, u32)>,
}

impl SpecifierVersion {
    fn parse(text: &str) -> Option<Self> {
        let (numbers, pre) = match text.find(|character: char| character.is_ascii_alphabetic()) {
            Some(position) => (&text[..position], Some(parse_pre_release(&text[position..])?)),
            None => (text, None),
        };
        let mut release = [0; 3];
        let mut precision = 0;
        for part in numbers.split('.') {
            *release.get_mut(precision)? = parse_number(part)?;
            precision += 1;
        }
        Some(Self { release, precision, pre })
    }

    /// The interpreter's version, cut to `precision` parts. The pre-release counts only for the whole
    /// version, or if the specifier itself contains a pre-release.
    fn of_interpreter(version: &PythonVersion, precision: usize, asks_for_pre: bool) -> Self {
        let mut release = [version.major, version.minor, version.micro];
        release.iter_mut().skip(precision).for_each(|part| *part = 0);
        let stage = match version.release_level.as_str() {
            "alpha" => Some(1),
            "beta" => Some(2),
            "candidate" => Some(3),
            _ => None,
        };
        let pre = stage.filter(|_| precision == 3 || asks_for_pre).map(|stage| (stage, version.serial));
        Self { release, precision, pre }
    }

    fn compare(&self, other: &Self) -> Ordering {
        // A final release follows every pre-release of it.
        let rank = |version: &Self| version.pre.unwrap_or((u8::MAX, 0));
        self.release.cmp(&other.release).then_with(|| rank(self).cmp(&rank(other)))
    }
}

fn parse_number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn parse_pre_release(text: &str) -> Option<(u8, u32)> {
    [("rc", 3), ("a", 1), ("b", 2)]
        .iter()
        .find_map(|(label, stage)| Some((*stage, parse_number(text.strip_prefix(label)?)?)))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SpecifierClause {
    operator: SpecifierOperator,
    version: SpecifierVersion,
    wildcard: bool,
}

impl SpecifierClause {
    fn parse(text: &str) -> Option<Self> {
        let (symbol, operator) = OPERATORS.iter().find(|(symbol, _)| text.starts_with(symbol))?;
        let rest = text[symbol.len()..].trim();
        let (number, wildcard) = rest.strip_suffix(".*").map_or((rest, false), |number| (number, true));
        Some(Self { operator: *operator, version: SpecifierVersion::parse(number)?, wildcard })
    }

    fn contains(&self, candidate: &SpecifierVersion) -> bool {
        let wanted = &self.version;
        let order = candidate.compare(wanted);
        if self.wildcard {
            let same = candidate.release[..wanted.precision] == wanted.release[..wanted.precision];
            return match self.operator {
                SpecifierOperator::Equal => same,
                SpecifierOperator::Unequal => !same,
                _ => false,
            };
        }
        match self.operator {
            SpecifierOperator::Identical => order.is_eq() && candidate.precision == wanted.precision,
            SpecifierOperator::Equal => order.is_eq(),
            SpecifierOperator::Unequal => order.is_ne(),
            SpecifierOperator::AtMost => order.is_le(),
            SpecifierOperator::AtLeast => order.is_ge(),
            SpecifierOperator::Above => order.is_gt(),
            // PEP 440: `<3.14` excludes the pre-releases of 3.14 itself.
            SpecifierOperator::Below => {
                order.is_lt()
                    && (candidate.pre.is_none() || wanted.pre.is_some() || candidate.release != wanted.release)
            }
            SpecifierOperator::Compatible => {
                let prefix = (wanted.precision - 1).max(1);
                order.is_ge() && candidate.release[..prefix] == wanted.release[..prefix]
            }
        }
    }
}

/// A comma-separated list of comparisons, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSpecifier(Vec<SpecifierClause>);

impl VersionSpecifier {
    /// `None` if a part of it is not a comparison with a version.
    pub fn parse(text: &str) -> Option<Self> {
        let clauses = text.split(',').map(str::trim).filter(|clause| !clause.is_empty());
        clauses.map(SpecifierClause::parse).collect::<Option<Vec<_>>>().map(Self)
    }

    pub fn contains(&self, version: &PythonVersion) -> bool {
        self.0.iter().all(|clause| {
            let wanted = &clause.version;
            clause.contains(&SpecifierVersion::of_interpreter(version, wanted.precision, wanted.pre.is_some()))
        })
    }
}

/// The length of the comparison operator that `text` begins with; `None` if it begins with another text.
pub fn operator_length(text: &str) -> Option<usize> {
    OPERATORS.iter().find(|(symbol, _)| text.starts_with(symbol)).map(|(symbol, _)| symbol.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(micro: u32, release_level: &str, serial: u32) -> PythonVersion {
        PythonVersion { major: 3, minor: 11, micro, release_level: release_level.to_owned(), serial }
    }

    fn holds(specifier: &str) -> bool {
        VersionSpecifier::parse(specifier).expect(specifier).contains(&version(4, "final", 0))
    }

    #[test]
    fn a_version_is_compared_at_the_precision_that_was_written() {
        for specifier in ["<=3.11", "==3.11", ">=3.11", "~=3.10", "~=3.11.2", "==3.11.*", "!=3.10.*", ">3", ">3.11.3"] {
            assert_eq!(holds(specifier), specifier != ">3", "{specifier}");
        }
        for specifier in
            [">3.11", "<3.11", "!=3.11", "~=3.10.1", "==3.10.*", ">=3.12,<4", ">=3.0,!=3.11.4", "===3.11.5"]
        {
            assert!(!holds(specifier), "{specifier}");
        }
    }

    #[test]
    fn a_pre_release_precedes_its_release() {
        let candidate = version(0, "candidate", 2);
        let contains = |text: &str| VersionSpecifier::parse(text).expect(text).contains(&candidate);
        assert!(contains(">=3.11"));
        assert!(!contains(">=3.11.0"));
        assert!(!contains("<3.11.0"));
        assert!(contains(">=3.11rc1"));
        assert!(contains("==3.11.0rc2"));
        assert!(!contains(">=3.11rc3"));
        assert!(contains("<3.11.1"));
    }

    #[test]
    fn an_invalid_version_is_refused() {
        for text in [">=", ">=x", "3.11", ">=3.11.1.1", ">=3..1", ">=3.11c1", "=3.11", ">=99999999999", ">=3.11,foo"] {
            assert_eq!(VersionSpecifier::parse(text), None, "{text}");
        }
    }
}
