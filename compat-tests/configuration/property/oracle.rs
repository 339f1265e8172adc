//! Runs one Python for thousands of questions: the interpreter of the real tox, connected by pipes.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::real_tox;

struct Talk {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

pub struct Oracle {
    talk: RefCell<Talk>,
    /// Major and minor version of its Python.
    pub version: (u64, u64),
    /// Python's `sys.platform`.
    pub platform: String,
    /// The instruction set, as Python names it.
    pub machine: String,
}

impl Oracle {
    pub fn start() -> Self {
        let python = real_tox::program(&[]).with_file_name("python");
        let mut child = Command::new(python)
            .args(["-X", "utf8", "-c", include_str!("oracle.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the Python of the real tox starts");
        let questions = child.stdin.take();
        let mut answers = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let hello = next(&mut answers);
        let number = |at: usize| hello["version"][at].as_u64().expect("a number");
        let text = |key: &str| hello[key].as_str().expect("a text").to_owned();
        let (version, platform, machine) = ((number(0), number(1)), text("platform"), text("machine"));
        Self { talk: RefCell::new(Talk { child, questions, answers }), version, platform, machine }
    }

    /// What the oracle's function `kind` makes of `question`.
    pub fn ask(&self, kind: &str, question: impl Into<Value>) -> Value {
        let Talk { questions, answers, .. } = &mut *self.talk.borrow_mut();
        let line = json!({ kind: question.into() }).to_string() + "\n";
        let pipe = questions.as_mut().expect("the pipe is open until the end");
        pipe.write_all(line.as_bytes()).expect("the oracle listens");
        next(answers)
    }
}

fn next(answers: &mut impl BufRead) -> Value {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the oracle answers in UTF-8");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("the oracle answers in JSON, not {line:?}: {error}"))
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let talk = self.talk.get_mut();
        talk.questions = None;
        let _ = talk.child.wait();
    }
}
