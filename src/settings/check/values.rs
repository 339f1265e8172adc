//! Finds values that cannot be resolved.

use std::sync::Arc;

use crate::error::{ConfigError, ErrorClass};
use crate::settings::check::CheckedProject;
use crate::settings::config_set::SetKind;
use crate::settings::keys::{self, DefaultValue};
use crate::settings::service;

/// Values that cannot be resolved: circular references, wrong types. Values that depend on interpreters are skipped.
pub(super) fn unusable(subject: &CheckedProject<'_>) -> Vec<ConfigError> {
    let settings = subject.settings;
    let mut found = Vec::new();
    let core = std::iter::once(settings.core());
    for set in core.chain(subject.environments.iter().map(Arc::as_ref)) {
        let defined = match settings.defined_keys(set) {
            Ok(defined) => defined,
            Err(error) => {
                found.push(error);
                continue;
            }
        };
        for key in defined.into_iter().filter_map(keys::find).filter(|key| key.initial != DefaultValue::Constant) {
            if !settings.is_written(set, key.name).unwrap_or(true) {
                continue;
            }
            let value = settings.value(set, key.name).and_then(|value| settings.shown(set, key.name, &value));
            // A cycle of substitutions is only a warning.
            for warning in settings.take_warnings() {
                let place = subject.value_location(set, key);
                found.push(settings.at_value(ConfigError::handled(warning), place));
            }
            if let Err(error) = value {
                let of_machine = matches!(error.class, ErrorClass::Skip | ErrorClass::NoInterpreter);
                let place = subject.value_location(set, key);
                found.extend((!of_machine).then(|| settings.at_value(error, place)));
            }
        }
        if set.kind == SetKind::Run
            && let Err(mut error) = service::service(settings, set)
        {
            let further = std::mem::take(&mut error.further);
            found.push(error);
            found.extend(further);
        }
    }
    found
}
