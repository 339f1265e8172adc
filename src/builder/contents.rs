//! What goes into an environment that runs commands: its dependencies, the project, and what `extra_setup_commands` add.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::builder::env_builder::{CreatedEnv, EnvBuilder, EnvContents};
use crate::builder::environment_folders;
use crate::builder::installation::Installing;
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
    /// Says what was noticed of the settings that were worked out last.
    notice: &'a dyn Fn(&EnvBuilder),
    /// What was built of the project for it.
    packages: Vec<BuiltPackage>,
}

impl<'a> RunContents<'a> {
    pub fn new(packager: &'a PackagingEnvs, notice: &'a dyn Fn(&EnvBuilder)) -> Self {
        Self { packager, notice, packages: Vec::new() }
    }

    /// After everything is in: lists what is installed if anybody wants to know. Hands out what runs the commands.
    pub fn finish(self, site: &EnvBuilder, foundation: CreatedEnv) -> Result<CommandSession, EnvError> {
        let session = foundation.session;
        if site.environment.has_python() {
            report_installed(site, &session)?;
        }
        Ok(session)
    }

    /// `notice` is called before anything is done about the dependencies, which are known then.
    pub(super) fn install_dependencies(
        site: &EnvBuilder,
        foundation: &mut CreatedEnv,
        notice: &dyn Fn(&EnvBuilder),
    ) -> Result<(), EnvError> {
        let dependencies = &site.environment.dependencies;
        let mut installation = Installing::new(site, foundation);
        if !dependencies.pylock.is_empty() {
            return install_lock_file(&mut installation);
        }
        let deps = dependencies.deps.get()?;
        notice(site);
        let root = &site.run.project.package_root;
        let resolution = site.environment.uv.as_ref().map_or("", |uv| uv.resolution.as_str());
        if !resolution.is_empty()
            && !dependencies.groups.is_empty()
            && let Some(mut requirements) = packages::plain_requirements(&deps)
        {
            // What is resolved from the lowest versions up comes out right only all at once.
            let text = format!(
                "combining deps and dependency groups for uv_resolution={resolution} to ensure correct resolution"
            );
            site.reporter.info(&site.environment.name, text);
            requirements.extend(requirements_of_groups(&site.environment, root)?);
            return installation
                .ensure(section::RUN, "deps", |conditions, old| conditions.requirements(requirements, "deps", old));
        }
        let forced = forced_requirements(site)?;
        installation.ensure(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &forced, old))?;
        if dependencies.groups.is_empty() {
            return Ok(());
        }
        let requirements = requirements_of_groups(&site.environment, root)?;
        installation.ensure(section::RUN, "dependency-groups", |conditions, old| {
            conditions.requirements(requirements, "dependency-groups", old)
        })
    }

    fn install_project(
        &mut self,
        site: &EnvBuilder,
        foundation: &mut CreatedEnv,
        packaging: &Packaging,
    ) -> Result<(), EnvError> {
        let options = &site.run.options;
        if options.skip_package_install || options.skip_environment_install {
            site.warning("skip building and installing the package");
            return Ok(());
        }
        let locked = locked_contents::applies(site);
        if packaging.kind == PackageKind::DepsOnly && locked {
            return Ok(());
        }
        if packaging.kind == PackageKind::DepsOnly {
            let requirements = self.packager.requirements(site, packaging)?;
            if requirements.is_empty() || options.package_only {
                return Ok(());
            }
            return Installing::new(site, foundation).ensure(section::RUN, "package_deps", |conditions, old| {
                conditions.requirements(requirements, "package_deps", old)
            });
        }
        self.packages = self.packager.packages(site, packaging)?;
        if !options.package_only {
            self.install_packages(site, foundation)?;
        }
        if let Some(journal) = &site.journal {
            journal.packages(self.packages.iter().map(|package| package.path.as_path()));
        }
        let paths: Vec<String> = self.packages.iter().map(|package| package.path.display().to_string()).collect();
        if !paths.is_empty() {
            foundation.session.variables.set("TOX_PACKAGE", paths.join(PATH_SEPARATOR));
        }
        Ok(())
    }

    fn install_packages(&self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        if let BuildPhase::Rest(forerun) = &site.course {
            forerun.report_for_project(site.reporter.as_ref());
        }
        if !locked_contents::applies(site) {
            self.install_requirements(site, foundation)?;
        }
        let mut installation = Installing::new(site, foundation);
        for request in packages::requests(&self.packages) {
            installation.install(&request)?;
        }
        Ok(())
    }

    /// What the packages require. Where uv installs as with tox-uv, what the project takes from its uv workspace comes from
    /// there, by way of the project, and not from an index.
    fn install_requirements(&self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        let workspace = match site.environment.uv {
            Some(_) => uv_sync::workspace_sources(&site.run.project.config_file)?,
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
        install_requirements(site, foundation, requirements)?;
        if by_project {
            let arguments = ["--reinstall", "-e", "."].map(str::to_owned).to_vec();
            Installing::new(site, foundation).install_constrained(InstallRequest::new("package", arguments))?;
        }
        Ok(())
    }

    fn run_extra_setup(&self, site: &EnvBuilder, session: &CommandSession) -> Result<(), EnvError> {
        let lists = &site.environment.commands;
        let commands = lists.extra_setup.get()?;
        if commands.is_empty() {
            return Ok(());
        }
        let cwd = site.environment.change_dir.get()?;
        environment_folders::create("change_dir", &cwd)?;
        let set = CommandSet { key: "extra_setup_commands", cwd: &cwd, ignore_errors: lists.ignore_errors, retries: 0 };
        if set.run(session, commands, &mut Vec::new())? != 0 && !lists.ignore_errors {
            return Err(EnvError::Fail("extra_setup_commands failed".to_owned()));
        }
        Ok(())
    }
}

