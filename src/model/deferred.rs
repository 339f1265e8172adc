//! A value that is computed when it is needed, not when its environment is planned.
//!
//! tox reads `commands` after the environment has been built and its package installed, so that
//! `{glob:dist/*.whl}` finds the build's results; an error in them also occurs only then. A caller that needs
//! a value twice stores the first result.

use std::fmt;
use std::sync::Arc;

use crate::error::ConfigError;

type DeferredWork<T> = dyn Fn() -> Result<T, ConfigError> + Send + Sync;

#[derive(Clone)]
pub struct Deferred<T>(Arc<DeferredWork<T>>);

impl<T> Deferred<T> {
    pub fn new(work: impl Fn() -> Result<T, ConfigError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(work))
    }

    /// Computes the value.
    pub fn get(&self) -> Result<T, ConfigError> {
        (self.0)()
    }
}

impl<T: Clone + Send + Sync + 'static> Deferred<T> {
    /// A value that is already known.
    pub fn ready(value: T) -> Self {
        Self::new(move || Ok(value.clone()))
    }
}

impl<T> fmt::Debug for Deferred<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Deferred")
    }
}
