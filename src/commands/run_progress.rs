//! The verbs that talk to a running supervisor and build nothing: `ps`, `start`, `stop`, `restart`, `wait` and
//! `events`.

use anyhow::Result;

use crate::cli::options::{Options, Verb};
use crate::commands::state_folder;
use crate::env_error::EnvError;
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::exit_code;
use crate::report::plain;
use crate::report::table;
use crate::report::timeline::{self, TimelineBar};
use crate::serve::client::log_follower::LogGrowth;
use crate::serve::client::socket_path::SupervisorLocation;
use crate::serve::client::{ClientMessage, SupervisorClient, WaitLimit};
use crate::serve::protocol::{
    ClientOperation, InstanceInfo, ReplyBody, ServiceStatus, ServiceTimeline, TimedEvent, UpResult,
};

/// Connects to the supervisor; `None` if none is running.
pub(super) fn connect(place: &SupervisorLocation, verb: &str) -> Result<Option<SupervisorClient>> {
    SupervisorClient::connect(place, &client_name(verb))
}

/// The same for a verb that listens to signals; the first one ends the attempt.
///
/// # Errors
/// As [`connect`], and [`EnvError::Interrupted`].
pub(super) fn connect_unless_interrupted(
    place: &SupervisorLocation,
    verb: &str,
    interrupt: &Interrupt,
) -> Result<Option<SupervisorClient>> {
    SupervisorClient::connect_within(place, &client_name(verb), Some((interrupt, 0)))
}

fn client_name(verb: &str) -> String {
    format!("{verb} (pid {})", std::process::id())
}

/// Prints a notice to standard error.
pub(super) fn notice(text: &str) {
    plain::error(text);
}

/// Shows services.
pub fn execute_ps(options: &Options) -> Result<i32> {
    let place = state_folder::state_folder(options)?;
    let mut services = match connect(&place, "ps")? {
        Some(mut client) => match client.request_promptly(ClientOperation::Ps)? {
            ReplyBody::Services(services) => services,
            _ => Vec::new(),
        },
        None => Vec::new(),
    };
    let names = &options.services.names;
    if let Some(unknown) = names.iter().find(|name| services.iter().all(|service| service.name != **name)) {
        let known: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let hint = match known.as_slice() {
            [] => "nothing is running; `envo up` starts services".to_owned(),
            known => format!("these are: {}", known.join(", ")),
        };
        return Err(ConfigError::handled(format!("`{unknown}` is not among the running services")).hint(hint).into());
    }
    services.retain(|service| names.is_empty() || names.contains(&service.name));
    if options.services.json {
        plain::out(&format!("{}\n", serde_json::to_string_pretty(&services)?));
    } else if services.is_empty() {
        notice("nothing is running\n");
    } else if options.services.timeline {
        let bars: Vec<_> = services.into_iter().filter_map(bar).collect();
        plain::out(&timeline::draw(&bars, plain::width().unwrap_or(WIDTH_OF_A_FILE)));
    } else {
        let rows: Vec<_> = services.iter().map(row).collect();
        plain::out(&table::format_within(plain::width(), (&HEAD, &rows), &DISPENSABLE));
        // Why some have failed, without the last lines that `wait` and `logs` show.
        let reasons = services.iter().filter_map(|service| service.failure.as_deref()?.lines().next());
        plain::out(&reasons.map(|reason| format!("{reason}\n")).collect::<String>());
    }
    Ok(exit_code::OK)
}

const HEAD: [&str; 11] =
    ["NAME", "STATE", "HEALTH", "RESTARTS", "PID", "PORTS", "URL", "UPTIME", "CPU", "MEMORY", "LEASES"];

/// How wide a drawing is that goes into no terminal.
const WIDTH_OF_A_FILE: usize = 80;

/// Nothing for what was not started.
fn bar(service: ServiceStatus) -> Option<TimelineBar> {
    let ServiceTimeline { dependencies_ready: began, started, ready, .. } = service.timeline;
    let ServiceStatus { name, environment, depends, .. } = service;
    Some(TimelineBar { name, environment, depends, began: began?, started, ready })
}

/// What a narrow terminal can do without, the first of these first; `--format json` has it all.
const DISPENSABLE: [&str; 7] = ["LEASES", "CPU", "MEMORY", "HEALTH", "PORTS", "RESTARTS", "PID"];

fn row(service: &ServiceStatus) -> Vec<String> {
    let or_dash = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    let ports: Vec<String> = service.address.ports.iter().map(|(name, number)| format!("{name}={number}")).collect();
    vec![
        service.name.clone(),
        service.state.clone(),
        or_dash(service.health.clone()),
        service.restarts.to_string(),
        or_dash(service.pid.map(|pid| pid.to_string())),
        or_dash(Some(ports.join(" "))),
        or_dash(service.address.url.clone()),
        or_dash(service.usage.uptime.map(table::duration)),
        or_dash(service.usage.cpu.map(|seconds| format!("{seconds:.1}s"))),
        or_dash(service.usage.memory.map(table::bytes)),
        or_dash(Some(service.leases.join(", "))),
    ]
}

