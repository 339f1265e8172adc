//! Telling a thread that waits that nobody wants its answer any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A wait that somebody else can end: the other end of a pipe, which the [`Canceller`] closes.
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

    /// Waits for so long; whether it was cancelled meanwhile.
    pub fn wait(&self, time: Duration) -> bool {
        let mut waiting = [PollFd::new(&*self.0, PollFlags::IN)];
        // A wait that a signal cut short is a shorter pause, which does no harm.
        let _ = poll(&mut waiting, Some(&timespec(time)));
        !waiting[0].revents().is_empty()
    }

    pub fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits until `other` is readable, at most for so long; `false` when the time is over or it was cancelled.
    pub fn wait_for(&self, other: &impl AsFd, time: Duration) -> bool {
        self.wait_for_any(&[(other.as_fd(), PollFlags::IN)], time) == [true]
    }

    /// Waits until one of `others` is as its flags say, at most for so long. Which of them are; none when it was cancelled.
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
