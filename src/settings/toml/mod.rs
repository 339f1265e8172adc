//! Settings written in TOML: `tox.toml`, or `[tool.tox]` of `pyproject.toml`.
//! <https://tox.wiki/en/4.67.15/reference/config.html> (TOML)

pub mod condition;
pub mod convert;
pub mod load;
pub(super) mod location;
pub mod product;
mod set_env;
pub mod unroll;

use std::collections::HashMap;

use crate::error::ConfigError;
use crate::source::{TomlDocument, TomlValue};
use convert::python_type;
use product::FactorGroup;

/// Names of the tables that mean something to tox.
pub const ENV: &str = "env";
pub const ENV_BASE: &str = "env_base";
pub const RUN_BASE: &str = "env_run_base";
pub const PACKAGE_BASE: &str = "env_pkg_base";

/// What templates (`env_base`) and labelled factors come to.
#[derive(Debug, Clone, Default)]
pub struct EnvTemplates {
    /// Environment → the template it was written out of, in order.
    pub environments: Vec<(String, String)>,
    by_name: HashMap<String, String>,
    /// Template → its labelled groups.
    groups: HashMap<String, Vec<FactorGroup>>,
    env_list: Vec<FactorGroup>,
}

impl EnvTemplates {
    pub fn of(document: &TomlDocument) -> Result<Self, ConfigError> {
        let table = document.table();
        let mut templates = Self { env_list: product::env_list_groups(table.get("env_list"))?, ..Self::default() };
        let Some(bases) = table.get(ENV_BASE) else { return Ok(templates) };
        if !bases.is_table() {
            return Err(ConfigError::handled("env_base must be a table").in_part(bases.span()));
        }
        for (name, base) in bases.entries() {
            templates.add(name, base)?;
        }
        Ok(templates)
    }

    fn add(&mut self, name: &str, base: &TomlValue) -> Result<(), ConfigError> {
        if !base.is_table() {
            return Err(ConfigError::handled(format!("env_base.{name} must be a table")).in_part(base.span()));
        }
        let Some(written) = base.get("factors") else {
            return Err(ConfigError::handled(format!(
                "env_base.{name} requires a 'factors' key; use [env.{name}] for single environments"
            ))
            .in_part(base.span()));
        };
        let Some(factors) = written.array() else {
            let message = format!("env_base.{name}.factors must be a list, got {}", python_type(written));
            return Err(ConfigError::handled(message).in_part(written.span()));
        };
        let suffixes = if factors.first().is_some_and(|first| first.is_array() || first.is_table()) {
            self.groups.insert(name.to_owned(), product::labelled_groups(factors, Some(name))?);
            let groups = factors.iter().map(product::group).collect::<Result<Vec<_>, _>>()?;
            product::combinations(&groups).map_err(|error| error.in_part(written.span()))?
        } else {
            factors.iter().map(convert::python_text).collect()
        };
        for suffix in suffixes {
            let environment = format!("{name}-{suffix}");
            self.by_name.insert(environment.clone(), name.to_owned());
            self.environments.push((environment, name.to_owned()));
        }
        Ok(())
    }

    /// The template an environment was written out of.
    pub fn template_of(&self, environment: &str) -> Option<&str> {
        self.by_name.get(environment).map(String::as_str)
    }

    /// The group with that label, seen from an environment; later definitions win.
    pub fn group(&self, environment: Option<&str>, label: &str) -> Option<&FactorGroup> {
        let fits = |group: &&FactorGroup| group.label == label;
        let of_template = match environment.and_then(|name| self.template_of(name)) {
            Some(template) => self.groups.get(template).and_then(|groups| groups.iter().rev().find(fits)),
            None => self
                .env_list
                .iter()
                .rev()
                .find(fits)
                .or_else(|| self.groups.values().flat_map(|groups| groups.iter().rev()).find(fits)),
        };
        of_template.or_else(|| self.env_list.iter().rev().find(fits))
    }

    pub fn has_groups(&self) -> bool {
        !self.env_list.is_empty() || self.groups.values().any(|groups| !groups.is_empty())
    }
}
