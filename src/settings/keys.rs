//! The one table of setting keys. Looking a key up, `config`, warnings about unused keys, did-you-mean and the reference
//! docs all read it. <https://tox.wiki/en/4.67.13/reference/config.html>

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::config_set::SetKind;
use super::value::Kind;
use crate::model::Runner;

/// What a key is when nobody sets it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Empty, or false, or absent, whatever the kind has.
    Nothing,
    True,
    Text(&'static str),
    Number(f64),
    /// Worked out from other settings (`defaults`).
    Computed,
    /// Never read from a file: tox calls it a constant.
    Constant,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    pub name: &'static str,
    /// Older spellings.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub initial: Initial,
    pub doc: &'static str,
}

impl Key {
    /// What the key holds in a set: `labels` groups environments for the project, and lists groups for an environment.
    pub fn kind_in(&self, set: SetKind) -> Kind {
        match self.kind {
            Kind::Labels if set != SetKind::Core => Kind::Set,
            kind => kind,
        }
    }

    /// The older spellings the key has in a set: only the project's `package_env` has one.
    pub fn aliases_in(&self, set: SetKind) -> &'static [&'static str] {
        if self.name == "package_env" && set != SetKind::Core { &[] } else { self.aliases }
    }
}

const fn key(name: &'static str, kind: Kind, initial: Initial, doc: &'static str) -> Key {
    Key { name, aliases: &[], kind, initial, doc }
}

const fn aliased(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    initial: Initial,
    doc: &'static str,
) -> Key {
    Key { name, aliases, kind, initial, doc }
}

use Initial::{Computed, Constant, Nothing, Number, Text, True};

