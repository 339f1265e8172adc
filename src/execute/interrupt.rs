//! Notifies everything that waits that the user wants to stop. Ends nothing itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::bounded;

/// The error for work that a signal has ended. The process ends by the same signal when everything is done,
/// so that its sender, or a shell that waits, sees that the signal had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct BySignal(pub i32);

impl BySignal {
    /// Ends this process as the signal ends a process without a handler. Returns if the system refuses.
    pub fn end_process(self) {
        let _ = signal_hook::low_level::emulate_default_handler(self.0);
    }
}

/// How many times an interrupt was requested. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<SharedInterrupt>);

#[derive(Debug, Default)]
struct SharedInterrupt {
    count: AtomicUsize,
    /// The number of the first signal; 0: none yet.
    signal: AtomicI32,
    first: InterruptPipe,
    second: InterruptPipe,
}

/// A pipe that becomes readable once and stays so, since it is never read: any number of threads can wait for
/// it. It is created by the first that does.
#[derive(Debug, Default)]
struct InterruptPipe(OnceLock<Option<(io::PipeReader, io::PipeWriter)>>);

impl InterruptPipe {
    fn give(&self) {
        // Pairs with the fence in `descriptor`: the thread that opens the pipe sees the count, or this one
        // sees the pipe.
        fence(Ordering::SeqCst);
        if let Some(Some((_, writer))) = self.0.get() {
            // One byte always fits into an empty pipe, and a full one is readable already.
            let _ = io::Write::write(&mut &*writer, &[1]);
        }
    }

    /// `is_given`: whether it was given before the first thread waited for it.
    fn descriptor(&self, is_given: impl FnOnce() -> bool) -> Option<BorrowedFd<'_>> {
        let pipe = self.0.get_or_init(|| io::pipe().ok());
        fence(Ordering::SeqCst);
        if is_given() {
            self.give();
        }
        pipe.as_ref().map(|(reader, _)| reader.as_fd())
    }
}

impl Interrupt {
    /// Counts SIGINT, SIGTERM, SIGHUP and SIGQUIT from now on instead of dying of them, and adopts every
    /// process that a child of this process leaves behind, so that it can be found and ended. `first` is
    /// called with the first signal, before it is counted.
    ///
    /// The third signal means that nothing has helped: it kills all that this process started and ends it.
    pub fn listen(first: impl FnOnce(i32) + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = signal_hook::iterator::Signals::new([
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
            signal_hook::consts::SIGQUIT,
        ])?;
        crate::execute::tree::adopt_orphans();
        interrupt.notice(0).map_or(Ok(()), bounded::stop_waiting_at)?;
        let shared = interrupt.clone();
        std::thread::Builder::new().name("interrupt".to_owned()).stack_size(128 * 1024).spawn(move || {
            let mut first = Some(first);
            for signal in signals.forever() {
                if let Some(first) = first.take() {
                    first(signal);
                }
                let _ = shared.0.signal.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                shared.request();
                if shared.count() > 2 {
                    crate::execute::tree::end_descendants(Duration::ZERO);
                    let _ = signal_hook::low_level::emulate_default_handler(signal);
                }
            }
        })?;
        Ok(interrupt)
    }

    pub fn request(&self) {
        match self.0.count.fetch_add(1, Ordering::SeqCst) {
            0 => self.0.first.give(),
            _ => self.0.second.give(),
        }
    }

    pub fn requested(&self) -> bool {
        self.count() > 0
    }

    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::SeqCst)
    }

    /// The number of the first signal; `None` if there was none.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// Ends this process by the signal that asked it to stop, when everything is done. Returns after SIGINT,
    /// whose exit code is that of the run.
    pub fn end_by_signal(&self) {
        if let Some(signal) = self.signal().filter(|signal| *signal != signal_hook::consts::SIGINT) {
            // If the system refuses, the run's own exit code has to suffice.
            BySignal(signal).end_process();
        }
    }

    /// A descriptor that becomes and stays readable when an interrupt was requested more than `seen` times
    /// (only the first two can be waited for). `None`: the system had no descriptor left.
    pub fn notice(&self, seen: usize) -> Option<BorrowedFd<'_>> {
        let (notice, count) = if seen == 0 { (&self.0.first, 1) } else { (&self.0.second, 2) };
        notice.descriptor(|| self.count() >= count)
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn readable(interrupt: &Interrupt, seen: usize) -> bool {
        let notice = interrupt.notice(seen).unwrap();
        let mut waiting = [PollFd::new(&notice, PollFlags::IN)];
        poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn each_request_wakes_all_waiting_threads_and_stays_visible() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.requested() && !readable(&interrupt, 0));
        interrupt.clone().request();
        assert!(interrupt.requested() && readable(&interrupt, 0) && readable(&interrupt, 0));
        assert!(!readable(&interrupt, 1));
        interrupt.request();
        assert!(readable(&interrupt, 0) && readable(&interrupt, 1));
        assert_eq!((interrupt.count(), interrupt.signal()), (2, None));
        let unheard = Interrupt::default();
        unheard.request();
        assert!(readable(&unheard, 0) && !readable(&unheard, 1), "it came before anything waited for it");
    }
}
