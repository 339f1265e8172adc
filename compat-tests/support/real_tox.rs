//! Installs the tox to compare with once from the package index and keeps it below `target/`; tox plugins get
//! environments of their own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::support::machine;

/// The release whose behaviour counts.
pub const VERSION: &str = envo::model::provided::TOX_VERSION;

/// A plugin that [`VERSION`] cannot load, since it imports a name that is gone, and the last tox that can.
const NEEDS_OLDER_TOX: (&str, &str) = ("tox-gh-actions==", "4.67.13");

/// The virtualenv that tox had when that release was looked at. tox recreates an environment that another one made.
const VIRTUALENV: &str = envo::model::provided::VIRTUALENV_VERSION;

/// A pip that reads locks (PEP 751), which others do not yet.
const PIP: &str = "pip==26.3";

/// The executable of the real tox, with those plugins beside it. The first call with them needs the package index.
pub fn program(plugins: &[&str]) -> PathBuf {
    let name = std::iter::once(&"real-tox").chain(plugins).copied().collect::<Vec<_>>().join("-with-");
    let of_older = plugins.iter().any(|plugin| plugin.starts_with(NEEDS_OLDER_TOX.0));
    let requirement = format!("tox=={}", if of_older { NEEDS_OLDER_TOX.1 } else { VERSION });
    let virtualenv = format!("virtualenv=={VIRTUALENV}");
    let requirements: Vec<&str> =
        [requirement.as_str(), &virtualenv].into_iter().chain(plugins.iter().copied()).collect();
    environment(&name.replace("==", "-"), &requirements).join("bin/tox")
}

/// The executable of a real pip.
pub fn pip() -> PathBuf {
    environment("real-pip", &[PIP]).join("bin/pip")
}

/// The Python of an environment below `target/` with these in it.
pub fn python_with(name: &str, requirements: &[&str]) -> PathBuf {
    environment(name, requirements).join("bin/python")
}

/// An environment below `target/` with these in it.
fn environment(name: &str, requirements: &[&str]) -> PathBuf {
    let folder = machine::kept_folder(name);
    // Two tests at once must not install into each other's feet; the lock goes with the file handle.
    let lock = File::create(folder.join("lock")).expect("target can be written");
    lock.lock().expect("the lock can be waited for");
    let (ready, text) = (folder.join("ready"), requirements.join("\n"));
    let venv = folder.join("venv");
    if fs::read_to_string(&ready).ok() != Some(text.clone()) {
        let _ = fs::remove_dir_all(&venv);
        succeed(Command::new(&*machine::HOST_PYTHON).args(["-m", "venv"]).arg(&venv));
        succeed(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "-q"]).args(requirements));
        fs::write(&ready, text).expect("target can be written");
    }
    venv
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("Python can be started");
    assert!(status.success(), "{command:?} ended with {status}");
}
