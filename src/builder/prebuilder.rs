//! Prepares environments that wait for their turn while commands of earlier ones run: a few threads take them in their
//! order, as soon as what they depend on is done. Nothing of it is seen before the turn, nothing of it is counted on: what
//! could not be done ahead is done in the turn.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

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

/// Installing is quick work for few processors: commands should have the others.
const MOST_THREADS: usize = 4;

/// The same where no commands run.
const MOST_THREADS_ALONE: usize = 16;

/// Reads the configuration once more: what is worked out before its turn must not count in the turn, since commands that
/// ran meanwhile may have changed what it was worked out from.
pub type OpenPlan = dyn Fn() -> Option<Plan> + Send + Sync;

/// How environments are prepared ahead.
#[derive(Clone)]
pub struct PrebuildOptions {
    pub open_plan: Arc<OpenPlan>,
    pub layout: EventLayout,
}

/// Environments that are prepared ahead, and what has become of them.
pub struct Prebuilder<'a> {
    run: &'a Arc<RunContext>,
    packager: &'a PackagingEnvs,
    foresight: PrebuildOptions,
    plan: OnceLock<Option<Plan>>,
    interrupt: Interrupt,
    state: Mutex<PrebuilderState>,
    changed: Condvar,
}

#[derive(Default)]
struct PrebuilderState {
    /// Those not begun, each with those it still waits for.
    waiting: Vec<(String, HashSet<String>)>,
    working: HashSet<String>,
    ready: HashMap<String, Arc<Prebuilt>>,
    /// Commands run, or none do, so there is time.
    open: bool,
    closed: bool,
}

impl<'a> Prebuilder<'a> {
    pub fn new(
        run: &'a Arc<RunContext>,
        packager: &'a PackagingEnvs,
        order: &EnvOrder,
        foresight: PrebuildOptions,
    ) -> Self {
        let waits = |name: &String| (name.clone(), order.waits_for.get(name).cloned().unwrap_or_default());
        // Without commands there is nothing to wait for.
        let open = run.options.no_test;
        let state =
            PrebuilderState { waiting: order.names.iter().map(waits).collect(), open, ..PrebuilderState::default() };
        Self {
            run,
            packager,
            foresight,
            plan: OnceLock::new(),
            interrupt: Interrupt::default(),
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// How many threads should [`Ahead::work`].
    pub fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if self.run.options.no_test {
            // The thread whose turn it is waits for whoever makes its environment, and then adds nothing.
            processors.clamp(2, MOST_THREADS_ALONE)
        } else {
            processors.saturating_sub(1).clamp(1, MOST_THREADS)
        }
    }

    /// Prepares one environment after the other until there are none left.
    pub fn work(&self) {
        while let Some(name) = self.next() {
            let forerun = self.prepare(&name);
            let mut state = self.lock();
            state.working.remove(&name);
            if let Some(forerun) = forerun {
                state.ready.insert(name, forerun);
            }
            self.changed.notify_all();
        }
    }

    /// From now on there is time to work.
    pub fn open(&self) {
        let mut state = self.lock();
        if !state.open {
            state.open = true;
            self.changed.notify_all();
        }
    }

    /// The turn of `name` begins: if nobody has begun with it, nobody shall.
    pub fn begin_run(&self, name: &str) {
        self.lock().waiting.retain(|(waiting, _)| waiting != name);
        self.changed.notify_all();
    }

    /// What was done of `name`; waits for who is at it, and says so.
    pub fn collect(&self, name: &str) -> Option<Arc<Prebuilt>> {
        let mut state = self.lock();
        if state.working.contains(name) {
            self.run.enter(name, EnvPhase::Install);
        }
        while state.working.contains(name) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.ready.remove(name)
    }

    /// `name` is done, and others may have waited for that.
    pub fn finish_run(&self, name: &str) {
        for (_, waits) in &mut self.lock().waiting {
            waits.remove(name);
        }
        self.changed.notify_all();
    }

    /// Nothing more is to be done; what is being done ends early.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        if !state.working.is_empty() {
            self.interrupt.request();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The next one to begin with; waits until there is one.
    fn next(&self) -> Option<String> {
        let mut state = self.lock();
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
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn prepare(&self, name: &str) -> Option<Arc<Prebuilt>> {
        let plan = self.plan.get_or_init(|| (self.foresight.open_plan)()).as_ref()?;
        let environment = plan.environment(name).ok()?;
        if !self.is_worthwhile(&environment) {
            return None;
        }
        let forerun = Arc::new(Prebuilt::new(&self.foresight.layout, self.interrupt.clone()));
        let site = EnvBuilder::new(Arc::clone(self.run), Arc::new(environment), forerun.output());
        let site = site.prebuilding(Arc::clone(&forerun));
        let is_new = !site.environment.env_dir.exists();
        let mut contents = PrebuildContents { packager: self.packager, forerun: &forerun };
        if site.prepare(&mut contents).is_err() {
            // Whatever it was, it is met again in the turn, and told then.
            forerun.rewind(&site);
        }
        if forerun.did_something() {
            return Some(forerun);
        }
        if is_new {
            remove_if_unmade(&site);
        }
        None
    }

    /// Only what has to be made takes long enough. Nobody's commands are run ahead, and what only its turn can decide is
    /// left to that.
    fn is_worthwhile(&self, environment: &Environment) -> bool {
        let env_dir = &environment.env_dir;
        let options = &self.run.options;
        let is_plain = environment.runtimes.is_empty() && environment.script.is_none();
        let by_itself = is_plain && environment.uv.as_ref().is_none_or(|uv| uv.sync.is_none());
        let wanted = by_itself && !options.skip_environment_install && !options.package_only;
        if !env_dir.exists() {
            return wanted;
        }
        let runs_nothing = || environment.commands.recreate.get().is_ok_and(|commands| commands.is_empty());
        let removes_only_itself = || environment.packaging.as_ref().is_none_or(|one| self.packager.was_used(one));
        wanted && environment.recreate && env_dir.is_dir() && runs_nothing() && removes_only_itself()
    }

    fn lock(&self) -> MutexGuard<'_, PrebuilderState> {
        // A thread that panicked left nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the folder of an environment that did not come to be, so that its turn finds what was there before: nothing.
fn remove_if_unmade(site: &EnvBuilder) {
    let env_dir = &site.environment.env_dir;
    let Ok(_lock) = site.lock() else { return };
    // Another process may have made it in the meantime.
    if Stamp::read(env_dir).get(section::PYTHON, None).is_none() {
        let _ = std::fs::remove_dir_all(env_dir);
    }
}
