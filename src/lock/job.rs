//! Resolves the contents of environments and writes their locks, all or none: `envo lock` and `envo update`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use parking_lot::Mutex;

use crate::cli::options::{Options, Verb};
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::{EnvPhase, EnvironmentResult, RunEvent};
use crate::install::uv_lock::UvLockRequest;
use crate::lock::changes;
use crate::lock::ecosystems::writing::EcosystemLocking;
use crate::lock::layers::{LockOutcomes, base_among, lay_on_bases, next_layers, with_bases};
use crate::lock::project::{LockableEnv, ProjectLocks, names_none};
use crate::lock::resolve::LockRequest;
use crate::lockfile::document::LockDocument;
use crate::lockfile::error::LockError;
use crate::lockfile::index::{self, LockIndex, lock_path};
use crate::lockfile::inputs::LockInputs;
use crate::lockfile::verify::{entry, shown_path, verify};
use crate::lockfile::write::replace;
use crate::model::pep508::canonical_name;
use crate::runtime::locking;

/// The number of parallel resolvers, which use several threads each.
const MOST_AT_ONCE: usize = 6;

/// The result for all environments.
pub enum LockResult {
    Written(WrittenLocks),
    Failed(LockFailures),
}

/// The new locks.
pub struct WrittenLocks {
    pub environments: Vec<LockedEnv>,
    /// Environments whose contents another lock fixes, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Whether versions were allowed to change.
    pub is_upgrade: bool,
}

/// The lock of one environment.
pub struct LockedEnv {
    pub name: String,
    pub has_python: bool,
    /// The lock was up to date.
    pub kept: bool,
    /// The lock's path for users.
    pub file: String,
    /// The number of packages.
    pub packages: usize,
    /// What changed, as rows of [`changes::HEAD`].
    pub changes: Vec<Vec<String>>,
}

/// Why no lock was written.
pub struct LockFailures {
    pub environments: Vec<(String, LockError)>,
    /// A failure of another language's tool.
    pub languages: Option<anyhow::Error>,
}

pub fn write(locks: &ProjectLocks<'_>) -> Result<LockResult> {
    let interrupt = &locks.run.interrupt;
    let upgrade = UpgradeSelection::of(locks.options);
    let old = match locks.index() {
        Ok(index) => index,
        // A lock that is rebuilt need not be read.
        Err(_) if upgrade == UpgradeSelection::All && names_none(locks.options) => LockIndex::default(),
        Err(error) => return Err(error.into()),
    };
    let names = with_bases(&locks.plan, locks.names(&old)?)?;
    let (mut lockables, skipped) = lockable_envs(locks, &names)?;
    let job = LockJob { locks, old: &old, upgrade: &upgrade };
    let kept = job.kept(&lockables);
    let languages = EcosystemLocking { locks, upgrade: upgrade.of_languages() };
    let (outcomes, languages) = languages.write_next_to(&lockables, &kept, || job.resolve_all(&lockables, &kept));
    let mut failed = Vec::new();
    let mut resolved = Vec::new();
    let outcomes = outcomes.map(|outcomes| {
        for (lockable, outcome) in lockables.iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => resolved.push(outcome),
                Err(error) => failed.push((lockable.environment.name.clone(), error)),
            }
        }
    });
    if outcomes.is_err() || !failed.is_empty() || interrupt.requested() {
        languages.iter().for_each(|written| written.give_up(locks));
        if interrupt.requested() {
            return Err(EnvError::Interrupted.into());
        }
        outcomes?;
        return Ok(LockResult::Failed(LockFailures { environments: failed, languages: languages.err() }));
    }
    lay_on_bases(&mut lockables, &resolved);
    languages?.publish(locks, &mut lockables)?;
    let written: Vec<(&LockableEnv, LockOutcome)> = lockables.iter().zip(resolved).collect();
    job.write(&written)?;
    let environments = written.iter().map(|(lockable, outcome)| job.result(lockable, outcome)).collect();
    let is_upgrade = upgrade != UpgradeSelection::Nothing;
    Ok(LockResult::Written(WrittenLocks { environments, skipped, is_upgrade }))
}

type SkippedEnvs = Vec<(String, String)>;

