//! The keys of the project, in `[tox]`.

use crate::settings::keys::DefaultValue::{Computed, Constant, Nothing, Text};
use crate::settings::keys::{SettingKey, aliased, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    aliased("env_list", &["envlist"], ValueKind::Environments, Nothing, "environments to run if none are selected"),
    key("config_file_path", ValueKind::Path, Constant, "the path of the configuration file"),
    aliased(
        "tox_root",
        &["toxinidir"],
        ValueKind::Path,
        Computed,
        "the project's root, by default the configuration file's folder",
    ),
    key("tox_root_name", ValueKind::Text, Constant, "the name of the root folder"),
    aliased("package_root", &["setupdir"], ValueKind::Path, Computed, "the folder with the project's packaging files"),
    key("home", ValueKind::Path, Constant, "the user's home directory"),
    aliased(
        "work_dir",
        &["toxworkdir"],
        ValueKind::Path,
        Computed,
        "the folder for environments, by default `.tox` in the root",
    ),
    key("temp_dir", ValueKind::Path, Computed, "a folder for temporary files, not emptied at start"),
    key(
        "venv_redirect",
        ValueKind::OptionalBoolean,
        Nothing,
        "whether to point a `.venv` redirect file (PEP 832) at an environment",
    ),
    key(
        "venv_redirect_env",
        ValueKind::OptionalText,
        Nothing,
        "the environment that the `.venv` redirect file points at",
    ),
    key("host_python", ValueKind::Path, Constant, "the interpreter for environments that do not specify one"),
    key("on_platform", ValueKind::Text, Constant, "the current platform, as in Python's `sys.platform`"),
    aliased(
        "min_version",
        &["minversion"],
        ValueKind::OptionalText,
        Nothing,
        "the oldest version of tox that supports the configuration",
    ),
    key(
        "provision_tox_env",
        ValueKind::Text,
        Text(".tox"),
        "the environment in which a missing tox or plugin is installed",
    ),
    key(
        "requires",
        ValueKind::RequirementList,
        Nothing,
        "packages that tox needs, such as plugins; installed if missing",
    ),
    key("labels", ValueKind::Labels, Nothing, "names for groups of environments"),
    aliased(
        "ignore_base_python_conflict",
        &["ignore_basepython_conflict"],
        ValueKind::Boolean,
        Nothing,
        "let the environment's name override a conflicting `base_python`",
    ),
    key(
        "skip_missing_interpreters",
        ValueKind::Boolean,
        Computed,
        "skip environments whose interpreter is missing instead of failing",
    ),
    aliased("no_package", &["skipsdist"], ValueKind::Boolean, Nothing, "do not package the project"),
    aliased(
        "package_env",
        &["isolated_build_env"],
        ValueKind::Text,
        Computed,
        "the environment that builds the package",
    ),
];
