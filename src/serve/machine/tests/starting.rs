//! Tests reports and decisions while a service is starting.

use super::*;

fn plain() -> MachineNode {
    MachineNode { ready_when: ReadyWhen::Started, ..service("a", &[]) }
}

fn started(node: MachineNode) -> MachineFixture {
    let mut fixture = MachineFixture::new(vec![node]);
    fixture.step(MachineEvent::Tick);
    fixture.step(MachineEvent::Prepared(0));
    fixture.step(MachineEvent::Started(0));
    fixture
}

#[test]
fn a_service_without_a_probe_is_ready_after_a_moment() {
    let mut fixture = started(plain());
    assert_eq!((fixture.states(), fixture.machine.is_met(0)), (vec![NodeState::Starting], false));
    assert_eq!(fixture.machine.deadline(), Some(SETTLED));
    fixture.after(0.29);
    assert_eq!(fixture.states(), [NodeState::Starting]);
    fixture.after(0.01);
    assert_eq!((fixture.states(), fixture.machine.is_met(0)), (vec![NodeState::Ready], true));
    assert_eq!(fixture.machine.deadline(), None);
}

#[test]
fn a_ready_timeout_shorter_than_that_moment_does_not_matter() {
    let mut fixture = started(MachineNode { ready_timeout: Some(Duration::from_millis(50)), ..plain() });
    fixture.after(0.2);
    assert_eq!(fixture.states(), [NodeState::Starting]);
    fixture.after(0.1);
    assert_eq!(fixture.states(), [NodeState::Ready]);
}

#[test]
fn a_service_that_ends_at_once_was_never_ready() {
    for code in [0, 1] {
        let app = service("app", &[0]);
        let mut fixture = MachineFixture::new(vec![plain(), app]);
        fixture.step(MachineEvent::Tick);
        fixture.step(MachineEvent::Prepared(0));
        fixture.step(MachineEvent::Started(0));
        fixture.now += Duration::from_millis(299);
        fixture.step(MachineEvent::Exited(0, code));
        assert_eq!(fixture.states()[1], NodeState::Failed, "what needs it does not start");
        assert_eq!(fixture.failure(), format!("a: exited with code {code} before it was ready"));
        assert_eq!(fixture.after(10.0), [Action::Kill(0)]);
        assert_eq!(fixture.states()[0], NodeState::Stopping);
    }
}

#[test]
fn a_service_that_ends_at_once_without_dependents_has_ended() {
    let mut fixture = started(MachineNode { restart: RestartPolicy::OnFailure, ..plain() });
    assert_eq!(fixture.step(MachineEvent::Exited(0, 0)), [Action::Terminate(0)]);
    fixture.step(MachineEvent::Gone(0));
    fixture.step(MachineEvent::Finished(0));
    assert_eq!(fixture.states(), [NodeState::Exited]);
    assert!(fixture.machine.failure(0).is_none());
}

#[test]
fn it_is_restarted_when_it_ends_badly_at_once() {
    let mut fixture = started(MachineNode { restart: RestartPolicy::OnFailure, ..plain() });
    fixture.step(MachineEvent::Exited(0, 1));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.states(), [NodeState::Restarting]);
    assert_eq!(fixture.after(0.1), [Action::Start(0)]);
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.states(), [NodeState::Starting], "it has to settle again");
    fixture.after(0.3);
    assert_eq!(fixture.states(), [NodeState::Ready]);
}

#[test]
fn a_service_stopped_before_it_settled_is_not_ready() {
    let mut fixture = started(plain());
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!((fixture.after(1.0), fixture.states()), (vec![], vec![NodeState::Stopping]));
}

#[test]
fn a_slow_start_is_reported_every_second_until_it_is_over() {
    let mut fixture = started(service("a", &[]));
    assert_eq!(fixture.machine.deadline(), Some(REMINDER));
    assert_eq!(fixture.after(0.9), []);
    assert_eq!(fixture.after(0.1), [Action::StillStarting(0, 1)]);
    assert_eq!((fixture.after(0.0), fixture.after(0.99)), (vec![], vec![]));
    assert_eq!(fixture.after(0.01), [Action::StillStarting(0, 2)]);
    assert_eq!(fixture.after(7.5), [Action::StillStarting(0, 9)], "once, however late it is");
    assert_eq!(fixture.machine.deadline(), Some(Duration::from_secs(10)));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), []);
    assert_eq!((fixture.after(100.0), fixture.machine.deadline()), (vec![], None));
}

#[test]
fn a_timeout_precedes_its_report() {
    let mut fixture = started(MachineNode { ready_timeout: Some(Duration::from_secs(1)), ..service("a", &[]) });
    assert_eq!(fixture.after(1.0), [Action::Terminate(0)]);
    assert_eq!(fixture.failure(), "a: was not ready after 1 s");
}

#[test]
fn a_failed_alive_probe_is_known_as_the_reason_of_a_restart() {
    let mut fixture = started(MachineNode { checks_alive: true, ..service("a", &[]) });
    fixture.step(MachineEvent::ProbeSucceeded(0));
    for _ in 0..ALIVE_FAILURES {
        assert!(!fixture.machine.has_failed_alive(0));
        fixture.step(MachineEvent::Alive(0, false));
    }
    assert_eq!((fixture.states(), fixture.machine.has_failed_alive(0)), (vec![NodeState::Restarting], true));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.after(0.1), [Action::Start(0)]);
    assert!(!fixture.machine.has_failed_alive(0));
}
