//! `envo man`: installs the manual page.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cli::manual;
use crate::cli::options::Options;
use crate::commands::open_plan::report_missing_configuration;
use crate::exit_code;
use crate::report::plain;

/// Writes the page in the user's home and prints the setting that `man` needs to find it.
pub fn execute(options: &Options) -> Result<i32> {
    report_missing_configuration(options)?;
    let program = &options.invocation.program;
    let home = options.process.variables.text("HOME").filter(|home| !home.is_empty()).context("`HOME` is not set")?;
    let base = Path::new(&home).join(".local/share/man");
    let file = base.join("man1").join(format!("{program}.1"));
    plain::out(&format!("{program} man page setup\n{}\n\n", "=".repeat(50)));
    let page = manual::page(program);
    let found = fs_err::read_to_string(&file).ok();
    match found {
        Some(found) if found == page => plain::out(&format!("✓ Man page is up to date: {}\n", file.display())),
        Some(found) if !found.starts_with(manual::MARK) => {
            let advice = "  Remove it manually if you want to replace it.";
            plain::out(&format!("✗ File already exists: {}\n{advice}\n", file.display()));
            return Ok(exit_code::FAILED);
        }
        _ => {
            fs_err::create_dir_all(base.join("man1"))?;
            fs_err::write(&file, page)?;
            plain::out(&format!("✓ Wrote the man page: {}\n", file.display()));
        }
    }
    let known = options.process.variables.text("MANPATH").unwrap_or_default();
    if known.split(':').any(|folder| Path::new(folder) == base) {
        plain::out(&format!("\n✓ MANPATH already includes ~/.local/share/man\n  Try running: man {program}\n"));
    } else {
        let shell = options.process.variables.text("SHELL").unwrap_or_default();
        plain::out(&instructions(&shell, Path::new(&home), program));
    }
    Ok(exit_code::OK)
}

/// What to add to the shell's start-up file. The `:` at the end, also where `MANPATH` is not set, keeps `man`'s own
/// folders.
fn instructions(shell: &str, home: &Path, program: &str) -> String {
    let shell = Path::new(shell).file_name().unwrap_or_default().to_string_lossy();
    let posix = "export MANPATH=\"$HOME/.local/share/man:$MANPATH\"";
    let (file, line, reload) = if shell.contains("fish") {
        ("~/.config/fish/config.fish", "set -x MANPATH \"$HOME/.local/share/man:$MANPATH\"", "source")
    } else if shell.contains("csh") {
        // csh gives up on a variable that is not set.
        let line = "setenv MANPATH \"$HOME/.local/share/man:`printenv MANPATH`\"";
        (if home.join(".tcshrc").exists() { "~/.tcshrc" } else { "~/.cshrc" }, line, "source")
    } else if shell.contains("bash") {
        ("~/.bashrc", posix, ".")
    } else if shell.contains("zsh") {
        ("~/.zshrc", posix, ".")
    } else {
        ("~/.profile", posix, ".")
    };
    format!(
        "\n⚠ MANPATH does not include ~/.local/share/man\n\n\
         To complete setup, add this to {file}:\n\n  {line}\n\n\
         Then restart your shell or run:\n  {reload} {file}\n\nAfter that, you can use: man {program}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_about_its_own_file() {
        let home = tempfile::tempdir().expect("a folder");
        let told = |shell: &str| instructions(shell, home.path(), "envo");
        assert!(told("/bin/bash").contains("add this to ~/.bashrc:\n\n  export MANPATH="));
        assert!(told("/usr/bin/fish").contains("source ~/.config/fish/config.fish"));
        assert!(told("/bin/tcsh").contains("source ~/.cshrc"));
        std::fs::write(home.path().join(".tcshrc"), "").expect("written");
        assert!(told("/bin/tcsh").contains("source ~/.tcshrc"));
        assert!(told("").contains(". ~/.profile"));
    }
}
