//! The order in which layers are locked: each after its base, whose versions it keeps to.

use crate::error::ConfigError;
use crate::lock::job::LockOutcome;
use crate::lock::project::LockableEnv;
use crate::lockfile::error::LockError;
use crate::lockfile::inputs::LockInputs;
use crate::plan::Plan;

/// The locks by the position of their environments; `None`: not resolved yet.
pub(super) type LockOutcomes = Vec<Option<Result<LockOutcome, LockError>>>;

/// The environments with those that they are layers on, which come first.
pub(super) fn with_bases(plan: &Plan, names: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let mut found: Vec<String> = Vec::with_capacity(names.len());
    for name in names {
        for one in plan.bases(&name)?.into_iter().rev().chain([name]) {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

/// The position of the environment that `layer` is a layer on, if envo locks it.
pub(super) fn base_among(lockables: &[LockableEnv], layer: &LockableEnv) -> Option<usize> {
    let base = layer.environment.relations.layer_on.as_ref()?;
    lockables.iter().position(|one| one.environment.name == *base)
}

/// Environments that can be locked now, since their bases are, with their inputs. A layer whose base cannot be locked
/// cannot be either.
pub(super) fn next_layers(lockables: &[LockableEnv], outcomes: &mut LockOutcomes) -> Vec<(usize, LockInputs)> {
    let mut found = Vec::new();
    for (at, lockable) in lockables.iter().enumerate().filter(|(at, _)| outcomes[*at].is_none()).collect::<Vec<_>>() {
        let mut inputs = lockable.inputs.clone();
        if let Some(base) = base_among(lockables, lockable) {
            let name = &lockables[base].environment.name;
            match &outcomes[base] {
                // Of those found in this round, none is resolved.
                None => continue,
                Some(Ok(made)) => inputs.lay_on(name, &made.now),
                Some(Err(_)) => {
                    let environment = lockable.environment.name.clone();
                    let reason = format!("`{name}`, which it is a layer on, cannot be locked");
                    outcomes[at] = Some(Err(LockError::Impossible { environment, reason }));
                    continue;
                }
            }
        }
        found.push((at, inputs));
    }
    found
}

/// Records the final locks of bases in the inputs of their layers.
pub(super) fn lay_on_bases(lockables: &mut [LockableEnv], outcomes: &[LockOutcome]) {
    for at in 0..lockables.len() {
        if let Some(base) = base_among(lockables, &lockables[at]) {
            let name = lockables[base].environment.name.clone();
            lockables[at].inputs.lay_on(&name, &outcomes[base].now);
        }
    }
}
