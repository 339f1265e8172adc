//! Writes the scripts that activate an environment in a shell. They do what virtualenv's do, but are written from
//! scratch; each value is quoted for its shell, so that no folder name can execute anything.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::Interpreter;
use crate::python_text::python_repr;

/// A script: its name, its template, and how text is quoted in it.
struct ActivationScript {
    name: &'static str,
    template: &'static str,
    quote: fn(&str) -> String,
}

const SCRIPTS: [ActivationScript; 8] = [
    ActivationScript { name: "activate", template: include_str!("activation/activate.sh"), quote: quote_posix },
    ActivationScript { name: "activate.fish", template: include_str!("activation/activate.fish"), quote: quote_fish },
    ActivationScript { name: "activate.csh", template: include_str!("activation/activate.csh"), quote: quote_csh },
    ActivationScript { name: "deactivate.csh", template: include_str!("activation/deactivate.csh"), quote: quote_csh },
    ActivationScript { name: "activate.nu", template: include_str!("activation/activate.nu"), quote: quote_nushell },
    ActivationScript {
        name: "activate.ps1",
        template: include_str!("activation/activate.ps1"),
        quote: quote_powershell,
    },
    ActivationScript { name: "activate.xsh", template: include_str!("activation/activate.xsh"), quote: python_repr },
    ActivationScript {
        name: "activate_this.py",
        template: include_str!("activation/activate_this.py"),
        quote: python_repr,
    },
];

/// Writes all activation scripts. `prompt`: the text in parentheses before the shell's own prompt.
pub fn write(env_dir: &Path, interpreter: &Interpreter, prompt: &str) -> Result<()> {
    let folder = env_dir.to_str().with_context(|| format!("`{}` is not UTF-8", env_dir.display()))?;
    let libraries: BTreeSet<&Path> =
        [interpreter.layout.purelib.as_path(), interpreter.layout.platlib.as_path()].into();
    let libraries: Vec<String> = libraries.iter().map(|path| python_repr(&path.to_string_lossy())).collect();
    for script in &SCRIPTS {
        let content = fill(script.template, |field| match field {
            "ENV_DIR" => Some((script.quote)(folder)),
            "PROMPT" => Some((script.quote)(prompt)),
            "SHELL_PROMPT" => Some(quote_posix(&escape_bash_prompt(prompt))),
            "ZSH_PROMPT" => Some(quote_posix(&prompt.replace('%', "%%"))),
            "LIBRARIES" => Some(format!("[{}]", libraries.join(", "))),
            _ => None,
        });
        fs_err::write(env_dir.join("bin").join(script.name), content)?;
    }
    Ok(())
}

/// Replaces each `@FIELD@` for which `value` returns text. The result is not expanded again.
fn fill(template: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut pieces = template.split('@');
    let mut result = pieces.next().unwrap_or_default().to_owned();
    let mut was_field = false;
    for piece in pieces {
        if was_field {
            result.push_str(piece);
            was_field = false;
        } else if let Some(text) = value(piece) {
            result.push_str(&text);
            was_field = true;
        } else {
            result.push('@');
            result.push_str(piece);
        }
    }
    result
}

