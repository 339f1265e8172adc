//! Copies built packages for installers, each into a private folder, so that a later build at the same path does not
//! change a package being installed.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Destination of the copies.
#[derive(Debug, Clone)]
pub struct Staging {
    /// tox's `.tox/.tmp/package`.
    pub folder: PathBuf,
    /// The project's root: users who may write there may write to packages too.
    pub root: PathBuf,
}

/// Copies `package` to `folder/N/NAME`, N being one more than the largest there, and returns that path; tox's
/// `.tox/.tmp/package/1/name-1.0.tar.gz`.
pub(super) fn copy(package: &Path, staging: &Staging) -> Result<PathBuf> {
    let folder = staging.folder.as_path();
    // A link at this path must not redirect packages.
    if folder.is_symlink() {
        fs_err::remove_file(folder)?;
    }
    private_folders(folder)?;
    check_writers(staging)?;
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

/// Packages in the folder are installed without further checks, so only users who may write to the project itself may
/// write there or to a parent folder.
fn check_writers(staging: &Staging) -> Result<()> {
    let root = staging.root.canonicalize().unwrap_or_else(|_| staging.root.clone());
    let project = fs_err::metadata(&root)?;
    let own = rustix::process::geteuid().as_raw();
    let folder = staging.folder.canonicalize().unwrap_or_else(|_| staging.folder.clone());
    for parent in folder.ancestors().take_while(|parent| *parent != root) {
        let metadata = fs_err::metadata(parent)?;
        let (uid, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        let trusted = [0, own, project.uid()].contains(&uid);
        if trusted && !exceeds(&metadata, &project) {
            continue;
        }
        let inside = parent.starts_with(&root);
        anyhow::ensure!(
            trusted && inside && (uid == own || own == 0),
            "package staging path {} (owner uid {uid}, mode {mode:04o}) can be changed by an account that cannot change {}",
            parent.display(),
            staging.root.display()
        );
        fs_err::set_permissions(parent, Permissions::from_mode(mode & !0o022))?;
    }
    Ok(())
}

/// Whether users who may not write to the project may write to a folder.
fn exceeds(folder: &Metadata, project: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    let may = |metadata: &Metadata, bit: u32| metadata.mode() & STICKY == 0 && metadata.mode() & bit != 0;
    let all = may(project, 0o002);
    let group = all || (may(project, 0o020) && folder.gid() == project.gid());
    (may(folder, 0o002) && !all) || (may(folder, 0o020) && !group)
}

/// Describes a copy by both paths, relative to their common folder.
pub(super) fn describe(package: &Path, copy: &Path) -> String {
    let shared: PathBuf = package
        .components()
        .zip(copy.components())
        .take_while(|(one, other)| one == other)
        .map(|(one, _)| one)
        .collect();
    let within = |path: &Path| path.strip_prefix(&shared).unwrap_or(path).display().to_string();
    format!("package {} copied to {} ({})", within(copy), within(package), shared.display())
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
        let copy = |package: &Path| copy(package, &Staging { folder: staging.clone(), root: folder.path().to_owned() });
        assert_eq!(copy(&package).unwrap(), staging.join("1/demo-1.0.tar.gz"));
        std::fs::create_dir(staging.join("7")).unwrap();
        std::fs::create_dir(staging.join("other")).unwrap();
        let last = copy(&package).unwrap();
        assert_eq!(last, staging.join("8/demo-1.0.tar.gz"));
        std::fs::write(&package, "changed").unwrap();
        assert_eq!(std::fs::read_to_string(&last).unwrap(), "content");
        for folder in [staging.clone(), staging.join("8")] {
            assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn who_may_write_to_the_project_may_write_to_its_packages_and_nobody_else() -> Result<()> {
        let mode = |path: &Path| path.metadata().map(|metadata| metadata.mode() & 0o777);
        let set = |path: &Path, mode: u32| fs_err::set_permissions(path, Permissions::from_mode(mode));
        let folder = tempfile::tempdir()?;
        let staging = Staging { folder: folder.path().join("tmp/package"), root: folder.path().to_owned() };
        fs_err::create_dir_all(&staging.folder)?;
        let parent = folder.path().join("tmp");
        for (project, before, after) in [(0o775, 0o775, 0o775), (0o755, 0o775, 0o755), (0o775, 0o777, 0o755)] {
            set(folder.path(), project)?;
            set(&parent, before)?;
            set(&staging.folder, before)?;
            check_writers(&staging)?;
            assert_eq!((mode(&parent)?, mode(&staging.folder)?), (after, after), "{project:o} {before:o}");
        }
        Ok(())
    }

    #[test]
    fn a_copy_is_told_of_from_where_both_are() {
        let text = describe(Path::new("/p/.tox/.pkg/dist/a.whl"), Path::new("/p/.tox/.tmp/package/1/a.whl"));
        assert_eq!(text, "package .tmp/package/1/a.whl copied to .pkg/dist/a.whl (/p/.tox)");
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
        copy(&package, &Staging { folder: staging.clone(), root: folder.path().to_owned() }).unwrap();
        assert!(!staging.is_symlink());
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging { folder: folder.path().join("package"), root: folder.path().to_owned() };
        let error = copy(&folder.path().join("gone.whl"), &staging).expect_err("nothing there");
        assert!(format!("{error:#}").contains("gone.whl"));
    }
}
