//! The interpreter of a release: the one its environment was made with, without what only developers need, made to find
//! its libraries and its standard library relative to itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::model::Interpreter;
use crate::ship::elf;
use crate::ship::host::{Host, is_of_glibc};
use crate::ship::piece::{Origin, Part, Piece};
use crate::ship::refusal::Refusal;

/// The interpreter's folder in a release.
pub const FOLDER: &str = "python";

/// Folders and modules of the standard library that a program in production does not use: tests, editors, what builds
/// extension modules, and what needs a display.
const LEFT_OUT: [&str; 15] = [
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",
    "test",
    "tests",
    "idle_test",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "EXTERNALLY-MANAGED",
    "LICENSE.txt.gz",
];
/// Compiled modules that only the tests of Python, a display or an old network protocol need.
const MODULES_LEFT_OUT: [&str; 6] = ["_tkinter", "_test", "_ctypes_test", "_xxtestfuzz", "xxlimited", "nis"];

/// The first Python whose compiled modules may be trusted without looking at their sources, and the last that was tried.
const OLDEST: (u32, u32) = (3, 8);

/// The interpreter's members.
#[derive(Debug)]
pub struct PackedInterpreter {
    /// Its path in the release.
    pub path: String,
    pub pieces: Vec<Piece>,
}

/// Refuses interpreters that cannot be packed.
pub fn check(interpreter: &Interpreter) -> Result<(), Refusal> {
    let version = (interpreter.version.major, interpreter.version.minor);
    let is_cpython = interpreter.implementation.eq_ignore_ascii_case("cpython");
    if is_cpython && version >= OLDEST && interpreter.is_64_bit && interpreter.platform == "linux" {
        return Ok(());
    }
    let reason = format!(
        "cannot pack {} {} for {}: `envo pack` supports CPython {}.{} or newer on 64-bit Linux",
        interpreter.implementation,
        interpreter.dotted_version(),
        interpreter.platform,
        OLDEST.0,
        OLDEST.1
    );
    Err(Refusal::new(reason).help("choose another `base_python`"))
}

/// The members for an interpreter that comes along.
pub fn pieces(interpreter: &Interpreter) -> Result<PackedInterpreter, Refusal> {
    let executable = fs::canonicalize(&interpreter.system_executable)
        .map_err(|error| Refusal::new(format!("{}: {error}", interpreter.system_executable.display())))?;
    let library = &interpreter.layout.standard_library;
    let relative = library.strip_prefix(&interpreter.layout.base_prefix).unwrap_or(Path::new("lib"));
    let library_path = format!("{FOLDER}/{}", relative.display());
    let path = format!("{FOLDER}/bin/python{}", interpreter.dotted_version());
    let mut packed = Vec::new();
    let mut compiled = vec![(path.clone(), executable, "$ORIGIN/../lib".to_owned())];
    walk(library, &library_path, &mut |file, path| {
        if is_compiled(file) {
            let up = "/..".repeat(path.matches('/').count() - 1);
            compiled.push((path, file.to_owned(), format!("$ORIGIN{up}/lib")));
        } else if is_build_configuration(file) {
            let text = fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            packed.push(Piece::new(path, Origin::Bytes(neutral(&text, interpreter).into_bytes()), Part::Interpreter));
        } else {
            packed.push(Piece::new(path, Origin::File(file.to_owned()), Part::Interpreter));
        }
        Ok(())
    })?;
    for (name, file) in libraries(&compiled)? {
        compiled.push((format!("{FOLDER}/lib/{name}"), file, "$ORIGIN".to_owned()));
    }
    let relocated: Result<Vec<Piece>, Refusal> = compiled.par_iter().map(relocated).collect();
    packed.extend(relocated?);
    Ok(PackedInterpreter { path, pieces: packed })
}

fn relocated((path, file, search): &(String, PathBuf, String)) -> Result<Piece, Refusal> {
    let content = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let content = elf::relocatable(&content, search)
        .map_err(|reason| Refusal::new(format!("{} cannot be made relocatable: {reason}", file.display())))?;
    Ok(Piece::new(path.clone(), Origin::Bytes(content), Part::Interpreter)
        .executable(path.starts_with(&format!("{FOLDER}/bin/"))))
}

/// The libraries that the files are linked with, other than glibc, and the libraries of these.
fn libraries(compiled: &[(String, PathBuf, String)]) -> Result<BTreeMap<String, PathBuf>, Refusal> {
    let host = Host::new();
    let mut found = BTreeMap::new();
    let mut left: Vec<PathBuf> = compiled.iter().map(|(_, file, _)| file.clone()).collect();
    while let Some(file) = left.pop() {
        let facts = elf::read(&fs::read(&file).map_err(|error| unreadable(&file, &error))?).unwrap_or_default();
        let own = file.parent().unwrap_or(Path::new("/")).display().to_string();
        let search: Vec<PathBuf> = facts
            .search
            .iter()
            .map(|folder| PathBuf::from(folder.replace("${ORIGIN}", &own).replace("$ORIGIN", &own)))
            .collect();
        for name in facts.needed.into_iter().filter(|name| !is_of_glibc(name)) {
            if found.contains_key(&name) {
                continue;
            }
            let Some((path, _)) = host.library(&name, &search) else {
                let reason = format!("{} needs the library {name}, which was not found", file.display());
                return Err(Refusal::new(reason).help("install it, or choose another `base_python`"));
            };
            left.push(path.clone());
            found.insert(name, path);
        }
    }
    Ok(found)
}

/// Calls `each` with the files below a folder that come along, and their paths below `path`.
fn walk(folder: &Path, path: &str, each: &mut dyn FnMut(&Path, String) -> Result<(), Refusal>) -> Result<(), Refusal> {
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?.flatten() {
        let (file, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|name| !is_left_out(name)) else { continue };
        let path = format!("{path}/{name}");
        // Follows links: a distribution keeps parts elsewhere. One to nothing is left out.
        let Ok(metadata) = fs::metadata(&file) else { continue };
        if metadata.is_dir() {
            walk(&file, &path, each)?;
        } else if metadata.is_file() {
            each(&file, path)?;
        }
    }
    Ok(())
}

fn is_left_out(name: &str) -> bool {
    LEFT_OUT.contains(&name)
        || name.starts_with("config-")
        || (name.ends_with(".so") && MODULES_LEFT_OUT.iter().any(|module| name.starts_with(module)))
        || [".a", ".exe", ".pyc", ".bat"].iter().any(|ending| name.ends_with(ending))
}

fn is_compiled(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "so")
}

/// `_sysconfigdata_….py` names the folders that Python was built in and installed in.
fn is_build_configuration(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("_sysconfigdata_"))
}

/// The text without the folder that this machine has the interpreter in.
fn neutral(text: &str, interpreter: &Interpreter) -> String {
    let prefix = interpreter.layout.base_prefix.display().to_string();
    // Distributions install below `/usr` everywhere.
    if prefix.matches('/').count() < 2 || prefix == "/usr/local" {
        text.to_owned()
    } else {
        text.replace(&prefix, "/usr/local")
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(format!("could not read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_developers_need_is_left_out() {
        for name in ["test", "idlelib", "config-3.11-x86_64-linux-gnu", "_tkinter.cpython-311.so", "libpython3.11.a"] {
            assert!(is_left_out(name), "{name}");
        }
        for name in ["os.py", "_ssl.cpython-311.so", "unittest", "lib-dynload", "testing.py", "configparser.py"] {
            assert!(!is_left_out(name), "{name}");
        }
    }
}
