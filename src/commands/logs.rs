//! `envo logs`: shows the logs of services, running or not.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::cli::options::Options;
use crate::commands::run_progress::connect_unless_interrupted;
use crate::commands::state_folder;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::event::{OutputStream, Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::report::plain;
use crate::report::{EventLayout, HumanReporter};
use crate::serve::client::log_follower::LogFollower;
use crate::serve::client::log_range::{LogRange, excerpt, parse_since};
use crate::serve::client::socket_path::SupervisorLocation;
use crate::serve::client::{ClientMessage, WaitLimit};
use crate::serve::protocol::{ClientOperation, ReplyBody, TimedEvent};

/// Shows logs.
pub fn execute(options: &Options) -> Result<i32> {
    let place = state_folder::state_folder(options)?;
    let log_dir = place.state_dir.join("log");
    let names = names(&log_dir, &options.services.names)?;
    let since = match &options.services.since {
        Some(text) => Some(parse_since(text).ok_or_else(|| {
            ConfigError::handled(format!("`--since {text}`: `{text}` is not a time or a duration"))
                .hint("write 30s, 10m, 2h, 1d, 2026-05-01T12:00 or 12:00:05")
        })?),
        None => None,
    };
    let wanted = LogRange { lines: options.services.lines, since, until: None };
    let show = shower(options, names.len() > 1 && !options.services.no_prefix);
    let mut begun = Vec::new();
    for name in names {
        let tail = excerpt(&log_dir, &name, &wanted, &mut |block| {
            let (service, line) = (name.clone(), block.to_vec());
            show.event(RunEvent::ServiceOutput { service, stream: OutputStream::Out, line });
        })?;
        begun.push(tail);
    }
    if !options.services.follow || begun.is_empty() {
        return Ok(exit_code::OK);
    }
    let interrupt = Interrupt::listen(|_| {})?;
    let named = begun.iter().map(|tail| tail.name.clone()).collect();
    let follower = LogFollower::continue_following(&log_dir, begun, show)?;
    let ended = wait_for_the_end(&place, named, &interrupt);
    // The remaining lines are shown.
    drop(follower);
    ended.map(|()| exit_code::OK)
}

/// The last lines of the named logs, or of all, that contain `text`, at most `limit`, each after the name of its service; and
/// whether there were more.
pub(super) fn search(options: &Options, named: &[String], text: &str, limit: usize) -> Result<(Vec<String>, bool)> {
    let log_dir = state_folder::state_folder(options)?.state_dir.join("log");
    let mut found = VecDeque::new();
    let mut truncated = false;
    for name in names(&log_dir, named)? {
        excerpt(&log_dir, &name, &LogRange::default(), &mut |block| {
            let block = String::from_utf8_lossy(block);
            for line in block.lines().filter(|line| line.contains(text)) {
                if found.len() == limit {
                    found.pop_front();
                    truncated = true;
                }
                found.push_back(format!("{name} | {line}"));
            }
        })?;
    }
    Ok((found.into(), truncated))
}

/// Waits until no service is running, the user interrupts, or the output is closed.
fn wait_for_the_end(place: &SupervisorLocation, mut running: BTreeSet<String>, interrupt: &Interrupt) -> Result<()> {
    let mut client = match connect_unless_interrupted(place, "logs", interrupt) {
        Ok(Some(client)) => client,
        Ok(None) => return Ok(()),
        Err(error) if matches!(error.downcast_ref(), Some(EnvError::Interrupted)) => return Ok(()),
        Err(error) => return Err(error),
    };
    client.serve_reader();
    // First, so that no end is missed.
    client.send(ClientOperation::Events)?;
    let asked = client.send(ClientOperation::Ps)?;
    let limit = WaitLimit { interrupt: Some((interrupt, 0)), until: None };
    let is_over = |state: &str| matches!(state, "stopped" | "exited" | "failed");
    let mut known = false;
    while !known || !running.is_empty() {
        match client.receive(&limit)? {
            ClientMessage::Answer(id, Ok(ReplyBody::Services(services))) if id == asked => {
                let runs = |name: &String| services.iter().any(|one| one.name == *name && !is_over(&one.state));
                running.retain(runs);
                known = true;
            }
            ClientMessage::Answer(_, Err(refused)) => return Err(refused.into()),
            // Events before the reply are part of it.
            ClientMessage::Event(TimedEvent::Service(news)) if known && is_over(&news.state) => {
                running.remove(&news.service);
            }
            ClientMessage::Interrupted | ClientMessage::End => return Ok(()),
            ClientMessage::Answer(..) | ClientMessage::Event(_) | ClientMessage::Late => {}
        }
    }
    Ok(())
}

/// The named logs, or all.
fn names(log_dir: &Path, named: &[String]) -> Result<Vec<String>, ConfigError> {
    let files = std::fs::read_dir(log_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let log = |path: PathBuf| Some(path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned());
    let known: BTreeSet<String> = files.filter_map(log).collect();
    if named.is_empty() {
        return Ok(known.into_iter().collect());
    }
    match named.iter().find(|name| !known.contains(*name)) {
        None => Ok(named.to_vec()),
        Some(name) => {
            let hint = match known.is_empty() {
                true => "`envo up` and `envo serve` start services, whose output is logged".to_owned(),
                false => format!("there are logs of {}", known.into_iter().collect::<Vec<_>>().join(", ")),
            };
            Err(ConfigError::handled(format!("there is no log of `{name}`")).hint(hint))
        }
    }
}

/// Shows lines with or without the service's name before each.
fn shower(options: &Options, prefix: bool) -> Arc<dyn Reporter> {
    if prefix {
        return Arc::new(HumanReporter::new(EventLayout::new(
            options.output.verbosity,
            options.output.colored,
            &options.output.stderr_color,
        )));
    }
    Arc::new(PlainLines)
}

/// Shows nothing but lines.
struct PlainLines;

impl Reporter for PlainLines {
    fn event(&self, event: RunEvent) {
        if let RunEvent::ServiceOutput { line, .. } = event {
            plain::bytes(&line);
        }
    }
}
