//! `envo schema`: prints the JSON schema of the configuration, like tox and with tox's `$id`, or that of all keys.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value as Json, json};

use crate::cli::options::Options;
use crate::commands::open_plan;
use crate::exit_code;
use crate::plan::Plan;
use crate::report::config_format;
use crate::report::plain;
use crate::settings::config_set::{ConfigSet, SetKind};
use crate::settings::schema::{DEFINITIONS, all_keys};

const PAGE: &str = "https://tox.wiki/en/stable/config.html";

/// Prints the schema.
pub fn execute(options: &Options) -> Result<i32> {
    if options.generate.schema.all_keys {
        let schema = all_keys::schema(options.generate.schema.strict)?;
        plain::out(&format!("{}\n", config_format::json(&schema)));
        return Ok(exit_code::OK);
    }
    let plan = open_plan(options)?;
    let schema = schema(&plan, options.generate.schema.strict)?;
    crate::commands::report_warnings(&plan, options);
    plain::out(&format!("{}\n", config_format::json(&schema)));
    Ok(exit_code::OK)
}

fn schema(plan: &Plan, strict: bool) -> Result<Json> {
    let settings = &plan.settings;
    let sets = environment_sets(plan)?;
    let of_environments = match sets.first() {
        Some(set) => Arc::clone(set),
        // `py` is always there.
        None => settings.environment("py"),
    };
    let of_environments = settings.schema(&of_environments, "#/properties/env_run_base/properties")?;
    let mut properties = settings.schema(settings.core(), "#/properties")?;
    if !plan.packages_anything() {
        for spelling in ["package_env", "isolated_build_env"] {
            properties.shift_remove(spelling);
        }
    }
    for set in &sets {
        // tox names a section up to its first dot, and of several with one name the last one counts.
        let name = set.section.split('.').next().unwrap_or_default();
        if ["env_run_base", "env_pkg_base", "env"].contains(&name) {
            continue;
        }
        let section = json!({
            "type": "object",
            "additionalProperties": !strict,
            "properties": settings.schema(set, &format!("#/properties/{name}/properties"))?,
        });
        properties.insert(name.to_owned(), section);
    }
    properties.extend(tables(of_environments, strict));
    let definitions: Json = serde_json::from_str(DEFINITIONS).context("the definitions are not valid JSON")?;
    Ok(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://raw.githubusercontent.com/tox-dev/tox/main/src/tox/tox.schema.json",
        "title": "tox configuration",
        "description": "tox configuration file (tox.toml or [tool.tox] in pyproject.toml)",
        "x-taplo": link(""),
        "type": "object",
        "properties": properties,
        "additionalProperties": !strict,
        "definitions": definitions,
    }))
}

/// The environments' settings in the order tox comes by them: each environment, then what builds its package.
fn environment_sets(plan: &Plan) -> Result<Vec<Arc<ConfigSet>>> {
    let settings = &plan.settings;
    let mut sets: Vec<Arc<ConfigSet>> = Vec::new();
    let mut add = |name: &str, kind: SetKind| {
        if !sets.iter().any(|known| known.name.as_deref() == Some(name)) {
            sets.push(settings.environment_of_kind(name, kind));
        }
    };
    for entry in plan.kept(|entry| !entry.kind.is_package())? {
        add(&entry.name, SetKind::Run);
        let set = settings.environment(&entry.name);
        let defined = settings.defined_keys(&set)?;
        if !defined.contains(&"package_env") {
            continue;
        }
        let package_env = settings.text(&set, "package_env")?;
        if settings.text(&set, "package")? == "external" {
            add(&package_env, SetKind::CommandPackage);
            add(&format!("{package_env}_sdist_meta"), SetKind::Pep517Package);
            continue;
        }
        add(&package_env, SetKind::Pep517Package);
        // Without an interpreter there is nothing to build a wheel with.
        if defined.contains(&"wheel_build_env")
            && let Ok(name) = settings.text(&set, "wheel_build_env")
        {
            add(&name, SetKind::Pep517Package);
        }
    }
    Ok(sets)
}

/// The tables of environments, which only a TOML file has.
fn tables(of_environments: Map<String, Json>, strict: bool) -> Map<String, Json> {
    let tables = json!({
        "env_run_base": {
            "type": "object",
            "description": "base configuration for run environments",
            "x-taplo": link("#run-environment"),
            "properties": of_environments,
            "additionalProperties": !strict,
        },
        "env_pkg_base": {
            "type": "object",
            "$ref": "#/properties/env_run_base",
            "description": "base configuration for packaging environments",
            "x-taplo": link("#packaging-environment"),
            "additionalProperties": !strict,
        },
        "env": {
            "type": "object",
            "description": "per-environment overrides (keyed by environment name)",
            "x-taplo": link("#run-environment"),
            "patternProperties": {"^.*$": {"$ref": "#/properties/env_run_base"}},
        },
        "legacy_tox_ini": {
            "type": "string",
            "description": "tox configuration in INI format embedded in a TOML file",
            "x-taplo": link("#pyproject-toml-ini"),
        },
    });
    match tables {
        Json::Object(tables) => tables,
        _ => Map::new(),
    }
}

fn link(anchor: &str) -> Json {
    json!({"links": {"key": format!("{PAGE}{anchor}")}})
}
