//! Requests that are answered later: when services are ready, or never will be, or are gone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::serve::fields::Instance;
use crate::serve::machine::{Never, Now, State};
use crate::serve::protocol::{Answer, Changes, Known, Left, Refusal, Reply};
use crate::serve::supervisor::Supervisor;

pub(super) struct Pending {
    pub connection: u64,
    pub id: u64,
    pub kind: Kind,
    /// When it is answered in any case.
    pub until: Option<Now>,
}

pub(super) enum Kind {
    /// All they depend on included. Answered with what is known of them.
    Ready(BTreeSet<usize>),
    /// Answered when `nodes` are gone, with those of `stopped` that are over.
    Stopped { nodes: BTreeSet<usize>, stopped: BTreeSet<usize> },
    /// Answered when they are gone, with what became of each. Not all were envo's own.
    Left { nodes: BTreeSet<usize>, adopted: BTreeSet<usize> },
}

impl Supervisor {
    /// Answers what can be answered by now.
    pub(super) fn settle_pending(&mut self) {
        let now = self.now();
        let pending = std::mem::take(&mut self.pending);
        for one in pending {
            let answer = self.settled(&one.kind).or_else(|| {
                let late = one.until.is_some_and(|until| until <= now);
                late.then(|| Err(Refusal::new("timeout", self.not_ready_text(&one.kind))))
            });
            match answer {
                Some(Ok(ok)) => self.send(one.connection, &Reply::Answer { id: one.id, ok }),
                Some(Err(error)) => self.send(one.connection, &Reply::Refusal { id: one.id, error }),
                None => self.pending.push(one),
            }
        }
    }

    fn settled(&self, kind: &Kind) -> Option<Result<Answer, Refusal>> {
        match kind {
            Kind::Ready(nodes) => {
                let all = self.machine.with_dependencies(nodes.iter().copied());
                let never = nodes.iter().chain(&all).find_map(|at| Some((*at, self.machine.never(*at)?)));
                if let Some((at, never)) = never {
                    return Some(Err(self.never_ready(at, never)));
                }
                let ready = all.iter().all(|at| self.machine.is_met(*at));
                ready.then(|| Ok(Answer::Instances(self.instances_of(nodes))))
            }
            Kind::Stopped { nodes, stopped } => {
                self.are_gone(nodes).then(|| Ok(Answer::Changes(self.stopped(nodes, stopped))))
            }
            Kind::Left { nodes, adopted } => self.are_gone(nodes).then(|| Ok(Answer::Left(self.left(nodes, adopted)))),
        }
    }

    /// What is known of those that are ready.
    pub(super) fn instances_of(&self, nodes: &BTreeSet<usize>) -> Vec<Known> {
        nodes.iter().filter_map(|at| self.known(*at)).collect()
    }

    fn known(&self, at: usize) -> Option<Known> {
        let slot = &self.slots[at];
        let instance = self.ready.get(&slot.which.name)?.clone();
        let shown = Instance { name: slot.which.environment.clone(), ..instance.clone() };
        Some(Known {
            instance,
            environment: slot.which.environment.clone(),
            variables: shown.variables().into_iter().collect(),
            pid: slot.running.as_ref().and_then(|running| running.processes).map(|(leader, _)| leader),
            log: self.log_of(at).display().to_string(),
        })
    }

    pub fn log_of(&self, at: usize) -> PathBuf {
        self.log_dir.join(format!("{}.log", self.slots[at].which.name))
    }

    /// Whether everything that nobody wants has ended, or is kept for a while on purpose.
    fn are_gone(&self, nodes: &BTreeSet<usize>) -> bool {
        nodes.iter().all(|at| {
            let over = self.machine.is_over(*at) && self.slots[*at].running.is_none();
            over || self.machine.is_kept(*at) || self.machine.may_run(*at)
        })
    }

    /// Those that envo has not started, and does not stop.
    pub(super) fn adopted(&self) -> BTreeSet<usize> {
        (0..self.slots.len()).filter(|at| self.machine.is_adopted(*at)).collect()
    }

    fn stopped(&self, nodes: &BTreeSet<usize>, stopped: &BTreeSet<usize>) -> Changes {
        let mut changes = Changes::default();
        for at in self.in_order(nodes.union(stopped).copied()).into_iter().rev() {
            let list = if stopped.contains(&at) { &mut changes.stopped } else { &mut changes.unchanged };
            list.push(self.slots[at].prepared.name().to_owned());
        }
        changes
    }

    fn left(&self, nodes: &BTreeSet<usize>, adopted: &BTreeSet<usize>) -> Left {
        let mut left = Left { last: self.is_idle(), ..Left::default() };
        for at in self.in_order(nodes.iter().copied()).into_iter().rev() {
            let name = self.slots[at].prepared.name().to_owned();
            if self.machine.is_over(at) && adopted.contains(&at) {
                left.adopted.push(name);
            } else if self.machine.is_over(at) {
                left.stopped.push(name);
            } else {
                left.held.push((name, self.holders(at)));
            }
        }
        left
    }

    fn never_ready(&self, at: usize, never: Never) -> Refusal {
        let name = |at: usize| self.slots[at].prepared.name();
        match never {
            Never::Failed(root) => Refusal::new("failed", self.failure_text(root)),
            Never::Halted(by) if by == at => Refusal::new("stopped", format!("`{}` was stopped", name(at))),
            Never::Halted(by) => {
                let text = format!("`{}` cannot get ready: `{}`, which it depends on, was stopped", name(at), name(by));
                Refusal::new("stopped", text)
            }
            Never::Unwanted => {
                let mut refusal = Refusal::new("stopped", format!("`{}` is not running and nobody wants it", name(at)));
                refusal.hints.push(format!("`envo up -e {}` starts it", name(at)));
                refusal
            }
            Never::Ended => Refusal::new("ended", format!("`{}` has ended", name(at))),
        }
    }

    /// What a service that is being started waits for, in parentheses.
    fn waits_for(&self, at: usize) -> String {
        if self.machine.state(at) != State::Starting {
            return String::new();
        }
        let (target, seen) = self.slots[at].waiting.now();
        let seen = seen.map_or(String::new(), |seen| format!(", {seen}"));
        format!(" (waiting for {target}{seen})")
    }

    fn not_ready_text(&self, kind: &Kind) -> String {
        let (Kind::Ready(nodes) | Kind::Stopped { nodes, .. } | Kind::Left { nodes, .. }) = kind;
        let all = self.machine.with_dependencies(nodes.iter().copied());
        let open: Vec<String> = all
            .iter()
            .filter(|at| !self.machine.is_met(**at))
            .map(|at| format!("{} is {}{}", self.slots[*at].prepared.name(), self.state_name(*at), self.waits_for(*at)))
            .collect();
        format!("not in time: {}", open.join(", "))
    }
}
