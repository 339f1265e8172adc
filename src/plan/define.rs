//! Determines all environments, and which of them build packages for others.

use rustc_hash::FxHashMap;

use super::{DefinedEnv, PackageUse, Plan, PlanWarning, select};
use crate::cli::options::{EnvironmentChoice, Verb};
use crate::did_you_mean;
use crate::error::ConfigError;
use crate::model::Runner;
use crate::model::environment::sdist_describer;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::value::SettingValue;

/// The packaging environments, as they are found.
#[derive(Default)]
struct Packagers {
    kinds: FxHashMap<String, Runner>,
    order: Vec<String>,
}

impl Packagers {
    fn add(&mut self, name: &str, packager: Runner) -> Result<(), ConfigError> {
        // Nearly all environments have the same.
        match self.kinds.get(name) {
            Some(known) if *known == packager => Ok(()),
            Some(known) => {
                let (known, other) = (known.name(), packager.name());
                let text = format!("{name} is already defined as a {known}, cannot be {other} too");
                Err(ConfigError::handled(text)
                    .hint("give one of the environments that use it another `package_env` or `wheel_build_env`"))
            }
            None => {
                self.kinds.insert(name.to_owned(), packager);
                self.order.push(name.to_owned());
                Ok(())
            }
        }
    }
}

/// Who builds packages in an environment of that kind for one with the runner.
fn packager(kind: SetKind, runner: Option<Runner>) -> Runner {
    match (kind, runner.is_some_and(Runner::uses_uv)) {
        (SetKind::CommandPackage, false) => Runner::CommandPackager,
        (SetKind::CommandPackage, true) => Runner::UvCommandPackager,
        (_, false) => Runner::Pep517Packager,
        (_, true) => Runner::UvPep517Packager,
    }
}

impl Plan {
    /// Determines the kind of every environment, as tox does before any command: which run, which build packages.
    pub(super) fn define(&self, fallback: bool) -> Result<Vec<DefinedEnv>, ConfigError> {
        let named = select::names(&self.settings, fallback)?;
        let options = &self.settings.options;
        let described = options.verb == Verb::List && !options.list.no_description;
        // Each with its position among the names.
        let mut defined: Vec<(usize, DefinedEnv)> = Vec::with_capacity(named.ordered.len());
        let mut packagers = Packagers::default();
        let mut failed: Vec<(String, ConfigError)> = Vec::new();
        for (at, (name, active)) in named.ordered.iter().enumerate() {
            if packagers.kinds.contains_key(name) {
                continue;
            }
            let set = self.settings.glance(name);
            let mut entry = DefinedEnv {
                name: name.clone(),
                active: *active,
                named: *active,
                kind: SetKind::Run,
                missing_runner: None,
                package: None,
                description: None,
            };
            let runner = self.settings.text(&set, "runner")?;
            let known = Runner::of(&runner);
            if known.is_none() {
                self.refuse_runner(name, &runner)?;
                entry.missing_runner = Some(runner);
            } else if let Some(package) = self.package_use(&set)? {
                if let Err(error) = self.add_packagers(name, (&set, known), &package, &mut packagers) {
                    failed.push((name.clone(), error));
                    continue;
                }
                entry.package = Some(package);
            }
            if described {
                entry.description = self.settings.plain_text(&set, "description")?;
            }
            defined.push((at, entry));
        }
        // A packaging environment need not be valid as a run environment.
        if let Some((_, error)) = failed.into_iter().find(|(name, _)| !packagers.kinds.contains_key(name)) {
            return Err(error);
        }
        Ok(self.with_packagers(&named, defined, packagers))
    }

    /// Records the environments that build the package and the wheel for an environment.
    fn add_packagers(
        &self,
        name: &str,
        (set, runner): (&ConfigSet, Option<Runner>),
        package: &PackageUse,
        packagers: &mut Packagers,
    ) -> Result<(), ConfigError> {
        let package_env = package.builder.as_str();
        self.check_package_environment(name, package_env)?;
        if runner.is_some_and(Runner::uses_uv) {
            self.settings.package_with_uv(package_env);
        }
        let wheel_env = self.wheel_environment(set, package)?;
        packagers.add(package_env, packager(package.builder_kind, runner))?;
        if package.builder_kind == SetKind::CommandPackage {
            // Where an external builder makes an sdist, this one finds out what that requires.
            packagers.add(&sdist_describer(package_env), packager(SetKind::Pep517Package, runner))?;
        }
        if let Some(wheel_env) = wheel_env {
            self.check_package_environment(name, &wheel_env)?;
            packagers.add(&wheel_env, packager(SetKind::Pep517Package, runner))?;
        }
        Ok(())
    }

