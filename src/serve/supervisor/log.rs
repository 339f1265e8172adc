//! The log file of a service: its complete output, unchanged.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::platform::descriptors;
use crate::python_text::misleads;
use crate::redaction::{RedactingStream, Redactor};
use crate::serve::private;

/// A log that has grown beyond this is rotated, at the end of a line.
const LARGEST: u64 = 128 * 1024 * 1024;
/// How many rotated logs are kept: `NAME.log.1` is the latest.
const KEPT: u32 = 3;
/// How much of its end is searched for the last lines.
pub const TAIL: usize = 16 * 1024;
/// How many of its last lines are shown after a failure.
pub const LAST_LINES: usize = 15;
/// How many bytes of a line are shown in an error.
const LONGEST_SHOWN: usize = 2 * 1024;
/// The stack of a thread that does little.
const SMALL_STACK: usize = 128 * 1024;
/// The resolution of recorded times, in milliseconds.
const TICK: u64 = 100;

#[derive(Debug)]
pub struct ServiceLog {
    file: File,
    path: PathBuf,
    /// Where the output of the running instance begins.
    begin: u64,
    /// The length of the log.
    length: u64,
    /// The length at which it is rotated.
    largest: u64,
    /// Whether pipes can be spliced into it.
    takes: bool,
    /// The last tick in the file of times, which has a line for each tick with output, for reading a log by
    /// time.
    noted: Option<u64>,
    /// Why output could not be written; reported once, at the end.
    failure: Option<io::Error>,
    /// Hides secrets; `None`: there are none.
    redaction: Option<RedactingStream>,
}

impl ServiceLog {
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::open_limited(path, LARGEST)
    }

    fn open_limited(path: &Path, largest: u64) -> io::Result<Self> {
        // If the project is a copy made of links, the original's log is not written to.
        if std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1) {
            shift(path)?;
        }
        let (file, begin) = open(path)?;
        let path = path.to_path_buf();
        Ok(Self { file, path, begin, length: begin, largest, takes: true, noted: None, failure: None, redaction: None })
    }

    /// Hides secrets in what is written from now on: output is read then, instead of moved.
    #[must_use]
    pub fn redacted(self, redactor: &Redactor) -> Self {
        if redactor.is_empty() {
            return self;
        }
        Self { takes: false, redaction: Some(redactor.stream()), ..self }
    }

    /// Writes what was held back as the possible beginning of a secret, after the last output.
    pub fn finish(&mut self) {
        if let Some(rest) = self.redaction.take().map(|mut redaction| redaction.finish()) {
            self.write_decided(&rest);
        }
    }

    /// Rotates the log. A follower has the old one open, and reads it to its end.
    fn rotate(&mut self) -> io::Result<()> {
        // Freeing the oldest log takes longer than the pipe's buffer lasts, so another thread does it. The
        // file is removed and not replaced, since ext4 writes a replacing file to the disk at once.
        let oldest = File::open(aside(&self.path, KEPT)).ok();
        shift(&self.path)?;
        let (file, begin) = open(&self.path)?;
        (self.file, self.begin, self.length, self.noted) = (file, begin, begin, None);
        if let Some(oldest) = oldest {
            // If no thread can be started, it is freed here.
            let _ = thread::Builder::new().name("free".to_owned()).stack_size(SMALL_STACK).spawn(move || drop(oldest));
        }
        Ok(())
    }

    /// Writes a block. A full disk must not block the service: the output is lost, and that is reported.
    pub fn write(&mut self, block: &[u8]) {
        match &mut self.redaction {
            Some(redaction) => {
                let decided = redaction.push(block);
                self.write_decided(&decided);
            }
            None => self.write_decided(block),
        }
    }

    fn write_decided(&mut self, block: &[u8]) {
        if self.length + block.len() as u64 > self.largest {
            // Lines are not split, unless a line is longer than a log should be.
            let end = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let (whole, rest) = block.split_at(end);
            if end > 0 || self.length > 2 * self.largest {
                self.append(whole);
                // A log that cannot be rotated keeps growing.
                if let Err(error) = self.rotate() {
                    self.failure.get_or_insert(error);
                    self.largest = u64::MAX;
                }
                return self.append(rest);
            }
        }
        self.append(block);
    }

    fn append(&mut self, block: &[u8]) {
        self.refresh_length();
        self.note_time();
        match self.file.write_all_at(block, self.length) {
            Ok(()) => self.length += block.len() as u64,
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// Moves up to `most` bytes from a pipe to the end of the log without reading them: even if this process
    /// is killed, a byte is in one of both. Returns the position in the log and the length; `None`: it has to
    /// be read and written.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if there is nothing now.
    pub fn take(&mut self, pipe: &File, most: usize) -> io::Result<Option<(u64, usize)>> {
        if !self.takes || self.length + most as u64 > self.largest {
            return Ok(None);
        }
        self.refresh_length();
        self.note_time();
        let begin = self.length;
        let Some(length) = descriptors::move_to_file(pipe, &self.file, begin, most)? else {
            // A terminal, or a file system without splicing; a full disk is reported by writing.
            self.takes = false;
            return Ok(None);
        };
        self.length += length as u64;
        Ok(Some((begin, length)))
    }

    /// Reads a part of the moved output.
    pub fn read_back(&self, begin: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, begin)
    }

    /// Reads the length again: others may have truncated the log, written to it, or deleted it, in which case
    /// it is created again.
    fn refresh_length(&mut self) {
        let Ok(metadata) = self.file.metadata() else { return };
        self.length = metadata.len();
        if metadata.nlink() > 0 {
            return;
        }
        let folder = self.path.parent().unwrap_or(&self.path);
        // `log`, `.envo`, the work folder, and its parent: without it the project was moved to another file
        // system.
        if folder.ancestors().nth(3).is_some_and(|project| !project.exists()) {
            return;
        }
        match private::log_folder(folder).and_then(|()| open(&self.path)) {
            Ok((file, begin)) => {
                (self.file, self.begin, self.length, self.noted) = (file, begin, begin, None);
            }
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "people select output by wall-clock times")]
    fn note_time(&mut self) {
        let tick = tick_of(SystemTime::now());
        // A clock that was set back is recorded like any other time.
        if self.noted == Some(tick) {
            return;
        }
        self.noted = Some(tick);
        let time = tick * TICK;
        let line = format!("{}.{:03} {}\n", time / 1000, time % 1000, self.length);
        // It is not kept open, which would take one more descriptor for each service. If this fails, only
        // `--since` knows less.
        let times = private::open(&times_path(&self.path, 0), File::options().create(true).append(true));
        let _ = times.and_then(|mut times| times.write_all(line.as_bytes()));
    }

    /// Locks the log until the returned file is dropped.
    pub fn lock(&self) -> Option<File> {
        // Opened again, since copies of a descriptor share its lock.
        let file = File::open(&self.path).ok()?;
        file.lock().ok()?;
        Some(file)
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.as_ref().map(|error| format!("cannot write {}: {error}", self.path.display()))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the output of the running instance begins.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// The last lines of the running instance's output.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        last_lines(&self.path, self.begin, count)
    }
}

