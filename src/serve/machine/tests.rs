//! Tests the machine with a time that the test sets.

mod clock;
mod jobs;
mod leases;
mod starting;

use super::*;

/// A machine with a time that the test sets, and the actions of each step.
struct MachineFixture {
    machine: ServiceMachine,
    now: MachineTime,
}

fn service(name: &str, dependencies: &[usize]) -> MachineNode {
    MachineNode {
        name: name.to_owned(),
        dependencies: dependencies.to_vec(),
        restarts_with: Vec::new(),
        ready_when: ReadyWhen::Probed,
        ready_timeout: Some(Duration::from_secs(60)),
        stop_timeout: Duration::from_secs(10),
        success_exit_codes: vec![0],
        restart: RestartPolicy::No,
        restart_limit: 5,
        checks_alive: false,
        idle_timeout: Duration::ZERO,
        keeps_state: false,
    }
}

fn job(name: &str, dependencies: &[usize]) -> MachineNode {
    MachineNode { ready_when: ReadyWhen::Ended, ready_timeout: None, ..service(name, dependencies) }
}

impl MachineFixture {
    fn new(nodes: Vec<MachineNode>) -> Self {
        let mut fixture = Self { machine: ServiceMachine::default(), now: Duration::ZERO };
        // Here dependencies may follow their dependents.
        for _ in &nodes {
            fixture.machine.members.push(NodeRecord::new(service("", &[])));
        }
        for (at, node) in nodes.into_iter().enumerate() {
            fixture.machine.members[at].node = node;
            fixture.machine.members[at].wanted = true;
        }
        fixture.machine.connect();
        fixture
    }

    /// The actions, without those that only report.
    fn step(&mut self, event: MachineEvent) -> Vec<Action> {
        let mut actions = self.machine.step(event, self.now);
        actions.retain(|action| !matches!(action, Action::Changed(_)));
        actions
    }

    fn after(&mut self, seconds: f64) -> Vec<Action> {
        self.now += Duration::from_secs_f64(seconds);
        self.step(MachineEvent::Tick)
    }

    /// Brings a node that is being prepared to readiness.
    fn bring_up(&mut self, at: usize) -> Vec<Action> {
        assert_eq!(self.step(MachineEvent::Prepared(at)), [Action::Start(at)]);
        assert_eq!(self.step(MachineEvent::Started(at)), [Action::Probe(at)]);
        self.step(MachineEvent::ProbeSucceeded(at))
    }

    fn take_down_after_exit(&mut self, at: usize) -> Vec<Action> {
        assert_eq!(self.step(MachineEvent::Gone(at)), [Action::Finish(at)]);
        self.step(MachineEvent::Finished(at))
    }

    fn want(&mut self, wanted: &[usize]) -> Vec<Action> {
        self.step(MachineEvent::Want(wanted.iter().copied().collect()))
    }

    /// A node whose processes were asked to end does so.
    fn take_down(&mut self, at: usize) -> Vec<Action> {
        let mut actions = self.step(MachineEvent::Exited(at, -15));
        actions.extend(self.step(MachineEvent::Gone(at)));
        assert_eq!(actions, [Action::Finish(at)]);
        self.step(MachineEvent::Finished(at))
    }

    fn states(&self) -> Vec<NodeState> {
        (0..self.machine.members.len()).map(|at| self.machine.state(at)).collect()
    }

    fn failure(&self) -> String {
        let failed = (0..self.machine.len()).find_map(|at| Some((at, self.machine.failure(at)?)));
        let (at, failure) = failed.expect("something has failed");
        format!("{}: {failure}", self.machine.members[at].node.name)
    }
}

#[test]
fn a_service_starts_only_when_its_dependencies_are_ready() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[]), service("c", &[0, 1])]);
    assert_eq!(fixture.step(MachineEvent::Tick), [Action::Prepare(0), Action::Prepare(1)]);
    assert_eq!(fixture.bring_up(0), []);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Preparing, NodeState::Waiting]);
    assert_eq!(fixture.bring_up(1), [Action::Prepare(2)]);
    assert_eq!(fixture.bring_up(2), []);
    assert_eq!(fixture.states(), [NodeState::Ready; 3]);
}

