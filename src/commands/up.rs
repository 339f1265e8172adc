//! `envo up` and `envo down`: services in the background.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cli::options::Options;
use crate::commands::run_progress::{changes_text, connect, notice};
use crate::commands::serve::{PreparedServices, prepare};
use crate::commands::state_folder;
use crate::env_error::EnvError;
use crate::exit_code;
use crate::platform::memory;
use crate::report::plain;
use crate::serve::client::SupervisorClient;
use crate::serve::client::socket_path::SupervisorLocation;
use crate::serve::protocol::{ClientOperation, ReplyBody, ServiceDefinition};
use crate::serve::{BackgroundStart, HoldOptions};

/// Starts services and leaves them running.
pub fn execute_up(options: &Options) -> Result<i32> {
    memory::stay_small();
    let (client, prepared) = prepare(options, "up").inspect_err(|error| {
        if matches!(error.downcast_ref(), Some(EnvError::Interrupted)) {
            notice("interrupted: nothing was started\n");
        }
    })?;
    let PreparedServices { definitions, asked, hold } = match prepared {
        Ok(prepared) => prepared,
        Err(code) => return Ok(code),
    };
    if options.services.hand_over {
        return hand_over(&client, definitions, asked, &hold);
    }
    let wait = options.services.wait;
    let mut failed = |reason: &str| plain::error(&format!("error: {reason}\n"));
    let failed = wait.then_some(&mut failed as &mut dyn FnMut(&str));
    let names = asked.join(", ");
    match crate::serve::up(client, definitions, asked, &hold, failed) {
        Ok(BackgroundStart { all_ready: false, .. }) if wait => Ok(exit_code::FAILED),
        Ok(BackgroundStart { changes, .. }) => {
            if !wait {
                plain::out(&changes_text(&changes, options.verb));
            }
            Ok(exit_code::OK)
        }
        Err(error) if matches!(error.downcast_ref(), Some(EnvError::Interrupted)) => {
            let program = &options.invocation.program;
            notice(&format!("interrupted: the requested services keep running in the background ({names})\n"));
            crate::commands::plain_hint(&format!("`{program} down` stops it"));
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The information for a program that owns the services, as described in `docs/protocol.md`.
#[derive(Serialize)]
struct ServiceHandover<'a> {
    socket: &'a Path,
    /// The members of an `up` that are the configuration's to say.
    requested: Vec<String>,
    services: Vec<ServiceDefinition>,
}

/// Tells on standard output how to hold the services, whose environments are built, and waits for the end of standard
/// input: as long as this process is connected, the supervisor stays.
fn hand_over(
    client: &SupervisorClient,
    services: Vec<ServiceDefinition>,
    requested: Vec<String>,
    hold: &HoldOptions,
) -> Result<i32> {
    let place = SupervisorLocation::of(&hold.state_dir, &hold.variables)?;
    let line = crate::serve::protocol::to_line(&ServiceHandover { socket: &place.socket, requested, services })?;
    plain::bytes(&line);
    let mut nothing = Vec::new();
    std::io::stdin().lock().read_to_end(&mut nothing)?;
    let _ = client.as_fd();
    Ok(exit_code::OK)
}

/// Stops the services that `up` has started.
pub fn execute_down(options: &Options) -> Result<i32> {
    let place = state_folder::state_folder(options)?;
    let Some(mut client) = connect(&place, "down")? else {
        notice("nothing is running\n");
        return Ok(exit_code::OK);
    };
    let ReplyBody::Released(released) =
        client.request(ClientOperation::Down { names: options.services.names.clone() })?
    else {
        return Ok(exit_code::OK);
    };
    if released.ending {
        client.wait_for_end();
    }
    let mut text = String::new();
    if !released.stopped.is_empty() {
        text.push_str(&format!("stopped: {}\n", released.stopped.join(", ")));
    }
    for line in released.going_on() {
        text.push_str(&format!("{line}\n"));
    }
    if text.is_empty() {
        notice("no services were running\n");
    }
    plain::out(&text);
    Ok(exit_code::OK)
}
