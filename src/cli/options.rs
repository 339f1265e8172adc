//! The resolved options, from arguments, `TOX_*`/`ENVO_*` variables, the user's `config.ini` and defaults.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

pub use super::verb::Verb;
use crate::model::EnvVariables;

/// `-e`: the named environments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EnvironmentChoice {
    /// None: the configuration's `env_list`.
    #[default]
    Default,
    All,
    /// Names, with braces and ranges already expanded.
    Named(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    pub environments: EnvironmentChoice,
    /// `-m`.
    pub labels: Vec<String>,
    /// `-f`: the outer list is OR, the inner AND.
    pub factors: Vec<Vec<String>>,
    /// `--skip-env`: a Python regular expression matched at the start of the name; empty: none.
    pub skip: String,
    pub slicing: Slicing,
    pub recent: RecentChoice,
}

/// Which of the selected environments are chosen by what happened last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecentChoice {
    /// `--last-failed`.
    pub last_failed: bool,
    /// `--affected`.
    pub affected: bool,
    /// `--base`.
    pub base: Option<String>,
    /// `--explain`.
    pub explain: bool,
    /// The environments that `--watch` has chosen for this run.
    pub watched: Option<Vec<String>>,
}

/// The part of the selected environments that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slicing {
    pub part: SlicePart,
    pub balance: Balance,
    /// `--durations`, absolute.
    pub durations: Option<PathBuf>,
}

/// Which part that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SlicePart {
    #[default]
    Everything,
    /// `--shard`.
    Slice(Shard),
    /// `--after-shards`: those that no slice contains.
    AfterShards,
}

/// One of several slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Shard {
    /// From one.
    pub index: usize,
    pub total: usize,
}

/// `--balance`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    #[default]
    Count,
    Hash,
    Time,
}

/// `--skip-missing-interpreters`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SkipMissing {
    #[default]
    Configured,
    Yes,
    No,
}

/// `-p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parallelism {
    /// All environments at once (`all`).
    Unlimited,
    /// This many; `auto` is already resolved to the number of processors, and 0 is one at a time.
    Limit(usize),
}

/// Options of the verbs that build or run environments; defaults for the others.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOptions {
    pub recreate: bool,
    pub package: PackageOptions,
    pub interpreters: InterpreterOptions,
    pub skip: SkippedSteps,
    pub fail_fast: bool,
    /// Build later environments while commands of earlier ones run (off with `--no-prepare-ahead`).
    pub prepare_ahead: bool,
    /// `--locked`.
    pub locked: bool,
    /// `--no-capture`.
    pub no_capture: bool,
    pub results: ResultFiles,
    /// `None`: do not set PYTHONHASHSEED (`--hashseed notset`).
    pub hash_seed: Option<u32>,
    pub list_dependencies: bool,
    pub parallel: ParallelOptions,
    pub legacy: LegacyOptions,
    pub provision: ProvisionOptions,
    /// `--watch`: run again when files change.
    pub watch: Option<WatchMode>,
}

/// What `--watch` does when files change during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchMode {
    /// Run once more afterwards.
    Queue,
    /// Interrupt the run and start again (`--restart`).
    Restart,
}

/// How the project's package is built and installed.
#[derive(Debug, Clone, PartialEq)]
pub struct PackageOptions {
    pub no_recreate_package: bool,
    pub package_only: bool,
    /// `--installpkg`, absolute.
    pub install_package: Option<PathBuf>,
    pub develop: bool,
}

/// The steps of a run that are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct SkippedSteps {
    pub no_test: bool,
    pub skip_package_install: bool,
    pub skip_environment_install: bool,
    /// `--skip-uv-sync` of tox-uv.
    pub skip_uv_sync: bool,
}

/// The files that a run writes its results to.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultFiles {
    pub result_json: Option<PathBuf>,
    /// `--junit-xml`.
    pub junit_xml: Option<PathBuf>,
}

/// Which interpreters and runtimes a run uses.
#[derive(Debug, Clone, PartialEq)]
pub struct InterpreterOptions {
    pub skip_missing_interpreters: SkipMissing,
    /// `--discover`: interpreters to try first.
    pub discover: Vec<String>,
    /// `--install-python`: let uv install a Python interpreter if none matches.
    pub install_python: bool,
    /// `--install-runtime`: download runtimes that are not installed.
    pub install_runtime: bool,
}

/// How many environments run at a time, and how they are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelOptions {
    pub parallelism: Parallelism,
    pub parallel_live: bool,
    pub parallel_no_spinner: bool,
}

/// Options of the legacy command.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyOptions {
    /// `--pre` of the legacy command.
    pub pip_pre: bool,
    /// `--force-dep` of the legacy command.
    pub force_dependencies: Vec<String>,
    /// `--sitepackages` of the legacy command.
    pub site_packages: bool,
    /// `--alwayscopy` of the legacy command.
    pub always_copy: bool,
}

