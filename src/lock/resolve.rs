//! Runs a resolver to create locks: uv if available, otherwise `pip lock`. Environments are resolved in parallel,
//! identical requests only once; they share the resolver's own cache. Results are normalised but not written.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::execute::interrupt::Interrupt;
use crate::execute::process::{self, ChildInput, ChildOutput, Spawn};
use crate::install::uv_lock::UvLockCommand;
use crate::lock::origins;
use crate::lock::prune::{LockPlatform, without_useless_wheels};
use crate::lockfile::document::{LockDocument, LockedPackage, LockedSource};
use crate::lockfile::error::LockError;
use crate::lockfile::inputs::{LockInputs, without_credentials};
use crate::lockfile::target::LockTarget;
use crate::model::{EnvVariables, ProjectSettings};
use crate::python_text::path::normalized;
use crate::scratch::Scratch;

/// PEP 751 allows no other name, and resolvers require it.
const RESULT: &str = "pylock.envo.toml";

/// uv's option for the Python it builds with.
const PYTHON_OPTION: &str = "--python";

/// uv's exit code if there is no solution.
const NO_SOLUTION: i32 = 1;

/// A resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockResolver {
    Uv {
        program: PathBuf,
        command: UvLockCommand,
    },
    /// The program and arguments that run a pip with `lock`.
    Pip {
        program: PathBuf,
        words: Vec<OsString>,
        indexes: Vec<String>,
    },
}

/// One environment to lock.
#[derive(Debug, Clone)]
pub struct LockRequest<'a> {
    pub environment: &'a str,
    pub project: &'a ProjectSettings,
    pub inputs: &'a LockInputs,
    pub target: LockTarget,
    pub platforms: Vec<LockPlatform>,
    pub resolver: LockResolver,
    /// The variables of the environment's processes.
    pub variables: EnvVariables,
    /// The existing lock: its versions are kept where possible.
    pub before: Option<LockDocument>,
}

/// The result of a resolver.
struct ResolverEnd {
    code: i32,
    /// The lock that it wrote.
    answer: String,
    error: String,
}

