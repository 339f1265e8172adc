//! `envo run` and `envo run-parallel`: builds environments and runs their commands. `exec` and `devenv` are runs of one
//! environment that was changed first.

use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result};
use signal_hook::consts::SIGINT;

use super::opening::{discovery, open_plan_with};
use super::{Display, ROOT, report_warnings};
use crate::builder::ahead::Foresight;
use crate::builder::coordinator::{Coordinator, Showing};
use crate::builder::journal::Journal;
use crate::builder::log_groups::LogGroups;
use crate::builder::phases::Phases;
use crate::builder::redirect_target;
use crate::builder::run::Run;
use crate::cli::options::{Options, Parallelism, ReportFormat, Verb};
use crate::error::ConfigError;
use crate::error::frame;
use crate::event::{Event, Reporter, Stream};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::Grouping;
use crate::lock::index::Index;
use crate::model::InterpreterLookup as _;
use crate::model::environment::{InstallerChoice, PackageKind};
use crate::plan::{self, Plan};
use crate::report::observed::{Observers, observed};
use crate::report::{Junit, Layout, github};
use crate::runtime::python::{PythonDiscovery, PythonRuntime};
use crate::settings::check::misspelt_keys;

/// Runs the environments that were asked for.
///
/// # Errors
/// When the configuration is wrong; what is wrong with one environment only fails that one.
pub fn execute(options: &Options) -> Result<i32> {
    let start = Instant::now();
    let (plan, discovery) = open(options)?;
    plan.ensure_only_run_environments()?;
    let names = plan.selected()?;
    report_warnings(&plan, options);
    run_environments(options, &Arc::new(plan), discovery, names, start)
}

/// The configuration, and the interpreters that environments are made from.
pub(super) fn open(options: &Options) -> Result<(Plan, Arc<PythonDiscovery>)> {
    let discovery = Arc::new(discovery(options));
    Ok((open_plan_with(options, Arc::clone(&discovery))?, discovery))
}

/// Runs environments by name, as the options want it.
pub(super) fn run_environments(
    options: &Options,
    plan: &Arc<Plan>,
    discovery: Arc<PythonDiscovery>,
    names: Vec<String>,
    start: Instant,
) -> Result<i32> {
    // The folders of all must be known, so it is also said of the others that they are left out.
    plan.kept(|entry| !entry.kind.is_package())?;
    report_warnings(plan, options);
    let manner = Manner::of(options, plan);
    let run = Arc::new(open_run(options, plan, Arc::clone(&discovery), &manner)?);
    redirect_target::check(plan, &run.project)?;
    warn_of_misspellings(options, plan, &names, run.reporter.as_ref());
    let one_by_one = manner.grouping == Grouping::Shared;
    let foresight = if one_by_one { foresight(options, &run, &discovery, &names) } else { None };
    let Manner { places, showing, junit, .. } = manner;
    let code = Coordinator { run: &run, plan, names, places, showing, start, foresight }.run();
    if let (Some(junit), Some(file)) = (junit, &options.run.junit_xml)
        && let Err(error) = junit.write(file)
    {
        run.reporter.error(ROOT, format!("could not write {}: {error}", file.display()));
    }
    run.interrupt.end_as_asked();
    Ok(code?)
}

/// Warns of what tox passes over, and what is hardly meant as it is written.
pub(super) fn warn_of_misspellings(options: &Options, plan: &Plan, names: &[String], reporter: &dyn Reporter) {
    if options.verbosity == 0 {
        return;
    }
    for error in plan.misspelt_depends(names).into_iter().chain(misspelt_keys(&plan.settings)) {
        let bytes = frame::warning(&error, options.colored).into_bytes();
        reporter.event(Event::LaidOut { stream: Stream::Error, bytes });
    }
}

fn read_locks(plan: &Plan) -> Result<Index, ConfigError> {
    Ok(Index::read(&plan.project()?.root)?)
}

/// Whether environments are filled from their locks: by option, or because the project wants it so.
fn is_locked(options: &Options, plan: &Plan) -> Result<bool, ConfigError> {
    Ok(options.run.locked || plan.settings.boolean(plan.settings.core(), "locked")?)
}

/// How environments are prepared before their turn, if there is anything to prepare. A child that writes straight to the
/// terminal cannot be held back, programs are told of everything when it happens, and the record of a run says nothing of
/// environments whose turn never came.
fn foresight(options: &Options, run: &Run, discovery: &Arc<PythonDiscovery>, names: &[String]) -> Option<Foresight> {
    let new = |name: &String| !run.project.work_dir.join(name).exists();
    let worthwhile = names.len() > 1 && (options.run.recreate || names.iter().any(new));
    let told_at_once = options.report == ReportFormat::Json || options.run.junit_xml.is_some() || run.journal.is_some();
    let can_be_held = !options.run.no_capture && !told_at_once;
    if !options.run.prepare_ahead || !can_be_held || !worthwhile {
        return None;
    }
    let (options_again, discovery) = (options.clone(), Arc::clone(discovery));
    let open_plan = move || plan::open(Arc::new(options_again.clone()), Arc::clone(&discovery) as _).ok();
    Some(Foresight { open_plan: Arc::new(open_plan), layout: layout(options) })
}

/// How environments run beside each other, and who is told of it how.
pub(super) struct Manner {
    /// `None`: all at once.
    places: Option<usize>,
    showing: Showing,
    grouping: Grouping,
    display: Display,
    junit: Option<Arc<Junit>>,
    observers: Observers,
}

