//! Provides a pip with `pip lock` in envo's cache: it came with pip 25.1, and interpreters often have an older one. A
//! wheel of pip can be run directly.

use std::path::{Path, PathBuf};

use crate::execute::interrupt::Interrupt;
use crate::model::{EnvVariables, Interpreter};
use crate::runtime::cache;
use crate::runtime::checksums;
use crate::runtime::python::PythonDiscovery;
use crate::runtime::python::seed::{SeedSources, Seeder};
use crate::scratch::Scratch;

/// Below the cache; contains a folder per Python version, each with the newest pip for it.
const FOLDER: &str = "tools-2/pip";
const REQUIREMENT: &str = "pip>=25.1";
/// The approximate size of pip's wheel in bytes.
const ROOM: u64 = 4 << 20;

/// The program in the wheel, for a Python to run.
pub fn obtain(
    seeder: &Seeder,
    discovery: &PythonDiscovery,
    variables: &EnvVariables,
    (interpreter, interrupt): (&Interpreter, &Interrupt),
) -> Result<PathBuf, String> {
    let above = cache::folder(variables).ok_or("there is no folder for envo's cache")?.join(FOLDER);
    let folder = above.join(interpreter.dotted_version());
    let kept = || checksums::hold(&folder).then(|| wheel_in(&folder))?.map(|wheel| wheel.join("pip"));
    if let Some(pip) = kept() {
        return Ok(pip);
    }
    if seeder.is_offline() {
        let damaged = if folder.exists() { format!("`{}` is damaged: ", folder.display()) } else { String::new() };
        return Err(format!("{damaged}a pip that can lock would have to be fetched, and ENVO_OFFLINE is set"));
    }
    let failed = |error: &dyn std::fmt::Display| format!("{REQUIREMENT} could not be fetched: {error:#}");
    cache::check_room(&above, ROOM).map_err(|error| failed(&format!("{}: {error}", above.display())))?;
    let unfinished = Scratch::new_in(&above, ".fetch-").map_err(|error| failed(&error))?;
    let sources = SeedSources { newest: false, discovery, own: None };
    seeder
        .fetch(REQUIREMENT, unfinished.path(), (interpreter, sources), interrupt)
        .map_err(|error| failed(&format!("{error:#}")))?;
    checksums::publish(unfinished.path(), &folder).map_err(|error| failed(&error))?;
    kept().ok_or_else(|| failed(&"there is no wheel of it"))
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "whl")).max()
}
