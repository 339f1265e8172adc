//! A pip of envo's own, in its cache, that can lock: `pip lock` came with pip 25.1, and what interpreters bring is often
//! older. A wheel of pip runs as it is.

use std::path::{Path, PathBuf};

use super::PythonDiscovery;
use super::seed::{Seeder, Sources};
use crate::execute::interrupt::Interrupt;
use crate::model::{Interpreter, Variables};
use crate::runtime::cache;
use crate::runtime::scratch::Scratch;

/// Below the cache; in it one folder per version of Python, since each has a pip of its own that is the newest.
const FOLDER: &str = "tools/pip";
const REQUIREMENT: &str = "pip>=25.1";

/// The program in the wheel, which Python can be given to run.
///
/// # Errors
/// Why there is none, for people.
pub fn obtain(
    seeder: &Seeder,
    discovery: &PythonDiscovery,
    variables: &Variables,
    (interpreter, interrupt): (&Interpreter, &Interrupt),
) -> Result<PathBuf, String> {
    let folder = cache::folder(variables).ok_or("there is no folder for envo's cache")?;
    let folder = folder.join(FOLDER).join(interpreter.dotted_version());
    if let Some(wheel) = wheel_in(&folder) {
        return Ok(wheel.join("pip"));
    }
    if seeder.is_offline() {
        return Err("a pip that can lock would have to be fetched, and ENVO_OFFLINE is set".to_owned());
    }
    let failed = |error: &dyn std::fmt::Display| format!("{REQUIREMENT} could not be fetched: {error:#}");
    std::fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    let unfinished = Scratch::new_in(&folder, ".fetch-").map_err(|error| failed(&error))?;
    let sources = Sources { newest: false, discovery, own: None };
    seeder
        .fetch(REQUIREMENT, unfinished.path(), (interpreter, sources), interrupt)
        .map_err(|error| failed(&format!("{error:#}")))?;
    let fetched = wheel_in(unfinished.path()).ok_or_else(|| failed(&"there is no wheel of it"))?;
    let wheel = folder.join(fetched.file_name().unwrap_or_default());
    std::fs::rename(fetched, &wheel).map_err(|error| failed(&error))?;
    Ok(wheel.join("pip"))
}

fn wheel_in(folder: &Path) -> Option<PathBuf> {
    let paths = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "whl")).max()
}
