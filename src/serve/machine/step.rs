//! The machine's step: applies an event, then everything that follows from the new state.

use crate::model::service::RestartPolicy;
use crate::serve::machine::{
    ABANDONED, ALIVE_FAILURES, Action, AfterStop, FIRST_BACKOFF, HEALTHY, LONGEST_BACKOFF, LOST_PORTS, MachineEvent,
    MachineTime, NodeEnd, NodeFailure, NodePhase, ReadyWhen, SETTLED, ServiceMachine,
};

impl ServiceMachine {
    /// Applies an event at the time `now` and returns the actions. Events that do not match a node's state
    /// (for example a probe that succeeds while the node is being stopped) change nothing.
    pub fn step(&mut self, event: MachineEvent, now: MachineTime) -> Vec<Action> {
        let mut actions = Vec::new();
        self.apply(event, now, &mut actions);
        self.pass_time(now, &mut actions);
        while self.settle(now, &mut actions) {}
        actions
    }

    fn apply(&mut self, event: MachineEvent, now: MachineTime, actions: &mut Vec<Action>) {
        match event {
            MachineEvent::Tick => {}
            MachineEvent::Want(wanted) => self.want(&wanted, now),
            MachineEvent::Stop => self.stop_all(),
            MachineEvent::DropKept => self.members.iter_mut().for_each(|member| member.kept_until = None),
            MachineEvent::Kill => self.kill_unwanted(now, actions),
            MachineEvent::Abandon(most) => self.abandon_unwanted(most, now),
            MachineEvent::Retry(asked) => self.retry(&asked, actions),
            MachineEvent::Halt(asked) => asked.into_iter().for_each(|at| self.members[at].stop.halted = true),
            MachineEvent::Restart(asked) => self.restart(&asked, actions),
            MachineEvent::AlreadyDone(at) if self.is_preparing(at) => {
                if self.may_run(at) {
                    self.members[at].met = true;
                    self.enter(at, NodePhase::Over { end: NodeEnd::Exited(0) }, actions);
                } else {
                    self.finish(at, NodeEnd::Stopped, actions);
                }
            }
            MachineEvent::Prepared(at) if self.is_preparing(at) => {
                if self.may_run(at) {
                    self.start(at, now, actions);
                } else {
                    self.finish(at, NodeEnd::Stopped, actions);
                }
            }
            MachineEvent::PrepareFailed(at, text) if self.is_preparing(at) => {
                // Interrupted commands have not failed.
                if self.may_run(at) {
                    self.fail(at, NodeFailure::Prepare(text), actions);
                } else {
                    self.finish(at, NodeEnd::Stopped, actions);
                }
            }
            MachineEvent::Adopted(at) if self.is_preparing(at) => {
                if self.may_run(at) {
                    self.members[at].adopted = true;
                    self.members[at].begin_epoch();
                    self.ready(at, now, actions);
                } else {
                    self.finish(at, NodeEnd::Stopped, actions);
                }
            }
            MachineEvent::Started(at) => self.started(at, now, actions),
            MachineEvent::StartFailed(at, text) => match self.members[at].phase {
                NodePhase::Starting { .. } => self.fail(at, NodeFailure::Start(text), actions),
                NodePhase::Stopping { .. } => self.gone(at, now, actions),
                _ => {}
            },
            MachineEvent::ProbeSucceeded(at) => {
                if matches!(self.members[at].phase, NodePhase::Starting { .. }) {
                    self.ready(at, now, actions);
                }
            }
            MachineEvent::ProbeImpossible(at, text) => {
                if matches!(self.members[at].phase, NodePhase::Starting { .. }) {
                    self.fail_running(at, NodeFailure::Impossible(text), now, actions);
                }
            }
            MachineEvent::Exited(at, code) => self.exited(at, code, now, actions),
            MachineEvent::LostPort(at, code) => self.lost_port(at, code, now, actions),
            MachineEvent::Alive(at, answered) => self.alive_answered(at, answered, now, actions),
            MachineEvent::Gone(at) => self.gone(at, now, actions),
            MachineEvent::Finished(at) => {
                if let NodePhase::Finishing { end } = self.members[at].phase.clone() {
                    self.enter(at, NodePhase::Over { end }, actions);
                }
            }
            MachineEvent::StateLost(at) => self.members[at].epoch += 1,
            MachineEvent::Prepared(_)
            | MachineEvent::PrepareFailed(..)
            | MachineEvent::Adopted(_)
            | MachineEvent::AlreadyDone(_) => {}
        }
    }

    fn is_preparing(&self, at: usize) -> bool {
        matches!(self.members[at].phase, NodePhase::Preparing { .. })
    }

