//! The copies of built packages that installers get: each in a private folder of its own, so that a later build in the
//! same place changes nothing under an installer's feet.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Copies `package` to `folder/N/NAME`, N being one more than the largest there, and returns that path. tox's
/// `.tox/.tmp/package/1/name-1.0.tar.gz`.
pub(super) fn copy(package: &Path, folder: &Path) -> Result<PathBuf> {
    // A link somebody put here must not say where packages go.
    if folder.is_symlink() {
        fs_err::remove_file(folder)?;
    }
    private_folders(folder)?;
    check_owner(folder)?;
    let name = package.file_name().with_context(|| format!("{} names no file", package.display()))?;
    let numbers = fs_err::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let mut number = numbers.max().unwrap_or(0) + 1;
    let own = loop {
        let own = folder.join(number.to_string());
        match DirBuilder::new().mode(0o700).create(&own) {
            Ok(()) => break own,
            // Another program took the number in the meantime.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", own.display())),
        }
    };
    let copy = own.join(name);
    fs_err::copy(package, &copy)?;
    Ok(copy)
}

fn private_folders(folder: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create {}", folder.display()))
}

/// What lies in the folder is installed without a question, so nobody else may write there.
fn check_owner(folder: &Path) -> Result<()> {
    let metadata = fs_err::metadata(folder)?;
    let own = rustix::process::geteuid().as_raw();
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    anyhow::ensure!(
        uid == own || uid == 0 || own == 0,
        "package staging path {} (owner uid {uid}, mode {mode:04o}) can be changed by another account",
        folder.display()
    );
    if mode & 0o022 != 0 && uid == own {
        fs_err::set_permissions(folder, Permissions::from_mode(mode & !0o022))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_gets_the_next_number_in_a_private_folder() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("demo-1.0.tar.gz");
        std::fs::write(&package, "content").unwrap();
        let staging = folder.path().join(".tmp/package");
        assert_eq!(copy(&package, &staging).unwrap(), staging.join("1/demo-1.0.tar.gz"));
        std::fs::create_dir(staging.join("7")).unwrap();
        std::fs::create_dir(staging.join("other")).unwrap();
        let last = copy(&package, &staging).unwrap();
        assert_eq!(last, staging.join("8/demo-1.0.tar.gz"));
        std::fs::write(&package, "changed").unwrap();
        assert_eq!(std::fs::read_to_string(&last).unwrap(), "content");
        for folder in [staging.clone(), staging.join("8")] {
            assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_link_in_place_of_the_folder_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("demo-1.0.tar.gz");
        std::fs::write(&package, "content").unwrap();
        let outside = folder.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let staging = folder.path().join("package");
        std::os::unix::fs::symlink(&outside, &staging).unwrap();
        copy(&package, &staging).unwrap();
        assert!(!staging.is_symlink());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let error = copy(&folder.path().join("gone.whl"), &folder.path().join("package")).expect_err("nothing there");
        assert!(format!("{error:#}").contains("gone.whl"));
    }
}
