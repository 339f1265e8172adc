//! Has uv install interpreters if none fits and the user asked for it (`--install-python`).
//! [`crate::runtime::python::folder_guess`] finds them afterwards.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use parking_lot::Mutex;

use crate::execute::interrupt::Interrupt;
use crate::execute::process;
use crate::model::python_spec::canonical_machine;
use crate::model::{EnvVariables, PythonSpec};

/// Implementations that uv can install.
const IMPLEMENTATIONS: [&str; 3] = ["cpython", "pypy", "graalpy"];

/// The requests to uv, and why they failed.
#[derive(Debug, Default)]
pub struct ManagedPythons {
    /// The lock is held while uv runs: two environments that need the same interpreter wait for one installation.
    asked: Mutex<HashMap<String, Result<(), String>>>,
}

impl ManagedPythons {
    /// Has uv install `request`, once for all environments of a run.
    pub fn install(
        &self,
        request: &str,
        uv: &Path,
        variables: &EnvVariables,
        interrupt: &Interrupt,
    ) -> Result<(), String> {
        let mut asked = self.asked.lock();
        if let Some(answer) = asked.get(request) {
            return answer.clone();
        }
        let answer = run(request, uv, variables, interrupt);
        if !interrupt.requested() {
            asked.insert(request.to_owned(), answer.clone());
        }
        answer
    }
}

fn run(request: &str, uv: &Path, variables: &EnvVariables, interrupt: &Interrupt) -> Result<(), String> {
    let mut variables = variables.clone();
    // The interpreter is for environments only and does not belong on the user's PATH.
    for (name, value) in [("UV_PYTHON_INSTALL_BIN", "0"), ("UV_NO_PROGRESS", "1"), ("NO_COLOR", "1")] {
        variables.set(name, value);
    }
    let arguments = ["python", "install", request].map(OsStr::new);
    let command = format!("`uv python install {request}`");
    let (code, text) = process::run_until_interrupt(uv, &arguments, &variables, interrupt)
        .map_err(|error| format!("{command} could not be run with {}: {error}", uv.display()))?;
    if code == 0 { Ok(()) } else { Err(format!("{command} failed: {}", cause(&String::from_utf8_lossy(&text)))) }
}

/// The error and its root cause, from the chain of causes that uv prints.
fn cause(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            let line = line.trim();
            ["error: ", "cause: ", "Caused by: "].iter().find_map(|word| line.strip_prefix(word)).unwrap_or(line)
        })
        .filter(|line| !line.is_empty())
        .collect();
    match lines[..] {
        [] => "it did not say why".to_owned(),
        [only] => only.to_owned(),
        [first, .., last] => format!("{first} ({last})"),
    }
}

/// The request to uv for an interpreter that satisfies `text`.
pub fn request(text: &str) -> Result<String, String> {
    let spec = PythonSpec::parse(text);
    if spec.path.is_some() {
        return Err(format!("`{text}` is the path of an interpreter, which uv cannot install"));
    }
    let implementation = spec.implementation.as_deref().unwrap_or("cpython").to_lowercase();
    if !IMPLEMENTATIONS.contains(&implementation.as_str()) {
        return Err(format!("uv cannot install {implementation}"));
    }
    let own = canonical_machine(std::env::consts::ARCH);
    let is_foreign = spec.machine.as_ref().is_some_and(|machine| *machine != own);
    if is_foreign || spec.architecture.is_some_and(|bits| bits != usize::BITS) {
        return Err(format!("`{text}` asks for another architecture than {own}, and uv installs only what runs here"));
    }
    let numbers = [spec.major, spec.minor, spec.micro];
    let version: Vec<String> = numbers.iter().flatten().map(u32::to_string).collect();
    let mut request = implementation;
    match &spec.specifier {
        Some(specifier) => request.push_str(&specifier.replace(' ', "")),
        None if version.is_empty() => {}
        None => {
            request.push('@');
            request.push_str(&version.join("."));
        }
    }
    for (wanted, variant) in [(spec.free_threaded, "+freethreaded"), (spec.debug, "+debug")] {
        if wanted == Some(true) {
            request.push_str(variant);
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uv_is_asked_in_its_own_words() {
        for (text, expected) in [
            ("py313", "cpython@3.13"),
            ("python3.12", "cpython@3.12"),
            ("3.12.1", "cpython@3.12.1"),
            ("3", "cpython@3"),
            ("py", "cpython"),
            ("3.13t", "cpython@3.13+freethreaded"),
            ("3.14td", "cpython@3.14+freethreaded+debug"),
            ("pypy310", "pypy@3.10"),
            ("PyPy", "pypy"),
            ("graalpy3.12", "graalpy@3.12"),
            (">=3.11, <3.13", "cpython>=3.11,<3.13"),
            ("cpython>=3.13t", "cpython>=3.13+freethreaded"),
        ] {
            assert_eq!(request(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_uv_cannot_have_is_not_asked_for() {
        for text in ["/usr/bin/python3", "./python", "jython", "rustpython3.9", "3.12-32", "3.12-sparc64"] {
            assert!(request(text).is_err(), "{text}");
        }
        let own = format!("3.12-{}-{}", usize::BITS, std::env::consts::ARCH);
        assert_eq!(request(&own).as_deref(), Ok("cpython@3.12"));
    }

    #[test]
    fn the_first_and_the_last_of_the_causes_are_told() {
        let text = "error: Failed to install x\n  cause: Request failed\n  cause: no such host\n";
        assert_eq!(cause(text), "Failed to install x (no such host)");
        assert_eq!(
            cause("error: No download found for request: cpython-3.99\n"),
            "No download found for request: cpython-3.99"
        );
        assert_eq!(cause(" \n"), "it did not say why");
    }
}
