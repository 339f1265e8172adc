//! Shows the output of services by following their logs, so that a slow reader delays no service: the log has
//! everything, and the system reports its growth.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, poll};

use crate::event::{OutputStream, Reporter, RunEvent};
use crate::platform::folder_watch::{FolderWatch, Interest};
use crate::serve::lines::Lines;
use crate::serve::private;

/// How much is read at once.
const BLOCK: usize = 256 * 1024;
/// Output that is further behind than this is no longer shown line by line: it cannot be read that fast.
const FURTHEST_BEHIND: u64 = 4 * 1024 * 1024;
/// How much of the skipped output is still shown, since it is the latest.
const LATEST: u64 = 64 * 1024;
/// `log` is in the state folder, that in the work folder, and that in the project's.
const FOLDERS_ABOVE: usize = 3;
/// The stack of a thread that does little.
const SMALL_STACK: usize = 128 * 1024;

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowStart {
    /// With output written from now on.
    Now,
    /// At the beginning of the log.
    Beginning,
}

/// A log that is read as it grows.
#[derive(Debug)]
pub struct LogTail {
    pub name: String,
    path: PathBuf,
    file: Option<File>,
    position: u64,
    lines: Lines,
}

impl LogTail {
    pub fn new(log_dir: &Path, name: String, start: FollowStart) -> Self {
        let path = log_dir.join(format!("{name}.log"));
        let file = private::open(&path, File::options().read(true)).ok();
        let length = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |metadata| metadata.len());
        let position = if start == FollowStart::Now { length } else { 0 };
        Self { name, path, file, position, lines: Lines::default() }
    }

    /// Begins at this position of the log.
    pub fn begin_at(&mut self, position: u64) {
        self.position = position;
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Passes on the whole lines that have arrived, in blocks. `skips`: lines too far behind are counted
    /// instead.
    pub fn read(&mut self, skips: bool, show: &mut dyn FnMut(&[u8])) {
        loop {
            self.read_file(skips, show);
            // A log that was rotated is read to its end first, then the new one.
            let current = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|metadata| metadata.ino());
            let Ok(next) = private::open(&self.path, File::options().read(true)) else { return };
            let inode = next.metadata().ok().map(|metadata| metadata.ino());
            if current == inode {
                return;
            }
            self.flush(show);
            (self.file, self.position) = (Some(next), 0);
        }
    }

    fn read_file(&mut self, skips: bool, show: &mut dyn FnMut(&[u8])) {
        let Some(mut file) = self.file.take() else { return };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        if length < self.position {
            // The log was truncated.
            self.position = 0;
        }
        if file.seek(SeekFrom::Start(self.position)).is_ok() {
            if skips && length - self.position > FURTHEST_BEHIND {
                self.skip(&mut file, length - LATEST, show);
            }
            self.read_blocks(&mut file, show);
        }
        self.file = Some(file);
    }

    fn read_blocks(&mut self, file: &mut File, show: &mut dyn FnMut(&[u8])) {
        let mut buffer = vec![0; BLOCK];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    self.position += length as u64;
                    self.lines.take(&buffer[..length], show);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Counts the lines up to the first one that begins after `until`.
    fn skip(&mut self, file: &mut File, until: u64, show: &mut dyn FnMut(&[u8])) {
        self.flush(show);
        let mut buffer = vec![0; BLOCK];
        let mut lines = 0;
        while let Ok(length @ 1..) = file.read(&mut buffer) {
            let block = &buffer[..length];
            let enough = usize::try_from(until.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let end = block.get(enough..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
            match end {
                Some(at) => {
                    let (skipped, rest) = block.split_at(enough + at + 1);
                    lines += skipped.iter().filter(|byte| **byte == b'\n').count();
                    self.position += length as u64;
                    show(format!("… {lines} lines that came too fast are in the log only\n").as_bytes());
                    return self.lines.take(rest, show);
                }
                None => {
                    lines += block.iter().filter(|byte| **byte == b'\n').count();
                    self.position += length as u64;
                }
            }
        }
        show(format!("… {lines} lines that came too fast are in the log only\n").as_bytes());
    }

    /// Passes on a last line without an end.
    pub fn flush(&mut self, show: &mut dyn FnMut(&[u8])) {
        self.lines.flush(show);
    }
}

/// Reports growing and new files in a folder, even if the folder is removed and recreated.
pub struct LogGrowth {
    notices: FolderWatch,
    folder: PathBuf,
}

impl LogGrowth {
    pub fn of(folder: &Path) -> io::Result<Self> {
        let mut growth = Self { notices: FolderWatch::new()?, folder: folder.to_path_buf() };
        growth.watch()?;
        Ok(growth)
    }

    /// Watches the folder and its parents up to the project's: a removed folder is recreated in its parent.
    /// From the top down, so that no creation is missed in between.
    fn watch(&mut self) -> io::Result<()> {
        let above: Vec<&Path> = self.folder.ancestors().skip(1).take(FOLDERS_ABOVE).collect();
        for folder in above.into_iter().rev() {
            // A missing folder will appear in its parent.
            let _ = self.notices.add(folder, Interest::Appearances);
        }
        self.notices.add(&self.folder, Interest::Growth)
    }

    /// Waits until a file has grown, or until `end` can be read or is closed; returns which.
    pub fn wait(&mut self, end: &impl std::os::fd::AsFd) -> bool {
        let mut waiting = [PollFd::new(end, PollFlags::IN), PollFd::new(&self.notices, PollFlags::IN)];
        let _ = poll(&mut waiting, None);
        let ended = !waiting[0].revents().is_empty();
        // It does not matter which file it was: checking a file that has not grown is cheap.
        self.notices.changes();
        // A missing folder appears in a folder that is watched.
        let _ = self.watch();
        ended
    }
}

/// A thread that shows the output of services. Dropping it shows the rest and ends it.
pub struct LogFollower {
    end: Option<io::PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl LogFollower {
    pub fn show(
        log_dir: &Path,
        names: Vec<String>,
        start: FollowStart,
        reporter: Arc<dyn Reporter>,
    ) -> io::Result<Self> {
        let tails = names.into_iter().map(|name| LogTail::new(log_dir, name, start)).collect();
        Self::follow(log_dir, tails, true, reporter)
    }

    /// Shows everything after the part that was read already.
    pub fn continue_following(log_dir: &Path, tails: Vec<LogTail>, reporter: Arc<dyn Reporter>) -> io::Result<Self> {
        Self::follow(log_dir, tails, false, reporter)
    }

    fn follow(log_dir: &Path, mut tails: Vec<LogTail>, skips: bool, reporter: Arc<dyn Reporter>) -> io::Result<Self> {
        let mut growth = LogGrowth::of(log_dir)?;
        let (ended, end) = io::pipe()?;
        let work = move || {
            let mut last = false;
            loop {
                for tail in &mut tails {
                    let name = tail.name.clone();
                    let mut show = |lines: &[u8]| {
                        let (service, line) = (name.clone(), lines.to_vec());
                        reporter.event(RunEvent::ServiceOutput { service, stream: OutputStream::Out, line });
                    };
                    tail.read(skips, &mut show);
                    if last {
                        tail.flush(&mut show);
                    }
                }
                if last {
                    return;
                }
                last = growth.wait(&ended);
            }
        };
        let thread = thread::Builder::new().name("terminal".to_owned()).stack_size(SMALL_STACK).spawn(work)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for LogFollower {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(tail: &mut LogTail, skips: bool) -> String {
        let mut shown = Vec::new();
        tail.read(skips, &mut |lines| shown.extend_from_slice(lines));
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn whole_lines_are_shown_and_a_rotated_log_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut tail = LogTail::new(folder.path(), "a".into(), FollowStart::Now);
        assert_eq!(read(&mut tail, true), "");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(read(&mut tail, true), "one\n");
        file.write_all(b"o\n").unwrap();
        assert_eq!(read(&mut tail, true), "two\n");
        file.write_all(b"three\nend").unwrap();
        std::fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        std::fs::write(&path, "four\n").unwrap();
        assert_eq!(read(&mut tail, true), "three\nend\nfour\n");
        std::fs::write(&path, "5\n").unwrap();
        assert_eq!(read(&mut tail, true), "5\n", "a truncated log starts over");
    }

    #[test]
    fn earlier_output_is_shown_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "before\n").unwrap();
        assert_eq!(read(&mut LogTail::new(folder.path(), "a".into(), FollowStart::Now), true), "");
        assert_eq!(read(&mut LogTail::new(folder.path(), "a".into(), FollowStart::Beginning), true), "before\n");
    }

    #[test]
    fn every_line_of_fast_output_is_shown_or_counted() {
        let folder = tempfile::tempdir().unwrap();
        let count = 3 * FURTHEST_BEHIND as usize / 100;
        let line = format!("{}\n", "x".repeat(99));
        std::fs::write(folder.path().join("a.log"), line.repeat(count)).unwrap();
        let shown = read(&mut LogTail::new(folder.path(), "a".into(), FollowStart::Beginning), true);
        let left_out: usize = shown.strip_prefix("… ").unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(left_out + shown.matches(&line).count(), count);
        assert!(left_out > 0 && shown.ends_with(&line));
        let all = read(&mut LogTail::new(folder.path(), "a".into(), FollowStart::Beginning), false);
        assert_eq!(all.matches(&line).count(), count);
    }
}