/// Installs what the project requires, some of it replaced by `--force-dep`.
pub(super) fn install_requirements(
    site: &EnvBuilder,
    foundation: &mut CreatedEnv,
    requirements: Vec<String>,
) -> Result<(), EnvError> {
    let requirements = packages::requirements(requirements, &forced_requirements(site)?)?;
    Installing::new(site, foundation).ensure(section::PACKAGE, "package_deps", |conditions, old| {
        conditions.requirements(requirements, "package_deps", old)
    })
}

/// What `--force-dep` says.
pub(super) fn forced_requirements(site: &EnvBuilder) -> Result<Vec<Requirement>, ConfigError> {
    let texts = site.run.options.force_dependencies.iter();
    let invalid = |text: &str, error| ConfigError::handled(format!("--force-dep {text}: {error}"));
    texts.map(|text| text.parse().map_err(|error| invalid(text, error))).collect()
}

impl RunContents<'_> {
    fn install_everything(&mut self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        let locked = locked_contents::entry(site, foundation)?;
        site.install_runtimes(foundation)?;
        if let Some(script) = &site.environment.script {
            script_contents::install(site, foundation, script, locked)?;
        } else if site.run.options.skip_environment_install {
            site.warning("skip installing dependencies and package");
        } else if let Some(entry) = locked {
            locked_contents::install(site, foundation, entry)?;
        } else if foundation.has_python() {
            Self::install_dependencies(site, foundation, self.notice)?;
        }
        if let Some(packaging) = &site.environment.packaging {
            self.install_project(site, foundation, packaging)?;
        }
        if let Some(package) = &site.environment.package_of_runtime {
            site.install_project_package(foundation, package, &self.packager.project_packages)?;
        }
        if let Some(uv) = &site.environment.uv {
            uv_contents::install(site, foundation, uv)?;
        }
        self.run_extra_setup(site, &foundation.session)?;
        if locked.is_some() && foundation.has_python() && !site.run.options.skip_environment_install {
            locked_contents::settle(foundation)?;
        }
        Ok(())
    }
}

impl EnvContents for RunContents<'_> {
    fn install(&mut self, site: &EnvBuilder, foundation: &mut CreatedEnv) -> Result<(), EnvError> {
        let result = self.install_everything(site, foundation);
        site.settle_languages(foundation, result.is_ok())?;
        result
    }

    fn before_removal(&mut self, site: &EnvBuilder) {
        if let Err(halt) = run_recreate_commands(site) {
            site.warning(format!("recreate_commands failed, continuing with recreation: {halt}"));
        }
    }

    fn after_removal(&mut self, site: &EnvBuilder, asked: bool) {
        if let (true, Some(packaging)) = (asked, &site.environment.packaging) {
            self.packager.remove_if_requested(packaging);
        }
    }
}

fn install_lock_file(installation: &mut Installing<'_>) -> Result<(), EnvError> {
    let site = installation.env();
    let dependencies = &site.environment.dependencies;
    if !site.run.options.force_dependencies.is_empty() {
        // tox takes them for `deps`, which do not go together with a lock file.
        return Err(deps_beside_pylock().into());
    }
    let path = pylock_of(&site.environment, &site.run.project.package_root)?;
    let markers = installation.interpreter()?.markers.clone();
    let lock =
        pylock::Pylock { path: &path, extras: &dependencies.extras, groups: &dependencies.groups, markers: &markers };
    installation.ensure(section::RUN, "pylock", |conditions, old| conditions.pylock(&lock, old))
}

/// Runs what has to run in the environment before it is removed; the environment may be half-made or broken.
fn run_recreate_commands(site: &EnvBuilder) -> Result<(), EnvError> {
    let commands = site.environment.commands.recreate.get()?;
    if commands.is_empty() {
        return Ok(());
    }
    let cwd = site.environment.change_dir.get()?;
    environment_folders::create("change_dir", &cwd)?;
    let folders = ["bin", "Scripts"].map(|name| site.environment.env_dir.join(name));
    let paths: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.exists()).collect();
    let session = site.session(paths)?;
    let set = CommandSet { key: "recreate_commands", cwd: &cwd, ignore_errors: true, retries: 0 };
    let code = set.run(&session, commands, &mut Vec::new())?;
    if code != 0 {
        site.warning(format!("recreate_commands failed with exit code {code}, continuing with recreation"));
    }
    Ok(())
}

/// Lists what is installed if anybody wants to know.
pub fn report_installed(site: &EnvBuilder, session: &CommandSession) -> Result<(), EnvError> {
    if site.journal.is_none() && !site.run.options.list_dependencies {
        return Ok(());
    }
    let lines = installed(site, session)?;
    if let Some(journal) = &site.journal {
        journal.installed_packages(&lines);
    }
    if site.run.options.list_dependencies {
        site.warning(lines.join(","));
    }
    Ok(())
}

/// What `list_dependencies_command` says, line by line.
pub fn installed(site: &EnvBuilder, session: &CommandSession) -> Result<Vec<String>, EnvError> {
    let outcome = session.execute(CommandRequest {
        argv: site.environment.installation.list_dependencies_command.argv.clone(),
        shown: DisplayedCommand::Itself,
        cwd: site.run.project.root.clone(),
        run_id: "freeze".to_owned(),
        stdin: CommandStdin::Off,
        display: CommandDisplay::Keep,
    })?;
    session.conclude(&outcome, ExitRule::Zero).map_err(EnvError::Exit)?;
    Ok(outcome.out.text().lines().map(str::to_owned).collect())
}
