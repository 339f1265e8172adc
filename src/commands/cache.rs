//! `envo cache`: keys for the caches of CI services, and what takes the room in the work folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::builder::stamp;
use crate::cli::options::{CacheAction, Options};
use crate::commands::open_plan;
use crate::digest::sha256;
use crate::error::ConfigError;
use crate::exit_code;
use crate::plan::Plan;
use crate::report::plain;
use crate::report::table;
use crate::runtime::cache;

/// Changes when environments of an earlier version cannot be used.
const LAYOUT: u32 = 1;

/// The folder in the work folder for what only lasts for one run.
const TEMPORARY: &str = ".tmp";

/// Prints the key, shows sizes, or removes what is no longer needed.
pub fn execute(options: &Options) -> Result<i32> {
    let plan = open_plan(options)?;
    crate::commands::report_warnings(&plan, options);
    match options.fanout.cache.action {
        CacheAction::Key => plain::out(&key(&plan)?),
        CacheAction::Size => plain::out(&sizes(&plan, options)?),
        CacheAction::Prune => plain::out(&prune(&plan, options)?),
    }
    Ok(exit_code::OK)
}

/// The exact key and its prefix, in the form of `$GITHUB_OUTPUT`.
fn key(plan: &Plan) -> Result<String> {
    let mut inputs = String::new();
    for name in plan.selected()? {
        inputs.push_str(&format!("{name} {}\n", plan.inputs(&name)?.digest()));
    }
    let host = plan.settings.interpreters.host_python();
    if let Some(python) = plan.settings.interpreters.find(&[host.display().to_string()]) {
        // Environments that name no interpreter are made from this one.
        inputs.push_str(&python.version_text);
    }
    let system = rustix::system::uname();
    let (name, machine) = (system.sysname().to_string_lossy().to_lowercase(), system.machine().to_string_lossy());
    let prefix = format!("envo-{LAYOUT}-{name}-{machine}-");
    Ok(format!("key={prefix}{}\nprefix={prefix}\n", &sha256(inputs)[..32]))
}

/// What takes how much room, the largest first.
fn sizes(plan: &Plan, options: &Options) -> Result<String> {
    let project = plan.project()?;
    let mut rows: Vec<(u64, String, &str)> = Vec::new();
    for (name, path) in entries(&project.work_dir)? {
        let what = if stamp_of(&path).is_some() { "environment" } else { "" };
        rows.push((size(&path), name, what));
    }
    rows.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    let total = rows.iter().map(|(bytes, ..)| bytes).sum();
    rows.push((total, project.work_dir.display().to_string(), "all of the work folder"));
    if let Some(folder) = cache::folder(&options.process.variables) {
        rows.push((size(&folder), folder.display().to_string(), "envo's cache, for all projects"));
    }
    let cells =
        |(bytes, name, what): &(u64, String, &str)| vec![table::bytes(*bytes), name.clone(), (*what).to_owned()];
    Ok(table::format_table(&["SIZE", "NAME", ""], &rows.iter().map(cells).collect::<Vec<_>>()))
}

/// Removes environments that the configuration does not have; with `--ci` also what the next run makes again at once.
fn prune(plan: &Plan, options: &Options) -> Result<String> {
    if let Some(hint) = plan.settings.source.missing_hint() {
        // Every environment would be one too many.
        return Err(ConfigError::handled("there is no configuration that says which environments are needed")
            .hint(hint)
            .into());
    }
    let project = plan.project()?;
    let kept = plan.environment_folders()?;
    let mut text = String::new();
    for (name, path) in entries(&project.work_dir)? {
        let Some(env_dir) = stamp_of(&path) else { continue };
        if kept.contains(&path) || plan.is_packager_folder(&name)? {
            if options.fanout.cache.ci {
                ["tmp", "log"].iter().for_each(|name| remove(&env_dir.join(name)));
            }
            continue;
        }
        // Another process may be building or running it.
        let lock = File::open(&path)?;
        if lock.try_lock().is_err() {
            text.push_str(&format!("{name}: in use, kept\n"));
            continue;
        }
        let bytes = size(&path);
        fs_err::remove_dir_all(&path)?;
        text.push_str(&format!("{name}: removed ({})\n", table::bytes(bytes)));
    }
    if options.fanout.cache.ci {
        remove(&project.work_dir.join(TEMPORARY));
    }
    Ok(text)
}

/// The folders in a folder, by name; links are not followed.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = BTreeSet::new();
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        read => {
            for entry in read? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    found.insert((entry.file_name().to_string_lossy().into_owned(), entry.path()));
                }
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// The folder if it is an environment.
fn stamp_of(path: &Path) -> Option<PathBuf> {
    path.join(stamp::FILE_NAME).symlink_metadata().ok().filter(std::fs::Metadata::is_file).map(|_| path.to_owned())
}

/// The bytes of all files on disk; a file with several names counts once.
fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut seen = BTreeSet::new();
    let walk = ignore::WalkBuilder::new(folder).standard_filters(false).follow_links(false).build();
    let metadata = walk.flatten().filter_map(|entry| entry.path().symlink_metadata().ok());
    metadata.filter(|one| one.nlink() < 2 || seen.insert((one.dev(), one.ino()))).map(|one| one.blocks() * 512).sum()
}

/// Removes a folder that nothing needs; what cannot be removed only takes room.
fn remove(folder: &Path) {
    if folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
