//! Carries out the actions of the state machine, and publishes the events about them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::RunEvent;
use crate::execute::interrupt::Interrupt;
use crate::serve::machine::{ALIVE_FAILURES, Action, MachineEvent as Happening, NodeFailure, NodeState};
use crate::serve::ports::{self, PortRegistry};
use crate::serve::protocol::{EndingService, FailedService, Reply, ServiceEvent, TimedEvent, WaitingService};
use crate::serve::shim::message::ShimRequest;
use crate::serve::supervisor::Supervisor;
use crate::serve::supervisor::log::{self, LAST_LINES, ServiceLog};
use crate::serve::supervisor::service_command;
use crate::serve::supervisor::start_service;

impl Supervisor {
    /// Carries out an action; returns an immediate result, while others come through the channel.
    pub(super) fn perform(&mut self, action: Action) -> Option<Happening> {
        match action {
            Action::Prepare(at) => self.prepare(at),
            Action::Start(at) => {
                self.slots[at].reports.timeline.started = Some(self.now().as_secs_f64());
                start_service::start(self, at)
            }
            Action::Probe(at) => start_service::probe(self, at),
            Action::CheckAlive(at) => {
                start_service::check_alive(self, at);
                None
            }
            Action::Terminate(at) => {
                self.slots[at].tasks.asking = None;
                self.send_to_shim(at, ShimRequest::Stop);
                None
            }
            Action::Kill(at) => {
                self.slots[at].tasks.asking = None;
                self.send_to_shim(at, ShimRequest::Kill);
                None
            }
            Action::Finish(at) => service_command::finish(self, at),
            Action::Changed(at) => {
                self.changed(at);
                None
            }
            Action::StillStarting(at, seconds) => {
                let (target, seen) = self.slots[at].tasks.waiting.now();
                let service = self.slots[at].prepared.name().to_owned();
                self.publish_event(TimedEvent::Waiting(WaitingService {
                    time: since_1970(),
                    service,
                    target,
                    seconds,
                    seen,
                }));
                None
            }
        }
    }

    fn prepare(&mut self, at: usize) -> Option<Happening> {
        let now = self.now().as_secs_f64();
        let slot = &mut self.slots[at];
        slot.reports.timeline.dependencies_ready = Some(now);
        (slot.reports.timeline.started, slot.reports.timeline.ready, slot.run.started) = (None, None, None);
        if let Some(next) = slot.next.take() {
            slot.prepared = next;
        }
        if slot.prepared.definition.is_job() {
            if self.is_left_out(at) {
                self.publish_report(self.left_out(at));
                return Some(Happening::AlreadyDone(at));
            }
            // If it fails, it is no longer done.
            self.project.jobs.forget(self.slots[at].prepared.name());
        }
        if !std::mem::replace(&mut self.slots[at].ports.has_reservation, true)
            && let Err(text) = self.reserve_ports_again(at)
        {
            return Some(Happening::PrepareFailed(at, text));
        }
        if start_service::find_another_port(self, at) {
            return None;
        }
        self.prepare_own(at)
    }

    /// Reserves a service's ports for another start.
    fn reserve_ports_again(&mut self, at: usize) -> Result<(), String> {
        let slot = &mut self.slots[at];
        let Some(service) = &slot.prepared.definition.service else { return Ok(()) };
        let mut registry = PortRegistry::open(&self.project.state_dir, self.project.user_dir.as_deref());
        slot.ports.reservation.release();
        slot.ports.reservation =
            ports::reserve(&mut registry, &slot.which, service).map_err(|error| error.to_string())?;
        slot.instance.ports.clone_from(&slot.ports.reservation.ports);
        slot.instance.host.clone_from(&service.address.host);
        // Changed numbers are no reason not to start.
        let _ = registry.close();
        Ok(())
    }

