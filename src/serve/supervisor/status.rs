//! Builds the reply to `ps`.

use std::time::{Duration, Instant};

use crate::execute::tree;
use crate::serve::protocol::ServiceStatus;
use crate::serve::protocol::{ServiceAddress, ServiceUsage};
use crate::serve::supervisor::Supervisor;

/// The shortest time between two measurements of all processes.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Supervisor {
    pub(super) fn status(&mut self) -> Vec<ServiceStatus> {
        let shims: Vec<u32> = (0..self.slots.len()).map(|at| self.processes(at).map_or(0, |(_, shim)| shim)).collect();
        let usage = match &self.processes.usage {
            Some((when, of, usage)) if *of == shims && when.elapsed() < LOOK_EVERY => usage.clone(),
            _ => tree::usage_below(&shims),
        };
        if self.processes.usage.as_ref().is_none_or(|(when, of, _)| *of != shims || when.elapsed() >= LOOK_EVERY) {
            self.processes.usage = Some((Instant::now(), shims, usage.clone()));
        }
        let is_listed = |at: &usize| !self.is_spare(*at) || self.machine.failure(*at).is_some();
        let all = (0..self.slots.len()).zip(usage).filter(|(at, _)| is_listed(at));
        all.map(|(at, usage)| self.status_of(at, usage)).collect()
    }

    fn processes(&self, at: usize) -> Option<(u32, u32)> {
        self.slots[at].run.running.as_ref().and_then(|running| running.processes)
    }

    fn status_of(&self, at: usize, usage: Option<tree::ProcessUsage>) -> ServiceStatus {
        let slot = &self.slots[at];
        let definition = &slot.prepared.definition;
        let name = &definition.name;
        let runs = slot.run.running.is_some();
        ServiceStatus {
            name: name.clone(),
            environment: slot.which.environment.clone(),
            job: definition.is_job(),
            state: self.state_name(at).to_owned(),
            health: self.health(at),
            restarts: self.machine.restarts(at),
            pid: self.processes(at).map(|(leader, _)| leader),
            address: ServiceAddress {
                host: slot.instance.host.clone(),
                ports: slot.instance.ports.clone(),
                url: self.ready.get(name).and_then(|instance| instance.url.clone()),
            },
            usage: ServiceUsage {
                uptime: slot.run.started.filter(|_| runs).map(|started| started.elapsed().as_secs_f64()),
                cpu: usage.map(|usage| usage.processor_seconds),
                memory: usage.map(|usage| usage.resident_bytes),
            },
            leases: self.holders(at),
            depends: definition.depends.iter().map(|one| one.name.clone()).collect(),
            failure: Some(self.failure_text(at)).filter(|text| !text.is_empty()),
            timeline: slot.reports.timeline,
            log: self.log_of(at).display().to_string(),
        }
    }
}
