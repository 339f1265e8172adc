//! Reads the files of a project up to a limit, since they may be endless devices or pipes, or larger than the memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use sha2::{Digest as _, Sha256};

use crate::digest::hexadecimal;

/// Larger than any file written by hand, and than any lock.
const LARGEST: u64 = 64 * 1024 * 1024;

/// How long a named pipe is waited for that no program writes to, and any pipe whose writer is silent.
const PIPE_PATIENCE: PipePatience =
    PipePatience { without_writer: Duration::from_secs(5), with_writer: Duration::from_secs(60) };

/// Readable when the user wants to stop. Unset: the signal ends this process by itself.
static STOP: OnceLock<OwnedFd> = OnceLock::new();

/// Makes every wait for a pipe end when `notice` is readable.
pub fn stop_waiting_at(notice: BorrowedFd<'_>) -> Result<()> {
    // A process listens to signals once.
    let _ = STOP.set(notice.try_clone_to_owned()?);
    Ok(())
}

/// The content of a file. Pipes are read to their end, as long as something comes.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_up_to(path.as_ref(), LARGEST)
}

/// The content of a UTF-8 text file.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let utf8 = |_| Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8");
    String::from_utf8(read(path)?).map_err(utf8)
}

/// The content of a file with another limit.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let metadata = path.metadata()?;
    if metadata.file_type().is_fifo() {
        return read_to_limit(Pipe::open(path, PIPE_PATIENCE)?, 0, limit);
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    read_to_limit(file, size, limit)
}

/// Opens a file of any size. A pipe is read as by [`read`].
pub fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path.metadata()?.file_type().is_fifo() {
        return Ok(Box::new(Pipe::open(path, PIPE_PATIENCE)?));
    }
    Ok(Box::new(File::open(path)?))
}

/// A source of which only so many bytes are read as are `left`, which others may raise again.
pub struct Allowance<R> {
    source: R,
    left: Rc<Cell<u64>>,
}

impl<R> Allowance<R> {
    pub fn new(source: R, left: Rc<Cell<u64>>) -> Self {
        Self { source, left }
    }
}

impl<R: Read> Read for Allowance<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(Error::other("it is larger than envo unpacks"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

/// `size`: how much there seems to be.
fn read_to_limit(file: impl Read, size: u64, limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    if size <= limit {
        content.reserve_exact(usize::try_from(size).unwrap_or_default());
        // Devices and pipes have no size, and a file may grow.
        file.take(limit + 1).read_to_end(&mut content)?;
    }
    if size.max(content.len() as u64) > limit {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("file too large (more than {} MiB)", limit >> 20)));
    }
    Ok(content)
}

#[derive(Clone, Copy)]
struct PipePatience {
    without_writer: Duration,
    with_writer: Duration,
}

/// A pipe that never blocks its reader for ever: not when it is opened and not when it is read.
struct Pipe {
    file: File,
    /// No program writes to it yet. A pipe without a name had its writer from the start.
    awaits_writer: bool,
    patience: PipePatience,
}

impl Pipe {
    fn open(path: &Path, patience: PipePatience) -> Result<Self> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        // `/dev/fd/63` leads to a pipe without a name, and the path cannot be resolved.
        Ok(Self { file, awaits_writer: path.canonicalize().is_ok(), patience })
    }

    /// Waits until there is something to read, or its writer is gone.
    fn wait(&self, time: Duration) -> Result<()> {
        let limit = Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() };
        // Without a notice to wait for, the pipe is waited for twice.
        let stop = STOP.get().map_or(self.file.as_fd(), |stop| stop.as_fd());
        let mut waiting = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&stop, PollFlags::IN)];
        loop {
            match poll(&mut waiting, Some(&limit)) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(0) => {
                    let text = format!("nothing was written to this pipe within {} seconds", time.as_secs());
                    return Err(Error::new(ErrorKind::TimedOut, text));
                }
                Ok(_) if waiting[0].revents().is_empty() => return Err(Error::other("interrupted")),
                Ok(_) => return Ok(()),
            }
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.file.read(buffer) {
                Ok(0) if self.awaits_writer && !buffer.is_empty() => {
                    self.awaits_writer = false;
                    self.wait(self.patience.without_writer)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.awaits_writer = false;
                    self.wait(self.patience.with_writer)?;
                }
                result => {
                    self.awaits_writer = false;
                    return result;
                }
            }
        }
    }
}

/// SHA-256 of a file in hexadecimal digits. A regular file may have any size; anything else is read as by [`read`].
pub fn digest(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let mut digest = Sha256::new();
    if path.metadata()?.is_file() {
        std::io::copy(&mut File::open(path)?, &mut digest)?;
    } else {
        digest.update(read(path)?);
    }
    Ok(hexadecimal(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_up_to(&path, 5).unwrap(), b"12345");
        assert_eq!(read_up_to(&path, 4).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_text(&path).unwrap(), "12345");
        File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        for endless in [path.as_path(), Path::new("/dev/zero")] {
            assert_eq!(read(endless).unwrap_err().to_string(), "file too large (more than 64 MiB)");
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_refused_if_it_delivers_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let patience = |without_writer, with_writer| PipePatience { without_writer, with_writer };
        let open = |patience| Pipe::open(&path, patience).unwrap();
        let silent = |pipe| read_to_limit(pipe, 0, 5).unwrap_err().to_string();
        let (never, long) = (Duration::ZERO, PIPE_PATIENCE.with_writer);
        let refusal = "nothing was written to this pipe within 0 seconds";
        assert_eq!(silent(open(patience(never, long))), refusal);
        let pipe = open(patience(long, never));
        let writer = File::options().write(true).open(&path).unwrap();
        assert_eq!(silent(pipe), refusal);
        let pipe = open(patience(never, long));
        (&writer).write_all(b"12345").unwrap();
        drop(writer);
        assert_eq!(read_to_limit(pipe, 0, 5).unwrap(), b"12345");
        let pipe = open(patience(long, long));
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, "123456"));
            assert_eq!(read_to_limit(pipe, 0, 5).unwrap_err().kind(), ErrorKind::FileTooLarge);
        });
        let pipe = open(patience(long, long));
        drop(File::options().write(true).open(&path).unwrap());
        assert_eq!(read_to_limit(pipe, 0, 5).unwrap(), b"", "a writer that writes nothing ends it, too");
    }

    #[test]
    fn a_pipe_without_a_name_may_be_empty() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read(path).unwrap(), b"");
    }

    #[test]
    fn files_have_a_digest_unless_they_never_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&path).unwrap(), expected);
        assert_eq!(digest("/dev/zero").unwrap_err().to_string(), "file too large (more than 64 MiB)");
    }
}
