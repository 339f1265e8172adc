//! Resolves [`Options`] from the command line, variables, the user's file and defaults, in this order.

mod fanout;
mod report;
mod ship;
pub(super) mod watch;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use percent_encoding::percent_decode_str;

use super::arguments::{
    COLORS, CommandWord, DEPENDS_FORMATS, GRAPH_FORMATS, RUNNERS, SHELLS, TABLE_FORMATS, spellings,
};
use super::ci::is_ci;
use super::convert::{
    self, BOOLEAN, ConversionError, INTEGER, OPTIONAL_INTEGER, OPTIONAL_PATH, PATH, SettingType, TEXT,
};
use super::defaults::Defaults;
use super::options::{
    ConfigFormat, ConfigOptions, EnvironmentChoice, ImportOptions, ListFormat, ListOptions, LockOptions, Options,
    Parallelism, ProcessContext, RunOptions, SchemaOptions, Selection, ServiceOptions, SkipMissing, Verb,
};
use super::user_file::UserFile;
use super::{ResolvedOptions, UsageError, unknown};
use crate::cli::options::{
    GenerateOptions, InterpreterOptions, Invocation, LegacyOptions, OutputOptions, PackageOptions, ParallelOptions,
    ProjectOptions, ProvisionOptions, ResultFiles, SkippedSteps,
};
use crate::factor::expand_environments;
use crate::model::pep508::Requirement;
use crate::os_text;

/// tox's level of a run without `-v` or `-q`: warnings are shown.
const DEFAULT_VERBOSITY: i64 = 2;

/// A command line that `clap` has read.
pub struct TypedArguments<'a> {
    pub word: CommandWord,
    pub program: &'a str,
    /// The whole command line, as typed.
    pub words: &'a [String],
    pub positional: Option<Vec<String>>,
    pub unknown: Vec<String>,
    pub definition: &'a Command,
    pub matches: ArgMatches,
}

pub fn resolve(typed: TypedArguments<'_>, context: ProcessContext) -> Result<ResolvedOptions, UsageError> {
    let mut notices = Vec::new();
    let file = UserFile::read(&context, &mut notices);
    let resolver = OptionsResolver {
        typed: &typed,
        context: &context,
        defaults: Defaults::new(&context.variables, file, notices),
    };
    let run = resolver.run_options()?;
    let verbosity = resolver.verbosity();
    let mut options = Options {
        verb: Verb::Run,
        invocation: Invocation {
            program: typed.program.to_owned(),
            arguments: typed.words.to_vec(),
            unknown_arguments: Vec::new(),
            positional: None,
        },
        output: OutputOptions {
            verbosity,
            colored: resolver.choice("colored", &["yes", "no"]).map_or_else(|| default_color(&context), |c| c == "yes"),
            stderr_color: resolver.choice("stderr_color", &COLORS).unwrap_or_else(|| "RED".to_owned()),
            report: resolver.report_format(),
        },
        project: ProjectOptions {
            config_file: resolver.path("config_file", &OPTIONAL_PATH),
            work_dir: resolver.path("work_dir", &OPTIONAL_PATH),
            root_dir: resolver.path("root_dir", &OPTIONAL_PATH),
            overrides: resolver.overrides()?,
            packaged: Vec::new(),
            default_runner: resolver.choice("default_runner", &RUNNERS),
        },
        selection: resolver.selection()?,
        run,
        config: resolver.config_options(),
        list: resolver.list_options(),
        services: resolver.service_options()?,
        locks: resolver.lock_options(),
        ship: resolver.ship_options()?,
        fanout: resolver.fanout_options(),
        generate: GenerateOptions {
            devenv_path: PathBuf::new(),
            schema: SchemaOptions { strict: resolver.flag("strict", false), all_keys: resolver.is_typed("all_keys") },
            quickstart_root: resolver.quickstart_root(),
            depends_format: resolver.choice("depends_format", &DEPENDS_FORMATS).unwrap_or_default(),
            import: ImportOptions {
                words: resolver.all_typed("import_words"),
                write: resolver.flag("import_write", false),
            },
            shell: resolver.choice("shell", &SHELLS).unwrap_or_default(),
        },
        activation: resolver.activation_options(),
        process: ProcessContext::default(),
    };
    resolver.integer("exit_and_dump_after")?;
    if options.run.no_capture && options.run.results.result_json.is_some() {
        return Err(UsageError::about("-i/--no-capture", "not allowed with argument --result-json"));
    }
    resolver.settle_verb(&mut options);
    let notices = resolver.defaults.into_notices();
    let unknown = (!typed.unknown.is_empty()).then(|| unknown::error(&typed.unknown, typed.word, typed.definition));
    options.invocation.unknown_arguments = typed.unknown;
    options.invocation.positional = typed.positional;
    options.process = context;
    options.process.variables.remove(watch::WATCHED_RUN);
    Ok(ResolvedOptions { options, notices, unknown })
}

