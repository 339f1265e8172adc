//! The messages between envo and a shim: a task first, then requests, and events in reply. It does not know
//! about pipes.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::model::EnvVariables;

/// More than the system takes as arguments and variables of a program.
const LARGEST_TASK: usize = 64 * 1024 * 1024;

/// What a shim must start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShimTask {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    pub cwd: PathBuf,
    /// Where the shim writes the output after envo is gone.
    pub log: PathBuf,
    pub variables: EnvVariables,
    /// The number of the signal that asks the service to end.
    pub stop_signal: i32,
}

impl ShimTask {
    pub fn write(&self, target: &mut impl Write) -> io::Result<()> {
        let mut body = Vec::new();
        let mut put = |part: &OsStr| {
            body.extend((part.len() as u32).to_le_bytes());
            body.extend(part.as_bytes());
        };
        put(OsStr::new(&self.stop_signal.to_string()));
        put(self.cwd.as_os_str());
        put(self.log.as_os_str());
        put(OsStr::new(&self.arguments.len().to_string()));
        put(&self.program);
        self.arguments.iter().for_each(|one| put(one));
        for (name, value) in self.variables.iter() {
            put(name);
            put(value);
        }
        let mut message = (body.len() as u32).to_le_bytes().to_vec();
        message.append(&mut body);
        target.write_all(&message)
    }

    pub fn read(source: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        source.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LARGEST_TASK {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut body = vec![0; length];
        source.read_exact(&mut body)?;
        Self::parse(&body).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn parse(body: &[u8]) -> Option<Self> {
        let mut parts = LengthPrefixed(body);
        let stop_signal = parts.number()?;
        let cwd = PathBuf::from(parts.next()?);
        let log = PathBuf::from(parts.next()?);
        let count: usize = parts.number()?;
        let program = parts.next()?;
        let arguments: Option<Vec<OsString>> = (0..count).map(|_| parts.next()).collect();
        let mut variables = EnvVariables::default();
        while let Some(name) = parts.next() {
            variables.set(name, parts.next()?);
        }
        Some(Self { program, arguments: arguments?, cwd, log, variables, stop_signal })
    }
}

/// Texts, each after its length.
struct LengthPrefixed<'a>(&'a [u8]);

impl LengthPrefixed<'_> {
    fn number<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.next()?.to_str()?.parse().ok()
    }
}

impl Iterator for LengthPrefixed<'_> {
    type Item = OsString;

    fn next(&mut self) -> Option<OsString> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(OsString::from_vec(part.to_vec()))
    }
}

/// A request to a shim. The end of the pipe is a request too: envo is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimRequest {
    /// Send the stop signal to every process.
    Stop,
    /// Kill every process.
    Kill,
}

impl ShimRequest {
    pub fn byte(self) -> u8 {
        match self {
            Self::Stop => b's',
            Self::Kill => b'k',
        }
    }

    /// `None`: there will be no more requests.
    pub fn read(source: &mut impl Read) -> Option<Self> {
        let mut byte = [0];
        loop {
            match source.read(&mut byte) {
                Ok(1) if byte[0] == b's' => return Some(Self::Stop),
                Ok(1) => return Some(Self::Kill),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return None,
            }
        }
    }
}

/// An event from a shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShimEvent {
    /// The service runs.
    Started {
        /// The number of its first process.
        leader: u32,
        /// That of the shim itself.
        shim: u32,
    },
    /// It cannot be started, for this reason (`errno`).
    NotStarted(i32),
    /// The first process has ended with this code, or minus the number of a signal.
    Exited(i32),
    /// No process is left.
    Gone,
}

impl ShimEvent {
    pub fn to_line(self) -> String {
        match self {
            Self::Started { leader, shim } => format!("started {leader}/{shim}\n"),
            Self::NotStarted(errno) => format!("failed {errno}\n"),
            Self::Exited(code) => format!("exited {code}\n"),
            Self::Gone => "gone 0\n".to_owned(),
        }
    }

    pub fn from_line(line: &[u8]) -> Option<Self> {
        let (word, number) = std::str::from_utf8(line).ok()?.trim_end().split_once(' ')?;
        match word {
            "started" => {
                let (leader, shim) = number.split_once('/')?;
                Some(Self::Started { leader: leader.parse().ok()?, shim: shim.parse().ok()? })
            }
            "failed" => number.parse().ok().map(Self::NotStarted),
            "exited" => number.parse().ok().map(Self::Exited),
            "gone" => Some(Self::Gone),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_arrives_as_it_was_sent_whatever_bytes_are_in_it() {
        let mut variables = EnvVariables::default();
        variables.set("EMPTY", "");
        variables.set("BYTES", OsString::from_vec(vec![0xff, b'\n', b'=']));
        let task = ShimTask {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "".into(), OsString::from_vec(vec![0xfe])],
            cwd: "/a b".into(),
            log: "/a.log".into(),
            variables,
            stop_signal: 15,
        };
        let mut sent = Vec::new();
        task.write(&mut sent).unwrap();
        assert_eq!(ShimTask::read(&mut sent.as_slice()).unwrap(), task);
        for length in 0..sent.len() {
            assert!(ShimTask::read(&mut &sent[..length]).is_err(), "cut at {length}");
        }
        assert!(ShimTask::read(&mut [0xff; 64].as_slice()).is_err());
        assert!(ShimTask::read(&mut [4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff].as_slice()).is_err());
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        for event in [
            ShimEvent::Started { leader: 7, shim: 6 },
            ShimEvent::NotStarted(2),
            ShimEvent::Exited(-15),
            ShimEvent::Gone,
        ] {
            assert_eq!(ShimEvent::from_line(event.to_line().as_bytes()), Some(event));
        }
        for nonsense in ["", "exited", "exited x", "thread 'main' panicked", "started -1", "started 5", "started 5/"] {
            assert_eq!(ShimEvent::from_line(nonsense.as_bytes()), None);
        }
    }

    #[test]
    fn the_end_of_the_pipe_ends_the_orders() {
        let bytes = [ShimRequest::Stop.byte(), ShimRequest::Kill.byte()];
        let mut source = bytes.as_slice();
        assert_eq!(ShimRequest::read(&mut source), Some(ShimRequest::Stop));
        assert_eq!(ShimRequest::read(&mut source), Some(ShimRequest::Kill));
        assert_eq!(ShimRequest::read(&mut source), None);
    }
}
