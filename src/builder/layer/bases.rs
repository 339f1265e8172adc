//! Builds the environments that others are layers on, each once per run: its layers wait for it, and its own run uses it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::builder::env_builder::ReadyEnv;
use crate::builder::layer::LayerBase;
use crate::env_error::EnvError;
use crate::plan::Plan;

/// The bases of a run's environments, by name.
#[derive(Default)]
pub struct LayerBases(BTreeMap<String, Mutex<BaseState>>);

#[derive(Default)]
enum BaseState {
    #[default]
    NotBuilt,
    Built(Box<BuiltBase>),
    Failed(BaseFailure),
}

/// A base and the session for its own commands.
pub struct BuiltBase {
    pub ready: ReadyEnv,
    /// `None`: it has no Python.
    pub base: Option<Arc<LayerBase>>,
}

/// Why a base was not built.
#[derive(Debug, Clone)]
pub enum BaseFailure {
    Skipped(String),
    Failed,
}

impl LayerBases {
    /// Those of `names`.
    pub fn of<'n>(plan: &Plan, names: impl Iterator<Item = &'n String>) -> Self {
        // An invalid layer is reported when it is built.
        let bases = names.flat_map(|name| plan.bases(name).unwrap_or_default());
        Self(bases.map(|name| (name, Mutex::default())).collect())
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Builds `name` with `build`, unless that was done. Other threads wait here.
    pub fn build(&self, name: &str, build: impl FnOnce() -> Result<BuiltBase, EnvError>) -> Result<ReadyEnv, EnvError> {
        let Some(mut state) = self.lock(name) else { return Ok(build()?.ready) };
        match &*state {
            BaseState::Built(built) => return Ok(built.ready.clone()),
            BaseState::Failed(BaseFailure::Skipped(reason)) => return Err(EnvError::Skip(reason.clone())),
            BaseState::Failed(BaseFailure::Failed) => {
                return Err(EnvError::Fail("it could not be built, as reported above".to_owned()));
            }
            BaseState::NotBuilt => {}
        }
        match build() {
            Ok(built) => {
                let ready = built.ready.clone();
                *state = BaseState::Built(Box::new(built));
                Ok(ready)
            }
            Err(EnvError::Interrupted) => Err(EnvError::Interrupted),
            Err(error) => {
                let skipped = error.is_skip().then(|| BaseFailure::Skipped(error.to_string()));
                *state = BaseState::Failed(skipped.unwrap_or(BaseFailure::Failed));
                Err(error)
            }
        }
    }

    /// The result of building `name`, if that was tried.
    pub fn built(&self, name: &str) -> Option<Result<Option<Arc<LayerBase>>, BaseFailure>> {
        match &*self.lock(name)? {
            BaseState::NotBuilt => None,
            BaseState::Built(built) => Some(Ok(built.base.clone())),
            BaseState::Failed(failure) => Some(Err(failure.clone())),
        }
    }

    fn lock(&self, name: &str) -> Option<MutexGuard<'_, BaseState>> {
        Some(self.0.get(name)?.lock())
    }
}
