//! `envo lock` and `envo update`: resolve the contents of environments and write the locks, all or none. `lock --check`
//! changes nothing.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

use crate::cli::options::{Options, Verb};
use crate::commands::lock_ecosystems::EcosystemLocking;
use crate::commands::locking::{Lockable, Locks, Resolvers, names_none, report, target};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::Reporter;
use crate::event::{EnvPhase, EnvironmentResult, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::install::uv_lock::UvLockRequest;
use crate::lock::changes;
use crate::lock::document::LockDocument;
use crate::lock::error::LockError;
use crate::lock::index::{LockIndex, lock_path};
use crate::lock::resolve::LockRequest;
use crate::lock::verify::{entry, shown_path, verify};
use crate::lock::write::replace;
use crate::model::pep508::canonical_name;
use crate::report::plain;
use crate::report::table;
use crate::runtime::locking;

/// The number of parallel resolvers, which use several threads each.
const MOST_AT_ONCE: usize = 6;

/// # Errors
/// An invalid configuration, or a failure to write; errors in a lock are reported.
pub fn execute(options: &Options) -> Result<i32> {
    let locks = Locks::open(options)?;
    let outcome = if options.locks.check { check(options, &locks) } else { write(options, &locks) };
    locks.end(outcome)
}

fn write(options: &Options, locks: &Locks) -> Result<i32> {
    let interrupt = locks.run.interrupt.clone();
    let upgrade = UpgradeSelection::of(options);
    let old = match LockIndex::read(&locks.project.root) {
        Ok(index) => index,
        // A lock that is rebuilt need not be read.
        Err(_) if upgrade == UpgradeSelection::All && names_none(options) => LockIndex::default(),
        Err(error) => return Err(ConfigError::from(error).into()),
    };
    let names = locks.names(options, &old)?;
    let (lockables, apart) = sorted_out(locks, &names, options)?;
    let work = LockJob { options, locks, old: &old, upgrade: &upgrade, interrupt: &interrupt };
    let kept = work.kept(&lockables);
    let languages = EcosystemLocking { locks, upgrade: upgrade.of_languages() };
    let (outcomes, languages) = languages.write_next_to(&lockables, &kept, || work.resolve_all(&lockables, &kept));
    let outcomes = match work.every_one(&lockables, outcomes) {
        Ok(Some(outcomes)) => outcomes,
        ended => {
            languages.iter().for_each(|written| written.give_up(locks));
            if interrupt.requested() {
                return Err(EnvError::Interrupted.into());
            }
            ended?;
            languages?;
            plain::error("no lock was written\n");
            return Ok(exit_code::FAILED);
        }
    };
    let mut lockables = lockables;
    languages?.publish(locks, &mut lockables)?;
    let written: Vec<(&Lockable, LockOutcome)> = lockables.iter().zip(outcomes).collect();
    work.write(&written)?;
    for (name, reason) in apart {
        locks.reporter.info(&name, format!("not locked: {reason}"));
    }
    work.report(&written);
    if locks.plan.packages_anything() && crate::lock::disturbs_setuptools(&locks.project) {
        let text = "setuptools mistakes the folder of locks for a package, because the packages are not listed";
        locks.reporter.warning(crate::commands::ROOT, text);
        crate::commands::plain_hint(
            "list them in pyproject.toml (`[tool.setuptools] packages = […]`), or set `lock_dir = .locks` in `[tox]`",
        );
    }
    Ok(exit_code::OK)
}

/// Reports whether the locks are up to date.
fn check(options: &Options, locks: &Locks) -> Result<i32> {
    let project = &locks.project;
    let index = LockIndex::read(&project.root).map_err(ConfigError::from)?;
    let names = locks.names(options, &index)?;
    let (lockables, _) = sorted_out(locks, &names, options)?;
    let mut code = exit_code::OK;
    for lockable in &lockables {
        let name = &lockable.environment.name;
        if let Err(error) = verify(project, &index, name, &lockable.inputs.inputs) {
            report(locks.reporter.as_ref(), name, &error);
            code = exit_code::FAILED;
        }
    }
    if names_none(options) {
        for gone in index.entries.keys().filter(|name| lockables.iter().all(|one| one.environment.name != **name)) {
            locks.reporter.error(gone, "has a lock but is no longer an environment that envo locks");
            code = exit_code::FAILED;
        }
    }
    if code == exit_code::OK {
        let count = lockables.len();
        plain::out(&format!("{count} lock{} up to date\n", if count == 1 { " is" } else { "s are" }));
    }
    Ok(code)
}

type SeparateLock = Vec<(String, String)>;

/// Those that can be locked, and those whose contents something else says, with what that is.
fn sorted_out(locks: &Locks, names: &[String], options: &Options) -> Result<(Vec<Lockable>, SeparateLock)> {
    let (mut lockables, mut apart) = (Vec::new(), Vec::new());
    for name in names {
        match locks.lockable(name, options)? {
            Ok(lockable) => lockables.push(lockable),
            Err(reason) => apart.push((name.clone(), reason)),
        }
    }
    Ok((lockables, apart))
}

/// The packages whose versions may change although they satisfy the requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
enum UpgradeSelection {
    Nothing,
    /// Normalised names.
    Named(Vec<String>),
    All,
}

impl UpgradeSelection {
    fn of(options: &Options) -> Self {
        let names = &options.locks.names;
        match (options.verb, options.locks.upgrade) {
            (Verb::Update, _) if names.is_empty() => Self::All,
            (Verb::Update, _) => Self::Named(names.iter().map(|name| canonical_name(name)).collect()),
            (_, true) => Self::All,
            _ => Self::Nothing,
        }
    }

    fn of_languages(&self) -> locking::RuntimeUpgrade<'_> {
        match self {
            Self::Nothing => locking::RuntimeUpgrade::Nothing,
            Self::Named(names) => locking::RuntimeUpgrade::Named(names),
            Self::All => locking::RuntimeUpgrade::Everything,
        }
    }
}