    pub(super) fn enter(&mut self, at: usize, phase: NodePhase, actions: &mut Vec<Action>) {
        let before = self.state(at);
        self.members[at].phase = phase;
        if self.state(at) != before {
            actions.push(Action::Changed(at));
        }
    }

    pub(super) fn start(&mut self, at: usize, now: MachineTime, actions: &mut Vec<Action>) {
        self.members[at].begin_epoch();
        let until = self.members[at].node.ready_timeout.map(|time| now.saturating_add(time));
        self.members[at].alive_failures = 0;
        self.enter(at, NodePhase::Starting { since: now, until, running: false, settled: None, reminded: 0 }, actions);
        actions.push(Action::Start(at));
    }

    fn started(&mut self, at: usize, now: MachineTime, actions: &mut Vec<Action>) {
        let member = &mut self.members[at];
        let NodePhase::Starting { running, until, settled, .. } = &mut member.phase else { return };
        if std::mem::replace(running, true) {
            return;
        }
        match member.node.ready_when {
            // Nothing else is awaited, so the readiness timeout no longer applies.
            ReadyWhen::Started => (*until, *settled) = (None, Some(now.saturating_add(SETTLED))),
            ReadyWhen::Probed => actions.push(Action::Probe(at)),
            ReadyWhen::Ended => {}
        }
    }

    pub(super) fn ready(&mut self, at: usize, now: MachineTime, actions: &mut Vec<Action>) {
        let member = &mut self.members[at];
        member.met = true;
        (member.alive_failures, member.lost_ports) = (0, 0);
        let checks_alive = member.node.checks_alive;
        self.enter(at, NodePhase::Ready { since: now }, actions);
        if checks_alive {
            actions.push(Action::CheckAlive(at));
        }
    }

    /// A service that fails its `alive` probe is restarted regardless of `restart`, but not for ever.
    fn alive_answered(&mut self, at: usize, answered: bool, now: MachineTime, actions: &mut Vec<Action>) {
        let NodePhase::Ready { since } = self.members[at].phase else { return };
        let member = &mut self.members[at];
        member.alive_failures = if answered { 0 } else { member.alive_failures + 1 };
        if member.alive_failures < ALIVE_FAILURES {
            return;
        }
        self.forget_restarts_of_healthy(at, since, now);
        if !self.may_run(at) {
            return;
        }
        let member = &mut self.members[at];
        if member.restarts >= member.node.restart_limit {
            let times = member.restarts;
            return self.fail_running(at, NodeFailure::NotAlive(times), now, actions);
        }
        member.unmeet();
        self.cycle_dependents(at);
        self.terminate(at, AfterStop::Restart, now, actions);
    }

    fn forget_restarts_of_healthy(&mut self, at: usize, since: MachineTime, now: MachineTime) {
        if now.saturating_sub(since) >= HEALTHY {
            self.members[at].restarts = 0;
        }
    }

    fn lost_port(&mut self, at: usize, code: i32, now: MachineTime, actions: &mut Vec<Action>) {
        let member = &mut self.members[at];
        if !matches!(member.phase, NodePhase::Starting { .. }) || member.lost_ports >= LOST_PORTS {
            return self.exited(at, code, now, actions);
        }
        member.lost_ports += 1;
        self.terminate(at, AfterStop::StartOver, now, actions);
    }

    /// A node without a process failed: there is nothing to end.
    pub(super) fn fail(&mut self, at: usize, failure: NodeFailure, actions: &mut Vec<Action>) {
        self.record(at, failure.clone());
        self.finish(at, NodeEnd::Failed(failure), actions);
    }

    /// A node failed whose processes must be ended.
    pub(super) fn fail_running(
        &mut self,
        at: usize,
        failure: NodeFailure,
        now: MachineTime,
        actions: &mut Vec<Action>,
    ) {
        self.record(at, failure.clone());
        self.terminate(at, AfterStop::End(NodeEnd::Failed(failure)), now, actions);
    }

    fn record(&mut self, at: usize, failure: NodeFailure) {
        let member = &mut self.members[at];
        member.unmeet();
        member.failure = Some(failure);
    }

