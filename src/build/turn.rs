//! One environment's turn: prepared, its commands run, and what it leaves tidied up.

use std::sync::Arc;
use std::time::Instant;

use super::command_set;
use super::contents::RunContents;
use super::halt::{Halt, Verdict};
use super::packaging::Packager;
use super::prepare::Site;
use super::run::Run;
use crate::model::Environment;
use crate::plan::Plan;
use crate::report::event::EnvironmentResult;
use crate::report::{Event, Reporter};

/// What the turns of one run share.
pub struct Turns<'a> {
    pub run: &'a Arc<Run>,
    pub plan: &'a Plan,
    pub packager: &'a Packager,
}

impl Turns<'_> {
    /// Takes the turn of the environment `name`; its messages and output go to `reporter`. Says as well whether those are
    /// to be shown whatever happened (`parallel_show_output`).
    pub fn take(&self, name: &str, reporter: Arc<dyn Reporter>) -> (EnvironmentResult, bool) {
        let start = Instant::now();
        self.run.reporter.event(Event::EnvironmentStarted { environment: name.to_owned() });
        let mut command_seconds = Vec::new();
        let (mut ignore_outcome, mut fail_fast, mut show_anyway) = (false, false, false);
        let outcome = self.plan.environment(name).map_err(Halt::from).and_then(|environment| {
            (ignore_outcome, fail_fast) = (environment.ignore_outcome, environment.fail_fast);
            show_anyway = environment.parallel_show_output;
            self.evaluate(&Arc::new(environment), Arc::clone(&reporter), &mut command_seconds)
        });
        let verdict = match outcome {
            Ok(code) => Verdict { skipped: false, code },
            Err(halt) => halt.tell(reporter.as_ref(), name),
        };
        self.packager.release(name);
        let result = EnvironmentResult {
            name: name.to_owned(),
            skipped: verdict.skipped,
            code: verdict.code,
            ignore_outcome,
            fail_fast,
            unavailable: false,
            duration_seconds: start.elapsed().as_secs_f64(),
            command_seconds,
        };
        if let Some(journal) = &self.run.journal {
            journal.environment(name).result(&result);
        }
        (result, show_anyway)
    }

    fn evaluate(
        &self,
        environment: &Arc<Environment>,
        reporter: Arc<dyn Reporter>,
        command_seconds: &mut Vec<f64>,
    ) -> Result<i32, Halt> {
        let site = Site::new(Arc::clone(self.run), Arc::clone(environment), reporter);
        self.tell_warnings(&site);
        let mut contents = RunContents::new(self.packager);
        let foundation = site.prepare(&mut contents)?;
        let session = contents.finish(&site, foundation)?;
        if self.run.options.no_test || self.run.options.package_only {
            return Ok(crate::exit_code::OK);
        }
        let change_dir = environment.change_dir.get()?;
        fs_err::create_dir_all(&change_dir)?;
        self.run.reporter.event(Event::Phase { environment: environment.name.clone(), phase: "commands".to_owned() });
        let finish = |commands| {
            self.tell_warnings(&site);
            Ok(commands)
        };
        command_set::run_all(&session, &environment.commands, &change_dir, &finish, command_seconds)
    }

    /// Says what was noticed while the environment's settings were worked out.
    fn tell_warnings(&self, site: &Site) {
        for text in self.plan.take_warnings() {
            site.warning(text);
        }
    }
}
