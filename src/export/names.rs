//! Names of jobs: valid for every CI service, short, and different from each other.

use std::collections::BTreeSet;

use crate::digest::sha256;

/// The longest name, as for labels of DNS.
const LONGEST: usize = 63;
/// The digits of the digest that tells apart what would be equal.
const DIGITS: usize = 8;

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
}
