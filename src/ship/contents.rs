//! Collects what a release of an environment contains, and checks that its tests have passed on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use crate::cli::options::{Options, PackFormat};
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Spawn, finish_or_kill};
use crate::lock::licences::Licences;
use crate::lock::sbom::BillOfMaterials;
use crate::lockfile::document::LockDocument;
use crate::lockfile::index::{LockIndex, lock_path};
use crate::lockfile::verify::{self, shown_path};
use crate::model::pep508::canonical_name;
use crate::model::{Environment, Interpreter, InterpreterLookup as _, ProjectSettings};
use crate::plan::Plan;
use crate::runtime::cache;
use crate::runtime::python::PythonDiscovery;
use crate::ship::bytecode::Compiler;
use crate::ship::facts::ReleaseFacts;
use crate::ship::formats;
use crate::ship::interpreter;
use crate::ship::manifest::{ConsoleScript, Manifest, MemberKind, PythonPart, content_digest};
use crate::ship::packages::{self, PackageSelection, PackedPackages};
use crate::ship::piece::{Measured, Origin, Part, Piece, measure};
use crate::ship::project_files;
use crate::ship::provenance::{self, Commit, PassedTests, Provenance};
use crate::ship::refusal::Refusal;
use crate::ship::scripts::Launch;
use crate::ship::settings::PackSettings;
use crate::ship::start::{self, StartCheck};
use crate::ship::target;
use crate::ship::tested::{self, TestedFiles};

/// The time of members without a commit: the earliest that every archive format can express.
pub const EARLIEST: u64 = 315_532_800;
const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";

/// A release that is ready to be written.
#[derive(Debug)]
pub struct PackedRelease {
    pub manifest: Manifest,
    pub members: Vec<Measured>,
    pub facts: ReleaseFacts,
}

/// The contents of a release, and what is known of them.
pub struct ReleaseContents {
    environment: Environment,
    project: ProjectSettings,
    settings: PackSettings,
    interpreter: Arc<Interpreter>,
    python_path: String,
    packages: PackedPackages,
    /// The name and the version of the project.
    identity: (String, String),
    lock: (String, String, LockDocument),
    commit: Option<Commit>,
    source_date: u64,
    members: Vec<Measured>,
    /// The folder on the target machine, for formats that are not relocatable.
    prefix: String,
    /// The words of the command.
    words: Vec<String>,
}

