//! Provides the wheels that tox's virtualenv would install into environments, in envo's cache, for machines without
//! virtualenv: those that come with interpreters are often years older.

use std::path::{Path, PathBuf};

use crate::model::Interpreter;
use crate::runtime::fetch::{WheelMember, extract};
use crate::runtime::python::VIRTUALENV_VERSION;
use crate::runtime::python::embedded::FOLDER as EMBEDDED;
use crate::runtime::python::own_wheel::{OwnWheel, WheelSources};

const FOLDER: &str = "tools-2/virtualenv";

/// The folder with the wheels, fetched with a pip on `interpreter` if necessary. `spec`: the virtualenv for a Python
/// that today's has dropped, as in `virtualenv_spec`; empty for today's.
pub fn obtain(means: &WheelSources<'_>, interpreter: &Interpreter, spec: &str) -> Result<PathBuf, String> {
    let todays = format!("=={VIRTUALENV_VERSION}");
    let seeds = OwnWheel {
        name: "today's pip and setuptools",
        distribution: "virtualenv",
        versions: spec.strip_prefix("virtualenv").unwrap_or(&todays),
        folder: FOLDER,
        content: &|folder| has_wheels(folder).then(|| folder.to_owned()),
        unpack: &|wheel, unpacked| {
            let of_seeds = |name: &Path| {
                let is_wheel = name.extension().is_some_and(|extension| extension == "whl");
                let name = name.file_name().filter(|_| is_wheel && name.parent() == Some(Path::new(EMBEDDED)))?;
                Some(WheelMember { name: name.into(), is_program: false })
            };
            extract(wheel, unpacked, of_seeds)?;
            anyhow::ensure!(has_wheels(unpacked), "the wheel of virtualenv has no pip in it");
            Ok(())
        },
        avoided_by: "ENVO_OFFLINE=1 does without",
        instead: "what Python brings is used",
        // All environments on a machine should have the same versions.
        waits: true,
        room: 16 << 20,
    };
    seeds.obtain(means, interpreter)
}

fn has_wheels(folder: &Path) -> bool {
    let mut names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.any(|name| name.as_encoded_bytes().starts_with(b"pip-"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;
    use crate::execute::interrupt::Interrupt;
    use crate::model::EnvVariables;
    use crate::runtime::checksums;
    use crate::runtime::python::PythonDiscovery;
    use crate::runtime::python::seed::Seeder;
    use crate::runtime::python::testing;

    /// Publishes a wheel of virtualenv that contains `carried` and other files.
    fn publish(links: &Path, version: &str, carried: &[&str]) {
        let name = links.join(format!("virtualenv-{version}-py3-none-any.whl"));
        let mut archive = zip::ZipWriter::new(File::create(name).unwrap());
        let dist_info = format!("virtualenv-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: virtualenv\nVersion: {version}\n");
        let mut files = vec![
            ("virtualenv/__init__.py".to_owned(), String::new()),
            ("virtualenv/seed/wheels/other/pip-1-py3-none-any.whl".to_owned(), String::new()),
            (format!("{dist_info}/METADATA"), metadata),
            (format!("{dist_info}/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n".to_owned()),
            (format!("{dist_info}/RECORD"), String::new()),
        ];
        files.extend(carried.iter().map(|name| (format!("{EMBEDDED}/{name}"), (*name).to_owned())));
        for (name, text) in files {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
    }

    fn obtain(variables: &EnvVariables, spec: &str) -> Result<Vec<String>, String> {
        let means = WheelSources {
            seeder: &Seeder::new(variables),
            discovery: &PythonDiscovery::new(variables, &[], None),
            variables,
            interrupt: &Interrupt::default(),
            tell: &|_| {},
        };
        let folder = super::obtain(&means, &testing::interpreter("python3").unwrap(), spec)?;
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        Ok(names.filter(|name| name != checksums::FILE_NAME).collect())
    }

    #[test]
    fn the_wheels_of_the_wanted_virtualenv_are_fetched_once() {
        let folder = tempfile::tempdir().unwrap();
        let links = folder.path().join("links");
        fs::create_dir(&links).unwrap();
        let mut variables = testing::variables(&folder.path().join("cache"));
        variables.remove("ENVO_OFFLINE");
        variables.set("PIP_NO_INDEX", "1");
        variables.set("PIP_FIND_LINKS", &links);
        publish(&links, VIRTUALENV_VERSION, &["pip-26-py3-none-any.whl"]);
        publish(&links, "21.4.9", &["pip-25-py3-none-any.whl"]);
        publish(&links, "999", &["pip-99-py3-none-any.whl"]);
        assert_eq!(obtain(&variables, ""), Ok(vec!["pip-26-py3-none-any.whl".to_owned()]));
        assert_eq!(obtain(&variables, "virtualenv<21.5.0"), Ok(vec!["pip-25-py3-none-any.whl".to_owned()]));
        variables.set("ENVO_OFFLINE", "1");
        assert_eq!(obtain(&variables, ""), Ok(vec!["pip-26-py3-none-any.whl".to_owned()]));
        assert_eq!(obtain(&variables, "virtualenv<21.5.0"), Ok(vec!["pip-25-py3-none-any.whl".to_owned()]));
    }

    #[test]
    fn damaged_wheels_are_fetched_again_or_named() {
        let folder = tempfile::tempdir().unwrap();
        let links = folder.path().join("links");
        fs::create_dir(&links).unwrap();
        let mut variables = testing::variables(&folder.path().join("cache"));
        variables.remove("ENVO_OFFLINE");
        variables.set("PIP_NO_INDEX", "1");
        variables.set("PIP_FIND_LINKS", &links);
        let carried = ["pip-26-py3-none-any.whl", "setuptools-80-py3-none-any.whl"];
        publish(&links, VIRTUALENV_VERSION, &carried);
        let sorted =
            |result: Result<Vec<String>, String>| result.map(|names| names.into_iter().collect::<BTreeSet<_>>());
        let whole = Ok(carried.map(str::to_owned).into());
        assert_eq!(sorted(obtain(&variables, "")), whole);
        let location = folder.path().join("cache").join(FOLDER).join(VIRTUALENV_VERSION);
        fs::remove_file(location.join(carried[1])).unwrap();
        assert_eq!(sorted(obtain(&variables, "")), whole);
        fs::write(location.join(carried[0]), "").unwrap();
        let mut offline = variables.clone();
        offline.set("ENVO_OFFLINE", "1");
        let expected = format!("`{}` is damaged, and ENVO_OFFLINE is set", location.display());
        assert_eq!(obtain(&offline, ""), Err(expected));
        assert_eq!(sorted(obtain(&variables, "")), whole);
    }

    #[test]
    fn a_virtualenv_without_them_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = testing::variables(&folder.path().join("cache"));
        variables.remove("ENVO_OFFLINE");
        variables.set("PIP_NO_INDEX", "1");
        variables.set("PIP_FIND_LINKS", folder.path());
        publish(folder.path(), VIRTUALENV_VERSION, &[]);
        let name = "today's pip and setuptools";
        let expected = format!("{name} could not be fetched: the wheel of virtualenv has no pip in it");
        assert_eq!(obtain(&variables, ""), Err(expected));
        variables.set("ENVO_OFFLINE", "1");
        assert_eq!(obtain(&variables, ""), Err(format!("there is no {name}, and ENVO_OFFLINE is set")));
    }
}
