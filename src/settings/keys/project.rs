//! The keys of the project, in `[tox]`.

use crate::settings::keys::DefaultValue::{Computed, Constant, Nothing};
use crate::settings::keys::{DefaultValue, SettingKey, aliased, key};
use crate::settings::value::ValueKind::{
    Boolean, Environments, Labels, OptionalBoolean, OptionalText, Path, RequirementList, Text,
};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    aliased("env_list", &["envlist"], Environments, Nothing, "environments to run if none are selected"),
    key("config_file_path", Path, Constant, "the path of the configuration file"),
    aliased(
        "tox_root",
        &["toxinidir"],
        Path,
        Computed,
        "the project's root, by default the configuration file's folder",
    ),
    key("tox_root_name", Text, Constant, "the name of the root folder"),
    aliased("package_root", &["setupdir"], Path, Computed, "the folder with the project's packaging files"),
    key("home", Path, Constant, "the user's home directory"),
    aliased("work_dir", &["toxworkdir"], Path, Computed, "the folder for environments, by default `.tox` in the root"),
    key("temp_dir", Path, Computed, "a folder for temporary files, not emptied at start"),
    key(
        "venv_redirect",
        OptionalBoolean,
        Nothing,
        "whether to point a `.venv` redirect file (PEP 832) at an environment",
    ),
    key("venv_redirect_env", OptionalText, Nothing, "the environment that the `.venv` redirect file points at"),
    key("host_python", Path, Constant, "the interpreter for environments that do not specify one"),
    key("on_platform", Text, Constant, "the current platform, as in Python's `sys.platform`"),
    aliased(
        "min_version",
        &["minversion"],
        OptionalText,
        Nothing,
        "the oldest version of tox that supports the configuration",
    ),
    key(
        "provision_tox_env",
        Text,
        DefaultValue::Text(".tox"),
        "the environment in which a missing tox or plugin is installed",
    ),
    key("requires", RequirementList, Nothing, "packages that tox needs, such as plugins; installed if missing"),
    key("labels", Labels, Nothing, "names for groups of environments"),
    aliased(
        "ignore_base_python_conflict",
        &["ignore_basepython_conflict"],
        Boolean,
        Nothing,
        "let the environment's name override a conflicting `base_python`",
    ),
    key(
        "skip_missing_interpreters",
        Boolean,
        Computed,
        "skip environments whose interpreter is missing instead of failing",
    ),
    aliased("no_package", &["skipsdist"], Boolean, Nothing, "do not package the project"),
    aliased("package_env", &["isolated_build_env"], Text, Computed, "the environment that builds the package"),
];
