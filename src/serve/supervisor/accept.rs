//! Accepts connections to the supervisor. A few descriptors are kept as a reserve: when there are no others,
//! clients can still list and stop services, but cannot start any.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::time::Duration;

use crate::platform::sockets;
use crate::serve::supervisor::SupervisorMessage;
use crate::serve::supervisor::connection::{self, Accepted};
use crate::serve::supervisor::listening::Listening;

/// The descriptors for a connection, and those that are opened briefly to answer it.
const NEEDED: usize = 6;
/// How long to wait, without descriptors, for a connection to end before another attempt: other descriptors
/// may have been closed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts connections for ever.
pub fn run(mut listening: Listening, sender: &Sender<SupervisorMessage>) {
    let (ended, ends) = sync_channel(1);
    let mut door = Door { sender, ended, spare: Vec::new(), last_id: 0 };
    loop {
        door.keep_spare(&listening.listener);
        // Without descriptors the system refuses to accept before there is a connection.
        if let Some(socket) = listening.wait() {
            door.spare.clear();
            let _ = sender.send(SupervisorMessage::ListensAt(socket));
            continue;
        }
        // Other descriptors may have been closed in the meantime.
        door.keep_spare(&listening.listener);
        door.open(&listening.listener, &ends);
    }
}

struct Door<'a> {
    sender: &'a Sender<SupervisorMessage>,
    ended: SyncSender<()>,
    spare: Vec<OwnedFd>,
    last_id: u64,
}

impl Door<'_> {
    fn keep_spare(&mut self, listener: &UnixListener) {
        while self.spare.len() < NEEDED
            && let Ok(copy) = listener.as_fd().try_clone_to_owned()
        {
            self.spare.push(copy);
        }
    }

    /// Accepts a waiting connection, with the reserve if necessary.
    fn open(&mut self, listener: &UnixListener, ends: &Receiver<()>) {
        let is_last = self.spare.len() < NEEDED;
        if self.accept(listener, is_last)
            || (!std::mem::take(&mut self.spare).is_empty() && self.accept(listener, true))
        {
            return;
        }
        // A waiting client is accepted when another has ended.
        let _ = ends.recv_timeout(PATIENCE);
    }

    /// `false`: there are not enough descriptors.
    fn accept(&mut self, listener: &UnixListener, is_last: bool) -> bool {
        let stream = match listener.accept() {
            // Another user's connection is closed without a reply.
            Ok((stream, _)) if !sockets::is_own(&stream) => return true,
            Ok((stream, _)) => Arc::new(stream),
            Err(error) => return !lacks_descriptors(&error),
        };
        self.last_id += 1;
        let mut accepted = Accepted { stream, id: self.last_id, is_last };
        let serve = |accepted: &Accepted| connection::serve(accepted, self.sender.clone(), self.ended.clone());
        match serve(&accepted) {
            Err(error) if lacks_descriptors(&error) && !self.spare.is_empty() => {
                self.spare.clear();
                accepted.is_last = true;
                // A client that cannot be served sees the end of its connection, and tries again.
                let _ = serve(&accepted);
            }
            // The client tries again as well.
            _ => {}
        }
        true
    }
}

fn lacks_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}