/// Whether to use colours if no option decides.
pub fn default_color(context: &ProcessContext) -> bool {
    let text = |name| context.variables.text(name).unwrap_or_default();
    if !text("NO_COLOR").is_empty() {
        return false;
    }
    if !text("FORCE_COLOR").is_empty() {
        return true;
    }
    match text("TTY_COMPATIBLE").as_str() {
        "0" => false,
        "1" => true,
        _ => text("TERM") != "dumb" && context.stdout_is_terminal,
    }
}

struct OptionsResolver<'a> {
    typed: &'a TypedArguments<'a>,
    context: &'a ProcessContext,
    defaults: Defaults<'a>,
}

impl OptionsResolver<'_> {
    /// Whether the command has this option. If not, its variable is ignored.
    fn defines(&self, id: &str) -> bool {
        self.typed.definition.get_arguments().any(|argument| argument.get_id() == id)
    }

    fn is_typed(&self, id: &str) -> bool {
        self.defines(id) && self.typed.matches.value_source(id) == Some(ValueSource::CommandLine)
    }

    fn typed(&self, id: &str) -> Option<&str> {
        if !self.is_typed(id) {
            return None;
        }
        self.typed.matches.get_one::<String>(id).map(String::as_str)
    }

    fn all_typed(&self, id: &str) -> Vec<String> {
        if !self.is_typed(id) {
            return Vec::new();
        }
        self.typed.matches.get_many::<String>(id).unwrap_or_default().cloned().collect()
    }

    fn default<T>(&self, id: &str, of: &SettingType<T>) -> Option<T> {
        if self.defines(id) { self.defaults.value(id, of) } else { None }
    }

    fn default_list<T>(&self, id: &str, of: &SettingType<T>) -> Option<Vec<T>> {
        if self.defines(id) { self.defaults.list(id, of) } else { None }
    }

    fn flag(&self, id: &str, otherwise: bool) -> bool {
        self.is_typed(id) || self.default(id, &BOOLEAN).unwrap_or(otherwise)
    }

    fn choice(&self, id: &str, choices: &[&str]) -> Option<String> {
        if !self.defines(id) {
            return None;
        }
        self.typed(id).map(str::to_owned).or_else(|| self.defaults.choice(id, choices))
    }

    /// As typed; an empty path is the current folder, as for Python.
    fn path(&self, id: &str, of: &SettingType<Option<PathBuf>>) -> Option<PathBuf> {
        match self.typed(id) {
            Some("") => Some(PathBuf::from(".")),
            Some(path) => Some(PathBuf::from(os_text::encode(path))),
            None => self.default(id, of).flatten(),
        }
    }

    fn texts(&self, id: &str) -> Vec<String> {
        if self.is_typed(id) { self.all_typed(id) } else { self.default_list(id, &TEXT).unwrap_or_default() }
    }

    fn problem(&self, id: &str, message: &str) -> UsageError {
        let argument = self.typed.definition.get_arguments().find(|argument| argument.get_id() == id);
        let names = argument.map(spellings).unwrap_or_default();
        // A positional argument is named by its placeholder in the usage.
        let meaning = || argument.and_then(|one| one.get_value_names()?.first()).map(ToString::to_string);
        let name = if names.is_empty() { meaning().unwrap_or_default() } else { names.join("/") };
        UsageError::about(&name, message)
    }

    fn integer(&self, id: &str) -> Result<i64, UsageError> {
        match self.typed(id) {
            Some(text) => convert::integer(text).map_err(|_| {
                self.problem(id, &format!("invalid int value: {}", crate::python_text::python_repr(text)))
            }),
            None => Ok(self.default(id, &INTEGER).unwrap_or(0)),
        }
    }

    fn verbosity(&self) -> u8 {
        let typed = |id| if self.is_typed(id) { i64::from(self.typed.matches.get_count(id)) } else { 0 };
        let base = |id, otherwise| self.default(id, &INTEGER).unwrap_or(otherwise);
        let more = base("verbose", DEFAULT_VERBOSITY).saturating_add(typed("verbose"));
        let less = base("quiet", 0).saturating_add(typed("quiet"));
        u8::try_from(more.saturating_sub(less).clamp(0, 5)).unwrap_or(5)
    }

    fn overrides(&self) -> Result<Vec<String>, UsageError> {
        const OVERRIDE: SettingType<String> =
            SettingType { python_name: "tox.config.loader.api.Override", convert: convert::configuration_override };
        let mut result = self.default_list("override", &OVERRIDE).unwrap_or_default();
        for text in self.all_typed("override") {
            result.push((OVERRIDE.convert)(&text).map_err(|reason| self.problem("override", &reason.message))?);
        }
        Ok(result)
    }

    fn selection(&self) -> Result<Selection, UsageError> {
        let labels = self.texts("labels");
        let mut factors: Vec<Vec<String>> =
            self.default_list("factors", &TEXT).unwrap_or_default().iter().map(|text| convert::list(text)).collect();
        if self.is_typed("factors") {
            let occurrences = self.typed.matches.get_occurrences::<String>("factors");
            factors.extend(occurrences.into_iter().flatten().map(|values| values.cloned().collect()));
        }
        let skip = self.typed("skip_env").map(str::to_owned).or_else(|| self.default("skip_env", &TEXT));
        let (environments, slicing, recent) = (self.environments(), self.slicing()?, self.recent_choice()?);
        Ok(Selection { environments, labels, factors, skip: skip.unwrap_or_default(), slicing, recent })
    }

    fn environments(&self) -> EnvironmentChoice {
        // Services to start may be named without `-e`, like services to stop.
        let starts = self.typed.word.serves();
        let named = if starts { self.all_typed("service_names") } else { Vec::new() };
        let expressions = if self.is_typed("env") || !named.is_empty() {
            self.all_typed("env").into_iter().chain(named).collect()
        } else {
            self.default("env", &ENVIRONMENTS).into_iter().collect::<Vec<_>>()
        };
        let mut names: Vec<String> = expressions.iter().flat_map(|expression| environment_names(expression)).collect();
        if names.is_empty() && matches!(self.typed.word, CommandWord::Verb(Verb::Exec | Verb::Devenv)) {
            names.push("py".to_owned());
        }
        if names.iter().any(|name| name == "ALL") {
            EnvironmentChoice::All
        } else if names.is_empty() {
            EnvironmentChoice::Default
        } else {
            EnvironmentChoice::Named(names)
        }
    }

    fn config_options(&self) -> ConfigOptions {
        let format = match self.choice("config_format", &["ini", "json", "toml"]).as_deref() {
            Some("json") => ConfigFormat::Json,
            Some("toml") => ConfigFormat::Toml,
            _ => ConfigFormat::Ini,
        };
        ConfigOptions {
            keys: self.texts("list_keys_only"),
            show_core: self.flag("show_core", false),
            check: self.is_typed("check"),
            format,
            output_file: self.path("output_file", &PATH),
        }
    }

    fn run_options(&self) -> Result<RunOptions, UsageError> {
        let in_ci = is_ci(&self.context.variables);
        let list_dependencies = !self.is_typed("no_list_dependencies") && self.flag("list_dependencies", in_ci);
        Ok(RunOptions {
            recreate: self.flag("recreate", false),
            interpreters: InterpreterOptions {
                skip_missing_interpreters: self.skip_missing_interpreters()?,
                discover: self.texts("discover"),
                install_python: self.flag("install_python", false),
                install_runtime: self.flag("install_runtime", false),
            },
            package: PackageOptions {
                no_recreate_package: self.flag("no_recreate_pkg", false),
                package_only: self.flag("package_only", false),
                install_package: self.install_package()?,
                develop: self.flag("develop", false),
            },
            skip: SkippedSteps {
                no_test: self.flag("no_test", false),
                skip_package_install: self.flag("skip_pkg_install", false),
                skip_environment_install: self.flag("skip_env_install", false),
                skip_uv_sync: self.flag("skip_uv_sync", false),
            },
            fail_fast: self.flag("fail_fast", false),
            prepare_ahead: !self.flag("no_prepare_ahead", false),
            locked: self.flag("locked", false),
            no_capture: self.flag("no_capture", false),
            results: ResultFiles {
                result_json: self.path("result_json", &PATH),
                junit_xml: self.path("junit_xml", &PATH),
            },
            hash_seed: self.hash_seed()?,
            list_dependencies,
            parallel: ParallelOptions {
                parallelism: self.parallelism()?,
                parallel_live: self.flag("parallel_live", false),
                parallel_no_spinner: self.flag("parallel_no_spinner", in_ci),
            },
            legacy: LegacyOptions {
                pip_pre: self.flag("pre", false),
                force_dependencies: self.force_dependencies()?,
                site_packages: self.flag("site_packages", false),
                always_copy: self.flag("always_copy", false),
            },
            provision: ProvisionOptions {
                no_provision: self.no_provision(),
                no_recreate_provision: self.flag("no_recreate_provision", false),
            },
            watch: self.watch_mode()?,
        })
    }

    fn quickstart_root(&self) -> PathBuf {
        let path = self.path("quickstart_root", &PATH).unwrap_or_else(|| PathBuf::from("."));
        absolute(&self.context.current_dir, &os_text::decode(path.as_os_str()))
    }

    fn skip_missing_interpreters(&self) -> Result<SkipMissing, UsageError> {
        let id = "skip_missing_interpreters";
        match self.typed(id) {
            Some("true") => Ok(SkipMissing::Yes),
            Some("false") => Ok(SkipMissing::No),
            Some("config") => Ok(SkipMissing::Configured),
            Some(other) => {
                let other = crate::python_text::python_repr(other);
                Err(self.problem(id, &format!("value must be 'config', 'true', or 'false' (got {other})")))
            }
            None => Ok(self.default(id, &SKIP_MISSING).unwrap_or_default()),
        }
    }

    fn install_package(&self) -> Result<Option<PathBuf>, UsageError> {
        let id = "install_pkg";
        let here = &self.context.current_dir;
        let Some(text) = self.typed(id) else {
            let path = self.default(id, &OPTIONAL_PATH).flatten();
            return Ok(path.map(|path| absolute(here, &os_text::decode(path.as_os_str()))));
        };
        if text.is_empty() {
            return Err(self.problem(id, "cannot be empty"));
        }
        let path = absolute(here, text);
        if !path.exists() {
            return Err(self.problem(id, &format!("{} does not exist", path.display())));
        }
        if !path.is_file() {
            return Err(self.problem(id, &format!("{} is not a file", path.display())));
        }
        Ok(Some(path))
    }

    fn hash_seed(&self) -> Result<Option<u32>, UsageError> {
        let id = "hash_seed";
        match self.typed(id) {
            Some("notset") => return Ok(None),
            Some(text) => {
                let seed = convert::integer(text).map_err(|reason| self.problem(id, &reason.message))?;
                if seed <= 0 {
                    return Err(self.problem(id, "must be greater than zero"));
                }
                return u32::try_from(seed).map(Some).map_err(|_| self.problem(id, "must be at most 4294967295"));
            }
            None => {}
        }
        if let Some(seed) = self.default(id, &OPTIONAL_INTEGER) {
            // Python rejects any other seed, so a random one is used.
            return Ok(seed.map(|seed| u32::try_from(seed).unwrap_or_else(|_| random_seed())));
        }
        let given = self.context.variables.text("PYTHONHASHSEED").and_then(|text| text.trim().parse().ok());
        Ok(Some(given.unwrap_or_else(random_seed)))
    }

    fn parallelism(&self) -> Result<Parallelism, UsageError> {
        let id = "parallel";
        let text = match (self.typed.word, self.typed(id)) {
            (_, Some(text)) => text.to_owned(),
            (CommandWord::Verb(Verb::RunParallel), None) => {
                self.default(id, &TEXT).unwrap_or_else(|| "auto".to_owned())
            }
            _ => self.default(id, &INTEGER).unwrap_or(0).to_string(),
        };
        match text.as_str() {
            "all" => return Ok(Parallelism::Unlimited),
            "auto" => return Ok(Parallelism::Limit(std::thread::available_parallelism().map_or(1, usize::from))),
            _ => {}
        }
        let shown = crate::python_text::python_repr(&text);
        let number = convert::integer(&text)
            .map_err(|_| self.problem(id, &format!("value must be a positive number, is {shown}")))?;
        let limit = usize::try_from(number);
        limit.map(Parallelism::Limit).map_err(|_| self.problem(id, &format!("value must be positive, is {number}")))
    }

    fn force_dependencies(&self) -> Result<Vec<String>, UsageError> {
        let mut result = self.default_list("force_dep", &REQUIREMENT).unwrap_or_default();
        for text in self.all_typed("force_dep") {
            let invalid = |_| {
                let shown = crate::python_text::python_repr(&text);
                self.problem("force_dep", &format!("invalid Requirement value: {shown}"))
            };
            result.push((REQUIREMENT.convert)(&text).map_err(invalid)?);
        }
        Ok(result)
    }

    fn no_provision(&self) -> Option<String> {
        let id = "no_provision";
        let by_default = || self.default(id, &BOOLEAN).filter(|on| *on).map(|_| String::new());
        self.typed(id).map(str::to_owned).or_else(by_default)
    }

    fn service_options(&self) -> Result<ServiceOptions, UsageError> {
        let number = |id, what: &str| -> Result<Option<f64>, UsageError> {
            let Some(text) = self.typed(id) else { return Ok(None) };
            let number = text.parse::<f64>().ok().filter(|number| (0.0..=31_536_000.0).contains(number));
            let shown = crate::python_text::python_repr(text);
            number.map(Some).ok_or_else(|| self.problem(id, &format!("invalid {what}: {shown}")))
        };
        Ok(ServiceOptions {
            names: self.all_typed("service_names").iter().flat_map(|text| environment_names(text)).collect(),
            profiles: self.all_typed("service_profiles").iter().flat_map(|text| environment_names(text)).collect(),
            scale: self.scale()?,
            wait: self.flag("service_wait", false),
            hand_over: self.flag("service_hand_over", false),
            force: self.flag("service_force", false),
            timeout: number("service_timeout", "number of seconds")?.map(Duration::from_secs_f64),
            follow: self.flag("log_follow", false),
            lines: number("log_lines", "number of lines")?.map(|number| number as usize),
            since: self.typed("log_since").map(str::to_owned),
            no_prefix: self.flag("log_no_prefix", false),
            allow_control: self.is_typed("allow_control"),
            timeline: self.flag("service_timeline", false),
            json: self.choice("service_format", &["table", "json"]).is_some_and(|format| format == "json"),
        })
    }

    fn scale(&self) -> Result<Vec<(String, u32)>, UsageError> {
        let pair = |text: &String| {
            let (name, count) = text.rsplit_once('=').unwrap_or((text, ""));
            match count.parse() {
                Ok(count @ 1..=1000) if !name.is_empty() => Ok((name.to_owned(), count)),
                Ok(0) => Err(self.problem("service_scale", &format!("`{text}`: a service has at least one instance"))),
                _ => Err(self.problem("service_scale", &format!("`{text}` is not ENV=N, for example web=3"))),
            }
        };
        self.all_typed("service_scale").iter().map(pair).collect()
    }

    fn lock_options(&self) -> LockOptions {
        let format = self.choice("graph_format", &GRAPH_FORMATS).or_else(|| self.choice("lock_format", &TABLE_FORMATS));
        let path = |id| self.typed(id).map(|path| absolute(&self.context.current_dir, path));
        LockOptions {
            check: self.is_typed("lock_check"),
            upgrade: self.is_typed("lock_upgrade"),
            platforms: self.all_typed("lock_platforms"),
            names: self.all_typed("lock_names"),
            reverse: self.is_typed("graph_reverse"),
            format: format.unwrap_or_default(),
            database: path("audit_database"),
            service: self.typed("audit_service").map(str::to_owned),
            ignored: self.all_typed("audit_ignored"),
            output_file: path("sbom_file"),
        }
    }

    /// The verb, and the options that it implies.
    fn settle_verb(&self, options: &mut Options) {
        options.verb = match self.typed.word {
            CommandWord::Verb(verb) => verb,
            CommandWord::Legacy => self.legacy_verb(options),
        };
        match options.verb {
            Verb::Exec => {
                options.run.skip.skip_package_install = true;
                options.run.no_capture = true;
            }
            Verb::Devenv => self.settle_devenv(options),
            Verb::Pack => {
                let run = &mut options.run;
                (run.locked, run.skip.no_test, run.interpreters.skip_missing_interpreters) =
                    (true, true, SkipMissing::No);
            }
            _ => {}
        }
    }

    /// The verb that the options of tox 3 select.
    fn legacy_verb(&self, options: &mut Options) -> Verb {
        let (list, all) = (self.flag("list_envs", false), self.flag("list_envs_all", false));
        let show_config = self.flag("show_config", false);
        options.config.show_core = show_config && options.selection.environments == EnvironmentChoice::Default;
        if list || all {
            options.list = ListOptions {
                no_description: i64::from(options.output.verbosity) <= DEFAULT_VERBOSITY,
                default_only: !all,
                no_fallback: true,
                format: ListFormat::Text,
            };
            options.config.show_core = false;
        }
        if show_config {
            return Verb::Config;
        }
        if list || all {
            return Verb::List;
        }
        if self.path("devenv_path", &PATH).is_some() {
            return Verb::Devenv;
        }
        if options.run.parallel.parallelism == Parallelism::Limit(0) { Verb::Run } else { Verb::RunParallel }
    }

    fn settle_devenv(&self, options: &mut Options) {
        let path = self.path("devenv_path", &PATH).unwrap_or_else(|| PathBuf::from("venv"));
        options.generate.devenv_path = absolute(&self.context.current_dir, &os_text::decode(path.as_os_str()));
        if options.selection.environments == EnvironmentChoice::Default {
            options.selection.environments = EnvironmentChoice::Named(vec!["py".to_owned()]);
        }
        let run = &mut options.run;
        // The interpreter must exist, and the environment is built completely.
        run.interpreters.skip_missing_interpreters = SkipMissing::No;
        run.skip.no_test = true;
        run.package.package_only = false;
        run.package.install_package = None;
        run.fail_fast = false;
        run.skip.skip_package_install = false;
    }
}

