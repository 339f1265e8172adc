//! Runtimes: how the program an environment is made for is found, and how an environment is made from it. Python, which
//! every environment has unless it says otherwise, has a room of its own; any other language is one file that implements
//! [`Runtime`] and one row of [`RUNTIMES`]. No other room knows a language by name.

pub mod cache;
pub mod checksums;
pub mod failure;
pub mod fetch;
pub mod fingerprint;
mod go;
pub mod locking;
/// The worked example of docs/runtimes.md.
#[cfg(test)]
mod lua_example;
mod manifest;
mod node;
pub mod outdated;
pub mod packing;
pub mod programs;
pub mod python;
pub mod registry;
mod ruby;
mod rust;
mod system;

use std::path::{Path, PathBuf};

use crate::model::EnvVariables;
use crate::model::runtime::RuntimeVersion;
use crate::runtime::failure::FailurePatterns;
use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest};
use crate::runtime::packing::{PackRequest, PackageDelivery, PackageForm};

/// Every runtime besides Python.
pub static RUNTIMES: &[&dyn Runtime] =
    &[&node::NodeRuntime, &ruby::RubyRuntime, &go::GoRuntime, &rust::RustRuntime, &system::SystemRuntime];

/// The runtime of that name.
pub fn named(name: &str) -> Option<&'static dyn Runtime> {
    RUNTIMES.iter().copied().find(|runtime| runtime.name() == name)
}

/// A language that environments can be made for. Implementations decide; nothing here starts a process.
pub trait Runtime: Send + Sync {
    /// As `runtime` and factors name it.
    fn name(&self) -> &'static str;

    /// The program that is looked for; `None` for a runtime that has none of its own.
    fn program(&self) -> Option<&'static str>;

    /// What makes the program say its version.
    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    /// The version in what the program said: the first word that looks like one.
    fn version(&self, answer: &str) -> Option<RuntimeVersion> {
        answer.split_whitespace().find_map(|word| {
            let word = word.strip_prefix(self.name()).unwrap_or(word);
            word.trim_start_matches('v')
                .starts_with(|letter: char| letter.is_ascii_digit())
                .then(|| RuntimeVersion::parse(word))?
        })
    }

    /// What the digits of a factor mean, `31` of `ruby31` for example.
    fn factor_version(&self, digits: &str) -> String {
        digits.to_owned()
    }

    /// Folders in which version managers keep the program, as globs; `~` and `$NAME` stand for what they do in a shell.
    fn locations(&self) -> &'static [&'static str] {
        &[]
    }

    /// Programs that belong to the main one and lie beside it.
    fn companions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Files that make a folder a project of the language.
    fn manifests(&self) -> &'static [&'static str] {
        &[]
    }

    /// How a person gets the runtime, for the message that it is missing.
    fn remedy(&self) -> &'static str {
        ""
    }

    /// The requirement of the Python package index under which the runtime can be had, for the version that is wished.
    fn wheel(&self, _version: Option<&str>) -> Option<RuntimeWheel> {
        None
    }

    /// The packages of npm's registry in which the runtime can be had for this machine.
    fn npm_packages(&self) -> Option<NpmPackages> {
        None
    }

    /// Globs of variables that pass to the environment's commands besides those of `pass_env`.
    fn passes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether commands may call any program of the machine.
    fn allows_everything(&self) -> bool {
        false
    }

    /// What commands need to find what is installed in `place`.
    fn surroundings(&self, place: &RuntimeLocation<'_>) -> RuntimeVariables;

    /// What belongs into the environment and how it gets there.
    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String>;

    /// What `package` says for the project to be built and installed as the language's own package; `None` when there is
    /// no such thing.
    fn package(&self) -> Option<PackageForm> {
        None
    }

    /// How the package is built. [`Place::project`] is the folder of the project.
    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        Err(format!("{} has no packages ({})", self.name(), request.place.project.display()))
    }

    /// How packages get into an environment that has its [`Runtime::contents`].
    fn deliver(&self, place: &RuntimeLocation<'_>, _packages: &[PathBuf]) -> PackageDelivery {
        PackageDelivery::Programs(place.folder.join("bin"))
    }

    /// What its tools print when they fail, for the message that says what helps.
    fn failures(&self) -> FailurePatterns {
        &[]
    }

    /// The command with which a person brings the lock of the project in `project` up to date.
    fn lock_command(&self, _project: &Path) -> &'static str {
        ""
    }

    /// How the language's own lock is written: `None` when there is nothing to lock, or no lock in the language.
    ///
    /// What the project's own manifest names is locked beside it (`package-lock.json`, `Gemfile.lock`, `go.sum`,
    /// `Cargo.lock`), and from then on [`Runtime::contents`] installs exactly that. What the environment's own setting
    /// names (`node_deps`) is locked in [`LockRequest::folder`], and [`Runtime::contents`] installs exactly that when
    /// [`Place::lock`] is this folder.
    ///
    /// To lock: make [`Place::folder`], write the files, run the steps, and move each result from where it was made to
    /// where it is kept once all of them succeeded; one that is written in place has to be put back when they did not.
    /// [`crate::builder`] does so in `Site::lock_languages`. To see whether a lock is stale, compare `inputs`, for which
    /// nothing is started.
    fn locking(&self, _request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        Ok(None)
    }

    /// How the language's tool is asked for newer versions of what is locked in `file`, one of the results of
    /// [`Runtime::locking`]; `None` for what is no lock, and where the tool cannot say. It may be asked in the folder where
    /// the lock is kept, and in the one where it is made, with the files that are needed there.
    fn newer(&self, _file: &LockFile) -> Option<outdated::OutdatedQuery> {
        None
    }
}

