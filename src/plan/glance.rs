//! What the plan needs to know of each environment. In a large configuration the environments are looked at side by side
//! before it is decided what they mean for each other; nothing of that may show but the time it saves.

use std::borrow::Cow;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rustc_hash::FxHashMap;

use super::{PackageUse, Plan};
use crate::cli::options::{EnvironmentChoice, Verb};
use crate::error::{ConfigError, ErrorClass};
use crate::model::{Interpreter, PackageKind, Runner};
use crate::settings::alike::{Sketcher, Traits};
use crate::settings::base_python::{asks, asks_twice};
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::lock;

/// Fewer environments than this are looked at one by one in no more time than it takes to find out what they share.
const WORTH_SHARING: usize = 50;
/// Fewer environments than this are looked at by one thread in no more time: threads have to start, and share what they
/// read.
const WORTH_THREADS: usize = 2_000;
/// More threads than this would wait for each other.
const MOST_THREADS: usize = 4;

/// An environment, looked at ahead or to be looked at when something is asked about it.
pub(super) enum Glance {
    Ahead(Known),
    Now(Arc<ConfigSet>),
}

/// All there is to ask about an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    making: Arc<Making>,
    description: Option<String>,
}

/// Who makes an environment, and who packages the project for it.
#[derive(Debug, PartialEq, Eq)]
struct Making {
    runner: String,
    package: Option<Arc<PackageUse>>,
    wheel_env: Option<String>,
    /// Whether its interpreter is looked for right away.
    asks_interpreter: bool,
}

/// Looks at environments one after another, and only once at what they share.
struct Looker<'a> {
    plan: &'a Plan,
    described: bool,
    sketcher: Option<Sketcher<'a>>,
    /// What the first environment with these traits came to.
    alike: FxHashMap<Traits<'a>, Known>,
}

impl Looker<'_> {
    fn look(&mut self, name: &str) -> Result<Known, ConfigError> {
        let Some(sketch) = self.sketcher.as_mut().and_then(|sketcher| sketcher.sketch(name)) else {
            return self.plan.look(name, self.described);
        };
        let Some(alike) = self.alike.get(&sketch.traits) else {
            let known = self.plan.look(name, self.described)?;
            self.alike.insert(sketch.traits, known.clone());
            return Ok(known);
        };
        let mut known = alike.clone();
        if known.making.asks_interpreter
            && (sketch.open.pass_env
                || sketch.open.interpreter
                || asks_twice(name)
                || (sketch.open.base_python && asks(name)))
        {
            self.plan.settings.check_interpreter_request(&self.plan.settings.glance(name))?;
        }
        if self.described && sketch.open.description {
            let set = self.plan.settings.glance(name);
            known.description = Some(self.plan.settings.text(&set, "description")?);
        } else if self.described && sketch.description.is_some() {
            known.description = sketch.description;
        }
        Ok(known)
    }
}

impl Plan {
    /// Looks at these environments side by side; `None` where that is not worth it, and where something is wrong or to be
    /// warned of: then they are to be looked at one by one, so that whatever is said is said in their order.
    pub(super) fn look_ahead(&self, named: &[(String, bool)], described: bool) -> Option<Vec<Known>> {
        if named.len() < WORTH_SHARING || self.settings.has_warnings() {
            return None;
        }
        let known = |part: &[(String, bool)]| -> Option<Vec<Known>> {
            let mut looker = self.looker(described);
            part.iter().map(|(name, _)| looker.look(name).ok()).collect()
        };
        let processors = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        let threads = if named.len() < WORTH_THREADS { 1 } else { processors };
        let (first, rest) = named.split_at(named.len().div_ceil(threads));
        let found = thread::scope(|scope| {
            let parts = rest.chunks(first.len()).map(|part| scope.spawn(move || known(part)));
            let parts: Vec<_> = parts.collect();
            let mut found = known(first)?;
            for part in parts {
                found.extend(part.join().ok()??);
            }
            Some(found)
        });
        if self.settings.has_warnings() {
            self.settings.take_warnings();
            return None;
        }
        found
    }

