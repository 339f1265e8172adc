//! Installs exactly what the lock lists with `--locked`. The names of the installed packages show whether anything is
//! missing or extra, so a run with nothing to do takes no time; the lock is read and the installer started only if
//! something differs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::builder::env_builder::{CreatedEnv, EnvBuilder};
use crate::builder::installation::Installing;
use crate::builder::layer;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::install::InstallRequest;
use crate::lockfile;
use crate::lockfile::document::{LockDocument, LockedPackage};
use crate::lockfile::error::LockError;
use crate::lockfile::index::{LockIndexEntry, lock_path};
use crate::lockfile::inputs::{LockInputReader, LockInputs};
use crate::lockfile::lines;
use crate::model::pep508::canonical_name;
use crate::model::pep508::evaluate::MarkerEnvironment;
use crate::model::{Interpreter, ProjectSettings};
use crate::scratch::Scratch;

/// The section of `.tox-info.json` with the record; tox ignores it.
const SECTION: &str = "envo";
const PART: &str = "locked";

/// Packages that environments have from the start, so a lock need not list them.
const SEEDS: [&str; 3] = ["pip", "setuptools", "wheel"];

/// Whether the environment is filled from one of envo's locks.
pub fn applies(env: &EnvBuilder) -> bool {
    env.run.locks.is_some() && lockfile::has_its_own(&env.environment, &env.run.project).is_none()
}

/// The environment's lock entry, checked to be up to date; `None` if [`applies`] is false.
pub fn entry<'s>(env: &'s EnvBuilder, created: &CreatedEnv) -> Result<Option<&'s LockIndexEntry>, EnvError> {
    let Some(index) = &env.run.locks else { return Ok(None) };
    if !applies(env) {
        return Ok(None);
    }
    let (environment, project) = (&env.environment, &env.run.project);
    let reading = LockInputReader { project, variables: &created.session.variables };
    let mut inputs = LockInputs::read(environment, reading)?;
    add_languages(env, &mut inputs)?;
    let entry =
        lockfile::verify::verify(project, index, &environment.name, &inputs.inputs).map_err(ConfigError::from)?;
    Ok(Some(entry))
}

/// Brings the environment in line with its lock.
///
/// # Errors
/// [`EnvError::Recreate`] if its contents did not come from a lock; any failure of the installer.
pub fn install(env: &EnvBuilder, created: &mut CreatedEnv, entry: &LockIndexEntry) -> Result<(), EnvError> {
    if !created.has_python() {
        return Ok(());
    }
    let (environment, project) = (&env.environment, &env.run.project);
    let python = created.python()?;
    let locations = [python.layout.purelib.clone(), python.layout.platlib.clone()];
    let there = installed(&locations);
    let record = LockedRecord::of(created);
    let own: BTreeSet<&str> = record.iter().flat_map(|record| &record.own).map(String::as_str).collect();
    if let Some(record) = &record
        && record.lock == entry.lock
        && differing(&record.packages, &there).is_empty()
        && foreign(&record.packages, &own, &there).is_empty()
    {
        return Ok(());
    }
    if record.is_none() && there.keys().any(|name| !SEEDS.contains(&name.as_str())) {
        return Err(EnvError::Recreate("what is in it was not installed from its lock".to_owned()));
    }
    let file = lock_path(project, &environment.name);
    let document = LockDocument::read(&file).map_err(ConfigError::from)?;
    let wanted = applicable(&document, &python.interpreter, &environment.name)?;
    let (file, wanted) = layer::locked::without_base(env, file, wanted)?;
    let versions: BTreeMap<String, String> =
        wanted.iter().map(|package| (package.name.clone(), package.version.clone().unwrap_or_default())).collect();
    let extra = foreign(&versions, &own, &there);
    let order = LockedInstallation { file: &file, packages: &wanted };
    if !extra.is_empty() {
        if !differing(&versions, &there).is_empty() {
            order.try_out(env, created)?;
        }
        Installing::new(env, created).uninstall("uninstall_unlocked", &extra)?;
    }
    if !wanted.is_empty() {
        order.install(env, created, None)?;
    }
    let there = installed(&locations);
    let missing = differing(&versions, &there);
    if !missing.is_empty() {
        let text =
            format!("after installing from its lock, {} of {} are not there", missing.join(", "), environment.name);
        return Err(EnvError::Fail(text));
    }
    let own = record.map(|record| record.own).unwrap_or_default();
    LockedRecord { lock: entry.lock.clone(), packages: versions, own }.record(created)
}

