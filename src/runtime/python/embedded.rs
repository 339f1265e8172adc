//! Finds the wheels embedded in an installed virtualenv: that of the host Python, or of the `tox` or `virtualenv` on
//! PATH. tox seeds environments from them, so envo uses the same files.

use std::fs;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use pep440_rs::{Version, VersionSpecifiers};

use crate::model::Interpreter;
use crate::runtime::python::wheel::WheelName;

/// Their folder in virtualenv's package.
pub(super) const FOLDER: &str = "virtualenv/seed/wheels/embed";

/// The newest wheel of a distribution for `interpreter`, from the first of `hosts` (Python programs) that has one.
pub fn wheel(hosts: &[PathBuf], name: &str, interpreter: &Interpreter) -> Option<PathBuf> {
    hosts.iter().find_map(|host| wheel_next_to(host, name, interpreter))
}

fn wheel_next_to(host: &Path, name: &str, interpreter: &Interpreter) -> Option<PathBuf> {
    let libraries = host.parent()?.parent()?.join("lib");
    let folders = fs::read_dir(libraries).ok()?.flatten().map(|entry| entry.path());
    let pythons =
        folders.filter(|folder| folder.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"python")));
    newest(pythons.map(|python| python.join("site-packages").join(FOLDER)), name, interpreter)
}

/// The newest wheel of a distribution in `folders` that runs on `interpreter`.
pub fn newest(folders: impl IntoIterator<Item = PathBuf>, name: &str, interpreter: &Interpreter) -> Option<PathBuf> {
    let entries = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let wheels = entries.flatten().flatten().filter_map(|entry| {
        let path = entry.path();
        let wheel = WheelName::parse(&path).filter(|wheel| wheel.distribution == name)?;
        Some((wheel.version, path))
    });
    let mut wheels: Vec<_> = wheels.collect();
    wheels.sort();
    wheels.into_iter().rev().map(|(_, path)| path).find(|path| runs_on(path, interpreter).unwrap_or(false))
}

/// Whether the wheel's `Requires-Python` allows the interpreter; `None` if that cannot be read.
fn runs_on(wheel: &Path, interpreter: &Interpreter) -> Option<bool> {
    let mut archive = zip::ZipArchive::new(BufReader::new(fs::File::open(wheel).ok()?)).ok()?;
    let mut parts = wheel.file_name()?.to_str()?.split('-');
    let name = format!("{}-{}.dist-info/METADATA", parts.next()?, parts.next()?);
    let mut text = String::new();
    archive.by_name(&name).ok()?.read_to_string(&mut text).ok()?;
    let headers = text.lines().take_while(|line| !line.is_empty());
    let Some(written) = headers.into_iter().find_map(|line| line.strip_prefix("Requires-Python:")) else {
        return Some(true);
    };
    let specifiers: VersionSpecifiers = written.trim().parse().ok()?;
    let version = &interpreter.version;
    Some(specifiers.contains(&Version::new([version.major, version.minor, version.micro].map(u64::from))))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::runtime::python::testing;

    fn write(folder: &Path, name: &str, requires: &str) -> std::io::Result<()> {
        let mut archive = zip::ZipWriter::new(fs::File::create(folder.join(format!("{name}-py3-none-any.whl")))?);
        archive.start_file(format!("{name}.dist-info/METADATA"), zip::write::SimpleFileOptions::default())?;
        archive.write_all(format!("Name: x\nRequires-Python: {requires}\n\nRequires-Python: <1\n").as_bytes())?;
        archive.finish()?;
        Ok(())
    }

    #[test]
    fn the_newest_wheel_that_the_interpreter_can_run_is_taken() -> std::io::Result<()> {
        let host = tempfile::tempdir()?;
        let folder = host.path().join("lib/python3.11/site-packages").join(FOLDER);
        fs::create_dir_all(&folder)?;
        for (name, requires) in
            [("pip-9.0", ">=3"), ("pip-26.0", ">=3.9"), ("pip-27.0", ">=3.30"), ("setuptools-80.0", "")]
        {
            write(&folder, name, requires)?;
        }
        let interpreter = testing::interpreter("python3").expect("the tests need a python3");
        let found = wheel(&[PathBuf::from("/nowhere/bin/python"), host.path().join("bin/python")], "pip", &interpreter);
        assert_eq!(found, Some(folder.join("pip-26.0-py3-none-any.whl")));
        assert_eq!(wheel(&[host.path().join("bin/python")], "wheel", &interpreter), None);
        assert_eq!(wheel(&[], "pip", &interpreter), None);
        Ok(())
    }
}
