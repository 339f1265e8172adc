//! `runtime = system`: nothing is made, and commands call the machine's own programs.

use crate::runtime::{Contents, Request, Runtime, Surroundings};

pub struct System;

impl Runtime for System {
    fn name(&self) -> &'static str {
        "system"
    }

    fn program(&self) -> Option<&'static str> {
        None
    }

    fn allows_everything(&self) -> bool {
        true
    }

    fn surroundings(&self, _place: &crate::runtime::Place<'_>) -> Surroundings {
        Surroundings::default()
    }

    fn contents(&self, _request: &Request<'_>) -> Result<Contents, String> {
        Ok(Contents::default())
    }
}
