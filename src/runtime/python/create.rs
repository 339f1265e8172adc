//! Creates a virtual environment without virtualenv: links, `pyvenv.cfg` and scripts in virtualenv's layout. Does not
//! install packages ([`crate::runtime::python::seed`]) or mark an environment as finished (its caller).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};

use crate::model::Interpreter;
use crate::model::environment::CreationSettings;
use crate::runtime::python::activation;
use crate::runtime::python::virtualenv_settings::VirtualenvSettings;

/// The oldest versions that read their prefix from `pyvenv.cfg` in the layout used here.
const OLDEST_CPYTHON: (u32, u32) = (3, 5);
const OLDEST_PYPY: (u32, u32) = (3, 8);

/// Whether envo can create environments of `interpreter`; if not, an old virtualenv has to.
pub fn is_supported(interpreter: &Interpreter) -> bool {
    let version = (interpreter.version.major, interpreter.version.minor);
    match interpreter.implementation.as_str() {
        "CPython" => version >= OLDEST_CPYTHON,
        "PyPy" => version >= OLDEST_PYPY,
        _ => false,
    }
}

/// Creates the environment's own files, replacing those of an interrupted creation.
pub fn create(
    env_dir: &Path,
    interpreter: &Interpreter,
    creation: &CreationSettings,
    settings: &VirtualenvSettings,
) -> Result<()> {
    let bin = env_dir.join("bin");
    for folder in [
        &bin,
        &env_dir.join("include"),
        &env_dir.join(&interpreter.layout.purelib),
        &env_dir.join(&interpreter.layout.platlib),
    ] {
        fs_err::create_dir_all(folder)?;
    }
    let mut names = vec!["python".to_owned(), "python3".to_owned(), format!("python{}", interpreter.dotted_version())];
    if interpreter.implementation == "PyPy" {
        names.extend(["pypy".to_owned(), "pypy3".to_owned(), format!("pypy{}", interpreter.dotted_version())]);
    }
    link_programs(&bin, &names, &interpreter.system_executable, creation.always_copy)?;
    let prompt = creation.prompt.clone().or_else(|| prompt(settings));
    // uv writes it unquoted, virtualenv quotes it.
    let written = creation.prompt.clone().or_else(|| prompt.as_ref().map(|prompt| format!("\"{prompt}\"")));
    let shown =
        prompt.clone().unwrap_or_else(|| env_dir.file_name().unwrap_or_default().to_string_lossy().into_owned());
    activation::write(env_dir, interpreter, &shown)?;
    if !settings.no_vcs_ignore {
        write_if_missing(&env_dir.join(".gitignore"), "# created by envo\n*\n")?;
    }
    write_if_missing(
        &env_dir.join("CACHEDIR.TAG"),
        "Signature: 8a477f597d28d172789f06886806bc55\n# This file is a cache directory tag created by envo.\n\
         # For information about cache directory tags, see:\n#   https://bford.info/cachedir/\n",
    )?;
    fs_err::write(env_dir.join("pyvenv.cfg"), configuration(interpreter, creation, written.as_deref()))?;
    Ok(())
}

/// The text shells show instead of the folder's name; `.` means the name of the current folder.
fn prompt(settings: &VirtualenvSettings) -> Option<String> {
    match settings.prompt.as_deref()? {
        "." => Some(std::env::current_dir().ok()?.file_name()?.to_string_lossy().into_owned()),
        prompt => Some(prompt.to_owned()),
    }
}

/// Links the first name to the interpreter and the others to the first; with `copy`, each is a copy.
fn link_programs(bin: &Path, names: &[String], executable: &Path, copy: bool) -> Result<()> {
    for (index, name) in names.iter().enumerate() {
        let path = bin.join(name);
        let target = if index == 0 { executable } else { Path::new(&names[0]) };
        let result = if copy {
            remove(&path).and_then(|()| fs::copy(executable, &path).map(drop))
        } else {
            symlink(target, &path).or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => remove(&path).and_then(|()| symlink(target, &path)),
                _ => Err(error),
            })
        };
        result.with_context(|| format!("cannot make `{}`", path.display()))?;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_if_missing(path: &Path, content: &str) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(()),
        Err(_) => Ok(fs_err::write(path, content)?),
    }
}

/// `pyvenv.cfg` with the keys virtualenv writes. `home` is PEP 405's; tools read some of the others.
fn configuration(interpreter: &Interpreter, creation: &CreationSettings, prompt: Option<&str>) -> String {
    let version = &interpreter.version;
    let numbers = format!("{}.{}.{}", version.major, version.minor, version.micro);
    let executable = interpreter.system_executable.display().to_string();
    let home = interpreter.system_executable.parent().unwrap_or(Path::new("/")).display().to_string();
    let mut keys = vec![
        ("home", home),
        ("implementation", interpreter.implementation.clone()),
        ("python-version", interpreter.dotted_version()),
        ("version_info", format!("{numbers}.{}.{}", version.release_level, version.serial)),
        ("version", numbers),
        ("executable", executable.clone()),
        ("envo", env!("CARGO_PKG_VERSION").to_owned()),
        ("include-system-site-packages", creation.system_site_packages.to_string()),
        ("base-prefix", interpreter.layout.base_prefix.display().to_string()),
        ("base-exec-prefix", interpreter.layout.base_exec_prefix.display().to_string()),
        ("base-executable", executable),
    ];
    if let Some(prompt) = prompt {
        keys.push(("prompt", prompt.to_owned()));
    }
    // A line break in a value would start another key.
    keys.iter().map(|(key, value)| format!("{key} = {}\n", value.replace(['\n', '\r'], " "))).collect()
}
