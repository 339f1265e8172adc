//! Selects environments and orders them. Runs nothing.
//!
//! A [`Plan`] contains all environments, with those that build packages and those that are selected; each is converted to a
//! typed [`Environment`] on demand.

pub mod affected;
mod define;
pub mod graph;
mod inputs;
pub mod job;
mod layers;
mod package_use;
pub mod provision;
pub mod select;
pub mod services;
pub mod shard;
mod skip;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use skip::SkipPattern;

use crate::cli::options::Options;
use crate::did_you_mean::slips;
use crate::error::ConfigError;
use crate::model::environment::RESTART;
use crate::model::environment::sdist_describer;
use crate::model::{Environment, InterpreterLookup, PackageKind, ProjectSettings};
use crate::python_text::glob;
use crate::settings::Settings;
use crate::settings::config_set::SetKind;
use crate::settings::translate;
use crate::source;

/// A suggestion compares all names, so only the first errors include one.
const MOST_SUGGESTIONS: usize = 100;

/// The name of which `written` is a probable misspelling, ignoring case. Versions are not misspellings of each other: tox
/// creates `py39` on request.
fn nearest<'a>(written: &str, names: &'a [String]) -> Option<&'a str> {
    let letters = |text: &str| text.to_lowercase().chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let (lower, own) = (written.to_lowercase(), letters(written));
    let alike = names.iter().filter(|name| letters(name) != own || name.to_lowercase() == lower);
    alike.filter_map(|name| Some((slips(&lower, &name.to_lowercase())?, name))).min().map(|(_, name)| name.as_str())
}

/// An environment of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinedEnv {
    pub name: String,
    /// Whether it was requested.
    pub active: bool,
    /// Whether it was requested by name or with `ALL`, independently of labels and factors.
    named: bool,
    pub kind: SetKind,
    /// Its runner, if no plugin provides that.
    pub missing_runner: Option<String>,
    /// How the project is packaged for it.
    package: Option<Arc<PackageUse>>,
    /// Its description, if `list` needs it and it is already known.
    pub description: Option<String>,
}

/// How the project is packaged for an environment.
#[derive(Debug, PartialEq, Eq)]
struct PackageUse {
    /// The packaging environment.
    builder: String,
    builder_kind: SetKind,
    /// `None`: what only a plugin's runner knows.
    kind: Option<PackageKind>,
}

/// The environments of a configuration, and those selected by the command line.
pub struct Plan {
    pub settings: Arc<Settings>,
    defined: Vec<DefinedEnv>,
    /// The names in `env_list`.
    listed: FxHashSet<String>,
    /// The job of GitHub Actions that selects the environments, if there is one.
    pub job: Option<job::CiJob>,
    warnings: Mutex<Vec<PlanWarning>>,
    /// Environments that `--skip-env` excludes and that were reported.
    left_out: Mutex<FxHashSet<String>>,
    /// Packaging environments without errors that would prevent searching for their interpreter.
    right_builders: Mutex<FxHashSet<String>>,
}

/// A warning to report before anything is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanWarning {
    /// The environment it concerns; `None` for the project.
    pub environment: Option<String>,
    pub text: String,
}

impl PlanWarning {
    fn of_project(text: String) -> Self {
        Self { environment: None, text }
    }
}

/// Reads the configuration that the options name, or the one found from the current folder.
pub fn read(options: Arc<Options>, interpreters: Arc<dyn InterpreterLookup>) -> Result<Plan, ConfigError> {
    let discovery = source::discover(
        options.project.config_file.as_deref(),
        options.project.root_dir.as_deref(),
        &options.process.current_dir,
    )?;
    let plan = Plan::new(Settings::new(discovery.source, options, interpreters)?);
    plan.warnings.lock().extend(discovery.warning.map(PlanWarning::of_project));
    Ok(plan)
}

