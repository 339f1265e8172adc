//! The shared context of a run: modes, reporter and common state of its environments.

use anyhow::{Context, Result};
use parking_lot::Mutex;
use signal_hook::consts::SIGINT;
use std::sync::{Arc, Once, OnceLock};

use crate::builder::coordinator::OutputMode;
use crate::builder::journal::Journal;
use crate::builder::log_groups::LogGroups;
use crate::builder::phases::PhaseTimes;
use crate::builder::run_context::{RunContext, RunOutput};
use crate::cli::ci::is_ci;
use crate::cli::options::{Options, Parallelism, ReportFormat, Verb};
use crate::commands::{ProgressDisplay, ROOT};
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::shell::redact;
use crate::lockfile::index::LockIndex;
use crate::model::InterpreterLookup as _;
use crate::model::environment::{InstallerChoice, PackageKind};
use crate::plan::Plan;
use crate::python_text::quote::quote_words;
use crate::redaction::Redactor;
use crate::report::brief::BriefContext;
use crate::report::github;
use crate::report::observers::{Observers, observed};
use crate::report::{BriefReporter, EventLayout, Heartbeat, JunitReporter};
use crate::runtime::python::{PythonDiscovery, PythonRuntime};
use crate::ship::test_recorder::PackTestRecorder;

/// How environments run in parallel, and how that is reported.
pub(super) struct RunMode {
    /// `None`: all at once.
    pub(super) places: Option<usize>,
    pub(super) showing: OutputMode,
    pub(super) grouping: ProcessGrouping,
    pub(super) display: ProgressDisplay,
    pub(super) junit: Option<Arc<JunitReporter>>,
    pub(super) observers: Observers,
    /// The reporter instead of the usual one.
    pub(super) brief: Option<Arc<BriefReporter>>,
}

impl RunMode {
    /// Everything at once, each in a process group of its own.
    pub(super) fn side_by_side() -> Self {
        Self {
            places: None,
            showing: OutputMode::Live,
            grouping: ProcessGrouping::Group,
            display: ProgressDisplay::Plain,
            junit: None,
            observers: Observers::default(),
            brief: None,
        }
    }

    /// The same, with a display of what goes on.
    pub(super) fn with_spinners(self, spinners: bool) -> Self {
        Self { display: if spinners { ProgressDisplay::Spinners } else { ProgressDisplay::Plain }, ..self }
    }

    /// One after the other, on this process's terminal.
    pub(super) fn one_by_one() -> Self {
        let display = ProgressDisplay::SlowPhases;
        Self { places: Some(1), grouping: ProcessGrouping::Shared, display, ..Self::side_by_side() }
    }

    /// `is_slice`: the result file needs the JUnit report, for merging it with those of other slices.
    pub(super) fn of(options: &Options, plan: &Arc<Plan>, discovery: &Arc<PythonDiscovery>, is_slice: bool) -> Self {
        let run = &options.run;
        let wants_junit = run.results.junit_xml.is_some() || (is_slice && run.results.result_json.is_some());
        let junit = wants_junit.then(Arc::default);
        let observers = observers(options, plan, discovery, junit.as_ref());
        let is_brief = options.output.report == ReportFormat::Brief;
        // An error in the project's settings is reported when the run is opened.
        let brief = if is_brief { brief_reporter(options, plan).ok().map(Arc::new) } else { None };
        if options.verb != Verb::RunParallel {
            return Self { junit, observers, brief, ..Self::one_by_one() };
        }
        let live = run.parallel.parallel_live || options.output.report != ReportFormat::Human;
        Self {
            places: match run.parallel.parallelism {
                Parallelism::Unlimited => None,
                Parallelism::Limit(limit) => Some(limit.max(1)),
            },
            showing: if live { OutputMode::Live } else { OutputMode::Held(event_layout(options)) },
            grouping: ProcessGrouping::Group,
            display: if options.process.stdout_is_terminal && !live && !run.parallel.parallel_no_spinner {
                ProgressDisplay::Spinners
            } else {
                ProgressDisplay::Plain
            },
            junit,
            observers,
            brief,
        }
    }
}

/// The receivers of events other than the user.
fn observers(
    options: &Options,
    plan: &Arc<Plan>,
    discovery: &Arc<PythonDiscovery>,
    junit: Option<&Arc<JunitReporter>>,
) -> Observers {
    let mut observers: Vec<Arc<dyn Reporter>> = Vec::new();
    observers.extend(junit.map(|junit| Arc::clone(junit) as Arc<dyn Reporter>));
    if let Some(checkout) = github::checkout(&options.process.variables, &options.process.current_dir) {
        let plan = Arc::clone(plan);
        let places = move |environment: &str, key: &str| plan.settings.written_at(environment, key);
        observers.push(Arc::new(github::GithubAnnotations::new(checkout, Box::new(places))));
    }
    if options.verb == Verb::RunParallel && is_ci(&options.process.variables) {
        observers.push(Arc::new(Heartbeat::new(crate::commands::reporter(options, ProgressDisplay::Plain))));
    }
    let recorder = PackTestRecorder::new(options, plan, Arc::clone(discovery) as _);
    observers.extend(recorder.map(|recorder| Arc::new(recorder) as Arc<dyn Reporter>));
    observers.into()
}

pub(super) fn event_layout(options: &Options) -> EventLayout {
    EventLayout::new(options.output.verbosity, options.output.colored, &options.output.stderr_color)
}

