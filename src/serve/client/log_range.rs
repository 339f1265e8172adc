//! Reads a part of an existing log and its rotated files: the last lines, or a period of time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use crate::serve::client::log_follower::{FollowStart, LogTail};
use crate::serve::lines::Lines;
use crate::serve::supervisor::log;

/// How much is read at once, from the end of the log towards its beginning.
const STEP: u64 = 64 * 1024;

/// The requested part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRange {
    /// Only this many of the last lines.
    pub lines: Option<usize>,
    /// Only output since then, to a tenth of a second.
    pub since: Option<SystemTime>,
    /// Only output until then, equally exact.
    pub until: Option<SystemTime>,
}

/// A piece of one file.
struct LogPiece {
    file: File,
    begin: u64,
    end: u64,
}

/// Shows the part in blocks, and returns where the log continues. A last line without an end yet is left for
/// the follower.
pub fn excerpt(log_dir: &Path, name: &str, wanted: &LogRange, show: &mut dyn FnMut(&[u8])) -> io::Result<LogTail> {
    let mut tail = LogTail::new(log_dir, name.to_owned(), FollowStart::Now);
    let mut pieces = Vec::new();
    let mut seen = None;
    let mut left = wanted.lines;
    for (mut file, times) in log::files(tail.path()) {
        let metadata = file.metadata()?;
        if seen.is_none() {
            tail.begin_at(metadata.len());
        }
        if seen.replace(metadata.ino()) == Some(metadata.ino()) {
            continue;
        }
        let (mut begin, end) = bounds(&times, metadata.len(), wanted);
        if let Some(left) = &mut left {
            let (from, found) = last_lines(&mut file, begin, end, *left)?;
            (begin, *left) = (from, *left - found);
        }
        if begin < end {
            pieces.push(LogPiece { file, begin, end });
        }
        // Everything older is out of range too.
        if left == Some(0) {
            break;
        }
    }
    if seen.is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut lines = Lines::default();
    for piece in pieces.into_iter().rev() {
        copy(piece, &mut |block| lines.take(block, show))?;
    }
    lines.flush(show);
    Ok(tail)
}

/// The beginning and end of the requested period in a log of this length.
fn bounds(times: &Path, length: u64, wanted: &LogRange) -> (u64, u64) {
    let begin = match wanted.since {
        Some(since) => log::written_since(times, since).unwrap_or(length),
        None => 0,
    };
    // Later output belongs to the next tick.
    let next = wanted.until.and_then(|until| until.checked_add(Duration::from_millis(100)));
    let end = next.and_then(|next| log::written_since(times, next)).unwrap_or(length);
    (begin.min(length), end.min(length))
}