/// Adds the inputs of the environment's other runtimes, and their locks.
pub fn add_languages(env: &EnvBuilder, inputs: &mut LockInputs) -> Result<(), EnvError> {
    if env.environment.runtimes.is_empty() {
        return Ok(());
    }
    let root = &env.run.project.root;
    for lock in env.runtime_locks()? {
        inputs.add_language(root, lock.runtime, &lock.inputs, &lock.files);
    }
    Ok(())
}

/// Records what the project and `extra_setup_commands` added, so that the next run does not count it as extra.
pub fn settle(created: &mut CreatedEnv) -> Result<(), EnvError> {
    let Some(record) = LockedRecord::of(created) else { return Ok(()) };
    let python = created.python()?;
    let there = installed(&[python.layout.purelib.clone(), python.layout.platlib.clone()]);
    let own = foreign(&record.packages, &BTreeSet::new(), &there);
    if own == record.own {
        return Ok(());
    }
    LockedRecord { own, ..record }.record(created)
}

/// Makes the next installation compare the environment with its lock.
pub fn doubt(created: &mut CreatedEnv) -> Result<(), EnvError> {
    match LockedRecord::of(created) {
        Some(record) => LockedRecord { lock: String::new(), ..record }.record(created),
        None => Ok(()),
    }
}

/// What was installed from a lock.
struct LockedRecord {
    /// The lock's digest.
    lock: String,
    /// Versions by normalised name; empty for a package without one.
    packages: BTreeMap<String, String>,
    /// Packages that did not come from the lock.
    own: Vec<String>,
}

impl LockedRecord {
    fn of(created: &CreatedEnv) -> Option<Self> {
        let record = created.stamp.object(SECTION, Some(PART))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let packages = record.get("packages")?.as_object()?;
        Some(Self {
            lock: text(record.get("lock")?)?,
            packages: packages
                .iter()
                .map(|(name, version)| Some((name.clone(), text(version)?)))
                .collect::<Option<_>>()?,
            own: record.get("own")?.as_array()?.iter().map(text).collect::<Option<_>>()?,
        })
    }

    fn record(&self, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let value = json!({"lock": self.lock, "packages": self.packages, "own": self.own});
        Ok(created.stamp.record(SECTION, Some(PART), value)?)
    }
}

/// The packages of a lock that apply to this interpreter.
fn applicable(
    document: &LockDocument,
    interpreter: &Interpreter,
    environment: &str,
) -> Result<Vec<LockedPackage>, EnvError> {
    let found =
        interpreter.markers.get("python_full_version").map_or_else(|| interpreter.dotted_version(), Clone::clone);
    if !lines::fits_python(&document.requires_python, &found) {
        let wanted = document.requires_python.clone();
        let environment = environment.to_owned();
        return Err(ConfigError::from(LockError::OtherPython { environment, wanted, found }).into());
    }
    let around = MarkerEnvironment { values: Some(&interpreter.markers), ..MarkerEnvironment::default() };
    let mut packages = Vec::new();
    for package in &document.packages {
        if lines::applies(package, &around).map_err(EnvError::Fail)? {
            packages.push(package.clone());
        }
    }
    Ok(packages)
}

/// Packages to install, and the lock that lists them.
struct LockedInstallation<'a> {
    file: &'a Path,
    packages: &'a [LockedPackage],
}

