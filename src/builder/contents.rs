//! Installs the contents of an environment that runs commands: dependencies, the project, and the results of
//! `extra_setup_commands`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::builder::env_builder::{CreatedEnv, EnvBuilder, EnvContents};
use crate::builder::environment_folders;
use crate::builder::installation::Installing;
use crate::builder::layer;
use crate::builder::locked_contents;
use crate::builder::packaging_env::PackagingEnvs;
use crate::builder::prebuilt::BuildPhase;
use crate::builder::preconditions::{deps_beside_pylock, pylock_of, requirements_of_groups};
use crate::builder::script_contents;
use crate::builder::stamp::section;
use crate::builder::uv_contents;
use crate::command_set::CommandSet;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::execute::session::{CommandDisplay, CommandRequest, CommandSession, CommandStdin, DisplayedCommand};
use crate::install::InstallRequest;
use crate::install::packages;
use crate::install::pylock;
use crate::install::uv_sync;
use crate::model::environment::Packaging;
use crate::model::pep508::Requirement;
use crate::model::{ExitRule, PackageKind};
use crate::package::{BuiltPackage, PackageFile};

/// Separates the packages in `TOX_PACKAGE`.
const PATH_SEPARATOR: &str = ":";

/// The contents of one run environment.
pub struct RunContents<'a> {
    packager: &'a PackagingEnvs,
    /// Reports warnings about the settings evaluated last.
    notice: &'a dyn Fn(&EnvBuilder),
    /// The project's packages built for it.
    packages: Vec<BuiltPackage>,
}

impl<'a> RunContents<'a> {
    pub fn new(packager: &'a PackagingEnvs, notice: &'a dyn Fn(&EnvBuilder)) -> Self {
        Self { packager, notice, packages: Vec::new() }
    }

    /// The last step: reports the installed packages if requested. Returns the session that runs the commands.
    pub fn finish(self, env: &EnvBuilder, created: CreatedEnv) -> Result<CommandSession, EnvError> {
        let session = created.session;
        if env.environment.has_python() {
            report_installed(env, &session)?;
        }
        Ok(session)
    }

