//! Serves the files of a folder on a local web server, for tests of downloads. It ends with the tests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::machine::HOST_PYTHON;

pub struct Web {
    pub folder: PathBuf,
    /// With the port, without a slash at its end.
    pub address: String,
    is_out_of_reach: Arc<AtomicBool>,
}

impl Web {
    /// Serves `folder`, which a Python program fills: its arguments are the folder and the server's address. Who asks has
    /// to name the token, if there is one.
    pub fn new(folder: PathBuf, program: &str, token: Option<&'static str>) -> Self {
        fs::create_dir_all(&folder).expect("the project can be written");
        let (door, port) = door();
        let address = format!("127.0.0.1:{port}");
        let status = Command::new(&*HOST_PYTHON).args(["-c", program]).arg(&folder).arg(&address).status();
        assert!(status.expect("Python starts").success());
        let is_out_of_reach = Arc::new(AtomicBool::new(false));
        let (served, closed) = (folder.clone(), Arc::clone(&is_out_of_reach));
        std::thread::spawn(move || {
            for visitor in door.incoming().flatten() {
                // The port stays ours, so that no other process answers there.
                if !closed.load(Ordering::SeqCst) {
                    answer(visitor, &served, token);
                }
            }
        });
        Self { folder, address, is_out_of_reach }
    }

    /// From now on it says nothing.
    pub fn close(&self) {
        self.is_out_of_reach.store(true, Ordering::SeqCst);
    }

    /// It answers again.
    pub fn reopen(&self) {
        self.is_out_of_reach.store(false, Ordering::SeqCst);
    }
}

/// A free port. Bundler takes an address with one of these numbers in it for a response with that status.
fn door() -> (TcpListener, u16) {
    let mut doors: Vec<(TcpListener, u16)> = Vec::new();
    loop {
        let door = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = door.local_addr().expect("it is bound").port();
        if ["401", "403"].iter().all(|status| !port.to_string().contains(status)) {
            return (door, port);
        }
        // Kept, so that the next one is another.
        doors.push((door, port));
    }
}

fn answer(mut visitor: TcpStream, folder: &Path, token: Option<&str>) {
    let lines: Vec<String> =
        BufReader::new(&visitor).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let is_known = token.is_none_or(|token| {
        lines.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: bearer {token}")))
    });
    let content = fs::read(folder.join(path.trim_start_matches('/'))).ok();
    let (status, body) = match content {
        _ if !is_known => ("401 Unauthorized", Vec::new()),
        Some(content) => ("200 OK", content),
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = visitor.write_all(head.as_bytes()).and_then(|()| visitor.write_all(&body));
}
