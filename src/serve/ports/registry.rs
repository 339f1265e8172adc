//! The registry of ports: which number each service got, for all projects of a user, in `ports.json` of the
//! user's state folder. A project keeps its numbers, and no other project gets them. If the file is lost,
//! only the numbers change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::serve::private;

/// Ports by service and name.
type ReservedPorts = BTreeMap<String, BTreeMap<String, u16>>;

/// The file's contents.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct RegistryContents {
    version: u32,
    /// By the state folder of the project.
    projects: BTreeMap<PathBuf, ReservedPorts>,
}

const VERSION: u32 = 1;

/// The range for chosen numbers, below those that systems use for outgoing connections, so that none of those
/// gets a reserved number between two runs.
const PREFERRED: Range<u16> = 20_000..32_768;
/// Well-known numbers in that range, of programs that people often run on the same machine.
const WELL_KNOWN: [u16; 8] = [25_565, 25_672, 26_257, 26_379, 27_017, 27_018, 27_019, 28_017];

/// The registry, open for one project. No other process can choose ports in the meantime.
#[derive(Debug)]
pub struct PortRegistry {
    file: PathBuf,
    project: PathBuf,
    pages: RegistryContents,
    changed: bool,
    /// Released by being closed.
    _lock: Option<File>,
}

impl PortRegistry {
    /// Opens the registry in `user_folder`, or, if that cannot be written, one of the project's own.
    /// `state_dir`, the project's state folder, identifies the project.
    pub fn open(state_dir: &Path, user_folder: Option<&Path>) -> Self {
        let lock = |folder: &Path| {
            fs::create_dir_all(folder)?;
            let file = private::open(&folder.join("ports.lock"), File::options().create(true).append(true))?;
            file.lock()?;
            io::Result::Ok((folder.join("ports.json"), file))
        };
        let locked = user_folder.and_then(|folder| lock(folder).ok()).or_else(|| lock(state_dir).ok());
        let (file, lock) = match locked {
            Some((file, lock)) => (file, Some(lock)),
            None => (state_dir.join("ports.json"), None),
        };
        let pages = private::read(&file).and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, project: state_dir.to_path_buf(), pages, changed: false, _lock: lock }
    }

    /// The previous number of a port.
    pub fn before(&self, service: &str, port: &str) -> Option<u16> {
        self.pages.projects.get(&self.project)?.get(service)?.get(port).copied()
    }

    /// Numbers to try for a port, in this order: they begin at a number derived from the name, so that a
    /// project gets the same ones even without the registry. Numbers of other services and projects are
    /// skipped.
    pub fn candidates(&self, service: &str, port: &str) -> impl Iterator<Item = u16> {
        let range = preferred_range();
        let digest = Sha256::new()
            .chain_update(self.project.as_os_str().as_encoded_bytes())
            .chain_update([0])
            .chain_update(service)
            .chain_update([0])
            .chain_update(port)
            .finalize();
        let length = usize::from(range.end - range.start);
        let begin = usize::from(u16::from_le_bytes([digest[0], digest[1]]));
        let others = self.others(service, port);
        let number = move |step: usize| range.start + u16::try_from((begin + step) % length.max(1)).unwrap_or_default();
        (0..length).map(number).filter(move |number| !others.contains(number) && !WELL_KNOWN.contains(number))
    }

    /// The numbers of all ports but this one.
    fn others(&self, service: &str, port: &str) -> BTreeSet<u16> {
        let mut others = BTreeSet::new();
        for (project, given) in &self.pages.projects {
            for (owner, ports) in given {
                let same = |name: &str| *project == self.project && owner == service && name == port;
                others.extend(ports.iter().filter(|(name, _)| !same(name)).map(|(_, number)| *number));
            }
        }
        others
    }

    /// Sets the number of a port.
    pub fn note(&mut self, service: &str, port: &str, number: u16) {
        if self.before(service, port) == Some(number) {
            return;
        }
        let given = self.pages.projects.entry(self.project.clone()).or_default();
        given.entry(service.to_owned()).or_default().insert(port.to_owned(), number);
        self.changed = true;
    }

    /// Writes the registry and unlocks it. Numbers of deleted projects become free.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the services can run all the same.
    pub fn close(mut self) -> io::Result<()> {
        if !self.changed {
            return Ok(());
        }
        self.pages.version = VERSION;
        let own = self.project.clone();
        self.pages.projects.retain(|project, _| *project == own || project.exists());
        private::replace(&self.file, &serde_json::to_vec(&self.pages)?)
    }
}

