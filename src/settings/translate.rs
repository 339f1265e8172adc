//! Converts settings to the typed values of `model`.

use std::sync::Arc;
use std::time::Duration;

use crate::error::ConfigError;
use crate::model::environment::RESTART;
use crate::model::environment::{
    CommandLists, CreationSettings, Dependencies, InstallSettings, InstallerChoice, PackageBuild, Packaging,
    ScriptSource, Seeds, Timeouts, UvProject, UvSettings, UvSync, VariableSettings,
};
use crate::model::environment::{
    ContentSettings, EnvFolders, EnvRelations, ExecutionSettings, PackageRole, PythonChoice,
};
use crate::model::pep508::{Requirement, canonical_name};
use crate::model::requirements::RequirementText;
use crate::model::runtime::ProjectPackage;
use crate::model::{
    Command, Deferred, Environment, EnvironmentKind, PackageKind, ProjectSettings, Runner, ServiceSettings,
};
use crate::settings::Settings;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::expand::Trail;
use crate::settings::keys;
use crate::settings::keys::DefaultValue;
use crate::settings::runtimes;
use crate::settings::runtimes::deferred;
use crate::settings::secrets::secret_variables;
use crate::settings::service::{asks, env_files, inherited, service};
use crate::settings::value::SettingValue;

/// The project's folders.
pub fn project(settings: &Settings) -> Result<ProjectSettings, ConfigError> {
    let core = settings.core();
    Ok(ProjectSettings {
        config_file: settings.source.path.clone(),
        root: settings.tox_root()?,
        lock_dir: lock_dir(settings)?,
        work_dir: settings.path(core, "work_dir")?,
        temp_dir: settings.path(core, "temp_dir")?,
        package_root: settings.path(core, "package_root")?,
        current_dir: settings.options.process.current_dir.clone(),
        venv_redirect: match settings.value(core, "venv_redirect")? {
            SettingValue::Boolean(redirect) => Some(redirect),
            _ => None,
        },
        venv_redirect_env: match settings.value(core, "venv_redirect_env")? {
            SettingValue::Text(name) => Some(name),
            _ => None,
        },
    })
}

fn lock_dir(settings: &Settings) -> Result<std::path::PathBuf, ConfigError> {
    let core = settings.core();
    let folder = if settings.says(core, "lock_dir")? { settings.path(core, "lock_dir")? } else { "locks".into() };
    Ok(settings.tox_root()?.join(folder))
}

