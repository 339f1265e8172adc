//! Names of jobs: valid for every CI service, short, and different from each other.

use std::collections::BTreeSet;

use crate::digest::sha256;

/// The longest name, as for labels of DNS.
const LONGEST: usize = 63;
/// The digits of the digest that tells apart what would be equal.
const DIGITS: usize = 8;

/// Stages of the Dockerfile that are not services.
const STAGES: [&str; 4] = ["base", "tests", "test-dependencies", "scratch"];

/// Names for services, valid as labels of DNS and different from each other and from what is beside them.
pub fn labels(names: &[String]) -> Vec<String> {
    let beside = STAGES.map(str::to_owned);
    let plain: Vec<String> = names.iter().map(|name| label(name)).collect();
    // What was changed to the same is told apart by what it was.
    let is_same = |at: usize| plain.iter().chain(&beside).filter(|one| **one == plain[at]).count() > 1;
    let distinct =
        (0..names.len()).map(|at| match is_same(at) && names[at] != plain[at] || beside.contains(&plain[at]) {
            true => format!("{}-{}", plain[at], &sha256(&names[at])[..DIGITS]),
            false => plain[at].clone(),
        });
    unique(&distinct.collect::<Vec<_>>())
}

/// A name as a label of DNS.
pub fn label(name: &str) -> String {
    let mut label: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    while label.ends_with('-') || label.len() > LONGEST {
        label.pop();
    }
    let label = label.trim_start_matches('-');
    if label.starts_with(|c: char| c.is_ascii_alphabetic()) { label.to_owned() } else { format!("e{label}") }
}

/// The names with only letters, digits, `-` and `_`. One that is too long, or that another one was changed to, ends with a
/// digest of what it was.
pub(super) fn unique(names: &[String]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut result = Vec::new();
    for name in names {
        let mut valid: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
        if !valid.starts_with(|c: char| c.is_ascii_alphabetic()) {
            valid.insert(0, 'e');
        }
        if valid.len() > LONGEST || valid == "results" || !taken.insert(valid.to_lowercase()) {
            valid.truncate(LONGEST - DIGITS - 1);
            valid = format!("{valid}-{}", &sha256(name)[..DIGITS]);
            taken.insert(valid.to_lowercase());
        }
        result.push(valid);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_short_and_different() {
        let long = "x".repeat(80);
        let names = ["a.b", "a-b", "A-B", "1", "results", &long, &format!("{long}y")].map(str::to_owned);
        let found = unique(&names);
        assert_eq!((found[0].as_str(), found[3].as_str()), ("a-b", "e1"));
        let different: BTreeSet<String> = found.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(different.len(), names.len(), "{found:?}");
        assert!(found.iter().all(|name| name.len() <= LONGEST && name != "results"), "{found:?}");
    }

    #[test]
    fn labels_of_services_are_no_stages_and_different() {
        let names = ["db", "Db", "db_1", "db.1", "tests", "1-", "results"].map(str::to_owned);
        let found = labels(&names);
        assert_eq!((found[0].as_str(), found[5].as_str()), ("db", "e1"));
        let different: BTreeSet<&String> = found.iter().collect();
        assert_eq!(different.len(), names.len(), "{found:?}");
        let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(found.iter().all(|name| name.chars().all(is_valid) && name != "tests" && !name.ends_with('-')));
    }
}
