//! Lets only one process at a time build an environment. Locks the environment's folder itself, so no lock file is left
//! behind and the lock survives emptying the folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::env_error::EnvError;
use crate::execute::interrupt::Interrupt;

/// How long to wait before trying the lock again.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Held until dropped.
#[derive(Debug)]
pub struct EnvLock {
    file: File,
}

impl Drop for EnvLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that another thread is starting has it open until its `exec`.
        let _ = self.file.unlock();
    }
}

impl EnvLock {
    /// Locks an existing folder or file. `waiting` is called once if another process holds the lock.
    pub fn acquire(path: &Path, interrupt: &Interrupt, waiting: impl FnOnce()) -> Result<Self, EnvError> {
        let file = File::open(path)?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks (some network ones) must not block the build.
                Err(TryLockError::Error(_)) => return Ok(Self { file }),
            }
            if interrupt.requested() {
                return Err(EnvError::Interrupted);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            match interrupt.notice(0) {
                Some(notice) => {
                    let _ = poll(&mut [PollFd::new(&notice, PollFlags::IN)], Some(&PATIENCE));
                }
                None => {
                    let _ = poll(&mut [], Some(&PATIENCE));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_second_waits_until_the_first_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        let first = EnvLock::acquire(folder.path(), &interrupt, || panic!("the lock is free")).unwrap();
        let (said, received) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| EnvLock::acquire(folder.path(), &interrupt, || said.send(()).unwrap()));
            received.recv().unwrap();
            drop(first);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn what_is_let_go_is_free_although_a_process_that_is_just_being_started_has_it_open() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        let first = EnvLock::acquire(folder.path(), &interrupt, || {}).unwrap();
        let _inherited = first.file.try_clone().unwrap();
        drop(first);
        EnvLock::acquire(folder.path(), &interrupt, || panic!("the lock is free")).unwrap();
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::default();
        let _first = EnvLock::acquire(folder.path(), &interrupt, || {}).unwrap();
        let result = EnvLock::acquire(folder.path(), &interrupt, || interrupt.request());
        assert!(matches!(result, Err(EnvError::Interrupted)));
    }
}
