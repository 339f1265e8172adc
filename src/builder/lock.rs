//! One process at a time builds an environment. The lock is on the environment's folder itself, so that it leaves no file
//! behind and survives the folder's being emptied.

use std::fs::{File, TryLockError};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::env_error::EnvError;
use crate::execute::interrupt::Interrupt;

/// How long to wait before asking again whether a lock is free.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Held until dropped.
#[derive(Debug)]
pub struct EnvLock {
    file: File,
}

impl Drop for EnvLock {
    fn drop(&mut self) {
        // To close the file is not enough: a process that is just being started by another thread has it open as well,
        // until it becomes its program.
        let _ = self.file.unlock();
    }
}

impl EnvLock {
    /// Locks a folder or file that exists. `waiting` is called once if somebody else has it.
    pub fn acquire(path: &Path, interrupt: &Interrupt, waiting: impl FnOnce()) -> Result<Self, EnvError> {
        let file = File::open(path)?;
        let mut waiting = Some(waiting);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { file }),
                Err(TryLockError::WouldBlock) => {}
                // A file system without locks (some network ones) must not keep anybody from working.
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
        let first = EnvLock::acquire(folder.path(), &interrupt, || panic!("nobody else has it")).unwrap();
        let (said, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| EnvLock::acquire(folder.path(), &interrupt, || said.send(()).unwrap()));
            heard.recv().unwrap();
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
        EnvLock::acquire(folder.path(), &interrupt, || panic!("nobody else has it")).unwrap();
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
