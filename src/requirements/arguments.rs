//! Parses the options of one line as Python's `argparse` does, with its messages.

use crate::requirements::RequirementKind;
use crate::requirements::redact::unknown_argument;

/// Which of `--no-binary` and `--only-binary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOption {
    No,
    Only,
}

/// The parsed options of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LineOptions {
    pub sources: PackageSources,
    pub constraints: Vec<String>,
    pub requirements: Vec<String>,
    pub editables: Vec<String>,
    pub binary: Vec<(BinaryOption, String)>,
    pub prefer_binary: bool,
    pub require_hashes: bool,
    pub pre: bool,
    pub trusted_hosts: Vec<String>,
    pub features: Vec<String>,
    pub hashes: Vec<String>,
    pub config_settings: Vec<String>,
    pub no_deps: bool,
}

/// Where packages are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PackageSources {
    pub index_url: Option<String>,
    pub extra_index_urls: Vec<String>,
    pub no_index: bool,
    pub find_links: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OptionKey {
    IndexUrl,
    ExtraIndexUrl,
    NoIndex,
    Constraint,
    Requirement,
    Editable,
    FindLinks,
    NoBinary,
    OnlyBinary,
    PreferBinary,
    RequireHashes,
    Pre,
    TrustedHost,
    UseFeature,
    InstallOption,
    GlobalOption,
    Hash,
    ConfigSettings,
    NoDeps,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OptionArity {
    Nothing,
    One,
    /// One or more; all but the first are ignored.
    Several,
}

struct OptionDefinition {
    names: &'static [&'static str],
    key: OptionKey,
    takes: OptionArity,
}

const fn define(names: &'static [&'static str], key: OptionKey, takes: OptionArity) -> OptionDefinition {
    OptionDefinition { names, key, takes }
}

/// In the order in which argparse tries short options.
const DEFINITIONS: [OptionDefinition; 19] = [
    define(&["-i", "--index-url", "--pypi-url"], OptionKey::IndexUrl, OptionArity::One),
    define(&["--extra-index-url"], OptionKey::ExtraIndexUrl, OptionArity::One),
    define(&["--no-index"], OptionKey::NoIndex, OptionArity::Nothing),
    define(&["-c", "--constraint"], OptionKey::Constraint, OptionArity::One),
    define(&["-r", "--requirement"], OptionKey::Requirement, OptionArity::One),
    define(&["-e", "--editable"], OptionKey::Editable, OptionArity::One),
    define(&["-f", "--find-links"], OptionKey::FindLinks, OptionArity::One),
    define(&["--no-binary"], OptionKey::NoBinary, OptionArity::Several),
    define(&["--only-binary"], OptionKey::OnlyBinary, OptionArity::Several),
    define(&["--prefer-binary"], OptionKey::PreferBinary, OptionArity::Nothing),
    define(&["--require-hashes"], OptionKey::RequireHashes, OptionArity::Nothing),
    define(&["--pre"], OptionKey::Pre, OptionArity::Nothing),
    define(&["--trusted-host"], OptionKey::TrustedHost, OptionArity::One),
    define(&["--use-feature"], OptionKey::UseFeature, OptionArity::One),
    define(&["--install-option"], OptionKey::InstallOption, OptionArity::One),
    define(&["--global-option"], OptionKey::GlobalOption, OptionArity::One),
    define(&["--hash"], OptionKey::Hash, OptionArity::One),
    define(&["-C", "--config-settings"], OptionKey::ConfigSettings, OptionArity::One),
    define(&["--no-deps"], OptionKey::NoDeps, OptionArity::Nothing),
];

/// The meaning of a word in the line.
enum LineWord {
    Value,
    Option { definition: &'static OptionDefinition, attached: Option<String> },
    Unknown,
}

/// Parses the options of a line. `--no-deps` is valid only in `deps`, not in nested files: there `kind` is
/// `None`.
pub(super) fn parse(words: &[String], kind: Option<RequirementKind>) -> Result<LineOptions, String> {
    let mut options = LineOptions::default();
    let mut unknown: Vec<&str> = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        if word == "--" {
            unknown.extend(rest.by_ref().map(String::as_str));
            break;
        }
        match classify(word, kind) {
            LineWord::Value | LineWord::Unknown => unknown.push(word),
            LineWord::Option { definition, attached } => {
                let given = attached.is_some();
                let mut value = attached;
                if definition.takes == OptionArity::Nothing {
                    if let Some(value) = value {
                        let message = format!("ignored explicit argument {}", crate::python_text::python_repr(&value));
                        return Err(complaint(definition, &message));
                    }
                    options.flag(definition.key);
                    continue;
                }
                let is_value = |word: &String| word != "--" && matches!(classify(word, kind), LineWord::Value);
                if !given {
                    value = rest.next_if(|word| is_value(word)).cloned();
                    while definition.takes == OptionArity::Several && rest.next_if(|word| is_value(word)).is_some() {}
                }
                let Some(value) = value else {
                    let expected = if definition.takes == OptionArity::One { "one" } else { "at least one" };
                    return Err(complaint(definition, &format!("expected {expected} argument")));
                };
                options.set(definition, value)?;
            }
        }
    }
    if unknown.is_empty() {
        return Ok(options);
    }
    let unknown: Vec<String> = unknown.into_iter().map(unknown_argument).collect();
    Err(format!("unrecognized arguments: {}", unknown.join(" ")))
}

fn complaint(definition: &OptionDefinition, message: &str) -> String {
    format!("argument {}: {message}", definition.names.join("/"))
}

