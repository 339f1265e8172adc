//! The verbs about activation: `hook`, `allow`, `deny`, `revoke`, `reload`, `unload`, `status`, `env` and `shell`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::activation::cache::{ActivationCache, BuiltActivation};
use crate::activation::change::{self, AppliedChange};
use crate::activation::project::ActivatedProject;
use crate::activation::script;
use crate::activation::trust::{Trust, TrustStore};
use crate::builder::assembly::{self, ReadyRun};
use crate::builder::secrets::{error, requests};
use crate::cli::options::{Options, Verb};
use crate::commands::discovery::discovery;
use crate::commands::report_warnings;
use crate::commands::run::open;
use crate::commands::run_context::{RunMode, open_run};
use crate::error::ConfigError;
use crate::execute::process::become_program;
use crate::exit_code;
use crate::model::{EnvVariables, Environment};
use crate::os_text;
use crate::plan::{self, Plan};
use crate::platform::processes;
use crate::report::plain;
use crate::secrets::{SecretContext, fetch};
use crate::settings::{activation_variables, pulled_in_files};

/// Runs one of the verbs.
pub fn execute(options: &Options) -> Result<i32> {
    match options.verb {
        Verb::Hook => {
            plain::out(&script::hook(&options.activation.shell, &crate::platform::system::own_program()));
            Ok(exit_code::OK)
        }
        Verb::Allow => allow(options),
        Verb::Deny | Verb::Revoke => refuse(options),
        Verb::Reload => reload(options),
        Verb::Unload => unload(options),
        Verb::Status => status(options),
        Verb::Env => print(options),
        _ => shell(options),
    }
}

/// The configuration, of which nothing is run, and its project.
fn read(options: &Options) -> Result<(Plan, ActivatedProject)> {
    let mut plan = plan::read(Arc::new(options.clone()), Arc::new(discovery(options)))?;
    plan.settle()?;
    let project = project_of(&plan)?;
    Ok((plan, project))
}

fn project_of(plan: &Plan) -> Result<ActivatedProject, ConfigError> {
    let missing = || {
        ConfigError::handled("the configuration does not name an environment for shells")
            .hint("write `activate = ENV` in the section `[envo]`")
    };
    ActivatedProject::of(&plan.settings.source)?.ok_or_else(missing)
}

fn state(options: &Options) -> Result<PathBuf> {
    options.process.variables.state_folder().context("there is no home directory to keep decisions in")
}

fn allow(options: &Options) -> Result<i32> {
    let (plan, project) = read(options)?;
    let files = pulled_in_files(&plan.settings, &project.environment, &project.env_files, {
        plan.inputs(&project.environment)?.files.into_keys()
    });
    if options.activation.show {
        plain::out(&shown(&plan, &project, &files)?);
        return Ok(exit_code::OK);
    }
    let stored = TrustStore::new(&state(options)?).allow(&project, files);
    stored.context("the decision could not be stored")?;
    plain::error(&format!("allowed: {}\n", project.config.display()));
    Ok(exit_code::OK)
}

/// What an allowed project would do: the files that count, and the settings that are run or set.
fn shown(plan: &Plan, project: &ActivatedProject, files: &[PathBuf]) -> Result<String> {
    let settings = &plan.settings;
    let set = settings.environment(&project.environment);
    let mut text = format!("configuration: {}\nenvironment: {}\n", project.config.display(), project.environment);
    for file in files {
        let _ = writeln!(text, "file: {}", file.display());
    }
    for key in ["base_python", "deps", "package", "install_command", "extra_setup_commands", "runtime", "secrets"] {
        if settings.is_written(&set, key)? {
            let value = settings.value(&set, key)?.show().text;
            let _ = writeln!(text, "{key}: {}", value.replace('\n', "\n    "));
        }
    }
    for (name, value) in activation_variables(settings, &plan.environment(&project.environment)?, &project.env_files)? {
        let _ = writeln!(text, "variable: {name}={value}");
    }
    Ok(text)
}

