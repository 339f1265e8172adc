//! Pipes, pseudo-terminals and the inheritance of descriptors.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, openpt};

/// Marks all descriptors from the number `first` on to be closed in programs that this process starts, by one call.
/// Returns whether the system has such a call.
#[cfg(target_os = "linux")]
pub fn close_range_in_children(first: i32) -> bool {
    let (first, last) = (first.unsigned_abs(), u32::MAX);
    // SAFETY: the call reads no memory of this process, and a marked descriptor stays usable in it. Kernels before 5.11 and
    // some sandboxes do not have it.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) == 0 }
}

/// Marks all descriptors from the number `first` on to be closed in programs that this process starts, by one call.
/// Returns whether the system has such a call.
#[cfg(target_os = "macos")]
pub fn close_range_in_children(_first: i32) -> bool {
    false
}

/// The controlling end of a new pseudo-terminal, which no child inherits.
pub fn open_terminal() -> rustix::io::Result<OwnedFd> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    return openpt(flags | OpenptFlags::CLOEXEC);
    #[cfg(target_os = "macos")]
    {
        // Between the two calls another thread cannot give it to a child: all descriptors are marked before a child is
        // started.
        let terminal = openpt(flags)?;
        rustix::io::fcntl_setfd(&terminal, rustix::io::FdFlags::CLOEXEC)?;
        Ok(terminal)
    }
}

/// Asks for a larger buffer of a pipe. macOS enlarges it by itself when it fills.
pub fn enlarge_pipe(pipe: &File, size: usize) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, size);
    #[cfg(target_os = "macos")]
    let _ = (pipe, size);
}

/// Moves up to `most` bytes from a pipe to a position in a file without reading them, and returns how many; `None` if the
/// system cannot, or not for these files.
///
/// # Errors
///
/// [`io::ErrorKind::WouldBlock`] if there is nothing now.
pub fn move_to_file(pipe: &File, file: &File, position: u64, most: usize) -> io::Result<Option<usize>> {
    #[cfg(target_os = "linux")]
    {
        use rustix::io::Errno;
        use rustix::pipe::{SpliceFlags, splice};
        let mut offset = position;
        match splice(pipe, None, file, Some(&mut offset), most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => Ok(None),
        }
    }
    #[cfg(target_os = "macos")]
    {
        let _ = (pipe, file, position, most);
        Ok(None)
    }
}
