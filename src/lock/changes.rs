//! Lists the differences between two locks as rows of a table.

use std::collections::{BTreeMap, BTreeSet};

use crate::lockfile::document::LockDocument;

pub const HEAD: [&str; 4] = ["ENVIRONMENT", "PACKAGE", "BEFORE", "NOW"];

/// A row for each added, removed or changed package. Several versions of one package share a row.
pub fn rows(environment: &str, before: &LockDocument, now: &LockDocument) -> Vec<Vec<String>> {
    let (before, now) = (versions(before), versions(now));
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != now.get(*name))
        .map(|name| {
            let shown = |versions: Option<&BTreeSet<String>>| match versions {
                Some(versions) => versions.iter().cloned().collect::<Vec<_>>().join(", "),
                None => "-".to_owned(),
            };
            vec![environment.to_owned(), name.clone(), shown(before.get(name)), shown(now.get(name))]
        })
        .collect()
}

fn versions(document: &LockDocument) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in &document.packages {
        versions.entry(package.name.clone()).or_default().insert(package.version_text().to_owned());
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document::LockedPackage;

    fn document(packages: &[(&str, &str)]) -> LockDocument {
        let package = |(name, version): &(&str, &str)| LockedPackage {
            name: (*name).to_owned(),
            version: Some((*version).to_owned()),
            ..LockedPackage::default()
        };
        LockDocument { packages: packages.iter().map(package).collect(), ..LockDocument::default() }
    }

    #[test]
    fn only_what_moved_is_told() {
        let before = document(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let now = document(&[("a", "1"), ("b", "2"), ("b", "3"), ("d", "1")]);
        let rows: Vec<String> = rows("x", &before, &now).iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["x b 1 2, 3", "x c 1 -", "x d - 1"]);
    }
}
