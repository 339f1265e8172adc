//! tox's descriptions of its keys, for `schema`, in tox's exact words. The reference docs use those of
//! [`keys`](crate::settings::keys).

use crate::settings::config_set::SetKind;
use crate::settings::keys::SettingKey;

/// The description of a key in `schema`.
pub fn description(key: &SettingKey, kind: SetKind) -> &'static str {
    let special = match (kind, key.name) {
        (SetKind::Core, "labels") => Some("core labels"),
        (SetKind::Core, "skip_missing_interpreters") => Some("skip running missing interpreters"),
        (SetKind::Pep517Package | SetKind::CommandPackage, "deps") => {
            Some("Name of the python dependencies as specified by PEP-440")
        }
        _ => None,
    };
    special.or_else(|| of_tox(key.name)).unwrap_or(key.doc)
}

/// tox's description; `None` for keys that tox itself does not have.
fn of_tox(name: &str) -> Option<&'static str> {
    Some(match name {
        "set_env" => "environment variables to set when running commands in the tox environment",
        "base" => "inherit missing keys from these sections",
        "runner" => "the tox execute used to evaluate this environment",
        "description" => "description attached to the tox environment",
        "depends" => "tox environments that this environment depends on (must be run after those)",
        "labels" => "labels attached to the tox environment",
        "env_dir" => "directory assigned to the tox environment",
        "env_tmp_dir" => "a folder that is always reset at the start of the run",
        "env_log_dir" => "a folder for logging where tox will put logs of tool invocation",
        "suicide_timeout" => "timeout to allow process to exit before sending SIGINT",
        "interrupt_timeout" => "timeout before sending SIGTERM after SIGINT",
        "terminate_timeout" => "timeout before sending SIGKILL after SIGTERM",
        "platform" => "run on platforms that match this regular expression (empty means any platform)",
        "pass_env" => "environment variables to pass on to the tox environment",
        "disallow_pass_env" => "environment variable patterns to exclude after pass_env glob expansion",
        "parallel_show_output" => {
            "if set to True the content of the output will always be shown  when running in parallel mode"
        }
        "recreate" => "always recreate virtual environment if this option is true, otherwise leave it up to tox",
        "allowlist_externals" => "external command glob to allow calling",
        "list_dependencies_command" => "command used to list installed packages",
        "pip_pre" => {
            "install the latest available pre-release (alpha/beta/rc) of dependencies without a specified version"
        }
        "install_command" => "command used to install packages",
        "constraints" => "constraints to apply to installed python dependencies",
        "constrain_package_deps" => "If true, apply constraints during install_package_deps.",
        "use_frozen_constraints" => {
            "Use the exact versions of installed deps as constraints, otherwise use the listed deps."
        }
        "commands_pre" => "the commands to be called before testing",
        "commands" => "the commands to be called for testing",
        "commands_post" => "the commands to be called after testing",
        "interrupt_post_commands" => {
            "run commands_post even after interrupt (SIGINT), allow second interrupt to cancel"
        }
        "recreate_commands" => {
            "commands to run before the environment is removed during recreation (e.g. cache cleanup)"
        }
        "change_dir" => "change to this working directory when executing the test command",
        "args_are_paths" => "if True rewrite relative posargs paths from cwd to change_dir",
        "ignore_errors" => "when executing the commands keep going even if a sub-command exits with non-zero exit code",
        "commands_retry" => "number of times to retry a failed command (0 means no retries)",
        "ignore_outcome" => {
            "if set to true a failing result of this testenv will not make tox fail (instead just warn)"
        }
        "fail_fast" => "if set to true, tox will stop executing remaining environments when this environment fails",
        "default_base_python" => "fallback python interpreter used when no factor or explicit base_python is defined",
        "base_python_file" => {
            "file(s) containing the Python version to use (e.g. .python-version), first one found wins; used when base_python is not explicitly set and the env name has no Python factor"
        }
        "base_python" => "environment identifier for python, first one found wins",
        "deps" => "python dependencies with optional version specifiers, as specified by PEP-440",
        "dependency_groups" => "dependency groups to install of the target package",
        "extras" => "extras to install of the target package",
        "pylock" => "PEP 751 pylock.toml lock file path to install locked dependencies from",
        "extra_setup_commands" => "commands to execute after setup (deps and package install) but before test commands",
        "skip_missing_interpreters" => "override core skip_missing_interpreters for this environment",
        "system_site_packages" => "create virtual environments that also have access to globally installed packages.",
        "always_copy" => "force virtualenv to always copy rather than symlink",
        "download" => "true if you want virtualenv to upgrade pip/wheel/setuptools to the latest version",
        "virtualenv_spec" => {
            "PEP 440 version spec for virtualenv (e.g. virtualenv<20.22.0). When set, tox bootstraps this version in an isolated environment and runs it via subprocess, enabling Python versions incompatible with the installed virtualenv. Left empty it is derived automatically: tox pins an older virtualenv only when the installed one can no longer create the targeted Python version."
        }
        "skip_install" => "skip installation",
        "use_develop" => "use develop mode",
        "package" => {
            "package installation mode - wheel | sdist | sdist-wheel | editable | editable-legacy | deps-only | skip | external "
        }
        "package_env" => "tox environment used to package",
        "wheel_build_env" => "wheel tag to use for building applications",
        "package_root" => {
            "indicates where the packaging root file exists (historically setup.py file or pyproject.toml now)"
        }
        "meta_dir" => "directory where to put the project metadata files",
        "pkg_dir" => "directory where to put project packages",
        "config_settings_get_requires_for_build_sdist" => {
            "config settings passed to the get_requires_for_build_sdist backend API endpoint"
        }
        "config_settings_build_sdist" => "config settings passed to the build_sdist backend API endpoint",
        "config_settings_get_requires_for_build_wheel" => {
            "config settings passed to the get_requires_for_build_wheel backend API endpoint"
        }
        "config_settings_prepare_metadata_for_build_wheel" => {
            "config settings passed to the prepare_metadata_for_build_wheel backend API endpoint"
        }
        "config_settings_build_wheel" => "config settings passed to the build_wheel backend API endpoint",
        "config_settings_get_requires_for_build_editable" => {
            "config settings passed to the get_requires_for_build_editable backend API endpoint"
        }
        "config_settings_prepare_metadata_for_build_editable" => {
            "config settings passed to the prepare_metadata_for_build_editable backend API endpoint"
        }
        "config_settings_build_editable" => "config settings passed to the build_editable backend API endpoint",
        "fresh_subprocess" => "create a fresh subprocess for every backend request",
        "tox_root" => "the root directory (where the configuration file is found)",
        "work_dir" => "working directory",
        "temp_dir" => "a folder for temporary files (is not cleaned at start)",
        "venv_redirect" => {
            "(provisional) point a PEP-832 .venv redirect file at a tox environment, so editors can discover it; unset means on unless a tox environment lives at .venv"
        }
        "venv_redirect_env" => {
            "(provisional) the tox environment the .venv redirect file points at, picked automatically when unset"
        }
        "env_list" => "define environments to automatically run",
        "min_version" => "Define the minimal tox version required to run",
        "provision_tox_env" => "Name of the virtual environment used to provision a tox.",
        "requires" => "Dependencies the Python environment hosting tox must satisfy, provisioned when missing",
        "ignore_base_python_conflict" => "do not raise error if the environment name conflicts with base python",
        "no_package" => "is there any packaging involved in this project",
        "package_glob" => "glob used to find the built package to install",
        _ => return None,
    })
}
