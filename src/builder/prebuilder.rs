//! Prepares waiting environments in a few threads while commands of earlier ones run, in their order, as soon as their
//! dependencies are done. Shows nothing before an environment runs, and must not be relied on: its run does whatever is
//! missing.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};

use crate::builder::env_builder::EnvBuilder;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::prebuilt::{PrebuildContents, Prebuilt};
use crate::builder::run_context::RunContext;
use crate::builder::stamp::{Stamp, section};
use crate::event::EnvPhase;
use crate::execute::interrupt::Interrupt;
use crate::model::Environment;
use crate::plan::Plan;
use crate::plan::graph::EnvOrder;
use crate::report::EventLayout;

/// Installing is short work for few processors: commands should have the others.
const MOST_THREADS: usize = 4;

/// The limit if no commands run.
const MOST_THREADS_ALONE: usize = 16;

/// Reads the configuration again: values evaluated ahead must not be used in the run itself, since commands that ran in
/// between may have changed their inputs.
pub type OpenPlan = dyn Fn() -> Option<Plan> + Send + Sync;

/// How environments are prepared ahead.
#[derive(Clone)]
pub struct PrebuildOptions {
    pub open_plan: Arc<OpenPlan>,
    pub layout: EventLayout,
}

/// Prepares environments ahead and keeps their results until they run.
pub struct Prebuilder<'a> {
    run: &'a Arc<RunContext>,
    packager: &'a PackagingEnvs,
    prebuild: PrebuildOptions,
    plan: OnceLock<Option<Plan>>,
    interrupt: Interrupt,
    state: Mutex<PrebuilderState>,
    changed: Condvar,
}

#[derive(Default)]
struct PrebuilderState {
    /// Environments not begun, each with the dependencies it still waits for.
    waiting: Vec<(String, HashSet<String>)>,
    working: HashSet<String>,
    ready: HashMap<String, Arc<Prebuilt>>,
    /// Whether work may begin: commands are running, or no commands will run.
    open: bool,
    closed: bool,
}

impl<'a> Prebuilder<'a> {
    pub fn new(
        run: &'a Arc<RunContext>,
        packager: &'a PackagingEnvs,
        order: &EnvOrder,
        prebuild: PrebuildOptions,
    ) -> Self {
        let waits = |name: &String| (name.clone(), order.waits_for.get(name).cloned().unwrap_or_default());
        // Without commands there is nothing to wait for.
        let open = run.options.skip.no_test;
        let state =
            PrebuilderState { waiting: order.names.iter().map(waits).collect(), open, ..PrebuilderState::default() };
        Self {
            run,
            packager,
            prebuild,
            plan: OnceLock::new(),
            interrupt: Interrupt::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// The number of threads that should call [`Prebuilder::work`].
    pub fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.run.options.skip.no_test {
            // The thread that runs an environment waits for the one preparing it, and then has nothing to add.
            processors.clamp(2, MOST_THREADS_ALONE)
        } else {
            processors.saturating_sub(1).clamp(1, MOST_THREADS)
        }
    }

    /// Prepares environments until none is left.
    pub fn work(&self) {
        while let Some(name) = self.next() {
            let prebuilt = self.prepare(&name);
            let mut state = self.state.lock();
            state.working.remove(&name);
            if let Some(prebuilt) = prebuilt {
                state.ready.insert(name, prebuilt);
            }
            self.changed.notify_all();
        }
    }

    /// Allows work to begin.
    pub fn open(&self) {
        let mut state = self.state.lock();
        if !state.open {
            state.open = true;
            self.changed.notify_all();
        }
    }

    /// The run of `name` begins: work on it must no longer start.
    pub fn begin_run(&self, name: &str) {
        self.state.lock().waiting.retain(|(waiting, _)| waiting != name);
        self.changed.notify_all();
    }

    /// Returns the work done on `name`; if it is in progress, reports that and waits for it.
    pub fn collect(&self, name: &str) -> Option<Arc<Prebuilt>> {
        let mut state = self.state.lock();
        if state.working.contains(name) {
            self.run.enter(name, EnvPhase::Install);
        }
        while state.working.contains(name) {
            self.changed.wait(&mut state);
        }
        state.ready.remove(name)
    }

    /// `name` is done, and others may have waited for it.
    pub fn finish_run(&self, name: &str) {
        for (_, waits) in &mut self.state.lock().waiting {
            waits.remove(name);
        }
        self.changed.notify_all();
    }

    /// Starts no more work and interrupts work in progress.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        if !state.working.is_empty() {
            self.interrupt.request();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The next environment to prepare; waits until one is available.
    fn next(&self) -> Option<String> {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.waiting.is_empty() {
                return None;
            }
            if state.open
                && let Some(at) = state.waiting.iter().position(|(_, waits)| waits.is_empty())
            {
                let (name, _) = state.waiting.remove(at);
                state.working.insert(name.clone());
                return Some(name);
            }
            self.changed.wait(&mut state);
        }
    }

    fn prepare(&self, name: &str) -> Option<Arc<Prebuilt>> {
        let plan = self.plan.get_or_init(|| (self.prebuild.open_plan)()).as_ref()?;
        let environment = plan.environment(name).ok()?;
        if !self.is_worthwhile(&environment) {
            return None;
        }
        let prebuilt = Arc::new(Prebuilt::new(&self.prebuild.layout, self.interrupt.clone()));
        let env = EnvBuilder::new(Arc::clone(self.run), Arc::new(environment), prebuilt.output());
        let env = env.prebuilding(Arc::clone(&prebuilt));
        let is_new = !env.environment.folders.env_dir.exists();
        let mut contents = PrebuildContents { packager: self.packager, prebuilt: &prebuilt };
        if env.prepare(&mut contents).is_err() {
            // The same error will occur in the run, which reports it.
            prebuilt.rewind(&env);
        }
        if prebuilt.did_something() {
            return Some(prebuilt);
        }
        if is_new {
            remove_if_unmade(&env);
        }
        None
    }

    /// Only creating an environment takes long enough to pay off. The user's commands never run ahead, and decisions
    /// that belong to the run are left to it.
    fn is_worthwhile(&self, environment: &Environment) -> bool {
        let env_dir = &environment.folders.env_dir;
        let options = &self.run.options;
        let is_plain = environment.runtimes.is_empty()
            && environment.contents.script.is_none()
            && environment.relations.layer_on.is_none();
        let by_itself = is_plain && environment.contents.uv.as_ref().is_none_or(|uv| uv.sync.is_none());
        let wanted = by_itself && !options.skip.skip_environment_install && !options.package.package_only;
        if !env_dir.exists() {
            return wanted;
        }
        let runs_nothing = || environment.execution.commands.recreate.get().is_ok_and(|commands| commands.is_empty());
        let removes_only_itself =
            || environment.package.packaging.as_ref().is_none_or(|one| self.packager.was_used(one));
        wanted && environment.creation.recreate && env_dir.is_dir() && runs_nothing() && removes_only_itself()
    }
}

/// Removes the folder of an environment that was not created, so that its run finds the previous state: nothing.
fn remove_if_unmade(env: &EnvBuilder) {
    let env_dir = &env.environment.folders.env_dir;
    let Ok(_lock) = env.lock() else { return };
    // Another process may have created it in the meantime.
    if Stamp::read(env_dir).get(section::PYTHON, None).is_none() {
        let _ = std::fs::remove_dir_all(env_dir);
    }
}
