//! Provides the machine's interpreters and search paths, and the variables of a program under test.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// The executable behind the first `python3` on PATH, past any shim.
pub static HOST_PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .stderr(Stdio::inherit())
        .output()
        .expect("the tests need a python3 on PATH");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
});

/// Folders of the other interpreters that pyenv and uv have installed here, for tests that want old versions.
fn interpreter_folders() -> Vec<PathBuf> {
    let below = |variable: &str, default: &str| {
        let home = || env::var_os("HOME").map(|home| Path::new(&home).join(default));
        env::var_os(variable).map(PathBuf::from).or_else(home)
    };
    let pyenv = below("PYENV_ROOT", ".pyenv").map(|root| root.join("versions"));
    let uv = below("XDG_DATA_HOME", ".local/share").map(|root| root.join("uv/python"));
    let roots = pyenv.into_iter().chain(uv).filter_map(|root| root.read_dir().ok());
    let mut folders: Vec<_> =
        roots.flat_map(|entries| entries.flatten()).map(|entry| entry.path().join("bin")).collect();
    folders.sort();
    folders
}

/// The host Python first, so that a real tox (made from it) and envo mean the same one.
pub fn search_path(with_old_interpreters: bool) -> OsString {
    let mut folders = vec![HOST_PYTHON.parent().expect("an executable lies in a folder").to_path_buf()];
    folders.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from));
    if with_old_interpreters {
        folders.extend(interpreter_folders());
    }
    env::join_paths(folders).expect("no folder's name has a colon")
}

/// Whether `program` can be found where [`search_path`] looks.
pub fn has(program: &str) -> bool {
    env::split_paths(&search_path(true)).any(|folder| folder.join(program).is_file())
}

/// The test needs these programs; where one is missing it says so rather than passing.
#[track_caller]
pub fn need(programs: &[&str]) {
    for program in programs {
        assert!(has(program), "this test needs `{program}` on PATH; .ci/setup installs it");
    }
}

/// Tells whoever runs the tests by `.ci/test` what could only be tested in part: a test that passes says nothing itself.
pub fn notice(text: &str) {
    let target = kept_folder("tmp");
    let file = target.parent().expect("the folder lies in target").join("compat-notices");
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file).expect("target can be written");
    writeln!(file, "{text}").expect("target can be written");
}

/// The caller's variables that say how to reach a package index; nothing else of the caller's reaches a test.
pub fn index_variables() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy().to_ascii_uppercase();
        ["PIP_", "UV_", "SSL_", "REQUESTS_"].iter().any(|prefix| name.starts_with(prefix)) || name.ends_with("_PROXY")
    })
}

/// Where the caller's Rust and settings of npm are, for tests whose own home has neither.
pub fn toolchain_variables() -> Vec<(String, String)> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let place = |name: &str, below: &str| env::var_os(name).map_or_else(|| home.join(below), PathBuf::from);
    let places = [("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo"), ("NPM_CONFIG_USERCONFIG", ".npmrc")];
    let existing = places.map(|(name, below)| (name, place(name, below))).into_iter().filter(|(_, path)| path.exists());
    let mut variables: Vec<_> = existing.map(|(name, path)| (name.to_owned(), path.display().to_string())).collect();
    let npm = env::vars()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("npm_config_") || name == "NODE_EXTRA_CA_CERTS");
    variables.extend(npm);
    variables
}

/// A folder below `target/` that outlives the test: what costs a download is kept there.
pub fn kept_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the folder lies in target").join(name);
    std::fs::create_dir_all(&folder).expect("target can be written");
    folder
}