/// The environments that can be locked, and those whose contents another lock fixes, with the reason.
pub(super) fn lockable_envs(locks: &ProjectLocks<'_>, names: &[String]) -> Result<(Vec<LockableEnv>, SkippedEnvs)> {
    let (mut lockables, mut skipped) = (Vec::new(), Vec::new());
    for name in names {
        match locks.lockable(name)? {
            Ok(lockable) => lockables.push(lockable),
            Err(reason) => skipped.push((name.clone(), reason)),
        }
    }
    Ok((lockables, skipped))
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
pub(super) struct LockOutcome {
    before: LockDocument,
    pub now: LockDocument,
    /// It was up to date.
    kept: bool,
}

struct LockJob<'a> {
    locks: &'a ProjectLocks<'a>,
    old: &'a LockIndex,
    upgrade: &'a UpgradeSelection,
}

impl LockJob<'_> {
    /// The environments whose locks are up to date and must not be upgraded.
    fn kept(&self, lockables: &[LockableEnv]) -> Vec<bool> {
        let holds = |lockable: &LockableEnv| {
            let (name, inputs) = (&lockable.environment.name, &lockable.inputs.inputs);
            verify(&self.locks.project, self.old, name, inputs).is_ok()
        };
        let mut kept: Vec<bool> = Vec::new();
        for lockable in lockables {
            let base_is_kept = base_among(lockables, lockable).is_none_or(|at| kept[at]);
            kept.push(*self.upgrade == UpgradeSelection::Nothing && base_is_kept && holds(lockable));
        }
        kept
    }

    /// The lock of each, in their order. `kept`: those that are up to date.
    fn resolve_all(&self, lockables: &[LockableEnv], kept: &[bool]) -> Result<Vec<Result<LockOutcome, LockError>>> {
        let mut outcomes: LockOutcomes = vec![None; lockables.len()];
        // The locks of bases are inputs of their layers.
        while outcomes.iter().any(Option::is_none) {
            let (positions, inputs): (Vec<usize>, Vec<LockInputs>) =
                next_layers(lockables, &mut outcomes).into_iter().unzip();
            let mut requests: Vec<(usize, LockRequest<'_>)> = Vec::new();
            for (at, inputs) in positions.into_iter().zip(&inputs) {
                match self.needs((&lockables[at], inputs), kept[at]) {
                    Ok(LockNeeds::Nothing(outcome)) => outcomes[at] = Some(Ok(*outcome)),
                    Ok(LockNeeds::Request(request)) => requests.push((at, *request)),
                    Err(error) => outcomes[at] = Some(Err(error)),
                }
            }
            self.ensure_names_are_locked(lockables, &requests)?;
            for ((at, request), answer) in requests.iter().zip(self.answers(&requests)) {
                let before =
                    || LockDocument::read(&lock_path(&self.locks.project, request.environment)).unwrap_or_default();
                outcomes[*at] = Some(answer.map(|now| LockOutcome { before: before(), now, kept: false }));
            }
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    fn needs<'l>(
        &'l self,
        (lockable, inputs): (&'l LockableEnv, &'l LockInputs),
        kept: bool,
    ) -> Result<LockNeeds<'l>, LockError> {
        let name = &lockable.environment.name;
        if !lockable.environment.has_python() {
            let nothing = LockDocument::default();
            return Ok(LockNeeds::Nothing(Box::new(LockOutcome { before: nothing.clone(), now: nothing, kept })));
        }
        let file = lock_path(&self.locks.project, name);
        if kept {
            let now = LockDocument::read(&file)?;
            return Ok(LockNeeds::Nothing(Box::new(LockOutcome { before: now.clone(), now, kept: true })));
        }
        let before = if *self.upgrade == UpgradeSelection::All || !file.exists() {
            None
        } else {
            Some(LockDocument::read(&file)?)
        };
        let upgrade_packages = match self.upgrade {
            UpgradeSelection::Named(names) => names.clone(),
            _ => Vec::new(),
        };
        let wanted = UvLockRequest {
            platform: match lockable.environment.contents.dependencies.platforms.as_slice() {
                [one] => Some(one.clone()),
                _ => None,
            },
            upgrade: *self.upgrade == UpgradeSelection::All,
            upgrade_packages: upgrade_packages.clone(),
            ..UvLockRequest::default()
        };
        let (mut request, note) = self.locks.request(lockable, wanted)?;
        if let Some(note) = note {
            self.locks.reporter().info(name, format!("pip resolves, not uv: {note}"));
        }
        request.inputs = inputs;
        request.before = before;
        request.release(&upgrade_packages);
        Ok(LockNeeds::Request(Box::new(request)))
    }

    /// A named package that is in no lock is an error.
    fn ensure_names_are_locked(
        &self,
        lockables: &[LockableEnv],
        requests: &[(usize, LockRequest<'_>)],
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
            Some(name) if !requests.is_empty() => Err(ConfigError::handled(format!("`{name}` is not in any lock"))
                .hint("`envo graph` shows the locked packages")),
            _ => Ok(()),
        }
    }

    /// Resolves in parallel, and equal requests only once.
    fn answers(&self, requests: &[(usize, LockRequest<'_>)]) -> Vec<Result<LockDocument, LockError>> {
        let mut questions: Vec<&LockRequest<'_>> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut question_of = Vec::with_capacity(requests.len());
        for (_, request) in requests {
            let position = *positions.entry(request.key()).or_insert_with(|| {
                questions.push(request);
                questions.len() - 1
            });
            question_of.push(position);
        }
        let results: Mutex<Vec<Option<Result<LockDocument, LockError>>>> = Mutex::new(vec![None; questions.len()]);
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(request) = questions.get(at) else { break };
                let answer = self.answer(request);
                results.lock()[at] = Some(answer);
            }
        };
        std::thread::scope(|scope| {
            // This thread is one of them.
            (1..questions.len().min(MOST_AT_ONCE)).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        let results = results.into_inner();
        let answer = |(at, (_, request)): (usize, &(usize, LockRequest<'_>))| match &results[question_of[at]] {
            Some(answer) => answer.clone().map_err(|error| error.about(request.environment)),
            None => Err(LockError::Impossible {
                environment: request.environment.to_owned(),
                reason: "it was not resolved".to_owned(),
            }),
        };
        requests.iter().enumerate().map(answer).collect()
    }

    fn answer(&self, request: &LockRequest<'_>) -> Result<LockDocument, LockError> {
        let reporter = self.locks.reporter();
        let environment = request.environment.to_owned();
        reporter.event(RunEvent::EnvironmentStarted { environment: environment.clone() });
        reporter.event(RunEvent::Phase { environment: environment.clone(), phase: EnvPhase::Lock });
        let answer = self.locks.resolve(request);
        let result = EnvironmentResult { name: environment, ..EnvironmentResult::default() };
        reporter.event(RunEvent::EnvironmentFinished { result, last: true });
        answer
    }

    /// Replaces the locks and, last, the index over them.
    fn write(&self, outcomes: &[(&LockableEnv, LockOutcome)]) -> Result<()> {
        let project = &self.locks.project;
        let mut index = if names_none(self.locks.options) { LockIndex::default() } else { self.old.clone() };
        for (lockable, outcome) in outcomes {
            let environment = &lockable.environment;
            let text = environment.has_python().then(|| outcome.now.text());
            if let Some(text) = &text {
                let file = lock_path(project, &environment.name);
                replace(&file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
            }
            index.entries.insert(environment.name.clone(), entry(text.as_deref(), &lockable.inputs.inputs));
        }
        for gone in self.old.entries.keys().filter(|name| !index.entries.contains_key(*name)) {
            // It may be gone already.
            let _ = std::fs::remove_file(lock_path(project, gone));
        }
        index.write(&project.root).with_context(|| format!("cannot write {}", index::path(&project.root).display()))
    }

    fn result(&self, lockable: &LockableEnv, outcome: &LockOutcome) -> LockedEnv {
        let name = &lockable.environment.name;
        LockedEnv {
            name: name.clone(),
            has_python: lockable.environment.has_python(),
            kept: outcome.kept,
            file: shown_path(&self.locks.project, &lock_path(&self.locks.project, name)),
            packages: outcome.now.packages.len(),
            changes: changes::rows(name, &outcome.before, &outcome.now),
        }
    }
}

/// What an environment's lock needs.
enum LockNeeds<'a> {
    Nothing(Box<LockOutcome>),
    Request(Box<LockRequest<'a>>),
}
