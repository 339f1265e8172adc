//! Runs a set of environments, sequentially or in parallel, until all are done, one fails that stops the others, or the
//! user interrupts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};

use crate::builder::env_run::EnvRuns;
use crate::builder::layer::bases::LayerBases;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::prebuilder::{PrebuildOptions, Prebuilder};
use crate::builder::queue::EnvQueue;
use crate::builder::redirect_env;
use crate::builder::run_context::RunContext;
use crate::builder::secrets::RunSecrets;
use crate::builder::services::RunServices;
use crate::builder::verdict;
use crate::cli::options::EnvironmentChoice;
use crate::error::ConfigError;
use crate::event::EnvironmentResult;
use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::exit_code;
use crate::plan::Plan;
use crate::plan::graph;
use crate::report::observers::observed;
use crate::report::{Buffered, EventLayout, JunitReporter};
use crate::slice_result::SliceResult;

/// The seconds tox reports for an environment that never ran.
const NO_TIME: f64 = 0.01;

/// The verbosity without `-v` or `-q`.
const USUAL_VERBOSITY: u8 = 2;

/// How an environment's messages and output are shown.
#[derive(Debug, Clone)]
pub enum OutputMode {
    /// Shown immediately.
    Live,
    /// Held back until the environment is done, and shown only if there is a reason to.
    Held(EventLayout),
}

/// Which environments to run, and how.
pub struct Coordinator<'a> {
    pub run: &'a Arc<RunContext>,
    pub plan: &'a Arc<Plan>,
    pub names: Vec<String>,
    /// How many may run in parallel; `None`: all.
    pub max_parallel: Option<usize>,
    pub showing: OutputMode,
    /// When the program started.
    pub start: Instant,
    /// How environments are prepared before they run; `None`: they are not.
    pub prebuild: Option<PrebuildOptions>,
    /// The slice that the environments are; `None`: they are all that were selected.
    pub slice: Option<SliceRun>,
}

/// A slice, of which the result file tells.
pub struct SliceRun {
    pub record: SliceResult,
    pub junit: Arc<JunitReporter>,
}

impl SliceRun {
    /// What is recorded of it at the end.
    pub fn finished(&self, results: &[EnvironmentResult]) -> SliceResult {
        // No slice contains what is not available, and every slice reports it.
        let results = results.iter().filter(|result| !result.unavailable).cloned().collect();
        SliceResult { results, suites: self.junit.parts(), ..self.record.clone() }
    }
}

/// How a run ended.
pub struct RunEnd {
    /// In the order of the selection.
    pub results: Vec<EnvironmentResult>,
    /// The program's exit code; the error if the order of the environments could not be determined, so that nothing ran.
    pub code: Result<i32, ConfigError>,
}

enum CoordinatorMessage {
    Done(Box<EnvRun>),
    Interrupted,
}

/// The result of a finished environment.
struct EnvRun {
    result: EnvironmentResult,
    held: Option<Arc<Buffered>>,
    show_anyway: bool,
}