/// The reporter of failures only.
fn brief_reporter(options: &Options, plan: &Arc<Plan>) -> Result<BriefReporter, ConfigError> {
    let project = plan.project()?;
    let (settings, repeated) = (Arc::clone(plan), options.clone());
    Ok(BriefReporter::new(BriefContext {
        log_dir: project.work_dir.join(".envo/run"),
        work_dir: project.work_dir.clone(),
        root: project.root,
        current_dir: options.process.current_dir.clone(),
        locations: Box::new(move |environment, key| settings.settings.written_at(environment, key)),
        repeat: Box::new(move |environment| repeat_command(&repeated, environment)),
        verbosity: options.output.verbosity,
    }))
}

/// The command that runs one environment as this run does.
pub(super) fn repeat_command(options: &Options, environment: &str) -> String {
    let mut words = vec![options.invocation.program.clone(), "run".to_owned()];
    let paths = [("-c", &options.project.config_file), ("--workdir", &options.project.work_dir)];
    for (option, path) in paths.into_iter().chain([("--root", &options.project.root_dir)]) {
        words.extend(path.iter().flat_map(|path| [option.to_owned(), path.display().to_string()]));
    }
    words.extend(options.project.overrides.iter().flat_map(|text| ["-x".to_owned(), text.clone()]));
    words.extend(["-e".to_owned(), environment.to_owned()]);
    if let Some(positional) = &options.invocation.positional {
        words.push("--".to_owned());
        words.extend(positional.iter().cloned());
    }
    quote_words(&redact(&words))
}

/// The context of a run.
pub(super) fn open_run(
    options: &Options,
    plan: &Plan,
    discovery: Arc<PythonDiscovery>,
    manner: &RunMode,
) -> Result<RunContext> {
    // Before it listens to signals, a signal ends the process by itself.
    let installer = choose_installer(options)?;
    let locks = if is_locked(options, plan)? { Some(read_locks(plan)?) } else { None };
    let usual = || crate::commands::reporter(options, manner.display);
    let reporter = manner.brief.clone().map_or_else(usual, |brief| brief as Arc<dyn Reporter>);
    let reporter = observed(reporter, &manner.observers);
    let teller = Arc::clone(&reporter);
    let verb = options.verb;
    let interrupt = Interrupt::listen(move |signal| match verb {
        Verb::Serve if signal == SIGINT => teller.warning(ROOT, "stopping (Ctrl-C again to kill)".to_owned()),
        Verb::Serve => teller.warning(ROOT, "stopping".to_owned()),
        // What they have asked for goes on; they say so themselves.
        Verb::Up | Verb::Scale => {}
        _ => teller.error(ROOT, format!("[{}] KeyboardInterrupt - teardown started", std::process::id())),
    });
    let interrupt = interrupt.context("cannot listen to signals")?;
    discovery.set_interrupt(interrupt.clone());
    let runtime = PythonRuntime::new(Arc::clone(&discovery), &options.process.variables)
        .with_reporter(Arc::clone(&reporter))
        .with_interrupt(interrupt.clone());
    Ok(RunContext {
        project: plan.project()?,
        options: options.run.clone(),
        host: options.process.variables.clone(),
        verbosity: options.output.verbosity,
        interpreters: Arc::clone(&discovery) as _,
        python: Arc::new(runtime),
        installer,
        locks,
        interrupt,
        grouping: manner.grouping,
        journal: options.run.results.result_json.as_ref().map(|_| open_journal(plan, &discovery)),
        output: RunOutput {
            reporter,
            groups: LogGroups::new(plan.job, manner.grouping == ProcessGrouping::Group, &options.process.variables),
            observers: Arc::clone(&manner.observers),
            phases: PhaseTimes::default(),
            redactor: Redactor::default(),
        },
        laid_out: Once::new(),
        looked_up: Mutex::default(),
        uv: OnceLock::new(),
    })
}

pub(super) fn choose_installer(options: &Options) -> Result<Option<InstallerChoice>, ConfigError> {
    let Some(text) = options.process.variables.text("ENVO_INSTALLER").filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let unknown = || ConfigError::handled(format!("ENVO_INSTALLER is `{text}`, must be one of auto, pip, uv"));
    InstallerChoice::named(&text).map(Some).ok_or_else(unknown)
}

/// A journal with a part for every environment, in the order of the configuration, each followed by those that build its
/// package.
pub(super) fn open_journal(plan: &Plan, discovery: &PythonDiscovery) -> Journal {
    let journal = Journal::new(RunContext::platform());
    for entry in plan.all().unwrap_or_default() {
        journal.environment(&entry.name);
        // Errors in an environment are reported when it runs.
        let Ok(environment) = plan.environment(&entry.name) else { continue };
        let Some(packaging) = &environment.package.packaging else { continue };
        let wheel_environment = packaging.wheel_environment.get().ok().flatten();
        for name in std::iter::once(packaging.package_environment.clone()).chain(wheel_environment) {
            journal.environment(&name);
        }
        // Where its wheel is built was worked out from these interpreters, which tox records for every command.
        if matches!(packaging.kind, PackageKind::Wheel | PackageKind::SdistWheel)
            && plan.settings.written_at(&entry.name, "wheel_build_env").is_none()
        {
            let builder = plan.environment(&packaging.package_environment).ok();
            for environment in std::iter::once(&environment).chain(&builder) {
                if let Some(interpreter) = discovery.find(&environment.python.base_python) {
                    journal.environment(&environment.name).python(&interpreter);
                }
            }
        }
    }
    journal
}

pub(super) fn read_locks(plan: &Plan) -> Result<LockIndex, ConfigError> {
    Ok(LockIndex::read(&plan.project()?.root)?)
}

/// Whether environments are filled from their locks: by option, or because the project wants it so.
pub(super) fn is_locked(options: &Options, plan: &Plan) -> Result<bool, ConfigError> {
    Ok(options.run.locked || plan.settings.boolean(plan.settings.core(), "locked")?)
}
