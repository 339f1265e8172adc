//! The tox that envo must agree with, installed from the package index once and kept below `target/`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use crate::machine;

/// The release whose behaviour counts.
pub const VERSION: &str = "4.67.13";

static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = machine::kept_folder("real-tox");
    // Two test programs at once must not install into each other's feet; the lock goes with the file handle.
    let lock = File::create(folder.join("lock")).expect("target can be written");
    lock.lock().expect("the lock can be waited for");
    let ready = folder.join(format!("ready-{VERSION}"));
    let venv = folder.join("venv");
    if !ready.exists() {
        let _ = fs::remove_dir_all(&venv);
        succeed(Command::new(&*machine::HOST_PYTHON).args(["-m", "venv"]).arg(&venv));
        let requirement = format!("tox=={VERSION}");
        succeed(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "-q", &requirement]));
        fs::write(&ready, "").expect("target can be written");
    }
    venv.join("bin/tox")
});

/// The executable of the real tox. The first call needs the package index.
pub fn program() -> PathBuf {
    PROGRAM.clone()
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("Python can be started");
    assert!(status.success(), "{command:?} ended with {status}");
}
