//! Environments that are layers on others (`layer_on`). A layer contains only what it adds to its base, and finds the rest
//! in the base's own folders, into which nothing is written: what a layer tests are the files that ship.
//!
//! Installers take what the base has as installed: it is listed in the layer while they run ([`listing`]), and its
//! versions are constraints. [`conflict`] finds the requirements behind versions that both would have differently.

pub mod bases;
mod conflict;
mod listing;
pub mod locked;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::builder::env_builder::{CreatedEnv, EnvBuilder, EnvPython};
use crate::builder::installation::Installing;
use crate::builder::locked_contents;
use crate::builder::stamp::section;
use crate::env_error::EnvError;
use crate::execute::session::CommandSession;
use crate::install::InstallRequest;
use crate::lockfile::lines::same_version;
use crate::model::pep508::canonical_name;
use crate::model::{EnvLayout, Environment, PackageKind};
use crate::settings::Settings;

/// Makes Python look into the base's folders. Its name sorts after those of editable installations.
const PATH_FILE: &str = "zz_envo_layer.pth";
/// The layer's folder with the bytecode of what it imports.
pub const BYTECODE: &str = "pycache";
/// Begins the expression that sets the folder for bytecode: not for pip, which envo runs isolated and which writes into
/// no base, and without bytecode for Pythons before 3.8, which know no such folder.
const KEEP_BYTECODE: &str = "sys.flags.ignore_environment or sys.dont_write_bytecode or getattr(sys, 'pycache_prefix', '') \
                             or setattr(sys, 'dont_write_bytecode', not hasattr(sys, 'pycache_prefix')) or ";
/// The versions in the base, in the layer's folder.
const CONSTRAINTS: &str = "layer-constraints.txt";

/// The part of `.tox-info.json` with what the base had when the layer was filled; tox ignores it.
const SECTION: &str = "envo";
const PART: &str = "layer";

/// Packages that every environment starts with, so that a layer may have others.
const SEEDS: [&str; 3] = ["pip", "setuptools", "wheel"];

/// The label of commands that remove what the base has.
const UNINSTALL: &str = "uninstall_of_base";

/// The option that leaves requirements of requirements out, which is for packages that are decided already.
const EXACT: &str = "--no-deps";

/// A built environment, as the layers on it see it.
pub struct LayerBase {
    pub environment: Arc<Environment>,
    layout: EnvLayout,
    /// Its folders with programs.
    pub paths: Vec<PathBuf>,
    /// The value of `TOX_PACKAGE`.
    package: Option<std::ffi::OsString>,
    /// The one that it is a layer on itself.
    below: Option<Arc<LayerBase>>,
    /// For the locations of requirements in error messages.
    settings: Arc<Settings>,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Installed {
    version: String,
    /// Its `.dist-info` folder.
    folder: PathBuf,
}

impl LayerBase {
    pub fn new(env: &EnvBuilder, python: &EnvPython, session: &CommandSession, settings: &Arc<Settings>) -> Self {
        Self {
            environment: Arc::clone(&env.environment),
            layout: python.layout.clone(),
            paths: session.programs.paths.clone(),
            package: session.variables.get("TOX_PACKAGE").map(std::ffi::OsStr::to_owned),
            below: env.base.clone(),
            settings: Arc::clone(settings),
        }
    }

    /// The environment and those below it.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |base| base.below.as_deref())
    }

    /// What a layer on it finds installed, by normalised name.
    fn packages(&self) -> BTreeMap<String, Installed> {
        let mut found = BTreeMap::new();
        for base in self.chain() {
            for (name, package) in installed(&base.layout) {
                found.entry(name).or_insert(package);
            }
        }
        found
    }

    /// The same as versions, without what every environment has.
    pub(super) fn versions(&self) -> BTreeMap<String, String> {
        let packages = self.packages().into_iter().filter(|(name, _)| !SEEDS.contains(&name.as_str()));
        packages.map(|(name, package)| (name, package.version)).collect()
    }

    /// Whether the project is installed in it.
    fn has_project(&self) -> bool {
        self.chain().any(|base| {
            let of_uv = base.environment.contents.uv.as_ref().is_some_and(|uv| uv.project.is_some());
            of_uv || base.environment.package.packaging.as_ref().is_some_and(|one| one.kind != PackageKind::DepsOnly)
        })
    }