/// Every key there is, tox's first, then envo's own.
pub static KEYS: &[Key] = &[
    // --- the project ---
    aliased("env_list", &["envlist"], Kind::Environments, Nothing, "environments that run when none is named"),
    key("config_file_path", Kind::Path, Constant, "path to the configuration file"),
    aliased(
        "tox_root",
        &["toxinidir"],
        Kind::Path,
        Computed,
        "the project's root, by default the configuration file's folder",
    ),
    key("tox_root_name", Kind::Text, Constant, "name of the root directory"),
    aliased("package_root", &["setupdir"], Kind::Path, Computed, "the folder with the project's packaging files"),
    key("home", Kind::Path, Constant, "the user's home directory"),
    aliased(
        "work_dir",
        &["toxworkdir"],
        Kind::Path,
        Computed,
        "where environments are kept, by default `.tox` below the root",
    ),
    key("temp_dir", Kind::Path, Computed, "a folder for temporary files, not emptied at start"),
    key(
        "venv_redirect",
        Kind::OptionalBoolean,
        Nothing,
        "whether to point a `.venv` redirect file (PEP 832) at an environment",
    ),
    key("venv_redirect_env", Kind::OptionalText, Nothing, "the environment that the `.venv` redirect file points at"),
    key("host_python", Kind::Path, Constant, "the Python that is used where the configuration names none"),
    key("on_platform", Kind::Text, Constant, "the platform this runs on, as Python's `sys.platform`"),
    aliased(
        "min_version",
        &["minversion"],
        Kind::OptionalText,
        Nothing,
        "the oldest tox that understands the configuration",
    ),
    key("provision_tox_env", Kind::Text, Text(".tox"), "the environment that a missing tox or plugin is provided in"),
    key("requires", Kind::RequirementList, Nothing, "what must be installed beside tox, provided when missing"),
    key("labels", Kind::Labels, Nothing, "names for groups of environments"),
    aliased(
        "ignore_base_python_conflict",
        &["ignore_basepython_conflict"],
        Kind::Boolean,
        Nothing,
        "let the environment's name win where it conflicts with `base_python`",
    ),
    key(
        "skip_missing_interpreters",
        Kind::Boolean,
        Computed,
        "skip environments whose interpreter is missing instead of failing",
    ),
    aliased("no_package", &["skipsdist"], Kind::Boolean, Nothing, "the project is not packaged at all"),
    aliased("package_env", &["isolated_build_env"], Kind::Text, Computed, "the environment that builds the package"),
    // --- every environment ---
    aliased("set_env", &["setenv"], Kind::Variables, Nothing, "variables for the environment's commands"),
    key("base", Kind::List, Computed, "sections that missing keys are inherited from"),
    key("runner", Kind::Text, Computed, "what makes and runs the environment"),
    key("description", Kind::Text, Nothing, "what the environment is for, in one line"),
    key(
        "depends",
        Kind::Environments,
        Nothing,
        "environments that run before this one; services that are up while it runs",
    ),
    aliased("env_name", &["envname"], Kind::Text, Constant, "the environment's name"),
    aliased("env_dir", &["envdir"], Kind::Path, Computed, "the environment's folder"),
    aliased("env_tmp_dir", &["envtmpdir"], Kind::Path, Computed, "a folder that is emptied at the start of every run"),
    aliased("env_log_dir", &["envlogdir"], Kind::Path, Computed, "where the logs of commands are kept"),
    key("suicide_timeout", Kind::Float, Number(0.0), "seconds an interrupted command has before SIGINT"),
    key("interrupt_timeout", Kind::Float, Number(0.3), "seconds a command has after SIGINT before SIGTERM"),
    key("terminate_timeout", Kind::Float, Number(0.2), "seconds a command has after SIGTERM before SIGKILL"),
    key("platform", Kind::Text, Nothing, "run only where this regular expression matches the platform"),
    aliased("pass_env", &["passenv"], Kind::List, Nothing, "variables of this process that commands get too; globs"),
    key("disallow_pass_env", Kind::List, Nothing, "globs of variables that are taken out of `pass_env` again"),
    key("parallel_show_output", Kind::Boolean, Nothing, "show the output in parallel runs even when nothing fails"),
    key("recreate", Kind::Boolean, Computed, "make the environment anew every time"),
    key("allowlist_externals", Kind::List, Nothing, "globs of programs outside the environment that commands may call"),
    key("list_dependencies_command", Kind::Command, Computed, "the command that lists what is installed"),
    key("pip_pre", Kind::Boolean, Nothing, "accept pre-releases when installing"),
    key("install_command", Kind::Command, Computed, "the command that installs packages"),
    key("constraints", Kind::Constraints, Nothing, "constraint files or URLs for what is installed"),
    key("constrain_package_deps", Kind::Boolean, Nothing, "apply the constraints to what the package requires as well"),
    key("use_frozen_constraints", Kind::Boolean, Nothing, "constrain by the versions that `deps` installed"),
    key("commands_pre", Kind::Commands, Nothing, "commands that run before `commands`"),
    key("commands", Kind::Commands, Computed, "what the environment is for"),
    key("commands_post", Kind::Commands, Nothing, "commands that run after `commands`, whatever became of them"),
    key("interrupt_post_commands", Kind::Boolean, Nothing, "run `commands_post` even after an interrupt"),
    key("recreate_commands", Kind::Commands, Nothing, "commands that run before the environment is removed"),
    aliased("change_dir", &["changedir"], Kind::Path, Computed, "the folder that commands run in"),
    key("args_are_paths", Kind::Boolean, True, "rewrite relative paths after `--` to be relative to `change_dir`"),
    key("ignore_errors", Kind::Boolean, Nothing, "go on with the other commands when one fails"),
    key("commands_retry", Kind::Integer, Nothing, "how often a failed command is tried again"),
    key("ignore_outcome", Kind::Boolean, Nothing, "a failure of this environment does not fail the run"),
    key("fail_fast", Kind::Boolean, Nothing, "a failure of this environment stops those not yet started"),
    key("default_base_python", Kind::List, Computed, "the interpreter when neither name nor settings say one"),
    key("base_python_file", Kind::List, Nothing, "files such as `.python-version` that name the interpreter"),
    aliased(
        "base_python",
        &["basepython"],
        Kind::List,
        Computed,
        "interpreters to make the environment with, first found wins",
    ),
    aliased(
        "env_site_packages_dir",
        &["envsitepackagesdir"],
        Kind::Path,
        Constant,
        "where the environment's pure modules are",
    ),
    aliased(
        "env_site_packages_dir_plat",
        &["envsitepackagesdir_plat"],
        Kind::Path,
        Constant,
        "where the environment's compiled modules are",
    ),
    aliased("env_bin_dir", &["envbindir"], Kind::Path, Constant, "where the environment's programs are"),
    aliased("env_python", &["envpython"], Kind::Path, Constant, "the environment's interpreter"),
    key("py_dot_ver", Kind::Text, Constant, "major and minor version of the interpreter"),
    key("py_impl", Kind::Text, Constant, "implementation of the interpreter, in lower case"),
    key("py_free_threaded", Kind::Boolean, Constant, "whether the interpreter is free-threaded"),
    key("py_debug", Kind::Boolean, Constant, "whether the interpreter is a debug build"),
    key("deps", Kind::Requirements, Nothing, "what to install, as in a requirements file"),
    key("dependency_groups", Kind::Set, Nothing, "dependency groups of the project to install (PEP 735)"),
    key("extras", Kind::Set, Nothing, "extras of the project to install"),
    key("pylock", Kind::Text, Nothing, "a lock file to install from (PEP 751)"),
    key(
        "extra_setup_commands",
        Kind::Commands,
        Nothing,
        "commands that finish the environment after everything is installed",
    ),
    aliased(
        "system_site_packages",
        &["sitepackages"],
        Kind::Boolean,
        Computed,
        "let the environment see the interpreter's own packages",
    ),
    aliased("always_copy", &["alwayscopy"], Kind::Boolean, Computed, "copy the interpreter instead of linking it"),
    key("download", Kind::Boolean, Computed, "take the newest pip from the index"),
    key("virtualenv_spec", Kind::Text, Computed, "the virtualenv that has to make the environment"),
    key("skip_install", Kind::Boolean, Nothing, "do not install the project"),
    aliased("use_develop", &["usedevelop"], Kind::Boolean, Nothing, "install the project in editable mode"),
    key(
        "package",
        Kind::Text,
        Computed,
        "how the project is installed: wheel, sdist, sdist-wheel, editable, editable-legacy, deps-only, skip or external",
    ),
    key("package_tox_env_type", Kind::Text, Constant, "the kind of the environment that builds the package"),
    key("wheel_build_env", Kind::Text, Computed, "the environment that builds the wheel"),
    // --- tox-uv's environments ---
    key("uv_resolution", Kind::Text, Nothing, "how uv chooses versions: highest, lowest or lowest-direct"),
    key(
        "uv_seed",
        Kind::Boolean,
        Nothing,
        "put pip, and for old interpreters setuptools and wheel, into the environment",
    ),
    key("uv_python_preference", Kind::Text, Computed, "which interpreters uv prefers; none leaves that to uv"),
    key("only_groups", Kind::Set, Nothing, "install nothing but these dependency groups"),
    key("no_default_groups", Kind::Boolean, Computed, "leave the project's default dependency groups out"),
    key("uv_sync_flags", Kind::List, Nothing, "more options for `uv sync`"),
    key("uv_sync_locked", Kind::Boolean, True, "fail when the lock file does not fit the project any more"),
    // --- environments of scripts ---
    key("script", Kind::Text, Nothing, "the script of the environment, which says itself what it needs (PEP 723)"),
    // --- packaging environments ---
    key("meta_dir", Kind::Path, Computed, "where the project's metadata is put"),
    key("pkg_dir", Kind::Path, Computed, "where packages are put"),
    key(
        "config_settings_get_requires_for_build_sdist",
        Kind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_sdist", Kind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key(
        "config_settings_get_requires_for_build_wheel",
        Kind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_wheel",
        Kind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_wheel", Kind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key(
        "config_settings_get_requires_for_build_editable",
        Kind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_editable",
        Kind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_editable", Kind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key("fresh_subprocess", Kind::Boolean, Computed, "start the build backend anew for every call"),
    key("package_glob", Kind::Text, Computed, "where `commands` of an external builder leave the package"),
    // --- envo's own ---
    key("installer", Kind::Text, Text("auto"), "which program installs: auto (uv where it can, else pip), pip or uv"),
    key("serve", Kind::Line, Nothing, "the program to keep running; makes the environment a service"),
    key("ports", Kind::Plain, Nothing, "TCP ports, each a name or NAME=NUMBER"),
    key("host", Kind::Text, Nothing, "the address the service listens on"),
    key("url", Kind::Text, Nothing, "what those that depend on the service are told"),
    key("ready", Kind::Text, Nothing, "the probe that says when the service can be used"),
    key("ready_timeout", Kind::Plain, Nothing, "seconds after which a service that is not ready has failed"),
    key("alive", Kind::Text, Nothing, "a probe that a running service must keep passing"),
    key("restart", Kind::Text, Nothing, "what the end of the service's process does: no, on-failure or always"),
    key("restart_limit", Kind::Plain, Nothing, "how many restarts before giving up"),
    key("success_exit_codes", Kind::Plain, Nothing, "exit codes that count as a good end"),
    key("stop_signal", Kind::Text, Nothing, "the signal that asks the service to stop"),
    key("stop_timeout", Kind::Plain, Nothing, "seconds after which a service that does not stop is killed"),
    key("adopt", Kind::Plain, Nothing, "use what already answers on the fixed port"),
    key("share", Kind::Text, Nothing, "one instance per test run, per worker or per test"),
    key("idle_timeout", Kind::Plain, Nothing, "seconds the service is kept after its last user"),
    key("pty", Kind::Plain, Nothing, "let the service write to a pseudo-terminal"),
    key("listen_fds", Kind::Plain, Nothing, "hand the sockets of the ports to the service, open (LISTEN_FDS)"),
    key("watch", Kind::Plain, Nothing, "paths and globs, a change of which restarts the service; `!` leaves some out"),
    key("watch_command", Kind::Line, Nothing, "what a change runs instead of restarting the service"),
    key("profiles", Kind::Plain, Nothing, "start the service only in these profiles, or when something needs it"),
    key("instances", Kind::Plain, Nothing, "how many of the service run, each with ports of its own"),
    key(
        "env_file",
        Kind::Plain,
        Nothing,
        "files of NAME=VALUE lines for the variables; `-` before one that may be missing",
    ),
    key(
        "runtime",
        Kind::List,
        Text("python"),
        "the languages the environment is made for, each with a version after @",
    ),
    key("install_runtime", Kind::Boolean, Nothing, "fetch a runtime that is not installed"),
    key("node_deps", Kind::List, Nothing, "packages of npm's registry to install, in npm's notation"),
    key("ruby_deps", Kind::List, Nothing, "gems to install, each with a version requirement behind a blank"),
    key("go_deps", Kind::List, Nothing, "Go programs to build and install, as go install takes them"),
    key("rust_deps", Kind::List, Nothing, "Rust programs to build and install, as cargo install takes them"),
];

/// Keys of envo's own that any environment may have; `config` shows them only where they are used.
pub const OWN: &[&str] = &["installer"];

/// Whether a key is one that tox does not have.
pub fn is_own(name: &str) -> bool {
    OWN.contains(&name) || SERVICE.contains(&name)
}

/// The keys of services and runtimes, which `config` shows only where they are used.
pub const SERVICE: &[&str] = &[
    "serve",
    "ports",
    "host",
    "url",
    "ready",
    "ready_timeout",
    "alive",
    "restart",
    "restart_limit",
    "success_exit_codes",
    "stop_signal",
    "stop_timeout",
    "adopt",
    "share",
    "idle_timeout",
    "pty",
    "listen_fds",
    "watch",
    "watch_command",
    "profiles",
    "instances",
    "env_file",
    "runtime",
    "install_runtime",
    "node_deps",
    "ruby_deps",
    "go_deps",
    "rust_deps",
];

/// The project's keys in the order `config --core` shows them; `package_env` only when something is packaged.
pub const CORE: &[&str] = &[
    "config_file_path",
    "tox_root",
    "tox_root_name",
    "package_root",
    "home",
    "work_dir",
    "temp_dir",
    "venv_redirect",
    "venv_redirect_env",
    "host_python",
    "env_list",
    "base",
    "on_platform",
    "min_version",
    "provision_tox_env",
    "requires",
    "labels",
    "ignore_base_python_conflict",
    "skip_missing_interpreters",
    "no_package",
    "package_env",
];

/// The keys that all environments have, in the order `config` shows them.
const COMMON: &[&str] = &[
    "env_name",
    "labels",
    "env_dir",
    "env_tmp_dir",
    "env_log_dir",
    "suicide_timeout",
    "interrupt_timeout",
    "terminate_timeout",
    "platform",
    "pass_env",
    "disallow_pass_env",
    "parallel_show_output",
    "recreate",
    "allowlist_externals",
    "list_dependencies_command",
    "pip_pre",
    "install_command",
    "constraints",
    "constrain_package_deps",
    "use_frozen_constraints",
];

const PYTHON: &[&str] = &[
    "default_base_python",
    "base_python_file",
    "base_python",
    "env_site_packages_dir",
    "env_site_packages_dir_plat",
    "env_bin_dir",
    "env_python",
    "py_dot_ver",
    "py_impl",
    "py_free_threaded",
    "py_debug",
];

/// What installing with uv adds to [`COMMON`].
const UV_INSTALL: &[&str] = &["uv_resolution"];

/// What making an environment with uv takes in place of [`VIRTUALENV`].
const UV: &[&str] = &["uv_seed", "system_site_packages", "uv_python_preference"];

/// What is synchronised with the lock file.
const UV_SYNC: &[&str] = &[
    "extras",
    "dependency_groups",
    "only_groups",
    "no_default_groups",
    "uv_sync_flags",
    "uv_sync_locked",
    "package",
    "package_root",
];

/// What an environment of a script has instead of what is installed into others.
const SCRIPT: &[&str] = &["script", "skip_missing_interpreters"];

const VIRTUALENV: &[&str] = &["system_site_packages", "always_copy", "download", "virtualenv_spec"];

/// The keys of a run environment, in groups, up to those about packaging, which depend on the environment.
pub const RUN: &[&[&str]] = &[
    &["set_env", "base", "runner", "description", "depends"],
    COMMON,
    &[
        "commands_pre",
        "commands",
        "commands_post",
        "interrupt_post_commands",
        "recreate_commands",
        "change_dir",
        "args_are_paths",
        "ignore_errors",
        "commands_retry",
        "ignore_outcome",
        "fail_fast",
    ],
    PYTHON,
    &["deps", "dependency_groups", "extras", "pylock", "extra_setup_commands", "skip_missing_interpreters"],
    VIRTUALENV,
];

/// The keys of an environment that builds through a PEP 517 backend.
pub const PEP517_PACKAGE: &[&[&str]] = &[
    &["set_env", "base"],
    COMMON,
    &["package_root"],
    PYTHON,
    VIRTUALENV,
    &["skip_missing_interpreters"],
    &[
        "meta_dir",
        "pkg_dir",
        "config_settings_get_requires_for_build_sdist",
        "config_settings_build_sdist",
        "config_settings_get_requires_for_build_wheel",
        "config_settings_prepare_metadata_for_build_wheel",
        "config_settings_build_wheel",
        "config_settings_get_requires_for_build_editable",
        "config_settings_prepare_metadata_for_build_editable",
        "config_settings_build_editable",
        "fresh_subprocess",
        "deps",
    ],
];

/// The keys of an environment that builds with commands of its own.
pub const COMMAND_PACKAGE: &[&[&str]] = &[
    &["set_env", "base"],
    COMMON,
    &["package_root"],
    PYTHON,
    VIRTUALENV,
    &["skip_missing_interpreters", "deps", "commands", "change_dir", "ignore_errors", "package_glob"],
];

/// The keys an environment always has, in the order `config` shows them.
pub fn always(kind: SetKind, runner: Option<Runner>) -> Vec<&'static str> {
    let groups = match kind {
        SetKind::Core => return CORE.to_vec(),
        SetKind::Run => RUN,
        SetKind::Pep517Package => PEP517_PACKAGE,
        SetKind::CommandPackage => COMMAND_PACKAGE,
    };
    let runner = runner.unwrap_or(Runner::Virtualenv);
    let mut found = Vec::new();
    for group in groups {
        match *group {
            COMMON if runner.uses_uv() => found.extend([COMMON, UV_INSTALL].concat()),
            VIRTUALENV if runner.uses_uv() => found.extend(UV),
            // What is installed stands in the lock file, or in the script.
            ["deps", "dependency_groups", ..] if !runner.takes_package() => {}
            other => found.extend(other),
        }
    }
    if runner == Runner::UvLock {
        found.extend(UV_SYNC);
    }
    if runner.runs_script() {
        found.extend(SCRIPT);
    }
    found
}

