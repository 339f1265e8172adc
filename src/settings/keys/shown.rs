//! The keys of each kind of environment, in the order of `config`.

use crate::model::Runner;
use crate::settings::config_set::SetKind;

/// The project's keys in the order of `config --core`; `package_env` only if a package is built.
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

/// The keys of all environments, in the order of `config`.
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

/// The keys for creating an environment with uv, instead of [`VIRTUALENV`].
const UV: &[&str] = &["uv_seed", "system_site_packages", "uv_python_preference"];

/// The keys for `uv sync`.
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

/// The keys of an environment for a script, instead of `deps` and the like.
const SCRIPT: &[&str] = &["script", "skip_missing_interpreters"];

const VIRTUALENV: &[&str] = &["system_site_packages", "always_copy", "download", "virtualenv_spec"];

/// The keys of a run environment, in groups, without those for packaging, which depend on the environment.
const RUN: &[&[&str]] = &[
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
const PEP517_PACKAGE: &[&[&str]] = &[
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

/// The keys of an environment that builds with its own commands.
const COMMAND_PACKAGE: &[&[&str]] = &[
    &["set_env", "base"],
    COMMON,
    &["package_root"],
    PYTHON,
    VIRTUALENV,
    &["skip_missing_interpreters", "deps", "commands", "change_dir", "ignore_errors", "package_glob"],
];

/// The keys that an environment always has, in the order of `config`.
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
            // The requirements are in the lock file or in the script.
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

/// Whether an environment of that kind always has the key with any runner.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::keys::find;

    #[test]
    fn every_key_that_is_shown_is_in_the_table() {
        let shown =
            [RUN, PEP517_PACKAGE, COMMAND_PACKAGE].concat().into_iter().chain([CORE, UV_INSTALL, UV, UV_SYNC, SCRIPT]);
        for name in shown.flatten() {
            assert_eq!(find(name).map(|key| key.name), Some(*name));
        }
    }
}
