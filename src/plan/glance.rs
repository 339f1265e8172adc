//! What the plan needs to know of each environment. In a large configuration the environments are looked at side by side
//! before it is decided what they mean for each other; nothing of that may show but the time it saves.

use std::borrow::Cow;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use rustc_hash::FxHashMap;

use super::Plan;
use crate::cli::options::{EnvironmentChoice, Verb};
use crate::error::{ConfigError, ErrorClass};
use crate::model::{Interpreter, Runner};
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
    package: Option<(String, SetKind)>,
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
        let package = if Runner::of(&runner).is_some() { self.package_environment(&glance)? } else { None };
        let wheel_env = match &package {
            Some((package_env, kind)) => self.wheel_environment(&glance, package_env, *kind)?,
            None => None,
        };
        let package = package.map(|(name, kind)| (name.into_owned(), kind));
        let asks_interpreter = package.is_some()
            && is_built(&self.settings.text(&set, "package")?)
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

    /// The environment that builds the package for another, and how; `None` when nothing is installed.
    pub(super) fn package_environment<'a>(
        &self,
        glance: &'a Glance,
    ) -> Result<Option<(Cow<'a, str>, SetKind)>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => {
                return Ok(known.making.package.as_ref().map(|(name, kind)| (Cow::Borrowed(name.as_str()), *kind)));
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
        let kind = if package == "external" { SetKind::CommandPackage } else { SetKind::Pep517Package };
        Ok(Some((Cow::Owned(self.settings.text(set, "package_env")?), kind)))
    }

    /// The environment that builds the wheel for another, where that is not the one that packages anyway. Those that nobody
    /// names are told apart by their interpreters, which are only asked where such environments may be shown.
    pub(super) fn wheel_environment(
        &self,
        glance: &Glance,
        package_env: &str,
        kind: SetKind,
    ) -> Result<Option<String>, ConfigError> {
        let set = match glance {
            Glance::Ahead(known) => return Ok(known.making.wheel_env.clone()),
            Glance::Now(set) => set,
        };
        if kind != SetKind::Pep517Package || !is_built(&self.settings.text(set, "package")?) {
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

/// Whether such a package is built with an interpreter.
fn is_built(package: &str) -> bool {
    matches!(package, "wheel" | "sdist-wheel" | "editable")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::options::{Options, Surroundings};
    use crate::cli::{Parsed, parse};
    use crate::model::InterpreterLookup;

    struct NoInterpreters;

    impl InterpreterLookup for NoInterpreters {
        fn find(&self, _specs: &[String]) -> Option<Arc<Interpreter>> {
            None
        }

        fn host_python(&self) -> PathBuf {
            PathBuf::from("/python")
        }

        fn uv(&self) -> Option<PathBuf> {
            None
        }
    }

    fn options(folder: &std::path::Path, line: &str) -> Options {
        let words = std::iter::once("envo").chain(line.split_whitespace()).map(Into::into).collect::<Vec<_>>();
        let variables = [("TOX_USER_CONFIG_FILE", "/nonexistent/config.ini")];
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let surroundings = Surroundings { variables, current_dir: folder.to_owned(), stdout_is_terminal: false };
        match parse(&words, surroundings) {
            Ok(Parsed::Run(resolved)) => resolved.options,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn plan(folder: &std::path::Path, (file, text): (&str, &str), line: &str) -> Plan {
        std::fs::write(folder.join("setup.py"), "").expect("written");
        std::fs::write(folder.join(file), text).expect("written");
        let plan = super::super::read(Arc::new(options(folder, line)), Arc::new(NoInterpreters));
        plan.unwrap_or_else(|error| panic!("{}\n{text}", error.message))
    }

    /// Looks at each environment both ways, and tells how many came to what others had come to.
    fn shared(file: &str, text: &str, line: &str) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let plan = plan(folder.path(), (file, text), line);
        let (mut sketched, mut looker) = (0, plan.looker(true));
        for name in plan.settings.declared_names().expect("names") {
            let alone = plan.look(name, true).map_err(|error| error.message);
            let found = looker.look(name).map_err(|error| error.message);
            assert_eq!(found, alone, "{name} with {line}\n{text}");
            sketched += usize::from(looker.sketcher.as_mut().is_some_and(|one| one.sketch(name).is_some()));
        }
        sketched - looker.alike.len()
    }

    const OWN: [&str; 28] = [
        "",
        "usedevelop = true",
        "description = one\n  two\n\n  three",
        "description = for {env_name}",
        "description = a1: one\n  a2: two",
        "description =  one # two",
        "package = wheel",
        "package = wheel\npass_env = A, B",
        "package = wheel\npass_env = A B",
        "package = wheel\npass_env =\n  a1: A B\n  C",
        "passenv = A\n  B # C D",
        "package = editable\nset_env = file|nowhere.env",
        "package = editable\nsetenv = A = 1",
        "skip_install = true",
        "skip_install = perhaps",
        "usedevelop = true\nuse_develop = false",
        "runner = uv-venv-runner",
        "runner = nobody",
        "runner = uv-venv-lock-runner\npackage = uv",
        "base = other",
        "package_env = mine",
        "package = external",
        "package = wheel\nwheel_build_env = mine",
        "package = a1: wheel\n  a2: skip",
        "package = nonsense",
        "runtime = node",
        "package = {[other]package}",
        "deps = x\ncommands = y",
    ];

    fn ini(head: &str) -> String {
        let mut text = format!("[tox]\nenv_list = only-a1, only-a2, only-a3\n{head}\n[other]\npackage = sdist\n");
        for (at, own) in OWN.iter().enumerate() {
            text.push_str(&format!("[testenv:e{at}-a1]\n{own}\n[testenv:e{at}-{{a2,a3}}]\n{own}\n"));
        }
        text
    }

    #[test]
    fn what_environments_of_an_ini_file_share_is_what_each_would_come_to_alone() {
        let overrides = [
            "",
            "-x testenv.package=wheel",
            "-x testenv.description={env_name}",
            "-x testenv.pass_env+=A,B",
            "-x testenv:e0-a1.package=skip",
            "-x testenv:only-a2.package=nonsense",
            "--develop",
        ];
        for line in overrides.map(|words| format!("list {words}")) {
            for own in OWN {
                shared("tox.ini", &ini(&format!("[testenv]\n{own}")), &line);
            }
            shared("tox.ini", &ini("[DEFAULT]\npackage = wheel\n[testenv:only-a1]\npackage = skip"), &line);
            let refers = line.contains('{');
            assert!(refers || shared("tox.ini", &ini(""), &line) > 20, "{line}");
        }
    }

    const OWN_TABLES: [&str; 21] = [
        "",
        "use_develop = true",
        "description = ' one '",
        "description = 'for {env_name}'",
        "description = { replace = 'env', name = 'X', default = 'one' }",
        "description = 1",
        "package = 'wheel'",
        "package = 'wheel'\npass_env = ['A', 'B']",
        "package = 'wheel'\npass_env = ['A B']",
        "package = 'wheel'\npass_env = [{ replace = 'env', name = 'X', default = 'A B' }]",
        "package = 'editable'\nset_env = { file = 'nowhere.env' }",
        "package = 'editable'\nsetenv = { A = '1' }",
        "skip_install = true",
        "skip_install = 'true'",
        "usedevelop = true\nuse_develop = false",
        "runner = 'uv-venv-runner'",
        "base = ['other']",
        "package = 'wheel'\nwheel_build_env = 'mine'",
        "runtime = ['node']",
        "package = { replace = 'ref', of = ['other', 'package'] }",
        "deps = ['x']",
    ];

    #[test]
    fn what_environments_of_a_toml_file_share_is_what_each_would_come_to_alone() {
        let all = |head: &str| {
            let names = "env_list = ['only-a1', 'only-a2']\nother.package = 'sdist'\n";
            let mut text = format!("{names}{head}\n[env_base.t]\nfactors = ['a1', 'a2']\npackage = 'skip'\n");
            for (at, own) in OWN_TABLES.iter().enumerate() {
                text.push_str(&format!("[env.e{at}-a1]\n{own}\n[env.e{at}-a2]\n{own}\n"));
            }
            text
        };
        for line in ["list", "list -x env_run_base.package=wheel", "list -x env.e0-a1.package=skip"] {
            for own in OWN_TABLES {
                shared("tox.toml", &all(&format!("[env_run_base]\n{own}")), line);
            }
            shared("tox.toml", &format!("env.y = 1\n{}", all("")), line);
            assert!(shared("tox.toml", &all(""), line) > 10, "{line}");
        }
    }
    #[test]
    fn nothing_is_shared_where_interpreters_tell_environments_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let sketches = |line: &str| {
            let text = "[tox]\nenv_list = py{311,312}\n[testenv]\npackage = wheel\n";
            plan(folder.path(), ("tox.ini", text), line).looker(false).sketcher.is_some()
        };
        assert_eq!(
            ["config", "config -e ALL", "config -f py311", "list -f py311"].map(sketches),
            [true, false, false, true]
        );
    }
}