    fn looker(&self, described: bool) -> Looker<'_> {
        // What is told apart by interpreters is not to be told from sections.
        let sketcher = if self.shows_unnamed_packagers() { None } else { Sketcher::of(&self.settings) };
        Looker { plan: self, described, sketcher, alike: FxHashMap::default() }
    }

    fn look(&self, name: &str, described: bool) -> Result<Known, ConfigError> {
        let set = self.settings.glance(name);
        // What it refers to is found as well: nothing is wrong with it, or all this does not count.
        let description = if described { Some(self.settings.text(&set, "description")?) } else { None };
        let glance = Glance::Now(Arc::clone(&set));
        let runner = self.runner(&glance)?.into_owned();
        let package = if Runner::of(&runner).is_some() { self.package_use(&glance)? } else { None };
        let wheel_env = match &package {
            Some(package) => self.wheel_environment(&glance, package)?,
            None => None,
        };
        let asks_interpreter = package.as_ref().is_some_and(|package| package.is_of_interpreter())
            && !self.settings.is_written(&set, "wheel_build_env")?;
        Ok(Known { making: Arc::new(Making { runner, package, wheel_env, asks_interpreter }), description })
    }

    pub(super) fn runner<'a>(&self, glance: &'a Glance) -> Result<Cow<'a, str>, ConfigError> {
        match glance {
            Glance::Ahead(known) => Ok(Cow::Borrowed(&known.making.runner)),
            Glance::Now(set) => self.settings.text(set, "runner").map(Cow::Owned),
        }
    }

    /// The description, where it is known already or refers to nothing. It is asked for once.
    pub(super) fn description(&self, glance: &mut Glance) -> Result<Option<String>, ConfigError> {
        match glance {
            Glance::Ahead(known) => Ok(known.description.take()),
            Glance::Now(set) => self.settings.plain_text(set, "description"),
        }
    }

    /// How the project is packaged for an environment; `None` when nothing is installed.
    pub(super) fn package_use(&self, glance: &Glance) -> Result<Option<Arc<PackageUse>>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => return Ok(known.making.package.clone()),
            Glance::Now(set) => set,
        };
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

    /// The environment that builds the wheel for another, where that is not the one that packages anyway. Those that nobody
    /// names are told apart by their interpreters, which are only asked where such environments may be shown.
    pub(super) fn wheel_environment(
        &self,
        glance: &Glance,
        package: &PackageUse,
    ) -> Result<Option<String>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => return Ok(known.making.wheel_env.clone()),
            Glance::Now(set) => set,
        };
        let package_env = package.builder.as_str();
        if !package.is_of_interpreter() {
            return Ok(None);
        }
        if self.settings.is_written(set, "wheel_build_env")? {
            let wheel_env = self.settings.text(set, "wheel_build_env")?;
            return Ok((wheel_env != package_env).then_some(wheel_env));
        }
        // tox looks for both interpreters right away.
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
        let path = self.settings.options.variables.get("PATH").unwrap_or_default();
        let own = interpreter.executable.parent();
        let is_own = |folder: PathBuf| own == Some(folder.as_path()) || folder.canonicalize().ok().as_deref() == own;
        std::env::split_paths(path).any(is_own)
    }

    /// Finds what keeps the interpreter of a packaging environment from being there. Where the environment itself has none,
    /// nothing is built for it.
    fn check_builder(&self, set: &ConfigSet, package_env: &str) -> Result<(), ConfigError> {
        if lock(&self.right_builders).contains(package_env) {
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
                lock(&self.right_builders).insert(package_env.to_owned());
                Ok(())
            }
            Err(_) if self.settings.interpreter(set).is_err() => Ok(()),
            wrong => wrong,
        }
    }

    /// Only `config` shows packaging environments, and those that nobody names where all are asked for or some by a part of
    /// their name.
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

#[cfg(test)]
mod tests;
