//! `runtime = system`: creates nothing; commands call the machine's own programs.

use crate::runtime::{Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeVariables};

pub struct SystemRuntime;

impl Runtime for SystemRuntime {
    fn name(&self) -> &'static str {
        "system"
    }

    fn program(&self) -> Option<&'static str> {
        None
    }

    fn allows_everything(&self) -> bool {
        true
    }

    fn runtime_variables(&self, _place: &crate::runtime::RuntimeLocation<'_>) -> RuntimeVariables {
        RuntimeVariables::default()
    }

    fn contents(&self, _request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        Ok(RuntimeContents::default())
    }
}