impl Coordinator<'_> {
    /// Runs all environments and reports the overall result.
    pub fn run(&self) -> RunEnd {
        let (mut finished, error) = match self.order() {
            Ok((order, services)) => (self.run_in_order(order, &services), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let mut results: Vec<EnvironmentResult> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let at = finished.iter().position(|result| result.name == *name);
            results.push(
                at.map_or_else(|| never_ran(name, true, exit_code::HANDLED_ERROR), |at| finished.swap_remove(at)),
            );
        }
        for (name, _) in self.plan.unavailable() {
            if results.iter().all(|result| result.name != name) {
                results.push(EnvironmentResult { unavailable: true, ..never_ran(&name, false, exit_code::OK) });
            }
        }
        self.write_journal(&results);
        if let Err(error) = redirect_env::record(self.plan, &self.run.project, self.run.output.reporter.as_ref()) {
            return RunEnd { results, code: Err(error) };
        }
        self.report_unused_keys();
        let fail_fast = self.run.options.fail_fast || results.iter().any(|result| result.fail_fast);
        let code = verdict::exit_code(&results, fail_fast);
        let (success, seconds) = (verdict::is_success(&results), self.start.elapsed().as_secs_f64());
        let idle = self.idle(&results);
        self.run.output.reporter.event(RunEvent::Summary { results: results.clone(), seconds, success });
        if let Some(text) = idle {
            self.run.output.reporter.event(RunEvent::Notice { text });
        }
        RunEnd { results, code: error.map_or(Ok(code), Err) }
    }

    fn order(&self) -> Result<(graph::EnvOrder, RunServices), ConfigError> {
        let order = self.plan.order(&self.names)?;
        Ok((order, RunServices::of(self.plan, &self.names)?))
    }

    fn run_in_order(&self, order: graph::EnvOrder, services: &RunServices) -> Vec<EnvironmentResult> {
        let held = match &self.showing {
            OutputMode::Live => None,
            OutputMode::Held(layout) => Some(layout),
        };
        let bases = LayerBases::of(self.plan, self.names.iter().chain(services.names()));
        let names = self.names.iter().chain(services.names()).chain(bases.names()).cloned().collect();
        let packager = PackagingEnvs::new(Arc::clone(self.run), Arc::clone(self.plan), names, held.cloned());
        let secrets = RunSecrets::start(self.run, self.plan, self.names.iter().chain(services.names()));
        let prebuilder = self.prebuild.clone().map(|prebuild| Prebuilder::new(self.run, &packager, &order, prebuild));
        let env_runs = EnvRuns {
            run: self.run,
            plan: self.plan,
            packager: &packager,
            services,
            secrets: &secrets,
            bases: &bases,
            layout: held.cloned(),
            prebuilder: prebuilder.as_ref(),
            cores: self.cores(),
        };
        let mut queue = EnvQueue::new(order, self.max_parallel.unwrap_or(usize::MAX));
        let (sender, receiver) = channel();
        let (done_reader, done_writer) = match std::io::pipe() {
            Ok((reader, writer)) => (Some(reader), Some(writer)),
            Err(_) => (None, None),
        };
        std::thread::scope(|scope| {
            if let Some(done) = done_reader {
                let sender = sender.clone();
                scope.spawn(move || watch(&self.run.interrupt, &done, &sender));
            }
            if let Some(prebuilder) = env_runs.prebuilder {
                (0..prebuilder.threads()).for_each(|_| drop(scope.spawn(|| prebuilder.work())));
            }
            let results = self.conduct(scope, &env_runs, &mut queue, (sender, receiver));
            env_runs.prebuilder.into_iter().for_each(Prebuilder::close);
            // Closes the pipe, which ends the watcher.
            drop(done_writer);
            services.close(self.run.output.reporter.as_ref());
            packager.close();
            results
        })
    }

    /// The share of the processors that each environment of a parallel run gets.
    fn cores(&self) -> Option<usize> {
        let at_once = self.max_parallel.unwrap_or(usize::MAX).min(self.names.len()).max(1);
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        (self.run.grouping == ProcessGrouping::Group).then(|| (all / at_once).max(1))
    }

    fn conduct<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        env_runs: &'scope EnvRuns<'env>,
        queue: &mut EnvQueue,
        (sender, receiver): (Sender<CoordinatorMessage>, Receiver<CoordinatorMessage>),
    ) -> Vec<EnvironmentResult> {
        let mut results: Vec<EnvironmentResult> = Vec::new();
        let mut interrupted = false;
        loop {
            while let Some(name) = queue.next() {
                let sender = sender.clone();
                env_runs.prebuilder.into_iter().for_each(|prebuilder| prebuilder.begin_run(&name));
                scope.spawn(move || {
                    let _ = sender.send(CoordinatorMessage::Done(Box::new(self.run_one(env_runs, &name))));
                });
            }
            if queue.is_done() {
                return results;
            }
            match receiver.recv() {
                Ok(CoordinatorMessage::Done(env_run)) => {
                    queue.finish(&env_run.result.name);
                    env_runs.prebuilder.into_iter().for_each(|prebuilder| prebuilder.finish_run(&env_run.result.name));
                    if self.stops_the_others(&env_run.result) {
                        env_runs.prebuilder.into_iter().for_each(Prebuilder::close);
                        results.extend(self.give_up(queue));
                    }
                    let last = interrupted || queue.is_done();
                    self.conclude(env_runs, &env_run, last);
                    results.push(env_run.result);
                }
                Ok(CoordinatorMessage::Interrupted) => {
                    interrupted = true;
                    env_runs.prebuilder.into_iter().for_each(Prebuilder::close);
                    env_runs.packager.report_interrupt();
                    let one_by_one = self.max_parallel == Some(1) && self.run.options.fail_fast;
                    let code = if one_by_one { exit_code::HANDLED_ERROR } else { exit_code::CANCELLED };
                    let left = queue.close().into_iter().filter(|left| left.in_line);
                    results.extend(left.map(|left| never_ran(&left.name, false, code)));
                }
                Err(_) => return results,
            }
        }
    }

    fn run_one(&self, env_runs: &EnvRuns<'_>, name: &str) -> EnvRun {
        let held = match &self.showing {
            OutputMode::Live => None,
            OutputMode::Held(layout) => {
                Some(Arc::new(Buffered::new(layout.clone(), Arc::clone(&self.run.output.reporter))))
            }
        };
        let reporter = match &held {
            Some(held) => observed(Arc::clone(held) as Arc<dyn Reporter>, &self.run.output.observers),
            None => Arc::clone(&self.run.output.reporter),
        };
        let (result, show_anyway) = env_runs.take(name, reporter);
        EnvRun { result, held, show_anyway }
    }

    /// Reports that an environment is done and shows its held-back output if there is a reason to.
    fn conclude(&self, env_runs: &EnvRuns<'_>, env_run: &EnvRun, last: bool) {
        self.run.output.reporter.event(RunEvent::EnvironmentFinished { result: env_run.result.clone(), last });
        let Some(held) = &env_run.held else { return };
        let show = env_run.result.code != exit_code::OK || env_run.show_anyway || self.run.options.list_dependencies;
        for output in env_runs.packager.held_output(&env_run.result.name).iter().chain([held]) {
            if show {
                output.replay(self.run.output.reporter.as_ref());
            } else {
                output.forget();
            }
        }
    }

    fn stops_the_others(&self, result: &EnvironmentResult) -> bool {
        let failed = result.code != exit_code::OK && !result.skipped && !result.ignore_outcome;
        failed && (self.run.options.fail_fast || result.fail_fast)
    }

    /// Starts no more environments after a failure.
    fn give_up(&self, queue: &mut EnvQueue) -> Vec<EnvironmentResult> {
        let left = queue.close().into_iter();
        left.map(|left| never_ran(&left.name, true, exit_code::HANDLED_ERROR)).collect()
    }

    /// A warning, with a hint, about successful environments in which nothing ran.
    fn idle(&self, results: &[EnvironmentResult]) -> Option<String> {
        let options = &self.run.options;
        if options.skip.no_test || options.package.package_only || self.run.verbosity == 0 {
            return None;
        }
        let is_idle = |result: &&EnvironmentResult| {
            result.code == exit_code::OK && !result.skipped && !result.unavailable && result.command_seconds.is_empty()
        };
        let idle: Vec<&str> = results.iter().filter(is_idle).map(|result| result.name.as_str()).collect();
        let first = idle.first()?;
        let settings = &self.plan.settings;
        let section = settings.environment_section(first);
        let named = matches!(settings.options.selection.environments, EnvironmentChoice::Named(_));
        let remedy = if let Some(hint) = settings.source.missing_hint() {
            hint.to_owned()
        } else if settings.is_written(&settings.environment(first), "serve").unwrap_or(false) {
            format!("`{first}` is a service, which `envo serve -e {first}` starts")
        } else if !named && self.has_only_services(first) {
            "`envo serve` starts the services".to_owned()
        } else if named {
            // An environment without commands that is requested by name is meant to be built only.
            return None;
        } else {
            format!("write what to run as `commands` of `[{section}]`")
        };
        Some(format!("nothing ran in {}: no `commands`\nhelp: {remedy}", idle.join(", ")))
    }

    /// Whether the environment is not configured, but services are.
    fn has_only_services(&self, environment: &str) -> bool {
        let settings = &self.plan.settings;
        let is_service = |name: &String| settings.is_written(&settings.environment(name), "serve").unwrap_or(false);
        !settings.section_names().contains(environment)
            && self.plan.runs().is_ok_and(|names| names.iter().any(is_service))
    }

    /// At higher verbosity, reports unused keys of the environments that ran.
    fn report_unused_keys(&self) {
        if self.run.verbosity <= USUAL_VERBOSITY {
            return;
        }
        let settings = &self.plan.settings;
        let tell = |section: String, keys: Vec<String>| {
            if !keys.is_empty() {
                self.run.output.reporter.event(RunEvent::UnusedKeys { section, keys });
            }
        };
        for name in &self.names {
            tell(format!("[testenv:{name}]"), settings.unused_keys(&settings.environment(name)).unwrap_or_default());
        }
        tell("[tox]".to_owned(), settings.unused_keys(settings.core()).unwrap_or_default());
    }

    fn write_journal(&self, results: &[EnvironmentResult]) {
        let (Some(journal), Some(file)) = (&self.run.journal, &self.run.options.results.result_json) else { return };
        if let Some(slice) = &self.slice {
            journal.set_slice(slice.finished(results));
        }
        if let Err(error) = journal.write(file) {
            self.run.output.reporter.error("ROOT", format!("could not write {}: {error:#}", file.display()));
        }
    }
}

fn never_ran(name: &str, skipped: bool, code: i32) -> EnvironmentResult {
    EnvironmentResult {
        name: name.to_owned(),
        skipped,
        code,
        ignore_outcome: false,
        fail_fast: false,
        unavailable: false,
        duration_seconds: NO_TIME,
        command_seconds: Vec::new(),
        phase_seconds: Vec::new(),
    }
}

/// Waits for an interrupt, or for the end of `done`.
fn watch(interrupt: &Interrupt, done: &std::io::PipeReader, sender: &Sender<CoordinatorMessage>) {
    let Some(notice) = interrupt.notice(0) else { return };
    loop {
        let mut waiting = [PollFd::new(&notice, PollFlags::IN), PollFd::new(done, PollFlags::IN)];
        match poll(&mut waiting, None) {
            Ok(_) if !waiting[0].revents().is_empty() => {
                let _ = sender.send(CoordinatorMessage::Interrupted);
                return;
            }
            Ok(_) if !waiting[1].revents().is_empty() => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
