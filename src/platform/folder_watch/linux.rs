//! Watches folders by inotify.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::{FolderChange, FolderChanges, Interest};

/// Watched folders. The descriptor is readable when something has changed.
#[derive(Debug)]
pub struct FolderWatch {
    notices: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl FolderWatch {
    pub fn new() -> io::Result<Self> {
        let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self { notices, folders: HashMap::new() })
    }

    /// Watches a folder, but not those in it. One that is watched already stays so, unless it has been created again.
    pub fn add(&mut self, folder: &Path, interest: Interest) -> io::Result<()> {
        let number = inotify::add_watch(&self.notices, folder, flags(interest) | WatchFlags::ONLYDIR)?;
        self.folders.insert(number, folder.to_path_buf());
        Ok(())
    }

    /// What has changed since the last call.
    pub fn changes(&mut self) -> FolderChanges {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut result = FolderChanges::default();
        let mut reader = inotify::Reader::new(&self.notices, &mut buffer);
        while let Ok(event) = reader.next() {
            let flags = event.events();
            result.overflowed |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
            if let (Some(folder), Some(name)) = (self.folders.get(&event.wd()), event.file_name()) {
                let path = folder.join(OsStr::from_bytes(name.to_bytes()));
                let is_new = flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
                result.changes.push(FolderChange { path, is_folder: flags.contains(ReadFlags::ISDIR), is_new });
            }
            if flags.contains(ReadFlags::IGNORED) {
                self.folders.remove(&event.wd());
            }
        }
        result
    }
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notices.as_fd()
    }
}

fn flags(interest: Interest) -> WatchFlags {
    let appearances = WatchFlags::CREATE | WatchFlags::MOVED_TO;
    match interest {
        Interest::Appearances => appearances,
        Interest::Growth => appearances | WatchFlags::MODIFY,
        Interest::Removals => {
            WatchFlags::MOVED_FROM | WatchFlags::MOVE_SELF | WatchFlags::DELETE | WatchFlags::DELETE_SELF
        }
        Interest::Everything => {
            appearances | WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY | WatchFlags::DELETE | WatchFlags::MOVED_FROM
        }
    }
}