/// The result for a lock.
#[derive(Debug, Clone)]
struct LockOutcome {
    before: LockDocument,
    now: LockDocument,
    /// It was as it should be.
    kept: bool,
}

struct LockJob<'a> {
    options: &'a Options,
    locks: &'a Locks,
    old: &'a LockIndex,
    upgrade: &'a UpgradeSelection,
    interrupt: &'a Interrupt,
}

impl LockJob<'_> {
    /// Of which environments the locks hold and none is to move.
    fn kept(&self, lockables: &[Lockable]) -> Vec<bool> {
        let holds = |lockable: &Lockable| {
            let (name, inputs) = (&lockable.environment.name, &lockable.inputs.inputs);
            verify(&self.locks.project, self.old, name, inputs).is_ok()
        };
        lockables.iter().map(|lockable| *self.upgrade == UpgradeSelection::Nothing && holds(lockable)).collect()
    }

    /// The resolved contents; `None` if an environment could not be resolved, which is reported, or the user interrupted.
    fn every_one(
        &self,
        lockables: &[Lockable],
        outcomes: Result<Vec<Result<LockOutcome, LockError>>>,
    ) -> Result<Option<Vec<LockOutcome>>> {
        let outcomes = outcomes?;
        if self.interrupt.requested() {
            return Ok(None);
        }
        for (lockable, outcome) in lockables.iter().zip(&outcomes) {
            if let Err(error) = outcome {
                report(self.locks.reporter.as_ref(), &lockable.environment.name, error);
            }
        }
        Ok(outcomes.into_iter().collect::<Result<_, _>>().ok())
    }

    /// The lock of each, in their order. `kept`: which of them hold.
    fn resolve_all(&self, lockables: &[Lockable], kept: &[bool]) -> Result<Vec<Result<LockOutcome, LockError>>> {
        let resolvers = Resolvers::new(self.options, self.locks, self.interrupt)?;
        let mut outcomes: Vec<Option<Result<LockOutcome, LockError>>> = vec![None; lockables.len()];
        let mut orders: Vec<(usize, LockRequest<'_>)> = Vec::new();
        for (at, lockable) in lockables.iter().enumerate() {
            match self.request(lockable, &resolvers, kept[at]) {
                Ok(LockNeeds::Nothing(made)) => outcomes[at] = Some(Ok(*made)),
                Ok(LockNeeds::Order(order)) => orders.push((at, *order)),
                Err(error) => outcomes[at] = Some(Err(error)),
            }
        }
        self.ensure_names_are_locked(lockables, &orders)?;
        for ((at, order), answer) in orders.iter().zip(self.answers(&orders)) {
            let before = || LockDocument::read(&lock_path(&self.locks.project, order.environment)).unwrap_or_default();
            outcomes[*at] = Some(answer.map(|now| LockOutcome { before: before(), now, kept: false }));
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn request<'o>(
        &'o self,
        lockable: &'o Lockable,
        resolvers: &Resolvers<'_>,
        kept: bool,
    ) -> Result<LockNeeds<'o>, LockError> {
        let project = &self.locks.project;
        let name = &lockable.environment.name;
        if !lockable.environment.has_python() {
            let nothing = LockDocument::default();
            return Ok(LockNeeds::Nothing(Box::new(LockOutcome { before: nothing.clone(), now: nothing, kept })));
        }
        let file = lock_path(project, name);
        if kept {
            let now = LockDocument::read(&file)?;
            return Ok(LockNeeds::Nothing(Box::new(LockOutcome { before: now.clone(), now, kept: true })));
        }
        let before = if *self.upgrade == UpgradeSelection::All || !file.exists() {
            None
        } else {
            Some(LockDocument::read(&file)?)
        };
        let (target, platforms) = target(self.locks, lockable)?;
        let upgrade_packages = match self.upgrade {
            UpgradeSelection::Named(names) => names.clone(),
            _ => Vec::new(),
        };
        let wish = UvLockRequest {
            python_version: target.dotted(),
            platform: match lockable.environment.dependencies.platforms.as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            },
            upgrade: *self.upgrade == UpgradeSelection::All,
            upgrade_packages: upgrade_packages.clone(),
        };
        let (resolver, note) = resolvers.find(lockable, &target, &wish)?;
        if let Some(note) = note {
            self.locks.reporter.info(name, format!("pip resolves, not uv: {note}"));
        }
        let mut order = LockRequest {
            environment: name,
            project: &self.locks.project,
            inputs: &lockable.inputs,
            target,
            platforms,
            resolver,
            variables: lockable.variables.clone(),
            before,
        };
        order.release(&upgrade_packages);
        Ok(LockNeeds::Order(Box::new(order)))
    }

    /// A named package that is in no lock is an error.
    fn ensure_names_are_locked(
        &self,
        lockables: &[Lockable],
        orders: &[(usize, LockRequest<'_>)],
    ) -> Result<(), ConfigError> {
        let UpgradeSelection::Named(names) = self.upgrade else { return Ok(()) };
        let project = &self.locks.project;
        let locked = |name: &String| {
            lockables.iter().any(|lockable| {
                let document = LockDocument::read(&lock_path(project, &lockable.environment.name)).unwrap_or_default();
                document.package(name).is_some()
            })
        };
        match names.iter().find(|name| !locked(name)) {
            Some(name) if !orders.is_empty() => Err(ConfigError::handled(format!("`{name}` is not in any lock"))
                .hint("`envo graph` shows the locked packages")),
            _ => Ok(()),
        }
    }

    /// Resolves in parallel, and equal requests only once.
    fn answers(&self, orders: &[(usize, LockRequest<'_>)]) -> Vec<Result<LockDocument, LockError>> {
        let mut questions: Vec<&LockRequest<'_>> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut question_of = Vec::with_capacity(orders.len());
        for (_, order) in orders {
            let position = *positions.entry(order.key()).or_insert_with(|| {
                questions.push(order);
                questions.len() - 1
            });
            question_of.push(position);
        }
        let results: Mutex<Vec<Option<Result<LockDocument, LockError>>>> = Mutex::new(vec![None; questions.len()]);
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(order) = questions.get(at) else { break };
                let answer = self.answer(order);
                crate::settings::lock(&results)[at] = Some(answer);
            }
        };
        std::thread::scope(|scope| {
            // This thread is one of them.
            (1..questions.len().min(MOST_AT_ONCE)).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let answer = |(at, (_, order)): (usize, &(usize, LockRequest<'_>))| match &results[question_of[at]] {
            Some(answer) => answer.clone().map_err(|error| error.about(order.environment)),
            None => Err(LockError::Impossible {
                environment: order.environment.to_owned(),
                reason: "it was not resolved".to_owned(),
            }),
        };
        orders.iter().enumerate().map(answer).collect()
    }

    fn answer(&self, order: &LockRequest<'_>) -> Result<LockDocument, LockError> {
        let reporter: &dyn Reporter = self.locks.reporter.as_ref();
        let environment = order.environment.to_owned();
        reporter.event(RunEvent::EnvironmentStarted { environment: environment.clone() });
        reporter.event(RunEvent::Phase { environment: environment.clone(), phase: EnvPhase::Lock });
        let answer = self.locks.resolve(order);
        let result = EnvironmentResult { name: environment, ..EnvironmentResult::default() };
        reporter.event(RunEvent::EnvironmentFinished { result, last: true });
        answer
    }

    /// Replaces the locks and, last, the index over them.
    fn write(&self, made: &[(&Lockable, LockOutcome)]) -> Result<()> {
        let project = &self.locks.project;
        let mut index = if names_none(self.options) { LockIndex::default() } else { self.old.clone() };
        for (lockable, made) in made {
            let environment = &lockable.environment;
            let text = environment.has_python().then(|| made.now.text());
            if let Some(text) = &text {
                let file = lock_path(project, &environment.name);
                replace(&file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
            }
            index.entries.insert(environment.name.clone(), entry(text.as_deref(), &lockable.inputs.inputs));
        }
        for gone in self.old.entries.keys().filter(|name| !index.entries.contains_key(*name)) {
            // That it is gone already is as well.
            let _ = std::fs::remove_file(lock_path(project, gone));
        }
        index
            .write(&project.root)
            .with_context(|| format!("cannot write {}", crate::lock::index::path(&project.root).display()))
    }

    fn report(&self, made: &[(&Lockable, LockOutcome)]) {
        if *self.upgrade != UpgradeSelection::Nothing {
            let rows: Vec<Vec<String>> = made
                .iter()
                .flat_map(|(lockable, made)| changes::rows(&lockable.environment.name, &made.before, &made.now))
                .collect();
            let text =
                if rows.is_empty() { "nothing moved\n".to_owned() } else { table::format_table(&changes::HEAD, &rows) };
            return plain::out(&text);
        }
        for (lockable, made) in made {
            let name = &lockable.environment.name;
            let count = made.now.packages.len();
            let packages = format!("{count} package{}", if count == 1 { "" } else { "s" });
            let text = match (lockable.environment.has_python(), made.kept) {
                (false, _) => "has no Python; its language's own lock is used".to_owned(),
                (true, true) => format!("{packages}, as before"),
                (true, false) => {
                    let file = lock_path(&self.locks.project, name);
                    format!("{packages} in {}", shown_path(&self.locks.project, &file))
                }
            };
            plain::out(&format!("{name}: {text}\n"));
        }
    }
}

/// The inputs of a lock.
enum LockNeeds<'a> {
    Nothing(Box<LockOutcome>),
    Order(Box<LockRequest<'a>>),
}