/// An environment. Values that only its commands need are resolved when these run.
pub fn environment(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<Environment, ConfigError> {
    let is_run = set.kind == SetKind::Run;
    let depends = if is_run { settings.list(set, "depends")? } else { Vec::new() };
    Ok(Environment {
        name: set.label().to_owned(),
        kind: kind(set.kind),
        runner: if is_run { settings.text(set, "runner")? } else { packager_name(settings, set)?.to_owned() },
        description: deferred(settings, set, |settings, set| settings.text(set, "description")),
        folders: EnvFolders {
            env_dir: settings.path(set, "env_dir")?,
            tmp_dir: settings.path(set, "env_tmp_dir")?,
            log_dir: settings.path(set, "env_log_dir")?,
        },
        python: PythonChoice {
            base_python: settings.list(set, "base_python")?,
            skip_missing_interpreters: settings.boolean(set, "skip_missing_interpreters")?,
            install_python: settings.options.run.interpreters.install_python
                || settings.boolean(set, "install_python")?,
        },
        platform: settings.text(set, "platform")?,
        creation: creation(settings, set)?,
        contents: ContentSettings {
            installation: installation(settings, set)?,
            dependencies: dependencies(settings, set)?,
            uv: uv_settings(settings, set)?,
            script: script(settings, set)?,
        },
        package: PackageRole {
            packaging: if settings.takes_package(set) { packaging(settings, set)? } else { None },
            build: if is_run { None } else { Some(package_build(settings, set)?) },
            package_of_runtime: package_of_runtime(settings, set)?,
        },
        variables: variables(settings, set)?,
        execution: ExecutionSettings {
            allowlist_externals: settings.list(set, "allowlist_externals")?,
            timeouts: timeouts(settings, set),
            commands: command_lists(settings, set)?,
            change_dir: if set.kind == SetKind::Pep517Package {
                Deferred::ready(settings.tox_root()?)
            } else {
                deferred(settings, set, |settings, set| settings.path(set, "change_dir"))
            },
            ignore_outcome: is_run && settings.boolean(set, "ignore_outcome")?,
            fail_fast: is_run && settings.boolean(set, "fail_fast")?,
            parallel_show_output: settings.boolean(set, "parallel_show_output")?,
            parallel_share_cores: is_run && settings.boolean(set, "parallel_share_cores")?,
        },
        relations: EnvRelations {
            restarts_with: depends.iter().filter_map(|one| one.strip_suffix(RESTART)).map(str::to_owned).collect(),
            depends: depends.iter().map(|one| one.strip_suffix(RESTART).unwrap_or(one).to_owned()).collect(),
            depends_inherited: if depends.is_empty() { None } else { inherited(settings, set, "depends")? },
            layer_on: if is_run { settings.layer_on(set)? } else { None },
            asks: asks(settings, set)?,
        },
        service: if is_run { fields_service(settings, set)? } else { None },
        runtimes: runtimes::requirements(settings, set)?,
    })
}

fn kind(kind: SetKind) -> EnvironmentKind {
    match kind {
        SetKind::Core | SetKind::Run => EnvironmentKind::Run,
        SetKind::Pep517Package => EnvironmentKind::Pep517Package,
        SetKind::CommandPackage => EnvironmentKind::CommandPackage,
    }
}

fn packager_name(settings: &Settings, set: &ConfigSet) -> Result<&'static str, ConfigError> {
    Ok(settings.runner(set)?.map_or("", Runner::name))
}

/// What only environments of tox-uv's runners have.
fn uv_settings(settings: &Settings, set: &ConfigSet) -> Result<Option<UvSettings>, ConfigError> {
    if !settings.runner(set)?.is_some_and(Runner::uses_uv) {
        return Ok(None);
    }
    Ok(Some(UvSettings {
        seed: settings.boolean(set, "uv_seed")?,
        python_preference: settings.text(set, "uv_python_preference")?,
        resolution: settings.text(set, "uv_resolution")?,
        project: if set.kind == SetKind::Run { uv_project(settings, set)? } else { None },
        sync: if settings.is_locked(set) { Some(uv_sync(settings, set)?) } else { None },
    }))
}

/// What only environments of scripts have.
fn script(settings: &Settings, set: &ConfigSet) -> Result<Option<ScriptSource>, ConfigError> {
    if !settings.runs_script(set) {
        return Ok(None);
    }
    let sets_base_python = settings.says(set, "base_python")?;
    Ok(Some(ScriptSource { path: settings.text(set, "script")?, sets_base_python }))
}

fn uv_project(settings: &Settings, set: &ConfigSet) -> Result<Option<UvProject>, ConfigError> {
    if !settings.takes_package(set) {
        return Ok(None);
    }
    let editable = match settings.text(set, "package")?.as_str() {
        "uv" => false,
        "uv-editable" => true,
        _ => return Ok(None),
    };
    Ok(Some(UvProject { path: settings.tox_root()?, extras: settings.list(set, "extras")?, editable }))
}

fn uv_sync(settings: &Settings, set: &ConfigSet) -> Result<UvSync, ConfigError> {
    Ok(UvSync {
        package: settings.text(set, "package")?,
        package_root: settings.tox_root()?.join(settings.path(set, "package_root")?),
        extras: settings.list(set, "extras")?,
        groups: settings.list(set, "dependency_groups")?,
        only_groups: settings.list(set, "only_groups")?,
        no_default_groups: settings.boolean(set, "no_default_groups")?,
        locked: settings.boolean(set, "uv_sync_locked")?,
        flags: settings.list(set, "uv_sync_flags")?,
    })
}

