//! A service or job whose environment is built: what it takes to start it.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::execute::session::Session;
use crate::model::{Environment, Variables};

use super::fields::{self, Instance, Instances};

/// An environment that is ready to be served, or, without `serve`, to be run before what depends on it.
#[derive(Clone)]
pub struct PreparedService {
    pub environment: Environment,
    /// How its commands run. Its variables are those before the services they name are known.
    pub session: Session,
}

impl PreparedService {
    pub fn name(&self) -> &str {
        &self.environment.name
    }

    /// The folder its commands run in.
    ///
    /// # Errors
    /// When `change_dir` is wrong.
    pub fn cwd(&self) -> Result<PathBuf, ConfigError> {
        Ok(self.session.current_dir.join(self.environment.change_dir.get()?))
    }

    /// Its variables with what is known of the services it depends on.
    ///
    /// # Errors
    /// A variable that names a service it does not depend on, or a field that is not there.
    pub fn variables(&self, own: &Instance, instances: &Instances) -> Result<Variables, ConfigError> {
        with_services(&self.session.variables, instances, |text| fields::fill_own(text, own, instances))
    }
}

/// `variables` with every field in them filled in and the `ENVO_…` variables of `instances` added.
///
/// # Errors
/// What [`fields::fill`] finds wrong.
pub fn service_variables(variables: &Variables, instances: &Instances) -> Result<Variables, ConfigError> {
    with_services(variables, instances, |text| fields::fill(text, instances))
}

fn with_services(
    variables: &Variables,
    instances: &Instances,
    fill: impl Fn(&str) -> Result<String, ConfigError>,
) -> Result<Variables, ConfigError> {
    let mut filled = variables.clone();
    for (name, value) in variables.iter() {
        if let Some(text) = value.to_str().filter(|text| text.contains('{')) {
            let value = fill(text).map_err(|mut error| {
                error.message = format!("{} (in the variable `{}`)", error.message, name.to_string_lossy());
                error
            })?;
            filled.set(name, value);
        }
    }
    for (name, value) in instances.variables() {
        filled.set(name, value);
    }
    Ok(filled)
}
