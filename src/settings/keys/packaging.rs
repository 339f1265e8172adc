//! The keys of packaging environments.

use crate::settings::keys::DefaultValue::{Computed, Nothing};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind::{Boolean, OptionalMapping, Path, Text};

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("meta_dir", Path, Computed, "the folder for the project's metadata"),
    key("pkg_dir", Path, Computed, "the folder for built packages"),
    key(
        "config_settings_get_requires_for_build_sdist",
        OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_sdist", OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key(
        "config_settings_get_requires_for_build_wheel",
        OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_wheel",
        OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_wheel", OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key(
        "config_settings_get_requires_for_build_editable",
        OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_editable",
        OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_editable", OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key("fresh_subprocess", Boolean, Computed, "start a new process of the build backend for every call"),
    key("package_glob", Text, Computed, "a glob for the package that `commands` of an external builder create"),
];
