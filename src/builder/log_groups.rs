//! Marks log groups on GitHub Actions as tox-gh and tox-gh-actions do, and writes tox-gh's job summary.
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions#grouping-log-lines>

use std::collections::HashSet;
use std::io::Write as _;
use std::path::PathBuf;

use parking_lot::Mutex;

use crate::error::ConfigError;
use crate::event::{Reporter, RunEvent};
use crate::model::{EnvVariables, Environment};
use crate::plan::job::{CiJob, CiPlugin};

/// Marks groups; does nothing outside a job.
#[derive(Debug, Default)]
pub struct LogGroups {
    plugin: Option<CiPlugin>,
    /// Environments run in parallel, so each has its own groups in its held-back output.
    side_by_side: bool,
    /// The job's summary file.
    summary: Option<PathBuf>,
    /// Owners of an open installation group: one for all, or one per environment.
    installing: Mutex<HashSet<String>>,
}

impl LogGroups {
    pub fn new(job: Option<CiJob>, side_by_side: bool, variables: &EnvVariables) -> Self {
        let summary = variables.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
        Self {
            plugin: job.map(|job| job.plugin),
            side_by_side,
            summary: summary.filter(|_| job.is_some_and(|job| job.tells_outcomes)),
            installing: Mutex::default(),
        }
    }

    /// Call before an installation. As with tox-gh, a group left open by a failed installation continues.
    pub fn before_installation(&self, environment: &Environment, reporter: &dyn Reporter) {
        let foreign = self.side_by_side && environment.kind.is_package();
        if self.plugin == Some(CiPlugin::Gh) && !foreign && self.installs(environment, true) {
            reporter.event(RunEvent::GroupOpened { title: "tox:install".to_owned() });
        }
    }

    /// Call before the environment's commands.
    pub fn before_commands(&self, environment: &Environment, reporter: &dyn Reporter) -> Result<(), ConfigError> {
        let name = &environment.name;
        let title = match self.plugin {
            None => return Ok(()),
            Some(CiPlugin::Gh) => {
                if self.installs(environment, false) {
                    reporter.event(RunEvent::GroupClosed);
                }
                format!("tox:{name}")
            }
            // The output of several environments would be mixed up in its groups, so the plugin makes none.
            Some(CiPlugin::GhActions) if self.side_by_side => return Ok(()),
            Some(CiPlugin::GhActions) => match environment.description.get()?.as_str() {
                "" => format!("tox: {name}"),
                description => format!("tox: {name} - {description}"),
            },
        };
        reporter.event(RunEvent::GroupOpened { title });
        Ok(())
    }

    /// Call after the environment's commands.
    pub fn after_commands(&self, environment: &Environment, succeeded: bool, reporter: &dyn Reporter) {
        match self.plugin {
            Some(CiPlugin::Gh) => {
                reporter.event(RunEvent::GroupClosed);
                self.report_outcome(&environment.name, succeeded);
            }
            Some(CiPlugin::GhActions) if !self.side_by_side => reporter.event(RunEvent::GroupClosed),
            _ => {}
        }
    }

    /// Records whether an installation is running; returns whether that changed.
    fn installs(&self, environment: &Environment, now: bool) -> bool {
        let whose = if self.side_by_side { environment.name.clone() } else { String::new() };
        let mut installing = self.installing.lock();
        if now { installing.insert(whose) } else { installing.remove(&whose) }
    }

    /// A summary that cannot be written does not fail the run.
    fn report_outcome(&self, name: &str, succeeded: bool) {
        let Some(path) = &self.summary else { return };
        let mark = if succeeded { ":white_check_mark:" } else { ":negative_squared_cross_mark:" };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| file.write_all(format!("{mark}: {name}\n").as_bytes()));
    }
}