    fn is_editable(&self) -> bool {
        self.chain().any(|base| is_editable(&base.environment))
    }

    /// Makes the Python of `layout` find what is in the base, and keep the bytecode of what it imports in the folder
    /// `bytecode`.
    pub fn link(&self, layout: &EnvLayout, bytecode: &Path) -> Result<(), EnvError> {
        let path =
            |path: &Path| format!("getattr(os, 'fsdecode', str)(b'{}')", path.as_os_str().as_bytes().escape_ascii());
        let mut text = format!("import os, sys; {KEEP_BYTECODE}setattr(sys, 'pycache_prefix', {})", path(bytecode));
        for folder in folders(&self.layout) {
            // The base's own `.pth` files count, too.
            text.push_str(&format!("\nimport os, site; site.addsitedir({})", path(folder)));
        }
        text.push('\n');
        let file = layout.purelib.join(PATH_FILE);
        if std::fs::read(&file).is_ok_and(|old| old == text.as_bytes()) {
            return Ok(());
        }
        Ok(fs_err::write(file, text)?)
    }

    /// The request with what the base has as constraints.
    fn constrained(&self, request: &InstallRequest, env_dir: &Path) -> Result<InstallRequest, EnvError> {
        let mut request = request.clone();
        let has_hashes = request.arguments.iter().any(|word| word.contains("--hash"))
            || request.nested_options.iter().any(|option| option.starts_with("require_hashes"));
        // Hashes leave no choice, and installers want them of constraints, too.
        if request.arguments.iter().any(|word| word == EXACT) || has_hashes {
            return Ok(request);
        }
        let file = env_dir.join(CONSTRAINTS);
        let lines: String = self.versions().iter().map(|(name, version)| format!("{name}=={version}\n")).collect();
        fs_err::write(&file, lines)?;
        request.arguments.extend(["-c".to_owned(), file.display().to_string()]);
        Ok(request)
    }
}

fn is_editable(environment: &Environment) -> bool {
    let of_uv =
        environment.contents.uv.as_ref().and_then(|uv| uv.project.as_ref()).is_some_and(|project| project.editable);
    let kind = environment.package.packaging.as_ref().map(|packaging| packaging.kind);
    of_uv || matches!(kind, Some(PackageKind::Editable | PackageKind::EditableLegacy))
}

/// The folders of a layout with packages.
fn folders(layout: &EnvLayout) -> Vec<&Path> {
    let mut folders = vec![layout.purelib.as_path()];
    if layout.platlib != layout.purelib {
        folders.push(&layout.platlib);
    }
    folders
}

fn installed(layout: &EnvLayout) -> BTreeMap<String, Installed> {
    let mut found = BTreeMap::new();
    for folder in folders(layout) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".dist-info")) else { continue };
            if let Some((name, version)) = stem.split_once('-') {
                found.insert(canonical_name(name), Installed { version: version.to_owned(), folder: entry.path() });
            }
        }
    }
    found
}

/// Whether a package was installed from a folder that it is still in (PEP 610).
fn is_linked(package: &Installed) -> bool {
    let text = std::fs::read_to_string(package.folder.join("direct_url.json")).unwrap_or_default();
    let read: Value = serde_json::from_str(&text).unwrap_or_default();
    read["dir_info"]["editable"] == true
}

/// Whether a package of a layer can give way to that of the base: one that is linked to its folder only to another such.
fn is_same_kind(own: &Installed, theirs: &Installed) -> bool {
    !is_linked(own) || is_linked(theirs)
}

/// Runs `install`, which returns the names of the project's packages that belong into the layer, between removing what the base has by now, and checking that it had no other versions.
pub fn around(
    env: &EnvBuilder,
    created: &mut CreatedEnv,
    install: impl FnOnce(&mut CreatedEnv) -> Result<Vec<String>, EnvError>,
) -> Result<(), EnvError> {
    let Some(base) = env.base.as_deref().filter(|_| !env.run.options.skip.skip_environment_install) else {
        return install(created).map(drop);
    };
    let layout = created.python()?.layout.clone();
    let contents = json!({"on": base.environment.name, "packages": base.versions()});
    if !created.stamp.holds(SECTION, Some(PART), &contents) {
        make_room(env, created, base, &layout)?;
    }
    let project = install(created)?;
    settle((env, created), base, &layout, &project)?;
    if !created.stamp.holds(SECTION, Some(PART), &contents) {
        created.stamp.record(SECTION, Some(PART), contents)?;
    }
    Ok(())
}