fn refuse(options: &Options) -> Result<i32> {
    // A file that cannot be read any more can still be refused.
    let here = &options.process.current_dir;
    let project = ActivatedProject::around(here)?.with_context(|| format!("no project is in {}", here.display()))?;
    let store = TrustStore::new(&state(options)?);
    let (done, word) = match options.verb {
        Verb::Deny => (store.deny(&project), "denied"),
        _ => (store.revoke(&project), "revoked"),
    };
    done.context("the decision could not be stored")?;
    plain::error(&format!("{word}: {}\n", project.config.display()));
    Ok(exit_code::OK)
}

/// The content of the project, which must be allowed.
fn allowed_content(options: &Options, project: &ActivatedProject) -> Result<String> {
    match TrustStore::new(&state(options)?).of(project) {
        Trust::Allowed(content) => Ok(content),
        _ => {
            let text = format!("{} is not allowed, or has changed since it was", project.config.display());
            Err(ConfigError::handled(text)
                .hint("`envo allow --show` shows what it does, `envo allow` allows it")
                .into())
        }
    }
}

/// Builds the environment of shells, and stores what they get.
fn reload(options: &Options) -> Result<i32> {
    let project = read(options)?.1;
    let content = allowed_content(options, &project)?;
    let cache = ActivationCache::new(&state(options)?, &project.root);
    let lock = cache.lock()?;
    lock.lock()?;
    if let Some(shell) = rustix::process::getppid() {
        let _ = std::fs::remove_file(cache.unloaded(shell.as_raw_nonzero().get().unsigned_abs()));
    }
    let built = build(options, &project.environment, &project.env_files);
    let failed = BuiltActivation { content: content.clone(), failed: true, ..BuiltActivation::default() };
    let (stored, code) = match &built {
        Ok(Ok((_, built))) => (BuiltActivation { content, ..built.clone() }, exit_code::OK),
        Ok(Err(code)) => (failed, *code),
        Err(_) => (failed, exit_code::FAILED),
    };
    cache.store(&stored)?;
    built?.map_or_else(Ok, |_| Ok(code))
}

/// Builds an environment; the error is the exit code if that has been reported.
fn build(
    options: &Options,
    name: &str,
    env_files: &[String],
) -> Result<Result<(Arc<Environment>, BuiltActivation), i32>> {
    let (plan, discovery) = open(options)?;
    report_warnings(&plan, options);
    let plan = Arc::new(plan);
    let run = Arc::new(open_run(options, &plan, discovery, &RunMode::one_by_one())?);
    match assembly::ready(&run, &plan, name) {
        ReadyRun::Ready(ready) => {
            let paths = ready.session.programs.paths.iter().map(|path| os_text::decode(path.as_os_str())).collect();
            let variables = activation_variables(&plan.settings, &ready.environment, env_files)?;
            Ok(Ok((ready.environment, BuiltActivation { paths, variables, ..BuiltActivation::default() })))
        }
        ReadyRun::Reported(code) => Ok(Err(code)),
    }
}

/// Has the hook of the shell that this was typed in take everything back until `reload`.
fn unload(options: &Options) -> Result<i32> {
    let here = &options.process.current_dir;
    let project = ActivatedProject::around(here)?.with_context(|| format!("no project is in {}", here.display()))?;
    let cache = ActivationCache::new(&state(options)?, &project.root);
    let shell = rustix::process::getppid().map_or(0, |shell| shell.as_raw_nonzero().get().unsigned_abs());
    drop(cache.lock()?);
    std::fs::write(cache.unloaded(shell), format!("{:?}", processes::start_time(shell)))?;
    Ok(exit_code::OK)
}

