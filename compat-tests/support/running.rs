//! Handles a program that is still running.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::gate::PATIENCE;

pub struct Running {
    child: Child,
    /// Lines as they come; it closes when both streams came to their end.
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
        let (sender, lines) = mpsc::channel();
        pass_on(child.stdout.take().expect("it is piped"), b'\n', sender.clone());
        pass_on(child.stderr.take().expect("it is piped"), b'\n', sender);
        Self { child, lines, seen: String::new() }
    }

    /// With both streams on a terminal of 80 columns. What is drawn over itself comes as a line each time.
    pub fn start_on_terminal(command: &mut Command) -> Self {
        let model = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&model).and_then(|()| unlockpt(&model)).expect("it is this process's own");
        let name = ptsname(&model, Vec::new()).expect("it has a name");
        let user =
            File::options().read(true).write(true).open(OsStr::from_bytes(name.as_bytes())).expect("it is there");
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&user, size).expect("it is a terminal");
        command.stdout(user.try_clone().expect("a file can be copied")).stderr(user);
        let child = command.spawn().expect("the program can be started");
        // The command has this process's copies of the terminal, without which reading would never finish.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let (sender, lines) = mpsc::channel();
        pass_on(File::from(model), b'\r', sender);
        Self { child, lines, seen: String::new() }
    }

    /// Waits for a line that holds `text` and returns the line.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with `{text}` in:\n{}", self.seen)
            };
            self.seen.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id is not zero");
        kill_process(pid, signal).expect("the program still runs");
    }

    /// Waits for the end: the exit code (of a signal: 128 and its number, as a shell says) and what was printed.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push_str(&line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program did not end; it printed:\n{}", self.seen),
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ended { code, printed: std::mem::take(&mut self.seen) }
    }
}

/// Reads lines until the stream ends, in a thread of its own.
fn pass_on(stream: impl Read + Send + 'static, end: u8, sender: Sender<String>) {
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(end, &mut line).is_ok_and(|length| length > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that failed half-way leaves the program running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    /// Both streams.
    pub printed: String,
}
