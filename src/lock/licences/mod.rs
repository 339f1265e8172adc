//! Determines the licence of a package from its metadata, which [`python`] and [`languages`] find on this machine.
//! <https://packaging.python.org/en/latest/specifications/core-metadata/>

pub mod languages;
pub mod python;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::package::metadata::headers;

/// A longer licence name in the metadata is the licence text itself.
const LONGEST_NAME: usize = 100;

/// Known licences, by name and version of packages.
pub type Licences = BTreeMap<(String, String), Licence>;

/// Common licences with phrases of their texts; one that contains another comes first.
const TEXTS: [(&str, &[&str]); 11] = [
    ("Apache-2.0", &["apache license", "version 2.0, january 2004"]),
    ("MPL-2.0", &["mozilla public license version 2.0"]),
    ("AGPL-3.0", &["gnu affero general public license version 3"]),
    ("LGPL-3.0", &["gnu lesser general public license version 3"]),
    ("LGPL-2.1", &["gnu lesser general public license version 2.1"]),
    ("GPL-3.0", &["gnu general public license version 3"]),
    ("GPL-2.0", &["gnu general public license version 2"]),
    ("BSD-3-Clause", &["redistribution and use in source and binary forms", "endorse or promote products"]),
    ("BSD-2-Clause", &["redistribution and use in source and binary forms", "disclaimer in the documentation"]),
    ("MIT", &["permission is hereby granted, free of charge, to any person obtaining a copy"]),
    ("ISC", &["permission to use, copy, modify, and", "distribute this software for any purpose with or without fee"]),
];

/// The licence stated by a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Licence {
    /// An SPDX expression.
    Expression(String),
    /// Names that are not an SPDX expression.
    Named(Vec<String>),
}

impl Licence {
    /// From `METADATA`: an expression takes precedence over a name, and a name (unless it is a whole text) over
    /// classifiers.
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

    /// From the specification of a gem as RubyGems installs it: `s.licenses = ["MIT".freeze]`.
    /// <https://guides.rubygems.org/specification-reference/#licenses>
    pub fn of_gemspec(text: &str) -> Option<String> {
        let stated = text.lines().filter_map(|line| line.trim_start().split_once('='));
        let (_, names) = stated.into_iter().find(|(key, _)| {
            key.trim_end().rsplit_once('.').is_some_and(|(_, key)| matches!(key, "license" | "licenses"))
        })?;
        let quoted: Vec<&str> = names.split(['"', '\'']).skip(1).step_by(2).collect();
        Some(quoted.join(", ")).filter(|names| !names.is_empty())
    }

    /// From `Cargo.toml`: an SPDX expression. <https://doc.rust-lang.org/cargo/reference/manifest.html>
    pub fn of_crate(text: &str) -> Option<String> {
        let manifest: toml::Table = text.parse().ok()?;
        Some(manifest.get("package")?.get("license")?.as_str()?.trim().to_owned()).filter(|stated| !stated.is_empty())
    }

    /// Recognises a licence text, if nothing else states it, as in Go modules, by phrases found in no other common
    /// licence.
    pub fn of_text(text: &str) -> Option<String> {
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let found = TEXTS.iter().filter(|(_, phrases)| phrases.iter().all(|phrase| words.contains(phrase)));
        found.map(|(name, _)| (*name).to_owned()).next()
    }

    /// The licence in a text.
    pub fn shown(&self) -> String {
        match self {
            Self::Expression(expression) => expression.clone(),
            Self::Named(names) => names.join(", "),
        }
    }

    /// The licence in CycloneDX's format.
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
    fn gems_and_crates_state_their_licences_and_modules_of_go_have_their_texts() {
        let gem = "Gem::Specification.new do |s|\n  s.name = \"a\".freeze\n  s.licenses = [\"MIT\".freeze, \"Ruby\".freeze]\nend\n";
        assert_eq!(Licence::of_gemspec(gem).as_deref(), Some("MIT, Ruby"));
        assert_eq!(Licence::of_gemspec("  spec.license = 'MIT'\n").as_deref(), Some("MIT"));
        for none in ["", "s.name = \"licenses\"", "s.licenses = []", "# licenses"] {
            assert_eq!(Licence::of_gemspec(none), None, "{none}");
        }
        assert_eq!(
            Licence::of_crate("[package]\nname = \"a\"\nlicense = \"MIT OR Apache-2.0\"\n").as_deref(),
            Some("MIT OR Apache-2.0")
        );
        for none in ["", "[package]\nname = \"a\"\n", "[package]\nlicense = 3\n", "license = \"MIT\"", "[["] {
            assert_eq!(Licence::of_crate(none), None, "{none}");
        }
        let mit = "MIT License\n\nCopyright (c) me\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy of";
        assert_eq!(Licence::of_text(mit).as_deref(), Some("MIT"));
        let bsd = "Redistribution and use in source and binary forms, with or without\n modification ... disclaimer in the \
                   documentation";
        assert_eq!(Licence::of_text(bsd).as_deref(), Some("BSD-2-Clause"));
        let third = format!("{bsd} may be used to endorse or promote products");
        assert_eq!(Licence::of_text(&third).as_deref(), Some("BSD-3-Clause"));
        assert_eq!(Licence::of_text("Apache License\n Version 2.0, January 2004\n").as_deref(), Some("Apache-2.0"));
        assert_eq!(Licence::of_text("All rights reserved."), None);
    }

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