/// Renames a log and the rotated ones to their next numbers.
fn shift(path: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(aside(path, KEPT));
    for number in (0..KEPT).rev() {
        match std::fs::rename(aside(path, number), aside(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // If this fails, only `--since` knows less.
        let _ = std::fs::rename(times_path(path, number), times_path(path, number + 1));
    }
    Ok(())
}

/// The log, and its length.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // Not opened for appending, which would prevent splicing: every write gives its position.
    let file = private::open(path, File::options().create(true).truncate(false).write(true).read(true))?;
    let begin = file.metadata()?.len();
    Ok((file, begin))
}

/// The log and the rotated ones, the latest first. In this order none is missed if the log is rotated
/// meanwhile, but one may be opened twice.
pub fn files(path: &Path) -> Vec<(File, PathBuf)> {
    let opened = (0..=KEPT).map(|number| {
        let file = private::open(&aside(path, number), File::options().read(true));
        (file, times_path(path, number))
    });
    opened.filter_map(|(file, times)| Some((file.ok()?, times))).collect()
}

/// Where output written at or after that time begins, by the file of times; `None`: no such output, as far as
/// is known. Times are in the order of writing. If the clock was set back, earlier output does not count as
/// later; if it was set forward and back again, no output in between is skipped.
pub fn written_since(times: &Path, since: SystemTime) -> Option<u64> {
    let since = tick_of(since);
    let mut text = String::new();
    private::open(times, File::options().read(true)).ok()?.read_to_string(&mut text).ok()?;
    let entry = |line: &str| -> Option<(u64, u64)> {
        let (time, position) = line.split_once(' ')?;
        let (seconds, millis) = time.split_once('.').unwrap_or((time, "0"));
        let millis: u64 = seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)?;
        Some((millis / TICK, position.parse().ok()?))
    };
    let mut begin = None;
    for (tick, position) in text.lines().filter_map(entry) {
        begin = if tick < since { None } else { begin.or(Some(position)) };
    }
    begin
}

fn tick_of(time: SystemTime) -> u64 {
    let millis = time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis());
    u64::try_from(millis).unwrap_or(u64::MAX) / TICK
}

/// The path of a rotated log; number 0 is `NAME.log` itself.
fn aside(path: &Path, number: u32) -> PathBuf {
    if number == 0 { path.to_path_buf() } else { path.with_extension(format!("log.{number}")) }
}

/// The path of its file of times.
fn times_path(path: &Path, number: u32) -> PathBuf {
    path.with_extension(if number == 0 { "times".to_owned() } else { format!("times.{number}") })
}

/// The last lines of a log after the position `begin`.
pub fn last_lines(path: &Path, begin: u64, count: usize) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = private::open(path, File::options().read(true))?;
        let length = file.metadata()?.len();
        // A log that was rotated meanwhile begins at 0.
        let begin = if begin > length { 0 } else { begin };
        file.seek(SeekFrom::Start(begin.max(length.saturating_sub(TAIL as u64))))?;
        let mut bytes = Vec::new();
        file.take(TAIL as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    last_lines_of(&read().unwrap_or_default(), count)
}

