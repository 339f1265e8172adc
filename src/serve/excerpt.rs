//! A part of a log that is there already: its last lines, or what was written since some time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::follow::{Start, Tail};
use super::log;

/// How much is read at once, from the end of the log towards its beginning.
const STEP: u64 = 64 * 1024;

/// Which part of a log is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Excerpt {
    /// Only so many of the last lines.
    pub lines: Option<usize>,
    /// Only what was written since then, to the second.
    pub since: Option<SystemTime>,
}

/// The part, and where the log goes on. A last line that has no end yet belongs to what follows.
///
/// # Errors
/// When the log cannot be read.
pub fn excerpt(log_dir: &Path, name: &str, wanted: &Excerpt) -> io::Result<(Vec<u8>, Tail)> {
    let mut tail = Tail::new(log_dir, name.to_owned(), Start::Beginning);
    let mut file = File::open(tail.path())?;
    let length = file.metadata()?.len();
    let mut begin = match wanted.since {
        Some(since) => log::written_since(tail.path(), since).unwrap_or(length),
        None => 0,
    };
    if let Some(lines) = wanted.lines {
        begin = begin.max(last_lines(&mut file, length, lines)?);
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(begin))?;
    file.take(length - begin).read_to_end(&mut bytes)?;
    if bytes.last().is_some_and(|byte| *byte != b'\n') {
        bytes.push(b'\n');
    }
    tail.begin_at(length);
    Ok((bytes, tail))
}

/// Where the last `count` lines begin.
fn last_lines(file: &mut File, length: u64, count: usize) -> io::Result<u64> {
    if count == 0 {
        return Ok(length);
    }
    let mut end = length;
    let mut found = 0;
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(begin))?;
        file.by_ref().take(end - begin).read_to_end(&mut block)?;
        for (at, byte) in block.iter().enumerate().rev() {
            let position = begin + at as u64;
            // The end of the last line itself begins none.
            if *byte == b'\n' && position + 1 < length {
                found += 1;
                if found == count {
                    return Ok(position + 1);
                }
            }
        }
        end = begin;
    }
    Ok(0)
}

/// A time in the past: how long ago (`30s`, `10m`, `2h`, `1d`), a time of today (`12:00`, `12:00:05`) or of a day
/// (`2026-05-01`, `2026-05-01T12:00`), in the zone of this machine.
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
    let seconds = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    // SAFETY: all fields of this structure may be zero; the call fills it and touches nothing else.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::localtime_r(&seconds, &mut parts) };
    (parts.tm_hour, parts.tm_min, parts.tm_sec, parts.tm_isdst) = (0, 0, 0, -1);
    let number = |text: Option<&str>, most: i32| -> Option<i32> {
        text?.parse().ok().filter(|number| (0..=most).contains(number))
    };
    if let Some(day) = day {
        let mut fields = day.split('-');
        parts.tm_year = number(fields.next(), 9999)? - 1900;
        parts.tm_mon = number(fields.next(), 12)? - 1;
        parts.tm_mday = number(fields.next(), 31)?;
        fields.next().is_none().then_some(())?;
    }
    if let Some(time) = time {
        let mut fields = time.split(':');
        parts.tm_hour = number(fields.next(), 23)?;
        parts.tm_min = number(fields.next(), 59)?;
        parts.tm_sec = if let Some(seconds) = fields.next() { number(Some(seconds), 60)? } else { 0 };
        fields.next().is_none().then_some(())?;
    }
    // SAFETY: the pointer is valid for the call.
    let seconds = unsafe { libc::mktime(&mut parts) };
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, lines: Option<usize>) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), text).unwrap();
        let (bytes, _) = excerpt(folder.path(), "a", &Excerpt { lines, since: None }).unwrap();
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
    fn what_was_written_since_a_time_is_found_to_the_second() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.log"), "old\nnew\n").unwrap();
        std::fs::write(folder.path().join("a.times"), "1000 0\n2000 4\n").unwrap();
        let since = |seconds| {
            let since = Some(UNIX_EPOCH + Duration::from_secs(seconds));
            let (bytes, _) = excerpt(folder.path(), "a", &Excerpt { lines: None, since }).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!((since(500), since(1500), since(3000)), ("old\nnew\n".into(), "new\n".into(), String::new()));
    }

    #[test]
    fn times_are_read_in_the_ways_people_write_them() {
        let ago = |text| SystemTime::now().duration_since(parse_since(text).unwrap()).unwrap().as_secs_f64().round();
        assert_eq!((ago("30s"), ago("10m"), ago("2h"), ago("1d")), (30.0, 600.0, 7200.0, 86_400.0));
        let day = parse_since("2001-09-09").unwrap();
        assert_eq!(parse_since("2001-09-09T01:02:03").unwrap().duration_since(day).unwrap().as_secs(), 3723);
        assert_eq!(parse_since("2001-09-09 01:02").unwrap().duration_since(day).unwrap().as_secs(), 3720);
        for bad in ["", "s", "x", "5y", "25:00", "1:2:3:4", "2001-13-01", "2001-1-1-1", "ü", "999999999999999999999d"]
        {
            assert_eq!(parse_since(bad), None, "{bad}");
        }
    }
}
