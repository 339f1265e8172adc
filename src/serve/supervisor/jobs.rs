//! Decides which jobs can be skipped: those that were done with the same definition and inputs, and whose
//! dependencies have all kept the data that the jobs put into them. The state machine knows while the
//! supervisor lives; for the next supervisor the file `jobs.json` of the state folder records the jobs whose
//! dependencies outlive their process. If the file is lost, the jobs only run once more.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::event::RunEvent;
use crate::serve::fields;
use crate::serve::machine::{Action, MachineEvent as Happening};
use crate::serve::private;
use crate::serve::protocol::ServiceDefinition;
use crate::serve::supervisor::Supervisor;

/// The identity of the state of a service that is configured to keep it.
const PERSISTENT: &str = "persistent";

/// Requests to run a job although it was done before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ForcedJobs {
    pub is_due: bool,
    /// The last request's value, if the job should run only once for it.
    pub once: Option<String>,
}

/// A job that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FinishedJob {
    /// The digest of its definition and inputs.
    digest: String,
    /// Identifies this run of it.
    run: String,
    /// The identities of the states of its direct and indirect dependencies.
    depends: BTreeMap<String, String>,
}

/// In the state folder.
const FILE: &str = "jobs.json";

pub struct JobRecords {
    file: PathBuf,
    done: BTreeMap<String, FinishedJob>,
}

impl JobRecords {
    pub fn open(state_dir: &Path) -> Self {
        let file = state_dir.join(FILE);
        let done = private::read(&file).and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, done }
    }

    /// Sets the project's new state folder.
    pub fn move_to(&mut self, state_dir: &Path) {
        self.file = state_dir.join(FILE);
    }

    /// Whether it was done with this definition and these states of its dependencies.
    fn is_done(&self, name: &str, digest: &str, depends: &BTreeMap<String, String>) -> bool {
        self.done.get(name).is_some_and(|done| done.digest == digest && done.depends == *depends)
    }

    /// The identity of the run that did it.
    fn run_of(&self, name: &str) -> Option<String> {
        self.done.get(name).map(|done| done.run.clone())
    }

    fn done(&mut self, name: &str, done: FinishedJob) {
        self.done.insert(name.to_owned(), done);
        self.write();
    }

    /// Records that it is not done any more.
    pub fn forget(&mut self, name: &str) {
        if self.done.remove(name).is_some() {
            self.write();
        }
    }

    /// Forgets the jobs that depend on `dependency`, whose data is lost.
    fn forget_those_on(&mut self, dependency: &str) {
        let before = self.done.len();
        self.done.retain(|_, done| !done.depends.contains_key(dependency));
        if self.done.len() != before {
            self.write();
        }
    }

    fn write(&self) {
        let text = serde_json::to_vec(&self.done).unwrap_or_default();
        if private::replace(&self.file, &text).is_err() {
            // The file may be wrong by now. Without it the jobs run once more.
            let _ = std::fs::remove_file(&self.file);
        }
    }
}

impl Supervisor {
    /// Whether a job that is due can be skipped.
    pub(super) fn is_left_out(&self, at: usize) -> bool {
        let slot = &self.slots[at];
        let is_done = |depends| self.project.jobs.is_done(slot.prepared.name(), &slot.digest, &depends);
        !slot.force.is_due && self.lasting_states(at).is_some_and(is_done)
    }

    /// Records a job that has just ended successfully.
    pub(super) fn remember_job(&mut self, at: usize) {
        if let Some(depends) = self.lasting_states(at) {
            let done = FinishedJob { digest: self.slots[at].digest.clone(), run: self.mark_of(at), depends };
            self.project.jobs.done(self.slots[at].prepared.name(), done);
        }
    }

    /// The identities of the states of all dependencies of a job; `None`: some of them do not outlive their
    /// process.
    fn lasting_states(&self, at: usize) -> Option<BTreeMap<String, String>> {
        let state = |one: &usize| {
            let name = self.slots[*one].prepared.name();
            let definition = &*self.slots[*one].prepared.definition;
            let state = match &definition.service {
                _ if definition.is_job() => self.project.jobs.run_of(name),
                Some(service) if service.storage.data.is_some() => self.data_of(*one, definition),
                Some(service) => service.storage.persistent.then(|| PERSISTENT.to_owned()),
                None => None,
            };
            Some((name.to_owned(), state?))
        };
        self.slots[at].visible.iter().map(state).collect()
    }

    /// The identity of the folder in which a service keeps its data; `None`: it is empty.
    pub(super) fn data_of(&self, at: usize, definition: &ServiceDefinition) -> Option<String> {
        let data = definition.service.as_ref()?.storage.data.as_ref()?;
        let path = fields::fill_own(data, &self.slots[at].instance, &self.visible_instances(at)).ok()?;
        let metadata = std::fs::metadata(crate::os_text::encode(&path)).ok()?;
        if metadata.is_file() {
            // Programs replace files.
            return (metadata.len() > 0).then_some(path);
        }
        std::fs::read_dir(&path).ok()?.next()?.ok()?;
        let made = metadata.created().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let made = made.map_or(0, |time| time.as_nanos());
        Some(format!("{}:{}:{made}", metadata.dev(), metadata.ino()))
    }

    /// The event for a service that is about to start and whose data is gone or has been replaced.
    pub(super) fn lost_data(&mut self, action: &Action) -> Option<Happening> {
        let (Action::Prepare(at) | Action::Start(at)) = *action else { return None };
        let definition = self.coming(at);
        definition.service.as_ref()?.storage.data.as_ref()?;
        let data = self.data_of(at, definition);
        let before = &self.slots[at].data;
        if data.is_some() && (before.is_none() || *before == data) {
            return None;
        }
        let name = self.slots[at].prepared.name().to_owned();
        self.project.jobs.forget_those_on(&name);
        Some(Happening::StateLost(at))
    }

    /// The report about a job that is skipped.
    pub(super) fn left_out(&self, at: usize) -> RunEvent {
        let text = "(already done for its dependencies; `envo up --force` runs it)";
        let service = self.slots[at].prepared.name().to_owned();
        RunEvent::Service { service, state: "skipped".to_owned(), text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(digest: &str, depends: &[(&str, &str)]) -> FinishedJob {
        let depends = depends.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect();
        FinishedJob { digest: digest.into(), run: "r".into(), depends }
    }

    #[test]
    fn finished_jobs_are_recorded_and_an_unreadable_record_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        JobRecords::open(folder.path()).done("migrate", done("a", &[("db", "1")]));
        let jobs = JobRecords::open(folder.path());
        let is_done = |name, digest, state| jobs.is_done(name, digest, &done(digest, &[("db", state)]).depends);
        assert!(is_done("migrate", "a", "1"));
        assert!(!is_done("migrate", "b", "1") && !is_done("migrate", "a", "2") && !is_done("other", "a", "1"));
        assert!(!jobs.is_done("migrate", "a", &BTreeMap::new()), "its dependencies have changed");
        std::fs::write(folder.path().join("jobs.json"), r#"{"migrate": "the format of an earlier version"}"#).unwrap();
        assert_eq!(JobRecords::open(folder.path()).run_of("migrate"), None);
    }

    #[test]
    fn a_job_is_not_done_if_its_store_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut jobs = JobRecords::open(folder.path());
        jobs.done("migrate", done("a", &[("db", "1"), ("cache", "1")]));
        jobs.done("build", done("a", &[]));
        jobs.forget_those_on("db");
        let jobs = JobRecords::open(folder.path());
        assert_eq!((jobs.run_of("migrate"), jobs.run_of("build")), (None, Some("r".to_owned())));
    }
}