fn status(options: &Options) -> Result<i32> {
    let here = &options.process.current_dir;
    let Some(project) = ActivatedProject::around(here)? else {
        plain::out("no project\n");
        return Ok(exit_code::OK);
    };
    let state = state(options)?;
    let cache = ActivationCache::new(&state, &project.root);
    let trust = TrustStore::new(&state).of(&project);
    let (trust, built) = match &trust {
        Trust::Allowed(content) => ("allowed", cache.built(content)),
        Trust::Unknown => ("not allowed", None),
        Trust::Changed => ("changed since it was allowed", None),
        Trust::Denied => ("denied", None),
    };
    let built = built.map_or("not built", |built| if built.failed { "could not be built" } else { "built" });
    let loaded = AppliedChange::of(&options.process.variables).is_some();
    plain::out(&format!(
        "configuration: {} ({trust})\nenvironment: {} ({built})\nthis shell: {}\n",
        project.config.display(),
        project.environment,
        if loaded { "activated" } else { "not activated" }
    ));
    Ok(exit_code::OK)
}

/// The environment that `-e` names, else that of `activate`.
fn named(options: &Options, plan: &Plan) -> Result<(String, Vec<String>)> {
    let project = ActivatedProject::of(&plan.settings.source)?;
    let env_files = project.as_ref().map(|project| project.env_files.clone()).unwrap_or_default();
    if let crate::cli::options::EnvironmentChoice::Named(names) = &options.selection.environments
        && let [name] = names.as_slice()
    {
        return Ok((name.clone(), env_files));
    }
    let none =
        || ConfigError::handled("no environment is named").hint("name one with -e, or as `activate` in `[envo]`");
    Ok((project.ok_or_else(none)?.environment, env_files))
}

/// Prints what the environment sets, without building it.
fn print(options: &Options) -> Result<i32> {
    let (plan, _) = open(options)?;
    let (name, env_files) = named(options, &plan)?;
    let environment = plan.environment(&name)?;
    let mut variables = activation_variables(&plan.settings, &environment, &env_files)?;
    let path = options.process.variables.text("PATH").unwrap_or_default();
    let folder = os_text::decode(environment.folders.env_dir.join("bin").as_os_str());
    variables.push(("PATH".to_owned(), if path.is_empty() { folder } else { format!("{folder}:{path}") }));
    plain::out(&script::formatted(&options.activation.format, &variables));
    Ok(exit_code::OK)
}

/// Builds the environment and becomes a shell, or a command, in it.
fn shell(options: &Options) -> Result<i32> {
    let (plan, _) = open(options)?;
    let (name, env_files) = named(options, &plan)?;
    let (environment, built) = match build(options, &name, &env_files)? {
        Ok(built) => built,
        Err(code) => return Ok(code),
    };
    let before = &options.process.variables;
    let before = AppliedChange::of(before).map_or_else(|| before.clone(), |change| change.undone(before));
    let mut variables = change::applied(&before, &built, change::OF_SHELL);
    let words = options.invocation.positional.clone().filter(|words| !words.is_empty());
    let set = plan.settings.environment(&name);
    if words.is_some() || plan.settings.boolean(&set, "secrets_in_shell")? {
        add_secrets(options, &plan, &environment, &mut variables)?;
    }
    let words = words.unwrap_or_else(|| {
        vec![variables.text("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".to_owned())]
    });
    let program = os_text::encode(&words[0]);
    let error = become_program(program.as_ref(), words[1..].iter().map(|word| os_text::encode(word)), &variables);
    Err(ConfigError::handled(format!("`{}` cannot be started: {error}", words[0])).into())
}

fn add_secrets(options: &Options, plan: &Plan, environment: &Environment, variables: &mut EnvVariables) -> Result<()> {
    let wanted = requests(&environment.name, &environment.variables);
    let interrupt = crate::execute::interrupt::Interrupt::default();
    let context = SecretContext {
        variables: &options.process.variables,
        root: plan.project()?.root,
        interrupt: &interrupt,
        purpose: "shell",
    };
    let (results, unrecorded) = fetch(&wanted, &context);
    if let Some(text) = unrecorded {
        plain::error(&format!("warning: {text}\n"));
    }
    for (request, result) in wanted.iter().zip(results) {
        if let Some(error) = error(request, &result) {
            return Err(error.into());
        }
        use std::os::unix::ffi::OsStringExt as _;
        variables.set(&request.secret.variable, std::ffi::OsString::from_vec(result.unwrap_or_default()));
    }
    Ok(())
}
