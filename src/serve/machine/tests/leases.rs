//! Tests which nodes are wanted, and changes of that while services run.

use super::*;

#[test]
fn unwanted_nodes_stop_and_wanted_ones_start() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("app", &[0]), service("other", &[])]);
    fixture.step(MachineEvent::Tick);
    for at in 0..3 {
        fixture.bring_up(at);
    }
    assert_eq!(fixture.want(&[0, 2]), [Action::Terminate(1)], "another lease still holds db");
    fixture.take_down(1);
    assert_eq!(fixture.want(&[1]), [Action::Terminate(2), Action::Prepare(1)], "db belongs to app");
    assert_eq!(fixture.bring_up(1), []);
    assert_eq!(fixture.take_down(2), []);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Ready, NodeState::Stopped]);
}

#[test]
fn a_node_wanted_again_while_it_stops_starts_when_it_is_gone() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!(fixture.want(&[0]), []);
    assert_eq!(fixture.take_down(0), [Action::Prepare(0)]);
}

#[test]
fn a_stopped_service_stops_its_dependents_until_it_is_started() {
    let mut fixture = MachineFixture::new(vec![service("db", &[]), service("app", &[0])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    assert_eq!(fixture.step(MachineEvent::Halt(vec![0])), [Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [Action::Terminate(0)]);
    assert_eq!(fixture.take_down(0), []);
    assert_eq!(fixture.machine.halted_by(1), Some(0));
    assert_eq!(fixture.step(MachineEvent::Retry(vec![1])), [Action::Prepare(0)]);
    assert_eq!(fixture.bring_up(0), [Action::Prepare(1)]);
}

#[test]
fn dependents_restart_with_a_service_when_they_ask_for_it() {
    let with = MachineNode { restarts_with: vec![0], ..service("with", &[0]) };
    let mut fixture =
        MachineFixture::new(vec![service("db", &[]), with, service("without", &[0]), service("above", &[1])]);
    fixture.step(MachineEvent::Tick);
    for at in 0..4 {
        fixture.bring_up(at);
    }
    assert_eq!(
        fixture.step(MachineEvent::Restart(vec![0])),
        [Action::Terminate(1)],
        "`above` does not restart with it and keeps running"
    );
    assert_eq!(fixture.take_down(1), [Action::Terminate(0)]);
    assert_eq!(fixture.take_down(0), [Action::Prepare(0)]);
    assert_eq!(fixture.states(), [NodeState::Preparing, NodeState::Waiting, NodeState::Ready, NodeState::Ready]);
    assert_eq!(fixture.bring_up(0), [Action::Prepare(1)]);
}

#[test]
fn dependents_that_ask_for_it_restart_when_a_service_crashes() {
    let db = MachineNode { restart: RestartPolicy::OnFailure, ..service("db", &[]) };
    let with = MachineNode { restarts_with: vec![0], ..service("with", &[0]) };
    let mut fixture = MachineFixture::new(vec![db, with]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    assert_eq!(fixture.step(MachineEvent::Exited(0, 1)), [Action::Terminate(0), Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [], "it waits");
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.after(0.1), [Action::Start(0)]);
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), [Action::Prepare(1)]);
}

#[test]
fn a_service_is_kept_for_its_idle_time_with_its_dependencies() {
    let app = MachineNode { idle_timeout: Duration::from_secs(5), ..service("app", &[0]) };
    let mut fixture = MachineFixture::new(vec![service("db", &[]), app]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    assert_eq!(fixture.want(&[]), []);
    assert_eq!(fixture.machine.deadline(), Some(Duration::from_secs(5)));
    assert_eq!(fixture.want(&[1]), []);
    assert_eq!(fixture.machine.deadline(), None);
    assert_eq!(fixture.want(&[]), []);
    assert_eq!(fixture.after(5.0), [Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [Action::Terminate(0)]);
}

#[test]
fn a_finished_job_runs_again_only_on_request() {
    let mut fixture = MachineFixture::new(vec![job("migrate", &[]), service("app", &[0])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::AlreadyDone(0)), [Action::Prepare(1)]);
    fixture.bring_up(1);
    assert_eq!(fixture.states(), [NodeState::Exited, NodeState::Ready]);
    assert_eq!(fixture.step(MachineEvent::Restart(vec![1])), [Action::Terminate(1)]);
    assert_eq!(fixture.take_down(1), [Action::Prepare(1)]);
    fixture.bring_up(1);
    assert_eq!(fixture.step(MachineEvent::Restart(vec![0])), [Action::Prepare(0)]);
}

#[test]
fn a_redefined_node_restarts_with_the_new_definition() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.machine.redefine(0, MachineNode { stop_timeout: Duration::from_secs(1), ..service("a", &[]) }, true);
    assert_eq!(fixture.step(MachineEvent::Tick), [Action::Terminate(0)]);
    assert_eq!(fixture.take_down(0), [Action::Prepare(0)]);
}
