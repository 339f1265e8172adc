//! Tests time that jumps, as after a suspension, stops, or goes back.

use super::*;

const DAY: f64 = 86_400.0;

#[test]
fn a_leap_of_time_leaves_what_is_ready_and_does_what_is_due_once() {
    let mut stage = restarting(RestartPolicy::Always, 5);
    assert_eq!((stage.after(DAY), stage.states()), (vec![], vec![NodeState::Ready]));
    assert_eq!(stage.machine.deadline(), None, "nothing is due");
    stage.step(MachineEvent::Exited(0, 1));
    stage.step(MachineEvent::Gone(0));
    assert_eq!(stage.states(), [NodeState::Restarting]);
    assert_eq!(stage.after(DAY), [Action::Start(0)], "one restart, however many pauses would have fitted in");
    assert_eq!(stage.after(0.0), []);
}

#[test]
fn a_leap_of_time_while_a_service_stops_kills_it_once() {
    let mut stage = MachineFixture::new(vec![service("a", &[])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(0);
    assert_eq!(stage.step(MachineEvent::Stop), [Action::Terminate(0)]);
    assert_eq!(stage.after(DAY), [Action::Kill(0)]);
    // The full time applies after the kill, too.
    assert_eq!((stage.after(0.0), stage.states()), (vec![], vec![NodeState::Stopping]));
    assert_eq!(stage.take_down(0), []);
    assert_eq!(stage.states(), [NodeState::Stopped]);
}

#[test]
fn time_that_stands_still_or_goes_back_breaks_nothing() {
    let mut stage = restarting(RestartPolicy::Always, 5);
    for now in [1_000, 10, 0] {
        stage.now = Duration::from_secs(now);
        assert_eq!((stage.step(MachineEvent::Tick), stage.states()), (vec![], vec![NodeState::Ready]));
    }
    stage.step(MachineEvent::Exited(0, 1));
    stage.step(MachineEvent::Gone(0));
    assert_eq!(stage.states(), [NodeState::Restarting], "no health to speak of, and no panic");
    let due = stage.machine.deadline().expect("a restart is due");
    assert!(due <= stage.now + LONGEST_BACKOFF, "{due:?}");
}
