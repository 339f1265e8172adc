//! Sends requests to a service on the network through the Python that is present anyway: it uses the user's proxies and
//! certificates.

use std::ffi::OsString;
use std::io::{ErrorKind, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{self, ChildInput, Spawn};
use crate::model::EnvVariables;

/// Sends its standard input to the URL and prints the response.
const SCRIPT: &str = r#"
import http.client
import shutil
import sys
import urllib.error
import urllib.request
body = sys.stdin.buffer.read()
headers = {"Content-Type": "application/json", "User-Agent": "envo"}
request = urllib.request.Request(sys.argv[1], data=body or None, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        shutil.copyfileobj(answer, sys.stdout.buffer)
except urllib.error.HTTPError as error:
    sys.exit(str(error))
except (OSError, http.client.HTTPException) as error:
    sys.stderr.write(str(error) or type(error).__name__)
    sys.exit(3)
except Exception as error:
    sys.exit(str(error))
"#;

/// The usual time limit of a response.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The maximum size of a response.
const LARGEST: usize = 64 * 1024 * 1024;

/// The script's exit code if the service is unreachable.
const UNREACHABLE_CODE: i32 = 3;

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceError {
    /// No response: no network, no such host, a refused, broken or untrusted connection.
    Unreachable(String),
    /// Anything else, such as an error response.
    Failed(String),
}

/// Sends requests.
#[derive(Debug, Clone, Copy)]
pub struct VulnerabilityService<'a> {
    /// A Python 3.
    pub python: &'a Path,
    pub variables: &'a EnvVariables,
    pub interrupt: &'a Interrupt,
    /// The time limit from the request to the end of the response.
    pub patience: Duration,
}

impl VulnerabilityService<'_> {
    /// The response of `url`, to `body` if there is one.
    pub fn request(&self, url: &str, body: Option<&Value>) -> Result<Value, ServiceError> {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(ServiceError::Failed(format!("`{url}` is not an HTTP URL")));
        }
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::TimedOut => {
                ServiceError::Unreachable(format!("{url}: no whole answer came in {} s", self.patience.as_secs()))
            }
            ErrorKind::FileTooLarge => {
                ServiceError::Failed(format!("{url}: the answer is larger than {} MB", LARGEST / (1024 * 1024)))
            }
            _ => ServiceError::Failed(format!("{url}: {error}")),
        };
        let arguments = ["-I".into(), "-c".into(), SCRIPT.into(), OsString::from(url)];
        let mut spawn = Spawn::new(self.python, arguments, self.variables.clone());
        if let Some(body) = body {
            let mut file = tempfile::tempfile().map_err(failed)?;
            file.write_all(body.to_string().as_bytes()).and_then(|()| file.rewind()).map_err(failed)?;
            spawn.stdin = ChildInput::From(file.into());
        }
        let (code, answer, error) =
            process::finish_within(spawn, self.interrupt, self.patience, LARGEST).map_err(failed)?;
        let reason = || format!("{url}: {}", String::from_utf8_lossy(&error).trim());
        match code {
            0 => serde_json::from_slice(&answer)
                .map_err(|error| ServiceError::Failed(format!("{url}: its response is not valid JSON: {error}"))),
            UNREACHABLE_CODE => Err(ServiceError::Unreachable(reason())),
            _ => Err(ServiceError::Failed(reason())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The result of a request to a server that responds like this, repeatedly, until the client disconnects.
    fn asked(head: &'static [u8], again: &'static [u8], patience: Duration) -> Result<Value, ServiceError> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("http://{address}/");
        let server = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(head);
            while !again.is_empty() && client.write_all(again).is_ok() {}
            // Sends nothing more and waits for the client to disconnect.
            while client.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
        });
        let (variables, interrupt) = (crate::execute::environment::host(), Interrupt::default());
        let service = VulnerabilityService {
            python: Path::new("python3"),
            variables: &variables,
            interrupt: &interrupt,
            patience,
        };
        let answer = service.request(&url, None);
        // Ends the server's wait for a client that was killed before it connected.
        drop(TcpStream::connect(address));
        server.join().unwrap();
        answer
    }

    #[test]
    fn an_answer_without_an_end_is_none() {
        const ZEROS: &[u8] = &[0; 1 << 20];
        let long = Duration::from_secs(600);
        let endless = asked(b"HTTP/1.1 200 OK\r\n\r\n", ZEROS, long);
        let Err(ServiceError::Failed(reason)) = endless else { panic!("{endless:?}") };
        assert!(reason.ends_with(": the answer is larger than 64 MB"), "{reason}");
        // In the middle of its body, and of its head.
        for head in [&b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"[..], b"HTTP/1.1 200 OK\r\nX"] {
            let slow = asked(head, b"", Duration::from_secs(1));
            let Err(ServiceError::Unreachable(reason)) = slow else { panic!("{slow:?}") };
            assert!(reason.ends_with(": no whole answer came in 1 s"), "{reason}");
        }
    }
}
