//! The licence of a package, as its core metadata states it.
//! <https://packaging.python.org/en/latest/specifications/core-metadata/>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::build::package::metadata::headers;

/// Where a licence name in the metadata is longer than this, it is the licence itself.
const LONGEST_NAME: usize = 100;

/// The licences that are known, by names and versions of packages.
pub type Licences = BTreeMap<(String, String), Licence>;

/// What a package says of its licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Licence {
    /// An SPDX expression.
    Expression(String),
    /// In words of its own.
    Named(Vec<String>),
}

impl Licence {
    /// From `METADATA`: an expression counts more than a name, and that more than classifiers, unless it is a whole text.
    pub fn of_metadata(text: &str) -> Option<Self> {
        let headers = headers(text);
        let of = |key: &str| {
            let values =
                headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.trim());
            let said = |value: &&str| !value.is_empty() && !value.eq_ignore_ascii_case("unknown");
            values.filter(said).map(str::to_owned).collect::<Vec<_>>()
        };
        if let Some(expression) = of("license-expression").into_iter().next() {
            return Some(Self::Expression(expression));
        }
        let named = of("license").into_iter().next();
        if let Some(name) = named.as_ref().filter(|name| !name.contains('\n') && name.len() <= LONGEST_NAME) {
            return Some(Self::Named(vec![name.clone()]));
        }
        let classifiers = of("classifier");
        let classified = classifiers.iter().filter_map(|classifier| classifier.strip_prefix("License :: "));
        let classified =
            classified.filter_map(|path| path.rsplit(" :: ").next()).filter(|name| *name != "OSI Approved");
        let classified: Vec<String> = classified.map(str::to_owned).collect();
        if !classified.is_empty() {
            return Some(Self::Named(classified));
        }
        let first = named?.lines().next()?.trim().chars().take(LONGEST_NAME).collect();
        Some(Self::Named(vec![first]))
    }

    /// As CycloneDX has it.
    pub fn json(&self) -> Value {
        match self {
            Self::Expression(expression) => json!([{"expression": expression}]),
            Self::Named(names) => names.iter().map(|name| json!({"license": {"name": name}})).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_counts_before_a_name_and_that_before_classifiers() {
        let classifier = "Classifier: License :: OSI Approved :: MIT License\nClassifier: Typing :: Typed\n";
        let named = |name: &str| Some(Licence::Named(vec![name.to_owned()]));
        for (lines, expected) in [
            (
                "License-Expression: MIT OR Apache-2.0\nLicense: X\n",
                Some(Licence::Expression("MIT OR Apache-2.0".to_owned())),
            ),
            ("License: BSD\n", named("BSD")),
            ("License: UNKNOWN\n", named("MIT License")),
            ("License: Copyright me\n        You may\n", named("MIT License")),
            ("", named("MIT License")),
        ] {
            assert_eq!(
                Licence::of_metadata(&format!("Name: a\n{lines}{classifier}\nLicense: no\n")),
                expected,
                "{lines}"
            );
        }
        assert_eq!(Licence::of_metadata("License: Copyright me\n        You may\n"), named("Copyright me"));
        assert_eq!(Licence::of_metadata("Name: a\nClassifier: License :: OSI Approved\n\nLicense: no\n"), None);
    }
}