/// Where a runtime's part of an environment is.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeLocation<'a> {
    pub env_dir: &'a Path,
    /// What is installed goes here; another folder while it is being installed.
    pub folder: &'a Path,
    /// The root of the whole project, from which paths in its settings are meant.
    pub root: &'a Path,
    /// The folder with the language's manifest.
    pub project: &'a Path,
    pub version: Option<&'a RuntimeVersion>,
    /// The folder with the lock of the environment's own dependencies, from which they are to be installed exactly; `None`
    /// when they are not locked.
    pub lock: Option<&'a Path>,
    /// The variables the environment's commands have so far.
    pub variables: &'a EnvVariables,
}

/// What a runtime adds to the environment's commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeVariables {
    /// Folders of programs.
    pub paths: Vec<PathBuf>,
    pub variables: Vec<(String, String)>,
}

/// What is to be installed.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeInstallRequest<'a> {
    pub place: RuntimeLocation<'a>,
    /// In the runtime's own notation.
    pub dependencies: &'a [String],
}

/// What a runtime's part of an environment consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeContents {
    /// Files to write first, relative to [`Place::folder`].
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Links to make beside them.
    pub links: Vec<RuntimeLink>,
    /// Commands to run then, in order.
    pub steps: Vec<InstallStep>,
    /// Everything the result depends on, besides the runtime itself. When it is the same, nothing needs to be done.
    pub inputs: Vec<String>,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLink {
    /// Relative to [`Place::folder`].
    pub place: PathBuf,
    pub target: PathBuf,
}

/// One command of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallStep {
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// Set for this command besides those of [`Runtime::surroundings`].
    pub variables: Vec<(String, String)>,
    /// The setting or file it is done for, for the message when it fails.
    pub cause: String,
    /// How it is tried once more when an index could not be reached; `None` where the tool does so by itself.
    pub offline: Option<OfflineSettings>,
}

/// What makes a tool do with what its caches have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfflineSettings {
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// A folder that exists only for this time, and the files that it has links to.
    pub gathered: Option<(PathBuf, Vec<PathBuf>)>,
}

/// A wheel that holds a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeWheel {
    /// For pip.
    pub requirement: String,
    /// The folder in the wheel that has `bin` in it.
    pub root: &'static str,
    /// Links to make in `bin`, each with where it leads: wheels cannot hold links.
    pub links: &'static [(&'static str, &'static str)],
}

/// A runtime in packages of npm's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NpmPackages {
    /// The package with the program, in `bin`; its versions are the program's.
    pub program: &'static str,
    /// Others that belong to it, each with the folder it is unpacked into.
    pub beside: &'static [(&'static str, &'static str)],
    /// Links to make in `bin`, each with where it leads.
    pub links: &'static [(&'static str, &'static str)],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_documentation_does_what_it_says() {
        assert!(include_str!("../../docs/runtimes.md").contains(include_str!("lua_example.rs")));
        let lua = lua_example::LuaRuntime;
        let version = lua.version("Lua 5.4.6  Copyright (C) 1994-2023 Lua.org, PUC-Rio").unwrap();
        assert_eq!((version.to_string().as_str(), lua.factor_version("54").as_str()), ("5.4.6", "5.4"));
        let variables = EnvVariables::default();
        let place = RuntimeLocation {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/lua"),
            root: Path::new("/p"),
            project: Path::new("/p"),
            version: Some(&version),
            lock: None,
            variables: &variables,
        };
        let dependencies = ["busted 2.2.0".to_owned(), "./rock.rockspec".to_owned()];
        let contents = lua.contents(&RuntimeInstallRequest { place, dependencies: &dependencies }).unwrap();
        let steps: Vec<String> = contents.steps.iter().map(|step| step.argv.join(" ")).collect();
        let install = "luarocks --lua-version 5.4 install --tree /e/lua";
        assert_eq!(steps, [format!("{install} busted 2.2.0"), format!("{install} /p/./rock.rockspec")]);
        let surroundings = lua.surroundings(&place);
        assert_eq!(surroundings.paths, [Path::new("/e/lua/bin")]);
        assert!(surroundings.variables[0].1.starts_with("/e/lua/share/lua/5.4/?.lua;"));
    }
}
