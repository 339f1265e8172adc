//! Reads `layer_on`. Whether the environment it names can be a base is decided in [`crate::plan`].

use std::sync::Arc;

use crate::error::ConfigError;
use crate::settings::Settings;
use crate::settings::config_set::{ConfigSet, SetKind};

impl Settings {
    /// The environment that `set` is a layer on, as written.
    pub fn layer_on(&self, set: &ConfigSet) -> Result<Option<String>, ConfigError> {
        if set.kind != SetKind::Run || !self.says(set, "layer_on")? {
            return Ok(None);
        }
        Ok(Some(self.text(set, "layer_on")?.trim().to_owned()).filter(|name| !name.is_empty()))
    }

    /// The environment that `set` is a layer on, as far as its values can be used: `None` for a cycle, which the plan
    /// reports.
    pub(super) fn base_of_layer(&self, set: &ConfigSet) -> Result<Option<Arc<ConfigSet>>, ConfigError> {
        let Some(base) = self.layer_on(set)? else { return Ok(None) };
        let mut seen = vec![set.label().to_owned()];
        let mut next = Some(base.clone());
        while let Some(name) = next {
            if seen.contains(&name) {
                return Ok(None);
            }
            next = self.layer_on(&self.environment(&name))?;
            seen.push(name);
        }
        Ok(Some(self.environment(&base)))
    }
}
