//! Derives what follows from the state of all nodes rather than from one event: which nodes may run, start
//! next, or stop next, and which deadlines have passed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::serve::machine::{
    Action, AfterStop, MachineTime, NodeEnd, NodeFailure, NodePhase, ReadyWhen, ServiceMachine, reminder,
};

impl ServiceMachine {
    /// Whether the node should run rather than end: it is wanted, and neither it nor a dependency was
    /// stopped.
    pub fn may_run(&self, at: usize) -> bool {
        !self.members[at].stop.cycling && self.allowed()[at]
    }

    /// The nodes that are wanted or kept and not stopped by the user, with their dependencies.
    fn allowed(&self) -> Vec<bool> {
        let mut known: Vec<Option<bool>> = vec![None; self.members.len()];
        for at in 0..self.members.len() {
            self.find_allowed(at, &mut known);
        }
        known.into_iter().map(|allowed| allowed == Some(true)).collect()
    }

    fn find_allowed(&self, at: usize, known: &mut Vec<Option<bool>>) -> bool {
        if let Some(allowed) = known[at] {
            return allowed;
        }
        let member = &self.members[at];
        // Ends the search even if there is a cycle.
        known[at] = Some(false);
        let own = (member.wanted || member.kept_until.is_some()) && !member.stop.halted;
        let allowed = own && member.node.dependencies.iter().all(|one| self.find_allowed(*one, known));
        known[at] = Some(allowed);
        allowed
    }

    pub(super) fn want(&mut self, wanted: &BTreeSet<usize>, now: MachineTime) {
        let wanted = self.with_dependencies(wanted.iter().copied());
        for at in 0..self.members.len() {
            let before = std::mem::replace(&mut self.members[at].wanted, wanted.contains(&at));
            let member = &mut self.members[at];
            if member.wanted {
                member.kept_until = None;
                member.stop.hurried = false;
                member.stop.abandoned = None;
                if !before {
                    self.allow_retry(at);
                }
            } else if before && !member.node.idle_timeout.is_zero() && matches!(member.phase, NodePhase::Ready { .. }) {
                let until = now.saturating_add(member.node.idle_timeout);
                // Its dependencies are kept for as long.
                for one in self.with_dependencies([at]) {
                    let member = &mut self.members[one];
                    member.kept_until = member.kept_until.max(Some(until));
                }
            }
        }
        // A wanted node may depend on a kept one.
        for at in wanted {
            self.members[at].kept_until = None;
        }
    }

    pub(super) fn stop_all(&mut self) {
        for member in &mut self.members {
            (member.wanted, member.kept_until) = (false, None);
        }
    }

    /// Lets a node that is over start again. Earlier failures no longer count, but a job that is done stays
    /// done.
    fn allow_retry(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.stop.halted = false;
        let end = match &mut member.phase {
            NodePhase::Over { end }
            | NodePhase::Finishing { end }
            | NodePhase::Stopping { then: AfterStop::End(end), .. } => end,
            _ => return,
        };
        if !(member.met && matches!(end, NodeEnd::Exited(_))) {
            *end = NodeEnd::Stopped;
            member.restarts = 0;
            member.failure = None;
        }
    }

    pub(super) fn retry(&mut self, asked: &[usize], actions: &mut Vec<Action>) {
        for at in self.with_dependencies(asked.iter().copied()) {
            let before = self.state(at);
            self.allow_retry(at);
            if self.state(at) != before {
                actions.push(Action::Changed(at));
            }
        }
    }

    pub(super) fn restart(&mut self, asked: &[usize], actions: &mut Vec<Action>) {
        for at in asked {
            let member = &mut self.members[*at];
            (member.stop.cycling, member.stop.halted, member.restarts) = (true, false, 0);
            if matches!(member.phase, NodePhase::Over { .. }) {
                member.unmeet();
            }
            self.cycle_dependents(*at);
        }
        self.retry(asked, actions);
    }

    /// The nodes that restart with this one, directly or indirectly, must go down before they run again.
    pub(super) fn cycle_dependents(&mut self, at: usize) {
        for dependent in self.members[at].dependents.clone() {
            let member = &mut self.members[dependent];
            if member.node.restarts_with.contains(&at) && !member.is_down() && !member.stop.cycling {
                member.stop.cycling = true;
                self.cycle_dependents(dependent);
            }
        }
    }

