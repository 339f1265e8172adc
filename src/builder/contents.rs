//! What goes into an environment that runs commands: its dependencies, the project, and what `extra_setup_commands` add.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::builder::env_builder::{Contents, Foundation, Site};
use crate::builder::environment_folders;
use crate::builder::installation::Installation;
use crate::builder::locked_contents;
use crate::builder::packaging_env::Packager;
use crate::builder::prebuilt::Course;
use crate::builder::preconditions::{deps_beside_pylock, pylock_of, requirements_of_groups};
use crate::builder::script_contents;
use crate::builder::stamp::section;
use crate::builder::uv_contents;
use crate::command_set::CommandSet;
use crate::env_error::Halt;
use crate::error::ConfigError;
use crate::execute::session::{Display, Request, Session, Shown, Stdin};
use crate::install::InstallRequest;
use crate::install::packages;
use crate::install::pylock;
use crate::install::uv_sync;
use crate::model::environment::Packaging;
use crate::model::pep508::Requirement;
use crate::model::{ExitRule, PackageKind};
use crate::package::{Package, PackageFile};

/// Separates the packages in `TOX_PACKAGE`.
const PATH_SEPARATOR: &str = ":";

/// The contents of one run environment.
pub struct RunContents<'a> {
    packager: &'a Packager,
    /// Says what was noticed of the settings that were worked out last.
    notice: &'a dyn Fn(&Site),
    /// What was built of the project for it.
    packages: Vec<Package>,
}

impl<'a> RunContents<'a> {
    pub fn new(packager: &'a Packager, notice: &'a dyn Fn(&Site)) -> Self {
        Self { packager, notice, packages: Vec::new() }
    }

    /// After everything is in: lists what is installed if anybody wants to know. Hands out what runs the commands.
    pub fn finish(self, site: &Site, foundation: Foundation) -> Result<Session, Halt> {
        let session = foundation.session;
        if site.environment.has_python() {
            tell_installed(site, &session)?;
        }
        Ok(session)
    }

    /// `notice` is called before anything is done about the dependencies, which are known then.
    pub(super) fn put_in_dependencies(
        site: &Site,
        foundation: &mut Foundation,
        notice: &dyn Fn(&Site),
    ) -> Result<(), Halt> {
        let dependencies = &site.environment.dependencies;
        let mut installation = Installation::new(site, foundation);
        if !dependencies.pylock.is_empty() {
            return put_in_lock_file(&mut installation);
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
                .carry_out(section::RUN, "deps", |conditions, old| conditions.requirements(requirements, "deps", old));
        }
        let forced = forced_requirements(site)?;
        installation.carry_out(section::RUN, "deps", |conditions, old| conditions.deps(&deps, &forced, old))?;
        if dependencies.groups.is_empty() {
            return Ok(());
        }
        let requirements = requirements_of_groups(&site.environment, root)?;
        installation.carry_out(section::RUN, "dependency-groups", |conditions, old| {
            conditions.requirements(requirements, "dependency-groups", old)
        })
    }