/// The preferred numbers without those that this system uses for outgoing connections.
fn preferred_range() -> Range<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = text.split_ascii_whitespace().filter_map(|number| number.parse().ok());
    match (bounds.next(), bounds.next()) {
        (Some(low), Some(high)) => range_outside(low, high),
        _ => PREFERRED,
    }
}

fn range_outside(low: u16, high: u16) -> Range<u16> {
    const ENOUGH: u16 = 1000;
    if low >= PREFERRED.end || high < PREFERRED.start {
        PREFERRED
    } else if low >= PREFERRED.start + ENOUGH {
        PREFERRED.start..low
    } else if low >= 10_000 + ENOUGH {
        10_000..low
    } else if high <= u16::MAX - ENOUGH {
        high + 1..u16::MAX
    } else {
        PREFERRED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(user: &Path, project: &str) -> PortRegistry {
        let state = user.join(project);
        fs::create_dir_all(&state).unwrap();
        PortRegistry::open(&state, Some(&user.join("state")))
    }

    #[test]
    fn a_projects_ports_are_kept_and_not_given_to_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = registry(folder.path(), "one");
        let first = one.candidates("web", "http").next().unwrap();
        one.note("web", "http", first);
        assert!(!one.candidates("db", "sql").any(|number| number == first), "nor of another service");
        assert_eq!(one.candidates("web", "http").next(), Some(first), "its own it may have");
        one.close().unwrap();
        let other = registry(folder.path(), "other");
        assert!(!other.candidates("web", "http").any(|number| number == first));
        assert_eq!(other.before("web", "http"), None);
        drop(other);
        assert_eq!(registry(folder.path(), "one").before("web", "http"), Some(first));
    }

    #[test]
    fn candidates_are_the_same_every_time_and_differ_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let first =
            |service: &str, port: &str| registry(folder.path(), "one").candidates(service, port).next().unwrap();
        assert_eq!(first("web", "http"), first("web", "http"));
        assert_ne!(first("web", "http"), first("web", "admin"));
        assert_ne!(first("web", "http"), first("db", "http"));
        let all = registry(folder.path(), "one").candidates("web", "http").count();
        assert!(all > 900, "{all}");
    }

    #[test]
    fn projects_that_are_gone_give_their_ports_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut gone = registry(folder.path(), "gone");
        gone.note("web", "http", 20_001);
        gone.close().unwrap();
        fs::remove_dir_all(folder.path().join("gone")).unwrap();
        let mut one = registry(folder.path(), "one");
        one.note("web", "http", 20_002);
        one.close().unwrap();
        assert!(registry(folder.path(), "gone").before("web", "http").is_none());
    }

    #[test]
    fn a_book_that_cannot_be_read_or_written_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        fs::create_dir(&state).unwrap();
        fs::write(state.join("ports.json"), "{\"projects\": [").unwrap();
        assert_eq!(PortRegistry::open(&folder.path().join("one"), Some(&state)).pages, RegistryContents::default());
        let nowhere = Path::new("/proc/no/such");
        let mut registry = PortRegistry::open(&state, Some(nowhere));
        registry.note("web", "http", 20_001);
        registry.close().unwrap();
        assert_eq!(
            PortRegistry::open(&state, Some(nowhere)).before("web", "http"),
            Some(20_001),
            "the project has its own"
        );
        let mut registry = PortRegistry::open(nowhere, None);
        registry.note("web", "http", 20_001);
        assert!(registry.close().is_err());
    }

    #[test]
    fn numbers_lie_outside_those_of_outgoing_connections() {
        assert_eq!(range_outside(32_768, 60_999), PREFERRED);
        assert_eq!(range_outside(25_000, 60_999), 20_000..25_000);
        assert_eq!(range_outside(15_000, 60_999), 10_000..15_000);
        assert_eq!(range_outside(1024, 60_999), 61_000..65_535);
        assert_eq!(range_outside(1024, 65_535), PREFERRED);
        assert_eq!(range_outside(1024, 10_000), PREFERRED);
    }

    #[test]
    fn the_folder_is_found_as_other_programs_find_theirs() {
        let folder = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            pairs.collect::<crate::model::EnvVariables>().state_folder()
        };
        assert_eq!(folder(&[("ENVO_STATE_DIR", "/s"), ("HOME", "/h")]), Some("/s".into()));
        assert_eq!(folder(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]), Some("/x/envo".into()));
        assert_eq!(folder(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]), Some("/h/.local/state/envo".into()));
        assert_eq!(folder(&[]), None);
    }
}
