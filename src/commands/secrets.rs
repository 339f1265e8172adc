//! `envo secrets check`: tries the references of secrets, without showing a value.

use anyhow::Result;

use crate::builder::secrets::{error, requests};
use crate::cli::options::Options;
use crate::commands::{open_plan, report_warnings};
use crate::error::frame;
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::report::plain;
use crate::report::table;
use crate::secrets::{SecretContext, fetch};

/// Fetches all secrets of the selected environments, and prints a row for each.
pub fn execute(options: &Options) -> Result<i32> {
    let plan = open_plan(options)?;
    report_warnings(&plan, options);
    let mut wanted = Vec::new();
    for name in plan.selected()? {
        wanted.extend(requests(&name, &plan.environment(&name)?.variables));
    }
    if wanted.is_empty() {
        plain::error("the selected environments name no secrets\n");
        return Ok(exit_code::OK);
    }
    let interrupt = Interrupt::default();
    let context = SecretContext {
        variables: &options.process.variables,
        root: plan.project()?.root,
        interrupt: &interrupt,
        purpose: "secrets check",
    };
    let (results, unrecorded) = fetch(&wanted, &context);
    if let Some(text) = unrecorded {
        plain::error(&format!("warning: {text}\n"));
    }
    let mut rows = Vec::new();
    let mut errors = String::new();
    for (request, result) in wanted.iter().zip(&results) {
        let state = if result.is_ok() { "ok" } else { "missing" };
        let secret = &request.secret;
        let reference = secret.reference.to_string();
        rows.push(vec![request.environment.clone(), secret.variable.clone(), reference, state.to_owned()]);
        if let Some(error) = error(request, result) {
            errors.push_str(&frame::with_source(&error, false));
        }
    }
    plain::out(&table::format_table(&["ENVIRONMENT", "VARIABLE", "REFERENCE", "STATE"], &rows));
    plain::error(&errors);
    Ok(if errors.is_empty() { exit_code::OK } else { exit_code::FAILED })
}