impl ReleaseContents {
    /// Reads what an environment that was just built contains.
    pub fn collect(
        plan: &Plan,
        discovery: &PythonDiscovery,
        options: &Options,
        (name, settings, interrupt): (&str, &PackSettings, &Interrupt),
    ) -> Result<Self> {
        let environment = plan.environment(name)?;
        let project = plan.project()?;
        let only_python = || {
            let reason = format!("`{name}` is not an environment of Python alone, and only such can be packed");
            Refusal::new(reason).help("pack the parts of other languages with their own tools")
        };
        if !environment.has_python() || environment.runtimes.len() > 1 {
            return Err(only_python().into());
        }
        let interpreter = discovery
            .find(&environment.python.base_python)
            .ok_or_else(|| Refusal::new(format!("the interpreter of `{name}` is gone")))?;
        interpreter::check(&interpreter)?;
        let lock = locked(&project, name)?;
        let commit = commit(&project, options, interrupt);
        let source_date = source_date(options, commit.as_ref())?;
        let format = options.ship.format;
        let own = own_name(&environment, &project, &interpreter, &lock.2);
        let name = own.clone().or_else(|| project_name(&project)).unwrap_or_else(|| canonical_name(&environment.name));
        formats::check(format, &name, settings)?;
        let prefix = settings.prefix.clone().unwrap_or_else(|| format!("/opt/{name}"));
        let launch = match format {
            PackFormat::Tar => Launch::Relative,
            PackFormat::Oci | PackFormat::Deb => Launch::Absolute(format!("{prefix}/{}/bin/python", packages::FOLDER)),
        };
        let packages = packages(&environment, &interpreter, &lock.2, (own.as_deref(), &launch))?;
        let version = own.as_deref().and_then(|own| packages.version_of(own)).unwrap_or("0").to_owned();
        let mut pieces = packages.pieces.clone();
        pieces.extend(project_files::pieces(&project.root, &project.work_dir, &settings.include)?);
        let python_path = if settings.is_bundled {
            let packed = interpreter::pieces(&interpreter)?;
            pieces.extend(packed.pieces);
            packed.path
        } else {
            interpreter.system_executable.display().to_string()
        };
        pieces.extend(environment_pieces(&interpreter, &python_path));
        let words = start::words(&environment, settings)?;
        // An image may have no shell.
        if !words.is_empty() && format != PackFormat::Oci {
            pieces.push(start::script(&words, settings));
        }
        let pieces = project_files::without_excluded(pieces, &settings.exclude)?;
        let cache = cache::folder(&options.process.variables).unwrap_or_else(|| project.work_dir.join(".envo"));
        let cache = cache.join("compiled-1");
        let compiler = Compiler { interpreter: &interpreter, cache: &cache, interrupt };
        let compiled = compiler.compiled(&pieces)?;
        let members = measure([pieces, compiled].concat(), &forbidden(&project, &environment))?;
        let digests = digests(&members);
        if let Some(refusal) = PackageSelection::altered(&packages, &digests, &interpreter.layout.purelib) {
            return Err(refusal.into());
        }
        StartCheck { root: &project.root, interpreter: &interpreter, members: &members, settings, format }
            .check(&words)?;
        let settings = settings.clone();
        Ok(Self {
            environment,
            project,
            settings,
            interpreter,
            python_path,
            packages,
            identity: (name, version),
            lock,
            commit,
            source_date,
            members,
            prefix,
            words,
        })
    }

    /// The time of everything in the release, in seconds since 1970.
    pub fn source_date(&self) -> u64 {
        self.source_date
    }