/// The base has changed: its packages take the place of the layer's own, and all requirements are looked at again, which
/// installs only what is missing.
fn make_room(env: &EnvBuilder, created: &mut CreatedEnv, base: &LayerBase, layout: &EnvLayout) -> Result<(), EnvError> {
    let theirs = base.packages();
    let own = installed(layout).into_iter();
    let names: Vec<String> = own
        .filter(|(name, package)| name != "pip" && theirs.get(name).is_some_and(|theirs| is_same_kind(package, theirs)))
        .map(|(name, _)| name)
        .collect();
    forget(created)?;
    if names.is_empty() { Ok(()) } else { Installing::new(env, created).uninstall(UNINSTALL, &names) }
}

/// Drops the records of what was installed, so that the next build looks at every requirement.
fn forget(created: &mut CreatedEnv) -> Result<(), EnvError> {
    for section in [section::RUN, section::PACKAGE] {
        if created.stamp.object(section, None).is_some() {
            created.stamp.record(section, None, json!({}))?;
        }
    }
    locked_contents::doubt(created)
}

/// Removes what the layer and its base both have, except for the project: the base's is used.
fn settle(
    (env, created): (&EnvBuilder, &mut CreatedEnv),
    base: &LayerBase,
    layout: &EnvLayout,
    project: &[String],
) -> Result<(), EnvError> {
    let (theirs, packages) = (base.versions(), base.packages());
    let is_twice = |(name, package): &(String, Installed)| {
        theirs.contains_key(name) && !project.contains(name) && is_same_kind(package, &packages[name])
    };
    let twice: Vec<(String, Installed)> = installed(layout).into_iter().filter(is_twice).collect();
    if twice.is_empty() {
        return Ok(());
    }
    let other = twice.iter().find(|(name, package)| !same_version(&package.version, &theirs[name]));
    let error = other.map(|(name, package)| conflict::of_installed(env, base, (name, &theirs[name]), &package.version));
    let names: Vec<String> = twice.iter().map(|(name, _)| name.clone()).collect();
    Installing::new(env, created).uninstall(UNINSTALL, &names)?;
    let Some(error) = error else { return Ok(()) };
    forget(created)?;
    Err(error)
}

/// Whether the base's installation of the project is used instead of one in the layer: unless only the layer is to use
/// the project's own folder.
pub fn sees_project(env: &EnvBuilder) -> bool {
    env.base.as_ref().is_some_and(|base| base.has_project() && (base.is_editable() || !is_editable(&env.environment)))
}

/// Makes `TOX_PACKAGE` name the package that is installed in the base.
pub fn name_package(env: &EnvBuilder, session: &mut CommandSession) {
    if let Some(package) = env.base.as_ref().and_then(|base| base.package.as_ref()) {
        session.variables.set("TOX_PACKAGE", package);
    }
}

/// Runs the installer so that it takes what the base has as installed.
///
/// # Errors
/// If a requirement does not go with what the base has; else those of the installer.
pub fn install(installing: &mut Installing<'_>, base: &LayerBase, request: &InstallRequest) -> Result<(), EnvError> {
    let env = installing.env();
    let layout = installing.layout()?.clone();
    let search = conflict::ConflictSearch { env, base, request };
    if let Some(error) = search.among_requirements(installing.interpreter()?) {
        return Err(error.into());
    }
    let constrained = base.constrained(request, &env.environment.folders.env_dir)?;
    let listing = listing::Listing::new(base.packages(), &layout)?;
    let result = installing.run_installer(&constrained);
    drop(listing);
    let Err(error) = result else { return Ok(()) };
    if env.interrupt().requested() || constrained == *request {
        return Err(error);
    }
    match search.by_resolving(installing) {
        Some(conflict) => Err(EnvError::ExitExplaining(error.verdict().code, Box::new(conflict))),
        None => Err(error),
    }
}