/// [`read`], with all environments determined.
pub fn open(options: Arc<Options>, interpreters: Arc<dyn InterpreterLookup>) -> Result<Plan, ConfigError> {
    let mut plan = read(options, interpreters)?;
    plan.settle()?;
    Ok(plan)
}

impl Plan {
    fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            defined: Vec::new(),
            listed: FxHashSet::default(),
            job: None,
            warnings: Mutex::default(),
            left_out: Mutex::default(),
            right_builders: Mutex::default(),
        }
    }

    /// The plan of another version of the configuration, with the same options.
    pub fn with_source(&self, source: source::ConfigSource) -> Result<Self, ConfigError> {
        let settings =
            Settings::new(source, Arc::clone(&self.settings.options), Arc::clone(&self.settings.interpreters))?;
        let mut plan = Self::new(settings);
        plan.settle()?;
        Ok(plan)
    }

    /// Determines the environments. Before this, only the project's own settings can be read.
    pub fn settle(&mut self) -> Result<(), ConfigError> {
        let fallback = !self.settings.options.list.no_fallback;
        self.job = job::choose(&self.settings, &mut |text| self.warnings.lock().push(PlanWarning::of_project(text)))?;
        self.listed = self.settings.list(self.settings.core(), "env_list")?.into_iter().collect();
        self.defined = self.define(fallback)?;
        Ok(())
    }

    /// Every environment in order, packaging ones included, without those that `--skip-env` leaves out.
    pub fn all(&self) -> Result<Vec<&DefinedEnv>, ConfigError> {
        self.kept(|_| true)
    }

    /// Those of the environments that are meant and that `--skip-env` does not leave out. It is said of each that is left
    /// out, once.
    pub fn kept(&self, meant: impl Fn(&DefinedEnv) -> bool) -> Result<Vec<&DefinedEnv>, ConfigError> {
        let found = self.defined.iter().filter(|entry| entry.missing_runner.is_none() && meant(entry));
        let Some(skip) = SkipPattern::of(&self.settings.options.selection.skip)? else { return Ok(found.collect()) };
        let stays = |entry: &&DefinedEnv| {
            let Some(text) = skip.warning(&entry.name) else { return true };
            if self.left_out.lock().insert(entry.name.clone()) {
                self.warnings.lock().push(PlanWarning::of_project(text));
            }
            false
        };
        Ok(found.filter(stays).collect())
    }

    /// Every run environment in order, without those that `--skip-env` leaves out.
    pub fn runs(&self) -> Result<Vec<String>, ConfigError> {
        Ok(self.kept(|entry| !entry.kind.is_package())?.into_iter().map(|entry| entry.name.clone()).collect())
    }

    /// The run environments that were asked for, in order.
    pub fn selected(&self) -> Result<Vec<String>, ConfigError> {
        let asked = self.kept(|entry| entry.active && !entry.kind.is_package())?;
        Ok(asked.into_iter().map(|entry| entry.name.clone()).collect())
    }

    /// What `config` shows: everything that was asked for, packaging environments too; and what it says instead of one that
    /// `--skip-env` leaves out.
    pub fn config_environments(&self) -> Result<Vec<(DefinedEnv, Option<String>)>, ConfigError> {
        let skip = SkipPattern::of(&self.settings.options.selection.skip)?;
        let asked = self.defined.iter().filter(|entry| entry.missing_runner.is_none() && entry.active);
        let warning = |entry: &DefinedEnv| skip.as_ref().and_then(|skip| skip.warning(&entry.name));
        Ok(asked.map(|entry| (entry.clone(), warning(entry))).collect())
    }

    /// The folders of all environments, whether or not they are selected.
    pub fn environment_folders(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let folder = |entry: &DefinedEnv| {
            self.settings.path(&self.settings.environment_of_kind(&entry.name, entry.kind), "env_dir")
        };
        self.defined.iter().map(folder).collect()
    }

    /// Whether an environment of that name builds packages, or is the one for missing programs of `requires`.
    pub fn is_packager_folder(&self, name: &str) -> Result<bool, ConfigError> {
        let builders = self.defined.iter().filter(|entry| entry.kind.is_package());
        // Those of other interpreters are only known when these are asked: `.pkg-cpython311`.
        let is_of = |entry: &DefinedEnv| name.strip_prefix(&entry.name).is_some_and(|rest| rest.starts_with('-'));
        Ok(builders.into_iter().any(is_of) || name == self.settings.text(self.settings.core(), "provision_tox_env")?)
    }

    /// Whether any environment has the project installed.
    pub fn packages_anything(&self) -> bool {
        self.defined.iter().any(|entry| entry.kind.is_package())
    }

    /// Whether any environment could have the project packaged for it: those of a lock file or of a script cannot.
    pub fn may_package(&self) -> bool {
        let cannot = |entry: &DefinedEnv| {
            let set = self.settings.environment(&entry.name);
            matches!(self.settings.runner(&set), Ok(Some(runner)) if !runner.takes_package())
        };
        self.defined.is_empty() || self.packages_anything() || !self.defined.iter().all(cannot)
    }

    /// The project's keys that nothing reads: without packages, those about packaging.
    pub fn unread_keys(&self) -> Vec<&'static str> {
        let about_package = [("package_env", self.packages_anything()), ("no_package", self.may_package())];
        about_package.into_iter().filter(|(_, read)| !read).map(|(key, _)| key).collect()
    }

    /// Environments whose runner nothing provides, with that runner.
    pub fn unavailable(&self) -> Vec<(String, String)> {
        let missing = |entry: &DefinedEnv| Some((entry.name.clone(), entry.missing_runner.clone()?));
        self.defined.iter().filter_map(missing).collect()
    }

    pub fn ensure_only_run_environments(&self) -> Result<(), ConfigError> {
        let wrong: Vec<&str> = self
            .defined
            .iter()
            .filter(|entry| entry.named && entry.kind.is_package())
            .map(|entry| entry.name.as_str())
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(ConfigError::handled(format!("cannot run packaging environment(s) {}", wrong.join(","))))
    }

    /// What should be said before anything is done.
    pub fn take_warnings(&self) -> Vec<PlanWarning> {
        let mut warnings = std::mem::take(&mut *self.warnings.lock());
        warnings.extend(self.settings.take_warnings().into_iter().map(PlanWarning::of_project));
        warnings
    }

    pub fn project(&self) -> Result<ProjectSettings, ConfigError> {
        translate::project(&self.settings)
    }

    /// An environment as a value, for building and running it. Packaging environments have to be asked for by the name
    /// that [`packaging`](crate::model::environment::PackageRole::packaging) gives.
    pub fn environment(&self, name: &str) -> Result<Environment, ConfigError> {
        let kind = self.defined.iter().find(|entry| entry.name == name).map(|entry| entry.kind);
        let kind = kind.unwrap_or_else(|| self.kind_of_packager(name));
        let set = self.settings.environment_of_kind(name, kind);
        translate::environment(&self.settings, &set)
    }

    /// What the environments that were not asked for would have `builder` build: tox readies a packaging environment for
    /// all that are defined. Where many want the same, one of them is enough, but those of editable wheels are named when
    /// the backend cannot build them. One without its interpreter wants nothing.
    pub fn also_built(&self, builder: &str, asked: &[String]) -> Vec<(String, PackageKind)> {
        let asked: FxHashSet<&str> = asked.iter().map(String::as_str).collect();
        let mut found: Vec<(String, PackageKind)> = Vec::new();
        for entry in self.defined.iter().filter(|entry| !asked.contains(entry.name.as_str())) {
            let Some((package, kind)) = entry.package.as_ref().and_then(|package| Some((package, package.kind?)))
            else {
                continue;
            };
            if kind != PackageKind::Editable && found.iter().any(|(_, known)| *known == kind) {
                continue;
            }
            let uses_it = if kind.is_of_interpreter() {
                let wheel_environment = self.settings.text(&self.settings.environment(&entry.name), "wheel_build_env");
                wheel_environment.is_ok_and(|name| package.builder == builder || name == builder)
            } else {
                package.builder == builder
                    || (kind == PackageKind::External && sdist_describer(&package.builder) == builder)
            };
            if uses_it {
                found.push((entry.name.clone(), kind));
            }
        }
        found
    }

    /// A name that only packaging knows: a wheel environment of another interpreter, or an external builder.
    fn kind_of_packager(&self, name: &str) -> SetKind {
        if name.ends_with("_external") { SetKind::CommandPackage } else { SetKind::Pep517Package }
    }

    /// Names in `depends` of environments that are nearly those of others, and so hardly meant as they are written: tox
    /// passes over what it does not know.
    pub fn misspelt_depends(&self, names: &[String]) -> Vec<ConfigError> {
        self.wrong_depends(names, |_| false)
    }

    /// The same with names that no environment can have.
    pub fn unknown_depends(&self, names: &[String]) -> Vec<ConfigError> {
        // Many environments may name the same one.
        let mut unknown = FxHashMap::default();
        self.wrong_depends(names, |one| {
            *unknown.entry(one.to_owned()).or_insert_with(|| !select::can_be_made(&self.settings, one))
        })
    }

    fn wrong_depends(&self, names: &[String], mut is_unknown: impl FnMut(&str) -> bool) -> Vec<ConfigError> {
        let Ok(known) = self.runs() else { return Vec::new() };
        let is_known: FxHashSet<&str> = known.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        for (name, depends) in self.depends(names).unwrap_or_default() {
            for one in depends.iter().filter(|one| !glob::is_pattern(one) && !is_known.contains(one.as_str())) {
                if found.len() >= MOST_SUGGESTIONS {
                    return found;
                }
                let hint = match nearest(one, &known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if is_unknown(one) => "`envo list` shows all environments".to_owned(),
                    None => continue,
                };
                let text = format!("`depends` of `{name}` names `{one}`, which does not exist");
                let error = ConfigError::handled(text).hint(hint);
                let place = self.settings.location_within(&self.settings.environment(&name), "depends", one);
                found.push(place.into_iter().fold(error, ConfigError::at));
            }
        }
        found
    }

    /// In which order `names` run.
    ///
    /// # Errors
    /// tox's message when they depend on each other in a cycle, at the `depends` of the first of these; and when one of the
    /// `depends` is wrong.
    pub fn order(&self, names: &[String]) -> Result<graph::EnvOrder, ConfigError> {
        let mut depends = self.depends(names)?;
        for (name, before) in &mut depends {
            // A layer with an invalid base fails when it is built.
            before.extend(self.bases(name).unwrap_or_default());
        }
        graph::run_order(&depends).map_err(|cycle| {
            let text = format!("circular dependency detected between environments: {}", cycle.join(" | "));
            let written = |key| cycle.iter().find_map(|name| self.settings.written_at(name, key));
            let first = cycle.first().and_then(|first| self.settings.written_at(first, "depends"));
            let place = first.or_else(|| written("depends")).or_else(|| written("layer_on"));
            let error = ConfigError::handled(text).hint("remove `depends` from one of them");
            place.into_iter().fold(error, ConfigError::at)
        })
    }

    /// Every environment with the globs of what it depends on, for ordering.
    pub fn depends(&self, names: &[String]) -> Result<Vec<(String, Vec<String>)>, ConfigError> {
        names
            .iter()
            .map(|name| {
                let set = self.settings.environment(name);
                let depends = self.settings.list(&set, "depends")?;
                let plain = |one: String| one.strip_suffix(RESTART).map(str::to_owned).unwrap_or(one);
                Ok((name.clone(), depends.into_iter().map(plain).collect()))
            })
            .collect()
    }
}