    /// Checks the tests and describes the release. `timestamp`: its source date in ISO 8601.
    pub fn release(self, untested: bool, timestamp: &str) -> Result<PackedRelease> {
        let tests = self.passed_tests(untested)?;
        let members: Vec<_> = self.members.iter().map(|one| one.member.clone()).collect();
        let content = content_digest(&members);
        let provenance = Provenance {
            commit: self.commit.clone(),
            lock: (self.lock.0.clone(), self.lock.1.clone()),
            tests,
            is_untested: untested,
            source_date: self.source_date,
        };
        let described = [(provenance::PATH, provenance.json()), (provenance::SBOM, self.bill_of_materials(timestamp))];
        let described = described.map(|(path, value)| {
            let text = format!("{}\n", serde_json::to_string_pretty(&value).unwrap_or_default());
            Piece::new(path, Origin::Bytes(text.into_bytes()), Part::Application)
        });
        let mut all = measure(described.to_vec(), &[])?;
        all.extend(self.members);
        all.sort_by(|one, other| one.member.path.cmp(&other.member.path));
        let members = all.iter().map(|one| one.member.clone()).collect();
        let metadata = self.packages.metadata_of(&self.identity.0);
        let facts = ReleaseFacts {
            start_words: start::absolute(&self.words, &all, &self.prefix),
            prefix: self.prefix.clone(),
            service: self.environment.service.clone(),
            settings: self.settings.clone(),
            created: timestamp.to_owned(),
            commit: self.commit.clone(),
            metadata,
            licences: self.packages.licences(&self.identity.0),
        };
        let is_packed = |script: &ConsoleScript| {
            let path = format!("{}/bin/{}", packages::FOLDER, script.name);
            all.iter().any(|one| one.member.path == path)
        };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            name: self.identity.0,
            version: provenance::version(&self.identity.1, self.commit.as_ref(), &content),
            environment: self.environment.name,
            content,
            source_date: self.source_date,
            keep: self.settings.keep,
            start: self.words,
            python: PythonPart { version: dotted(&self.interpreter), path: self.python_path },
            target: target::of(&all),
            scripts: self.packages.scripts().into_iter().filter(is_packed).collect(),
            members,
        };
        // What would be refused later is refused now.
        let manifest = Manifest::parse(&manifest.json())?;
        Ok(PackedRelease { manifest, members: all, facts })
    }

    /// The tests that have passed on exactly these files.
    fn passed_tests(&self, untested: bool) -> Result<Vec<PassedTests>, Refusal> {
        let python = tested::identity(&self.interpreter);
        let mut passed = Vec::new();
        for environment in &self.settings.tests {
            let found = TestedFiles::read(&self.project.work_dir, environment);
            let reason = match &found {
                None => Some("there is no record of a complete run that has passed".to_owned()),
                Some(found) => found.differs(&self.members, &python),
            };
            match (found, reason) {
                (Some(found), None) => {
                    passed.push(PassedTests { environment: environment.clone(), passed: found.passed })
                }
                (_, reason) if !untested => {
                    let reason = reason.unwrap_or_default();
                    let reason =
                        format!("the tests of `{environment}` have not passed on exactly these files: {reason}");
                    let help = format!("`envo run -e {environment}`, then pack again; or pack with --untested");
                    return Err(Refusal::new(reason).help(help));
                }
                _ => {}
            }
        }
        Ok(passed)
    }

    fn bill_of_materials(&self, timestamp: &str) -> serde_json::Value {
        let is_shipped = |name: &str| self.packages.distributions.iter().any(|one| one.name == *name);
        let mut lock = self.lock.2.clone();
        lock.packages.retain(|package| is_shipped(&package.name));
        let licences: Licences = self
            .packages
            .distributions
            .iter()
            .filter_map(|one| Some(((one.name.clone(), one.version.clone()), one.licence.clone()?)))
            .collect();
        let bill = BillOfMaterials {
            project: &self.identity.0,
            locks: &[(self.environment.name.clone(), lock)],
            graphs: &[],
            languages: &[],
            licences: &licences,
            timestamp,
        };
        let mut document = bill.document();
        let version = dotted(&self.interpreter);
        let python = json!({"type": "platform", "bom-ref": format!("python:{version}"), "name": "CPython", "version": version,
            "cpe": format!("cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*")});
        if let Some(components) = document["components"].as_array_mut().filter(|_| self.settings.is_bundled) {
            components.push(python);
        }
        document
    }
}

/// The lock of an environment: its path, its digest and its contents.
fn locked(project: &ProjectSettings, name: &str) -> Result<(String, String, LockDocument)> {
    let index = LockIndex::read(&project.root).map_err(ConfigError::from)?;
    let not_locked = || {
        Refusal::new(format!("`{name}` has no lock of its own, so what it contains is not fixed"))
            .help(format!("`envo lock -e {name}`"))
    };
    let entry = index.entries.get(name).filter(|entry| !entry.lock.is_empty()).ok_or_else(not_locked)?;
    let document = verify::read(project, name, entry).map_err(ConfigError::from)?;
    Ok((shown_path(project, &lock_path(project, name)), entry.lock.clone(), document))
}

/// The normalised name of the project, if its package is in the environment.
fn own_name(
    environment: &Environment,
    project: &ProjectSettings,
    interpreter: &Interpreter,
    lock: &LockDocument,
) -> Option<String> {
    environment.package.packaging.as_ref()?;
    let site = environment.folders.env_dir.join(&interpreter.layout.purelib);
    let is_own =
        |one: &packages::Distribution| one.is_local && !lock.packages.iter().any(|other| other.name == one.name);
    project_name(project).or_else(|| packages::installed(&site).into_iter().find(is_own).map(|one| one.name))
}

fn project_name(project: &ProjectSettings) -> Option<String> {
    crate::lock::project_name(project).map(|name| canonical_name(&name))
}