fn classify(word: &str, kind: Option<RequirementKind>) -> LineWord {
    if !word.starts_with('-') || word.len() == 1 {
        return LineWord::Value;
    }
    let known = || {
        DEFINITIONS
            .iter()
            .filter(|definition| definition.key != OptionKey::NoDeps || kind == Some(RequirementKind::Deps))
            .flat_map(|definition| definition.names.iter().map(move |name| (*name, definition)))
    };
    let named = |searched: &str| known().find(|(name, _)| *name == searched).map(|(_, definition)| definition);
    if let Some(definition) = named(word) {
        return LineWord::Option { definition, attached: None };
    }
    if let Some((name, value)) = word.split_once('=')
        && let Some(definition) = named(name)
    {
        return LineWord::Option { definition, attached: Some(value.to_owned()) };
    }
    if !word.starts_with("--")
        && let Some((name, definition)) = known().find(|(name, _)| name.len() == 2 && word.starts_with(name))
    {
        return LineWord::Option { definition, attached: Some(word[name.len()..].to_owned()) };
    }
    let is_number = word[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_number || word.contains(' ') { LineWord::Value } else { LineWord::Unknown }
}

impl LineOptions {
    fn flag(&mut self, key: OptionKey) {
        match key {
            OptionKey::NoIndex => self.sources.no_index = true,
            OptionKey::PreferBinary => self.prefer_binary = true,
            OptionKey::RequireHashes => self.require_hashes = true,
            OptionKey::Pre => self.pre = true,
            OptionKey::NoDeps => self.no_deps = true,
            _ => {}
        }
    }

    fn set(&mut self, definition: &OptionDefinition, value: String) -> Result<(), String> {
        match definition.key {
            OptionKey::IndexUrl => self.sources.index_url = Some(value),
            OptionKey::ExtraIndexUrl => add(&mut self.sources.extra_index_urls, value),
            OptionKey::Constraint => add(&mut self.constraints, value),
            OptionKey::Requirement => add(&mut self.requirements, value),
            OptionKey::Editable => add(&mut self.editables, value),
            OptionKey::FindLinks => add(&mut self.sources.find_links, value),
            OptionKey::NoBinary => self.binary.push((BinaryOption::No, value)),
            OptionKey::OnlyBinary => self.binary.push((BinaryOption::Only, value)),
            OptionKey::TrustedHost => add_sorted(&mut self.trusted_hosts, value),
            // pip knows the valid ones.
            OptionKey::UseFeature => add_sorted(&mut self.features, value),
            OptionKey::Hash => {
                if !is_hash(&value) {
                    return Err(complaint(definition, &value));
                }
                add_sorted(&mut self.hashes, value);
            }
            OptionKey::ConfigSettings => self.config_settings.push(value),
            // tox reads these and ignores them, since pip has dropped them.
            OptionKey::InstallOption | OptionKey::GlobalOption => {}
            OptionKey::NoIndex
            | OptionKey::PreferBinary
            | OptionKey::RequireHashes
            | OptionKey::Pre
            | OptionKey::NoDeps => {}
        }
        Ok(())
    }
}

fn add(list: &mut Vec<String>, value: String) {
    if !list.contains(&value) {
        list.push(value);
    }
}

fn add_sorted(list: &mut Vec<String>, value: String) {
    if let Err(at) = list.binary_search(&value) {
        list.insert(at, value);
    }
}

fn is_hash(value: &str) -> bool {
    let digits = |length: usize, digits: &str| {
        digits.len() == length && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    match value.split_once(':') {
        Some(("sha256", hash)) => digits(64, hash),
        Some(("sha384", hash)) => digits(96, hash),
        Some(("sha512", hash)) => digits(128, hash),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<LineOptions, String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(&words, Some(RequirementKind::Deps))
    }

    #[test]
    fn values_may_be_attached_or_follow() -> Result<(), String> {
        for line in ["-i a", "-ia", "-i=a", "--index-url a", "--index-url=a", "--pypi-url a", "-i b -i a"] {
            assert_eq!(read(line)?.sources.index_url.as_deref(), Some("a"), "{line}");
        }
        assert_eq!(read("-Cx=y -C x=z")?.config_settings, ["x=y", "x=z"]);
        assert_eq!(read("--use-feature=x --use-feature fast-deps")?.features, ["fast-deps", "x"]);
        assert_eq!(read("--only-binary foo; x == y")?.binary, [(BinaryOption::Only, "foo;".to_owned())]);
        assert_eq!(read("-r -")?.requirements, ["-"]);
        assert_eq!(read("-f -1")?.sources.find_links, ["-1"]);
        Ok(())
    }

    #[test]
    fn errors_are_in_the_words_of_argparse() {
        for (line, expected) in [
            ("--pre something", "unrecognized arguments: something"),
            ("--missing", "unrecognized arguments: --missing"),
            ("--index-url a b", "unrecognized arguments: b"),
            ("--index-url", "argument -i/--index-url/--pypi-url: expected one argument"),
            ("-r --pre", "argument -r/--requirement: expected one argument"),
            ("--no-binary", "argument --no-binary: expected at least one argument"),
            ("--pre=x", "argument --pre: ignored explicit argument 'x'"),
            ("-k", "unrecognized arguments: -k"),
            ("--prefer", "unrecognized arguments: --prefer"),
            ("--hash sha256:a", "argument --hash: sha256:a"),
            ("-- -r x", "unrecognized arguments: -r x"),
        ] {
            assert_eq!(read(line), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn only_deps_know_no_deps() -> Result<(), String> {
        let words = ["--no-deps".to_owned()];
        assert!(parse(&words, Some(RequirementKind::Deps))?.no_deps);
        for kind in [None, Some(RequirementKind::Constraints)] {
            assert_eq!(parse(&words, kind), Err("unrecognized arguments: --no-deps".to_owned()));
        }
        Ok(())
    }
}
