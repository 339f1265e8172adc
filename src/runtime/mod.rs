//! Finds the programs of runtimes and sets up environments with them. Python, the default runtime, has a module of its
//! own; any other language is one file that implements [`Runtime`] and one row of [`RUNTIMES`]. No other module may
//! know a language by name.

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

/// A language that environments can be made for. Implementations return plain values; they start no process.
pub trait Runtime: Send + Sync {
    /// The name in `runtime` and factors.
    fn name(&self) -> &'static str;

    /// The program to search for; `None` for a runtime without one.
    fn program(&self) -> Option<&'static str>;

    /// Arguments that make the program print its version.
    fn version_arguments(&self) -> &'static [&'static str] {
        &["--version"]
    }

    /// The version in the program's output: the first word that looks like one.
    fn version(&self, answer: &str) -> Option<RuntimeVersion> {
        answer.split_whitespace().find_map(|word| {
            let word = word.strip_prefix(self.name()).unwrap_or(word);
            word.trim_start_matches('v')
                .starts_with(|letter: char| letter.is_ascii_digit())
                .then(|| RuntimeVersion::parse(word))?
        })
    }

    /// The version for the digits of a factor, such as `31` of `ruby31`.
    fn factor_version(&self, digits: &str) -> String {
        digits.to_owned()
    }

    /// Folders in which version managers keep the program, as globs; `~` and `$NAME` are expanded as in a shell.
    fn locations(&self) -> &'static [&'static str] {
        &[]
    }

    /// Programs installed next to the main one.
    fn companions(&self) -> &'static [&'static str] {
        &[]
    }

    /// Files that mark a folder as a project of the language.
    fn manifests(&self) -> &'static [&'static str] {
        &[]
    }

    /// How to install the runtime, for the error that it is missing.
    fn remedy(&self) -> &'static str {
        ""
    }

    /// The wheel in the Python package index that provides the runtime, for the requested version.
    fn wheel(&self, _version: Option<&str>) -> Option<RuntimeWheel> {
        None
    }

    /// The packages in npm's registry that provide the runtime for this machine.
    fn npm_packages(&self) -> Option<NpmPackages> {
        None
    }

    /// Globs of variables that pass to the environment's commands in addition to `pass_env`.
    fn passes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether commands may call any program on the machine.
    fn allows_everything(&self) -> bool {
        false
    }

    /// The variables with which commands find what is installed in `location`.
    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables;

    /// The contents of the environment and the steps that install them.
    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String>;

    /// The value of `package` that builds and installs the project as a package of this language; `None` if there are
    /// no such packages.
    fn package(&self) -> Option<PackageForm> {
        None
    }

    /// The steps that build the package. [`RuntimeLocation::project`] is the folder of the project.
    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        Err(format!("{} has no packages ({})", self.name(), request.location.project.display()))
    }

    /// How packages are installed into an environment that has its [`Runtime::contents`].
    fn deliver(&self, location: &RuntimeLocation<'_>, _packages: &[PathBuf]) -> PackageDelivery {
        PackageDelivery::Programs(location.folder.join("bin"))
    }

    /// Patterns in the tools' output that identify failures.
    fn failures(&self) -> FailurePatterns {
        &[]
    }

    /// The command with which a user updates the lock of the project in `project`.
    fn lock_command(&self, _project: &Path) -> &'static str {
        ""
    }

    /// How the language's own lock is written; `None` if there is nothing to lock or the language has no lock.
    ///
    /// Dependencies of the project's own manifest are locked next to it (`package-lock.json`, `Gemfile.lock`, `go.sum`,
    /// `Cargo.lock`), and from then on [`Runtime::contents`] installs exactly those. Dependencies of the environment's
    /// own setting (`node_deps`) are locked in [`RuntimeLockRequest::folder`], and [`Runtime::contents`] installs
    /// exactly those if [`RuntimeLocation::lock`] is this folder.
    ///
    /// To lock: create [`RuntimeLocation::folder`], write the files, run the steps, and move each result to its final
    /// path once all of them succeeded; if they did not, restore a file that is written at its final path.
    /// [`crate::builder`] does so in `EnvBuilder::lock_runtimes`. To check whether a lock is out of date, compare
    /// `inputs`, which starts nothing.
    fn locking(&self, _request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        Ok(None)
    }

    /// How the language's tool is asked for newer versions of the packages locked in `file`, one of the results of
    /// [`Runtime::locking`]; `None` if the file is not a lock or the tool cannot tell. The query may run in the folder
    /// of the lock, and in the scratch folder with the files it needs.
    fn newer(&self, _file: &LockFile) -> Option<outdated::OutdatedQuery> {
        None
    }
}

