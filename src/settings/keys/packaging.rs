//! The keys of environments that build the project.

use crate::settings::keys::DefaultValue::{Computed, Nothing};
use crate::settings::keys::{SettingKey, key};
use crate::settings::value::ValueKind;

/// The table's rows.
pub(super) const KEYS: &[SettingKey] = &[
    key("meta_dir", ValueKind::Path, Computed, "where the project's metadata is put"),
    key("pkg_dir", ValueKind::Path, Computed, "where packages are put"),
    key(
        "config_settings_get_requires_for_build_sdist",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_sdist", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key(
        "config_settings_get_requires_for_build_wheel",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_wheel",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_wheel", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key(
        "config_settings_get_requires_for_build_editable",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key(
        "config_settings_prepare_metadata_for_build_editable",
        ValueKind::OptionalMapping,
        Nothing,
        "PEP 517 config settings of that hook",
    ),
    key("config_settings_build_editable", ValueKind::OptionalMapping, Nothing, "PEP 517 config settings of that hook"),
    key("fresh_subprocess", ValueKind::Boolean, Computed, "start the build backend anew for every call"),
    key("package_glob", ValueKind::Text, Computed, "where `commands` of an external builder leave the package"),
];
