//! The project's own keys.

use crate::settings::keys::DefaultValue::{Computed, Constant, Nothing, Text};
use crate::settings::keys::{SettingKey, aliased, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    aliased("env_list", &["envlist"], ValueKind::Environments, Nothing, "environments that run when none is named"),
    key("config_file_path", ValueKind::Path, Constant, "path to the configuration file"),
    aliased(
        "tox_root",
        &["toxinidir"],
        ValueKind::Path,
        Computed,
        "the project's root, by default the configuration file's folder",
    ),
    key("tox_root_name", ValueKind::Text, Constant, "name of the root directory"),
    aliased("package_root", &["setupdir"], ValueKind::Path, Computed, "the folder with the project's packaging files"),
    key("home", ValueKind::Path, Constant, "the user's home directory"),
    aliased(
        "work_dir",
        &["toxworkdir"],
        ValueKind::Path,
        Computed,
        "where environments are kept, by default `.tox` below the root",
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
    key("host_python", ValueKind::Path, Constant, "the Python that is used where the configuration names none"),
    key("on_platform", ValueKind::Text, Constant, "the platform this runs on, as Python's `sys.platform`"),
    aliased(
        "min_version",
        &["minversion"],
        ValueKind::OptionalText,
        Nothing,
        "the oldest tox that understands the configuration",
    ),
    key(
        "provision_tox_env",
        ValueKind::Text,
        Text(".tox"),
        "the environment that a missing tox or plugin is provided in",
    ),
    key("requires", ValueKind::RequirementList, Nothing, "what must be installed beside tox, provided when missing"),
    key("labels", ValueKind::Labels, Nothing, "names for groups of environments"),
    aliased(
        "ignore_base_python_conflict",
        &["ignore_basepython_conflict"],
        ValueKind::Boolean,
        Nothing,
        "let the environment's name win where it conflicts with `base_python`",
    ),
    key(
        "skip_missing_interpreters",
        ValueKind::Boolean,
        Computed,
        "skip environments whose interpreter is missing instead of failing",
    ),
    aliased("no_package", &["skipsdist"], ValueKind::Boolean, Nothing, "the project is not packaged at all"),
    aliased(
        "package_env",
        &["isolated_build_env"],
        ValueKind::Text,
        Computed,
        "the environment that builds the package",
    ),
];