impl LockedInstallation<'_> {
    /// Installs into the environment, or into the folder `target`.
    fn install(&self, env: &EnvBuilder, created: &mut CreatedEnv, target: Option<&Path>) -> Result<(), EnvError> {
        let words = |file: &Path| {
            ["--no-deps", "-r"].map(str::to_owned).into_iter().chain([file.display().to_string()]).collect()
        };
        let of_uv = InstallRequest::new("locked", words(self.file));
        let folder = self.file.parent().unwrap_or(Path::new("."));
        lockfile::verify::verify_local(self.packages, folder).map_err(ConfigError::from)?;
        let mut of_pip = Vec::new();
        // pip checks the hashes of all lines of a file or of none.
        let (hashed, others) = lines::of(self.packages, folder);
        for (name, lines) in [("pylock.txt", hashed), ("pylock-local.txt", others)] {
            if !lines.is_empty() {
                let location = env.environment.folders.env_dir.join(name);
                let text = lines.join("\n");
                of_pip.push(InstallRequest {
                    file: Some((location.clone(), text)),
                    ..InstallRequest::new("locked", words(&location))
                });
            }
        }
        let installed = Installing::new(env, created).install_locked(&of_uv, &of_pip, target);
        installed.map_err(|error| match error {
            EnvError::Exit(code) => EnvError::ExitSaying(code, self.unavailable(&env.run.project)),
            error => error,
        })
    }

    /// The hint printed below an installer's own output.
    fn unavailable(&self, project: &ProjectSettings) -> String {
        let file = lockfile::verify::shown_path(project, self.file);
        format!(
            "what is locked could not be installed, as is said above; {file} has the address and hash of each file, and \
             where one is gone or another one by now, `envo update NAME` locks a newer one"
        )
    }

    /// Checks that all packages are available before anything is removed from the environment, so that a failure leaves
    /// it usable.
    fn try_out(&self, env: &EnvBuilder, created: &mut CreatedEnv) -> Result<(), EnvError> {
        let folder = Scratch::new_in(&env.environment.folders.env_dir, ".locked-")?;
        self.install(env, created, Some(folder.path()))
    }
}

/// The installed packages by normalised name, with their versions.
fn installed(locations: &[std::path::PathBuf]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, location) in locations.iter().enumerate() {
        if locations[..at].contains(location) {
            continue;
        }
        for entry in std::fs::read_dir(location).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".dist-info")) else { continue };
            if let Some((name, version)) = name.split_once('-') {
                found.insert(canonical_name(name), version.to_owned());
            }
        }
    }
    found
}

/// Packages that are missing or have another version.
fn differing(wanted: &BTreeMap<String, String>, there: &BTreeMap<String, String>) -> Vec<String> {
    let fits = |(name, version): &(&String, &String)| {
        there.get(*name).is_some_and(|there| version.is_empty() || lines::same_version(there, version))
    };
    wanted.iter().filter(|one| !fits(one)).map(|(name, _)| name.clone()).collect()
}

/// Packages that neither the lock nor the project asked for.
fn foreign(wanted: &BTreeMap<String, String>, own: &BTreeSet<&str>, there: &BTreeMap<String, String>) -> Vec<String> {
    let known =
        |name: &&String| wanted.contains_key(*name) || own.contains(name.as_str()) || SEEDS.contains(&name.as_str());
    there.keys().filter(|name| !known(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn what_is_installed_is_seen_from_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["Zope.Interface-5.0.dist-info", "six-1.0+local.dist-info", "six", "x.egg-info"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let found = installed(&[folder.path().to_owned(), folder.path().to_owned()]);
        assert_eq!(found, versions(&[("six", "1.0+local"), ("zope-interface", "5.0")]));
    }

    #[test]
    fn missing_and_foreign_packages_are_told_apart() {
        let wanted = versions(&[("a", "1.0"), ("b", "2"), ("c", "")]);
        let there = versions(&[("a", "1"), ("b", "3"), ("c", "9"), ("d", "1"), ("demo", "1"), ("pip", "26")]);
        assert_eq!(differing(&wanted, &there), ["b"]);
        assert_eq!(foreign(&wanted, &BTreeSet::from(["demo"]), &there), ["d"]);
    }
}