#[test]
fn a_slow_service_delays_only_those_that_need_it() {
    let mut fixture =
        MachineFixture::new(vec![service("slow", &[]), service("a", &[]), service("b", &[1]), service("c", &[0])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.bring_up(1), [Action::Prepare(2)]);
    assert_eq!(fixture.bring_up(2), []);
    assert_eq!(fixture.states(), [NodeState::Preparing, NodeState::Ready, NodeState::Ready, NodeState::Waiting]);
}

#[test]
fn services_stop_before_their_dependencies() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("app", &[0]), service("proxy", &[1])]);
    fixture.step(MachineEvent::Tick);
    for at in 0..3 {
        fixture.bring_up(at);
    }
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(2)]);
    assert_eq!(fixture.take_down(2), [Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [Action::Terminate(0)]);
    assert_eq!(fixture.take_down(0), []);
    assert_eq!(fixture.states(), [NodeState::Stopped; 3]);
    assert!((0..fixture.machine.len()).all(|at| fixture.machine.failure(at).is_none()));
}

#[test]
fn independent_branches_stop_side_by_side() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("a", &[0]), service("b", &[0])]);
    fixture.step(MachineEvent::Tick);
    for at in 0..3 {
        fixture.bring_up(at);
    }
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(1), Action::Terminate(2)]);
    assert_eq!(fixture.take_down(1), []);
    assert_eq!(fixture.take_down(2), [Action::Terminate(0)]);
}

#[test]
fn a_process_that_does_not_stop_is_killed_and_given_up() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    assert_eq!(fixture.machine.deadline(), None);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!(fixture.machine.deadline(), Some(Duration::from_secs(10)));
    assert_eq!(fixture.after(9.9), []);
    assert_eq!(fixture.after(0.1), [Action::Kill(0)]);
    assert_eq!(fixture.after(9.9), []);
    assert_eq!(fixture.after(0.1), [Action::Finish(0)]);
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert_eq!(fixture.failure(), "a: is still running after SIGKILL");
}

#[test]
fn a_leader_that_ends_leaves_its_stragglers_the_same_time() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.step(MachineEvent::Stop);
    assert_eq!(fixture.step(MachineEvent::Exited(0, 0)), []);
    assert_eq!(fixture.after(10.0), [Action::Kill(0)]);
    assert_eq!(fixture.step(MachineEvent::Gone(0)), [Action::Finish(0)]);
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert_eq!(fixture.states(), [NodeState::Stopped]);
}

#[test]
fn a_service_that_is_never_ready_fails_after_its_timeout() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[0])]);
    fixture.step(MachineEvent::Tick);
    fixture.now = Duration::from_secs(5);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.after(59.9), [Action::StillStarting(0, 59)]);
    assert_eq!(fixture.machine.deadline(), Some(Duration::from_secs(65)), "the time counts from its start");
    assert_eq!(fixture.after(0.1), [Action::Terminate(0)]);
    assert_eq!(fixture.states(), [NodeState::Stopping, NodeState::Failed]);
    assert_eq!(fixture.failure(), "a: was not ready after 60 s");
    assert_eq!(fixture.take_down(0), []);
    assert_eq!(fixture.states(), [NodeState::Failed; 2]);
}

#[test]
fn a_probe_that_succeeds_too_late_changes_nothing() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    fixture.after(60.0);
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), []);
    assert_eq!(fixture.states(), [NodeState::Stopping]);
}

