//! Environments that are layers on others (`layer_on`), and whether they can be.

use super::{Plan, nearest, select};
use crate::error::ConfigError;
use crate::model::{Environment, Interpreter};

impl Plan {
    /// The environments below `name`, the nearest first; empty if it is no layer.
    ///
    /// # Errors
    /// If one of them does not exist, does not run commands, or is a layer on itself.
    pub fn bases(&self, name: &str) -> Result<Vec<String>, ConfigError> {
        let mut found = vec![name.to_owned()];
        loop {
            let layer = &found[found.len() - 1];
            let Some(base) = self.settings.layer_on(&self.settings.environment(layer))? else { break };
            self.check_name_of_base(layer, &base)?;
            if found.contains(&base) {
                found.push(base);
                let text = format!("circular `layer_on`: {}", found.join(" | "));
                let error = self.at_layer_on(name, ConfigError::fail(text));
                let section = self.settings.environment_section(name);
                return Err(error.hint(match found.len() {
                    2 => {
                        format!("an environment that inherits `layer_on` cancels it with `layer_on =` in `[{section}]`")
                    }
                    _ => "remove `layer_on` from one of them".to_owned(),
                }));
            }
            found.push(base);
        }
        found.remove(0);
        Ok(found)
    }

    /// The environment that `layer` is a layer on.
    ///
    /// # Errors
    /// If it cannot be one.
    pub fn base_of(&self, layer: &Environment) -> Result<Option<Environment>, ConfigError> {
        let Some(name) = self.bases(&layer.name)?.into_iter().next() else { return Ok(None) };
        let base = self.environment(&name)?;
        self.check_base(layer, &base).map_err(|error| self.at_layer_on(&layer.name, error))?;
        Ok(Some(base))
    }

    /// The error with the location of the environment's `layer_on`.
    pub fn at_layer_on(&self, layer: &str, error: ConfigError) -> ConfigError {
        let set = self.settings.environment(layer);
        let base = self.settings.layer_on(&set).ok().flatten().unwrap_or_default();
        let location = self.settings.location_within(&set, "layer_on", &base);
        location.into_iter().fold(error, ConfigError::at)
    }

    fn check_name_of_base(&self, layer: &str, base: &str) -> Result<(), ConfigError> {
        let fail = |what: &str| ConfigError::fail(format!("`layer_on` of `{layer}` names `{base}`, which {what}"));
        let error = match self.defined.iter().find(|entry| entry.name == base) {
            Some(entry) if entry.kind.is_package() => {
                fail("builds packages").hint("name an environment that runs commands")
            }
            Some(entry) => match &entry.missing_runner {
                Some(runner) => fail(&format!("needs the runner `{runner}`, which no installed plugin provides"))
                    .hint("install the plugin, or name another environment"),
                None => return Ok(()),
            },
            None if select::can_be_made(&self.settings, base) => return Ok(()),
            None => {
                let runs: Vec<String> =
                    self.defined.iter().filter(|one| !one.kind.is_package()).map(|one| one.name.clone()).collect();
                let hint = nearest(base, &runs).map_or_else(
                    || "`envo list` shows all environments".to_owned(),
                    |meant| format!("did you mean `{meant}`?"),
                );
                fail("does not exist").hint(hint)
            }
        };
        Err(self.at_layer_on(layer, error))
    }

    fn check_base(&self, layer: &Environment, base: &Environment) -> Result<(), ConfigError> {
        let (name, below) = (&layer.name, &base.name);
        let languages = |environment: &Environment| {
            let names: Vec<&str> = environment.runtimes.iter().map(|one| one.name.as_str()).collect();
            names.join(", ")
        };
        if !base.has_python() {
            let languages = languages(base);
            let text = format!("`layer_on` of `{name}` names `{below}`, which has no Python (`runtime = {languages}`)");
            return Err(ConfigError::fail(text)
                .hint(format!("add `python` to the `runtime` of `{below}`, or remove `layer_on` from `{name}`")));
        }
        if !layer.has_python() {
            let languages = languages(layer);
            let text = format!("`{name}` cannot be a layer on `{below}`: it has no Python (`runtime = {languages}`)");
            return Err(ConfigError::fail(text)
                .hint(format!("add `python` to the `runtime` of `{name}`, or remove its `layer_on`")));
        }
        if layer.contents.uv.as_ref().is_some_and(|uv| uv.sync.is_some()) {
            let text = format!(
                "`{name}` cannot be a layer on `{below}`: uv fills it from uv.lock, and cannot leave out what `{below}` has"
            );
            return Err(ConfigError::fail(text).hint("use another `runner`, or remove `layer_on`"));
        }
        let find = |environment: &Environment| self.settings.interpreters.find(&environment.python.base_python);
        match (find(layer), find(base)) {
            (Some(own), Some(other)) if !is_same(&own, &other) => {
                let text = format!(
                    "`{name}` is a layer on `{below}` and must have its Python, {}: {} is {}",
                    described(&other),
                    layer.python.base_python.join(", "),
                    described(&own)
                );
                let location = self.settings.written_at(name, "base_python");
                let error = location.into_iter().fold(ConfigError::fail(text), ConfigError::at);
                let hint =
                    "a layer without `base_python`, and without a version in its name, has the Python of its base";
                Err(error.hint(format!("{hint}, here `{}`", base.python.base_python.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

fn is_same(one: &Interpreter, other: &Interpreter) -> bool {
    one.version_text == other.version_text && one.system_executable == other.system_executable
}

fn described(interpreter: &Interpreter) -> String {
    format!("{} {}.{}", interpreter.implementation, interpreter.dotted_version(), interpreter.version.micro)
}
