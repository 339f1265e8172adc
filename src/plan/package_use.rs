//! Decides how the project is packaged for an environment, and by which packaging environments.

use std::path::PathBuf;
use std::sync::Arc;

use super::{PackageUse, Plan};
use crate::cli::options::{EnvironmentChoice, Verb};
use crate::error::{ConfigError, ErrorClass};
use crate::model::{Interpreter, PackageKind, Runner};
use crate::settings::config_set::{ConfigSet, SetKind};

impl Plan {
    /// How the project is packaged for an environment; `None` if it is not installed.
    pub(super) fn package_use(&self, set: &ConfigSet) -> Result<Option<Arc<PackageUse>>, ConfigError> {
        if !self.settings.runner(set)?.is_none_or(Runner::takes_package) {
            return Ok(None);
        }
        let package = self.settings.text(set, "package")?;
        if package == "skip" || self.settings.package_of_runtime(set)?.is_some() {
            return Ok(None);
        }
        let kind = PackageKind::named(&package);
        let builder_kind =
            if kind == Some(PackageKind::External) { SetKind::CommandPackage } else { SetKind::Pep517Package };
        let builder = self.settings.text(set, "package_env")?;
        Ok(Some(Arc::new(PackageUse { builder, builder_kind, kind })))
    }

    /// The environment that builds the wheel for another, if it is not the packaging environment itself. Those without a
    /// configured name are distinguished by their interpreters, which are only queried if such environments may be shown.
    pub(super) fn wheel_environment(
        &self,
        set: &ConfigSet,
        package: &PackageUse,
    ) -> Result<Option<String>, ConfigError> {
        let package_env = package.builder.as_str();
        if !package.is_of_interpreter() {
            return Ok(None);
        }
        if self.settings.is_written(set, "wheel_build_env")? {
            let wheel_env = self.settings.text(set, "wheel_build_env")?;
            return Ok((wheel_env != package_env).then_some(wheel_env));
        }
        // tox searches for both interpreters at once.
        self.settings.check_interpreter_request(set)?;
        self.check_builder(set, package_env)?;
        if !self.shows_unnamed_packagers() {
            return Ok(None);
        }
        // Without an interpreter there is nothing to build a wheel with, and tox knows only of those that are on PATH.
        if !self.settings.interpreter(set).is_ok_and(|own| self.is_on_path(&own)) {
            return Ok(None);
        }
        let Ok(wheel_env) = self.settings.text(set, "wheel_build_env") else { return Ok(None) };
        Ok((wheel_env != package_env).then_some(wheel_env))
    }

    fn is_on_path(&self, interpreter: &Interpreter) -> bool {
        let path = self.settings.options.process.variables.get("PATH").unwrap_or_default();
        let own = interpreter.executable.parent();
        let is_own = |folder: PathBuf| own == Some(folder.as_path()) || folder.canonicalize().ok().as_deref() == own;
        std::env::split_paths(path).any(is_own)
    }

    /// Finds what keeps the interpreter of a packaging environment from being there. Where the environment itself has none,
    /// nothing is built for it.
    fn check_builder(&self, set: &ConfigSet, package_env: &str) -> Result<(), ConfigError> {
        if self.right_builders.lock().contains(package_env) {
            return Ok(());
        }
        let builder = self.settings.environment_of_kind(package_env, SetKind::Pep517Package);
        let mut found = self.settings.check_interpreter_request(&builder);
        if found.is_ok() && self.settings.is_written(&builder, "base_python")? {
            found = match self.settings.interpreter(&builder) {
                Err(error) if error.class != ErrorClass::Skip => Err(error),
                _ => Ok(()),
            };
        }
        match found {
            Ok(()) => {
                self.right_builders.lock().insert(package_env.to_owned());
                Ok(())
            }
            Err(_) if self.settings.interpreter(set).is_err() => Ok(()),
            wrong => wrong,
        }
    }

    /// Only `config` shows packaging environments; those without a configured name only if all are requested, or some by a
    /// part of their name.
    fn shows_unnamed_packagers(&self) -> bool {
        let selection = &self.settings.options.selection;
        let any = selection.environments == EnvironmentChoice::All || !selection.factors.is_empty();
        any && self.settings.options.verb == Verb::Config
    }
}

impl PackageUse {
    fn is_of_interpreter(&self) -> bool {
        self.kind.is_some_and(PackageKind::is_of_interpreter)
    }
}
