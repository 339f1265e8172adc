//! Resolves `--watch`, and what the process that watches has chosen for one of its runs.

use super::OptionsResolver;
use crate::cli::UsageError;
use crate::cli::options::WatchMode;

/// The variable with the environments of a run that `--watch` started, separated by commas. Commands do not get it.
pub const WATCHED_RUN: &str = "ENVO_WATCHED_RUN";

impl OptionsResolver<'_> {
    /// Whether this process watches: not if it is one of the runs.
    pub(super) fn watch_mode(&self) -> Result<Option<WatchMode>, UsageError> {
        let restarts = self.is_typed("watch_restart");
        if !self.is_typed("watch") {
            return if restarts { Err(self.problem("watch_restart", "only allowed with --watch")) } else { Ok(None) };
        }
        if self.is_typed("no_capture") {
            return Err(self.problem("watch", "not allowed with argument -i/--no-capture"));
        }
        let mode = if restarts { WatchMode::Restart } else { WatchMode::Queue };
        Ok(if self.watched_run().is_some() { None } else { Some(mode) })
    }

    pub(super) fn watched_run(&self) -> Option<Vec<String>> {
        let names = self.context.variables.text(WATCHED_RUN).filter(|_| self.is_typed("watch"))?;
        Some(names.split(',').map(str::to_owned).collect())
    }
}
