//! The client's side of `up`: services that keep running when the client ends.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::env_error::EnvError;
use crate::serve::client::held_services::{HeldServices, HoldOptions};
use crate::serve::client::{ClientMessage, RefusedRequest, SupervisorClient, WaitLimit};
use crate::serve::protocol::{ClientOperation, ReplyBody, ServiceDefinition, UpRequest, UpResult};

/// The result of starting services in the background.
#[derive(Debug, Default)]
pub struct BackgroundStart {
    pub changes: UpResult,
    /// With `wait`: whether all of them are ready, or have ended successfully.
    pub all_ready: bool,
}

/// Starts services in the background, where they run until `down`. Returns the result for each; with `wait`
/// only when each of them is ready or never will be. `failed` receives each reason once.
///
/// # Errors
///
/// A port that is in use; the user's interrupt.
pub fn up(
    client: SupervisorClient,
    services: Vec<ServiceDefinition>,
    requested: Vec<String>,
    options: &HoldOptions,
    failed: Option<&mut dyn FnMut(&str)>,
) -> Result<BackgroundStart> {
    let (force, change) = (options.force, options.change);
    let up = UpRequest {
        services,
        requested: requested.clone(),
        keep: true,
        force,
        change,
        events: true,
        ..UpRequest::default()
    };
    let (mut attached, id) = HeldServices::begin(client, up, options)?;
    let changes = match attached.wait_for_all(&mut vec![id])? {
        Ok(ReplyBody::Changes(changes)) => changes,
        Ok(_) => UpResult::default(),
        Err(refused) => return Err(refused.into()),
    };
    attached.announce_unchanged(&changes)?;
    let Some(failed) = failed else {
        return Ok(BackgroundStart { changes, all_ready: false });
    };
    let mut open = Vec::new();
    for name in requested {
        open.push(attached.client.send(ClientOperation::Wait { names: vec![name], timeout: None })?);
    }
    let mut reasons: BTreeSet<String> = BTreeSet::new();
    while !open.is_empty() {
        match attached.wait_for_all(&mut open)? {
            Ok(ReplyBody::Instances(instances)) => attached.announce(&instances),
            Ok(_) => {}
            Err(RefusedRequest(refusal)) if refusal.kind == "ended" => {}
            Err(refused) => attached.failures.push(refused.to_string()),
        }
        for reason in std::mem::take(&mut attached.failures) {
            if reasons.insert(reason.clone()) {
                failed(&reason);
            }
        }
    }
    if !changes.stopped.is_empty() {
        // They are stopping already; the reply arrives when they have ended.
        attached.client.request(ClientOperation::Stop { names: changes.stopped.clone() })?;
    }
    Ok(BackgroundStart { changes, all_ready: reasons.is_empty() })
}

impl HeldServices {
    /// Handles and shows events until one of the open requests is answered, which is removed from the list.
    fn wait_for_all(&mut self, open: &mut Vec<u64>) -> Result<Result<ReplyBody, RefusedRequest>> {
        let interrupt = self.interrupt.clone();
        let limit = WaitLimit { interrupt: Some((&interrupt, 0)), until: None };
        loop {
            match self.client.receive(&limit)? {
                ClientMessage::Answer(id, answer) => {
                    if let Some(at) = open.iter().position(|one| *one == id) {
                        open.remove(at);
                        return Ok(answer);
                    }
                    if id == 0 {
                        return Ok(answer);
                    }
                }
                ClientMessage::Event(event) => self.handle(event),
                ClientMessage::Interrupted => return Err(EnvError::Interrupted.into()),
                ClientMessage::Late => {}
                ClientMessage::End => {
                    self.without_supervisor()?;
                    return Err(anyhow!("the services have ended"));
                }
            }
        }
    }

    /// Shows the addresses of services that an `up` has left unchanged.
    fn announce_unchanged(&mut self, changes: &UpResult) -> Result<()> {
        if changes.unchanged.is_empty() {
            return Ok(());
        }
        let names = changes.unchanged.clone();
        if let ReplyBody::Instances(instances) = self.client.request_promptly(ClientOperation::Fields { names })? {
            self.announce(&instances);
        }
        Ok(())
    }
}
