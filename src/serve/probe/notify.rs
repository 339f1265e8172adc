//! The datagram socket to which a service sends `READY=1`, as in systemd's `sd_notify(3)`.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scratch::Scratch;
use crate::serve::probe::cancel::CancellableWait;

/// The largest message that is read; a longer one is cut.
const LARGEST: usize = 4096;
/// An arbitrary limit; the wait is repeated.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    /// Removes the folder with the socket.
    _folder: Scratch,
    path: PathBuf,
}

impl NotifySocket {
    /// A socket in a folder that only the user can enter. It is not below the project, whose path may be too
    /// long for a socket.
    pub fn new() -> io::Result<Self> {
        let folder = Scratch::temporary("envo-notify-")?;
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, _folder: folder, path })
    }

    /// The value of `$NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until the service has reported that it is ready; `false` if it was cancelled first.
    pub fn wait(&self, cancel: &CancellableWait) -> bool {
        let mut message = [0; LARGEST];
        loop {
            match self.socket.recv(&mut message) {
                Ok(length) if says_ready(&message[..length]) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !cancel.wait_for(&self.socket, LONG) && cancel.wait(Duration::ZERO) {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}

/// Whether a message, lines of `NAME=VALUE`, contains `READY=1`.
fn says_ready(message: &[u8]) -> bool {
    message.split(|byte| *byte == b'\n').any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_found_in_other_notifications() {
        assert!(says_ready(b"READY=1"));
        assert!(says_ready(b"STATUS=up\nREADY=1\nMAINPID=3\n"));
        assert!(!says_ready(b"READY=0\nXREADY=1"));
        assert!(!says_ready(b""));
    }
}