#[test]
fn an_exit_before_ready_fails_even_with_code_zero() {
    for (code, words) in [(0, "exited with code 0"), (3, "exited with code 3"), (-11, "was ended by signal 11")] {
        let mut fixture = MachineFixture::new(vec![service("a", &[])]);
        fixture.step(MachineEvent::Tick);
        fixture.step(MachineEvent::Prepared(0));
        fixture.step(MachineEvent::Started(0));
        assert_eq!(fixture.step(MachineEvent::Exited(0, code)), [Action::Terminate(0)]);
        assert_eq!(fixture.failure(), format!("a: {words} before it was ready"));
    }
}

#[test]
fn a_failure_spares_running_nodes_and_fails_waiting_ones() {
    let mut fixture =
        MachineFixture::new(vec![service("a", &[]), service("b", &[0]), service("c", &[1]), service("d", &[2])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.step(MachineEvent::Prepared(1));
    fixture.step(MachineEvent::Started(1));
    assert_eq!(fixture.step(MachineEvent::Exited(1, 1)), [Action::Terminate(1)]);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Stopping, NodeState::Failed, NodeState::Failed]);
    assert_eq!(fixture.take_down_after_exit(1), []);
    let reason = |at| fixture.machine.failure(at).expect("it has failed").to_string();
    assert_eq!(reason(1), "exited with code 1 before it was ready");
    assert_eq!(reason(2), "cannot start: it depends on `b`, which has failed");
    assert_eq!(reason(3), "cannot start: it depends on `c`, which has failed");
    assert_eq!(
        fixture.step(MachineEvent::Retry(vec![3])),
        [Action::Prepare(1)],
        "what it depends on gets another chance"
    );
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Preparing, NodeState::Waiting, NodeState::Waiting]);
    assert_eq!(fixture.bring_up(1), [Action::Prepare(2)]);
}

#[test]
fn a_dependency_that_ends_before_its_dependents_has_failed() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("app", &[0])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    assert_eq!(fixture.step(MachineEvent::Exited(0, 0)), [Action::Terminate(0)]);
    assert_eq!(fixture.failure(), "db: exited with code 0", "something still needed it");
    assert_eq!(fixture.states(), [NodeState::Stopping, NodeState::Ready]);
}

#[test]
fn a_clean_exit_without_dependents_is_not_a_failure() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    fixture.step(MachineEvent::Exited(0, 0));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert_eq!(fixture.states(), [NodeState::Exited, NodeState::Ready]);
    fixture.step(MachineEvent::Exited(1, 0));
    fixture.step(MachineEvent::Gone(1));
    assert_eq!(fixture.step(MachineEvent::Finished(1)), []);
    assert!((0..fixture.machine.len()).all(|at| fixture.machine.failure(at).is_none()));
}

#[test]
fn jobs_end_before_their_dependents_start() {
    let mut fixture = MachineFixture::new(vec![job("migrate", &[1]), service("db", &[]), service("app", &[0])]);
    assert_eq!(fixture.step(MachineEvent::Tick), [Action::Prepare(1)]);
    assert_eq!(fixture.bring_up(1), [Action::Prepare(0)]);
    assert_eq!(fixture.step(MachineEvent::Prepared(0)), [Action::Start(0)]);
    assert_eq!(fixture.step(MachineEvent::Started(0)), []);
    assert_eq!(fixture.after(3600.0), [Action::StillStarting(0, 3600)], "a job may take its time");
    assert_eq!(fixture.step(MachineEvent::Exited(0, 0)), [Action::Terminate(0), Action::Prepare(2)]);
    assert_eq!(fixture.bring_up(2), []);
    fixture.step(MachineEvent::Gone(0));
    fixture.step(MachineEvent::Finished(0));
    assert_eq!(fixture.states(), [NodeState::Exited, NodeState::Ready, NodeState::Ready]);
}

