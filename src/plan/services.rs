//! The services that environments need.

use std::collections::BTreeSet;

use super::Plan;
use crate::error::ConfigError;
use crate::python_text::glob;
use crate::settings::service_keys;

impl Plan {
    /// Whether the environment has a `serve` key.
    pub fn is_service(&self, name: &str) -> Result<bool, ConfigError> {
        Ok(service_keys(&self.settings, &self.settings.environment(name))?.contains(&"serve"))
    }

    /// The environments and services that one depends on directly, in the order of `known`.
    pub fn dependencies(&self, name: &str, known: &[String]) -> Result<Vec<String>, ConfigError> {
        let depends = self.depends(&[name.to_owned()])?;
        let fits = |other: &&String| {
            *other != name && depends.iter().flat_map(|(_, patterns)| patterns).any(|one| glob::matches(one, other))
        };
        Ok(known.iter().filter(fits).cloned().collect())
    }

    /// The services that an environment needs, directly or through others, in the order of `known`.
    pub fn services_of(&self, name: &str, known: &[String]) -> Result<Vec<String>, ConfigError> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let is_needed_service = found.contains(name);
            for (_, patterns) in self.depends(&[name.to_owned()])? {
                let fits = |other: &&String| patterns.iter().any(|pattern| glob::matches(pattern, other));
                for other in known.iter().filter(fits).filter(|other| seen.insert(other)) {
                    let is_service = self.is_service(other)?;
                    if is_service {
                        found.insert(other);
                    }
                    // Between environments that serve nothing, `depends` only means order.
                    if is_service || is_needed_service {
                        open.push(other);
                    }
                }
            }
        }
        Ok(known.iter().filter(|name| found.contains(name.as_str())).cloned().collect())
    }
}