/// Whether some environment of that kind always has the key, whatever its runner.
pub fn may_have(kind: SetKind, name: &str) -> bool {
    match kind {
        SetKind::Core => CORE.contains(&name),
        SetKind::Run => {
            in_groups(RUN, name) || [UV_INSTALL, UV, UV_SYNC, SCRIPT].iter().any(|group| group.contains(&name))
        }
        SetKind::Pep517Package => in_groups(PEP517_PACKAGE, name) || UV_INSTALL.contains(&name) || UV.contains(&name),
        SetKind::CommandPackage => in_groups(COMMAND_PACKAGE, name) || UV_INSTALL.contains(&name) || UV.contains(&name),
    }
}

fn in_groups(groups: &[&[&str]], name: &str) -> bool {
    groups.iter().any(|group| group.contains(&name))
}

/// The key of that name or older spelling.
pub fn find(name: &str) -> Option<&'static Key> {
    BY_SPELLING.get(name).copied()
}

static BY_SPELLING: LazyLock<FxHashMap<&'static str, &'static Key>> = LazyLock::new(|| {
    let spellings = |key: &'static Key| std::iter::once(key.name).chain(key.aliases.iter().copied());
    KEYS.iter().flat_map(|key| spellings(key).map(move |spelling| (spelling, key))).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_shown_is_in_the_table() {
        let groups = [RUN, PEP517_PACKAGE, COMMAND_PACKAGE].concat();
        for name in groups
            .into_iter()
            .flatten()
            .chain(CORE)
            .chain(SERVICE)
            .chain(OWN)
            .chain(UV)
            .chain(UV_SYNC)
            .chain(UV_INSTALL)
            .chain(SCRIPT)
        {
            assert_eq!(find(name).map(|key| key.name), Some(*name));
        }
    }

    #[test]
    fn no_spelling_means_two_keys() {
        let mut seen = std::collections::HashSet::new();
        for name in KEYS.iter().flat_map(|key| std::iter::once(&key.name).chain(key.aliases)) {
            assert!(seen.insert(name), "{name} stands twice");
        }
    }
}
