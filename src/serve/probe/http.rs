//! The part of HTTP/1.1 (RFC 9112) that a probe needs: one GET, of whose response only the status line
//! counts.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::serve::probe::limits::{ProbeLimits, connect_tcp};
use crate::serve::probe::observation::{ProbeObservation, excerpt};
use crate::serve::probe::tls::TlsConnection;

/// The longest status line that is read, and the most interim data before the last one.
const LONGEST_LINE: usize = 4096;
const LONGEST_HEADS: usize = 64 * 1024;
/// How much of the rest of a response is read, and for how long.
const LONGEST_REST: usize = 256 * 1024;
const REST_PATIENCE: Duration = Duration::from_millis(20);

/// The parts of an `http://` or `https://` address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeUrl {
    secure: bool,
    host: String,
    port: u16,
    /// The host and port as written in the address, for the `Host` header.
    authority: String,
    /// Path and query.
    target: String,
}

impl ProbeUrl {
    pub fn parse(text: &str) -> Result<Self, String> {
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or_else(|| format!("`{text}` is no http address"))?),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("`{port}` in `{text}` is not a port"))?)
            }
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(format!("`{text}` has no host"));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        // Characters that are not allowed in a request line would end it.
        let target: String =
            format!("{slash}{target}").chars().map(|c| if c.is_control() || c == ' ' { '+' } else { c }).collect();
        let bare = host.contains(':') && !authority.starts_with('[');
        let authority = if bare { authority.replacen(host, &format!("[{host}]"), 1) } else { authority.to_owned() };
        Ok(Self { secure, host: host.to_owned(), port, authority, target })
    }
}

/// Whether the address responds with 2xx or 3xx, or with exactly `status`; the error is what it does instead.
pub fn answers(url: &ProbeUrl, expected: Option<u16>, patience: &ProbeLimits) -> Result<(), ProbeObservation> {
    let wire = connect_tcp(&url.host, url.port, patience)?;
    let connection = match url.secure {
        true => TlsConnection::secured(wire, &url.host)
            .ok_or_else(|| ProbeObservation::Trouble("TLS is not available".to_owned()))?,
        false => TlsConnection::Plain(wire),
    };
    let answered = status_of(connection, url)?;
    match expected {
        Some(status) if answered == status => Ok(()),
        None if (200..400).contains(&answered) => Ok(()),
        _ => Err(ProbeObservation::Status { answered, expected }),
    }
}

fn status_of(mut connection: TlsConnection, url: &ProbeUrl) -> Result<u16, ProbeObservation> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: envo\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.target, url.authority
    );
    let asked = connection.write_all(request.as_bytes());
    let mut answer = Answer { connection, buffer: Vec::with_capacity(256), taken: 0 };
    let status = match asked.and_then(|()| answer.status()) {
        Ok(status) => status?,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(ProbeObservation::Trouble(format!("no TLS: {error}")));
        }
        Err(error) => return Err(answer.connection.wire().patience.seen(&error)),
    };
    // The status is known; a connection that could not be read to its end does not change it.
    let _ = read_rest(answer.connection);
    Ok(status)
}

/// The response, read line by line until the timeout of the connection.
struct Answer {
    connection: TlsConnection,
    buffer: Vec<u8>,
    /// How much has been read.
    taken: usize,
}

impl Answer {
    /// The status, after any interim ones (RFC 9110, 15.2), each of which has its own header.
    fn status(&mut self) -> io::Result<Result<u16, ProbeObservation>> {
        loop {
            let line = self.line()?;
            match parse_status(&line) {
                None => return Ok(Err(no_status(&line))),
                Some(status) if !is_interim(status) => return Ok(Ok(status)),
                Some(status) => {
                    let is_field = |line: &[u8]| line.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                    while self.taken <= LONGEST_HEADS && is_field(&self.line()?) {}
                    if self.taken > LONGEST_HEADS {
                        let text = format!("no status came after {status} in {LONGEST_HEADS} bytes");
                        return Ok(Err(ProbeObservation::Trouble(text)));
                    }
                }
            }
        }
    }

    /// The next line with its end, or the rest if the response ends or the line is too long.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut block = [0; 256];
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Ok(self.buffer.drain(..=at).collect());
            }
            if self.buffer.len() >= LONGEST_LINE {
                return Ok(std::mem::take(&mut self.buffer));
            }
            match self.connection.read(&mut block)? {
                0 => return Ok(std::mem::take(&mut self.buffer)),
                read => {
                    self.taken += read;
                    self.buffer.extend_from_slice(&block[..read]);
                }
            }
        }
    }
}

/// Whether another status follows. envo never asks to switch protocols, so 101 would be the last.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// What was received instead of a status line.
fn no_status(line: &[u8]) -> ProbeObservation {
    let text = String::from_utf8_lossy(line);
    let first = text.lines().next().unwrap_or_default();
    ProbeObservation::Trouble(match first.is_empty() {
        true => "the connection was closed without an answer".to_owned(),
        false => format!("the answer is not HTTP: `{}`", excerpt(first)),
    })
}