    pub(super) fn terminate(&mut self, at: usize, then: AfterStop, now: MachineTime, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.members[at].adopted) {
            return self.release(at, then, actions);
        }
        if self.members[at].stop.hurried {
            return self.kill(at, then, now, actions);
        }
        let member = &self.members[at];
        let time = member.stop.abandoned.map_or(member.node.stop_timeout, |most| most.min(member.node.stop_timeout));
        let patience = Some(now.saturating_add(time));
        self.enter(at, NodePhase::Stopping { patience, killed: false, then }, actions);
        actions.push(Action::Terminate(at));
    }

    /// An adopted service is not ended. If it stops answering, one of envo's own replaces it.
    fn release(&mut self, at: usize, then: AfterStop, actions: &mut Vec<Action>) {
        match then {
            AfterStop::End(end) => {
                self.members[at].unmeet();
                self.finish(at, end, actions);
            }
            AfterStop::Restart | AfterStop::StartOver => {
                self.members[at].restarts += 1;
                self.enter(at, NodePhase::Preparing { cancelled: false }, actions);
                actions.push(Action::Prepare(at));
            }
        }
    }

    pub(super) fn finish(&mut self, at: usize, end: NodeEnd, actions: &mut Vec<Action>) {
        self.enter(at, NodePhase::Finishing { end }, actions);
        actions.push(Action::Finish(at));
    }

    /// The first process has ended. The others it started are ended too, whatever happens to the node.
    fn exited(&mut self, at: usize, code: i32, now: MachineTime, actions: &mut Vec<Action>) {
        let was_ready = match self.members[at].phase {
            NodePhase::Starting { .. } => None,
            NodePhase::Ready { since } => Some(since),
            _ => return,
        };
        let node = &self.members[at].node;
        let success = node.success_exit_codes.contains(&code);
        let needed = self.is_needed(at);
        let may_run = self.may_run(at);
        if node.ready_when == ReadyWhen::Ended && success {
            self.members[at].met = true;
            return self.terminate(at, AfterStop::End(NodeEnd::Exited(code)), now, actions);
        }
        if let Some(since) = was_ready {
            self.forget_restarts_of_healthy(at, since, now);
        }
        // A service without a probe may end successfully before it has settled; its dependents must not take
        // it for ready.
        let well = success && (was_ready.is_some() || self.members[at].node.ready_when == ReadyWhen::Started);
        let again = match self.members[at].node.restart {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => !well,
            RestartPolicy::Always => true,
        };
        if again && may_run {
            if self.members[at].restarts < self.members[at].node.restart_limit {
                self.members[at].unmeet();
                self.cycle_dependents(at);
                return self.terminate(at, AfterStop::Restart, now, actions);
            }
            let times = self.members[at].restarts;
            return self.fail_running(at, NodeFailure::GaveUp(times, code), now, actions);
        }
        match was_ready {
            _ if well && !(needed && may_run) => {
                self.terminate(at, AfterStop::End(NodeEnd::Exited(code)), now, actions)
            }
            None => self.fail_running(at, NodeFailure::ExitedEarly(code), now, actions),
            Some(_) => self.fail_running(at, NodeFailure::Exited(code), now, actions),
        }
    }

    /// Whether a dependent runs or is about to, including dependents through a job that has prepared the
    /// node.
    fn is_needed(&self, at: usize) -> bool {
        self.members[at].dependents.iter().any(|one| {
            let dependent = &self.members[*one];
            !matches!(dependent.phase, NodePhase::Over { .. }) || (dependent.met && self.is_needed(*one))
        })
    }

    /// No process is left.
    fn gone(&mut self, at: usize, now: MachineTime, actions: &mut Vec<Action>) {
        let NodePhase::Stopping { then, .. } = self.members[at].phase.clone() else { return };
        match then {
            AfterStop::End(end) => {
                let member = &mut self.members[at];
                match end {
                    NodeEnd::Exited(_) if member.node.ready_when == ReadyWhen::Ended => {}
                    // What jobs have prepared in it counts until it starts again: nothing needs it.
                    NodeEnd::Exited(_) => member.met = false,
                    NodeEnd::Stopped | NodeEnd::Failed(_) => member.unmeet(),
                }
                self.finish(at, end, actions);
            }
            AfterStop::Restart if self.may_run(at) => {
                let member = &mut self.members[at];
                let pause = FIRST_BACKOFF * 2_u32.saturating_pow(member.restarts.min(10));
                member.restarts += 1;
                self.enter(at, NodePhase::Backoff { until: now.saturating_add(pause.min(LONGEST_BACKOFF)) }, actions);
            }
            AfterStop::StartOver if self.may_run(at) => self.start(at, now, actions),
            AfterStop::Restart | AfterStop::StartOver => self.finish(at, NodeEnd::Stopped, actions),
        }
    }

    pub(super) fn kill(&mut self, at: usize, then: AfterStop, now: MachineTime, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.members[at].adopted) {
            return self.finish(at, NodeEnd::Stopped, actions);
        }
        self.enter(
            at,
            NodePhase::Stopping { patience: Some(now.saturating_add(ABANDONED)), killed: true, then },
            actions,
        );
        actions.push(Action::Kill(at));
    }
}