/// `start`, `stop`, `restart` and `wait`.
pub fn execution_order(options: &Options) -> Result<i32> {
    let names = options.services.names.clone();
    let (verb, wait) = (options.verb, options.services.wait);
    if names.is_empty() {
        let usage = format!("write `{} {} ENV`", options.invocation.program, options.verb.name());
        return Err(ConfigError::handled("no service was named").hint(usage).into());
    }
    let place = state_folder::state_folder(options)?;
    let Some(mut client) = connect(&place, &options.invocation.program)? else {
        return Err(ConfigError::handled("nothing is running")
            .hint(format!("`{} up` starts services", options.invocation.program))
            .into());
    };
    let waiting = || ClientOperation::Wait {
        names: names.clone(),
        timeout: options.services.timeout.map(|time| time.as_secs_f64()),
    };
    let operation = match verb {
        Verb::Start => ClientOperation::Start { names: names.clone(), wait: false },
        Verb::Stop => ClientOperation::Stop { names: names.clone() },
        Verb::Restart => ClientOperation::Restart { names: names.clone(), wait: false },
        _ => waiting(),
    };
    match client.request(operation)? {
        ReplyBody::Changes(changes) => plain::out(&changes_text(&changes, verb)),
        ReplyBody::Instances(instances) => plain::out(&ready_text(&instances)),
        _ => {}
    }
    if wait
        && verb != Verb::Wait
        && let ReplyBody::Instances(instances) = client.request(waiting())?
    {
        plain::out(&ready_text(&instances));
    }
    Ok(exit_code::OK)
}

/// The changes of services, a line for each kind.
pub(super) fn changes_text(changes: &UpResult, verb: Verb) -> String {
    let unchanged = match verb {
        Verb::Stop => "not running",
        Verb::Start => "already running",
        _ => "unchanged",
    };
    let lists = [
        ("starting", &changes.started),
        ("restarting", &changes.restarted),
        ("stopped", &changes.stopped),
        (unchanged, &changes.unchanged),
    ];
    let kept = lists.into_iter().filter(|(_, names)| !names.is_empty());
    kept.map(|(word, names)| format!("{word}: {}\n", names.join(", "))).collect()
}

fn ready_text(instances: &[InstanceInfo]) -> String {
    let line = |InstanceInfo { instance, .. }: &InstanceInfo| match &instance.url {
        Some(url) => format!("{}: ready at {url}\n", instance.name),
        None => format!("{}: ready\n", instance.name),
    };
    instances.iter().map(line).collect()
}

/// Streams events of services until the user interrupts or nothing is running. Waits for a supervisor if necessary.
pub fn execute_events(options: &Options) -> Result<i32> {
    let place = state_folder::state_folder(options)?;
    let interrupt = Interrupt::listen(|_| {})?;
    let Some(mut client) = await_supervisor(&place, options, &interrupt)? else { return Ok(exit_code::OK) };
    client.serve_reader();
    client.send(ClientOperation::Events)?;
    let limit = WaitLimit { interrupt: Some((&interrupt, 0)), until: None };
    loop {
        match client.receive(&limit)? {
            ClientMessage::Event(TimedEvent::Unknown) => {}
            ClientMessage::Event(news) if options.services.json => {
                plain::out(&format!("{}\n", serde_json::to_string(&news)?))
            }
            ClientMessage::Event(news) => {
                if concerns(&news, &options.services.names) {
                    plain::out(&described(&news));
                }
            }
            ClientMessage::Answer(_, Err(refused)) => return Err(refused.into()),
            ClientMessage::Answer(..) | ClientMessage::Late => {}
            ClientMessage::Interrupted | ClientMessage::End => return Ok(exit_code::OK),
        }
    }
}

/// A connection to the supervisor, as soon as there is one; `None`: the user has interrupted before.
fn await_supervisor(
    place: &SupervisorLocation,
    options: &Options,
    interrupt: &Interrupt,
) -> Result<Option<SupervisorClient>> {
    // Before the first look, so that none is missed that begins just now. It writes there where it listens.
    let mut growth = LogGrowth::of(&place.state_dir)?;
    let mut told = false;
    while !interrupt.requested() {
        // It may listen elsewhere than the last one.
        let place = SupervisorLocation::of(&place.state_dir, &options.process.variables)?;
        match connect_unless_interrupted(&place, "events", interrupt) {
            Ok(Some(client)) => return Ok(Some(client)),
            Err(error) if !matches!(error.downcast_ref(), Some(EnvError::Interrupted)) => return Err(error),
            Ok(None) | Err(_) => {}
        }
        if !std::mem::replace(&mut told, true) {
            notice("nothing is running; waiting for services to start\n");
        }
        match interrupt.notice(0) {
            Some(notice) => growth.wait(&notice),
            None => return Ok(None),
        };
    }
    Ok(None)
}

fn concerns(news: &TimedEvent, names: &[String]) -> bool {
    match news {
        TimedEvent::Service(one) => names.is_empty() || names.contains(&one.service),
        TimedEvent::Failed(one) => names.is_empty() || names.contains(&one.service),
        TimedEvent::Ending(_) => true,
        TimedEvent::Waiting(_) | TimedEvent::Report { .. } | TimedEvent::Unknown => false,
    }
}

fn described(news: &TimedEvent) -> String {
    match news {
        TimedEvent::Service(one) => {
            let url =
                one.url.as_ref().filter(|_| one.state == "ready").map_or(String::new(), |url| format!(" at {url}"));
            let health = one.health.as_ref().map_or(String::new(), |health| format!(" ({health})"));
            format!("{}: {}{health}{url}\n", one.service, one.state)
        }
        TimedEvent::Failed(one) => format!("{}: {}\n", one.service, one.message),
        TimedEvent::Ending(ending) => format!("the supervisor is being stopped by {}\n", ending.cause),
        TimedEvent::Waiting(_) | TimedEvent::Report { .. } | TimedEvent::Unknown => String::new(),
    }
}
