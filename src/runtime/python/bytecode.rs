//! Removes stale compiled modules after an installation. uv removes `__pycache__` of packages, but not that of modules
//! directly in `site-packages`. Python trusts such a file if the module's size and modification time in seconds are
//! unchanged (<https://docs.python.org/3/reference/import.html#pyc-invalidation>), which two releases unpacked within
//! one second may have in common.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Removes, as far as possible, the compiled files of modules in `site_packages` that are gone or newer. A link into a
/// cache is as old as the cache, but its inode changed when the link was created.
pub fn remove_outdated(site_packages: &Path) {
    let Ok(entries) = fs::read_dir(site_packages.join("__pycache__")) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(module) = name.to_str().filter(|name| name.ends_with(".pyc")).and_then(|name| name.split('.').next())
        else {
            continue;
        };
        let source = fs::metadata(site_packages.join(format!("{module}.py")));
        let later = |compiled: &Metadata| source.as_ref().map_or(true, |source| changed(source) >= changed(compiled));
        if entry.metadata().is_ok_and(|compiled| later(&compiled)) {
            // If it cannot be removed, Python checks it as it does without envo.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn changed(file: &Metadata) -> (i64, i64) {
    (file.ctime(), file.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compiled_from_a_module_that_came_later_or_is_gone_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let compiled = |name: &str| folder.path().join("__pycache__").join(format!("{name}.cpython-312.pyc"));
        fs::create_dir(folder.path().join("__pycache__")).unwrap();
        fs::write(folder.path().join("kept.py"), "").unwrap();
        for name in ["kept", "gone", "newer"] {
            // File timestamps may stand still for some milliseconds.
            let made = || {
                fs::write(compiled(name), "").unwrap();
                fs::metadata(compiled(name)).unwrap()
            };
            let before = fs::metadata(folder.path().join("kept.py")).unwrap();
            while changed(&made()) <= changed(&before) {}
        }
        fs::write(folder.path().join("__pycache__/other"), "").unwrap();
        // A link has the age of its target although it is new.
        fs::write(folder.path().join("cache"), "").unwrap();
        fs::File::open(folder.path().join("cache")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::hard_link(folder.path().join("cache"), folder.path().join("newer.py")).unwrap();
        remove_outdated(folder.path());
        assert!(compiled("kept").exists());
        assert!(!compiled("gone").exists());
        assert!(!compiled("newer").exists());
        assert!(folder.path().join("__pycache__/other").exists());
        remove_outdated(&folder.path().join("nothing"));
    }
}
