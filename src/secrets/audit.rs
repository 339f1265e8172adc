//! Records who fetched which secret, when and for what, in the user's state folder. Nothing a repository contains can
//! switch that off or redirect it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::json;

use crate::secrets::{SecretContext, SecretRequest, SecretResult};

/// In the user's state folder; each line is a JSON object.
const FILE: &str = "audit.log";

/// Adds a line for each secret, never with its value.
pub(super) fn record(
    requests: &[SecretRequest],
    results: &[SecretResult],
    context: &SecretContext<'_>,
) -> io::Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    let folder = context.variables.state_folder().ok_or_else(|| io::Error::other("there is no home directory"))?;
    std::fs::create_dir_all(&folder)?;
    let time = jiff::Timestamp::now().to_string();
    let mut lines = String::new();
    for (request, result) in requests.iter().zip(results) {
        let line = json!({
            "time": time,
            "user": rustix::process::getuid().as_raw(),
            "login": context.variables.text("USER"),
            "project": context.root.display().to_string(),
            "for": context.purpose,
            "environment": request.environment,
            "variable": request.secret.variable,
            "reference": request.secret.reference.to_string(),
            "fetched": result.is_ok(),
        });
        lines.push_str(&format!("{line}\n"));
    }
    // One write, so that lines of runs at the same time do not mix.
    File::options().append(true).create(true).mode(0o600).open(folder.join(FILE))?.write_all(lines.as_bytes())
}