#[test]
fn a_failed_job_fails_its_dependents() {
    let mut fixture = MachineFixture::new(vec![job("migrate", &[]), service("app", &[0])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    fixture.step(MachineEvent::Exited(0, 7));
    assert_eq!(fixture.states(), [NodeState::Stopping, NodeState::Failed]);
    assert_eq!(fixture.failure(), "migrate: exited with code 7 before it was ready");
}

#[test]
fn an_interrupt_during_a_start_stops_everything() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[]), service("c", &[0])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    let asked = fixture.step(MachineEvent::Stop);
    assert_eq!(asked, [Action::Terminate(0), Action::Terminate(1)], "both at once, since `c` never started");
    assert_eq!(fixture.step(MachineEvent::Stop), [], "asking twice in the same words changes nothing");
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), []);
    assert_eq!(fixture.step(MachineEvent::PrepareFailed(1, "interrupted".into())), [Action::Finish(1)]);
    assert_eq!(fixture.step(MachineEvent::Finished(1)), []);
    assert_eq!(fixture.take_down(0), []);
    assert_eq!(fixture.states(), [NodeState::Stopped; 3]);
    assert!(
        (0..fixture.machine.len()).all(|at| fixture.machine.failure(at).is_none()),
        "what the user interrupts has not failed"
    );
}

#[test]
fn a_second_interrupt_kills_everything_at_once() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[0]), service("c", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(1), Action::Terminate(2)]);
    assert_eq!(fixture.step(MachineEvent::Kill), [Action::Kill(0), Action::Kill(1), Action::Kill(2)]);
    assert_eq!(fixture.step(MachineEvent::Gone(1)), [Action::Finish(1)]);
    assert_eq!(fixture.step(MachineEvent::Gone(0)), [Action::Finish(0)]);
    fixture.step(MachineEvent::Prepared(2));
    for at in 0..3 {
        fixture.step(MachineEvent::Finished(at));
    }
    assert_eq!(fixture.states(), [NodeState::Stopped; 3]);
}

#[test]
fn services_of_a_killed_client_have_less_time_to_end() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[0]), service("c", &[])]);
    fixture.step(MachineEvent::Tick);
    for at in [0, 1, 2] {
        fixture.bring_up(at);
    }
    assert_eq!(fixture.step(MachineEvent::Want([2].into())), [Action::Terminate(1)]);
    assert_eq!(fixture.step(MachineEvent::Abandon(Duration::from_secs(1))), []);
    assert_eq!(fixture.after(1.0), [Action::Kill(1)]);
    // This includes nodes that are asked to end only now.
    assert_eq!(fixture.step(MachineEvent::Gone(1)), [Action::Finish(1)]);
    assert_eq!(fixture.step(MachineEvent::Finished(1)), [Action::Terminate(0)]);
    assert_eq!(fixture.after(0.5), []);
    assert_eq!(fixture.after(0.5), [Action::Kill(0)]);
    fixture.take_down_after_exit(0);
    assert_eq!(fixture.step(MachineEvent::Want([].into())), [Action::Terminate(2)]);
    assert_eq!(fixture.after(9.9), []);
    assert_eq!(fixture.after(0.1), [Action::Kill(2)]);
}

#[test]
fn failed_preparation_or_start_fails_without_a_process() {
    let mut fixture = MachineFixture::new(vec![service("a", &[]), service("b", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    assert_eq!(fixture.step(MachineEvent::StartFailed(0, "no such file".into())), [Action::Finish(0)]);
    assert_eq!(fixture.failure(), "a: cannot be started: no such file");
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::PrepareFailed(0, "its commands failed".into())), [Action::Finish(0)]);
    assert_eq!(fixture.failure(), "a: its commands failed");
}

#[test]
fn a_failed_start_during_a_stop_is_not_a_failure() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!(fixture.step(MachineEvent::StartFailed(0, "x".into())), [Action::Finish(0)]);
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert!((0..fixture.machine.len()).all(|at| fixture.machine.failure(at).is_none()));
}

#[test]
fn a_condition_that_can_never_hold_fails_at_once() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.step(MachineEvent::ProbeImpossible(0, "no such host".into())), [Action::Terminate(0)]);
    assert_eq!(fixture.failure(), "a: can never be ready: no such host");
}