impl Manner {
    /// Everything at once, each in a process group of its own.
    pub(super) fn side_by_side() -> Self {
        Self {
            places: None,
            showing: Showing::Live,
            grouping: Grouping::Group,
            display: Display::Plain,
            junit: None,
            observers: Observers::default(),
        }
    }

    /// The same, with a display of what goes on.
    pub(super) fn with_spinners(self, spinners: bool) -> Self {
        Self { display: if spinners { Display::Spinners } else { Display::Plain }, ..self }
    }

    /// One after the other, on this process's terminal.
    pub(super) fn one_by_one() -> Self {
        let display = Display::SlowPhases;
        Self { places: Some(1), grouping: Grouping::Shared, display, ..Self::side_by_side() }
    }

    fn of(options: &Options, plan: &Arc<Plan>) -> Self {
        let run = &options.run;
        let junit = run.junit_xml.as_ref().map(|_| Arc::default());
        let observers = observers(options, plan, junit.as_ref());
        if options.verb != Verb::RunParallel {
            return Self { junit, observers, ..Self::one_by_one() };
        }
        let live = run.parallel_live || options.report == ReportFormat::Json;
        Self {
            places: match run.parallelism {
                Parallelism::Unlimited => None,
                Parallelism::Limit(limit) => Some(limit.max(1)),
            },
            showing: if live { Showing::Live } else { Showing::Held(layout(options)) },
            grouping: Grouping::Group,
            display: if options.stdout_is_terminal && !live && !run.parallel_no_spinner {
                Display::Spinners
            } else {
                Display::Plain
            },
            junit,
            observers,
        }
    }
}

/// Who is told of everything beside the user.
fn observers(options: &Options, plan: &Arc<Plan>, junit: Option<&Arc<Junit>>) -> Observers {
    let mut observers: Vec<Arc<dyn Reporter>> = Vec::new();
    observers.extend(junit.map(|junit| Arc::clone(junit) as Arc<dyn Reporter>));
    if let Some(checkout) = github::checkout(&options.variables, &options.current_dir) {
        let plan = Arc::clone(plan);
        let places = move |environment: &str, key: &str| plan.settings.written_at(environment, key);
        observers.push(Arc::new(github::Annotations::new(checkout, Box::new(places))));
    }
    observers.into()
}

fn layout(options: &Options) -> Layout {
    Layout::new(options.verbosity, options.colored, &options.stderr_color)
}

/// The surroundings of a run.
pub(super) fn open_run(
    options: &Options,
    plan: &Plan,
    discovery: Arc<PythonDiscovery>,
    manner: &Manner,
) -> Result<Run> {
    let reporter = observed(super::reporter(options, manner.display), &manner.observers);
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
    let runtime = PythonRuntime::new(Arc::clone(&discovery), &options.variables)
        .with_reporter(Arc::clone(&reporter))
        .with_interrupt(interrupt.clone());
    Ok(Run {
        project: plan.project()?,
        options: options.run.clone(),
        host: options.variables.clone(),
        verbosity: options.verbosity,
        interpreters: Arc::clone(&discovery) as _,
        python: Arc::new(runtime),
        installer: choose_installer(options)?,
        locks: if is_locked(options, plan)? { Some(read_locks(plan)?) } else { None },
        interrupt,
        grouping: manner.grouping,
        journal: options.run.result_json.as_ref().map(|_| open_journal(plan, &discovery)),
        reporter,
        groups: LogGroups::new(plan.job, manner.grouping == Grouping::Group, &options.variables),
        observers: Arc::clone(&manner.observers),
        phases: Phases::default(),
        laid_out: Once::new(),
        looked_up: Mutex::default(),
        uv: OnceLock::new(),
    })
}

pub(super) fn choose_installer(options: &Options) -> Result<Option<InstallerChoice>, ConfigError> {
    let Some(text) = options.variables.text("ENVO_INSTALLER").filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let unknown = || ConfigError::handled(format!("ENVO_INSTALLER is `{text}`, must be one of auto, pip, uv"));
    InstallerChoice::named(&text).map(Some).ok_or_else(unknown)
}

/// A journal with a part for every environment, in the order of the configuration, each followed by those that build its
/// package.
fn open_journal(plan: &Plan, discovery: &PythonDiscovery) -> Journal {
    let journal = Journal::new(Run::platform());
    for entry in plan.all().unwrap_or_default() {
        journal.environment(&entry.name);
        // What is wrong with an environment is told when it is its turn.
        let Ok(environment) = plan.environment(&entry.name) else { continue };
        let Some(packaging) = &environment.packaging else { continue };
        let wheel_environment = packaging.wheel_environment.get().ok().flatten();
        for name in std::iter::once(packaging.package_environment.clone()).chain(wheel_environment) {
            journal.environment(&name);
        }
        // Where its wheel is built was worked out from these interpreters, which tox writes down whoever runs.
        if matches!(packaging.kind, PackageKind::Wheel | PackageKind::SdistWheel)
            && plan.settings.written_at(&entry.name, "wheel_build_env").is_none()
        {
            let builder = plan.environment(&packaging.package_environment).ok();
            for environment in std::iter::once(&environment).chain(&builder) {
                if let Some(interpreter) = discovery.find(&environment.base_python) {
                    journal.environment(&environment.name).python(&interpreter);
                }
            }
        }
    }
    journal
}
