//! A program that was started and is still at work.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::gate::PATIENCE;

pub struct Running {
    child: Child,
    /// Standard output and standard error, whole, when each came to its end.
    output: Receiver<(&'static str, String)>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
        let (sender, output) = mpsc::channel();
        let streams: [(&str, Box<dyn Read + Send>); 2] = [
            ("stdout", Box::new(child.stdout.take().expect("it is piped"))),
            ("stderr", Box::new(child.stderr.take().expect("it is piped"))),
        ];
        for (name, mut stream) in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stream.read_to_end(&mut bytes);
                let _ = sender.send((name, String::from_utf8_lossy(&bytes).into_owned()));
            });
        }
        Self { child, output }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("a process id is not zero");
        kill_process(pid, signal).expect("the program still runs");
    }

    /// Waits for the end: the exit code (of a signal: 128 and its number, as a shell says) and what was printed.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let mut ended = Ended { code: -1, stdout: String::new(), stderr: String::new() };
        for _ in 0..2 {
            match self.output.recv_timeout(PATIENCE) {
                Ok(("stdout", text)) => ended.stdout = text,
                Ok((_, text)) => ended.stderr = text,
                Err(_) => {
                    let _ = self.child.kill();
                    panic!("the program did not end: {ended:?}");
                }
            }
        }
        let status = self.child.wait().expect("it can be waited for");
        ended.code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        ended
    }
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
    pub stdout: String,
    pub stderr: String,
}
