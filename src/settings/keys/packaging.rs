//! The keys of environments that build the project.

use crate::settings::keys::Initial::{Computed, Nothing};
use crate::settings::keys::{Key, key};
use crate::settings::value::Kind;

/// The table's rows.
pub(super) const KEYS: &[Key] = &[
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
];
