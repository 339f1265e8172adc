//! Records which files the tests that `pack_tests` names have passed on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::options::Options;
use crate::event::{EnvironmentResult, Reporter, RunEvent};
use crate::exit_code;
use crate::model::InterpreterLookup;
use crate::plan::Plan;
use crate::ship::project_files;
use crate::ship::refusal::Refusal;
use crate::ship::settings::PackSettings;
use crate::ship::tested::{self, TestEnv, TestedFiles};

/// Observes a run.
pub struct PackTestRecorder {
    plan: Arc<Plan>,
    interpreters: Arc<dyn InterpreterLookup>,
    /// The environments that are packed, by those that test them.
    packed: BTreeMap<String, Vec<String>>,
    work_dir: PathBuf,
    /// Only a part of the tests runs, or the settings are not those of the configuration.
    is_partial: bool,
}

impl PackTestRecorder {
    /// `None` if no environment has `pack_tests`, or the settings cannot be read, which is reported elsewhere.
    pub fn new(options: &Options, plan: &Arc<Plan>, interpreters: Arc<dyn InterpreterLookup>) -> Option<Self> {
        if !plan.settings.source.text.contains("pack_tests") {
            return None;
        }
        let mut packed: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in plan.runs().ok()? {
            for test in plan.settings.list(&plan.settings.environment(&name), "pack_tests").ok()? {
                packed.entry(test).or_default().push(name.clone());
            }
        }
        let is_partial = options.invocation.positional.is_some() || !options.project.overrides.is_empty();
        let work_dir = plan.project().ok()?.work_dir;
        (!packed.is_empty()).then(|| Self { plan: Arc::clone(plan), interpreters, packed, work_dir, is_partial })
    }

    fn record(&self, name: &str, packed: &[String]) -> Result<(), Refusal> {
        let described = |error: crate::error::ConfigError| Refusal::new(error.message);
        let environment = self.plan.environment(name).map_err(described)?;
        let project = self.plan.project().map_err(described)?;
        let interpreter = self.interpreters.find(&environment.python.base_python);
        let interpreter = interpreter.ok_or_else(|| Refusal::new("its interpreter is gone"))?;
        let libraries = interpreter.layout.purelib.clone();
        let mut folders = vec![(environment.folders.env_dir.clone(), libraries.clone())];
        folders.extend(tested::layers(&environment.folders.env_dir, &libraries));
        let mut included = Vec::new();
        for other in packed {
            let settings = PackSettings::read(&self.plan, other).map_err(described)?;
            included.extend(project_files::pieces(&project.root, &project.work_dir, &settings.include)?);
            let other = self.plan.environment(other).map_err(described)?;
            // Tests that use a service test what is in its environment.
            if other.service.is_some() && environment.relations.depends.contains(&other.name) {
                folders.push((other.folders.env_dir, libraries.clone()));
            }
        }
        let environments: Vec<TestEnv<'_>> =
            folders.iter().map(|(env_dir, libraries)| TestEnv { env_dir, libraries }).collect();
        let tested = TestedFiles::collect(&environments, included, (tested::identity(&interpreter), now()))?;
        let unwritten = |error| Refusal::new(format!("the record cannot be written: {error}"));
        tested.write(&self.work_dir, name).map_err(unwritten)
    }

    fn finished(&self, result: &EnvironmentResult) {
        let Some(packed) = self.packed.get(&result.name) else { return };
        if result.skipped || result.unavailable || result.command_seconds.is_empty() {
            return;
        }
        if result.code != exit_code::OK {
            TestedFiles::forget(&self.work_dir, &result.name);
        } else if !self.is_partial && self.record(&result.name, packed).is_err() {
            // `pack` finds no record and asks for another run.
            TestedFiles::forget(&self.work_dir, &result.name);
        }
    }
}

impl Reporter for PackTestRecorder {
    fn event(&self, event: RunEvent) {
        if let RunEvent::EnvironmentFinished { result, .. } = event {
            self.finished(&result);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "readers want the time of the clock on the wall")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