impl LockRequest<'_> {
    /// Jobs with the same key have the same result.
    pub fn key(&self) -> String {
        let settings = self.variables.iter().filter(|(name, _)| {
            let name = name.to_string_lossy();
            name.starts_with("PIP_") || name.starts_with("UV_")
        });
        let settings: Vec<_> = settings.collect();
        let before = self.before.as_ref().map(LockDocument::text);
        let asked =
            (&self.inputs.request, &self.inputs.base, self.target.requires_python(), &self.platforms, &self.resolver);
        format!("{asked:?}\0{settings:?}\0{before:?}")
    }

    /// Allows the versions of these packages to change.
    pub fn release(&mut self, names: &[String]) {
        // uv has an option for this; for pip they must not be pinned.
        if let (LockResolver::Pip { .. }, Some(before)) = (&self.resolver, &mut self.before) {
            before.packages.retain(|package| !names.contains(&package.name));
        }
    }

    /// The program that uv builds with, if one is set.
    pub fn builder(&self) -> Option<&Path> {
        let LockResolver::Uv { command, .. } = &self.resolver else { return None };
        let mut words = command.arguments.iter().skip_while(|word| *word != PYTHON_OPTION);
        words.nth(1).map(Path::new)
    }

    /// The same job with another Python, or with any.
    #[must_use]
    pub fn with_builder(&self, python: Option<&Path>) -> Self {
        let mut order = self.clone();
        if let LockResolver::Uv { command, .. } = &mut order.resolver {
            if let Some(at) = command.arguments.iter().position(|word| word == PYTHON_OPTION) {
                command.arguments.drain(at..(at + 2).min(command.arguments.len()));
            }
            let told = python.map(|python| [PYTHON_OPTION.to_owned(), python.display().to_string()]);
            command.arguments.extend(told.into_iter().flatten());
        }
        order
    }

    /// Resolves.
    pub fn resolve(&self, interrupt: &Interrupt) -> Result<LockDocument, LockError> {
        let impossible = |reason: String| LockError::Impossible { environment: self.environment.to_owned(), reason };
        let failed = |error: std::io::Error| impossible(error.to_string());
        // Without an earlier lock there is no file to write.
        let folder = self.before.as_ref().map(|_| Scratch::temporary("envo-lock-"));
        let folder = folder.transpose().map_err(failed)?;
        let folder = folder.as_ref().map(Scratch::path);
        let root = self.project.root.as_path();
        let pins = self.base_pins().map_err(failed)?;
        let base = pins.as_ref().map(|(_folder, file)| file.as_path());
        let (ended, made_in) = match &self.resolver {
            LockResolver::Uv { program, command } => {
                (self.run_uv((program, command), folder, base, interrupt), folder.unwrap_or(root))
            }
            LockResolver::Pip { program, words, .. } => (self.run_pip((program, words), folder, base, interrupt), root),
        };
        let ended = ended.map_err(failed)?;
        if ended.code != 0 {
            return Err(self.explained(ended.code, ended.error));
        }
        let answer = without_useless_wheels(&ended.answer, &self.target, &self.platforms);
        let document =
            LockDocument::parse(&answer).map_err(|reason| impossible(format!("the resolver's answer: {reason}")))?;
        Ok(self.settled(document, made_in))
    }

    /// A file with the versions of the base as constraints, and the folder that it is in.
    fn base_pins(&self) -> std::io::Result<Option<(Scratch, PathBuf)>> {
        let Some(base) = self.inputs.base.as_ref().filter(|base| !base.pins.is_empty()) else { return Ok(None) };
        let folder = Scratch::temporary("envo-layer-")?;
        let file = folder.path().join("pins.txt");
        std::fs::write(&file, base.pins.join("\n"))?;
        Ok(Some((folder, file)))
    }

    /// `folder`: an empty one if there is an earlier lock. Paths in the result are relative to it, else to the project.
    fn run_uv(
        &self,
        (program, command): (&Path, &UvLockCommand),
        folder: Option<&Path>,
        base: Option<&Path>,
        interrupt: &Interrupt,
    ) -> std::io::Result<ResolverEnd> {
        let mut words: Vec<OsString> = command.arguments.iter().map(OsString::from).collect();
        words.extend(["--format".into(), "pylock.toml".into()]);
        words.extend(base.into_iter().flat_map(|file| ["-c".into(), file.into()]));
        let result = folder.map(|folder| folder.join(RESULT));
        if let (Some(before), Some(result)) = (&self.before, &result) {
            std::fs::write(result, seed(before))?;
            words.extend(["--output-file".into(), result.into()]);
        }
        words.push("-".into());
        let mut input = tempfile::tempfile()?;
        input.write_all(command.requirements.as_bytes())?;
        input.rewind()?;
        let mut variables = self.variables.clone();
        command.variables.iter().for_each(|(name, value)| variables.set(name, value));
        let mut spawn = Spawn::new(program, words, variables);
        spawn.stdin = ChildInput::From(input.into());
        spawn.stdout = if result.is_some() { ChildOutput::Null } else { ChildOutput::Pipe };
        let mut ended = self.run(spawn, interrupt)?;
        if let Some(result) = result.filter(|_| ended.code == 0) {
            ended.answer = std::fs::read_to_string(&result)?;
        }
        Ok(ended)
    }

    /// pip accepts only folders below the lock's own, which is the current one when it prints the lock: the project's.
    /// Paths in the result are relative to that.
    fn run_pip(
        &self,
        (program, words): (&Path, &[OsString]),
        folder: Option<&Path>,
        base: Option<&Path>,
        interrupt: &Interrupt,
    ) -> std::io::Result<ResolverEnd> {
        let mut words = words.to_vec();
        words.extend(["--output".into(), "-".into()]);
        words.extend(self.inputs.request.arguments.iter().map(OsString::from));
        words.extend(base.into_iter().flat_map(|file| ["-c".into(), file.into()]));
        let ask = |words: Vec<OsString>| {
            let mut spawn = Spawn::new(program, words, self.variables.clone());
            spawn.stdout = ChildOutput::Pipe;
            self.run(spawn, interrupt)
        };
        let pinned = self.before.as_ref().map(|before| before.pins().join("\n")).filter(|text| !text.is_empty());
        if let (Some(text), Some(folder)) = (pinned, folder) {
            let pins = folder.join("pins.txt");
            std::fs::write(&pins, text)?;
            let ended = ask(words.iter().cloned().chain(["-c".into(), pins.into()]).collect())?;
            if ended.code == 0 {
                return Ok(ended);
            }
        }
        // If versions cannot be kept, try without them.
        ask(words)
    }

    /// The packages of this job's existing lock, each with those that require it: uv's `requirements.txt`.
    pub fn annotated(&self, interrupt: &Interrupt) -> Result<String, LockError> {
        let impossible = |reason: String| LockError::Impossible { environment: self.environment.to_owned(), reason };
        let failed = |error: std::io::Error| impossible(error.to_string());
        let LockResolver::Uv { program, command } = &self.resolver else {
            return Err(impossible("only uv says who requires what".to_owned()));
        };
        let folder = Scratch::temporary("envo-lock-").map_err(failed)?;
        let (result, pins) = (folder.path().join("requirements.txt"), folder.path().join("pins.txt"));
        std::fs::write(&pins, self.before.as_ref().map(LockDocument::pins).unwrap_or_default().join("\n"))
            .map_err(failed)?;
        let words = command.arguments.iter().filter(|word| *word != "--generate-hashes").map(OsString::from);
        let more = ["--annotation-style", "line", "--format", "requirements.txt", "-c"].map(OsString::from);
        let words: Vec<OsString> =
            words.chain(more).chain([pins.into(), "--output-file".into(), result.clone().into(), "-".into()]).collect();
        let mut last = String::new();
        // Packages resolved a moment ago are still cached.
        for offline in ["1", "0"] {
            let input = folder.path().join("input.txt");
            std::fs::write(&input, &command.requirements).map_err(failed)?;
            let mut variables = self.variables.clone();
            command.variables.iter().for_each(|(name, value)| variables.set(name, value));
            variables.set("UV_OFFLINE", offline);
            let mut spawn = Spawn::new(program, words.clone(), variables);
            spawn.stdin = ChildInput::From(File::open(&input).map_err(failed)?.into());
            spawn.stdout = ChildOutput::Null;
            let ended = self.run(spawn, interrupt).map_err(failed)?;
            if ended.code == 0 {
                return std::fs::read_to_string(&result).map_err(failed);
            }
            last = ended.error;
        }
        Err(impossible(last))
    }

    fn run(&self, mut spawn: Spawn, interrupt: &Interrupt) -> std::io::Result<ResolverEnd> {
        spawn.cwd = Some(self.project.root.clone());
        let (code, out, error) = process::finish_or_kill(spawn, interrupt)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(ResolverEnd { code, answer: text(out), error: text(error) })
    }

    fn explained(&self, code: i32, explanation: String) -> LockError {
        let environment = self.environment.to_owned();
        let origins = origins::of(self.project, self.inputs, &explanation);
        let explanation = origins::with_base(self.environment, self.inputs, explanation);
        match &self.resolver {
            LockResolver::Uv { .. } if code == NO_SOLUTION => LockError::Conflict { environment, explanation, origins },
            _ => LockError::Unresolved { environment, explanation, origins },
        }
    }

    /// Normalises the lock, so that it does not depend on where and when it was created.
    fn settled(&self, mut document: LockDocument, made_in: &Path) -> LockDocument {
        document.requires_python = self.target.requires_python();
        document.relocate(made_in, &self.project.lock_dir);
        document.prune(&self.target, &self.platforms);
        if let Some(own) = &self.inputs.asked_of {
            let locks = &self.project.lock_dir;
            document.packages.retain(|package| {
                !matches!(&package.source, Some(LockedSource::Directory { path, .. }) if normalized(&locks.join(path)) == normalized(own))
            });
        }
        let indexes = match &self.resolver {
            LockResolver::Uv { command, .. } => &command.indexes,
            LockResolver::Pip { indexes, .. } => indexes,
        };
        for package in &mut document.packages {
            if package.index.is_none() && package.source.is_none() {
                package.index = index_of(package, indexes);
            }
        }
        let lines = self.inputs.inputs.iter().filter(|input| input.name != "settings");
        document.inputs = lines.map(|input| (input.name.clone(), input.lines.clone())).collect();
        document.packages.sort();
        document
    }
}

