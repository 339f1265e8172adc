//! An environment as the modules after `plan` see it: typed values, without their locations in the
//! configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::requirements::RequirementText;
use super::runtime::{DEFAULT, ProjectPackage, RuntimeRequirement};
use super::secret::SecretVariable;
use super::service::AddressUse;
use super::{Command, Deferred, Runner, ServiceSettings};

/// The purpose of an environment. tox writes the class name into `.tox-info.json`, so both can share one
/// folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EnvironmentKind {
    /// Runs commands.
    Run,
    /// Builds the project through its PEP 517 backend.
    Pep517Package,
    /// Builds the project with commands of its own (`package = external`).
    CommandPackage,
}

impl EnvironmentKind {
    pub fn is_package(self) -> bool {
        self != Self::Run
    }
}

/// `package`: which build of the project is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind {
    Wheel,
    Sdist,
    /// An sdist from which a wheel is built.
    SdistWheel,
    Editable,
    EditableLegacy,
    DepsOnly,
    External,
}

impl PackageKind {
    /// The kind with this name; `None` for any other word, which another module handles.
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "wheel" => Self::Wheel,
            "sdist" => Self::Sdist,
            "sdist-wheel" => Self::SdistWheel,
            "editable" => Self::Editable,
            "editable-legacy" => Self::EditableLegacy,
            "deps-only" => Self::DepsOnly,
            "external" => Self::External,
            _ => return None,
        })
    }

    /// Whether it is specific to one interpreter, so that an interpreter like the environment's own has to
    /// build it.
    pub fn is_of_interpreter(self) -> bool {
        matches!(self, Self::Wheel | Self::SdistWheel | Self::Editable)
    }
}

/// The environment that determines the requirements of an sdist of the external builder
/// `package_environment`.
pub fn sdist_describer(package_environment: &str) -> String {
    format!("{package_environment}_sdist_meta")
}

/// How a run environment gets the project: `None` in [`PackageRole::packaging`] if it does not.
#[derive(Debug, Clone)]
pub struct Packaging {
    pub kind: PackageKind,
    /// The environment that builds the package (`.pkg`).
    pub package_environment: String,
    /// The environment that builds wheels for this interpreter, if that is another one (`.pkg-cpython312`).
    /// Its name depends on the interpreter; a missing interpreter is the environment's own failure, so it is
    /// looked up late.
    pub wheel_environment: Deferred<Option<String>>,
    pub extras: Vec<String>,
}

/// The four times of an interrupt: wait, SIGINT, wait, SIGTERM, wait, SIGKILL.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Timeouts {
    pub suicide: Duration,
    pub interrupt: Duration,
    pub terminate: Duration,
}

/// How the virtual environment is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreationSettings {
    /// Whether an existing environment is removed first.
    pub recreate: bool,
    pub system_site_packages: bool,
    pub always_copy: bool,
    pub download: bool,
    /// A PEP 440 requirement on the virtualenv that creates the environment; empty for the current one. For a
    /// Python that the current one has dropped, the default is the last that supports it; the runtime may
    /// emulate that one.
    pub virtualenv_spec: String,
    pub seeds: Seeds,
    /// The shell prompt; `None`: the one in virtualenv's variables, or the folder's name.
    pub prompt: Option<String>,
}

/// The selection of packages that a new environment starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seeds {
    #[default]
    Virtualenv,
    /// What `uv venv --seed` installs.
    Uv,
    /// Only pip: a layer finds the others in its base.
    Pip,
    None,
}

/// `installer`: the program that installs packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InstallerChoice {
    /// uv if possible, else pip.
    #[default]
    Automatic,
    Pip,
    Uv,
}

impl InstallerChoice {
    /// The choice with that name; empty is automatic, `None` any other word.
    pub fn named(text: &str) -> Option<Self> {
        match text.trim() {
            "" | "auto" => Some(Self::Automatic),
            "pip" => Some(Self::Pip),
            "uv" => Some(Self::Uv),
            _ => None,
        }
    }
}

/// The settings of the installer.
#[derive(Debug, Clone)]
pub struct InstallSettings {
    /// `install_command` with `{opts}` resolved; `{packages}` still in it. Deferred, since its default
    /// depends on the interpreter's major version.
    pub command: Deferred<Command>,
    /// Whether `install_command` has its default value (then a faster installer may do the work).
    pub command_is_default: bool,
    pub installer: InstallerChoice,
    pub list_dependencies_command: Command,
    pub pip_pre: bool,
    pub constraints: Deferred<RequirementText>,
    pub constrain_package_deps: bool,
    pub use_frozen_constraints: bool,
}

