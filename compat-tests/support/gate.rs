//! Receives messages from the processes of a test, so that it waits for events and not for time to pass.

use std::io::{BufRead, BufReader, Write};
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes on a loaded machine; only a failing test waits this long.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The test's own report.
const END: &str = "end";

/// Python that defines `tell(WORD)`, which reports to the gate.
const TELL: &str = "import socket
def tell(word):
    with socket.create_connection(('127.0.0.1', PORT)) as gate:
        gate.sendall(word.encode())
";

pub struct Gate {
    port: u16,
    words: Receiver<String>,
}

impl Gate {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (sender, words) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let mut word = String::new();
                if BufReader::new(connection).read_line(&mut word).is_err() || sender.send(word).is_err() {
                    return;
                }
            }
        });
        Self { port, words }
    }

    /// A Python module for the project's scripts to import as `gate`.
    pub fn module(&self) -> String {
        TELL.replace("PORT", &self.port.to_string())
    }

    /// The same for scripts of bash: the function `tell WORD`.
    pub fn bash(&self) -> String {
        format!("tell() {{ printf %s \"$1\" > /dev/tcp/127.0.0.1/{}; }}\n", self.port)
    }

    /// The next report.
    #[track_caller]
    pub fn next(&self) -> String {
        self.words.recv_timeout(PATIENCE).expect("a process should have reported by now")
    }

    /// Every report not taken yet. Processes report before they end and wait for the gate to have listened, so after
    /// their end one more report, the test's own, is the last.
    pub fn all(&self) -> Vec<String> {
        TcpStream::connect(("127.0.0.1", self.port))
            .and_then(|mut own| own.write_all(END.as_bytes()))
            .expect("the gate listens");
        iter::from_fn(|| Some(self.next()).filter(|word| word != END)).collect()
    }
}