    /// Prepares a start: there is no running service to adopt.
    pub(super) fn prepare_own(&mut self, at: usize) -> Option<Happening> {
        if !self.machine.may_run(at) {
            return Some(Happening::Prepared(at));
        }
        let slot = &mut self.slots[at];
        let name = slot.prepared.name().to_owned();
        let regained = match &slot.prepared.definition.service {
            Some(service) => slot.ports.reservation.regain(&name, service),
            None => Ok(()),
        };
        match regained {
            Ok(()) => service_command::prepare(self, at),
            Err(error) => Some(Happening::PrepareFailed(at, format!("cannot start and cannot be adopted: {error}"))),
        }
    }

    /// Sends a request to the shim of a service, or to the commands of a job or around a service.
    fn send_to_shim(&mut self, at: usize, request: ShimRequest) {
        let slot = &mut self.slots[at];
        match &mut slot.run.running {
            // The end of the shim is already in the channel.
            Some(running) => running.send(request),
            None => slot.tasks.commands.iter().for_each(Interrupt::request),
        }
    }

    fn changed(&mut self, at: usize) {
        let state = self.machine.state(at);
        let mut text = None;
        match state {
            NodeState::Ready => {
                self.publish(at);
                let slot = &self.slots[at];
                let seconds = slot.run.started.map_or(0.0, |started| started.elapsed().as_secs_f64());
                let place = slot.instance.url.as_ref().map_or(String::new(), |url| format!("at {url} "));
                text = Some(format!("{place}({seconds:.2} s)"));
            }
            NodeState::Restarting if self.machine.has_failed_alive(at) => {
                let why = self.slots[at].tasks.waiting.explanation(None).unwrap_or_default();
                text = Some(format!("(its `alive` probe failed {ALIVE_FAILURES} times in a row: {why})"));
            }
            NodeState::Restarting | NodeState::Failed => text = Some(String::new()),
            NodeState::Exited => {
                text = self.slots[at].run.started.map(|_| String::new());
                self.job_may_be_done(at);
            }
            NodeState::Stopped => text = self.slots[at].run.started.map(|_| String::new()),
            _ => {}
        }
        if self.machine.is_over(at) {
            let slot = &mut self.slots[at];
            // Sockets of a stopped service must not accept connections.
            slot.ports.reservation.release();
            slot.ports.has_reservation = false;
            slot.tasks.commands = None;
            if state != NodeState::Exited || !slot.prepared.definition.is_job() {
                self.ready.remove(slot.prepared.name());
            }
        }
        self.publish_state(at, text);
    }

    fn job_may_be_done(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let ran = slot.run.started.is_some() && slot.next.is_none();
        if ran && slot.prepared.definition.is_job() {
            slot.force.is_due = false;
            self.remember_job(at);
        }
        if self.slots[at].prepared.definition.is_job() {
            self.publish(at);
        }
    }

    /// Makes the values of a ready service available to its dependents.
    fn publish(&mut self, at: usize) {
        let now = self.now().as_secs_f64();
        let slot = &mut self.slots[at];
        slot.reports.timeline.ready = Some(now);
        let data = self.data_of(at, &self.slots[at].prepared.definition);
        let slot = &mut self.slots[at];
        slot.data = data;
        let ready = slot.prepared.definition.service.as_ref().and_then(|service| service.probes.ready.as_deref());
        let scheme = match ready.and_then(|ready| ready.trim_start().split_once("://")) {
            Some(("http", _)) => "http",
            Some(("https", _)) => "https",
            _ => "tcp",
        };
        slot.instance.derive_url(scheme);
        self.ready.insert(slot.instance.name.clone(), slot.instance.clone());
    }

    fn publish_state(&mut self, at: usize, text: Option<String>) {
        let event = self.state_event(at, text);
        // A step of the machine may pass through several states; only the last of them is seen here, possibly
        // twice.
        let is_same = |reported: &ServiceEvent| {
            let (time, seconds) = (event.time, event.seconds);
            ServiceEvent { time, seconds, ..reported.clone() } == event
        };
        if event.text.is_none() && self.slots[at].reports.reported.as_ref().is_some_and(is_same) {
            return;
        }
        self.slots[at].reports.reported = Some(ServiceEvent { text: None, ..event.clone() });
        self.publish_event(TimedEvent::Service(event));
    }