fn copy(mut piece: LogPiece, show: &mut dyn FnMut(&[u8])) -> io::Result<()> {
    piece.file.seek(SeekFrom::Start(piece.begin))?;
    let mut rest = piece.file.take(piece.end - piece.begin);
    let mut buffer = vec![0; STEP as usize];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => show(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where the last `count` lines between `first` and `end` begin, and how many there are, at most `count`.
fn last_lines(file: &mut File, first: u64, end: u64, count: usize) -> io::Result<(u64, usize)> {
    if count == 0 || first >= end {
        return Ok((end, 0));
    }
    let mut open = end;
    let mut found = 0;
    while open > first {
        let begin = open.saturating_sub(STEP).max(first);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.by_ref().take(open - begin).read_to_end(&mut block)?;
        for (at, byte) in block.iter().enumerate().rev() {
            let position = begin + at as u64;
            // The end of the last line itself begins no other line.
            if *byte == b'\n' && position + 1 < end {
                found += 1;
                if found == count {
                    return Ok((position + 1, count));
                }
            }
        }
        open = begin;
    }
    Ok((first, found + 1))
}

/// A time in the past, in the local time zone: an age (`30s`, `10m`, `2h`, `1d`), a time of today (`12:00`,
/// `12:00:05`) or of a day (`2026-05-01`, `2026-05-01T12:00`).
#[expect(clippy::disallowed_methods, reason = "people use wall-clock times")]
pub fn parse_since(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let now = SystemTime::now();
    if let Some((digits, unit)) = text.split_at_checked(text.len().checked_sub(1)?)
        && let Ok(number) = digits.parse::<u64>()
    {
        let unit = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        return now.checked_sub(Duration::from_secs(number.checked_mul(unit)?));
    }
    let (day, time) = match text.split_once(['T', ' ']) {
        Some((day, time)) => (Some(day), Some(time)),
        None if text.contains(':') => (None, Some(text)),
        None => (Some(text), None),
    };
    let zone = TimeZone::system();
    let date = match day {
        Some(day) => Date::strptime("%Y-%m-%d", day).ok()?,
        None => zone.to_datetime(Timestamp::try_from(now).ok()?).date(),
    };
    let time = match time {
        Some(time) => Time::strptime("%H:%M:%S", time).or_else(|_| Time::strptime("%H:%M", time)).ok()?,
        None => Time::midnight(),
    };
    let seconds = zone.to_timestamp(date.to_datetime(time)).ok()?.as_second();
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, lines: Option<usize>) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), text).unwrap();
        shown(folder.path(), &LogRange { lines, ..LogRange::default() })
    }

    fn shown(folder: &Path, wanted: &LogRange) -> String {
        let mut bytes = Vec::new();
        excerpt(folder, "a", wanted, &mut |block| bytes.extend_from_slice(block)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        assert_eq!(part("1\n2\n3\n", Some(2)), "2\n3\n");
        assert_eq!(part("1\n2\n3", Some(2)), "2\n3\n", "a line without an end is one");
        assert_eq!(part("1\n2\n", Some(9)), "1\n2\n");
        assert_eq!(part("1\n2\n", Some(0)), "");
        assert_eq!(part("", Some(3)), "");
        assert_eq!(part("1\n2\n", None), "1\n2\n");
        let long: String = (0..50_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(part(&long, Some(30_000)).lines().next(), Some("20000"));
    }

    #[test]
    fn output_of_a_period_is_found_to_a_tenth_of_a_second() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "old\nnew\nlast\n").unwrap();
        // The first line has the format of earlier versions.
        std::fs::write(folder.path().join("a.times"), "1000 0\n2000.300 4\nnonsense\n2000.700 8\n").unwrap();
        let time = |seconds: f64| Some(UNIX_EPOCH + Duration::from_secs_f64(seconds));
        let part = |since, until| {
            let wanted = LogRange { lines: None, since: time(since), until: time(until) };
            shown(folder.path(), &wanted)
        };
        assert_eq!(part(500.0, 9000.0), "old\nnew\nlast\n");
        assert_eq!(part(1500.0, 9000.0), "new\nlast\n");
        assert_eq!(part(2000.31, 9000.0), "new\nlast\n", "in the same tenth");
        assert_eq!(part(2000.41, 9000.0), "last\n");
        assert_eq!(part(1500.0, 2000.4), "new\n");
        assert_eq!((part(3000.0, 9000.0), part(500.0, 600.0)), (String::new(), String::new()));
    }

    #[test]
    fn rotated_logs_are_read_first_and_counted_too() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("a.log.2", "1\n2\n"), ("a.log.1", "3\n4\n"), ("a.log", "5\n6")];
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        for (name, text) in [("a.times.2", "10 0\n20 2\n"), ("a.times.1", "30 0\n"), ("a.times", "40 0\n50 2\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let last = |lines| shown(folder.path(), &LogRange { lines: Some(lines), ..LogRange::default() });
        assert_eq!(shown(folder.path(), &LogRange::default()), "1\n2\n3\n4\n5\n6\n");
        assert_eq!(
            (last(1), last(3), last(5), last(50)),
            ("6\n".into(), "4\n5\n6\n".into(), "2\n3\n4\n5\n6\n".into(), "1\n2\n3\n4\n5\n6\n".into())
        );
        let since = |seconds| {
            let since = Some(UNIX_EPOCH + Duration::from_secs(seconds));
            shown(folder.path(), &LogRange { since, ..LogRange::default() })
        };
        assert_eq!((since(15), since(45)), ("2\n3\n4\n5\n6\n".to_owned(), "6\n".to_owned()));
        let missing = excerpt(folder.path(), "b", &LogRange::default(), &mut |_| {});
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_changed_clock_hides_no_requested_output() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "old\nback\nlater\nlast\n").unwrap();
        let part = |times: &str, since, until| {
            std::fs::write(folder.path().join("a.times"), times).unwrap();
            let time = |seconds: u64| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
            shown(folder.path(), &LogRange { lines: None, since: time(since), until: time(until) })
        };
        let set_back = "2000 0\n1000 4\n1010 9\n1020 15\n";
        assert_eq!(part(set_back, 1005, 9000), "later\nlast\n", "output from before the clock was set is not later");
        assert_eq!(part(set_back, 1005, 1015), "later\n");
        assert_eq!(part(set_back, 900, 1015), "old\nback\nlater\n");
        assert_eq!(part(set_back, 1005, u64::MAX), "later\nlast\n");
        let set_forward_for_a_while = "1000 0\n9000 4\n1010 9\n1020 15\n";
        assert_eq!(part(set_forward_for_a_while, 1001, 1015), "back\nlater\n");
        assert_eq!(part(set_forward_for_a_while, 1016, 1030), "last\n");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the results are wall-clock times")]
    fn times_are_read_in_the_ways_people_write_them() {
        let ago = |text| SystemTime::now().duration_since(parse_since(text).unwrap()).unwrap().as_secs_f64().round();
        assert_eq!((ago("30s"), ago("10m"), ago("2h"), ago("1d")), (30.0, 600.0, 7200.0, 86_400.0));
        let day = parse_since("2001-09-09").unwrap();
        assert_eq!(parse_since("2001-09-09T01:02:03").unwrap().duration_since(day).unwrap().as_secs(), 3723);
        assert_eq!(parse_since("2001-9-9"), Some(day));
        assert_eq!(parse_since("2001-09-09 01:02").unwrap().duration_since(day).unwrap().as_secs(), 3720);
        let bad_texts = [
            "",
            "s",
            "x",
            "5y",
            "25:00",
            "1:2:3:4",
            "2001-13-01",
            "2001-02-30",
            "2001-0-1",
            "2001-1-1-1",
            "2001-1-1T",
            "1901-01-01",
            "ü",
            "999999999999999999999d",
        ];
        for bad in bad_texts {
            assert_eq!(parse_since(bad), None, "{bad}");
        }
    }
}