/// Reads until the service has sent its whole response: a service whose output is refused logs an error.
fn read_rest(mut connection: TlsConnection) -> io::Result<()> {
    let patience = connection.wire().patience.at_most(REST_PATIENCE);
    connection.wire().patience = patience;
    let mut buffer = [0; 4096];
    let mut taken = 0;
    while taken < LONGEST_REST {
        match connection.read(&mut buffer)? {
            0 => break,
            read => taken += read,
        }
    }
    Ok(())
}

/// The code in `HTTP/1.1 204 No Content`.
fn parse_status(line: &[u8]) -> Option<u16> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let text = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/")?;
    let code = text.split_ascii_whitespace().nth(1)?;
    code.parse().ok().filter(|code| (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    use super::*;
    use crate::serve::probe::CancellableWait;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |text: &str| {
            let url = ProbeUrl::parse(text).unwrap();
            (url.host, url.port, url.authority, url.target)
        };
        let own = |host: &str, port, authority: &str, target: &str| {
            (host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        assert_eq!(parts("http://a:81/b?c=d#e"), own("a", 81, "a:81", "/b?c=d"));
        assert_eq!(parts("http://[::1]:80"), own("::1", 80, "[::1]:80", "/"));
        assert_eq!(parts("http://[::1]/x"), own("::1", 80, "[::1]", "/x"));
        assert_eq!(parts("http://::1:81/x"), own("::1", 81, "[::1]:81", "/x"));
        assert_eq!(parts("http://me:secret@a?x y\r\nEvil: 1"), own("a", 80, "a", "/?x+y++Evil:+1"));
        assert_eq!(parts("https://a/x"), own("a", 443, "a", "/x"));
        for bad in ["https://", "http://", "http:///x", "http://a:x", "http://a:99999", "tcp://a"] {
            assert!(ProbeUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_can_finish_its_response() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = ProbeUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let service = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            assert!(client.read(&mut [0; 4096]).unwrap() > 0);
            client.write_all(b"HTTP/1.0 200 OK\r\n").unwrap();
            client.write_all(&[b'x'; 100_000]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            // A client that closed without reading everything would have reset the connection.
            client.read(&mut [0; 16])
        });
        let (cancel, _canceller) = CancellableWait::new().unwrap();
        assert_eq!(answers(&url, None, &ProbeLimits::new(Duration::from_secs(10), &cancel)), Ok(()));
        assert_eq!(service.join().unwrap().unwrap(), 0);
    }

    #[test]
    fn the_status_is_the_one_after_interim_ones() {
        let answered = |parts: &'static [&[u8]]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = ProbeUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
            let service = thread::spawn(move || {
                let (mut client, _) = listener.accept().unwrap();
                assert!(client.read(&mut [0; 4096]).unwrap() > 0);
                // The client closes as soon as it has read enough.
                let _ = parts.iter().try_for_each(|part| client.write_all(part));
            });
            let (cancel, _canceller) = CancellableWait::new().unwrap();
            let answered = answers(&url, None, &ProbeLimits::new(Duration::from_secs(60), &cancel));
            service.join().unwrap();
            answered
        };
        assert_eq!(answered(&[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]), Ok(()));
        let hints: &[&[u8]] = &[
            b"HTTP/1.1 102 Processing\n\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n",
            b"\r",
            b"\nHTTP/1.1 503 No\r\n",
        ];
        assert_eq!(answered(hints), Err(ProbeObservation::Status { answered: 503, expected: None }));
        assert_eq!(
            answered(&[b"HTTP/1.1 101 Other\r\n\r\n"]),
            Err(ProbeObservation::Status { answered: 101, expected: None })
        );
        let closed = Err(ProbeObservation::Trouble("the connection was closed without an answer".to_owned()));
        assert_eq!(answered(&[b"HTTP/1.1 100 Continue\r\n\r\n"]), closed);
        const ENDLESS: &[u8] = &[b'x'; 2 * LONGEST_HEADS];
        let too_much = Err(ProbeObservation::Trouble("no status came after 100 in 65536 bytes".to_owned()));
        assert_eq!(answered(&[b"HTTP/1.1 100 Continue\r\nX: ", ENDLESS]), too_much);
        static MANY: [&[u8]; 5000] = [b"HTTP/1.1 100 Continue\r\n\r\n"; 5000];
        assert_eq!(answered(&MANY), too_much);
    }

    #[test]
    fn only_a_status_line_is_one() {
        assert_eq!(parse_status(b"HTTP/1.0 204 No Content\r\nX: y\r\n"), Some(204));
        assert_eq!(parse_status(b"HTTP/1.1 200\r\n"), Some(200));
        for bad in [&b""[..], b"HTTP/1.1", b"HTTP/1.1 abc", b"SSH-2.0-OpenSSH", b"\xff\xfe", b"HTTP/1.1 9999 x"] {
            assert_eq!(parse_status(bad), None);
        }
    }
}
