//! What only uv puts into an environment of tox-uv's runners: what the lock file says, or the project built by uv itself.

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::installation::{Installing, own_files};
use crate::builder::locked_contents;
use crate::builder::stamp::section;
use crate::env_error::EnvError;
use crate::event::EnvPhase;
use crate::execute::session::{CommandRequest, CommandStdin, DisplayedCommand};
use crate::install::InstallRequest;
use crate::install::uv_sync;
use crate::model::ExitRule;
use crate::model::environment::{UvProject, UvSettings, UvSync};

/// Fills the environment as far as uv alone does it.
///
/// # Errors
/// [`Halt::Exit`] when uv fails.
pub fn install(site: &EnvBuilder, foundation: &mut CreatedEnv, uv: &UvSettings) -> Result<(), EnvError> {
    if let Some(sync) = &uv.sync {
        return install_locked(site, foundation, uv, sync);
    }
    match &uv.project {
        Some(project) => install_project(site, foundation, project),
        None => Ok(()),
    }
}

fn install_locked(
    site: &EnvBuilder,
    foundation: &mut CreatedEnv,
    uv: &UvSettings,
    sync: &UvSync,
) -> Result<(), EnvError> {
    let other_package = site.run.options.install_package.as_ref();
    if !site.run.options.skip_uv_sync {
        synchronize(site, foundation, uv, sync)?;
    }
    let Some(package) = other_package else { return Ok(()) };
    let path = site.run.project.current_dir.join(package).display().to_string();
    let arguments = vec!["--reinstall".to_owned(), "--no-deps".to_owned(), path];
    Installing::new(site, foundation).install(&InstallRequest::new("external", arguments))
}

/// Has uv bring the environment in line with the lock file.
fn synchronize(site: &EnvBuilder, foundation: &CreatedEnv, uv: &UvSettings, sync: &UvSync) -> Result<(), EnvError> {
    let python = uv_sync::python_request(&site.environment.base_python, &foundation.python()?.interpreter);
    let around = uv_sync::UvSyncConditions {
        root: &site.run.project.root,
        variables: &foundation.session.variables,
        recreate: site.environment.recreate,
        other_package: site.run.options.install_package.is_some(),
        verbosity: site.run.verbosity,
        python: &python,
    };
    let program = site.run.needed_uv(&foundation.python()?.interpreter).map_err(|reason| {
        let text = "uv not found, which `uv-venv-lock-runner` needs: install it, or put it on PATH";
        EnvError::Fail(format!("{text} ({reason})"))
    })?;
    site.run.enter(&site.environment.name, EnvPhase::Install);
    let mut argv = vec![program.display().to_string()];
    argv.extend(uv_sync::arguments(uv, sync, &around)?);
    let mut session = foundation.session.clone();
    own_files(site, &mut session.variables);
    let outcome = session.execute(CommandRequest {
        argv,
        shown: DisplayedCommand::Itself,
        cwd: site.run.project.root.clone(),
        run_id: "uv-sync".to_owned(),
        stdin: CommandStdin::Off,
        display: session.quiet_display(),
    })?;
    session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)
}

fn install_project(site: &EnvBuilder, foundation: &mut CreatedEnv, project: &UvProject) -> Result<(), EnvError> {
    let options = &site.run.options;
    if options.skip_package_install || options.skip_environment_install {
        site.warning("skip building and installing the package");
        return Ok(());
    }
    if !options.package_only {
        let mut request = uv_sync::project(project);
        if locked_contents::applies(site) {
            request.arguments.insert(0, "--no-deps".to_owned());
        }
        let mut installation = Installing::new(site, foundation);
        // tox-uv records that the project was installed without requirements of its own.
        installation.ensure(section::PACKAGE, "package", |conditions, old| {
            conditions.requirements(Vec::new(), "package", old)
        })?;
        installation.install_constrained(request)?;
    }
    foundation.session.variables.set("TOX_PACKAGE", project.path.display().to_string());
    Ok(())
}
