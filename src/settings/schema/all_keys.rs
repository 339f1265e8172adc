//! The JSON schema of any configuration: every key of the tables, tox's and envo's, for editors and for SchemaStore.
//!
//! It follows SchemaStore's rules, which tox's own does not: draft-07 ignores what stands beside a `$ref`, so nothing does; every
//! property has a description and a type; there is no keyword and no format that a validator would not know.

use serde_json::{Map, Value as Json, json};

use crate::settings::check::unknown::belongs;
use crate::settings::config_set::SetKind;
use crate::settings::descriptions::description;
use crate::settings::keys::{self, DefaultValue};
use crate::settings::schema::{DEFINITIONS, list_of, reference, text, type_of};

/// Where SchemaStore would serve it.
const ID: &str = "https://json.schemastore.org/envo.json";

/// # Errors
/// If the definitions are not JSON, which a test excludes.
pub fn schema(strict: bool) -> Result<Json, serde_json::Error> {
    let mut definitions: Map<String, Json> = serde_json::from_str(DEFINITIONS)?;
    let environment = properties(SetKind::Run);
    definitions.insert("environment".to_owned(), object("An environment", environment.clone(), strict));
    let mut template = environment;
    let of_factors = "the factors that follow the template's name, as in env_list";
    template.insert("factors".to_owned(), described(json!({"type": "array"}), of_factors));
    definitions.insert("template".to_owned(), object("Environments that differ in their factors", template, strict));
    let mut all = properties(SetKind::Core);
    all.extend(tables());
    let Json::Object(mut root) =
        object("Configuration of tox and envo: tox.toml, or [tool.tox] in pyproject.toml", all, strict)
    else {
        return Ok(Json::Null);
    };
    let mut result = Map::new();
    result.insert("$schema".to_owned(), Json::from("http://json-schema.org/draft-07/schema#"));
    result.insert("$id".to_owned(), Json::from(ID));
    result.insert("title".to_owned(), Json::from("tox configuration with the keys of envo"));
    result.append(&mut root);
    result.insert("definitions".to_owned(), Json::Object(definitions));
    Ok(Json::Object(result))
}

/// The keys of `[tox]` or of environments of any kind, older spellings included.
fn properties(kind: SetKind) -> Map<String, Json> {
    let mut properties = Map::new();
    let keys = keys::all().filter(|key| key.initial != DefaultValue::Constant && belongs(key.name, kind));
    for key in keys {
        let schema = Json::Object(type_of(key, kind));
        properties.insert(key.name.to_owned(), described(schema.clone(), description(key, kind)));
        for alias in key.aliases_in(kind) {
            let old = described(schema.clone(), &format!("DEPRECATED. Use '{}' instead.", key.name));
            properties.insert((*alias).to_owned(), old);
        }
    }
    properties
}

/// The tables beside the project's keys.
fn tables() -> Map<String, Json> {
    let each = |definition: &str, what: &str| {
        described(json!({"type": "object", "additionalProperties": reference(definition)}), what)
    };
    let one = |what: &str| described(json!({"allOf": [reference("environment")]}), what);
    let jobs = described(
        json!({"type": "object", "additionalProperties": list_of(text())}),
        "the environments to run for each version of Python",
    );
    [
        ("env_run_base", one("settings of all environments")),
        ("env_pkg_base", one("settings of the environments that build the package")),
        ("env", each("environment", "the environments by name")),
        ("env_base", each("template", "templates of environments by name")),
        (
            "gh",
            described(
                json!({"type": "object", "properties": {"python": jobs}}),
                "the environments of jobs of GitHub Actions",
            ),
        ),
        ("legacy_tox_ini", described(text(), "a configuration in the format of tox.ini")),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into_iter()
    .collect()
}

fn object(what: &str, properties: Map<String, Json>, strict: bool) -> Json {
    described(json!({"type": "object", "properties": properties, "additionalProperties": !strict}), what)
}

fn described(schema: Json, what: &str) -> Json {
    let mut result = Map::new();
    result.insert("description".to_owned(), Json::from(what));
    if let Json::Object(members) = schema {
        result.extend(members);
    }
    Json::Object(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keywords of draft-07 that the schema may use, and those that SchemaStore knows of editors.
    const KEYWORDS: [&str; 23] = [
        "$schema",
        "$id",
        "$ref",
        "title",
        "description",
        "type",
        "properties",
        "additionalProperties",
        "required",
        "items",
        "minItems",
        "minimum",
        "const",
        "enum",
        "anyOf",
        "oneOf",
        "allOf",
        "patternProperties",
        "definitions",
        "default",
        "minProperties",
        "maxProperties",
        "not",
    ];

    /// Calls `check` with every schema inside `schema`.
    fn walk(path: &str, schema: &Json, check: &mut impl FnMut(&str, &Map<String, Json>)) {
        let Json::Object(members) = schema else { return };
        check(path, members);
        for (keyword, value) in members {
            let path = format!("{path}/{keyword}");
            match (keyword.as_str(), value) {
                ("properties" | "definitions" | "patternProperties", Json::Object(named)) => {
                    named.iter().for_each(|(name, one)| walk(&format!("{path}/{name}"), one, check));
                }
                ("anyOf" | "oneOf" | "allOf", Json::Array(all)) => all.iter().for_each(|one| walk(&path, one, check)),
                ("items" | "additionalProperties", one) => walk(&path, one, check),
                _ => {}
            }
        }
    }

    #[test]
    fn it_follows_the_rules_of_schemastore() {
        let schema = schema(false).expect("valid definitions");
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert!(schema["$id"].as_str().is_some_and(|id| id.starts_with("https://json.schemastore.org/")));
        walk("#", &schema, &mut |path, one| {
            let unknown: Vec<_> = one.keys().filter(|keyword| !KEYWORDS.contains(&keyword.as_str())).collect();
            assert!(unknown.is_empty(), "{path}: {unknown:?}");
            assert!(!one.contains_key("$ref") || one.len() == 1, "{path}: draft-07 ignores what is beside `$ref`");
            assert!(!one.get("type").is_some_and(Json::is_array), "{path}: one type each");
            if let Some(Json::Object(named)) = one.get("properties") {
                // The parts of values are tox's.
                let is_key = ["/environment", "/template"].iter().any(|one| path.ends_with(one)) || path == "#";
                for (name, property) in named.iter().filter(|_| is_key) {
                    let text = property["description"].as_str().unwrap_or_default();
                    assert!(!text.is_empty() && !text.ends_with(':'), "{path}/{name} has no description");
                }
            }
            if let Some(target) = one.get("$ref").and_then(Json::as_str) {
                assert!(schema.pointer(target.trim_start_matches('#')).is_some(), "{path}: {target}");
            }
        });
    }

    #[test]
    fn it_has_every_key_that_can_be_written() {
        let schema = schema(true).expect("valid definitions");
        for key in keys::all().filter(|key| key.initial != DefaultValue::Constant) {
            for name in key.spellings() {
                let of_project = !schema["properties"][name].is_null();
                let of_environments = !schema["definitions"]["environment"]["properties"][name].is_null();
                assert!(of_project || of_environments, "{name}");
            }
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