/// Whether the programs of `requires` may be installed.
#[derive(Debug, Clone, PartialEq)]
pub struct ProvisionOptions {
    /// `--no-provision`: `None` not given; `Some("")` given without a file.
    pub no_provision: Option<String>,
    pub no_recreate_provision: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            recreate: false,
            package: PackageOptions {
                no_recreate_package: false,
                package_only: false,
                install_package: None,
                develop: false,
            },
            interpreters: InterpreterOptions {
                skip_missing_interpreters: SkipMissing::Configured,
                discover: Vec::new(),
                install_python: false,
                install_runtime: false,
            },
            skip: SkippedSteps {
                no_test: false,
                skip_package_install: false,
                skip_environment_install: false,
                skip_uv_sync: false,
            },
            fail_fast: false,
            prepare_ahead: false,
            locked: false,
            no_capture: false,
            results: ResultFiles { result_json: None, junit_xml: None },
            hash_seed: None,
            list_dependencies: false,
            parallel: ParallelOptions {
                parallelism: Parallelism::Limit(0),
                parallel_live: false,
                parallel_no_spinner: false,
            },
            legacy: LegacyOptions {
                pip_pre: false,
                force_dependencies: Vec::new(),
                site_packages: false,
                always_copy: false,
            },
            provision: ProvisionOptions { no_provision: None, no_recreate_provision: false },
            watch: None,
        }
    }
}

/// `--report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReportFormat {
    /// Lines for people, in tox's format.
    #[default]
    Human,
    /// One event on each line, as JSON.
    Json,
    /// Only failures, and one line at the end.
    Brief,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfigFormat {
    #[default]
    Ini,
    Json,
    Toml,
}

/// Options of `config`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConfigOptions {
    /// `-k`; empty: every key.
    pub keys: Vec<String>,
    pub show_core: bool,
    /// `--check`: report errors instead of showing settings.
    pub check: bool,
    pub format: ConfigFormat,
    pub output_file: Option<PathBuf>,
}

/// Options of `list`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListOptions {
    pub no_description: bool,
    /// `-d`: only the default environments.
    pub default_only: bool,
    /// Whether an empty selection means `py` (not so for the legacy `-l` and `-a`).
    pub no_fallback: bool,
    pub format: ListFormat,
}

/// `--format` of `list`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListFormat {
    #[default]
    Text,
    Json,
    /// A matrix for GitHub Actions.
    Github,
}

/// Options of `schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaOptions {
    /// `--strict`: reject keys that the schema does not define.
    pub strict: bool,
    /// `--all-keys`: describe any configuration, not the current one.
    pub all_keys: bool,
}

/// Options of `import`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportOptions {
    /// The kind, and the file if it was named, as typed.
    pub words: Vec<String>,
    /// `--write`: add to the project's `tox.ini`.
    pub write: bool,
}

/// Options of the verbs for locks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockOptions {
    /// `--check`: only check whether the locks are up to date.
    pub check: bool,
    /// `--upgrade`: upgrade every package.
    pub upgrade: bool,
    /// `--python-platform`.
    pub platforms: Vec<String>,
    /// The named packages.
    pub names: Vec<String>,
    /// `--reverse` of `graph`.
    pub reverse: bool,
    /// `--format`; empty for a table or tree.
    pub format: String,
    /// `--db` of `audit`, absolute.
    pub database: Option<PathBuf>,
    /// `--service` of `audit`.
    pub service: Option<String>,
    /// `--ignore` of `audit`.
    pub ignored: Vec<String>,
    /// `-o` of `sbom`, absolute.
    pub output_file: Option<PathBuf>,
}

/// Options of the commands for many machines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FanoutOptions {
    pub merge: MergeOptions,
    pub cache: CacheOptions,
    pub export: ExportOptions,
    pub submit: SubmitOptions,
}

/// Options of `submit`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubmitOptions {
    /// The number of slices, as typed.
    pub shards: Option<String>,
    pub partition: Option<String>,
}

/// Options of `export`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportOptions {
    /// One of [`crate::cli::arguments::EXPORTS`].
    pub target: String,
    pub write: bool,
    pub check: bool,
}

/// Options of `cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheOptions {
    pub action: CacheAction,
    /// `--ci` of `prune`.
    pub ci: bool,
}

/// What `cache` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheAction {
    #[default]
    Key,
    Size,
    Prune,
}

/// Options of `merge`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergeOptions {
    /// The results, absolute.
    pub files: Vec<PathBuf>,
    pub summary: SummaryFormat,
    /// `--expect`: environments that must have a result.
    pub expected: Vec<String>,
    /// `--durations`, absolute.
    pub durations: Option<PathBuf>,
}

/// `--summary` of `merge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SummaryFormat {
    /// As at the end of a run.
    #[default]
    Text,
    /// A table for the summary of a job on GitHub Actions.
    Github,
}

/// What `pack` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PackFormat {
    /// A relocatable archive, which `envo install` installs.
    #[default]
    Tar,
    /// A container image.
    Oci,
    /// A Debian package.
    Deb,
}

impl PackFormat {
    /// The format with this name, one of [`crate::cli::arguments::PACK_FORMATS`].
    pub fn named(name: &str) -> Self {
        match name {
            "oci" => Self::Oci,
            "deb" => Self::Deb,
            _ => Self::Tar,
        }
    }
}

