//! Runs one environment: prepares it, runs its commands, and cleans up.

use std::sync::Arc;
use std::time::Instant;

use crate::builder::contents::RunContents;
use crate::builder::env_builder::EnvBuilder;
use crate::builder::env_builder::ReadyEnv;
use crate::builder::environment_folders;
use crate::builder::layer::LayerBase;
use crate::builder::layer::bases::{BaseFailure, BuiltBase, LayerBases};
use crate::builder::missing_program::missing_program;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::prebuilder::Prebuilder;
use crate::builder::preconditions::{check_platform, check_platform_pattern, skipped_base};
use crate::builder::run_context::RunContext;
use crate::builder::secrets::RunSecrets;
use crate::builder::services;
use crate::builder::services::RunServices;
use crate::command_set;
use crate::env_error::{EnvError, EnvVerdict};
use crate::error::{ConfigError, frame};
use crate::event::{EnvPhase, EnvironmentResult};
use crate::event::{OutputStream, Reporter, RunEvent};
use crate::exit_code;
use crate::model::{EnvVariables, Environment};
use crate::plan::Plan;
use crate::report::EventLayout;
use crate::serve::fields::ServiceInstances;
use crate::serve::service_variables;

/// State shared by the environments of one run.
pub struct EnvRuns<'a> {
    pub run: &'a Arc<RunContext>,
    pub plan: &'a Plan,
    pub packager: &'a PackagingEnvs,
    pub services: &'a RunServices,
    pub secrets: &'a RunSecrets,
    /// The environments that others are layers on.
    pub bases: &'a LayerBases,
    /// The layout of held-back messages and output; `None`: nothing is held back.
    pub layout: Option<EventLayout>,
    /// Prepares environments before they run; `None`: disabled.
    pub prebuilder: Option<&'a Prebuilder<'a>>,
    /// How many processors each environment may use; `None`: they do not run in parallel.
    pub cores: Option<usize>,
}

