//! The keys of packaging environments.

use crate::settings::keys::DefaultValue::{Computed, Nothing};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("meta_dir", ValueKind::Path, Computed, "the folder for the project's metadata"),
    key("pkg_dir", ValueKind::Path, Computed, "the folder for built packages"),
    key(
        "config_settings_get_requires_for_build_sdist",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_sdist", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key(
        "config_settings_get_requires_for_build_wheel",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_wheel",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_wheel", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key(
        "config_settings_get_requires_for_build_editable",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_editable",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings for this hook",
    ),
    key("config_settings_build_editable", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings for this hook"),
    key("fresh_subprocess", ValueKind::Boolean, Computed, "start a new process of the build backend for every call"),
    key(
        "package_glob",
        ValueKind::Text,
        Computed,
        "a glob for the package that `commands` of an external builder create",
    ),
];
