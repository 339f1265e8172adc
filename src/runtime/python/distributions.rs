//! Lists the distributions installed with an interpreter, from the names of their folders. Starts nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::Interpreter;
use crate::model::pep508::canonical_name;

/// The packages of an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distributions {
    folders: Vec<PathBuf>,
}

impl Distributions {
    /// The packages of the environment or installation whose program `bin/python` is the interpreter.
    pub fn of(interpreter: &Interpreter) -> Self {
        let prefix = interpreter.executable.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
        let mut folders = vec![prefix.join(&interpreter.layout.purelib)];
        let other = prefix.join(&interpreter.layout.platlib);
        if !folders.contains(&other) {
            folders.push(other);
        }
        Self { folders }
    }

    /// The version of a distribution, by its normalised name.
    pub fn version(&self, name: &str) -> Option<String> {
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        entries.into_iter().find_map(|entry| {
            let file_name = entry.file_name();
            let (found, version) = file_name.to_str()?.strip_suffix(".dist-info")?.split_once('-')?;
            (canonical_name(found) == name).then(|| version.to_owned())
        })
    }
}

/// An object that a distribution offers to other programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    pub name: String,
    /// `module:object`.
    pub object: String,
    /// The distribution's name, as written in its folder's name.
    pub distribution: String,
    pub version: String,
}

impl Distributions {
    /// The entry points of a group.
    /// <https://packaging.python.org/en/latest/specifications/entry-points/>
    pub fn entry_points(&self, group: &str) -> Vec<EntryPoint> {
        let entries = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let mut found = Vec::new();
        for entry in entries {
            let file_name = entry.file_name();
            let Some(folder) = file_name.to_str().and_then(|name| name.strip_suffix(".dist-info")) else { continue };
            let Ok(text) = fs::read_to_string(entry.path().join("entry_points.txt")) else { continue };
            let (distribution, version) = folder.split_once('-').unwrap_or((folder, ""));
            found.extend(in_group(&text, group).map(|(name, object)| EntryPoint {
                name: name.to_owned(),
                object: object.to_owned(),
                distribution: distribution.to_owned(),
                version: version.to_owned(),
            }));
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found
    }
}

/// The lines `name = object` below `[group]`, without extras in brackets after the object.
fn in_group<'a>(text: &'a str, group: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let header = format!("[{group}]");
    let lines = text.lines().map(str::trim).skip_while(move |line| *line != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with(['#', ';']));
    lines.filter_map(|line| {
        let (name, object) = line.split_once('=')?;
        Some((name.trim(), object.split('[').next().unwrap_or_default().trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_folder_tells_the_version() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("Tox_Docker-5.1.dist-info"))?;
        fs::create_dir(folder.path().join("tox"))?;
        let distributions = Distributions { folders: vec![PathBuf::from("/nowhere"), folder.path().to_owned()] };
        assert_eq!(distributions.version("tox-docker").as_deref(), Some("5.1"));
        assert_eq!(distributions.version("tox"), None);
        Ok(())
    }

    #[test]
    fn entry_points_of_a_group_are_read_from_every_distribution() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let info = folder.path().join("envo_run_postgres-0.1.dist-info");
        fs::create_dir(&info)?;
        fs::create_dir(folder.path().join("nothing-1.dist-info"))?;
        let text = "[console_scripts]\npg = a:b\n\n[envo.services]\n# two\npostgres = envo_run_postgres:service\npg=p.q:r [x]\n\n[tox]\nz = z\n";
        fs::write(info.join("entry_points.txt"), text)?;
        let distributions = Distributions { folders: vec![folder.path().to_owned()] };
        let found = distributions.entry_points("envo.services");
        let told: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.object.as_str())).collect();
        assert_eq!(told, [("pg", "p.q:r"), ("postgres", "envo_run_postgres:service")]);
        assert_eq!((found[0].distribution.as_str(), found[0].version.as_str()), ("envo_run_postgres", "0.1"));
        assert_eq!(distributions.entry_points("none"), []);
        Ok(())
    }
}
