//! Connections that end at their deadline or on cancellation, whatever the other side does.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, connect, sockopt};

use crate::platform::sockets;
use crate::serve::probe::CancellableWait;
use crate::serve::probe::observation::ProbeObservation;

/// The deadline of an attempt, and its cancellation.
#[derive(Debug, Clone)]
pub struct ProbeLimits {
    begin: Instant,
    deadline: Instant,
    cancel: CancellableWait,
}

impl ProbeLimits {
    pub fn new(time: Duration, cancel: &CancellableWait) -> Self {
        let begin = Instant::now();
        // Times in settings are at most a year.
        Self { begin, deadline: begin + time, cancel: cancel.clone() }
    }

    /// The same, with at most this much time left.
    #[must_use]
    pub fn at_most(&self, time: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + time), ..self.clone() }
    }

    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub fn cancel(&self) -> &CancellableWait {
        &self.cancel
    }

    /// Waits until a descriptor is as `flags` say.
    fn wait(&self, what: &impl AsFd, flags: PollFlags) -> io::Result<()> {
        loop {
            let left = self.left();
            if self.cancel.wait_for_any(&[(what.as_fd(), flags)], left) == [true] {
                return Ok(());
            }
            if left.is_zero() || self.cancel.is_cancelled() {
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }

    /// What an error means for the probe.
    pub fn seen(&self, error: &io::Error) -> ProbeObservation {
        match error.kind() {
            ErrorKind::ConnectionRefused => ProbeObservation::Refused { listens: None },
            ErrorKind::TimedOut if self.left().is_zero() => ProbeObservation::Silence(self.begin.elapsed()),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                ProbeObservation::Trouble("the connection was reset".to_owned())
            }
            _ => ProbeObservation::Trouble(error.to_string()),
        }
    }
}

/// A connection that waits no longer than its deadline.
#[derive(Debug)]
pub struct ProbeConnection {
    stream: TcpStream,
    pub patience: ProbeLimits,
}

impl Read for ProbeConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.patience.wait(&self.stream, PollFlags::IN)?
                }
                other => return other,
            }
        }
    }
}

impl Write for ProbeConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.patience.wait(&self.stream, PollFlags::OUT)?;
                }
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to the first address of `host` that accepts one. The addresses share the time.
pub fn connect_tcp(host: &str, port: u16, patience: &ProbeLimits) -> Result<ProbeConnection, ProbeObservation> {
    let addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| ProbeObservation::Trouble(format!("`{host}` cannot be resolved: {error}")))?
        .collect();
    let mut seen = ProbeObservation::Trouble(format!("`{host}` has no address"));
    for (at, address) in addresses.iter().enumerate() {
        let share = patience.left() / u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let own = patience.at_most(share);
        match connect_to(address, &own) {
            Ok(stream) => return Ok(ProbeConnection { stream: stream.into(), patience: patience.clone() }),
            Err(error) => seen = own.seen(&error),
        }
    }
    Err(seen)
}

fn connect_to(address: &SocketAddr, patience: &ProbeLimits) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = sockets::nonblocking(family)?;
    match connect(&socket, address) {
        Err(Errno::INPROGRESS | Errno::INTR) => {
            patience.wait(&socket, PollFlags::OUT)?;
            sockopt::socket_error(&socket)??;
        }
        other => other?,
    }
    Ok(socket)
}

/// Whether a Unix socket accepts connections. One whose queue is full does not.
pub fn connect_unix(path: &Path) -> Result<(), ProbeObservation> {
    let connected = SocketAddrUnix::new(path).map_err(io::Error::from).and_then(|address| {
        let socket = sockets::nonblocking(AddressFamily::UNIX)?;
        connect(&socket, &address).map_err(io::Error::from)
    });
    connected.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => ProbeObservation::Refused { listens: None },
        ErrorKind::NotFound => ProbeObservation::Trouble("there is no such socket".to_owned()),
        ErrorKind::WouldBlock => ProbeObservation::Trouble("it does not accept connections".to_owned()),
        ErrorKind::InvalidFilename => ProbeObservation::Trouble("the path is too long for a socket".to_owned()),
        _ => ProbeObservation::Trouble(error.to_string()),
    })
}