    /// Inserts the packaging environments at the position of their names, or at the end.
    fn with_packagers(
        &self,
        named: &select::NamedEnvs,
        mut defined: Vec<(usize, DefinedEnv)>,
        packagers: Packagers,
    ) -> Vec<DefinedEnv> {
        let without_places = |defined: Vec<(usize, DefinedEnv)>| defined.into_iter().map(|(_, entry)| entry).collect();
        if packagers.order.is_empty() {
            return self.select(without_places(defined));
        }
        let all = self.settings.options.selection.environments == EnvironmentChoice::All;
        let Packagers { kinds, order } = packagers;
        defined.retain(|(_, entry)| !kinds.contains_key(&entry.name));
        let places = named.ordered.iter().enumerate().filter(|(_, (name, _))| kinds.contains_key(name));
        let places: FxHashMap<&str, usize> = places.map(|(at, (name, _))| (name.as_str(), at)).collect();
        for name in order {
            let kind = match kinds[&name] {
                Runner::CommandPackager | Runner::UvCommandPackager => SetKind::CommandPackage,
                _ => SetKind::Pep517Package,
            };
            self.settings.redefine(&name, kind);
            let place = places.get(name.as_str()).copied();
            let active = place.map_or(all, |at| named.ordered[at].1);
            let named = active && place.is_some();
            defined.push((
                place.unwrap_or(usize::MAX),
                DefinedEnv { name, active, named, kind, missing_runner: None, package: None, description: None },
            ));
        }
        defined.sort_by_key(|(place, _)| *place);
        self.select(without_places(defined))
    }

    fn refuse_runner(&self, name: &str, runner: &str) -> Result<(), ConfigError> {
        if matches!(&self.settings.options.selection.environments, EnvironmentChoice::Named(asked) if asked.iter().any(|one| one == name))
        {
            return Err(self.runner_error(name, runner));
        }
        // The check reports it as an error.
        if self.settings.options.config.check {
            return Ok(());
        }
        let text = format!("environment {name} marked as unavailable, runner '{runner}' is not available");
        self.warnings.lock().push(PlanWarning { environment: Some(name.to_owned()), text });
        Ok(())
    }

    /// The error for a `runner` that no plugin provides.
    pub fn runner_error(&self, name: &str, runner: &str) -> ConfigError {
        let message =
            format!("runner '{runner}' for environment '{name}' is not available (plugin may not be installed)");
        let hint = match did_you_mean::closest(runner, Runner::names()) {
            Some(likely) => format!("did you mean {likely}?"),
            None => format!("there are {}", Runner::names().collect::<Vec<_>>().join(", ")),
        };
        let place = self.settings.location_of(&self.settings.glance(name), "runner").ok().flatten();
        place.into_iter().fold(ConfigError::handled(message).hint(hint), ConfigError::at)
    }

    fn check_package_environment(&self, name: &str, package_env: &str) -> Result<(), ConfigError> {
        select::check_name(package_env)?;
        if name == package_env {
            return Err(ConfigError::handled(format!("{name} cannot self-package")));
        }
        if self.listed.contains(package_env) {
            return Err(ConfigError::handled(format!(
                "{package_env} is listed in env_list but is used as a package environment by {name}; remove it from \
                 env_list or rename the package environment"
            )));
        }
        Ok(())
    }

    /// Applies labels and factors to the selection, if there are any.
    fn select(&self, mut defined: Vec<DefinedEnv>) -> Vec<DefinedEnv> {
        let selection = &self.settings.options.selection;
        if selection.labels.is_empty() && selection.factors.is_empty() {
            return defined;
        }
        let labelled: Vec<String> = match self.settings.value(self.settings.core(), "labels") {
            Ok(SettingValue::Labels(labels)) => labels
                .into_iter()
                .filter(|(label, _)| selection.labels.contains(label))
                .flat_map(|(_, members)| members)
                .collect(),
            _ => Vec::new(),
        };
        let factors: Vec<Vec<&str>> =
            selection.factors.iter().map(|all| all.iter().flat_map(|one| one.split('-')).collect()).collect();
        for entry in &mut defined {
            let set = self.settings.environment(&entry.name);
            let own = self.settings.list(&set, "labels").unwrap_or_default();
            let parts: Vec<&str> = entry.name.split('-').collect();
            entry.active = labelled.contains(&entry.name)
                || own.iter().any(|label| selection.labels.contains(label))
                || factors.iter().any(|all| all.iter().all(|factor| parts.contains(factor)));
        }
        defined
    }
}