fn creation(settings: &Settings, set: &ConfigSet) -> Result<CreationSettings, ConfigError> {
    if settings.runner(set)?.is_some_and(Runner::uses_uv) {
        return uv_creation(settings, set);
    }
    Ok(CreationSettings {
        recreate: settings.boolean(set, "recreate")?,
        seeds: if settings.layer_on(set)?.is_some() { Seeds::Pip } else { Seeds::Virtualenv },
        prompt: None,
        system_site_packages: settings.boolean(set, "system_site_packages")?,
        always_copy: settings.boolean(set, "always_copy")?,
        download: settings.boolean(set, "download")?,
        virtualenv_spec: virtualenv_spec(settings, set)?,
    })
}

/// It is handed to an installer, so it may name nothing else, nor an option.
fn virtualenv_spec(settings: &Settings, set: &ConfigSet) -> Result<String, ConfigError> {
    let spec = settings.text(set, "virtualenv_spec")?;
    let names_virtualenv = |requirement: Requirement| {
        canonical_name(&requirement.name) == "virtualenv"
            && requirement.url.is_none()
            && requirement.extras.is_empty()
            && requirement.marker.is_none()
            && !requirement.specifiers.iter().any(|specifier| specifier.starts_with("==="))
    };
    if spec.is_empty() || spec.parse().is_ok_and(names_virtualenv) {
        return Ok(spec);
    }
    let error = ConfigError::fail("virtualenv_spec must name virtualenv with optional version specifiers");
    Err(located(settings, set, "virtualenv_spec", error).hint("write for example `virtualenv_spec = virtualenv<20.27`"))
}

/// The error with the place where the key's value was written.
fn located(settings: &Settings, set: &ConfigSet, key: &str, error: ConfigError) -> ConfigError {
    settings.at_value(error, settings.location_of(set, key).ok().flatten())
}

fn uv_creation(settings: &Settings, set: &ConfigSet) -> Result<CreationSettings, ConfigError> {
    let root = settings.root().file_name().unwrap_or_default().to_string_lossy();
    Ok(CreationSettings {
        recreate: settings.boolean(set, "recreate")?,
        system_site_packages: settings.boolean(set, "system_site_packages")?,
        always_copy: false,
        download: false,
        virtualenv_spec: String::new(),
        seeds: match settings.boolean(set, "uv_seed")? {
            true if settings.layer_on(set)?.is_some() => Seeds::Pip,
            true => Seeds::Uv,
            false => Seeds::None,
        },
        prompt: Some(format!("{root}[{}]", set.label())),
    })
}

