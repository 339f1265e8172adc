//! Writes the log file of each command in its environment's log folder, in tox's format.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::execute::session::{CommandOutcome, CommandSession};
use crate::execute::shell;
use crate::os_text;

/// Writes `<n>-<run_id>.log`. `globs`: the programs that the environment may run.
pub(super) fn write(session: &CommandSession, outcome: &CommandOutcome, globs: &[String]) -> io::Result<()> {
    let number = session.log_number.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
    // A run id is one of envo's names, but a slash in it must not lead out of the folder.
    let path = session.log_dir.join(format!("{number}-{}.log", outcome.run_id.replace('/', "_")));
    let file = match create(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(&session.log_dir)?;
            create(&path)?
        }
        result => result?,
    };
    let mut file = BufWriter::new(file);
    writeln!(file, "name: {}\nrun_id: {}", session.environment, outcome.run_id)?;
    for (name, value) in session.variables.iter() {
        let name = os_text::decode(name);
        let value = session.capture.redactor.text(&os_text::decode(value));
        let line = format!("env {name}: {}", shell::redact_value(&name, &value));
        writeln!(file, "{}", os_text::shown(&line))?;
    }
    if let Some(pid) = outcome.pid {
        writeln!(file, "metadata pid: {pid}")?;
    }
    writeln!(file, "cwd: {}", outcome.cwd.display())?;
    let everything = globs.iter().any(|glob| glob == "*");
    writeln!(file, "allow: {}", if everything { "*".to_owned() } else { globs.join(":") })?;
    let exit_code = if outcome.lives_on { "None".to_owned() } else { outcome.exit_code.to_string() };
    writeln!(file, "cmd: {}\nexit_code: {exit_code}", outcome.shell_command)?;
    outcome.out.write_to(&mut file)?;
    if !outcome.err.is_empty() {
        file.write_all(b"\nstandard error:\n")?;
        outcome.err.write_to(&mut file)?;
    }
    file.flush()
}

/// Readable for this user only: not every secret in variables and output has a recognizable name.
fn create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        // A log of an earlier run, or a link, which is not followed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}
