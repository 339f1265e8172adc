//! Suggests a remedy if there is no interpreter for an environment.

use std::path::Path;

use crate::model::{Environment, InterpreterLookup};

/// The versions searched for to list the available ones.
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=16;

/// The remedy for users. Lists the versions on this machine, so that users need not guess what would be found.
pub fn remedy(environment: &Environment, interpreters: &dyn InterpreterLookup) -> String {
    let there: Vec<String> = VERSIONS
        .map(|minor| format!("3.{minor}"))
        .filter(|version| interpreters.find(&[format!("python{version}")]).is_some())
        .collect();
    let found = match there.as_slice() {
        [] => "no other Python was found".to_owned(),
        versions => format!("found Python {}", versions.join(", ")),
    };
    let is_path = environment.python.base_python.iter().all(|spec| Path::new(spec).components().count() > 1);
    let install = if is_path || environment.python.install_python {
        "install it"
    } else {
        "install it, or have uv install it with `--install-python`"
    };
    format!(
        "{found}\n{install}; `--discover PATH` names an interpreter elsewhere\n`skip_missing_interpreters = true` in the \
         project's settings skips such environments"
    )
}
