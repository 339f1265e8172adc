//! Asking a service on the network, through the Python that is there anyway: it knows the user's proxies and
//! certificates.

use std::ffi::OsString;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{self, Input, Spawn};
use crate::model::Variables;

/// Sends what it reads to the address it is given and prints the answer.
const SCRIPT: &str = r#"
import http.client
import sys
import urllib.error
import urllib.request
body = sys.stdin.buffer.read()
headers = {"Content-Type": "application/json", "User-Agent": "envo"}
request = urllib.request.Request(sys.argv[1], data=body or None, headers=headers)
try:
    with urllib.request.urlopen(request, timeout=30) as answer:
        sys.stdout.buffer.write(answer.read())
except urllib.error.HTTPError as error:
    sys.exit(str(error))
except (OSError, http.client.HTTPException) as error:
    sys.stderr.write(str(error) or type(error).__name__)
    sys.exit(3)
except Exception as error:
    sys.exit(str(error))
"#;

/// The script's exit code when nobody answered.
const NOBODY: i32 = 3;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceError {
    /// Nobody answered: no network, no such host, a refused, broken or untrusted connection.
    Unreachable(String),
    /// Anything else, such as an answer that is an error.
    Failed(String),
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// A Python 3.
    pub python: &'a Path,
    pub variables: &'a Variables,
    pub interrupt: &'a Interrupt,
}

impl Service<'_> {
    /// The answer at `url`, to `body` if there is one.
    ///
    /// # Errors
    /// When there is none, or it is no JSON.
    pub fn ask(&self, url: &str, body: Option<&Value>) -> Result<Value, ServiceError> {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(ServiceError::Failed(format!("`{url}` is no http address")));
        }
        let failed = |error: std::io::Error| ServiceError::Failed(format!("{url}: {error}"));
        let arguments = ["-I".into(), "-c".into(), SCRIPT.into(), OsString::from(url)];
        let mut spawn = Spawn::new(self.python, arguments, self.variables.clone());
        if let Some(body) = body {
            let mut file = tempfile::tempfile().map_err(failed)?;
            file.write_all(body.to_string().as_bytes()).and_then(|()| file.rewind()).map_err(failed)?;
            spawn.stdin = Input::From(file.into());
        }
        let (code, answer, error) = process::finish_or_kill(spawn, self.interrupt).map_err(failed)?;
        let reason = || format!("{url}: {}", String::from_utf8_lossy(&error).trim());
        match code {
            0 => serde_json::from_slice(&answer)
                .map_err(|error| ServiceError::Failed(format!("{url}: its answer is no JSON: {error}"))),
            NOBODY => Err(ServiceError::Unreachable(reason())),
            _ => Err(ServiceError::Failed(reason())),
        }
    }
}
