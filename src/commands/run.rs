//! `envo run` and `envo run-parallel`: build environments and run their commands. `exec` and `devenv` run one environment
//! with changed settings.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::builder::coordinator::{Coordinator, SliceRun};
use crate::builder::prebuilder::PrebuildOptions;
use crate::builder::redirect_env;
use crate::builder::run_context::RunContext;
use crate::cli::options::{Options, ReportFormat, Verb};
use crate::commands::choice::{Choice, choose};
use crate::commands::discovery::discovery;
use crate::commands::open_plan::open_plan_with;
use crate::commands::run_context::{RunMode, event_layout, open_journal, open_run};
use crate::commands::{ProgressDisplay, ROOT, report_warnings, reporter, watch};
use crate::error::frame;
use crate::event::{OutputStream, Reporter, RunEvent};
use crate::execute::process::ProcessGrouping;
use crate::exit_code;
use crate::plan::{self, Plan};
use crate::report::JunitReporter;
use crate::run_record::RunRecords;
use crate::runtime::python::PythonDiscovery;
use crate::settings::check::misspelt_keys;

/// Runs the selected environments.
///
/// # Errors
/// An invalid configuration; an error in one environment fails only that one.
pub fn execute(options: &Options) -> Result<i32> {
    let start = Instant::now();
    if let Some(mode) = options.run.watch {
        return watch::execute(options, mode);
    }
    let (plan, discovery) = open(options)?;
    plan.ensure_only_run_environments()?;
    let choice = choose(options, &plan, plan.selected()?)?;
    report_warnings(&plan, options);
    if options.selection.recent.explain {
        let reporter = reporter(options, ProgressDisplay::Plain);
        choice.explanation().into_iter().for_each(|text| reporter.event(RunEvent::Notice { text }));
    }
    if let Some(text) = choice.why_empty() {
        return finish_without_environments(options, &plan, &discovery, (choice, text));
    }
    run_chosen(options, &Arc::new(plan), discovery, choice, start)
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
    run_chosen(options, plan, discovery, Choice::everything(names), start)
}

fn run_chosen(
    options: &Options,
    plan: &Arc<Plan>,
    discovery: Arc<PythonDiscovery>,
    Choice { names, slice, .. }: Choice,
    start: Instant,
) -> Result<i32> {
    // The folders of all must be known, so it is also said of the others that they are left out.
    plan.kept(|entry| !entry.kind.is_package())?;
    report_warnings(plan, options);
    let record = slice.map(|slice| slice.record(options, plan, names.clone()));
    let manner = RunMode::of(options, plan, &discovery, record.is_some());
    let run = Arc::new(open_run(options, plan, Arc::clone(&discovery), &manner)?);
    redirect_env::check(plan, &run.project)?;
    warn_of_misspellings(options, plan, &names, run.output.reporter.as_ref());
    let one_by_one = manner.grouping == ProcessGrouping::Shared;
    let prebuild = if one_by_one { prebuild(options, &run, &discovery, &names) } else { None };
    let RunMode { places: max_parallel, showing, junit, .. } = manner;
    let slice = record.zip(junit.clone()).map(|(record, junit)| SliceRun { record, junit });
    let end = Coordinator { run: &run, plan, names, max_parallel, showing, start, prebuild, slice }.run();
    if matches!(options.verb, Verb::Run | Verb::RunParallel) {
        let is_complete =
            !options.run.skip.no_test && !options.run.package.package_only && options.invocation.positional.is_none();
        // Only a later choice depends on the records, which a folder that cannot be written to does not have.
        let _ = RunRecords::update(&run.project.work_dir, &end.results, is_complete);
    }
    if let (Some(junit), Some(file)) = (junit, &options.run.results.junit_xml)
        && let Err(error) = junit.write(file)
    {
        run.output.reporter.error(ROOT, format!("could not write {}: {error}", file.display()));
    }
    run.interrupt.end_by_signal();
    Ok(end.code?)
}

/// Reports that there is nothing to run, which is a success, and writes the files that were asked for.
fn finish_without_environments(
    options: &Options,
    plan: &Plan,
    discovery: &PythonDiscovery,
    (choice, text): (Choice, String),
) -> Result<i32> {
    let files = &options.run.results;
    if let Some(file) = &files.result_json {
        let journal = open_journal(plan, discovery);
        if let Some(slice) = choice.slice {
            journal.set_slice(slice.record(options, plan, Vec::new()));
        }
        journal.write(file).with_context(|| format!("could not write {}", file.display()))?;
    }
    if let Some(file) = &files.junit_xml {
        JunitReporter::new().write(file).with_context(|| format!("could not write {}", file.display()))?;
    }
    let reporter = reporter(options, ProgressDisplay::Plain);
    reporter.event(RunEvent::Notice { text });
    if options.output.report == ReportFormat::Json {
        reporter.event(RunEvent::Summary { results: Vec::new(), seconds: 0.0, success: true });
    }
    Ok(exit_code::OK)
}

/// Warns of what tox passes over, and what is hardly meant as it is written.
pub(super) fn warn_of_misspellings(options: &Options, plan: &Plan, names: &[String], reporter: &dyn Reporter) {
    if options.output.verbosity == 0 {
        return;
    }
    for error in plan.misspelt_depends(names).into_iter().chain(misspelt_keys(&plan.settings)) {
        let bytes = frame::warning(&error, options.output.colored).into_bytes();
        reporter.event(RunEvent::LaidOut { stream: OutputStream::Error, bytes });
    }
}

/// How environments are prepared before their turn, if there is anything to prepare. A child that writes straight to the
/// terminal cannot be held back, programs receive every event when it happens, and the record of a run says nothing of
/// environments whose turn never came.
fn prebuild(
    options: &Options,
    run: &RunContext,
    discovery: &Arc<PythonDiscovery>,
    names: &[String],
) -> Option<PrebuildOptions> {
    let new = |name: &String| !run.project.work_dir.join(name).exists();
    let worthwhile = names.len() > 1 && (options.run.recreate || names.iter().any(new));
    let told_at_once = options.output.report != ReportFormat::Human
        || options.run.results.junit_xml.is_some()
        || run.journal.is_some();
    let can_be_held = !options.run.no_capture && !told_at_once;
    if !options.run.prepare_ahead || !can_be_held || !worthwhile {
        return None;
    }
    let (options_again, discovery) = (options.clone(), Arc::clone(discovery));
    let open_plan = move || plan::open(Arc::new(options_again.clone()), Arc::clone(&discovery) as _).ok();
    Some(PrebuildOptions { open_plan: Arc::new(open_plan), layout: event_layout(options) })
}