    fn state_event(&self, at: usize, text: Option<String>) -> ServiceEvent {
        let slot = &self.slots[at];
        let processes = slot.run.running.as_ref().and_then(|running| running.processes);
        ServiceEvent {
            time: since_1970(),
            service: slot.prepared.name().to_owned(),
            environment: slot.which.environment.clone(),
            state: self.state_name(at).to_owned(),
            health: self.health(at),
            restarts: self.machine.restarts(at),
            pid: processes.map(|(leader, _)| leader),
            url: slot.instance.url.clone(),
            seconds: slot.run.started.map(|started| started.elapsed().as_secs_f64()),
            text,
        }
    }

    pub(super) fn publish_health(&mut self, at: usize) {
        self.publish_state(at, None);
    }

    pub(super) fn state_name(&self, at: usize) -> &'static str {
        match self.machine.state(at) {
            NodeState::Ready if self.machine.is_adopted(at) => "adopted",
            state => state.name(),
        }
    }

    pub(super) fn health(&self, at: usize) -> Option<String> {
        let service = self.slots[at].prepared.definition.service.as_ref()?;
        let checked = service.probes.alive.is_some() && self.machine.state(at) == NodeState::Ready;
        checked.then(|| if self.machine.is_healthy(at) { "healthy" } else { "unhealthy" }.to_owned())
    }

    pub(super) fn publish_failure(&self, at: usize) {
        let service = self.slots[at].prepared.name().to_owned();
        self.publish_event(TimedEvent::Failed(FailedService {
            time: since_1970(),
            service,
            message: self.failure_text(at),
        }));
    }

    pub(super) fn publish_report(&mut self, event: RunEvent) {
        if let RunEvent::Output { environment, bytes, .. } = &event
            && let Some(at) = self.names.get(environment)
            && self.slots[*at].prepared.definition.service.is_none()
            && let Ok(mut log) = ServiceLog::open(&self.project.log_dir.join(format!("{environment}.log")))
        {
            log.write(bytes);
        }
        self.publish_event(TimedEvent::Report { report: event });
    }

    /// The supervisor was asked to end.
    pub(super) fn publish_stopping(&self, cause: String) {
        self.publish_event(TimedEvent::Ending(EndingService { time: since_1970(), cause }));
    }

    /// Sends a report to one connection, if it receives events.
    pub(super) fn publish_to(&self, connection: u64, report: RunEvent) {
        if self.clients.connections.get(&connection).is_some_and(|one| one.events) {
            self.send(connection, &Reply::Event(TimedEvent::Report { report }));
        }
    }

    fn publish_event(&self, event: TimedEvent) {
        let reply = Reply::Event(event);
        for connection in self.clients.connections.values().filter(|connection| connection.events) {
            connection.outbox.push(&reply);
        }
    }

    /// Why a service has failed, for people; empty for one that has not.
    pub(super) fn failure_text(&self, at: usize) -> String {
        let Some(failure) = self.machine.failure(at) else { return String::new() };
        let slot = &self.slots[at];
        let lines = match &slot.run.running {
            Some(running) if slot.run.last_lines.is_empty() => {
                log::last_lines(&running.log.0, running.log.1, LAST_LINES)
            }
            _ => slot.run.last_lines.clone(),
        };
        let explained = match failure {
            NodeFailure::NotReady(_) | NodeFailure::NotAlive(_) => {
                slot.tasks.waiting.explanation(lines.last()).map(|why| format!(": {why}"))
            }
            NodeFailure::ExitedEarly(_) => slot.tasks.waiting.explanation_of_end().map(|why| format!("; {why}")),
            _ => None,
        };
        let explained = explained.unwrap_or_default();
        let mut text = format!("`{}`{} {failure}{explained}", slot.prepared.name(), slot.place);
        for hint in self.hints(at) {
            text.push_str("\nhelp: ");
            text.push_str(&hint);
        }
        if !lines.is_empty() {
            text.push_str("\nits last lines:");
            for line in &lines {
                text.push_str("\n  ");
                text.push_str(line);
            }
        }
        text
    }
}

#[expect(clippy::disallowed_methods, reason = "people read wall-clock times; nothing waits for it")]
fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