    fn put_in_project(&mut self, site: &Site, foundation: &mut Foundation, packaging: &Packaging) -> Result<(), Halt> {
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
            return Installation::new(site, foundation).carry_out(section::RUN, "package_deps", |conditions, old| {
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

    fn install_packages(&self, site: &Site, foundation: &mut Foundation) -> Result<(), Halt> {
        if let Course::Rest(forerun) = &site.course {
            forerun.tell_of_project(site.reporter.as_ref());
        }
        if !locked_contents::applies(site) {
            self.install_requirements(site, foundation)?;
        }
        let mut installation = Installation::new(site, foundation);
        for request in packages::requests(&self.packages) {
            installation.install(&request)?;
        }
        Ok(())
    }

    /// What the packages require. Where uv installs as with tox-uv, what the project takes from its uv workspace comes from
    /// there, by way of the project, and not from an index.
    fn install_requirements(&self, site: &Site, foundation: &mut Foundation) -> Result<(), Halt> {
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
        put_in_requirements(site, foundation, requirements)?;
        if by_project {
            let arguments = ["--reinstall", "-e", "."].map(str::to_owned).to_vec();
            Installation::new(site, foundation).install_constrained(InstallRequest::new("package", arguments))?;
        }
        Ok(())
    }

    fn run_extra_setup(&self, site: &Site, session: &Session) -> Result<(), Halt> {
        let lists = &site.environment.commands;
        let commands = lists.extra_setup.get()?;
        if commands.is_empty() {
            return Ok(());
        }
        let cwd = site.environment.change_dir.get()?;
        environment_folders::create("change_dir", &cwd)?;
        let set = CommandSet { key: "extra_setup_commands", cwd: &cwd, ignore_errors: lists.ignore_errors, retries: 0 };
        if set.run(session, commands, &mut Vec::new())? != 0 && !lists.ignore_errors {
            return Err(Halt::Fail("extra_setup_commands failed".to_owned()));
        }
        Ok(())
    }
}

/// Installs what the project requires, some of it replaced by `--force-dep`.
pub(super) fn put_in_requirements(
    site: &Site,
    foundation: &mut Foundation,
    requirements: Vec<String>,
) -> Result<(), Halt> {
    let requirements = packages::requirements(requirements, &forced_requirements(site)?)?;
    Installation::new(site, foundation).carry_out(section::PACKAGE, "package_deps", |conditions, old| {
        conditions.requirements(requirements, "package_deps", old)
    })
}

/// What `--force-dep` says.
pub(super) fn forced_requirements(site: &Site) -> Result<Vec<Requirement>, ConfigError> {
    let texts = site.run.options.force_dependencies.iter();
    let invalid = |text: &str, error| ConfigError::handled(format!("--force-dep {text}: {error}"));
    texts.map(|text| text.parse().map_err(|error| invalid(text, error))).collect()
}

impl RunContents<'_> {
    fn put_in_everything(&mut self, site: &Site, foundation: &mut Foundation) -> Result<(), Halt> {
        let locked = locked_contents::entry(site, foundation)?;
        site.put_in_languages(foundation)?;
        if let Some(script) = &site.environment.script {
            script_contents::put_in(site, foundation, script, locked)?;
        } else if site.run.options.skip_environment_install {
            site.warning("skip installing dependencies and package");
        } else if let Some(entry) = locked {
            locked_contents::put_in(site, foundation, entry)?;
        } else if foundation.has_python() {
            Self::put_in_dependencies(site, foundation, self.notice)?;
        }
        if let Some(packaging) = &site.environment.packaging {
            self.put_in_project(site, foundation, packaging)?;
        }
        if let Some(package) = &site.environment.package_of_runtime {
            site.put_in_project_package(foundation, package, &self.packager.project_packages)?;
        }
        if let Some(uv) = &site.environment.uv {
            uv_contents::put_in(site, foundation, uv)?;
        }
        self.run_extra_setup(site, &foundation.session)?;
        if locked.is_some() && foundation.has_python() && !site.run.options.skip_environment_install {
            locked_contents::settle(foundation)?;
        }
        Ok(())
    }
}

impl Contents for RunContents<'_> {
    fn put_in(&mut self, site: &Site, foundation: &mut Foundation) -> Result<(), Halt> {
        let result = self.put_in_everything(site, foundation);
        site.settle_languages(foundation, result.is_ok())?;
        result
    }

    fn before_removal(&mut self, site: &Site) {
        if let Err(halt) = run_recreate_commands(site) {
            site.warning(format!("recreate_commands failed, continuing with recreation: {halt}"));
        }
    }

    fn after_removal(&mut self, site: &Site, asked: bool) {
        if let (true, Some(packaging)) = (asked, &site.environment.packaging) {
            self.packager.remove_if_asked(packaging);
        }
    }
}

fn put_in_lock_file(installation: &mut Installation<'_>) -> Result<(), Halt> {
    let site = installation.site();
    let dependencies = &site.environment.dependencies;
    if !site.run.options.force_dependencies.is_empty() {
        // tox takes them for `deps`, which do not go together with a lock file.
        return Err(deps_beside_pylock().into());
    }
    let path = pylock_of(&site.environment, &site.run.project.package_root)?;
    let markers = installation.interpreter()?.markers.clone();
    let lock =
        pylock::Pylock { path: &path, extras: &dependencies.extras, groups: &dependencies.groups, markers: &markers };
    installation.carry_out(section::RUN, "pylock", |conditions, old| conditions.pylock(&lock, old))
}

/// Runs what has to run in the environment before it is removed; the environment may be half-made or broken.
fn run_recreate_commands(site: &Site) -> Result<(), Halt> {
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
pub fn tell_installed(site: &Site, session: &Session) -> Result<(), Halt> {
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
pub fn installed(site: &Site, session: &Session) -> Result<Vec<String>, Halt> {
    let outcome = session.execute(Request {
        argv: site.environment.installation.list_dependencies_command.argv.clone(),
        shown: Shown::Itself,
        cwd: site.run.project.root.clone(),
        run_id: "freeze".to_owned(),
        stdin: Stdin::Off,
        display: Display::Keep,
    })?;
    session.conclude(&outcome, ExitRule::Zero).map_err(Halt::Exit)?;
    Ok(outcome.out.text().lines().map(str::to_owned).collect())
}