/// Options of the verbs for packed files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShipOptions {
    /// `--format` of `pack`.
    pub format: PackFormat,
    /// `-o` of `pack`, absolute.
    pub output_file: Option<PathBuf>,
    /// `--untested` of `pack`.
    pub untested: bool,
    /// The file of `verify` and `install`, absolute.
    pub file: PathBuf,
    /// `--key`: a file, or the key itself.
    pub key: Option<String>,
    /// The number of `rollback`.
    pub release: Option<u64>,
    /// `--format json` of `releases`.
    pub json: bool,
}

/// Options of the verbs for services.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceOptions {
    /// The named services.
    pub names: Vec<String>,
    /// Services with their number of instances, overriding the configuration.
    pub scale: Vec<(String, u32)>,
    /// `--profile`: the profiles whose services are selected if none is named.
    pub profiles: Vec<String>,
    /// `--wait`: wait until the services are ready.
    pub wait: bool,
    /// `--hand-over`: only build, and print the request for a program that will own the services.
    pub hand_over: bool,
    /// `--force`: run jobs again that have already finished.
    pub force: bool,
    /// `--timeout` of `wait`.
    pub timeout: Option<Duration>,
    /// `--follow` of `logs`.
    pub follow: bool,
    /// `-n` of `logs`.
    pub lines: Option<usize>,
    /// `--since` of `logs`, as typed.
    pub since: Option<String>,
    /// `--no-prefix` of `logs`.
    pub no_prefix: bool,
    /// `--format json`.
    pub json: bool,
    /// `--allow-control` of `mcp`.
    pub allow_control: bool,
    /// `--timeline` of `ps`.
    pub timeline: bool,
}

/// What the program starts with, other than its arguments: variables, folder, terminal.
#[derive(Debug, Clone, Default)]
pub struct ProcessContext {
    pub variables: EnvVariables,
    pub current_dir: PathBuf,
    pub stdout_is_terminal: bool,
}

impl ProcessContext {
    /// A snapshot for this process.
    #[allow(clippy::disallowed_methods)]
    pub fn read() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            // If the folder has been removed, reading from it fails later.
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            stdout_is_terminal: std::io::stdout().is_terminal(),
        }
    }
}

/// A service that an installed package provides. Its settings are among the overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagedService {
    /// The environment's name.
    pub name: String,
    /// The distribution with its version.
    pub from: String,
}

/// All resolved options of the program.
#[derive(Debug, Clone)]
pub struct Options {
    /// Never `legacy`, which is already resolved to another verb.
    pub verb: Verb,
    pub invocation: Invocation,
    pub output: OutputOptions,
    pub project: ProjectOptions,
    pub selection: Selection,
    pub run: RunOptions,
    pub config: ConfigOptions,
    pub list: ListOptions,
    pub services: ServiceOptions,
    pub locks: LockOptions,
    pub ship: ShipOptions,
    pub fanout: FanoutOptions,
    pub generate: GenerateOptions,
    pub activation: ActivationOptions,
    pub process: ProcessContext,
}

/// The shell of `hook`, `--format` of `env` and `--show` of `allow`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ActivationOptions {
    pub shell: String,
    pub format: String,
    pub show: bool,
}

/// The command line as typed.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The name the program was called by (`envo`, or `tox` through a link), for usage and messages.
    pub program: String,
    /// The arguments as typed, without the program.
    pub arguments: Vec<String>,
    /// They are an error, but only at the point where tox reports it: a tox that `requires` requests may accept them.
    pub unknown_arguments: Vec<String>,
    /// The arguments after `--`.
    pub positional: Option<Vec<String>>,
}

/// How output looks.
#[derive(Debug, Clone)]
pub struct OutputOptions {
    /// The format of standard output.
    pub report: ReportFormat,
    /// 0 critical, 1 error, 2 warning (the default), 3 info, 4 debug, 5 everything.
    pub verbosity: u8,
    pub colored: bool,
    /// colorama's name of the colour for the commands' standard error (`RED`).
    pub stderr_color: String,
}

/// Which configuration is read, and what is changed in it.
#[derive(Debug, Clone)]
pub struct ProjectOptions {
    /// `-c`, as typed.
    pub config_file: Option<PathBuf>,
    pub work_dir: Option<PathBuf>,
    pub root_dir: Option<PathBuf>,
    /// `-x`, as typed, in order.
    pub overrides: Vec<String>,
    /// Services of packages that the configuration depends on; not from the command line.
    pub packaged: Vec<PackagedService>,
    pub default_runner: Option<String>,
}

/// Options of the commands that create a file, an environment or a text.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// The path of `devenv`, absolute.
    pub devenv_path: PathBuf,
    pub schema: SchemaOptions,
    /// `--format` of `depends`; empty: a tree.
    pub depends_format: String,
    pub import: ImportOptions,
    /// The folder of `quickstart`, absolute.
    pub quickstart_root: PathBuf,
    /// The shell of `completion`: one of `bash`, `zsh`, `fish` and `powershell`.
    pub shell: String,
}
