//! The descriptors of a shim, and how it saves the output of its service when envo is gone, so that none is
//! lost.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::execute::process::descriptors;
use crate::serve::supervisor::log::ServiceLog;

/// Descriptors that the service must not inherit get numbers from here on.
const OUT_OF_THE_WAY: i32 = 128;
/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// The descriptors of a shim.
pub struct ShimPipes {
    pub requests: File,
    /// The end that the service writes to.
    pub output: OwnedFd,
    pub events: File,
    /// The end that it is read from.
    pub leftover: File,
    /// The sockets that the service inherits.
    pub sockets: Vec<OwnedFd>,
}

impl ShimPipes {
    /// Gives the sockets the numbers from 3 on, for child processes to inherit, and returns the other
    /// descriptors and the number of sockets.
    ///
    /// # Safety
    ///
    /// Only `self` owns descriptors above the standard streams in this process; others would be closed.
    pub unsafe fn order_sockets_first(self) -> io::Result<(Self, i32)> {
        if self.sockets.is_empty() {
            return Ok((self, 0));
        }
        let away = |descriptor: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(descriptor, OUT_OF_THE_WAY);
        let ends = Self {
            requests: File::from(away(self.requests.as_fd())?),
            output: away(self.output.as_fd())?,
            events: File::from(away(self.events.as_fd())?),
            leftover: File::from(away(self.leftover.as_fd())?),
            sockets: Vec::new(),
        };
        let sockets = self.sockets.iter().map(|socket| away(socket.as_fd())).collect::<Result<Vec<_>, _>>()?;
        let mut end = descriptors::FIRST;
        // From here on nothing owns the low numbers.
        drop(self);
        for socket in sockets {
            // SAFETY: what had the low numbers was closed above, and nothing else owns them, by the contract of this function.
            unsafe { descriptors::move_to(socket, end) }?;
            end += 1;
        }
        Ok((ends, end - descriptors::FIRST))
    }
}

/// The output of a service that the supervisor has not read, and all that follows.
pub struct UnreadOutput {
    output: File,
    path: PathBuf,
    /// Opened when there is something to write.
    log: Option<ServiceLog>,
}

impl UnreadOutput {
    pub fn new(output: File, path: PathBuf) -> Self {
        Self { output, path, log: None }
    }

    /// The log it belongs to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the available output to the log. `false`: there will be no more.
    pub fn write(&mut self) -> bool {
        if rustix::io::ioctl_fionbio(&self.output, true).is_err() {
            return false;
        }
        if self.log.is_none() {
            // Without a log the output is lost, but the service must not be blocked.
            self.log = ServiceLog::open(&self.path).ok();
        }
        // A shim and a forker may read at the same time. Each writes what it has read before the other
        // continues.
        let _turn = self.log.as_ref().and_then(ServiceLog::lock);
        let mut buffer = vec![0; BLOCK];
        loop {
            match self.output.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    if let Some(log) = &mut self.log {
                        log.write(&buffer[..length]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

impl AsFd for UnreadOutput {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_rest_of_the_pipe_is_appended_to_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "before\n").unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let mut leftover = UnreadOutput::new(File::from(OwnedFd::from(reader)), path.clone());
        assert!(leftover.write(), "nothing yet, but something may come");
        writer.write_all(b"left\n").unwrap();
        assert!(leftover.write());
        writer.write_all(b"last").unwrap();
        drop(writer);
        assert!(!leftover.write());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nleft\nlast");
    }
}