fn restarting(policy: RestartPolicy, limit: u32) -> MachineFixture {
    let node = MachineNode { restart: policy, restart_limit: limit, ..service("a", &[]) };
    let mut fixture = MachineFixture::new(vec![node]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture
}

/// Ends the service and returns how long it waits before its next start.
fn crash(fixture: &mut MachineFixture) -> f64 {
    assert_eq!(fixture.step(MachineEvent::Exited(0, 1)), [Action::Terminate(0)]);
    assert_eq!(fixture.step(MachineEvent::Gone(0)), []);
    assert_eq!(fixture.states(), [NodeState::Restarting]);
    let pause = fixture.machine.deadline().expect("it waits") - fixture.now;
    assert_eq!(fixture.after(pause.as_secs_f64()), [Action::Start(0)]);
    assert_eq!(fixture.step(MachineEvent::Started(0)), [Action::Probe(0)]);
    fixture.step(MachineEvent::ProbeSucceeded(0));
    pause.as_secs_f64()
}

#[test]
fn restarts_wait_twice_as_long_each_time_up_to_a_limit() {
    let mut fixture = restarting(RestartPolicy::OnFailure, 9);
    let pauses: Vec<f64> = (0..9).map(|_| crash(&mut fixture)).collect();
    assert_eq!(pauses, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]);
    assert_eq!(fixture.step(MachineEvent::Exited(0, 1)), [Action::Terminate(0)]);
    assert_eq!(fixture.failure(), "a: exited with code 1 again after 9 restarts");
}

#[test]
fn a_while_of_health_forgives_earlier_restarts() {
    let mut fixture = restarting(RestartPolicy::Always, 2);
    assert_eq!((crash(&mut fixture), crash(&mut fixture)), (0.1, 0.2));
    fixture.after(10.0);
    assert_eq!(crash(&mut fixture), 0.1);
}

#[test]
fn a_clean_exit_restarts_only_services_that_always_restart() {
    let mut fixture = restarting(RestartPolicy::OnFailure, 5);
    fixture.step(MachineEvent::Exited(0, 0));
    assert_eq!(fixture.step(MachineEvent::Gone(0)), [Action::Finish(0)]);
    let mut fixture = restarting(RestartPolicy::Always, 5);
    fixture.step(MachineEvent::Exited(0, 0));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.states(), [NodeState::Restarting]);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Finish(0)]);
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert_eq!(fixture.states(), [NodeState::Stopped]);
}

#[test]
fn every_state_ends_after_stop_and_kill_whatever_came_before() {
    let events = |at| {
        [
            MachineEvent::Prepared(at),
            MachineEvent::PrepareFailed(at, String::new()),
            MachineEvent::Started(at),
            MachineEvent::StartFailed(at, String::new()),
            MachineEvent::ProbeSucceeded(at),
            MachineEvent::ProbeImpossible(at, String::new()),
            MachineEvent::Exited(at, 1),
            MachineEvent::Gone(at),
            MachineEvent::Finished(at),
        ]
    };
    // A small generator of repeatable numbers creates event sequences that no supervisor would send.
    let mut seed: u64 = 1;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..2000 {
        let node = MachineNode { restart: RestartPolicy::OnFailure, ..service("b", &[0]) };
        let mut fixture = MachineFixture::new(vec![service("a", &[]), node, job("c", &[0])]);
        for _ in 0..random(40) {
            let event = match random(24) {
                0 => MachineEvent::Stop,
                1 => MachineEvent::Tick,
                2 => MachineEvent::Want([random(3)].into()),
                3 => MachineEvent::Halt(vec![random(3)]),
                4 => MachineEvent::Retry(vec![random(3)]),
                5 => MachineEvent::Restart(vec![random(3)]),
                6 if random(2) == 0 => MachineEvent::Abandon(Duration::from_secs(1)),
                6 => MachineEvent::Kill,
                _ => events(random(3))[random(9)].clone(),
            };
            fixture.now += Duration::from_millis(random(500) as u64);
            fixture.step(event);
        }
        fixture.step(MachineEvent::Stop);
        fixture.step(MachineEvent::Kill);
        for at in 0..3 {
            for event in
                [MachineEvent::PrepareFailed(at, String::new()), MachineEvent::Gone(at), MachineEvent::Finished(at)]
            {
                fixture.step(event);
            }
        }
        assert!((0..3).all(|at| fixture.machine.is_over(at)), "{:?}", fixture.states());
        assert_eq!(fixture.machine.deadline(), None);
    }
}