    /// `notice` is called before the dependencies are installed; by then they are evaluated.
    pub(super) fn install_dependencies(
        env: &EnvBuilder,
        created: &mut CreatedEnv,
        notice: &dyn Fn(&EnvBuilder),
    ) -> Result<(), EnvError> {
        let dependencies = &env.environment.contents.dependencies;
        let mut installation = Installing::new(env, created);
        if !dependencies.pylock.is_empty() {
            return install_lock_file(&mut installation);
        }
        let deps = dependencies.deps.get()?;
        notice(env);
        let root = &env.run.project.package_root;
        let resolution = env.environment.contents.uv.as_ref().map_or("", |uv| uv.resolution.as_str());
        if !resolution.is_empty()
            && !dependencies.groups.is_empty()
            && let Some(mut requirements) = packages::plain_requirements(&deps)
        {
            // Resolving from the lowest versions up is only correct in a single installation.
            let text = format!(
                "combining deps and dependency groups for uv_resolution={resolution} to ensure correct resolution"
            );
            env.reporter.info(&env.environment.name, text);
            requirements.extend(requirements_of_groups(&env.environment, root)?);
            return installation
                .ensure(section::RUN, "deps", |conditions, old| conditions.requirements(requirements, "deps", old));
        }
        let forced = forced_requirements(env)?;
        installation.ensure(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &forced, old))?;
        if dependencies.groups.is_empty() {
            return Ok(());
        }
        let requirements = requirements_of_groups(&env.environment, root)?;
        installation.ensure(section::RUN, "dependency-groups", |conditions, old| {
            conditions.requirements(requirements, "dependency-groups", old)
        })
    }

    fn install_project(
        &mut self,
        env: &EnvBuilder,
        created: &mut CreatedEnv,
        packaging: &Packaging,
    ) -> Result<(), EnvError> {
        let options = &env.run.options;
        if options.skip.skip_package_install || options.skip.skip_environment_install {
            env.warning("skip building and installing the package");
            return Ok(());
        }
        let locked = locked_contents::applies(env);
        if packaging.kind == PackageKind::DepsOnly && locked {
            return Ok(());
        }
        if packaging.kind == PackageKind::DepsOnly {
            let requirements = self.packager.requirements(env, packaging)?;
            if requirements.is_empty() || options.package.package_only {
                return Ok(());
            }
            return Installing::new(env, created).ensure(section::RUN, "package_deps", |conditions, old| {
                conditions.requirements(requirements, "package_deps", old)
            });
        }
        if layer::sees_project(env) && packaging.extras.is_empty() {
            layer::name_package(env, &mut created.session);
            return Ok(());
        }
        self.packages = self.packager.packages(env, packaging)?;
        if !options.package.package_only {
            self.install_packages(env, created)?;
        }
        if let Some(journal) = &env.journal {
            journal.packages(self.packages.iter().map(|package| package.path.as_path()));
        }
        let paths: Vec<String> = self.packages.iter().map(|package| package.path.display().to_string()).collect();
        if !paths.is_empty() {
            created.session.variables.set("TOX_PACKAGE", paths.join(PATH_SEPARATOR));
        }
        Ok(())
    }

    fn install_packages(&self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        if let BuildPhase::AfterPrebuild(prebuilt) = &env.build_phase {
            prebuilt.report_for_project(env.reporter.as_ref());
        }
        if !locked_contents::applies(env) {
            self.install_requirements(env, created)?;
        }
        if layer::sees_project(env) {
            return Ok(());
        }
        let mut installation = Installing::new(env, created);
        for request in packages::requests(&self.packages) {
            installation.install(&request)?;
        }
        Ok(())
    }

    /// Installs the requirements of the packages. If uv installs as tox-uv does, members of the project's uv workspace
    /// come from there, by way of the project, and not from an index.
    fn install_requirements(&self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let workspace = match env.environment.contents.uv {
            Some(_) => uv_sync::workspace_sources(&env.run.project.config_file)?,
            None => BTreeSet::new(),
        };
        let mut requirements = Vec::new();
        let mut by_project = false;
        for package in &self.packages {
            for text in &package.requirements {
                let name = text.parse::<Requirement>().map(|requirement| requirement.name);
                if package.file != PackageFile::EditableLegacy && name.is_ok_and(|name| workspace.contains(&name)) {
                    by_project = true;
                } else {
                    requirements.push(text.clone());
                }
            }
        }
        install_requirements(env, created, requirements)?;
        if by_project {
            let arguments = ["--reinstall", "-e", "."].map(str::to_owned).to_vec();
            Installing::new(env, created).install_constrained(InstallRequest::new("package", arguments))?;
        }
        Ok(())
    }

    fn run_extra_setup(&self, env: &EnvBuilder, session: &CommandSession) -> Result<(), EnvError> {
        let lists = &env.environment.execution.commands;
        let commands = lists.extra_setup.get()?;
        if commands.is_empty() {
            return Ok(());
        }
        let cwd = env.environment.execution.change_dir.get()?;
        environment_folders::create("change_dir", &cwd)?;
        let set = CommandSet { key: "extra_setup_commands", cwd: &cwd, ignore_errors: lists.ignore_errors, retries: 0 };
        if set.run(session, commands, &mut Vec::new())? != 0 && !lists.ignore_errors {
            return Err(EnvError::Fail("extra_setup_commands failed".to_owned()));
        }
        Ok(())
    }
}

/// Installs the project's requirements, with replacements from `--force-dep`.
pub(super) fn install_requirements(
    env: &EnvBuilder,
    created: &mut CreatedEnv,
    requirements: Vec<String>,
) -> Result<(), EnvError> {
    let requirements = packages::requirements(requirements, &forced_requirements(env)?)?;
    Installing::new(env, created).ensure(section::PACKAGE, "package_deps", |conditions, old| {
        conditions.requirements(requirements, "package_deps", old)
    })
}

/// The requirements given with `--force-dep`.
pub(super) fn forced_requirements(env: &EnvBuilder) -> Result<Vec<Requirement>, ConfigError> {
    let texts = env.run.options.legacy.force_dependencies.iter();
    let invalid = |text: &str, error| ConfigError::handled(format!("--force-dep {text}: {error}"));
    texts.map(|text| text.parse().map_err(|error| invalid(text, error))).collect()
}

