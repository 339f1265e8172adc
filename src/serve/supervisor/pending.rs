//! Requests that are answered later: when services are ready, never will be, or are gone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::serve::fields::ServiceInstance;
use crate::serve::machine::{MachineTime, NeverReady, NodeState};
use crate::serve::protocol::{InstanceInfo, ReleaseResult, Reply, ReplyBody, RequestRefusal, UpResult};
use crate::serve::supervisor::Supervisor;

pub(super) struct PendingRequest {
    pub connection: u64,
    pub id: u64,
    pub kind: PendingKind,
    /// The deadline for the reply.
    pub until: Option<MachineTime>,
}

pub(super) enum PendingKind {
    /// The nodes and their dependencies. Answered with their instances.
    Ready(BTreeSet<usize>),
    /// Answered when `nodes` are gone, with those of `stopped` that are over.
    Stopped { nodes: BTreeSet<usize>, stopped: BTreeSet<usize> },
    /// Answered when they are gone, with the result for each.
    Left { nodes: BTreeSet<usize>, before: BeforeRelease },
}

/// Nodes that a release does not stop.
pub(super) struct BeforeRelease {
    /// The services that envo has not started.
    adopted: BTreeSet<usize>,
    /// Those that did not run.
    over: BTreeSet<usize>,
}

impl Supervisor {
    /// Answers the requests whose condition is met.
    pub(super) fn settle_pending(&mut self) {
        let now = self.now();
        let pending = std::mem::take(&mut self.clients.pending);
        for one in pending {
            let answer = self.settled(&one.kind).or_else(|| {
                let late = one.until.is_some_and(|until| until <= now);
                late.then(|| Err(RequestRefusal::new("timeout", self.not_ready_text(&one.kind))))
            });
            match answer {
                Some(Ok(ok)) => self.send(one.connection, &Reply::Answer { id: one.id, ok }),
                Some(Err(error)) => self.send(one.connection, &Reply::Refusal { id: one.id, error }),
                None => self.clients.pending.push(one),
            }
        }
    }

    fn settled(&self, kind: &PendingKind) -> Option<Result<ReplyBody, RequestRefusal>> {
        match kind {
            PendingKind::Ready(nodes) => {
                let all = self.machine.with_dependencies(nodes.iter().copied());
                let never = nodes.iter().chain(&all).find_map(|at| Some((*at, self.machine.never(*at)?)));
                if let Some((at, never)) = never {
                    return Some(Err(self.never_ready(at, never)));
                }
                let ready = all.iter().all(|at| self.machine.is_met(*at));
                ready.then(|| Ok(ReplyBody::Instances(self.instances_of(nodes))))
            }
            PendingKind::Stopped { nodes, stopped } => {
                self.are_gone(nodes).then(|| Ok(ReplyBody::Changes(self.stopped(nodes, stopped))))
            }
            PendingKind::Left { nodes, before } => {
                self.are_gone(nodes).then(|| Ok(ReplyBody::Released(self.left(nodes, before))))
            }
        }
    }

    /// The instances that are ready.
    pub(super) fn instances_of(&self, nodes: &BTreeSet<usize>) -> Vec<InstanceInfo> {
        nodes.iter().filter_map(|at| self.known(*at)).collect()
    }

    fn known(&self, at: usize) -> Option<InstanceInfo> {
        let slot = &self.slots[at];
        let instance = self.ready.get(&slot.which.name)?.clone();
        let shown = ServiceInstance { name: slot.which.environment.clone(), ..instance.clone() };
        Some(InstanceInfo {
            instance,
            environment: slot.which.environment.clone(),
            variables: shown.variables().into_iter().collect(),
            pid: slot.run.running.as_ref().and_then(|running| running.processes).map(|(leader, _)| leader),
            log: self.log_of(at).display().to_string(),
        })
    }

    pub fn log_of(&self, at: usize) -> PathBuf {
        self.project.log_dir.join(format!("{}.log", self.slots[at].which.name))
    }

