//! `run --watch`: runs environments again when files change that affect them. Each run is a process of its own, which reads
//! the configuration afresh; this one only decides what runs.

mod keys;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;

use crate::cli::WATCHED_RUN;
use crate::cli::options::{Options, WatchMode};
use crate::commands::choice::choose;
use crate::commands::run::open;
use crate::commands::run_progress::notice;
use crate::env_error::EnvError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildInput, ChildOutput, ChildProcess, ProcessGrouping, Spawn, wait_unreaped};
use crate::exit_code;
use crate::os_text;
use crate::plan::Plan;
use crate::plan::affected::Changes;
use crate::platform::system;
use crate::report::plain;
use crate::run_record::RunRecords;
use crate::serve::CancellableWait;
use crate::serve::supervisor::file_watcher::FileWatcher;
use keys::Keys;

/// What a user can press.
const HELP: &str = "Enter runs all, f the failed ones, q quits";

/// Something that the watch reacts to.
enum WatchEvent {
    Changed(Vec<PathBuf>),
    Key(u8),
    RunEnded,
    Interrupted,
}

/// Which environments to run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum WatchRun {
    All,
    Failed,
    Affected,
}

struct Watch<'a> {
    options: &'a Options,
    mode: WatchMode,
    /// The configuration before the latest change that was dealt with.
    plan: Plan,
    pyproject: Option<String>,
    selected: Vec<String>,
    /// The changed files that no run has dealt with.
    changed: BTreeSet<PathBuf>,
    queued: Option<WatchRun>,
    running: Option<ChildProcess>,
    sender: Sender<WatchEvent>,
}

/// Watches until the user quits.
pub fn execute(options: &Options, mode: WatchMode) -> Result<i32> {
    let (plan, _) = open(options)?;
    plan.ensure_only_run_environments()?;
    let names = choose(options, &plan, plan.selected()?)?.names;
    let interrupt = Interrupt::listen(|_| {}).context("cannot listen to signals")?;
    let root = plan.settings.tox_root()?;
    let watched = watched_paths(options, &root);
    let files = FileWatcher::of(&watched, &plan.project()?.work_dir);
    let files = files.map_err(|reason| anyhow::anyhow!("{} cannot be watched: {reason}", root.display()))?;
    let (sender, receiver) = channel();
    let (cancel, _canceller) = CancellableWait::new()?;
    let keys = Keys::of_terminal();
    report_changes(files, cancel, sender.clone())?;
    report_interrupts(&interrupt, sender.clone())?;
    keys.report(sender.clone())?;
    let mut watch = Watch {
        options,
        mode,
        pyproject: fs::read_to_string(root.join("pyproject.toml")).ok(),
        selected: plan.selected()?,
        plan,
        changed: BTreeSet::new(),
        queued: None,
        running: None,
        sender,
    };
    watch.start(&names)?;
    watch.react(&receiver)?;
    interrupt.end_by_signal();
    if interrupt.requested() { Err(EnvError::Interrupted.into()) } else { Ok(exit_code::OK) }
}

/// The project's folder without the files that the run itself writes.
fn watched_paths(options: &Options, root: &Path) -> Vec<String> {
    let results = &options.run.results;
    let written = [&results.result_json, &results.junit_xml].into_iter().flatten();
    let written =
        written.map(|file| format!("!{}", os_text::decode(options.process.current_dir.join(file).as_os_str())));
    std::iter::once(os_text::decode(root.as_os_str())).chain(written).collect()
}

