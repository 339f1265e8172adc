//! The supervisor's socket. If the socket or its folder is removed, for example by a program that cleans up
//! temporary files, the supervisor could not be found: it listens again as soon as that happens.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

use crate::platform::folder_watch::{FolderWatch, Interest};
use crate::serve::client::socket_path;

pub struct Listening {
    pub listener: UnixListener,
    socket: PathBuf,
    /// Reports removals from its folder. `None`: the system reports none.
    removals: Option<FolderWatch>,
    /// The socket is removed on purpose.
    ends: Arc<AtomicBool>,
}

impl Listening {
    pub fn new(listener: UnixListener, ends: Arc<AtomicBool>) -> Self {
        let socket = socket_path::socket_of(&listener);
        let removals = watch(&socket);
        Self { listener, socket, removals, ends }
    }

    /// Waits until a client connects, or until the socket was removed and created again; returns its new
    /// path.
    pub fn wait(&mut self) -> Option<PathBuf> {
        loop {
            let mut waiting = vec![PollFd::new(&self.listener, PollFlags::IN)];
            waiting.extend(self.removals.as_ref().map(|removals| PollFd::new(removals, PollFlags::IN)));
            let _ = poll(&mut waiting, None);
            if !waiting[0].revents().is_empty() {
                return None;
            }
            self.removals.as_mut()?.changes();
            if std::fs::symlink_metadata(&self.socket).is_ok() {
                continue;
            }
            let again = (!self.ends.load(Ordering::SeqCst)).then(|| socket_path::listen_again(&self.socket));
            let Some(Ok(listener)) = again else {
                // Existing connections are not affected.
                self.removals = None;
                return None;
            };
            *self = Self::new(listener, Arc::clone(&self.ends));
            return Some(self.socket.clone());
        }
    }
}

fn watch(socket: &Path) -> Option<FolderWatch> {
    let mut removals = FolderWatch::new().ok()?;
    removals.add(socket.parent()?, Interest::Removals).ok()?;
    Some(removals)
}