    /// Where a shim writes output that a killed supervisor has not read. A shim knows no secrets, so without a file that can
    /// be opened the output is lost if there are any.
    pub fn log_of_unread(&self, at: usize) -> PathBuf {
        let log = self.log_of(at);
        match (self.project.redactor.is_empty(), log.file_name()) {
            (false, Some(name)) => PathBuf::from("/dev/null").join(name),
            _ => log,
        }
    }

    /// Whether every unwanted node has ended, or is kept for its `idle_timeout`.
    fn are_gone(&self, nodes: &BTreeSet<usize>) -> bool {
        nodes.iter().all(|at| {
            let over = self.machine.is_over(*at) && self.slots[*at].run.running.is_none();
            over || self.machine.is_kept(*at) || self.machine.may_run(*at)
        })
    }

    pub(super) fn before_release(&self) -> BeforeRelease {
        let nodes = 0..self.slots.len();
        BeforeRelease {
            adopted: nodes.clone().filter(|at| self.machine.is_adopted(*at)).collect(),
            over: nodes.filter(|at| self.machine.is_over(*at) && self.slots[*at].run.running.is_none()).collect(),
        }
    }

    fn stopped(&self, nodes: &BTreeSet<usize>, stopped: &BTreeSet<usize>) -> UpResult {
        let mut changes = UpResult::default();
        for at in self.in_order(nodes.union(stopped).copied()).into_iter().rev() {
            let list = if stopped.contains(&at) { &mut changes.stopped } else { &mut changes.unchanged };
            list.push(self.slots[at].prepared.name().to_owned());
        }
        changes
    }

    fn left(&self, nodes: &BTreeSet<usize>, before: &BeforeRelease) -> ReleaseResult {
        let mut left = ReleaseResult { ending: self.is_idle(), ..ReleaseResult::default() };
        for at in self.in_order(nodes.iter().copied()).into_iter().rev() {
            let name = self.slots[at].prepared.name().to_owned();
            if self.machine.is_over(at) && before.adopted.contains(&at) {
                left.adopted.push(name);
            } else if self.machine.is_over(at) {
                if !before.over.contains(&at) {
                    left.stopped.push(name);
                }
            } else {
                left.held.push((name, self.holders(at)));
            }
        }
        left
    }

    fn never_ready(&self, at: usize, never: NeverReady) -> RequestRefusal {
        let name = |at: usize| self.slots[at].prepared.name();
        match never {
            NeverReady::Failed(root) => RequestRefusal::new("failed", self.failure_text(root)),
            NeverReady::Halted(by) if by == at => RequestRefusal::new("stopped", format!("`{}` was stopped", name(at))),
            NeverReady::Halted(by) => {
                let text =
                    format!("`{}` cannot become ready: `{}`, which it depends on, was stopped", name(at), name(by));
                RequestRefusal::new("stopped", text)
            }
            NeverReady::Unwanted => {
                let mut refusal =
                    RequestRefusal::new("stopped", format!("`{}` is not running and no client holds it", name(at)));
                refusal.hints.push(format!("`envo up -e {}` starts it", name(at)));
                refusal
            }
            NeverReady::Ended => RequestRefusal::new("ended", format!("`{}` has ended", name(at))),
        }
    }

    /// What a starting service waits for, in parentheses.
    fn waits_for(&self, at: usize) -> String {
        if self.machine.state(at) != NodeState::Starting {
            return String::new();
        }
        let (target, seen) = self.slots[at].tasks.waiting.now();
        let seen = seen.map_or(String::new(), |seen| format!(", {seen}"));
        format!(" (waiting for {target}{seen})")
    }

    fn not_ready_text(&self, kind: &PendingKind) -> String {
        let (PendingKind::Ready(nodes) | PendingKind::Stopped { nodes, .. } | PendingKind::Left { nodes, .. }) = kind;
        let all = self.machine.with_dependencies(nodes.iter().copied());
        let open: Vec<String> = all
            .iter()
            .filter(|at| !self.machine.is_met(**at))
            .map(|at| format!("{} is {}{}", self.slots[*at].prepared.name(), self.state_name(*at), self.waits_for(*at)))
            .collect();
        format!("not in time: {}", open.join(", "))
    }
}