impl RunContents<'_> {
    fn install_everything(&mut self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let locked = locked_contents::entry(env, created)?;
        env.install_runtimes(created)?;
        if let Some(script) = &env.environment.contents.script {
            script_contents::install(env, created, script, locked)?;
        } else if env.run.options.skip.skip_environment_install {
            env.warning("skip installing dependencies and package");
        } else if let Some(entry) = locked {
            locked_contents::install(env, created, entry)?;
        } else if created.has_python() {
            Self::install_dependencies(env, created, self.notice)?;
        }
        if let Some(packaging) = &env.environment.package.packaging {
            self.install_project(env, created, packaging)?;
        }
        if let Some(package) = &env.environment.package.package_of_runtime {
            env.install_project_package(created, package, &self.packager.project_packages)?;
        }
        if let Some(uv) = &env.environment.contents.uv {
            uv_contents::install(env, created, uv)?;
        }
        self.run_extra_setup(env, &created.session)?;
        if locked.is_some() && created.has_python() && !env.run.options.skip.skip_environment_install {
            locked_contents::settle(created)?;
        }
        Ok(())
    }
}

impl EnvContents for RunContents<'_> {
    fn install(&mut self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let result = layer::around(env, created, |created| {
            self.install_everything(env, created)?;
            Ok(if layer::sees_project(env) {
                Vec::new()
            } else {
                self.packages.iter().map(BuiltPackage::name).collect()
            })
        });
        env.settle_runtimes(created, result.is_ok())?;
        result
    }

    fn before_removal(&mut self, env: &EnvBuilder) {
        if let Err(error) = run_recreate_commands(env) {
            env.warning(format!("recreate_commands failed, continuing with recreation: {error}"));
        }
    }

    fn after_removal(&mut self, env: &EnvBuilder, asked: bool) {
        if let (true, Some(packaging)) = (asked, &env.environment.package.packaging) {
            self.packager.remove_if_requested(packaging);
        }
    }
}

fn install_lock_file(installation: &mut Installing<'_>) -> Result<(), EnvError> {
    let env = installation.env();
    let dependencies = &env.environment.contents.dependencies;
    if !env.run.options.legacy.force_dependencies.is_empty() {
        // tox treats them as `deps`, which cannot be combined with a lock file.
        return Err(deps_beside_pylock().into());
    }
    let path = pylock_of(&env.environment, &env.run.project.package_root)?;
    let markers = installation.interpreter()?.markers.clone();
    let lock =
        pylock::Pylock { path: &path, extras: &dependencies.extras, groups: &dependencies.groups, markers: &markers };
    installation.ensure(section::RUN, "pylock", |conditions, old| conditions.pylock(&lock, old))
}

/// Runs `recreate_commands` before the environment is removed; it may be incomplete or broken.
fn run_recreate_commands(env: &EnvBuilder) -> Result<(), EnvError> {
    let commands = env.environment.execution.commands.recreate.get()?;
    if commands.is_empty() {
        return Ok(());
    }
    let cwd = env.environment.execution.change_dir.get()?;
    environment_folders::create("change_dir", &cwd)?;
    let folders = ["bin", "Scripts"].map(|name| env.environment.folders.env_dir.join(name));
    let paths: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.exists()).collect();
    let session = env.session(paths)?;
    let set = CommandSet { key: "recreate_commands", cwd: &cwd, ignore_errors: true, retries: 0 };
    let code = set.run(&session, commands, &mut Vec::new())?;
    if code != 0 {
        env.warning(format!("recreate_commands failed with exit code {code}, continuing with recreation"));
    }
    Ok(())
}

/// Reports the installed packages if requested.
pub fn report_installed(env: &EnvBuilder, session: &CommandSession) -> Result<(), EnvError> {
    if env.journal.is_none() && !env.run.options.list_dependencies {
        return Ok(());
    }
    let lines = installed(env, session)?;
    if let Some(journal) = &env.journal {
        journal.installed_packages(&lines);
    }
    if env.run.options.list_dependencies {
        env.warning(lines.join(","));
    }
    Ok(())
}

/// The output lines of `list_dependencies_command`.
pub fn installed(env: &EnvBuilder, session: &CommandSession) -> Result<Vec<String>, EnvError> {
    let outcome = session.execute(CommandRequest {
        argv: env.environment.contents.installation.list_dependencies_command.argv.clone(),
        shown: DisplayedCommand::Itself,
        cwd: env.run.project.root.clone(),
        run_id: "freeze".to_owned(),
        stdin: CommandStdin::Off,
        display: CommandDisplay::Keep,
    })?;
    session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)?;
    Ok(outcome.out.text().lines().map(str::to_owned).collect())
}
