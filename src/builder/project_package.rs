//! Builds the project as a package of a runtime other than Python, once per run, and installs it into every environment
//! that asks for it. Build output is kept to make the next build faster; an environment gets the package again only if
//! its content changed.

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::lock::EnvLock;
use crate::builder::runtime_steps::StepPurpose;
use crate::builder::runtime_swap::package_name;
use crate::builder::runtimes::{RuntimeInstallation, SECTION, remove};
use crate::digest::sha256;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::EnvPhase;
use crate::execute::session::{AllowedPrograms, CommandSession};
use crate::model::runtime::ProjectPackage;
use crate::runtime::packing::{PackRequest, PackageDelivery, PackageForm};
use crate::runtime::{RUNTIMES, RuntimeLocation};
use crate::scratch;

/// The subfolder of the build folder with the packages, in a folder per content.
const DIST: &str = "dist";

/// Separates the packages in `TOX_PACKAGE`.
const PATH_SEPARATOR: &str = ":";

type BuiltPackages = Arc<Mutex<Option<Vec<PathBuf>>>>;

/// Packages built in this run, by their `package` word and project folder.
#[derive(Default)]
pub struct ProjectPackages {
    known: Mutex<HashMap<(String, PathBuf), BuiltPackages>>,
}

impl ProjectPackages {
    fn entry(&self, word: &str, project: &Path) -> BuiltPackages {
        let mut known = self.known.lock();
        Arc::clone(known.entry((word.to_owned(), project.to_owned())).or_default())
    }
}

impl EnvBuilder {
    /// Builds the project, unless this run already did, and installs it.
    pub fn install_project_package(
        &self,
        created: &mut CreatedEnv,
        package: &ProjectPackage,
        packages: &ProjectPackages,
    ) -> Result<(), EnvError> {
        let options = &self.run.options;
        let parts = std::mem::take(&mut created.languages);
        let result = self.packer(&parts, package).and_then(|(part, form)| {
            if options.skip.skip_package_install || options.skip.skip_environment_install {
                self.warning("skip building and installing the package");
                return Ok(());
            }
            let files = match &options.package.install_package {
                Some(path) => vec![self.given(path, form)?],
                None => self.built(part, form, &created.session, packages)?,
            };
            if !options.package.package_only {
                self.deliver(part, &files, created)?;
            }
            if let Some(journal) = &self.journal {
                journal.packages(files.iter().map(PathBuf::as_path));
            }
            let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
            created.session.variables.set("TOX_PACKAGE", paths.join(PATH_SEPARATOR));
            Ok(())
        });
        created.languages = parts;
        result
    }