    /// Kills all nodes that must end.
    pub(super) fn kill_unwanted(&mut self, now: MachineTime, actions: &mut Vec<Action>) {
        let allowed = self.allowed();
        for at in (0..self.members.len()).filter(|at| !allowed[*at]) {
            self.members[at].stop.hurried = true;
            match self.members[at].phase.clone() {
                NodePhase::Starting { .. } | NodePhase::Ready { .. } => {
                    self.kill(at, AfterStop::End(NodeEnd::Stopped), now, actions)
                }
                NodePhase::Stopping { then, killed: false, .. } => self.kill(at, then, now, actions),
                NodePhase::Preparing { .. } | NodePhase::Finishing { .. } => actions.push(Action::Kill(at)),
                _ => {}
            }
        }
    }

    /// Gives all nodes that must end at most this much time.
    pub(super) fn abandon_unwanted(&mut self, most: Duration, now: MachineTime) {
        let allowed = self.allowed();
        for at in (0..self.members.len()).filter(|at| !allowed[*at]) {
            let member = &mut self.members[at];
            member.stop.abandoned = Some(most);
            if let NodePhase::Stopping { patience: Some(until), killed: false, .. } = &mut member.phase {
                *until = (*until).min(now.saturating_add(most));
            }
        }
    }

    pub(super) fn pass_time(&mut self, now: MachineTime, actions: &mut Vec<Action>) {
        for at in 0..self.members.len() {
            if self.members[at].kept_until.is_some_and(|until| until <= now) {
                self.members[at].kept_until = None;
            }
            match self.members[at].phase.clone() {
                NodePhase::Starting { settled: Some(settled), .. } if settled <= now => self.ready(at, now, actions),
                NodePhase::Starting { until: Some(until), .. } if until <= now => {
                    let time = self.members[at].node.ready_timeout.unwrap_or_default();
                    self.fail_running(at, NodeFailure::NotReady(time), now, actions);
                }
                NodePhase::Starting { since, reminded, .. } if reminder(since, reminded) <= now => {
                    self.remind(at, now.saturating_sub(since).as_secs(), actions);
                }
                NodePhase::Stopping { patience: Some(until), killed: false, then } if until <= now => {
                    self.kill(at, then, now, actions);
                }
                NodePhase::Stopping { patience: Some(until), killed: true, .. } if until <= now => {
                    self.fail(at, NodeFailure::Unkillable, actions);
                }
                NodePhase::Backoff { until } if until <= now && self.may_run(at) => self.start(at, now, actions),
                _ => {}
            }
        }
    }

    fn remind(&mut self, at: usize, seconds: u64, actions: &mut Vec<Action>) {
        if let NodePhase::Starting { reminded, .. } = &mut self.members[at].phase {
            *reminded = seconds;
            actions.push(Action::StillStarting(at, seconds));
        }
    }

    /// The result of a job is gone if a dependency has lost its state: the job must run again, and a running
    /// one must begin again.
    fn redo_stale_jobs(&mut self, allowed: &[bool], actions: &mut Vec<Action>) -> bool {
        let mut changed = false;
        for at in (0..self.members.len()).filter(|at| allowed[*at]) {
            let member = &self.members[at];
            if member.node.ready_when != ReadyWhen::Ended || member.stop.cycling || self.is_prepared_for(at) {
                continue;
            }
            self.members[at].unmeet();
            match self.members[at].phase {
                NodePhase::Over { end: NodeEnd::Exited(_) } => {
                    self.enter(at, NodePhase::Over { end: NodeEnd::Stopped }, actions);
                    self.cycle_dependents(at);
                }
                NodePhase::Preparing { .. } | NodePhase::Starting { .. } | NodePhase::Backoff { .. } => {
                    self.members[at].stop.cycling = true;
                }
                _ => continue,
            }
            changed = true;
        }
        changed
    }

    /// Whether no dependency of a job has lost its state since the job last began.
    fn is_prepared_for(&self, at: usize) -> bool {
        let prepared_for = &self.members[at].prepared_for;
        self.dependencies_of(at).iter().all(|one| prepared_for.get(one) == Some(&self.members[*one].epoch))
    }

