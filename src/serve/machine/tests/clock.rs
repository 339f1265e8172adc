//! Tests time that jumps, as after a suspension, stops, or goes back.

use super::*;

const DAY: f64 = 86_400.0;

#[test]
fn a_jump_of_time_keeps_ready_nodes_and_does_due_work_once() {
    let mut fixture = restarting(RestartPolicy::Always, 5);
    assert_eq!((fixture.after(DAY), fixture.states()), (vec![], vec![NodeState::Ready]));
    assert_eq!(fixture.machine.deadline(), None, "nothing is due");
    fixture.step(MachineEvent::Exited(0, 1));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.states(), [NodeState::Restarting]);
    assert_eq!(fixture.after(DAY), [Action::Start(0)], "one restart, however many pauses would have fitted in");
    assert_eq!(fixture.after(0.0), []);
}

#[test]
fn a_leap_of_time_while_a_service_stops_kills_it_once() {
    let mut fixture = MachineFixture::new(vec![service("a", &[])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!(fixture.after(DAY), [Action::Kill(0)]);
    // The full time applies after the kill, too.
    assert_eq!((fixture.after(0.0), fixture.states()), (vec![], vec![NodeState::Stopping]));
    assert_eq!(fixture.take_down(0), []);
    assert_eq!(fixture.states(), [NodeState::Stopped]);
}

#[test]
fn time_that_stops_or_goes_back_breaks_nothing() {
    let mut fixture = restarting(RestartPolicy::Always, 5);
    for now in [1_000, 10, 0] {
        fixture.now = Duration::from_secs(now);
        assert_eq!((fixture.step(MachineEvent::Tick), fixture.states()), (vec![], vec![NodeState::Ready]));
    }
    fixture.step(MachineEvent::Exited(0, 1));
    fixture.step(MachineEvent::Gone(0));
    assert_eq!(fixture.states(), [NodeState::Restarting], "no health to speak of, and no panic");
    let due = fixture.machine.deadline().expect("a restart is due");
    assert!(due <= fixture.now + LONGEST_BACKOFF, "{due:?}");
}
