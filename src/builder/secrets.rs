//! The secrets of a run: fetched once, while environments are built, and given only to the environments that name them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::builder::preconditions::check_platform;
use crate::builder::run_context::RunContext;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::model::EnvVariables;
use crate::model::environment::VariableSettings;
use crate::plan::Plan;
use crate::report::github;
use crate::secrets::{SecretContext, SecretRequest, SecretResult, fetch};
use crate::settings::names_secrets;

/// The error that ends an environment whose secrets are missing, by the environment's name.
type SecretErrors = FxHashMap<String, ConfigError>;
/// The values by environment and variable.
type SecretValues = FxHashMap<(String, String), OsString>;

/// The secrets of a run's environments and their services.
#[derive(Default)]
pub struct RunSecrets {
    fetching: Mutex<Option<JoinHandle<Result<SecretValues, SecretErrors>>>>,
    fetched: OnceLock<Result<SecretValues, SecretErrors>>,
}

impl RunSecrets {
    /// Starts to fetch what the environments name. Environments with errors are reported when they run.
    pub fn start<'a>(run: &Arc<RunContext>, plan: &Plan, names: impl Iterator<Item = &'a String>) -> Self {
        if !names_secrets(&plan.settings) || run.options.skip.no_test || run.options.package.package_only {
            return Self::default();
        }
        let environments = names.filter_map(|name| plan.environment(name).ok());
        let needed = environments.filter(|environment| check_platform(environment).is_ok());
        let requests: Vec<SecretRequest> =
            needed.flat_map(|environment| requests(&environment.name, &environment.variables)).collect();
        if requests.is_empty() {
            return Self::default();
        }
        let (run, purpose) = (Arc::clone(run), plan.settings.options.verb.name());
        let fetching = std::thread::spawn(move || fetch_all(&run, &requests, purpose));
        Self { fetching: Mutex::new(Some(fetching)), fetched: OnceLock::new() }
    }

    /// Waits for all secrets of the run, and sets those of one environment.
    ///
    /// # Errors
    /// One of them is missing, of whatever environment: then nothing starts.
    pub fn give_to(
        &self,
        environment: &str,
        settings: &VariableSettings,
        variables: &mut EnvVariables,
    ) -> Result<(), EnvError> {
        let fetched = self.fetched.get_or_init(|| match self.fetching.lock().take().map(JoinHandle::join) {
            None => Ok(SecretValues::default()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(SecretErrors::default()),
        });
        let values = fetched.as_ref().map_err(|errors| match errors.get(environment) {
            Some(error) => EnvError::from(error.clone()),
            None => {
                let mut others: Vec<&str> = errors.keys().map(String::as_str).collect();
                others.sort_unstable();
                EnvError::Fail(format!("nothing was run, because secrets of {} are missing", others.join(", ")))
            }
        })?;
        for secret in &settings.secrets {
            if let Some(value) = values.get(&(environment.to_owned(), secret.variable.clone())) {
                variables.set(&secret.variable, value);
            }
        }
        Ok(())
    }
}

/// What has to be fetched for an environment.
pub fn requests(environment: &str, settings: &VariableSettings) -> Vec<SecretRequest> {
    let request = |secret: &_| SecretRequest { environment: environment.to_owned(), secret: Clone::clone(secret) };
    settings.secrets.iter().map(request).collect()
}

fn fetch_all(run: &RunContext, requests: &[SecretRequest], purpose: &str) -> Result<SecretValues, SecretErrors> {
    let context =
        SecretContext { variables: &run.host, root: run.project.root.clone(), interrupt: &run.interrupt, purpose };
    let (results, unrecorded) = fetch(requests, &context);
    if let Some(text) = unrecorded {
        run.output.reporter.warning("ROOT", text);
    }
    let found: Vec<Vec<u8>> = results.iter().flatten().cloned().collect();
    run.output.redactor.hide(&found);
    github::mask(&run.host, &found);
    let errors: SecretErrors = requests
        .iter()
        .zip(&results)
        .rev()
        .filter_map(|(request, result)| Some((request.environment.clone(), error(request, result)?)))
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let key = |request: &SecretRequest| (request.environment.clone(), request.secret.variable.clone());
    let values = results.into_iter().flatten().map(OsString::from_vec);
    Ok(requests.iter().map(key).zip(values).collect())
}

/// Why a secret is missing.
pub fn error(request: &SecretRequest, result: &SecretResult) -> Option<ConfigError> {
    let reason = result.as_ref().err()?;
    let secret = &request.secret;
    let message = format!(
        "the secret `{}` of `{}` is missing: `{}`: {reason}",
        secret.variable, request.environment, secret.reference
    );
    let error = ConfigError::fail(message).hint("`envo secrets check` tries all references");
    Some(secret.place.clone().into_iter().fold(error, ConfigError::at))
}