fn report_changes(mut files: FileWatcher, cancel: CancellableWait, sender: Sender<WatchEvent>) -> Result<()> {
    let watch = move || {
        while let Some(changed) = files.wait_for_all(&cancel) {
            if sender.send(WatchEvent::Changed(changed)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("files".to_owned()).spawn(watch)?;
    Ok(())
}

/// Reports the first two interrupts; the third ends everything by itself.
fn report_interrupts(interrupt: &Interrupt, sender: Sender<WatchEvent>) -> Result<()> {
    let interrupt = interrupt.clone();
    let wait = move || {
        for seen in 0..2 {
            let Some(notice) = interrupt.notice(seen) else { return };
            while interrupt.count() <= seen {
                let _ = poll(&mut [PollFd::from_borrowed_fd(notice, PollFlags::IN)], None);
            }
            if sender.send(WatchEvent::Interrupted).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("interrupts".to_owned()).spawn(wait)?;
    Ok(())
}

impl Watch<'_> {
    fn react(&mut self, receiver: &Receiver<WatchEvent>) -> Result<()> {
        let mut quitting = false;
        while let Ok(event) = receiver.recv() {
            match event {
                WatchEvent::Changed(files) => {
                    self.changed.extend(files);
                    if self.queued.is_none() && self.running.is_some() && self.mode == WatchMode::Queue {
                        notice(&format!("envo: {}: running again after this run\n", self.changes_text(&self.changed)));
                    }
                    self.queued.get_or_insert(WatchRun::Affected);
                    if self.mode == WatchMode::Restart {
                        self.stop()?;
                    }
                }
                WatchEvent::Key(b'q' | b'Q') | WatchEvent::Interrupted => {
                    quitting = true;
                    self.stop()?;
                }
                WatchEvent::Key(b'\n' | b'\r') => self.queued = Some(WatchRun::All),
                WatchEvent::Key(b'f' | b'F') => self.queued = Some(WatchRun::Failed),
                WatchEvent::Key(_) => {}
                WatchEvent::RunEnded => {
                    if let Some(mut run) = self.running.take() {
                        run.reap()?;
                    }
                    if !quitting && self.queued.is_none() {
                        notice(&format!("envo: waiting for changes; {HELP}\n"));
                    }
                }
            }
            if self.running.is_none() {
                if quitting {
                    return Ok(());
                }
                if let Some(wanted) = self.queued.take() {
                    self.run(wanted)?;
                }
            }
        }
        Ok(())
    }

    /// Starts what is wanted, if there is anything to run.
    fn run(&mut self, wanted: WatchRun) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        let affected = if changed.is_empty() { Some(Vec::new()) } else { self.affected(&changed) };
        let (names, reason) = match (wanted, affected) {
            (WatchRun::Affected, Some(names)) => (names, self.changes_text(&changed)),
            (WatchRun::Failed, _) => {
                let records = RunRecords::read(&self.plan.project()?.work_dir);
                let failed = self.selected.iter().filter(|name| records.failed(name)).cloned().collect();
                (failed, "failed environments".to_owned())
            }
            // The run reports what is wrong with the configuration.
            (WatchRun::Affected, None) => (self.selected.clone(), self.changes_text(&changed)),
            (WatchRun::All, _) => (self.selected.clone(), "all environments".to_owned()),
        };
        if names.is_empty() {
            notice(&format!("envo: {reason}: nothing to run\n"));
            return Ok(());
        }
        plain::clear();
        notice(&format!("envo: {reason}: running {}\n", names.join(", ")));
        self.start(&names)
    }

    fn changes_text(&self, changed: &BTreeSet<PathBuf>) -> String {
        let first = changed.first().map_or(String::new(), |path| self.shown(path));
        match changed.len() {
            0 | 1 => format!("{first} has changed"),
            count => format!("{first} and {} more have changed", count - 1),
        }
    }

    /// The selected environments that a change affects; `None`: the configuration is invalid now.
    fn affected(&mut self, changed: &BTreeSet<PathBuf>) -> Option<Vec<String>> {
        let (plan, _) = open(self.options).ok()?;
        let root = plan.settings.tox_root().ok()?;
        let relative = |path: &PathBuf| os_text::decode(path.strip_prefix(&root).unwrap_or(path).as_os_str());
        let configuration = plan.settings.source.path.clone();
        let before = std::mem::replace(&mut self.plan, plan);
        let pyproject = fs::read_to_string(root.join("pyproject.toml")).ok();
        let changes = Changes {
            files: changed.iter().map(relative).collect(),
            before: changed.contains(&configuration).then(|| Box::new(before)),
            pyproject: std::mem::replace(&mut self.pyproject, pyproject),
            // The system could not say which file it was.
            unknown: changed.contains(&root).then(|| "many files have changed".to_owned()),
        };
        self.selected = self.plan.selected().ok()?;
        let found = self.plan.affected(&changes, &self.selected).ok()?;
        Some(found.into_iter().filter(|one| one.affected).map(|one| one.name).collect())
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.options.process.current_dir).unwrap_or(path).display().to_string()
    }

    /// Starts a run of these environments, with the options of this one.
    fn start(&mut self, names: &[String]) -> Result<()> {
        let mut variables = self.options.process.variables.clone();
        variables.set(WATCHED_RUN, names.join(","));
        let arguments = self.options.invocation.arguments.iter().map(|word| os_text::encode(word));
        let mut spawn = Spawn::new(system::own_program(), arguments.collect::<Vec<OsString>>(), variables);
        spawn.stdin = ChildInput::Null;
        (spawn.stdout, spawn.stderr) = (ChildOutput::Inherit, ChildOutput::Inherit);
        // Ctrl-C reaches it through this process, once.
        spawn.grouping = ProcessGrouping::Group;
        let run = spawn.start().context("cannot start envo")?;
        let (pid, sender) = (run.id(), self.sender.clone());
        self.running = Some(run);
        let wait = move || {
            let _ = wait_unreaped(pid);
            let _ = sender.send(WatchEvent::RunEnded);
        };
        thread::Builder::new().name("run".to_owned()).spawn(wait)?;
        Ok(())
    }

    /// Interrupts what is running, which ends it in order.
    fn stop(&self) -> Result<()> {
        self.running.as_ref().map_or(Ok(()), |run| run.signal(Signal::INT))?;
        Ok(())
    }
}