impl EnvRuns<'_> {
    /// Runs the environment `name`; its messages and output go to `reporter`. Also returns whether to show them in any
    /// case (`parallel_show_output`).
    pub fn take(&self, name: &str, reporter: Arc<dyn Reporter>) -> (EnvironmentResult, bool) {
        let start = Instant::now();
        self.run.output.reporter.event(RunEvent::EnvironmentStarted { environment: name.to_owned() });
        let mut command_seconds = Vec::new();
        let (mut ignore_outcome, mut fail_fast, mut show_anyway) = (false, false, false);
        let outcome = self.environment(name).and_then(|environment| {
            (ignore_outcome, fail_fast) = (environment.execution.ignore_outcome, environment.execution.fail_fast);
            show_anyway = environment.execution.parallel_show_output;
            self.evaluate(&Arc::new(environment), Arc::clone(&reporter), &mut command_seconds)
        });
        let mut verdict = match outcome {
            Ok(code) => EnvVerdict { skipped: false, code },
            Err(error) => {
                self.report_warnings(name, reporter.as_ref());
                let verdict = error.report(reporter.as_ref(), name);
                if let EnvError::About(about) = &error {
                    let bytes = about.explained(&self.plan.settings, name).into_bytes();
                    reporter.event(RunEvent::LaidOut { stream: OutputStream::Error, bytes });
                }
                verdict
            }
        };
        if let Err(text) = self.services.release(name) {
            reporter.error(name, text);
            if verdict.code == exit_code::OK {
                verdict.code = exit_code::FAILED;
            }
        }
        self.packager.release(name);
        let result = EnvironmentResult {
            name: name.to_owned(),
            skipped: verdict.skipped,
            code: verdict.code,
            ignore_outcome,
            fail_fast,
            unavailable: false,
            duration_seconds: start.elapsed().as_secs_f64(),
            command_seconds,
            phase_seconds: self.run.output.phases.take(name),
        };
        if let Some(journal) = &self.run.journal {
            journal.environment(name).result(&result);
        }
        (result, show_anyway)
    }

    /// As in tox, an environment for another platform is skipped whatever else is wrong with it.
    fn environment(&self, name: &str) -> Result<Environment, EnvError> {
        self.plan.environment(name).map_err(|error| {
            let settings = &self.plan.settings;
            let platform = settings.text(&settings.environment(name), "platform");
            let skip = platform.ok().and_then(|platform| check_platform_pattern(&platform).err());
            skip.filter(EnvError::is_skip).unwrap_or_else(|| error.into())
        })
    }

    /// Builds the environment `name` and returns the session for its commands.
    pub fn build(&self, name: &str, reporter: Arc<dyn Reporter>) -> Result<ReadyEnv, EnvError> {
        let environment = self.environment(name)?;
        self.build_environment(Arc::new(environment), reporter)
    }

    fn build_environment(
        &self,
        environment: Arc<Environment>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<ReadyEnv, EnvError> {
        let live = Arc::clone(&reporter);
        let name = environment.name.clone();
        let ready = self.bases.build(&name, || self.build_now(environment, reporter))?;
        Ok(ready.reporting_to(live))
    }

    fn build_now(&self, environment: Arc<Environment>, reporter: Arc<dyn Reporter>) -> Result<BuiltBase, EnvError> {
        let base = self.base_of(&environment)?;
        let mut env = EnvBuilder::new(Arc::clone(self.run), environment, reporter).on(base);
        self.report_warnings(&env.environment.name, env.reporter.as_ref());
        if let Some(prebuilt) = self.prebuilder.and_then(|prebuilder| prebuilder.collect(&env.environment.name)) {
            env = env.after(prebuilt);
        }
        let notice = |env: &EnvBuilder| self.report_warnings(&env.environment.name, env.reporter.as_ref());
        let mut contents = RunContents::new(self.packager, &notice);
        let created = env.prepare(&mut contents)?;
        let is_base = self.bases.contains(&env.environment.name);
        let base = created.python().ok().filter(|_| is_base);
        let base = base.map(|python| Arc::new(LayerBase::new(&env, python, &created.session, &self.plan.settings)));
        let session = contents.finish(&env, created)?;
        Ok(BuiltBase { ready: ReadyEnv { environment: env.environment, session }, base })
    }

    /// The built environment that `layer` is a layer on.
    fn base_of(&self, layer: &Environment) -> Result<Option<Arc<LayerBase>>, EnvError> {
        if layer.relations.layer_on.is_none() {
            return Ok(None);
        }
        // A layer that is skipped needs no base.
        check_platform(layer)?;
        let Some(base) = self.plan.base_of(layer)? else { return Ok(None) };
        if self.bases.built(&base.name).is_none() {
            // Any other failure is kept with the base.
            if let Err(EnvError::Interrupted) = services::build_quietly(self, &base.name) {
                return Err(EnvError::Interrupted);
            }
        }
        let built = self.bases.built(&base.name);
        if !matches!(built, Some(Ok(_))) && self.run.interpreters.find(&layer.python.base_python).is_none() {
            // The layer itself lacks its Python.
            return Ok(None);
        }
        let text = match built {
            Some(Ok(built)) => return Ok(built),
            Some(Err(BaseFailure::Skipped(reason))) => {
                let error = skipped_base(layer, &base.name, &reason);
                return Err(self.plan.at_layer_on(&layer.name, error).into());
            }
            Some(Err(BaseFailure::Failed)) | None => {
                format!("`{}`, which `{}` is a layer on, could not be built", base.name, layer.name)
            }
        };
        let error = ConfigError::fail(text).hint("correct what is reported above for it, or remove `layer_on`");
        Err(self.plan.at_layer_on(&layer.name, error).into())
    }

    /// Builds the environment and starts its services at the same time.
    fn ready(
        &self,
        environment: &Arc<Environment>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<(ReadyEnv, ServiceInstances), EnvError> {
        let environment = Arc::clone(environment);
        let name = environment.name.clone();
        if !self.services.are_needed_by(&name) {
            return Ok((self.build_environment(environment, reporter)?, ServiceInstances::default()));
        }
        std::thread::scope(|scope| {
            let starting = scope.spawn(|| self.services.start(&name, self));
            let built = self.build_environment(environment, reporter);
            let failed = |_| Err(EnvError::Fail("starting services has failed".to_owned()));
            let instances = starting.join().unwrap_or_else(failed);
            Ok((built?, instances?))
        })
    }

    /// Makes commands that request the project's services themselves, such as tests, use this envo: another one may
    /// have another host Python and would recreate the environments of services.
    fn set_own_variables(&self, variables: &mut EnvVariables) {
        let source = &self.plan.settings.source;
        let serves = |line: &str| {
            let rest = line.trim_start().trim_start_matches('"').strip_prefix("serve");
            rest.is_some_and(|rest| rest.trim_start().starts_with(['=', ':', '"']))
        };
        if !source.text.lines().any(serves) {
            return;
        }
        if let Some(executable) = std::env::current_exe().ok().filter(|path| path.exists()) {
            variables.set("ENVO_EXECUTABLE", executable);
            variables.set("ENVO_CONFIG_FILE", source.path.as_os_str());
        }
    }

    /// Tells commands of a parallel run how many processors are theirs, unless the user has.
    fn set_cores(&self, environment: &Environment, variables: &mut EnvVariables) {
        let Some(cores) = self.cores else { return };
        let shared = environment.execution.parallel_share_cores;
        let names = [("ENVO_CORES", true), ("PYTEST_XDIST_AUTO_NUM_WORKERS", shared)];
        for (name, _) in names.into_iter().filter(|(_, wanted)| *wanted) {
            if variables.get(name).is_none() {
                variables.set(name, cores.to_string());
            }
        }
    }

    fn evaluate(
        &self,
        environment: &Arc<Environment>,
        reporter: Arc<dyn Reporter>,
        command_seconds: &mut Vec<f64>,
    ) -> Result<i32, EnvError> {
        if self.run.options.skip.no_test || self.run.options.package.package_only {
            self.build_environment(Arc::clone(environment), reporter)?;
            return Ok(exit_code::OK);
        }
        let (ReadyEnv { mut session, .. }, instances) = self.ready(environment, Arc::clone(&reporter))?;
        if self.services.are_needed_by(&environment.name) {
            session.variables = service_variables(&session.variables, environment, &instances)?;
        }
        self.secrets.give_to(&environment.name, &environment.variables, &mut session.variables)?;
        self.set_own_variables(&mut session.variables);
        self.set_cores(environment, &mut session.variables);
        let change_dir = environment.execution.change_dir.get()?;
        environment_folders::create("change_dir", &change_dir)?;
        self.run.enter(&environment.name, EnvPhase::Commands);
        if let Some(prebuilder) = self.prebuilder {
            prebuilder.open();
        }
        let finish = |commands| {
            self.report_warnings(&environment.name, reporter.as_ref());
            services::fill(commands, &instances)
        };
        let groups = &self.run.output.groups;
        groups.before_commands(environment, reporter.as_ref())?;
        let outcome =
            command_set::run_all(&session, &environment.execution.commands, &change_dir, &finish, command_seconds);
        let succeeded = matches!(outcome, Ok(exit_code::OK));
        groups.after_commands(environment, succeeded, reporter.as_ref());
        for (run_id, program) in session.not_found.lock().drain(..) {
            let error = missing_program(&self.plan.settings, environment, &run_id, &program, &session.programs.paths);
            let bytes = frame::with_source(&error, false).into_bytes();
            reporter.event(RunEvent::LaidOut { stream: OutputStream::Error, bytes });
        }
        outcome
    }

    /// Reports warnings found while the environment's settings were evaluated.
    fn report_warnings(&self, name: &str, reporter: &dyn Reporter) {
        for warning in self.plan.take_warnings() {
            reporter.warning(name, warning.text);
        }
    }
}
