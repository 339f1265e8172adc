//! Provides a uv in envo's cache for machines without one. [`crate::install`] decides how it is used.

use std::path::{Path, PathBuf};

use crate::execute::process;
use crate::model::Interpreter;
use crate::runtime::fetch::{WheelMember, extract};
use crate::runtime::python::own_wheel::{OwnWheel, WheelSources};
use crate::runtime::python::shim::is_program;

const FOLDER: &str = "tools-2/uv";
const PROGRAM: &str = "uv";

/// The uv in the cache, fetched with a pip on `interpreter` if necessary.
pub fn obtain(means: &WheelSources<'_>, interpreter: &Interpreter) -> Result<PathBuf, String> {
    let unpack = |wheel: &Path, unpacked: &Path| {
        let program = |name: &Path| {
            let is_program = name.ends_with("scripts/uv");
            is_program.then(|| WheelMember { name: PROGRAM.into(), is_program })
        };
        extract(wheel, unpacked, program)?;
        anyhow::ensure!(unpacked.join(PROGRAM).exists(), "the wheel of uv has no program in it");
        // A program that does not run here must not be used.
        let output = process::ask(&unpacked.join(PROGRAM), &["--version".as_ref()], means.variables, means.interrupt)?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        anyhow::ensure!(output.code == 0, "the uv of {name} does not run here");
        Ok(())
    };
    let uv = OwnWheel {
        name: "uv",
        distribution: "uv",
        // Older ones lack some of the options that envo passes to uv.
        versions: ">=0.6",
        folder: FOLDER,
        content: &|folder| Some(folder.join(PROGRAM)).filter(|program| is_program(program)),
        unpack: &unpack,
        avoided_by: "ENVO_INSTALLER=pip does without",
        instead: "pip is used instead",
        waits: false,
        room: 100 << 20,
    };
    uv.obtain(means, interpreter)
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::execute::interrupt::Interrupt;
    use crate::model::EnvVariables;
    use crate::runtime::python::PythonDiscovery;
    use crate::runtime::python::own_wheel::{LOCK, version_of};
    use crate::runtime::python::seed::Seeder;
    use crate::runtime::python::testing;

    struct UvFixture {
        folder: tempfile::TempDir,
        variables: EnvVariables,
    }

    impl UvFixture {
        /// Creates a machine whose index is the folder `links`.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut variables = testing::variables(&folder.path().join("cache"));
            std::fs::create_dir(folder.path().join("links")).unwrap();
            variables.set("PIP_NO_INDEX", "1");
            variables.set("PIP_FIND_LINKS", folder.path().join("links"));
            variables.remove("ENVO_OFFLINE");
            Self { folder, variables }
        }

        /// A wheel of uv whose program is a shell script.
        fn publish(&self, version: &str, script: &str) {
            let file = File::create(self.folder.path().join(format!("links/uv-{version}-py3-none-any.whl"))).unwrap();
            let mut archive = zip::ZipWriter::new(file);
            let options = zip::write::SimpleFileOptions::default();
            let dist_info = format!("uv-{version}.dist-info");
            for (name, text) in [
                (format!("uv-{version}.data/scripts/uv"), format!("#!/bin/sh\n{script}\n")),
                (format!("{dist_info}/METADATA"), format!("Metadata-Version: 2.1\nName: uv\nVersion: {version}\n")),
                (format!("{dist_info}/WHEEL"), "Wheel-Version: 1.0\nTag: py3-none-any\n".to_owned()),
                (format!("{dist_info}/RECORD"), String::new()),
            ] {
                archive.start_file(name, options).unwrap();
                archive.write_all(text.as_bytes()).unwrap();
            }
            archive.finish().unwrap();
        }

        /// The result of requesting uv, and the number of messages.
        fn obtain(&self) -> (Result<PathBuf, String>, usize) {
            let told = Mutex::new(0);
            let discovery = PythonDiscovery::new(&self.variables, &[], None);
            let interpreter = testing::interpreter("python3").unwrap();
            let means = WheelSources {
                seeder: &Seeder::new(&self.variables),
                discovery: &discovery,
                variables: &self.variables,
                interrupt: &Interrupt::default(),
                tell: &|_| *told.lock() += 1,
            };
            let result = obtain(&means, &interpreter);
            (result, told.into_inner())
        }

        fn location(&self, version: &str) -> PathBuf {
            self.folder.path().join("cache").join(FOLDER).join(version).join(PROGRAM)
        }
    }

    #[test]
    fn it_is_fetched_once_and_found_from_then_on() {
        let machine = UvFixture::new();
        machine.publish("7.2.0", "exit 0");
        let killed = machine.folder.path().join("cache").join(FOLDER).join(".fetch-killed");
        std::fs::create_dir_all(killed.join("half")).unwrap();
        assert_eq!(machine.obtain(), (Ok(machine.location("7.2.0")), 1));
        machine.publish("7.10.0", "exit 0");
        assert_eq!(machine.obtain(), (Ok(machine.location("7.2.0")), 0));
        let folder = machine.location("7.2.0").parent().unwrap().parent().unwrap().to_owned();
        let mut left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [LOCK, "7.2.0"]);
    }

    #[test]
    fn a_failure_is_remembered_until_the_settings_change() {
        let mut machine = UvFixture::new();
        let (first, told) = machine.obtain();
        assert!(first.unwrap_err().starts_with("uv could not be fetched: No matching distribution"));
        assert_eq!(told, 2);
        machine.publish("7.2.0", "exit 0");
        let (again, told) = machine.obtain();
        assert!(again.is_err() && told == 0);
        machine.variables.set("PIP_TIMEOUT", "7");
        assert_eq!(machine.obtain().0, Ok(machine.location("7.2.0")));
    }

    #[test]
    fn what_does_not_run_here_is_not_kept() {
        let machine = UvFixture::new();
        machine.publish("7.2.0", "exit 1");
        let reason = "uv could not be fetched: the uv of uv-7.2.0-py3-none-any.whl does not run here".to_owned();
        assert_eq!(machine.obtain().0, Err(reason));
        assert!(!machine.location("7.2.0").exists());
    }

    #[test]
    fn what_is_damaged_is_fetched_again() {
        let damages: [fn(&Path); 2] = [
            |uv| std::fs::write(uv, b"\x7fELF\x02\x01\x01 of another machine").unwrap(),
            |uv| std::fs::remove_file(uv).unwrap(),
        ];
        let mut machine = UvFixture::new();
        machine.publish("7.2.0", "exit 0");
        let (uv, told) = machine.obtain();
        assert_eq!((&uv, told), (&Ok(machine.location("7.2.0")), 1));
        let content = std::fs::read(machine.location("7.2.0")).unwrap();
        for damage in damages {
            damage(&machine.location("7.2.0"));
            assert_eq!(machine.obtain(), (uv.clone(), 1));
            assert_eq!(std::fs::read(machine.location("7.2.0")).unwrap(), content);
        }
        // If it cannot be fetched, that is reported, and a broken copy is not used.
        std::fs::write(machine.location("7.2.0"), "broken").unwrap();
        machine.variables.set("ENVO_OFFLINE", "1");
        let folder = machine.location("7.2.0").parent().unwrap().display().to_string();
        assert_eq!(machine.obtain(), (Err(format!("`{folder}` is damaged, and ENVO_OFFLINE is set")), 1));
    }

    #[test]
    fn one_that_lost_its_mode_gets_it_back_without_a_network() {
        use std::os::unix::fs::PermissionsExt;
        let mut machine = UvFixture::new();
        machine.publish("7.2.0", "exit 0");
        assert!(machine.obtain().0.is_ok());
        std::fs::set_permissions(machine.location("7.2.0"), PermissionsExt::from_mode(0o600)).unwrap();
        machine.variables.set("ENVO_OFFLINE", "1");
        assert_eq!(machine.obtain(), (Ok(machine.location("7.2.0")), 0));
        assert!(is_program(&machine.location("7.2.0")));
    }

    #[test]
    fn nothing_is_fetched_where_that_is_forbidden() {
        let mut machine = UvFixture::new();
        machine.publish("7.2.0", "exit 0");
        machine.variables.set("ENVO_OFFLINE", "1");
        assert_eq!(machine.obtain(), (Err("there is no uv, and ENVO_OFFLINE is set".to_owned()), 0));
        machine.variables.remove("ENVO_OFFLINE");
        machine.variables.remove("PIP_FIND_LINKS");
        let reason = "there is no uv, and pip's settings forbid to ask an index".to_owned();
        assert_eq!(machine.obtain(), (Err(reason), 0));
    }

    #[test]
    fn only_one_process_fetches() {
        let machine = UvFixture::new();
        machine.publish("7.2.0", "exit 0");
        let folder = machine.folder.path().join("cache").join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        let other = File::create(folder.join(LOCK)).unwrap();
        other.lock().unwrap();
        assert_eq!(machine.obtain().0, Err("another process is fetching uv".to_owned()));
        drop(other);
        assert_eq!(machine.obtain().0, Ok(machine.location("7.2.0")));
    }

    #[test]
    fn names_of_wheels_lead_nowhere_else() {
        let version = |name: &str| version_of(Path::new(name)).map(str::to_owned);
        assert_eq!(version("uv-0.9.1-py3-none-manylinux_2_17_x86_64.whl").as_deref(), Some("0.9.1"));
        assert_eq!(version("uv-..-py3-none-any.whl"), None);
        assert_eq!(version("uv.whl"), None);
    }
}