    /// The runtime that builds the package: among those with this word, the one whose manifest exists.
    fn packer<'p>(
        &self,
        parts: &'p [RuntimeInstallation],
        package: &ProjectPackage,
    ) -> Result<(&'p RuntimeInstallation, PackageForm), EnvError> {
        let form = |part: &RuntimeInstallation| part.runtime.package().filter(|form| form.word == package.word);
        let knowing: Vec<(&RuntimeInstallation, PackageForm)> =
            parts.iter().filter_map(|part| Some((part, form(part)?))).collect();
        if let Some(found) = knowing.iter().find(|(part, _)| part.has_manifest()).or(knowing.first()) {
            return Ok(*found);
        }
        let name = &self.environment.name;
        let text = format!("`package = {}` of {name} is not a package format of its `runtime`", package.word);
        let words: Vec<String> = RUNTIMES
            .iter()
            .filter_map(|runtime| Some(format!("{} ({})", runtime.package()?.word, runtime.name())))
            .collect();
        let error = ConfigError::fail(text).hint(format!("there are {}", words.join(", ")));
        Err(match &package.place {
            Some(location) => error.at((**location).clone()).into(),
            None => error.into(),
        })
    }

    /// The package given with `--installpkg`.
    fn given(&self, path: &Path, form: PackageForm) -> Result<PathBuf, EnvError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match form.ending {
            Some(ending) if !name.ends_with(ending) => Err(EnvError::Fail(format!(
                "--installpkg {} is not a package for {}: its `package = {}` needs a `*{ending}` file",
                path.display(),
                self.environment.name,
                form.word
            ))),
            _ => Ok(path.to_owned()),
        }
    }

    fn built(
        &self,
        part: &RuntimeInstallation,
        form: PackageForm,
        session: &CommandSession,
        packages: &ProjectPackages,
    ) -> Result<Vec<PathBuf>, EnvError> {
        let entry = packages.entry(form.word, &part.project);
        // Other threads wait here.
        let mut entry = entry.lock();
        if let Some(files) = &*entry {
            return Ok(files.clone());
        }
        let files = self.build_package(part, form, session)?;
        Ok(entry.insert(files).clone())
    }

    fn build_package(
        &self,
        part: &RuntimeInstallation,
        form: PackageForm,
        session: &CommandSession,
    ) -> Result<Vec<PathBuf>, EnvError> {
        self.phase(EnvPhase::Package);
        let build_folder = self.build_folder(part, form);
        fs_err::create_dir_all(&build_folder)?;
        let waiting = || self.warning(format!("waiting for another process that uses {}", build_folder.display()));
        let _lock = EnvLock::acquire(&build_folder, self.interrupt(), waiting)?;
        if self.environment.creation.recreate {
            crate::builder::folders::ensure_empty(&build_folder)?;
        }
        let results = build_folder.join("results");
        crate::builder::folders::ensure_empty(&results)?;
        let folder = self.environment.folders.env_dir.join(part.runtime.name());
        let location: RuntimeLocation<'_> = self.location(part, &folder, session);
        let request = PackRequest { location, build_folder: &build_folder, results: &results };
        let steps = part.runtime.pack(&request).map_err(|text| {
            self.wrong(part, &format!("`package = {}` of {} cannot be built: {text}", form.word, self.environment.name))
        })?;
        let mut session = CommandSession {
            programs: AllowedPrograms { allow: vec!["*".to_owned()], ..session.clone().programs },
            ..session.clone()
        };
        let runtime_variables = part.runtime.runtime_variables(&location);
        self.add_variables(&mut session, runtime_variables)?;
        for step in &steps {
            self.run_steps(part, step, &session, StepPurpose::Build)?;
        }
        keep(&results, &build_folder.join(DIST), form).and_then(|files| {
            if files.is_empty() {
                let text = format!("`package = {}` of {} built nothing", form.word, self.environment.name);
                return Err(self.wrong(part, &text));
            }
            Ok(files)
        })
    }

    /// `.tox/.pkg-npm`, with the folder of the project where that is not the root.
    fn build_folder(&self, part: &RuntimeInstallation, form: PackageForm) -> PathBuf {
        let project = &self.run.project;
        let below = part.project.strip_prefix(&project.root).unwrap_or(&part.project);
        let below = below.display().to_string().replace('/', "+");
        let name = if below.is_empty() { String::new() } else { format!("-{below}") };
        // Go and Rust share a word and may share a folder.
        project.work_dir.join(format!(".pkg-{}-{}{name}", form.word, part.runtime.name()))
    }

    fn deliver(&self, part: &RuntimeInstallation, files: &[PathBuf], created: &mut CreatedEnv) -> Result<(), EnvError> {
        let name = package_name(part.runtime.name());
        let stamp = stamp_of(files)?;
        let folder = self.folder_of(part);
        if folder.is_dir() && created.stamp.holds(SECTION, Some(&name), &stamp) {
            return Ok(());
        }
        self.phase(EnvPhase::Install);
        if !Self::is_new(part, created) {
            let CreatedEnv { stamp: record, session, .. } = created;
            return self.work_on_copy(part, record, stamp, |copy| self.deliver_into(copy, part, files, session));
        }
        // No content is recorded while the folder is being filled.
        let language = part.runtime.name();
        let contents = created.stamp.get(SECTION, Some(language)).cloned().unwrap_or_default();
        created.stamp.record(SECTION, Some(language), Value::Null)?;
        self.deliver_into(&folder, part, files, &created.session)?;
        created.stamp.record(SECTION, Some(language), contents)?;
        Ok(created.stamp.record(SECTION, Some(&name), stamp)?)
    }

    fn deliver_into(
        &self,
        folder: &Path,
        part: &RuntimeInstallation,
        files: &[PathBuf],
        session: &CommandSession,
    ) -> Result<(), EnvError> {
        fs_err::create_dir_all(folder)?;
        let mut session = CommandSession {
            programs: AllowedPrograms { allow: vec!["*".to_owned()], ..session.clone().programs },
            ..session.clone()
        };
        let location = self.location(part, folder, &session);
        let (delivery, runtime_variables) =
            (part.runtime.deliver(&location, files), part.runtime.runtime_variables(&location));
        match delivery {
            PackageDelivery::Programs(bin) => copy_programs(files, &bin),
            PackageDelivery::Steps(steps) => {
                self.add_variables(&mut session, runtime_variables)?;
                steps.iter().try_for_each(|step| self.run_steps(part, step, &session, StepPurpose::Deliver))
            }
        }
    }
}

/// Moves the results to a folder below `dist` named after their content: the same package keeps its path and a changed
/// one gets a new path, so no package manager's cache can confuse them.
fn keep(results: &Path, dist: &Path, form: PackageForm) -> Result<Vec<PathBuf>, EnvError> {
    let mut found = Vec::new();
    for folder in [results.to_owned(), results.join("bin")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let fits = form.ending.is_none_or(|ending| name.ends_with(ending));
            if fits && path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    let mut kept = Vec::new();
    let digests = found.iter().map(|path| digest(path)).collect::<Result<Vec<_>, _>>()?;
    let is_known = |name: &std::ffi::OsStr| digests.iter().any(|digest| name == &digest[..16]);
    for entry in std::fs::read_dir(dist).into_iter().flatten().flatten() {
        if !is_known(&entry.file_name()) {
            remove(&entry.path())?;
        }
    }
    for (path, digest) in found.iter().zip(&digests) {
        let folder = dist.join(&digest[..16]);
        fs_err::create_dir_all(&folder)?;
        let location = folder.join(path.file_name().unwrap_or_default());
        if location.is_file() && self::digest(&location).is_ok_and(|other| other == *digest) {
            fs_err::remove_file(path)?;
        } else {
            fs_err::rename(path, &location)?;
        }
        kept.push(location);
    }
    Ok(kept)
}

fn copy_programs(files: &[PathBuf], bin: &Path) -> Result<(), EnvError> {
    fs_err::create_dir_all(bin)?;
    for file in files {
        let name = file.file_name().unwrap_or_default();
        // A running program keeps its own file.
        let copy = scratch::file_in(bin, ".unfinished-", 0o600)?;
        fs_err::copy(file, copy.path())?;
        fs_err::set_permissions(copy.path(), PermissionsExt::from_mode(0o755))?;
        copy.persist(bin.join(name)).map_err(|error| EnvError::from(error.error))?;
    }
    Ok(())
}

fn stamp_of(files: &[PathBuf]) -> std::io::Result<Value> {
    let entry = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(json!([name, digest(path)?]))
    };
    Ok(json!({"files": files.iter().map(entry).collect::<std::io::Result<Vec<_>>>()?}))
}

fn digest(path: &Path) -> std::io::Result<String> {
    fs_err::read(path).map(sha256)
}