/// The last lines of a program's output for an error message.
pub fn last_lines_of(bytes: &[u8], count: usize) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<String> = text.lines().rev().take(count).map(shown).collect();
    lines.reverse();
    lines
}

/// A line of a program's output for an error message, shortened if it is very long.
pub fn shown(line: &str) -> String {
    let mut text = readable(line, LONGEST_SHOWN + 1);
    if text.len() > LONGEST_SHOWN {
        text.truncate(text.floor_char_boundary(LONGEST_SHOWN));
        text.push('…');
    }
    text
}

/// The final text of a line on a terminal, without control sequences, shortened to about `most` bytes.
pub fn readable(line: &str, most: usize) -> String {
    let line = line.trim_end_matches('\r');
    let mut rest = line.rsplit('\r').next().unwrap_or(line).chars().peekable();
    let mut text = String::new();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => text.push(character),
            _ if misleads(character) || character == '\n' => {}
            _ => text.push(character),
        }
        if text.len() >= most {
            break;
        }
    }
    text
}

/// Skips the text after an escape: a control sequence up to its last letter, a title up to its end, else one
/// character.
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => {
            rest.find(|character| ('@'..='~').contains(character));
        }
        Some(']' | 'P' | '^' | '_') => {
            while let Some(character) = rest.next() {
                if character == '\u{7}' || (character == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_of_the_running_instance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = ServiceLog::open(&path).unwrap();
        assert!(log.last_lines(3).is_empty());
        log.write(b"of the first\n");
        let mut log = ServiceLog::open(&path).unwrap();
        assert!(log.last_lines(3).is_empty());
        log.write(b"1\n2\n");
        log.write(b"3\xff\n4");
        assert_eq!(log.last_lines(3), ["2", "3\u{fffd}", "4"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"of the first\n1\n2\n3\xff\n4");
        assert_eq!(log.failure(), None);
    }

    #[test]
    fn a_long_log_is_rotated_at_the_end_of_a_line_and_the_oldest_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let read = |extension: &str| std::fs::read_to_string(path.with_extension(extension)).unwrap_or_default();
        let mut log = ServiceLog::open_limited(&path, 10).unwrap();
        log.write(b"12345678");
        log.write(b"90");
        log.write(b"abc");
        assert_eq!(read("log"), "1234567890abc", "a line stays in one piece");
        log.write(b"d\nefg");
        assert_eq!((read("log.1").as_str(), read("log").as_str()), ("1234567890abcd\n", "efg"));
        assert_eq!(log.last_lines(2), ["efg"]);
        for number in 0..4 {
            log.write(format!("{number}23456789\n").as_bytes());
        }
        assert_eq!((read("log").as_str(), read("log.1").as_str()), ("323456789\n", "123456789\n223456789\n"));
        assert_eq!((read("log.2").as_str(), read("log.3").as_str()), ("efg023456789\n", "1234567890abcd\n"));
        log.write(b"4\n");
        assert_eq!((read("log.3").as_str(), read("log.4").as_str()), ("efg023456789\n", ""));
        assert_eq!(log.failure(), None);
        assert_eq!(last_lines(&path, 1000, 1), [""; 0]);
    }

    #[test]
    fn a_log_that_was_deleted_is_made_again_with_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log").join("a.log");
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let mut log = ServiceLog::open(&path).unwrap();
        log.write(b"before\n");
        std::fs::remove_file(&path).unwrap();
        log.write(b"after\n");
        assert_eq!(
            (std::fs::read_to_string(&path).unwrap().as_str(), log.last_lines(9)),
            ("after\n", vec!["after".into()])
        );
        std::fs::remove_dir_all(folder.path().join("log")).unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"again\n").unwrap();
        let reader = File::from(std::os::fd::OwnedFd::from(reader));
        assert_eq!(log.take(&reader, 100).unwrap(), Some((0, 6)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "again\n");
        assert!(path.with_extension("times").exists());
        assert_eq!(log.failure(), None);
    }

    #[test]
    fn lines_in_errors_are_readable_whatever_was_written() {
        for (line, shown) in [
            ("plain\ttext", "plain\ttext"),
            ("\u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}text\u{1b}]8;;x\u{1b}\\link", "red textlink"),
            (" 10 %\r 50 %\r100 %\r", "100 %"),
            ("a\u{8}\u{0}\u{9b}2Jb\u{1b}", "a2Jb"),
            ("\u{1b}c\u{1b}[", ""),
        ] {
            assert_eq!(super::shown(line), shown, "{line:?}");
        }
        let long = shown(&"ü".repeat(5000));
        assert!(long.len() <= LONGEST_SHOWN + '…'.len_utf8() && long.ends_with("ü…"), "{}", long.len());
    }

    #[test]
    fn a_full_disk_is_reported_and_blocks_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = ServiceLog::open(&path).unwrap();
        log.file = File::options().write(true).open("/dev/full").unwrap();
        log.write(b"x");
        log.write(b"y");
        assert!(log.failure().unwrap().starts_with("cannot write "));
    }
}
