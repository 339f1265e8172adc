//! `envo outdated`: lists locked packages with newer versions, both compatible and newest.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use serde_json::json;

use crate::cli::options::Options;
use crate::commands::locked_ecosystems::EcosystemLock;
use crate::commands::locking::{Lockable, Locks, Resolvers, target};
use crate::exit_code;
use crate::install::InstallRequest;
use crate::install::uv_lock::UvLockRequest;
use crate::lock::document::LockDocument;
use crate::lock::ecosystems::Ecosystem;
use crate::lock::ecosystems::versions::EcosystemVersion;
use crate::lock::error::{LockError, Unreachable};
use crate::lock::inputs::LockInputs;
use crate::lock::resolve::LockRequest;
use crate::report::plain;
use crate::report::table;
use crate::runtime::outdated::NewerVersion;

const HEAD: [&str; 5] = ["ENVIRONMENT", "PACKAGE", "LOCKED", "FITS", "NEWEST"];

pub fn execute(options: &Options) -> Result<i32> {
    let locks = Locks::open(options)?;
    let outcome = compare(options, &locks);
    locks.end(outcome)
}

fn compare(options: &Options, locks: &Locks) -> Result<i32> {
    let documents = locks.documents(options)?;
    let mut languages = locks.languages(options, &[])?;
    let resolvers = Resolvers::new(options, locks, &locks.run.interrupt)?;
    let mut rows = Vec::new();
    for (name, document) in &documents {
        let lockable = locks.lockable(name, options)?.map_err(|reason| anyhow!("{name}: {reason}"))?;
        let work = OutdatedJob { locks, resolvers: &resolvers, lockable: &lockable };
        let fitting = work.resolve(&lockable.inputs)?;
        let mut arguments = vec!["--no-deps".to_owned()];
        arguments.extend(selected(document));
        let newest =
            work.resolve(&LockInputs { request: InstallRequest::new("lock", arguments), ..lockable.inputs.clone() })?;
        rows.extend(compared(name, document, &fitting, &newest));
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
    if options.locks.format == "json" {
        let entry = |row: &Vec<String>| json!({"environment": row[0], "package": row[1], "locked": row[2], "fits": row[3], "newest": row[4]});
        plain::out(&format!("{}\n", serde_json::to_string_pretty(&rows.iter().map(entry).collect::<Vec<_>>())?));
    } else if rows.is_empty() {
        let which = if languages.left_out.is_empty() {
            "every locked package"
        } else {
            "every locked package that could be checked"
        };
        plain::out(&format!("{which} is up to date\n"));
    } else {
        plain::out(&table::format_table(&HEAD, &rows));
    }
    languages.report_left_out();
    Ok(if rows.is_empty() { exit_code::OK } else { exit_code::FAILED })
}

struct OutdatedJob<'a> {
    locks: &'a Locks,
    resolvers: &'a Resolvers<'a>,
    lockable: &'a Lockable,
}

impl OutdatedJob<'_> {
    /// The current versions on the index for these inputs.
    fn resolve(&self, inputs: &LockInputs) -> Result<LockDocument> {
        let (target, platforms) = target(self.locks, self.lockable).map_err(|error| anyhow!("{error}"))?;
        let lockable = Lockable {
            environment: self.lockable.environment.clone(),
            variables: self.lockable.variables.clone(),
            inputs: inputs.clone(),
        };
        let wish = UvLockRequest { python_version: target.dotted(), upgrade: true, ..UvLockRequest::default() };
        let (resolver, _) = self.resolvers.find(&lockable, &target, &wish).map_err(|error| anyhow!("{error}"))?;
        let order = LockRequest {
            environment: &self.lockable.environment.name,
            project: &self.locks.project,
            inputs: &lockable.inputs,
            target,
            platforms,
            resolver,
            variables: lockable.variables.clone(),
            before: None,
        };
        let failed = |error| match error {
            LockError::Unresolved { .. } => Unreachable(error.to_string()).into(),
            other => anyhow!("{other}"),
        };
        self.locks.resolve(&order).map_err(|error| self.locks.or_interrupted(failed(error)))
    }
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
) -> Vec<Vec<String>> {
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
        .filter(|(_, locked, fits, newest)| fits.union(newest).any(|version| is_newer(version, locked)))
        .map(|(name, locked, fits, newest)| {
            vec![environment.to_owned(), name.to_owned(), shown(locked), shown(fits), shown(newest)]
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
fn compared_of_language(locked: &EcosystemLock, newer: &[NewerVersion]) -> Vec<Vec<String>> {
    let row = |newer: &NewerVersion| {
        let keys = locked.contents.packages.keys().filter(|(name, _)| *name == newer.name);
        let versions: Vec<&str> = keys.map(|(_, version)| version.as_str()).collect();
        let locked_version = versions.join(", ");
        let has_moved = |version: &Option<String>| version.as_ref().is_some_and(|version| *version != locked_version);
        if versions.is_empty() || !(has_moved(&newer.fits) || has_moved(&newer.newest)) {
            return None;
        }
        let or_dash = |version: &Option<String>| version.clone().unwrap_or_else(|| "-".to_owned());
        let (fits, newest) = (or_dash(&newer.fits), or_dash(&newer.newest));
        Some(vec![locked.environment.clone(), newer.name.clone(), locked_version, fits, newest])
    };
    newer.iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::document::LockedPackage;

    #[test]
    fn only_what_has_a_newer_version_is_told() {
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
