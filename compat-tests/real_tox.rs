//! The tox that envo must agree with, installed from the package index once and kept below `target/`; with plugins of
//! tox in environments of their own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use crate::machine;

/// The release whose behaviour counts.
pub const VERSION: &str = "4.67.13";

/// The virtualenv that tox had when that release was looked at. An environment that another one made is made anew by tox.
const VIRTUALENV: &str = "virtualenv==21.15.7";

/// The executable of the real tox, with those plugins beside it. The first call with them needs the package index.
pub fn program(plugins: &[&str]) -> PathBuf {
    let name = std::iter::once(&"real-tox").chain(plugins).copied().collect::<Vec<_>>().join("-with-");
    let folder = machine::kept_folder(&name.replace("==", "-"));
    // Two tests at once must not install into each other's feet; the lock goes with the file handle.
    let lock = File::create(folder.join("lock")).expect("target can be written");
    lock.lock().expect("the lock can be waited for");
    let ready = folder.join(format!("ready-{VERSION}-{VIRTUALENV}"));
    let venv = folder.join("venv");
    if !ready.exists() {
        let _ = fs::remove_dir_all(&venv);
        succeed(Command::new(&*machine::HOST_PYTHON).args(["-m", "venv"]).arg(&venv));
        let requirement = format!("tox=={VERSION}");
        let mut install = Command::new(venv.join("bin/python"));
        succeed(install.args(["-m", "pip", "install", "-q", &requirement, VIRTUALENV]).args(plugins));
        fs::write(&ready, "").expect("target can be written");
    }
    venv.join("bin/tox")
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("Python can be started");
    assert!(status.success(), "{command:?} ended with {status}");
}
