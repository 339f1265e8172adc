//! Compares locked packages with their newest versions, for `envo outdated`.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::install::InstallRequest;
use crate::install::uv_lock::UvLockRequest;
use crate::lock::ecosystems::Ecosystem;
use crate::lock::ecosystems::locked::{EcosystemLock, LeftOutLocks};
use crate::lock::ecosystems::versions::EcosystemVersion;
use crate::lock::project::{LockableEnv, ProjectLocks};
use crate::lockfile::document::LockDocument;
use crate::lockfile::error::{LockError, Unreachable};
use crate::lockfile::inputs::LockInputs;
use crate::runtime::outdated::NewerVersion;

/// The packages with newer versions.
pub struct OutdatedPackages {
    /// Environment, package, locked version, newest compatible one, newest of all.
    pub rows: Vec<[String; 5]>,
    /// Environments and languages that could not be checked.
    pub left_out: LeftOutLocks,
}

pub fn outdated(locks: &ProjectLocks<'_>) -> Result<OutdatedPackages> {
    let documents = locks.documents()?;
    let mut languages = locks.languages(&[])?;
    let mut rows = Vec::new();
    for (name, document) in &documents {
        let mut lockable = locks.lockable(name)?.map_err(|reason| anyhow!("{name}: {reason}"))?;
        let fitting = newest(locks, &lockable)?;
        let mut arguments = vec!["--no-deps".to_owned()];
        arguments.extend(selected(document));
        lockable.inputs = LockInputs { request: InstallRequest::new("lock", arguments), ..lockable.inputs };
        rows.extend(compared(name, document, &fitting, &newest(locks, &lockable)?));
    }
    for one in std::mem::take(&mut languages.read) {
        let environment = Arc::new(locks.plan.environment(&one.environment)?);
        match locks.env_builder(&environment).newer(&one.runtime).map_err(anyhow::Error::new)? {
            Some(newer) => rows.extend(compared_of_language(&one, &newer)),
            None => languages.left_out.push((one.environment, one.runtime)),
        }
    }
    // Group the rows by environment.
    rows.sort_by(|one, other| one[0].cmp(&other[0]));
    Ok(OutdatedPackages { rows, left_out: languages.left_out })
}

/// The current versions on the index for an environment's inputs.
fn newest(locks: &ProjectLocks<'_>, lockable: &LockableEnv) -> Result<LockDocument> {
    let wanted = UvLockRequest { upgrade: true, ..UvLockRequest::default() };
    let (request, _) = locks.request(lockable, wanted).map_err(|error| anyhow!("{error}"))?;
    let failed = |error| match error {
        LockError::Unresolved { .. } => Unreachable(error.to_string()).into(),
        other => anyhow!("{other}"),
    };
    locks.resolve(&request).map_err(|error| locks.or_interrupted(failed(error)))
}

/// What is locked from an index, each for those for whom it is locked: a newer version that only others could have, such
/// as those with a newer Python, does not count.
fn selected(locked: &LockDocument) -> impl Iterator<Item = String> {
    let of_index = locked.packages.iter().filter(|package| package.source.is_none() && package.version.is_some());
    of_index.map(|package| match &package.marker {
        Some(marker) => format!("{} ; {marker}", package.name),
        None => package.name.clone(),
    })
}

/// A row for each package with a newer version than the locked one.
fn compared(
    environment: &str,
    locked: &LockDocument,
    fitting: &LockDocument,
    newest: &LockDocument,
) -> Vec<[String; 5]> {
    let versions = |document: &LockDocument, name: &str| {
        let packages = document.packages.iter().filter(|package| package.name == name);
        packages.map(|package| package.version_text().to_owned()).collect::<BTreeSet<String>>()
    };
    let shown = |versions: BTreeSet<String>| match versions.into_iter().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "-".to_owned(),
        some => some,
    };
    let names: BTreeSet<&str> = locked
        .packages
        .iter()
        .filter(|package| package.source.is_none())
        .map(|package| package.name.as_str())
        .collect();
    names
        .into_iter()
        .map(|name| (name, versions(locked, name), versions(fitting, name), versions(newest, name)))
        .filter(|(_, locked, compatible, newest)| compatible.union(newest).any(|version| is_newer(version, locked)))
        .map(|(name, locked, compatible, newest)| {
            [environment.to_owned(), name.to_owned(), shown(locked), shown(compatible), shown(newest)]
        })
        .collect()
}

/// Whether a version is newer than the locked one: a deliberately locked pre-release is newer than the newest release.
fn is_newer(version: &str, locked: &BTreeSet<String>) -> bool {
    if locked.contains(version) {
        return false;
    }
    let parsed = |text: &str| EcosystemVersion::of(Ecosystem::PyPi, text);
    let Some(version) = parsed(version) else { return true };
    locked.iter().any(|locked| parsed(locked).is_none_or(|locked| locked < version))
}

/// The same of another language, whose tool has said what is newer.
fn compared_of_language(locked: &EcosystemLock, newer: &[NewerVersion]) -> Vec<[String; 5]> {
    let row = |newer: &NewerVersion| {
        let keys = locked.contents.packages.keys().filter(|(name, _)| *name == newer.name);
        let versions: Vec<&str> = keys.map(|(_, version)| version.as_str()).collect();
        let locked_version = versions.join(", ");
        let has_moved = |version: &Option<String>| version.as_ref().is_some_and(|version| *version != locked_version);
        if versions.is_empty() || !(has_moved(&newer.compatible) || has_moved(&newer.newest)) {
            return None;
        }
        let or_dash = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
        let (compatible, newest) = (or_dash(&newer.compatible), or_dash(&newer.newest));
        Some([locked.environment.clone(), newer.name.clone(), locked_version, compatible, newest])
    };
    newer.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document::LockedPackage;

    #[test]
    fn only_packages_with_a_newer_version_are_listed() {
        let document = |packages: &[(&str, &str)]| LockDocument {
            packages: packages
                .iter()
                .map(|(name, version)| LockedPackage {
                    name: (*name).to_owned(),
                    version: Some((*version).to_owned()),
                    ..LockedPackage::default()
                })
                .collect(),
            ..LockDocument::default()
        };
        let locked = document(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let rows = compared(
            "x",
            &locked,
            &document(&[("a", "1"), ("b", "2")]),
            &document(&[("a", "3"), ("b", "2"), ("c", "1")]),
        );
        let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        assert_eq!(rows, ["x a 1 1 3", "x b 1 2 2"]);
    }
}
