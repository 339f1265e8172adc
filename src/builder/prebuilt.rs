//! Records the work done on an environment before its run, and reports it once the run begins. Does not decide when
//! that happens ([`crate::builder::prebuilder`]) or what belongs into an environment ([`crate::builder::contents`]).
//!
//! Every step recorded in the environment is kept with its output. Anything after the last such step is dropped as
//! if it had not been tried: the run tries it again and reports it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use serde_json::Value;

use crate::builder::contents::{RunContents, install_requirements};
use crate::builder::env_builder::{CreatedEnv, EnvBuilder, EnvContents};
use crate::builder::installation::Installing;
use crate::builder::locked_contents;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::stamp::section;
use crate::env_error::EnvError;
use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::install::InstallRequest;
use crate::model::{EnvVariables, PackageKind};
use crate::report::{Buffered, EventLayout};

/// The part of building an environment that is done now.
#[derive(Clone)]
pub enum BuildPhase {
    Whole,
    /// Before its run.
    Prebuild(Arc<Prebuilt>),
    /// In its run, after work ahead.
    AfterPrebuild(Arc<Prebuilt>),
}

impl BuildPhase {
    /// Whether an existing environment was created by this run, although it is to be recreated.
    pub fn is_after_prebuild(&self) -> bool {
        matches!(self, Self::AfterPrebuild(_))
    }
}

/// Work done on one environment before its run.
pub struct Prebuilt {
    interrupt: Interrupt,
    output: Arc<Buffered>,
    /// Output of installing the project's requirements, which is shown after that of building the project.
    of_project: Arc<Buffered>,
    kept: Mutex<Option<LastStep>>,
}

/// The state of all output after the last recorded step.
#[derive(Debug, Clone, Copy)]
struct LastStep {
    output: u64,
    of_project: u64,
    outcomes: usize,
    log_number: usize,
}

impl Prebuilt {
    /// `interrupt` ends the work early.
    pub fn new(layout: &EventLayout, interrupt: Interrupt) -> Self {
        let buffer = || Arc::new(Buffered::new(layout.clone(), Arc::new(SilentReporter)));
        Self { interrupt, output: buffer(), of_project: buffer(), kept: Mutex::default() }
    }

    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub fn output(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.output) as Arc<dyn Reporter>
    }

    fn project_output(&self) -> Arc<dyn Reporter> {
        Arc::clone(&self.of_project) as Arc<dyn Reporter>
    }

    /// Keeps the work done on `env` so far.
    pub fn keep(&self, env: &EnvBuilder) {
        *self.kept.lock() = Some(LastStep {
            output: self.output.mark(),
            of_project: self.of_project.mark(),
            outcomes: env.journal.as_ref().map_or(0, |journal| journal.outcomes()),
            log_number: env.log_number.load(Ordering::Relaxed),
        });
    }

    /// Drops the work done on `env` since it was last kept.
    pub fn rewind(&self, env: &EnvBuilder) {
        let kept = *self.kept.lock();
        self.output.rewind(kept.map_or(0, |kept| kept.output));
        self.of_project.rewind(kept.map_or(0, |kept| kept.of_project));
        if let Some(journal) = &env.journal {
            journal.forget_after(kept.map_or(0, |kept| kept.outcomes));
        }
    }

    /// Whether any step was recorded.
    pub fn did_something(&self) -> bool {
        self.kept.lock().is_some()
    }

    /// The number of the last log file.
    pub fn log_number(&self) -> usize {
        self.kept.lock().map_or(0, |kept| kept.log_number)
    }

    /// Replays the output, except for the project's requirements.
    pub fn report(&self, reporter: &dyn Reporter) {
        self.output.replay(reporter);
    }

    /// Replays the output of installing the project's requirements.
    pub fn report_for_project(&self, reporter: &dyn Reporter) {
        self.of_project.replay(reporter);
    }
}

/// Ignores all events.
pub struct SilentReporter;

impl Reporter for SilentReporter {
    fn event(&self, _event: RunEvent) {}
}

/// Installs the part of an environment's contents that is possible before its run.
pub struct PrebuildContents<'a> {
    pub packager: &'a PackagingEnvs,
    pub prebuilt: &'a Prebuilt,
}

