//! `envo lock` and `envo update`: write the locks of environments, all or none. `lock --check` changes nothing.

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::locks::with_locks;
use crate::commands::{ROOT, plain_hint};
use crate::event::Reporter;
use crate::exit_code;
use crate::lock::check::check;
use crate::lock::job::{self, LockFailures, LockResult, LockedEnv, WrittenLocks};
use crate::lock::{ProjectLocks, changes, disturbs_setuptools};
use crate::lockfile::error::LockError;
use crate::report::plain;
use crate::report::table;

/// # Errors
/// An invalid configuration, or a failure to write; errors in a lock are reported.
pub fn execute(options: &Options) -> Result<i32> {
    with_locks(options, |locks| {
        if options.locks.check {
            return show_check(locks);
        }
        match job::write(locks)? {
            LockResult::Written(written) => show_written(locks, &written),
            LockResult::Failed(failures) => return show_failures(locks, failures),
        }
        Ok(exit_code::OK)
    })
}

fn show_check(locks: &ProjectLocks<'_>) -> Result<i32> {
    let result = check(locks)?;
    for (name, error) in &result.stale {
        show_error(locks.reporter(), name, error);
    }
    for gone in &result.gone {
        locks.reporter().error(gone, "has a lock but is no longer an environment that envo locks");
    }
    if !result.stale.is_empty() || !result.gone.is_empty() {
        return Ok(exit_code::FAILED);
    }
    let count = result.count;
    plain::out(&format!("{count} lock{} up to date\n", if count == 1 { " is" } else { "s are" }));
    Ok(exit_code::OK)
}

fn show_failures(locks: &ProjectLocks<'_>, failures: LockFailures) -> Result<i32> {
    for (name, error) in &failures.environments {
        show_error(locks.reporter(), name, error);
    }
    if let Some(error) = failures.languages {
        return Err(error);
    }
    plain::error("no lock was written\n");
    Ok(exit_code::FAILED)
}

fn show_error(reporter: &dyn Reporter, environment: &str, error: &LockError) {
    reporter.error(environment, error.to_string());
    for hint in error.hints() {
        plain_hint(&hint);
    }
}

fn show_written(locks: &ProjectLocks<'_>, written: &WrittenLocks) {
    for (name, reason) in &written.skipped {
        locks.reporter().info(name, format!("not locked: {reason}"));
    }
    if written.is_upgrade {
        let rows: Vec<Vec<String>> = written.environments.iter().flat_map(|one| one.changes.clone()).collect();
        let text =
            if rows.is_empty() { "nothing moved\n".to_owned() } else { table::format_table(&changes::HEAD, &rows) };
        plain::out(&text);
    } else {
        written.environments.iter().for_each(show_lock);
    }
    if locks.plan.packages_anything() && disturbs_setuptools(&locks.project) {
        let text = "setuptools mistakes the folder of locks for a package, because the packages are not listed";
        locks.reporter().warning(ROOT, text);
        plain_hint(
            "list them in pyproject.toml (`[tool.setuptools] packages = […]`), or set `lock_dir = .locks` in `[tox]`",
        );
    }
}

fn show_lock(locked: &LockedEnv) {
    let LockedEnv { name, packages: count, file, .. } = locked;
    let packages = format!("{count} package{}", if *count == 1 { "" } else { "s" });
    let text = match (locked.has_python, locked.kept) {
        (false, _) => "has no Python; its language's own lock is used".to_owned(),
        (true, true) => format!("{packages}, as before"),
        (true, false) => format!("{packages} in {file}"),
    };
    plain::out(&format!("{name}: {text}\n"));
}
