//! `up`: services that stay when the client ends.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::env_error::Halt;
use crate::serve::client::held_services::{Attached, HoldOptions};
use crate::serve::client::{Client, Heard, Limit, Refused};
use crate::serve::protocol::{Answer, Changes, Definition, Operation, Up};

/// What became of services that were started in the background.
#[derive(Debug, Default)]
pub struct Background {
    pub changes: Changes,
    /// With `wait`: whether all of them are ready, or have ended well.
    pub all_ready: bool,
}

/// Starts services in the background, where they stay until `down`. Returns what became of each, and with `wait` only when
/// each of them is ready or never will be; `failed` hears why, once for each reason.
///
/// # Errors
/// A port that is taken; the user's interrupt.
pub fn up(
    client: Client,
    services: Vec<Definition>,
    want: Vec<String>,
    options: &HoldOptions,
    failed: Option<&mut dyn FnMut(&str)>,
) -> Result<Background> {
    let (force, change) = (options.force, options.change);
    let up = Up { services, want: want.clone(), keep: true, force, change, events: true, ..Up::default() };
    let (mut attached, id) = Attached::begin(client, up, options)?;
    let changes = match attached.wait_for_all(&mut vec![id])? {
        Ok(Answer::Changes(changes)) => changes,
        Ok(_) => Changes::default(),
        Err(refused) => return Err(refused.into()),
    };
    attached.announce_unchanged(&changes)?;
    let Some(failed) = failed else {
        return Ok(Background { changes, all_ready: false });
    };
    let mut open = Vec::new();
    for name in want {
        open.push(attached.client.send(Operation::Wait { names: vec![name], timeout: None })?);
    }
    let mut reasons: BTreeSet<String> = BTreeSet::new();
    while !open.is_empty() {
        match attached.wait_for_all(&mut open)? {
            Ok(Answer::Instances(instances)) => attached.announce(&instances),
            Ok(_) => {}
            Err(Refused(refusal)) if refusal.kind == "ended" => {}
            Err(refused) => attached.failures.push(refused.to_string()),
        }
        for reason in std::mem::take(&mut attached.failures) {
            if reasons.insert(reason.clone()) {
                failed(&reason);
            }
        }
    }
    if !changes.stopped.is_empty() {
        // They end already; this is answered when they have.
        attached.client.ask(Operation::Stop { names: changes.stopped.clone() })?;
    }
    Ok(Background { changes, all_ready: reasons.is_empty() })
}

impl Attached {
    /// Hears and tells until one of the requests is answered, which is taken off the list.
    fn wait_for_all(&mut self, open: &mut Vec<u64>) -> Result<Result<Answer, Refused>> {
        let interrupt = self.interrupt.clone();
        let limit = Limit { interrupt: Some((&interrupt, 0)), until: None };
        loop {
            match self.client.hear(&limit)? {
                Heard::Answer(id, answer) => {
                    if let Some(at) = open.iter().position(|one| *one == id) {
                        open.remove(at);
                        return Ok(answer);
                    }
                    if id == 0 {
                        return Ok(answer);
                    }
                }
                Heard::News(news) => self.take(news),
                Heard::Interrupted => return Err(Halt::Interrupted.into()),
                Heard::Late => {}
                Heard::End => {
                    self.without_supervisor()?;
                    return Err(anyhow!("the services have ended"));
                }
            }
        }
    }

    /// Shows where the services are that an `up` has left as they were.
    fn announce_unchanged(&mut self, changes: &Changes) -> Result<()> {
        if changes.unchanged.is_empty() {
            return Ok(());
        }
        let names = changes.unchanged.clone();
        if let Answer::Instances(instances) = self.client.ask_promptly(Operation::Fields { names })? {
            self.announce(&instances);
        }
        Ok(())
    }
}