impl EnvContents for PrebuildContents<'_> {
    fn install(&mut self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        if let Some(entry) = locked_contents::entry(env, created)? {
            // Only a missing package is installed ahead, and the lock includes the project's own requirements.
            return locked_contents::install(env, created, entry);
        }
        // Warnings are reported in the run.
        RunContents::install_dependencies(env, created, &|_| ())?;
        let Some(packaging) = &env.environment.package.packaging else { return Ok(()) };
        if env.run.options.skip.skip_package_install {
            return Ok(());
        }
        // The project itself is not built yet: backends write into its folder while commands are using it.
        let Some(requirements) = self.packager.static_requirements(env, packaging)? else { return Ok(()) };
        if packaging.kind == PackageKind::DepsOnly {
            return Installing::new(env, created).ensure(section::RUN, "package_deps", |conditions, old| {
                conditions.requirements(requirements, "package_deps", old)
            });
        }
        let env = env.with_reporter(self.prebuilt.project_output());
        created.session.reporter = Arc::clone(&env.reporter);
        install_requirements(&env, created, requirements)
    }

    /// An environment whose removal runs commands is not prepared ahead.
    fn before_removal(&mut self, _env: &EnvBuilder) {}

    /// Its packaging environments were removed when the first user needed them, or will be in its run.
    fn after_removal(&mut self, _env: &EnvBuilder, _asked: bool) {}
}

/// Whether an installation may depend on what commands of earlier environments do: it reads local folders, which they
/// may write to, and building from those may disturb them.
pub fn must_wait(request: &InstallRequest, stamp: &Value, variables: &EnvVariables) -> bool {
    let mut words = request.arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            // The contents of these files are in the record.
            "-r" | "-c" => drop(words.next()),
            word if word.starts_with("-c") => {}
            word if is_local(word) => return true,
            _ => {}
        }
    }
    let recorded = ["requirements", "req"].into_iter().filter_map(|key| stamp.get(key)?.as_array()).flatten();
    recorded.filter_map(Value::as_str).any(is_local)
        || variables.text("PIP_FIND_LINKS").is_some_and(|locations| locations.split_whitespace().any(is_relative))
}

/// Whether a requirement is a local path rather than a name or URL.
fn is_local(text: &str) -> bool {
    let text = text.trim();
    let is_file = [".whl", ".gz", ".zip", ".bz2"].iter().any(|end| text.ends_with(end));
    text.starts_with(['.', '/', '~'])
        || ["-e", "--editable", "-f", "--find-links"].iter().any(|option| text.starts_with(option))
        || text.contains("file:")
        || (!text.contains("://") && (text.contains('/') || is_file))
}

/// A find-links folder that commands may write to; one outside the project belongs to others.
fn is_relative(location: &str) -> bool {
    !location.contains("://") && !location.starts_with('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waits(arguments: &[&str], stamp: &Value) -> bool {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        must_wait(&InstallRequest::new("deps", arguments), stamp, &EnvVariables::default())
    }

    #[test]
    fn names_and_addresses_can_be_installed_before_their_turn_and_files_cannot() {
        for text in ["pytest>=8", "a[x]; python_version<'3.9'", "b @ https://x/y/b.whl", "git+https://x/y.git@main"] {
            assert!(!waits(&[text], &json!({})), "{text}");
        }
        for text in [".", "./lib", "/srv/lib", "lib/core", "dist/a-1.0-py3-none-any.whl", "c @ file:///c", "a.tar.gz"] {
            assert!(waits(&[text], &json!({})), "{text}");
        }
        assert!(waits(&["-e", "x"], &json!({})) && waits(&["-f", "dist"], &json!({})));
    }

    #[test]
    fn what_files_of_requirements_say_counts_and_their_own_place_does_not() {
        let words = ["-r", "requirements/dev.txt", "-c", "constraints/all.txt", "-c/e/constraints.txt"];
        assert!(!waits(&words, &json!({"requirements": ["pytest"]})));
        assert!(waits(&words, &json!({"requirements": ["pytest", "-e ./lib"]})));
        assert!(waits(&[], &json!({"req": ["./lib"]})));
        let mut variables = EnvVariables::default();
        let asks = |variables: &EnvVariables| must_wait(&InstallRequest::default(), &json!({}), variables);
        assert!(!asks(&variables));
        variables.set("PIP_FIND_LINKS", "/srv/wheels https://x");
        assert!(!asks(&variables));
        variables.set("PIP_FIND_LINKS", "/srv/wheels dist");
        assert!(asks(&variables));
    }
}
