//! Cancels a waiting thread whose result is no longer needed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A wait that another thread can cancel: the other end of a pipe, which the [`Canceller`] closes.
#[derive(Debug, Clone)]
pub struct CancellableWait(Arc<io::PipeReader>);

/// Dropping it cancels.
#[derive(Debug)]
pub struct Canceller {
    _writer: io::PipeWriter,
}

impl CancellableWait {
    pub fn new() -> io::Result<(Self, Canceller)> {
        let (reader, writer) = io::pipe()?;
        Ok((Self(Arc::new(reader)), Canceller { _writer: writer }))
    }

    /// Waits for this time; returns whether it was cancelled.
    pub fn wait(&self, time: Duration) -> bool {
        let mut waiting = [PollFd::new(&*self.0, PollFlags::IN)];
        // A signal may shorten the wait, which does no harm.
        let _ = poll(&mut waiting, Some(&timespec(time)));
        !waiting[0].revents().is_empty()
    }

    pub fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until `other` is readable, at most for this time; `false` on a timeout or cancellation.
    pub fn wait_for(&self, other: &impl AsFd, time: Duration) -> bool {
        self.wait_for_any(&[(other.as_fd(), PollFlags::IN)], time) == [true]
    }

    /// Waits until one of `others` is as its flags say, at most for this time. Returns those that are; none
    /// if it was cancelled.
    pub fn wait_for_any(&self, others: &[(BorrowedFd<'_>, PollFlags)], time: Duration) -> Vec<bool> {
        let mut waiting = vec![PollFd::new(&*self.0, PollFlags::IN)];
        waiting.extend(others.iter().map(|(descriptor, flags)| PollFd::from_borrowed_fd(*descriptor, *flags)));
        let _ = poll(&mut waiting, Some(&timespec(time)));
        let cancelled = !waiting[0].revents().is_empty();
        waiting[1..].iter().map(|one| !cancelled && !one.revents().is_empty()).collect()
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos() as _ }
}