fn packages(
    environment: &Environment,
    interpreter: &Interpreter,
    lock: &LockDocument,
    (project, launch): (Option<&str>, &Launch),
) -> Result<PackedPackages, Refusal> {
    let locked: BTreeSet<String> = lock.packages.iter().map(|package| package.name.clone()).collect();
    let selection = PackageSelection {
        env_dir: &environment.folders.env_dir,
        libraries: &interpreter.layout.purelib,
        locked: &locked,
        project,
        launch,
    };
    selection.pieces()
}

/// What makes the packages an environment of the interpreter: without `home`, the interpreter is found through the link.
fn environment_pieces(interpreter: &Interpreter, python_path: &str) -> Vec<Piece> {
    let is_bundled = !python_path.starts_with('/');
    let target = if is_bundled { format!("../../{python_path}") } else { python_path.to_owned() };
    let version = dotted(interpreter);
    let home = Path::new(python_path).parent().unwrap_or(Path::new("/")).display();
    let home = if is_bundled { String::new() } else { format!("home = {home}\n") };
    let text = format!("{home}include-system-site-packages = false\nversion = {version}\n");
    let names = ["python".to_owned(), "python3".to_owned(), format!("python{}", interpreter.dotted_version())];
    // One link each: a link to a link is not followed by every Python.
    let link = |name: String| {
        Piece::new(format!("{}/bin/{name}", packages::FOLDER), Origin::Link(target.clone()), Part::Interpreter)
    };
    let configuration = Piece::new("env/pyvenv.cfg", Origin::Bytes(text.into_bytes()), Part::Interpreter);
    names.into_iter().map(link).chain([configuration]).collect()
}

/// Folders of this machine that no text of a release may name.
fn forbidden(project: &ProjectSettings, environment: &Environment) -> Vec<String> {
    let mut folders = vec![environment.folders.env_dir.display().to_string(), project.work_dir.display().to_string()];
    // A short path is a common word in other paths.
    if project.root.components().count() > 3 {
        folders.push(project.root.display().to_string());
    }
    folders
}

/// The digests of all files, by their paths.
fn digests(members: &[Measured]) -> BTreeMap<&str, &str> {
    let mut digests = BTreeMap::new();
    for one in members {
        if let MemberKind::File { sha256, .. } = &one.member.kind {
            digests.insert(one.member.path.as_str(), sha256.as_str());
        }
    }
    digests
}

fn dotted(interpreter: &Interpreter) -> String {
    format!("{}.{}", interpreter.dotted_version(), interpreter.version.micro)
}

/// The commit that the project is at, if it is in a repository of git.
fn commit(project: &ProjectSettings, options: &Options, interrupt: &Interrupt) -> Option<Commit> {
    let ask = |arguments: &[&str]| {
        // The owner of the files does not matter for reading.
        let words = ["-c", "safe.directory=*", "-C"].map(str::to_owned).into_iter();
        let words = words.chain([project.root.display().to_string()]);
        let words = words.chain(arguments.iter().map(|word| (*word).to_owned()));
        let (code, out, _) =
            finish_or_kill(Spawn::new("git", words, options.process.variables.clone()), interrupt).ok()?;
        (code == 0).then(|| String::from_utf8_lossy(&out).trim().to_owned())
    };
    let said = ask(&["log", "-1", "--format=%H %ct %an <%ae>"])?;
    let (id, rest) = said.split_once(' ')?;
    let (time, author) = rest.split_once(' ')?;
    let is_modified = !ask(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(Commit { id: id.to_owned(), author: author.to_owned(), time: time.parse().ok()?, is_modified })
}

/// <https://reproducible-builds.org/specs/source-date-epoch/>
fn source_date(options: &Options, commit: Option<&Commit>) -> Result<u64, ConfigError> {
    let said = options.process.variables.text(SOURCE_DATE).filter(|said| !said.is_empty());
    let Some(said) = said else { return Ok(commit.map_or(EARLIEST, |commit| commit.time)) };
    let seconds = said.parse().ok().filter(|seconds| *seconds <= u64::from(u32::MAX));
    seconds.ok_or_else(|| {
        ConfigError::handled(format!("{SOURCE_DATE} is `{said}`, must be a number of seconds since 1970"))
    })
}