fn quote_posix(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn quote_fish(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

/// In csh a history reference and the end of a line are special even between single quotes.
fn quote_csh(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('!', r"\!").replace('\n', "\\\n"))
}

/// A raw string, with more number signs around it than it contains.
fn quote_nushell(text: &str) -> String {
    let longest = text.split(|character| character != '#').map(str::len).max().unwrap_or(0);
    let signs = "#".repeat(longest + 1);
    format!("r{signs}'{text}'{signs}")
}

fn quote_powershell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// bash decodes backslashes in its prompt and then expands the result, so both passes are guarded against.
fn escape_bash_prompt(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => result.push_str(r"\\\\"),
            // A single backslash would make `\$` the code for the superuser's prompt character.
            '$' | '`' => {
                result.push_str(r"\\");
                result.push(character);
            }
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::execute::process::capture;
    use crate::runtime::python::testing;

    const NASTY: &str = "a 'b' \"c\" $HOME `id` \\ #d# !e %n é @PROMPT@";

    fn environment(folder: &Path) -> std::path::PathBuf {
        let env_dir = folder.join(NASTY);
        fs_err::create_dir_all(env_dir.join("bin")).unwrap();
        write(&env_dir, &testing::interpreter("python3").unwrap(), NASTY).unwrap();
        env_dir
    }

    /// Runs `code` in `shell` and returns its output; `None` if this machine has no such shell.
    fn run(shell: &str, code: &str, folder: &Path) -> Option<String> {
        let output = capture(Path::new(shell), &["-c", code].map(OsStr::new), &testing::variables(folder)).ok()?;
        assert!(output.code == 0, "{shell}: {}", String::from_utf8_lossy(&output.error));
        Some(String::from_utf8(output.out).unwrap())
    }

    #[test]
    fn posix_shells_activate_and_deactivate_whatever_the_folder_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let env_dir = environment(folder.path());
        let script = quote_posix(env_dir.join("bin/activate").to_str().unwrap());
        let code = format!(
            "before=$PATH; . {script}; printf '%s\\n' \"$VIRTUAL_ENV\" \"$VIRTUAL_ENV_PROMPT\" \"${{PATH%%:*}}\"; \
             deactivate; [ \"$PATH\" = \"$before\" ] && printf '%s\\n' \"${{VIRTUAL_ENV-gone}}\""
        );
        let expected = format!("{0}\n{NASTY}\n{0}/bin\ngone\n", env_dir.display());
        assert_eq!(run("sh", &code, folder.path()).as_deref(), Some(expected.as_str()));
        for shell in ["bash", "zsh", "dash"] {
            if let Some(output) = run(shell, &code, folder.path()) {
                assert_eq!(output, expected, "{shell}");
            }
        }
    }

    #[test]
    fn other_shells_activate_where_they_are_installed() {
        let folder = tempfile::tempdir().unwrap();
        let env_dir = environment(folder.path());
        let path = |name: &str| env_dir.join("bin").join(name).to_str().unwrap().to_owned();
        let expected = format!("{}\n{NASTY}\n", env_dir.display());
        let fish =
            format!("source {}; printf '%s\\n' $VIRTUAL_ENV $VIRTUAL_ENV_PROMPT", quote_fish(&path("activate.fish")));
        let csh =
            format!("source {}; printenv VIRTUAL_ENV; printenv VIRTUAL_ENV_PROMPT", quote_csh(&path("activate.csh")));
        let nu = format!(
            "overlay use {}; print $env.VIRTUAL_ENV; print $env.VIRTUAL_ENV_PROMPT",
            quote_nushell(&path("activate.nu"))
        );
        for (shell, code) in [("fish", fish), ("tcsh", csh), ("nu", nu)] {
            if let Some(output) = run(shell, &code, folder.path()) {
                assert_eq!(output, expected, "{shell}");
            }
        }
    }

    #[test]
    fn a_bash_prompt_shows_the_text_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let env_dir = environment(folder.path());
        let script = quote_posix(env_dir.join("bin/activate").to_str().unwrap());
        let code = format!("PS1='> '; . {script}; printf '%s' \"${{PS1@P}}\"");
        if let Some(output) = run("bash", &code, folder.path()) {
            assert_eq!(output, format!("({NASTY}) > "));
        }
    }

    #[test]
    fn a_running_interpreter_can_be_activated() {
        let folder = tempfile::tempdir().unwrap();
        let env_dir = environment(folder.path());
        let python = testing::interpreter("python3").unwrap();
        fs_err::create_dir_all(env_dir.join(&python.layout.purelib)).unwrap();
        let code = format!(
            "import runpy, sys, os; runpy.run_path({}); print(sys.prefix); print(os.environ['VIRTUAL_ENV_PROMPT']); \
             print(sys.path[0])",
            python_repr(env_dir.join("bin/activate_this.py").to_str().unwrap())
        );
        let output = run(python.executable.to_str().unwrap(), &code, folder.path()).unwrap();
        assert_eq!(output, format!("{0}\n{NASTY}\n{0}/{1}\n", env_dir.display(), python.layout.purelib.display()));
    }

    #[test]
    fn every_field_is_filled_in() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("bin")).unwrap();
        write(folder.path(), &testing::interpreter("python3").unwrap(), "plain").unwrap();
        for script in &SCRIPTS {
            let content = fs_err::read_to_string(folder.path().join("bin").join(script.name)).unwrap();
            for field in ["@ENV_DIR@", "@PROMPT@", "@SHELL_PROMPT@", "@ZSH_PROMPT@", "@LIBRARIES@"] {
                assert!(!content.contains(field), "{}: {field}", script.name);
            }
        }
    }
}
