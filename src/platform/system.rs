//! Names and numbers of the system: how it is called, where its programs keep settings, how long it has run.

use std::path::{Path, PathBuf};

const IS_MACOS: bool = cfg!(target_os = "macos");

/// Python's `sys.platform`.
pub const PYTHON_NAME: &str = if IS_MACOS { "darwin" } else { "linux" };

/// The folder in which macOS keeps settings of programs, below a home or at the root; `None` elsewhere.
#[must_use]
pub fn application_support(above: &Path) -> Option<PathBuf> {
    IS_MACOS.then(|| above.join("Library/Application Support"))
}

/// The most files a process may have open if the system reports no limit, as macOS does (`OPEN_MAX`).
#[must_use]
pub fn most_open_files() -> Option<u64> {
    IS_MACOS.then_some(10_240)
}

/// The program of this process, to start it again.
#[must_use]
pub fn own_program() -> PathBuf {
    // Linux's link works even if the file was replaced while envo runs, but its name means less in a list of
    // processes.
    let own = std::env::current_exe().ok();
    let link = if IS_MACOS { None } else { Some(PathBuf::from("/proc/self/exe")) };
    own.clone().filter(|path| path.exists()).or(link).or(own).unwrap_or_else(|| PathBuf::from("envo"))
}

/// Seconds since the machine started; 0 if the system does not report it.
#[cfg(target_os = "linux")]
#[must_use]
pub fn uptime() -> f64 {
    std::fs::read_to_string("/proc/uptime")
        .ok()
        .and_then(|text| text.split_whitespace().next().and_then(|seconds| seconds.parse().ok()))
        .unwrap_or(0.0)
}

/// Seconds since the machine started; 0 if the system does not report it.
#[cfg(target_os = "macos")]
#[must_use]
pub fn uptime() -> f64 {
    // This clock counts from the start, and does not stop while the machine sleeps.
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Writes everything in the file system of `folder` to the disk.
#[cfg(target_os = "linux")]
pub fn sync_file_system(folder: &std::fs::File) -> std::io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// Writes the folder to the disk: this system has no call for a file system.
#[cfg(not(target_os = "linux"))]
pub fn sync_file_system(folder: &std::fs::File) -> std::io::Result<()> {
    folder.sync_all()
}