/// The packages that are installed before the project.
#[derive(Debug, Clone)]
pub struct Dependencies {
    pub deps: Deferred<RequirementText>,
    /// Normalised names, sorted.
    pub groups: Vec<String>,
    /// Normalised names, sorted.
    pub extras: Vec<String>,
    /// A PEP 751 lock file, relative to the package root; empty if none is configured.
    pub pylock: String,
    /// The platforms that a lock is for, as written; empty: all.
    pub platforms: Vec<String>,
}

/// The command lists, each read when it is needed.
#[derive(Debug, Clone)]
pub struct CommandLists {
    pub recreate: Deferred<Vec<Command>>,
    pub extra_setup: Deferred<Vec<Command>>,
    pub pre: Deferred<Vec<Command>>,
    pub main: Deferred<Vec<Command>>,
    pub post: Deferred<Vec<Command>>,
    pub ignore_errors: bool,
    pub retries: u32,
    /// `interrupt_post_commands`: run `commands_post` even after an interrupt.
    pub post_after_interrupt: bool,
}

/// The variables of an environment's processes, before they are combined with those of this process.
#[derive(Debug, Clone)]
pub struct VariableSettings {
    /// Globs, matched without regard to case.
    pub pass: Vec<String>,
    /// Globs excluded again.
    pub disallow: Vec<String>,
    /// `set_env` with markers and files resolved and tox's own additions, in order. Deferred, since values
    /// may refer to the environment's own paths.
    pub set: Deferred<Vec<(String, String)>>,
    /// The variables among them that come from the configuration, in which fields of services are filled in;
    /// braces from other sources are escaped (see [`super::literal`]).
    pub written: Deferred<Vec<(String, String)>>,
    /// The variables whose values are fetched when commands run.
    pub secrets: Vec<SecretVariable>,
}

/// Builder settings of a packaging environment.
#[derive(Debug, Clone)]
pub struct PackageBuild {
    pub package_root: PathBuf,
    /// Where metadata is prepared.
    pub meta_dir: PathBuf,
    /// Where packages are built.
    pub package_dir: PathBuf,
    /// Start a new backend process for each hook.
    pub fresh_subprocess: bool,
    /// PEP 517 config settings by hook name (`build_wheel`, …), each a list of key and value.
    pub config_settings: Vec<(String, Vec<(String, Value)>)>,
    /// `package_glob` of an external builder.
    pub package_glob: String,
}

/// The settings of tox-uv's runners. <https://github.com/tox-dev/tox-uv>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UvSettings {
    /// Whether pip is installed in the environment.
    pub seed: bool,
    /// `--python-preference`; `none` leaves it to uv.
    pub python_preference: String,
    /// `--resolution`; empty leaves it to uv.
    pub resolution: String,
    /// The project, if uv builds and installs it itself (`package = uv` or `uv-editable`).
    pub project: Option<UvProject>,
    /// The lock file that the environment is filled from, if any.
    pub sync: Option<UvSync>,
}

/// A project that is passed to uv unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UvProject {
    pub path: PathBuf,
    pub extras: Vec<String>,
    pub editable: bool,
}

/// The arguments of `uv sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UvSync {
    /// How the project itself is installed: `editable`, `wheel`, `uv`, `uv-editable` or `skip`.
    pub package: String,
    /// The folder of `pyproject.toml` and `uv.lock`.
    pub package_root: PathBuf,
    pub extras: Vec<String>,
    pub groups: Vec<String>,
    pub only_groups: Vec<String>,
    pub no_default_groups: bool,
    /// Whether to fail if the lock file is out of date.
    pub locked: bool,
    pub flags: Vec<String>,
}

/// The script that an environment is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptSource {
    /// Its path as written, relative to the project's root; empty if none is configured.
    pub path: String,
    /// Whether `base_python` is set, which only the script may do.
    pub sets_base_python: bool,
}

