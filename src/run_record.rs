//! How long environments took and how they ended, as the last runs recorded it in the work folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::event::EnvironmentResult;
use crate::scratch;

/// The format's number.
const VERSION: u32 = 1;

/// The records of a project's environments.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunRecords {
    version: u32,
    environments: BTreeMap<String, RunRecord>,
}

/// The last run of one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct RunRecord {
    /// Of the last complete run.
    seconds: Option<f64>,
    failed: bool,
}

/// The seconds that environments take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    version: u32,
    pub seconds: BTreeMap<String, f64>,
}

impl RunRecords {
    /// The records in a work folder; missing and damaged ones count as none.
    pub fn read(work_dir: &Path) -> Self {
        let text = bounded::read(file(work_dir)).unwrap_or_default();
        serde_json::from_slice(&text).ok().filter(|records: &Self| records.version == VERSION).unwrap_or_default()
    }

    /// Records the results of a run. `is_complete`: their times are those of whole runs.
    pub fn update(work_dir: &Path, results: &[EnvironmentResult], is_complete: bool) -> std::io::Result<()> {
        let ran = |result: &&EnvironmentResult| !result.skipped && !result.unavailable;
        if !results.iter().any(|result| ran(&result)) {
            return Ok(());
        }
        let path = file(work_dir);
        let folder = path.parent().unwrap_or(work_dir);
        std::fs::create_dir_all(folder)?;
        // Runs at the same time do not lose each other's records.
        let lock = File::create(folder.join("runs.lock"))?;
        lock.lock()?;
        let mut records = Self { version: VERSION, ..Self::read(work_dir) };
        for result in results.iter().filter(ran) {
            let failed = result.code != 0 && !result.ignore_outcome;
            let known = records.environments.get(&result.name).and_then(|record| record.seconds);
            // A run that failed may have ended early.
            let seconds = match is_complete && (!failed || known.is_none()) {
                true => Some(rounded(result.duration_seconds)),
                false => known,
            };
            records.environments.insert(result.name.clone(), RunRecord { seconds, failed });
        }
        let mut temporary = scratch::file_in(folder, ".runs-", 0o666)?;
        serde_json::to_writer(&mut temporary, &records)?;
        temporary.write_all(b"\n")?;
        temporary.persist(&path).map(drop).map_err(|error| error.error)
    }

    /// The seconds of an environment's last complete run.
    pub fn seconds(&self, environment: &str) -> Option<f64> {
        self.environments.get(environment)?.seconds
    }

    /// Whether the environment failed when it last ran.
    pub fn failed(&self, environment: &str) -> bool {
        self.environments.get(environment).is_some_and(|record| record.failed)
    }

    pub fn durations(&self) -> Durations {
        let seconds = self.environments.iter().filter_map(|(name, record)| Some((name.clone(), record.seconds?)));
        Durations::new(seconds.collect())
    }
}

impl Durations {
    pub fn new(seconds: BTreeMap<String, f64>) -> Self {
        let seconds = seconds.into_iter().map(|(name, seconds)| (name, rounded(seconds))).collect();
        Self { version: VERSION, seconds }
    }

    /// Reads a file that [`Self::to_json`] wrote. The error says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = bounded::read(path).map_err(|error| error.to_string())?;
        let read: Self = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        match read.seconds.iter().find(|(_, seconds)| !(0.0..1e9).contains(*seconds)) {
            _ if read.version != VERSION => Err(format!("version {} is unknown", read.version)),
            Some((name, seconds)) => Err(format!("`{name}` takes {seconds} seconds")),
            None => Ok(read),
        }
    }

    /// In the order of the names, so that a new version differs only where times do.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{text}\n")
    }
}

/// Not in the state folder of services, which only exists when there are services.
fn file(work_dir: &Path) -> PathBuf {
    work_dir.join(".envo-runs").join("runs.json")
}

/// Seconds, to the thousandth.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(name: &str, code: i32, seconds: f64) -> EnvironmentResult {
        EnvironmentResult { name: name.into(), code, duration_seconds: seconds, ..EnvironmentResult::default() }
    }

    #[test]
    fn records_keep_the_time_of_the_last_complete_run() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let update = |results: &[EnvironmentResult], complete| RunRecords::update(folder.path(), results, complete);
        update(&[result("a", 0, 1.23456), result("b", 1, 2.0)], true)?;
        update(&[result("a", 1, 0.1), EnvironmentResult { skipped: true, ..result("c", -2, 9.0) }], true)?;
        update(&[result("b", 0, 0.1)], false)?;
        let records = RunRecords::read(folder.path());
        assert_eq!(["a", "b", "c"].map(|name| records.seconds(name)), [Some(1.235), Some(2.0), None]);
        assert_eq!(["a", "b", "c"].map(|name| records.failed(name)), [true, false, false]);
        Ok(())
    }

    #[test]
    fn damaged_records_count_as_none() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join(".envo-runs"))?;
        for text in ["", "{", "[]", r#"{"version":2,"environments":{}}"#] {
            std::fs::write(file(folder.path()), text)?;
            assert_eq!(RunRecords::read(folder.path()), RunRecords::default(), "{text}");
        }
        Ok(())
    }

    #[test]
    fn durations_read_back_and_nonsense_is_refused() -> std::io::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("durations.json");
        let durations = Durations::new(BTreeMap::from([("a".to_owned(), 1.5)]));
        std::fs::write(&path, durations.to_json())?;
        assert_eq!(Durations::read(&path), Ok(durations));
        for text in ["", "{}", r#"{"version":9,"seconds":{}}"#, r#"{"version":1,"seconds":{"a":-1}}"#] {
            std::fs::write(&path, text)?;
            assert!(Durations::read(&path).is_err(), "{text}");
        }
        Ok(())
    }
}