/// The index that a package's files come from, if it can be determined.
fn index_of(package: &LockedPackage, indexes: &[String]) -> Option<String> {
    let url = package.files().next()?.url.as_deref()?;
    let same_host = |index: &&String| host(index).is_some() && host(index) == host(url);
    let of_host: Vec<&String> = indexes.iter().filter(same_host).collect();
    let found = match (of_host.as_slice(), indexes) {
        ([one], _) => Some(one.as_str()),
        (_, [one]) => Some(one.as_str()),
        _ if host(url).is_some_and(|host| host == "files.pythonhosted.org") => {
            indexes.iter().map(String::as_str).find(|index| host(index).is_some_and(|host| host == "pypi.org"))
        }
        _ => None,
    };
    found.map(|index| without_credentials(index).trim_end_matches('/').to_owned())
}

fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split('/').next()?;
    Some(authority.rsplit('@').next()?.to_lowercase())
}

/// The names and versions from which uv keeps versions; it reads nothing else.
fn seed(before: &LockDocument) -> String {
    let mut before = before.clone();
    before.packages.retain(|package| package.version.is_some() && package.source.is_none());
    before.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lockfile::document;

    #[test]
    fn a_package_is_said_to_come_from_the_index_that_has_it() {
        let package = |url: &str| LockedPackage {
            wheels: vec![document::LockedFile { url: Some(url.to_owned()), ..document::LockedFile::default() }],
            ..LockedPackage::default()
        };
        let pypi = "https://pypi.org/simple".to_owned();
        let own = "https://u:p@own.example/simple/".to_owned();
        for (url, indexes, expected) in [
            ("https://files.pythonhosted.org/x.whl", vec![pypi.clone()], Some("https://pypi.org/simple")),
            ("https://files.pythonhosted.org/x.whl", vec![own.clone(), pypi.clone()], Some("https://pypi.org/simple")),
            ("https://own.example/x.whl", vec![pypi.clone(), own.clone()], Some("https://own.example/simple")),
            ("https://elsewhere.example/x.whl", vec![pypi.clone(), own.clone()], None),
            ("https://elsewhere.example/x.whl", vec![own], Some("https://own.example/simple")),
        ] {
            assert_eq!(index_of(&package(url), &indexes).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn versions_that_stay_are_those_of_an_index() {
        let text = "lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nversion = \"1\"\n[[packages]]\nname = \"b\"\n\
                    directory = { path = \"x\" }\n";
        let before = LockDocument::parse(text).unwrap();
        assert_eq!(before.pins(), ["a==1"]);
        assert!(!seed(&before).contains("\"b\""));
    }
}