fn installation(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<InstallSettings, ConfigError> {
    let list_dependencies_command = match settings.value(set, "list_dependencies_command")? {
        SettingValue::Command(command) => command,
        _ => Command::from_words(["python", "-m", "pip", "freeze", "--all"].map(str::to_owned).to_vec()),
    };
    Ok(InstallSettings {
        command: deferred(settings, set, |settings, set| match settings.value(set, "install_command")? {
            SettingValue::Command(command) => Ok(command),
            _ => Err(ConfigError::key("install_command")),
        }),
        command_is_default: !settings.says(set, "install_command")?,
        installer: installer(settings, set)?,
        list_dependencies_command,
        pip_pre: settings.boolean(set, "pip_pre")?,
        constraints: deferred(settings, set, |settings, set| settings.constraint_text(set)),
        constrain_package_deps: settings.boolean(set, "constrain_package_deps")?,
        use_frozen_constraints: settings.boolean(set, "use_frozen_constraints")?,
    })
}

fn installer(settings: &Settings, set: &ConfigSet) -> Result<InstallerChoice, ConfigError> {
    if !settings.says(set, "installer")? {
        return Ok(InstallerChoice::default());
    }
    let text = settings.text(set, "installer")?;
    let unknown = || {
        let error = ConfigError::fail(format!("unknown installer `{text}`, must be one of auto, pip, uv"));
        located(settings, set, "installer", error)
    };
    InstallerChoice::named(&text).ok_or_else(unknown)
}

fn dependencies(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<Dependencies, ConfigError> {
    let is_run = set.kind == SetKind::Run;
    if is_run && !settings.takes_package(set) {
        // The lock file or the script says what is installed.
        return Ok(Dependencies {
            deps: Deferred::ready(RequirementText::default()),
            groups: Vec::new(),
            extras: Vec::new(),
            pylock: String::new(),
            platforms: Vec::new(),
        });
    }
    let names = |key| if is_run { settings.list(set, key) } else { Ok(Vec::new()) };
    Ok(Dependencies {
        deps: deferred(settings, set, |settings, set| settings.requirement_text(set, "deps")),
        groups: names("dependency_groups")?,
        extras: names("extras")?,
        pylock: if is_run { settings.text(set, "pylock")? } else { String::new() },
        platforms: if is_run && settings.says(set, "platforms")? {
            settings.list(set, "platforms")?
        } else {
            Vec::new()
        },
    })
}

fn packaging(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<Option<Packaging>, ConfigError> {
    let Some(kind) = PackageKind::named(&settings.text(set, "package")?) else { return Ok(None) };
    let package_environment = settings.text(set, "package_env")?;
    let wheel_environment = if kind.is_of_interpreter() {
        let shared = package_environment.clone();
        deferred(settings, set, move |settings, set| {
            Ok(Some(settings.text(set, "wheel_build_env")?).filter(|name| *name != shared))
        })
    } else {
        Deferred::ready(None)
    };
    Ok(Some(Packaging { kind, package_environment, wheel_environment, extras: settings.list(set, "extras")? }))
}

fn package_of_runtime(settings: &Settings, set: &ConfigSet) -> Result<Option<ProjectPackage>, ConfigError> {
    let Some(word) = settings.package_of_runtime(set)? else { return Ok(None) };
    let place = settings.location_within(set, "package", &word).map(Box::new);
    Ok(Some(ProjectPackage { word, place }))
}

fn package_build(settings: &Settings, set: &ConfigSet) -> Result<PackageBuild, ConfigError> {
    let pep517 = set.kind == SetKind::Pep517Package;
    let env_dir = settings.path(set, "env_dir")?;
    Ok(PackageBuild {
        package_root: settings.path(set, "package_root")?,
        meta_dir: if pep517 { settings.path(set, "meta_dir")? } else { env_dir.join(".meta") },
        package_dir: if pep517 { settings.path(set, "pkg_dir")? } else { env_dir.join("dist") },
        fresh_subprocess: pep517 && settings.boolean(set, "fresh_subprocess")?,
        config_settings: if pep517 { config_settings(settings, set)? } else { Vec::new() },
        package_glob: if pep517 { String::new() } else { settings.text(set, "package_glob")? },
    })
}

type HookSettings = Vec<(String, Vec<(String, serde_json::Value)>)>;

fn config_settings(settings: &Settings, set: &ConfigSet) -> Result<HookSettings, ConfigError> {
    let mut found = Vec::new();
    for key in keys::all() {
        let Some(hook) = key.name.strip_prefix("config_settings_") else { continue };
        if let SettingValue::Mapping(pairs) = settings.value(set, key.name)? {
            found.push((hook.to_owned(), pairs));
        }
    }
    Ok(found)
}

/// The service that the environment is, with fields only where the configuration says them.
fn fields_service(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<Option<ServiceSettings>, ConfigError> {
    let (settings, set) = settings.set_for_fields(set);
    service(&settings, &set)
}

fn variables(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<VariableSettings, ConfigError> {
    let mut disallow = settings.list(set, "disallow_pass_env")?;
    let runner = settings.runner(set)?.unwrap_or(Runner::Virtualenv);
    let written = match set.kind {
        SetKind::Run => {
            let (settings, set) = settings.set_for_fields(set);
            deferred(&settings, &set, |settings, set| settings.all_variables(set, &Trail::default()))
        }
        _ => Deferred::ready(Vec::new()),
    };
    let secrets = secret_variables(settings, set)?;
    if !runner.uses_uv() {
        let set_env = deferred(settings, set, set_variables);
        return Ok(VariableSettings {
            pass: settings.list(set, "pass_env")?,
            disallow,
            set: set_env,
            written,
            secrets,
        });
    }
    // uv would take this interpreter rather than the environment's.
    disallow.push("UV_PYTHON".to_owned());
    let set_env = deferred(settings, set, move |settings, set| {
        let mut variables = set_variables(settings, set)?;
        let env_dir = crate::os_text::decode(settings.path(set, "env_dir")?.as_os_str());
        variables.retain(|(name, _)| name != "UV_PYTHON" && name != "VIRTUAL_ENV");
        if runner == Runner::UvLock {
            variables.push(("UV_PROJECT_ENVIRONMENT".to_owned(), env_dir.clone()));
        }
        variables.push(("VIRTUAL_ENV".to_owned(), env_dir));
        Ok(variables)
    });
    Ok(VariableSettings { pass: settings.list(set, "pass_env")?, disallow, set: set_env, written, secrets })
}

/// `env_file`, then `set_env`, which counts where both set a variable.
fn set_variables(settings: &Settings, set: &ConfigSet) -> Result<Vec<(String, String)>, ConfigError> {
    let own = settings.all_variables(set, &Trail::default())?;
    let mut variables = env_files(settings, set)?;
    variables.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
    variables.extend(own);
    Ok(variables)
}

/// How long an interrupted command has. tox looks when it is interrupted, so a value that is no time does not keep an
/// environment from running; the default counts then, and `config --check` tells.
fn timeouts(settings: &Settings, set: &ConfigSet) -> Timeouts {
    let seconds = |name: &str| {
        let of_default = match keys::find(name).map(|key| key.initial) {
            Some(DefaultValue::Number(seconds)) => Duration::from_secs_f64(seconds),
            _ => Duration::ZERO,
        };
        match settings.value(set, name) {
            Ok(SettingValue::Float(seconds)) if seconds.is_nan() || seconds < 0.0 => of_default,
            Ok(SettingValue::Float(seconds)) => Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            _ => of_default,
        }
    };
    Timeouts {
        suicide: seconds("suicide_timeout"),
        interrupt: seconds("interrupt_timeout"),
        terminate: seconds("terminate_timeout"),
    }
}

fn command_lists(settings: &Arc<Settings>, set: &Arc<ConfigSet>) -> Result<CommandLists, ConfigError> {
    let defined: fn(SetKind, &str) -> bool = |kind, key| match kind {
        SetKind::Run => true,
        SetKind::CommandPackage => key == "commands",
        SetKind::Core | SetKind::Pep517Package => false,
    };
    let list = |key: &'static str| {
        let other_setup = key == "extra_setup_commands" && settings.runs_script(set);
        if defined(set.kind, key) && !other_setup {
            // What replaces them for this run is as it was meant.
            let is_filled = matches!(key, "commands_pre" | "commands" | "commands_post") && set.kind == SetKind::Run;
            let (settings, set) = match is_filled && set.memory_value(key).is_none() {
                true => settings.set_for_fields(set),
                false => (Arc::clone(settings), Arc::clone(set)),
            };
            deferred(&settings, &set, move |settings, set| settings.commands(set, key))
        } else {
            Deferred::ready(Vec::new())
        }
    };
    let is_run = set.kind == SetKind::Run;
    Ok(CommandLists {
        recreate: list("recreate_commands"),
        extra_setup: list("extra_setup_commands"),
        pre: list("commands_pre"),
        main: list("commands"),
        post: list("commands_post"),
        ignore_errors: set.kind != SetKind::Pep517Package && settings.boolean(set, "ignore_errors")?,
        retries: if is_run { retries(settings, set)? } else { 0 },
        post_after_interrupt: is_run && settings.boolean(set, "interrupt_post_commands")?,
    })
}

fn retries(settings: &Settings, set: &ConfigSet) -> Result<u32, ConfigError> {
    match settings.value(set, "commands_retry")? {
        // tox tries at least once whatever the number.
        SettingValue::Integer(number) => Ok(u32::try_from(number.max(0)).unwrap_or(u32::MAX)),
        _ => Ok(0),
    }
}