/// The paths of a runtime in an environment.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeLocation<'a> {
    pub env_dir: &'a Path,
    /// The installation folder; another folder during the installation.
    pub folder: &'a Path,
    /// The root of the whole project, to which paths in its settings are relative.
    pub root: &'a Path,
    /// The folder with the language's manifest.
    pub project: &'a Path,
    pub version: Option<&'a RuntimeVersion>,
    /// The folder with the lock of the environment's own dependencies, which are then installed exactly; `None` if they
    /// are not locked.
    pub lock: Option<&'a Path>,
    /// The variables of the environment's commands so far.
    pub variables: &'a EnvVariables,
}

/// Variables that a runtime adds to the environment's commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeVariables {
    /// Folders for `PATH`.
    pub paths: Vec<PathBuf>,
    pub variables: Vec<(String, String)>,
}

/// A request to install dependencies.
#[derive(Debug, Clone, Copy)]
pub struct RuntimeInstallRequest<'a> {
    pub location: RuntimeLocation<'a>,
    /// In the runtime's own notation.
    pub dependencies: &'a [String],
}

/// The contents of a runtime in an environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeContents {
    /// Files to write first, relative to [`RuntimeLocation::folder`].
    pub files: Vec<(PathBuf, Vec<u8>)>,
    /// Links to create as well.
    pub links: Vec<RuntimeLink>,
    /// Commands to run next, in order.
    pub steps: Vec<InstallStep>,
    /// All inputs of the result, besides the runtime itself. While they stay the same, nothing needs to be done.
    pub inputs: Vec<String>,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeLink {
    /// Relative to [`RuntimeLocation::folder`].
    pub location: PathBuf,
    pub target: PathBuf,
}

/// One command of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallStep {
    pub argv: Vec<String>,
    pub cwd: PathBuf,
    /// Set for this command in addition to [`Runtime::runtime_variables`].
    pub variables: Vec<(String, String)>,
    /// The setting or file that the command serves, named in the error if it fails.
    pub cause: String,
    /// How to retry when an index cannot be reached; `None` if the tool itself retries from its caches.
    pub offline: Option<OfflineSettings>,
}

/// Settings that make a tool use only its caches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfflineSettings {
    pub arguments: Vec<String>,
    pub variables: Vec<(String, String)>,
    /// A temporary folder, and the files to link into it.
    pub gathered: Option<(PathBuf, Vec<PathBuf>)>,
}

/// A wheel that contains a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeWheel {
    /// For pip.
    pub requirement: String,
    /// The folder in the wheel that contains `bin`.
    pub root: &'static str,
    /// Links to create in `bin`, each with its target: wheels cannot contain links.
    pub links: &'static [(&'static str, &'static str)],
}

/// The npm packages that provide a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NpmPackages {
    /// The package with the program in `bin`; it has the program's versions.
    pub program: &'static str,
    /// Additional packages, each with the folder it is unpacked into.
    pub beside: &'static [(&'static str, &'static str)],
    /// Links to create in `bin`, each with its target.
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
        let location = RuntimeLocation {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/lua"),
            root: Path::new("/p"),
            project: Path::new("/p"),
            version: Some(&version),
            lock: None,
            variables: &variables,
        };
        let dependencies = ["busted 2.2.0".to_owned(), "./rock.rockspec".to_owned()];
        let contents = lua.contents(&RuntimeInstallRequest { location, dependencies: &dependencies }).unwrap();
        let steps: Vec<String> = contents.steps.iter().map(|step| step.argv.join(" ")).collect();
        let install = "luarocks --lua-version 5.4 install --tree /e/lua";
        assert_eq!(steps, [format!("{install} busted 2.2.0"), format!("{install} /p/./rock.rockspec")]);
        let runtime_variables = lua.runtime_variables(&location);
        assert_eq!(runtime_variables.paths, [Path::new("/e/lua/bin")]);
        assert!(runtime_variables.variables[0].1.starts_with("/e/lua/share/lua/5.4/?.lua;"));
    }
}
