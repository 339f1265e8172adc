//! Marks the processes of a supervisor, so that they are recognized whatever happened to their parents: a
//! variable in each names its supervisor, service and start.

use crate::digest::sha256;
use std::path::Path;

/// The variable.
pub const VARIABLE: &str = "ENVO_SERVICE_ID";

/// A short name for the project with this state folder, always the same: hexadecimal.
pub fn project(state_dir: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let path = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_path_buf());
    sha256(path.as_os_str().as_bytes())[..16].to_owned()
}

/// The beginning of the marks of all processes of a supervisor; practically unique.
#[expect(clippy::disallowed_methods, reason = "it only has to be unique, with the process number")]
pub fn supervisor(project: &str) -> String {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{project}-{}-{:x}/", std::process::id(), time.as_nanos())
}

/// Whether a text is such a mark, and matches only one supervisor.
pub fn is_supervisor(mark: &str) -> bool {
    let parts: Option<Vec<&str>> = mark.strip_suffix('/').map(|parts| parts.split('-').collect());
    let hexadecimal = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.is_some_and(|parts| parts.len() == 3 && parts[0].len() == 16 && parts.into_iter().all(hexadecimal))
}

/// The mark of one start of one service.
pub fn start(supervisor: &str, name: &str, generation: u64) -> String {
    format!("{supervisor}{name}/{generation}")
}
