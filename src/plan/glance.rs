//! What the plan needs to know of each environment. In a large configuration the environments are looked at side by side
//! before it is decided what they mean for each other; nothing of that may show but the time it saves.

use std::borrow::Cow;
use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use super::Plan;
use crate::error::ConfigError;
use crate::model::Runner;
use crate::settings::config_set::{ConfigSet, SetKind};

/// Fewer environments than this are looked at one by one in no more time: threads have to start, and share what they read.
const WORTH_IT: usize = 2_000;
/// More threads than this would wait for each other.
const MOST_THREADS: usize = 4;

/// An environment, looked at ahead or to be looked at when something is asked about it.
pub(super) enum Glance {
    Ahead(Known),
    Now(Arc<ConfigSet>),
}

/// All there is to ask about an environment.
pub(super) struct Known {
    runner: String,
    package: Option<(String, SetKind)>,
    wheel_env: Option<String>,
    description: Option<String>,
}

impl Plan {
    /// Looks at these environments side by side; `None` where that is not worth it, and where something is wrong or to be
    /// warned of: then they are to be looked at one by one, so that whatever is said is said in their order.
    pub(super) fn look_ahead(&self, named: &[(String, bool)], described: bool) -> Option<Vec<Known>> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
        if threads == 1 || named.len() < WORTH_IT || self.settings.has_warnings() {
            return None;
        }
        let known = |part: &[(String, bool)]| -> Option<Vec<Known>> {
            part.iter().map(|(name, _)| self.look(name, described).ok()).collect()
        };
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

    fn look(&self, name: &str, described: bool) -> Result<Known, ConfigError> {
        let set = self.settings.glance(name);
        // What it refers to is found as well: nothing is wrong with it, or all this does not count.
        let description = if described { Some(self.settings.text(&set, "description")?) } else { None };
        let glance = Glance::Now(set);
        let runner = self.runner(&glance)?.into_owned();
        let package = if Runner::of(&runner).is_some() { self.package_environment(&glance)? } else { None };
        let wheel_env = match &package {
            Some((package_env, kind)) => self.wheel_environment(&glance, package_env, *kind)?,
            None => None,
        };
        let package = package.map(|(name, kind)| (name.into_owned(), kind));
        Ok(Known { runner, package, wheel_env, description })
    }

    pub(super) fn runner<'a>(&self, glance: &'a Glance) -> Result<Cow<'a, str>, ConfigError> {
        match glance {
            Glance::Ahead(known) => Ok(Cow::Borrowed(&known.runner)),
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

    /// The environment that builds the package for another, and how; `None` when nothing is installed.
    pub(super) fn package_environment<'a>(
        &self,
        glance: &'a Glance,
    ) -> Result<Option<(Cow<'a, str>, SetKind)>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => {
                return Ok(known.package.as_ref().map(|(name, kind)| (Cow::Borrowed(name.as_str()), *kind)));
            }
            Glance::Now(set) => set,
        };
        if !self.settings.runner(set)?.is_none_or(Runner::takes_package) {
            return Ok(None);
        }
        let package = self.settings.text(set, "package")?;
        if package == "skip" || self.settings.package_of_runtime(set)?.is_some() {
            return Ok(None);
        }
        if matches!(package.as_str(), "wheel" | "sdist-wheel" | "editable") {
            // tox looks for the interpreter of these right away, which needs the variables that are passed on.
            self.settings.check_pass_env(set)?;
            self.settings.check_set_env(set)?;
        }
        let kind = if package == "external" { SetKind::CommandPackage } else { SetKind::Pep517Package };
        Ok(Some((Cow::Owned(self.settings.text(set, "package_env")?), kind)))
    }

    /// The environment that builds the wheel for another, where that is said and not the one that packages anyway. Those
    /// that nobody names are told apart by their interpreter, which is not asked for here.
    pub(super) fn wheel_environment(
        &self,
        glance: &Glance,
        package_env: &str,
        kind: SetKind,
    ) -> Result<Option<String>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => return Ok(known.wheel_env.clone()),
            Glance::Now(set) => set,
        };
        if kind != SetKind::Pep517Package || !self.settings.is_written(set, "wheel_build_env")? {
            return Ok(None);
        }
        if !matches!(self.settings.text(set, "package")?.as_str(), "wheel" | "sdist-wheel" | "editable") {
            return Ok(None);
        }
        let wheel_env = self.settings.text(set, "wheel_build_env")?;
        Ok((wheel_env != package_env).then_some(wheel_env))
    }
}
