//! Describes the settings of a set as a JSON schema, in tox's words and order.

pub mod all_keys;

use serde_json::{Map, Value as Json, json};

use crate::error::ConfigError;
use crate::settings::Settings;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::descriptions::description;
use crate::settings::keys::{self, DefaultValue, SettingKey};
use crate::settings::value::ValueKind;

/// Keys that take a text as well as a list.
const LIST_OR_TEXT: [&str; 3] = ["default_base_python", "base_python_file", "base_python"];

/// What substitutions look like in TOML, and the entries of `env_list`: the part of the schema that no key changes.
pub const DEFINITIONS: &str = include_str!("schema_definitions.json");

impl Settings {
    /// A property for every key of the set that can be written, old spellings included. `path` is where in the schema
    /// the properties will stand.
    pub fn schema(&self, set: &ConfigSet, path: &str) -> Result<Map<String, Json>, ConfigError> {
        let mut properties = Map::new();
        for key in self.defined_keys(set)?.into_iter().filter_map(keys::find) {
            if key.initial == DefaultValue::Constant || self.settles(set, key)? {
                continue;
            }
            let mut property = type_of(key, set.kind);
            property.insert("description".to_owned(), Json::from(description(key, set.kind)));
            properties.insert(key.name.to_owned(), Json::Object(property));
            for alias in key.aliases_in(set.kind) {
                let old = json!({
                    "$ref": format!("{path}/{}", key.name),
                    "description": format!("Deprecated: use '{}' instead", key.name),
                    "deprecated": true,
                });
                properties.insert((*alias).to_owned(), old);
            }
        }
        Ok(properties)
    }

    /// Whether other settings decide what the key is, whatever is written for it.
    fn settles(&self, set: &ConfigSet, key: &SettingKey) -> Result<bool, ConfigError> {
        if key.name != "package" || set.kind != SetKind::Run {
            return Ok(false);
        }
        Ok(self.boolean(self.core(), "no_package")?
            || self.boolean(set, "skip_install")?
            || self.boolean(set, "use_develop")?)
    }
}

fn type_of(key: &SettingKey, set: SetKind) -> Map<String, Json> {
    let schema = match key.kind_in(set) {
        ValueKind::List if LIST_OR_TEXT.contains(&key.name) || keys::is_own(key.name) => {
            json!({"oneOf": [list_of(reference("subs")), text()]})
        }
        // A packaging environment takes plain requirements, in a list.
        ValueKind::Requirements if set.is_package() => list_of(reference("subs")),
        ValueKind::Requirements => json!({"oneOf": [text(), list_of(reference("subs"))]}),
        ValueKind::Plain => {
            let plain = || vec![text(), json!({"type": "number"}), json!({"type": "boolean"})];
            let mut any = plain();
            any.push(list_of(json!({"anyOf": plain()})));
            json!({"anyOf": any})
        }
        ValueKind::Line => json!({"oneOf": [text(), list_of(reference("subs"))]}),
        ValueKind::Text | ValueKind::OptionalText | ValueKind::Path | ValueKind::Constraints => text(),
        ValueKind::Boolean | ValueKind::OptionalBoolean => json!({"type": "boolean"}),
        ValueKind::Integer => json!({"type": "integer", "minimum": 0}),
        ValueKind::Float => json!({"type": "number"}),
        ValueKind::List | ValueKind::Set | ValueKind::RequirementList | ValueKind::Command => {
            list_of(reference("subs"))
        }
        ValueKind::Environments => list_of(reference("env_list_item")),
        ValueKind::Commands => list_of(json!({"oneOf": [list_of(reference("subs")), reference("replace_object")]})),
        ValueKind::Variables => json!({"type": "object", "additionalProperties": reference("subs")}),
        ValueKind::Labels => json!({"type": "object", "additionalProperties": list_of(reference("env_list_item"))}),
        ValueKind::OptionalMapping => json!({"type": "object", "additionalProperties": text()}),
    };
    match schema {
        Json::Object(members) => members,
        _ => Map::new(),
    }
}

fn text() -> Json {
    json!({"type": "string"})
}

fn list_of(items: Json) -> Json {
    json!({"type": "array", "items": items})
}

fn reference(definition: &str) -> Json {
    json!({"$ref": format!("#/definitions/{definition}")})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_a_table_and_refer_only_to_each_other() {
        let definitions: Map<String, Json> = serde_json::from_str(DEFINITIONS).expect("valid JSON");
        for (at, start) in DEFINITIONS.match_indices("#/definitions/") {
            let rest = &DEFINITIONS[at + start.len()..];
            let name = &rest[..rest.find('"').expect("a closing quote")];
            assert!(definitions.contains_key(name), "{name}");
        }
    }
}
