//! Watches folders by kqueue, which reports that a folder or file has changed. What has changed is found by comparing with
//! how the folder was. The contents of a file are watched by an open descriptor of it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, VnodeEvents, kevent, kqueue};

use super::snapshot::FolderSnapshot;
use super::{FolderChanges, Interest};

/// Watched folders. The descriptor is readable when something has changed.
#[derive(Debug)]
pub struct FolderWatch {
    notices: OwnedFd,
    folders: HashMap<PathBuf, WatchedFolder>,
    /// The folder to which each watched descriptor belongs.
    owners: HashMap<RawFd, PathBuf>,
}

#[derive(Debug)]
struct WatchedFolder {
    folder: File,
    /// Its files with their inodes, if writing to them matters.
    files: HashMap<PathBuf, (File, u64)>,
    with_files: bool,
    snapshot: FolderSnapshot,
}

impl FolderWatch {
    pub fn new() -> io::Result<Self> {
        Ok(Self { notices: kqueue()?, folders: HashMap::new(), owners: HashMap::new() })
    }

    /// Watches a folder, but not those in it. One that is watched already stays so, unless it has been created again.
    pub fn add(&mut self, folder: &Path, interest: Interest) -> io::Result<()> {
        let inode = std::fs::metadata(folder)?.ino();
        if let Some(known) = self.folders.get(folder) {
            if known.folder.metadata().is_ok_and(|known| known.ino() == inode) {
                return Ok(());
            }
            self.forget(folder);
        }
        let descriptor = File::options().read(true).custom_flags(libc::O_EVTONLY | libc::O_DIRECTORY).open(folder)?;
        self.watch(&descriptor, folder)?;
        let watched = WatchedFolder {
            folder: descriptor,
            files: HashMap::new(),
            with_files: matches!(interest, Interest::Growth | Interest::Everything),
            snapshot: FolderSnapshot::of(folder),
        };
        self.folders.insert(folder.to_path_buf(), watched);
        self.watch_files(folder)
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> FolderChanges {
        let mut result = FolderChanges::default();
        let mut folders: Vec<PathBuf> =
            self.noticed().into_iter().filter_map(|number| self.owners.get(&number).cloned()).collect();
        folders.sort();
        folders.dedup();
        for folder in folders {
            let Some(watched) = self.folders.get_mut(&folder) else { continue };
            let now = FolderSnapshot::of(&folder);
            result.changes.extend(watched.snapshot.changes(&now, &folder));
            watched.snapshot = now;
            if folder.is_dir() {
                // The files that could not be opened are those that are too many.
                result.overflowed |= self.watch_files(&folder).is_err();
            } else {
                self.forget(&folder);
            }
        }
        result
    }

    /// The descriptors whose files have changed.
    fn noticed(&self) -> Vec<RawFd> {
        let mut found = Vec::new();
        loop {
            let mut events: Vec<Event> = Vec::with_capacity(64);
            // SAFETY: no descriptor is added.
            let read = unsafe {
                kevent(&self.notices, &[], rustix::buffer::spare_capacity(&mut events), Some(Duration::ZERO))
            };
            if !matches!(read, Ok(1..)) {
                return found;
            }
            found.extend(events.iter().filter_map(|event| match event.filter() {
                EventFilter::Vnode { vnode, .. } => Some(vnode),
                _ => None,
            }));
        }
    }

    fn watch(&mut self, file: &File, folder: &Path) -> io::Result<()> {
        let flags = VnodeEvents::DELETE | VnodeEvents::WRITE | VnodeEvents::EXTEND | VnodeEvents::RENAME;
        let filter = EventFilter::Vnode { vnode: file.as_raw_fd(), flags };
        let change = [Event::new(filter, EventFlags::ADD | EventFlags::CLEAR, std::ptr::null_mut())];
        let mut none: [Event; 0] = [];
        // SAFETY: the file is open, and stays so as long as it is watched: closing it ends that.
        unsafe { kevent(&self.notices, &change, &mut none, Some(Duration::ZERO)) }?;
        self.owners.insert(file.as_raw_fd(), folder.to_path_buf());
        Ok(())
    }

    /// Watches the files that are in the folder by now, and no others.
    fn watch_files(&mut self, folder: &Path) -> io::Result<()> {
        let Some(watched) = self.folders.get_mut(folder).filter(|watched| watched.with_files) else { return Ok(()) };
        let mut before = std::mem::take(&mut watched.files);
        let mut result = Ok(());
        let mut files = HashMap::new();
        for path in watched.snapshot.files(folder) {
            let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
            if let Some(known) = before.remove(&path) {
                if known.1 == metadata.ino() {
                    files.insert(path, known);
                    continue;
                }
                self.owners.remove(&known.0.as_raw_fd());
            }
            if !metadata.is_file() {
                continue;
            }
            let opened = File::options().read(true).custom_flags(libc::O_EVTONLY | libc::O_NONBLOCK).open(&path);
            match opened.and_then(|file| self.watch(&file, folder).map(|()| file)) {
                Ok(file) => {
                    files.insert(path, (file, metadata.ino()));
                }
                // It was removed, or may not be read.
                Err(error) if !matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {}
                Err(error) => result = Err(error),
            }
        }
        for (file, _) in before.values() {
            self.owners.remove(&file.as_raw_fd());
        }
        if let Some(watched) = self.folders.get_mut(folder) {
            watched.files = files;
        }
        result
    }

    fn forget(&mut self, folder: &Path) {
        self.folders.remove(folder);
        self.owners.retain(|_, owner| owner != folder);
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}