#[test]
fn three_failed_alive_probes_in_a_row_restart_a_service() {
    let mut fixture =
        MachineFixture::new(vec![MachineNode { checks_alive: true, restart_limit: 1, ..service("a", &[]) }]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.bring_up(0), [Action::CheckAlive(0)]);
    for alive in [false, false, true, false, false] {
        assert_eq!(fixture.step(MachineEvent::Alive(0, alive)), []);
    }
    assert_eq!(fixture.step(MachineEvent::Alive(0, false)), [Action::Terminate(0)]);
    assert_eq!(fixture.states(), [NodeState::Restarting]);
    assert_eq!(fixture.step(MachineEvent::Alive(0, false)), [], "an answer about the one before");
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.after(0.1), [Action::Start(0)]);
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), [Action::CheckAlive(0)]);
    for _ in 0..2 {
        assert_eq!(fixture.step(MachineEvent::Alive(0, false)), []);
    }
    assert_eq!(fixture.step(MachineEvent::Alive(0, false)), [Action::Terminate(0)]);
    assert_eq!(fixture.failure(), "a: failed its `alive` probe 3 times in a row after 1 restarts");
}

#[test]
fn an_adopted_service_is_never_stopped() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("app", &[0])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::Adopted(0)), [Action::Prepare(1)]);
    assert_eq!(fixture.bring_up(1), []);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [Action::Finish(0)]);
    assert_eq!(fixture.step(MachineEvent::Finished(0)), []);
    assert_eq!(fixture.states(), [NodeState::Stopped; 2]);

    let mut fixture = MachineFixture::new(vec![service("db", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Adopted(0));
    assert_eq!(fixture.step(MachineEvent::Kill), [], "it is wanted");
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Finish(0)]);

    let mut fixture = MachineFixture::new(vec![service("db", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Stop);
    assert_eq!(fixture.step(MachineEvent::Adopted(0)), [Action::Finish(0)], "too late");
}

#[test]
fn an_unresponsive_adopted_service_is_replaced() {
    let mut fixture = MachineFixture::new(vec![MachineNode { checks_alive: true, ..service("db", &[]) }]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::Adopted(0)), [Action::CheckAlive(0)]);
    fixture.step(MachineEvent::Alive(0, false));
    fixture.step(MachineEvent::Alive(0, false));
    assert_eq!(fixture.step(MachineEvent::Alive(0, false)), [Action::Prepare(0)]);
    fixture.bring_up(0);
    assert_eq!(fixture.states(), [NodeState::Ready]);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)], "this one is envo's");
}

#[test]
fn a_service_that_lost_its_port_restarts_at_once_but_not_for_ever() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::Prepared(0)), [Action::Start(0)]);
    for _ in 0..LOST_PORTS {
        fixture.step(MachineEvent::Started(0));
        assert_eq!(fixture.step(MachineEvent::LostPort(0, 1)), [Action::Terminate(0)]);
        assert_eq!(fixture.step(MachineEvent::Gone(0)), [Action::Start(0)]);
    }
    fixture.step(MachineEvent::Started(0));
    fixture.step(MachineEvent::LostPort(0, 1));
    assert_eq!(fixture.failure(), "a: exited with code 1 before it was ready");
}
