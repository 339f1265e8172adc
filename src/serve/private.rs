//! Files and folders that belong to the user alone: sockets, locks, logs and records of services. Nothing
//! here follows a symbolic link, blocks on a named pipe or reads an endless file that was left in place of
//! one of them.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::scratch;

/// The largest record that is read; a longer file is not a record.
const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// Creates a folder that only this user can enter, or checks an existing one and closes it to others.
pub fn folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let metadata = std::fs::symlink_metadata(path)?;
    let refuse = |why| Err(io::Error::new(ErrorKind::PermissionDenied, why));
    if metadata.is_symlink() {
        return refuse("it is a symbolic link");
    }
    if !metadata.is_dir() {
        return refuse("it is not a folder");
    }
    if !is_own(&metadata) {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// [`folder`] for a folder in a project: the superuser may work in another user's project, whose folder keeps
/// its owner.
pub fn project_folder(path: &Path) -> io::Result<()> {
    let is_others = |metadata: &std::fs::Metadata| metadata.is_dir() && !is_own(metadata);
    if rustix::process::geteuid().is_root() && std::fs::symlink_metadata(path).is_ok_and(|found| is_others(&found)) {
        return Ok(());
    }
    folder(path).map_err(|error| io::Error::new(error.kind(), format!("cannot use {}: {error}", path.display())))
}

/// The log folder and the state folder above it, which may both have been removed.
pub fn log_folder(path: &Path) -> io::Result<()> {
    if let Some(state_dir) = path.parent() {
        state_dir.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        project_folder(state_dir)?;
    }
    project_folder(path)
}

/// Whether it belongs to the user this process runs as.
pub fn is_own(metadata: &std::fs::Metadata) -> bool {
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Opens a file that only this user can access; creates it, or closes it to others.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let named =
        |why: &str| io::Error::new(ErrorKind::InvalidInput, format!("{}: it is {why}: remove it", path.display()));
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags).open(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => named("a symbolic link"),
        Some(libc::ENXIO | libc::EISDIR) => named("not a regular file"),
        _ => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(named("not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 && is_own(&metadata) {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// The content of a record; `None` if it does not exist.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_RECORD + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= LONGEST_RECORD).then_some(bytes)
}

/// Writes a record atomically, replacing whatever is there.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = scratch::file_in(path.parent().unwrap_or(Path::new(".")), ".tmp", 0o600)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn an_open_folder_is_closed_and_a_file_in_its_place_refused() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        super::folder(&open).unwrap();
        assert_eq!(mode(&open), 0o700);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert_eq!(super::folder(&link).unwrap_err().to_string(), "it is a symbolic link");
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(super::folder(&file).unwrap_err().to_string(), "it is not a folder");
    }

    #[test]
    fn a_link_or_a_pipe_in_place_of_a_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let [target, link, pipe] = ["target", "link", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&link, &pipe] {
            for (reads, writes) in [(true, false), (false, true), (true, true)] {
                let error = open(path, OpenOptions::new().read(reads).write(writes)).unwrap_err();
                assert!(error.to_string().ends_with(": remove it"), "{error}");
            }
            assert_eq!(read(path), None);
        }
        assert_eq!(read(folder.path()), None);
        replace(&link, b"new").unwrap();
        assert_eq!((read(&link), read(&target)), (Some(b"new".to_vec()), Some(b"precious".to_vec())));
        assert_eq!(mode(&link), 0o600);
    }

    #[test]
    fn a_file_that_others_may_open_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        open(&path, OpenOptions::new().append(true)).unwrap();
        assert_eq!(mode(&path), 0o600);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(LONGEST_RECORD + 1).unwrap();
        assert_eq!(read(&path), None, "too long for a record");
    }
}
