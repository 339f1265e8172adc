//! `envo up` and `envo down`: services in the background.

use anyhow::Result;

use super::running::{connect, notice, plan_place};
use super::serve::{Prepared, prepare, stay_small};
use crate::cli::options::Options;
use crate::exit_code;
use crate::report::plain;
use crate::serve::protocol::{Answer, Operation};

/// Starts services and leaves them running.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or, with `--wait`, a service fails.
pub fn execute_up(options: &Options) -> Result<i32> {
    stay_small();
    let (client, prepared) = prepare(options, "up")?;
    let Prepared { definitions, asked, hold } = match prepared {
        Ok(prepared) => prepared,
        Err(code) => return Ok(code),
    };
    let changes = crate::serve::up(client, definitions, asked, &hold, options.services.wait)?;
    if !options.services.wait {
        let told =
            [("started", &changes.started), ("restarted", &changes.restarted), ("unchanged", &changes.unchanged)];
        let parts: Vec<String> = told
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(word, names)| format!("{word}: {}\n", names.join(", ")))
            .collect();
        plain::out(&parts.concat());
    }
    Ok(exit_code::OK)
}

/// Stops what `up` has started.
///
/// # Errors
/// When a name is unknown or the supervisor cannot be spoken to.
pub fn execute_down(options: &Options) -> Result<i32> {
    let place = plan_place(options)?;
    let Some(mut client) = connect(&place, "down")? else {
        notice("nothing is running\n");
        return Ok(exit_code::OK);
    };
    let Answer::Left(left) = client.ask(Operation::Down { names: options.services.names.clone() })? else {
        return Ok(exit_code::OK);
    };
    if left.last {
        client.see_it_end();
    }
    let mut text = String::new();
    if !left.stopped.is_empty() {
        text.push_str(&format!("stopped: {}\n", left.stopped.join(", ")));
    }
    for (name, holders) in &left.held {
        text.push_str(&format!("{name} goes on: {} needs it\n", holders.join(", ")));
    }
    if text.is_empty() {
        notice("nothing was up\n");
    }
    plain::out(&text);
    Ok(exit_code::OK)
}
