//! The command `envo-run`, which becomes the `envo` next to it: `uvx envo-run` and `pipx run envo-run` look for a command of the
//! distribution's name.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let problem = match program() {
        Ok(program) => become_program(&program),
        Err(problem) => problem,
    };
    #[expect(clippy::print_stderr, reason = "there is no report before the program")]
    {
        eprintln!("{problem}");
    }
    ExitCode::FAILURE
}

/// The program, and not the script of PyPI's `envo`, which installs a command of that name.
fn program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    let program = own.map_err(|error| format!("cannot find the path of `envo-run`: {error}"))?.with_file_name("envo");
    if is_script(&program) {
        return Err(format!(
            "`{}` is the command of another package, which is called envo as well\n\
             hint: `pip install --force-reinstall --no-deps envo-run` installs the program there",
            program.display()
        ));
    }
    Ok(program)
}

fn is_script(path: &Path) -> bool {
    let mut start = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"#!"
}

/// Returns only if that failed.
fn become_program(program: &Path) -> String {
    #[expect(clippy::disallowed_methods, reason = "it replaces this process, and starts none")]
    let mut command = Command::new(program);
    let error = command.args(std::env::args_os().skip(1)).exec();
    format!("cannot start `{}`: {error}", program.display())
}