    /// Does what has become possible; returns whether anything was.
    pub(super) fn settle(&mut self, now: MachineTime, actions: &mut Vec<Action>) -> bool {
        let allowed = self.allowed();
        let mut changed = self.redo_stale_jobs(&allowed, actions);
        for at in 0..self.members.len() {
            if self.members[at].stop.cycling && self.members[at].is_down() {
                let member = &mut self.members[at];
                member.stop.cycling = false;
                if matches!(member.phase, NodePhase::Over { .. }) {
                    member.unmeet();
                    member.failure = None;
                    member.phase = NodePhase::Over { end: NodeEnd::Stopped };
                }
                changed = true;
            }
            let must_end = |one: usize| !allowed[one] || self.members[one].stop.cycling;
            let ends = must_end(at);
            let free = || self.is_free(at, &must_end);
            match self.members[at].phase.clone() {
                NodePhase::Waiting if ends => self.enter(at, NodePhase::Over { end: NodeEnd::Stopped }, actions),
                NodePhase::Waiting => {
                    if !self.begin(at, actions) {
                        continue;
                    }
                }
                NodePhase::Over { end } if !ends && self.starts_again(at, &end) => {
                    let member = &mut self.members[at];
                    member.unmeet();
                    member.failure = None;
                    self.enter(at, NodePhase::Waiting, actions);
                }
                NodePhase::Preparing { cancelled: false } if ends => {
                    self.enter(at, NodePhase::Preparing { cancelled: true }, actions);
                    actions.push(Action::Terminate(at));
                }
                NodePhase::Starting { .. } | NodePhase::Ready { .. } if ends && free() => {
                    self.terminate(at, AfterStop::End(NodeEnd::Stopped), now, actions);
                }
                NodePhase::Backoff { .. } if ends && free() => self.finish(at, NodeEnd::Stopped, actions),
                _ => continue,
            }
            changed = true;
        }
        changed
    }

    /// Whether no dependent that must end still runs, including dependents through a job that has prepared
    /// the node.
    fn is_free(&self, at: usize, must_end: &impl Fn(usize) -> bool) -> bool {
        self.members[at].dependents.iter().all(|one| {
            let dependent = &self.members[*one];
            match dependent.is_down() {
                true => dependent.node.ready_when != ReadyWhen::Ended || self.is_free(*one, must_end),
                false => !must_end(*one),
            }
        })
    }

    /// Begins with a waiting node, if each direct or indirect dependency is met or never will be.
    fn begin(&mut self, at: usize, actions: &mut Vec<Action>) -> bool {
        let needs = self.dependencies_of(at);
        if needs.iter().all(|one| self.is_met(*one)) {
            self.members[at].prepared_for = needs.iter().map(|one| (*one, self.members[*one].epoch)).collect();
            self.enter(at, NodePhase::Preparing { cancelled: false }, actions);
            actions.push(Action::Prepare(at));
            return true;
        }
        let Some(failed) = self.failed_among(at, &needs) else { return false };
        let failure = NodeFailure::Needs(self.members[failed].node.name.clone());
        self.members[at].failure = Some(failure.clone());
        self.enter(at, NodePhase::Over { end: NodeEnd::Failed(failure) }, actions);
        true
    }

    /// The failed dependency of a node, preferably a direct one.
    fn failed_among(&self, at: usize, needs: &BTreeSet<usize>) -> Option<usize> {
        let direct = self.members[at].node.dependencies.iter();
        direct.chain(needs).copied().find(|one| self.has_failed(*one))
    }

    /// Whether the node has failed for good, or is about to.
    fn has_failed(&self, at: usize) -> bool {
        let end = match &self.members[at].phase {
            NodePhase::Over { end }
            | NodePhase::Finishing { end }
            | NodePhase::Stopping { then: AfterStop::End(end), .. } => end,
            _ => return false,
        };
        matches!(end, NodeEnd::Failed(_)) && !self.members[at].stop.cycling
    }

    /// Whether a node that is over has a reason to run again.
    fn starts_again(&self, at: usize, end: &NodeEnd) -> bool {
        let member = &self.members[at];
        let waiting = |one: &usize| matches!(self.members[*one].phase, NodePhase::Waiting);
        match end {
            NodeEnd::Stopped => true,
            NodeEnd::Exited(_) => !member.met && member.dependents.iter().any(waiting),
            NodeEnd::Failed(NodeFailure::Needs(_)) => !self.dependencies_of(at).iter().any(|one| self.has_failed(*one)),
            NodeEnd::Failed(_) => false,
        }
    }
}
