//! What is done of an environment before its turn, and how it is told when the turn has come. Decides nothing about when
//! that happens ([`crate::builder::prebuilder`]) or what belongs into an environment ([`crate::builder::contents`]).
//!
//! Every step that is recorded in the environment is kept together with what it had to say. What came after the last of
//! them is forgotten, as if it had not been tried: the turn tries it again, and tells of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// Which part of the way from nothing to a finished environment is taken.
#[derive(Clone)]
pub enum BuildPhase {
    Whole,
    /// Before its turn.
    Ahead(Arc<Prebuilt>),
    /// In its turn, after work ahead.
    Rest(Arc<Prebuilt>),
}

impl BuildPhase {
    /// Whether what stands there was made by this run, although the environment is to be made anew.
    pub fn is_rest(&self) -> bool {
        matches!(self, Self::Rest(_))
    }
}

/// Work on one environment before its turn.
pub struct Prebuilt {
    interrupt: Interrupt,
    output: Arc<Buffered>,
    /// What was told while the project's requirements were installed: that comes after what is told of its build.
    of_project: Arc<Buffered>,
    kept: Mutex<Option<LastStep>>,
}

/// How far everything had come with the last step that was recorded.
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

    /// What was done on `site` so far counts.
    pub fn keep(&self, site: &EnvBuilder) {
        *self.lock() = Some(LastStep {
            output: self.output.mark(),
            of_project: self.of_project.mark(),
            outcomes: site.journal.as_ref().map_or(0, |journal| journal.outcomes()),
            log_number: site.log_number.load(Ordering::Relaxed),
        });
    }

    /// Forgets what was done on `site` since.
    pub fn rewind(&self, site: &EnvBuilder) {
        let kept = *self.lock();
        self.output.rewind(kept.map_or(0, |kept| kept.output));
        self.of_project.rewind(kept.map_or(0, |kept| kept.of_project));
        if let Some(journal) = &site.journal {
            journal.forget_after(kept.map_or(0, |kept| kept.outcomes));
        }
    }

    /// Whether any step was recorded.
    pub fn did_something(&self) -> bool {
        self.lock().is_some()
    }

    /// The number of the last log file.
    pub fn log_number(&self) -> usize {
        self.lock().map_or(0, |kept| kept.log_number)
    }

    /// Tells what happened, but for the project's requirements.
    pub fn report(&self, reporter: &dyn Reporter) {
        self.output.replay(reporter);
    }

    /// Tells how the project's requirements were installed.
    pub fn report_for_project(&self, reporter: &dyn Reporter) {
        self.of_project.replay(reporter);
    }

    fn lock(&self) -> MutexGuard<'_, Option<LastStep>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears what is said of the program itself: nothing of that concerns people before the turn.
struct SilentReporter;

impl Reporter for SilentReporter {
    fn event(&self, _event: RunEvent) {}
}

/// What can go into an environment before its turn.
pub struct PrebuildContents<'a> {
    pub packager: &'a PackagingEnvs,
    pub forerun: &'a Prebuilt,
}

impl EnvContents for PrebuildContents<'_> {
    fn install(&mut self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        if let Some(entry) = locked_contents::entry(site, foundation)? {
            // Only what is not there at all is put in ahead, and the project's own requirements are in the lock.
            return locked_contents::install(site, foundation, entry);
        }
        // What there is to notice is said in its turn.
        RunContents::install_dependencies(site, foundation, &|_| ())?;
        let Some(packaging) = &site.environment.packaging else { return Ok(()) };
        if site.run.options.skip_package_install {
            return Ok(());
        }
        // The project itself is not built yet: backends write into its folder, where commands are at work.
        let Some(requirements) = self.packager.static_requirements(site, packaging)? else { return Ok(()) };
        if packaging.kind == PackageKind::DepsOnly {
            return Installing::new(site, foundation).ensure(section::RUN, "package_deps", |conditions, old| {
                conditions.requirements(requirements, "package_deps", old)
            });
        }
        let site = site.with_reporter(self.forerun.project_output());
        foundation.session.reporter = Arc::clone(&site.reporter);
        install_requirements(&site, foundation, requirements)
    }

    /// An environment whose removal takes commands is not prepared before its turn.
    fn before_removal(&mut self, _site: &EnvBuilder) {}

    /// Its packaging environments were removed when the first one needed them, or will be in its turn.
    fn after_removal(&mut self, _site: &EnvBuilder, _asked: bool) {}
}

/// Whether an installation may depend on what commands of earlier environments do: it takes something from this
/// machine's folders, which they may write to, and building it may disturb them.
pub fn must_wait(request: &InstallRequest, stamp: &Value, variables: &EnvVariables) -> bool {
    let mut words = request.arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            // What stands in these files is in the record.
            "-r" | "-c" => drop(words.next()),
            word if word.starts_with("-c") => {}
            word if is_local(word) => return true,
            _ => {}
        }
    }
    let recorded = ["requirements", "req"].into_iter().filter_map(|key| stamp.get(key)?.as_array()).flatten();
    recorded.filter_map(Value::as_str).any(is_local)
        || variables.text("PIP_FIND_LINKS").is_some_and(|places| places.split_whitespace().any(is_relative))
}

/// Whether a requirement is something on this machine rather than a name or an address.
fn is_local(text: &str) -> bool {
    let text = text.trim();
    let is_file = [".whl", ".gz", ".zip", ".bz2"].iter().any(|end| text.ends_with(end));
    text.starts_with(['.', '/', '~'])
        || ["-e", "--editable", "-f", "--find-links"].iter().any(|option| text.starts_with(option))
        || text.contains("file:")
        || (!text.contains("://") && (text.contains('/') || is_file))
}

/// A folder of links that commands may well write to; one outside the project is somebody else's.
fn is_relative(place: &str) -> bool {
    !place.contains("://") && !place.starts_with('/')
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
