//! Installs with uv what only uv can install for tox-uv's runners: the contents of `uv.lock`, or the project built by
//! uv itself.

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::installation::{Installing, own_files};
use crate::builder::layer;
use crate::builder::locked_contents;
use crate::builder::stamp::section;
use crate::env_error::EnvError;
use crate::event::EnvPhase;
use crate::execute::session::{CommandRequest, CommandStdin, DisplayedCommand};
use crate::install::InstallRequest;
use crate::install::uv_sync;
use crate::model::ExitRule;
use crate::model::environment::{UvProject, UvSettings, UvSync};

/// Installs the part of the contents that uv alone handles.
///
/// # Errors
/// [`EnvError::Exit`] if uv fails.
pub fn install(env: &EnvBuilder, created: &mut CreatedEnv, uv: &UvSettings) -> Result<(), EnvError> {
    if let Some(sync) = &uv.sync {
        return install_locked(env, created, uv, sync);
    }
    match &uv.project {
        Some(project) => install_project(env, created, project),
        None => Ok(()),
    }
}

fn install_locked(env: &EnvBuilder, created: &mut CreatedEnv, uv: &UvSettings, sync: &UvSync) -> Result<(), EnvError> {
    let other_package = env.run.options.package.install_package.as_ref();
    if !env.run.options.skip.skip_uv_sync {
        synchronize(env, created, uv, sync)?;
    }
    let Some(package) = other_package else { return Ok(()) };
    let path = env.run.project.current_dir.join(package).display().to_string();
    let arguments = vec!["--reinstall".to_owned(), "--no-deps".to_owned(), path];
    Installing::new(env, created).install(&InstallRequest::new("external", arguments))
}

/// Has uv bring the environment in line with the lock file.
fn synchronize(env: &EnvBuilder, created: &CreatedEnv, uv: &UvSettings, sync: &UvSync) -> Result<(), EnvError> {
    let python = uv_sync::python_request(&env.environment.python.base_python, &created.python()?.interpreter);
    let around = uv_sync::UvSyncConditions {
        root: &env.run.project.root,
        variables: &created.session.variables,
        recreate: env.environment.creation.recreate,
        other_package: env.run.options.package.install_package.is_some(),
        verbosity: env.run.verbosity,
        python: &python,
    };
    let program = env.run.needed_uv(&created.python()?.interpreter).map_err(|reason| {
        let text = "uv not found, which `uv-venv-lock-runner` needs: install it, or put it on PATH";
        EnvError::Fail(format!("{text} ({reason})"))
    })?;
    env.run.enter(&env.environment.name, EnvPhase::Install);
    let mut argv = vec![program.display().to_string()];
    argv.extend(uv_sync::arguments(uv, sync, &around)?);
    let mut session = created.session.clone();
    own_files(env, &mut session.variables);
    let outcome = session.execute(CommandRequest {
        argv,
        shown: DisplayedCommand::Itself,
        cwd: env.run.project.root.clone(),
        run_id: "uv-sync".to_owned(),
        stdin: CommandStdin::Off,
        display: session.quiet_display(),
    })?;
    session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)
}

fn install_project(env: &EnvBuilder, created: &mut CreatedEnv, project: &UvProject) -> Result<(), EnvError> {
    let options = &env.run.options;
    if options.skip.skip_package_install || options.skip.skip_environment_install {
        env.warning("skip building and installing the package");
        return Ok(());
    }
    if layer::sees_project(env) && project.extras.is_empty() {
        layer::name_package(env, &mut created.session);
        return Ok(());
    }
    if !options.package.package_only {
        let mut request = uv_sync::project(project);
        if locked_contents::applies(env) {
            request.arguments.insert(0, "--no-deps".to_owned());
        }
        let mut installation = Installing::new(env, created);
        // tox-uv records that the project was installed without requirements of its own.
        installation.ensure(section::PACKAGE, "package", |conditions, old| {
            conditions.requirements(Vec::new(), "package", old)
        })?;
        installation.install_constrained(request)?;
    }
    created.session.variables.set("TOX_PACKAGE", project.path.display().to_string());
    Ok(())
}