/// One environment, resolved as far as possible before anything runs.
#[derive(Debug, Clone)]
pub struct Environment {
    pub name: String,
    pub kind: EnvironmentKind,
    /// The `runner` or packager's name (`virtualenv`, `uv-venv-runner`, …).
    pub runner: String,
    pub description: Deferred<String>,
    pub folders: EnvFolders,
    pub python: PythonChoice,
    /// A Python regular expression that the platform must match; empty: any.
    pub platform: String,
    pub creation: CreationSettings,
    pub contents: ContentSettings,
    pub package: PackageRole,
    pub variables: VariableSettings,
    pub execution: ExecutionSettings,
    pub relations: EnvRelations,
    pub service: Option<ServiceSettings>,
    /// The entries of `runtime`, in order; empty: only Python.
    pub runtimes: Vec<RuntimeRequirement>,
}

/// The folders of one environment.
#[derive(Debug, Clone)]
pub struct EnvFolders {
    pub env_dir: PathBuf,
    /// Emptied at the start of each run.
    pub tmp_dir: PathBuf,
    pub log_dir: PathBuf,
}

/// The interpreters that an environment can be created from.
#[derive(Debug, Clone)]
pub struct PythonChoice {
    /// Interpreter specs in order of preference.
    pub base_python: Vec<String>,
    pub skip_missing_interpreters: bool,
    /// Whether an interpreter may be installed if it is missing.
    pub install_python: bool,
}

/// What is installed into an environment, and how.
#[derive(Debug, Clone)]
pub struct ContentSettings {
    pub installation: InstallSettings,
    pub dependencies: Dependencies,
    /// Only for environments that uv creates and fills.
    pub uv: Option<UvSettings>,
    /// Only for environments of scripts.
    pub script: Option<ScriptSource>,
}

/// How an environment uses or builds the project's package.
#[derive(Debug, Clone)]
pub struct PackageRole {
    pub packaging: Option<Packaging>,
    /// Only for packaging environments.
    pub build: Option<PackageBuild>,
    /// The package in another language than Python that the project is installed as.
    pub package_of_runtime: Option<ProjectPackage>,
}

/// The commands of an environment, and how they run.
#[derive(Debug, Clone)]
pub struct ExecutionSettings {
    pub allowlist_externals: Vec<String>,
    pub timeouts: Timeouts,
    pub commands: CommandLists,
    pub change_dir: Deferred<PathBuf>,
    pub ignore_outcome: bool,
    pub fail_fast: bool,
    pub parallel_show_output: bool,
    /// Whether pytest-xdist is limited to the environment's share of the processors.
    pub parallel_share_cores: bool,
}

/// The other environments that one refers to.
#[derive(Debug, Clone)]
pub struct EnvRelations {
    /// Globs of environments this one runs after.
    pub depends: Vec<String>,
    /// The ones among them whose restart restarts this one: `depends = db:restart`.
    pub restarts_with: Vec<String>,
    /// Where `depends` was inherited from, if not set in the environment's own section.
    pub depends_inherited: Option<InheritedFrom>,
    /// The environment that this one is a layer on.
    pub layer_on: Option<String>,
    /// The uses of service addresses in its variables and commands.
    pub asks: Vec<AddressUse>,
}

/// Where an environment inherits a key from that its own section does not set, for error messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InheritedFrom {
    /// The section and its location: ``"`[testenv]` (tox.ini:4)"``.
    pub from: String,
    /// How to override it, and where: ``"`depends =` in `[testenv:db]`"``.
    pub remedy: String,
}

/// The suffix in `depends` of a service that restarts with the named one.
pub const RESTART: &str = ":restart";

impl Environment {
    /// Whether it contains a Python.
    pub fn has_python(&self) -> bool {
        self.runtimes.is_empty() || self.runtimes.iter().any(|runtime| runtime.name == DEFAULT)
    }

    /// tox's name for the class that creates it.
    pub fn type_name(&self) -> &'static str {
        self.runner().type_name()
    }

    /// The owner of the folder, in `.tox-info.json`: the environment's name and tox's class. tox recreates a layer, which
    /// lacks what it builds itself.
    pub fn identity(&self) -> Value {
        let mut identity = match self.runner() {
            Runner::IgnoreName => json!({"type": self.type_name()}),
            _ => json!({"name": self.name, "type": self.type_name()}),
        };
        if let Some(base) = &self.relations.layer_on {
            identity["layer_on"] = json!(base);
        }
        identity
    }

    fn runner(&self) -> Runner {
        Runner::named(&self.runner).unwrap_or(Runner::Virtualenv)
    }
}