const ENVIRONMENTS: SettingType<String> =
    SettingType { python_name: "<class 'tox.session.env_select.CliEnv'>", convert: |text| Ok(text.to_owned()) };

const REQUIREMENT: SettingType<String> = SettingType {
    python_name: "packaging.requirements.Requirement",
    convert: |text| match text.parse::<Requirement>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(ConversionError { class: "InvalidRequirement", message: error.to_string() }),
    },
};

const SKIP_MISSING: SettingType<SkipMissing> = SettingType {
    python_name: "<class 'str'>",
    convert: |text| match text.trim() {
        "config" => Ok(SkipMissing::Configured),
        text => (BOOLEAN.convert)(text).map(|yes| if yes { SkipMissing::Yes } else { SkipMissing::No }),
    },
};

/// The names in a value of `-e`; a value that cannot be expanded is only split at its commas.
fn environment_names(expression: &str) -> Vec<String> {
    let names = expand_environments(expression)
        .unwrap_or_else(|_| expression.split(',').map(|name| name.trim().to_owned()).collect());
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// A path, which may be a `file:` URI, below the current folder unless it is absolute.
fn absolute(current_dir: &Path, text: &str) -> PathBuf {
    let path = match text.strip_prefix("file:") {
        Some(rest) => {
            let path = rest.strip_prefix("//").map_or(rest, |rest| rest.find('/').map_or("", |at| &rest[at..]));
            PathBuf::from(&*percent_decode_str(path).decode_utf8_lossy())
        }
        None => PathBuf::from(os_text::encode(text)),
    };
    current_dir.join(path).components().collect()
}

/// A random seed from one to Python's maximum.
fn random_seed() -> u32 {
    // The standard library's hasher is seeded by the system for every new state.
    let number = RandomState::new().build_hasher().finish();
    u32::try_from(number % u64::from(u32::MAX)).map_or(1, |number| number + 1)
}
