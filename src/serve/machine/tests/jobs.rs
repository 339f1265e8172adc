//! Tests that a job counts as done for the state it has prepared, and not for a replacement of it.

use super::*;

const KV: usize = 0;
const MIGRATE: usize = 1;
const APP: usize = 2;

/// A store, a job that writes to it, and a dependent of the job alone: all up, the job done.
fn up(store: MachineNode) -> MachineFixture {
    let mut stage = MachineFixture::new(vec![store, job("migrate", &[KV]), service("app", &[MIGRATE])]);
    stage.step(MachineEvent::Tick);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [Action::Prepare(APP)]);
    stage.bring_up(APP);
    assert_eq!(stage.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
    stage
}

fn on_failure(name: &str) -> MachineNode {
    MachineNode { restart: RestartPolicy::OnFailure, ..service(name, &[]) }
}

fn with_data(name: &str) -> MachineNode {
    MachineNode { keeps_state: true, ..on_failure(name) }
}

impl MachineFixture {
    /// A job that is being prepared ends successfully. Returns the actions that follow.
    fn do_job(&mut self, at: usize) -> Vec<Action> {
        assert_eq!(self.step(MachineEvent::Prepared(at)), [Action::Start(at)]);
        assert_eq!(self.step(MachineEvent::Started(at)), []);
        let mut actions = self.step(MachineEvent::Exited(at, 0));
        assert_eq!(actions.remove(0), Action::Terminate(at));
        actions.extend(self.take_down_after_exit(at));
        actions
    }

    /// A service that restarts on failure is killed and comes back.
    fn crash(&mut self, at: usize) -> Vec<Action> {
        self.step(MachineEvent::Exited(at, -9));
        self.step(MachineEvent::Gone(at));
        assert_eq!(self.after(10.0), [Action::Start(at)]);
        self.step(MachineEvent::Started(at));
        self.step(MachineEvent::ProbeSucceeded(at))
    }
}

#[test]
fn a_job_runs_again_when_what_it_prepared_was_restarted_after_a_crash() {
    let mut stage = up(on_failure("kv"));
    stage.step(MachineEvent::Exited(KV, -9));
    assert!(!stage.machine.is_met(MIGRATE), "from the moment on at which what it did is gone");
    stage.step(MachineEvent::Gone(KV));
    assert_eq!(stage.after(10.0), [Action::Start(KV)]);
    stage.step(MachineEvent::Started(KV));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [], "what runs already runs on");
    assert_eq!(stage.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
}

#[test]
fn a_job_runs_again_when_what_it_prepared_was_restarted_on_demand() {
    let mut stage = up(service("kv", &[]));
    assert_eq!(stage.step(MachineEvent::Restart(vec![KV])), [Action::Terminate(KV)]);
    assert_eq!(stage.take_down(KV), [Action::Prepare(KV)]);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
    stage.do_job(MIGRATE);
    assert_eq!(stage.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
}

#[test]
fn a_job_runs_again_when_what_it_prepared_was_stopped_and_started() {
    let mut stage = up(service("kv", &[]));
    assert_eq!(stage.step(MachineEvent::Halt(vec![KV])), [Action::Terminate(APP)]);
    assert_eq!(stage.take_down(APP), [Action::Terminate(KV)]);
    stage.take_down(KV);
    assert_eq!(stage.states(), [NodeState::Stopped, NodeState::Exited, NodeState::Stopped], "nothing runs by itself");
    assert_eq!(stage.step(MachineEvent::Retry(vec![KV])), [Action::Prepare(KV)]);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_job_is_done_as_long_as_the_same_start_runs_whoever_comes_and_goes() {
    let mut stage = up(service("kv", &[]));
    assert_eq!(stage.want(&[KV]), [Action::Terminate(APP)]);
    stage.take_down(APP);
    assert_eq!(stage.want(&[APP]), [Action::Prepare(APP)]);
    assert_eq!(stage.states(), [NodeState::Ready, NodeState::Exited, NodeState::Preparing]);
}

#[test]
fn a_job_runs_again_when_everything_was_down() {
    let mut stage = up(service("kv", &[]));
    assert_eq!(stage.step(MachineEvent::Stop), [Action::Terminate(APP)]);
    assert_eq!(stage.take_down(APP), [Action::Terminate(KV)]);
    stage.take_down(KV);
    assert_eq!(stage.want(&[APP]), [Action::Prepare(KV)]);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
}

#[test]
fn a_job_that_runs_begins_again_when_what_it_prepares_is_lost() {
    let mut stage = MachineFixture::new(vec![on_failure("kv"), job("migrate", &[KV]), service("app", &[KV, MIGRATE])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(KV);
    stage.step(MachineEvent::Prepared(MIGRATE));
    stage.step(MachineEvent::Started(MIGRATE));
    assert_eq!(stage.step(MachineEvent::Exited(KV, -9)), [Action::Terminate(KV), Action::Terminate(MIGRATE)]);
    // That it could not continue is not its own failure.
    stage.step(MachineEvent::Exited(MIGRATE, 1));
    stage.step(MachineEvent::Gone(MIGRATE));
    stage.step(MachineEvent::Finished(MIGRATE));
    stage.step(MachineEvent::Gone(KV));
    assert_eq!(stage.states(), [NodeState::Restarting, NodeState::Waiting, NodeState::Waiting]);
    stage.after(10.0);
    stage.step(MachineEvent::Started(KV));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn what_waits_for_something_else_starts_after_the_job_was_done_again() {
    let nodes = vec![on_failure("kv"), job("migrate", &[KV]), service("app", &[MIGRATE, 3]), service("slow", &[])];
    let mut stage = MachineFixture::new(nodes);
    stage.step(MachineEvent::Tick);
    stage.bring_up(KV);
    stage.do_job(MIGRATE);
    stage.step(MachineEvent::Prepared(3));
    stage.step(MachineEvent::Started(3));
    stage.step(MachineEvent::Exited(KV, -9));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(3)), [], "the job's work is gone");
    stage.step(MachineEvent::Gone(KV));
    stage.after(10.0);
    stage.step(MachineEvent::Started(KV));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_job_is_done_for_data_that_persist() {
    let mut stage = up(with_data("kv"));
    assert_eq!(stage.crash(KV), []);
    assert_eq!(stage.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
    // Unless they are not there any more.
    assert_eq!(stage.step(MachineEvent::StateLost(KV)), [Action::Prepare(MIGRATE)]);
}

#[test]
fn what_a_store_in_memory_had_is_gone_when_it_comes_back_with_data_that_persist() {
    let mut stage = up(on_failure("kv"));
    stage.machine.redefine(KV, with_data("kv"), true);
    stage.machine.connect();
    assert_eq!(stage.step(MachineEvent::Tick), [Action::Terminate(KV)]);
    assert_eq!(stage.take_down(KV), [Action::Prepare(KV)]);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
    stage.do_job(MIGRATE);
    assert_eq!(stage.crash(KV), [], "from now on they do");
    // And the other way round.
    stage.machine.redefine(KV, service("kv", &[]), true);
    stage.machine.connect();
    stage.step(MachineEvent::Tick);
    stage.take_down(KV);
    assert_eq!(stage.bring_up(KV), [Action::Prepare(MIGRATE)]);
}

#[test]
fn one_of_several_that_loses_its_state_is_enough() {
    let mut stage = MachineFixture::new(vec![with_data("db"), on_failure("kv"), job("migrate", &[0, 1])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(0);
    stage.bring_up(1);
    stage.do_job(2);
    assert_eq!(stage.crash(0), []);
    assert_eq!(stage.crash(1), [Action::Prepare(2)]);
}

#[test]
fn a_job_that_depends_on_a_job_runs_again_with_it_and_after_it() {
    let mut stage =
        MachineFixture::new(vec![with_data("kv"), job("migrate", &[0]), job("seed", &[1]), service("app", &[2])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(0);
    stage.do_job(1);
    stage.do_job(2);
    assert_eq!(stage.step(MachineEvent::Restart(vec![1])), [Action::Prepare(1)], "as by --force");
    assert_eq!(stage.do_job(1), [Action::Prepare(2)]);
    assert_eq!(stage.do_job(2), []);
    // Indirect dependencies count as well.
    assert_eq!(stage.step(MachineEvent::StateLost(0)), [Action::Prepare(1)]);
    assert_eq!(stage.do_job(1), [Action::Prepare(2)]);
}

#[test]
fn a_job_runs_again_for_an_instance_that_comes_beside_others_and_not_for_one_that_goes() {
    let mut stage = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[0]), service("kv@2", &[])]);
    stage.want(&[1]);
    stage.bring_up(0);
    stage.do_job(1);
    stage.machine.redefine(1, job("migrate", &[0, 2]), false);
    stage.machine.connect();
    assert_eq!(stage.want(&[1]), [Action::Prepare(2)]);
    assert_eq!(stage.bring_up(2), [Action::Prepare(1)]);
    stage.do_job(1);
    stage.machine.redefine(1, job("migrate", &[0]), false);
    stage.machine.connect();
    assert_eq!(stage.want(&[1]), [Action::Terminate(2)]);
    assert_eq!((stage.take_down(2), stage.machine.is_met(1)), (vec![], true));
}

#[test]
fn what_is_adopted_once_more_may_be_another() {
    let mut stage = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    stage.step(MachineEvent::Tick);
    assert_eq!(stage.step(MachineEvent::Adopted(KV)), [Action::Prepare(MIGRATE)]);
    stage.do_job(MIGRATE);
    assert_eq!(stage.step(MachineEvent::Stop), [Action::Finish(KV)]);
    stage.step(MachineEvent::Finished(KV));
    assert!(!stage.machine.is_met(KV));
    assert_eq!(stage.want(&[MIGRATE]), [Action::Prepare(KV)]);
    assert_eq!(stage.step(MachineEvent::Adopted(KV)), [Action::Prepare(MIGRATE)]);
}

#[test]
fn what_restarts_with_a_job_does_so_when_the_job_has_to_run_again() {
    let mut app = service("app", &[KV, MIGRATE]);
    app.restarts_with = vec![MIGRATE];
    let mut stage = MachineFixture::new(vec![on_failure("kv"), job("migrate", &[KV]), app]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(KV);
    stage.do_job(MIGRATE);
    stage.bring_up(APP);
    assert_eq!(stage.step(MachineEvent::Exited(KV, -9)), [Action::Terminate(KV), Action::Terminate(APP)]);
    stage.take_down(APP);
    stage.step(MachineEvent::Gone(KV));
    stage.after(10.0);
    stage.step(MachineEvent::Started(KV));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(stage.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_service_that_ends_well_after_the_last_job_is_not_started_for_it_again() {
    let mut stage = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(KV);
    stage.do_job(MIGRATE);
    stage.step(MachineEvent::Exited(KV, 0));
    assert_eq!(stage.take_down_after_exit(KV), []);
    assert_eq!(stage.states(), [NodeState::Exited, NodeState::Exited]);
}

#[test]
fn a_service_may_not_end_while_something_lives_by_what_a_job_has_put_into_it() {
    let mut stage = up(service("kv", &[]));
    stage.step(MachineEvent::Exited(KV, 0));
    assert_eq!(stage.failure(), "kv: exited with code 0");
}

#[test]
fn a_failed_job_is_tried_again_when_it_is_asked_for() {
    let mut stage = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    stage.step(MachineEvent::Tick);
    stage.bring_up(KV);
    stage.step(MachineEvent::Prepared(MIGRATE));
    stage.step(MachineEvent::Started(MIGRATE));
    stage.step(MachineEvent::Exited(MIGRATE, 3));
    assert_eq!(stage.take_down_after_exit(MIGRATE), []);
    assert_eq!(stage.failure(), "migrate: exited with code 3 before it was ready");
    assert_eq!(stage.step(MachineEvent::Retry(vec![MIGRATE])), [Action::Prepare(MIGRATE)]);
    stage.do_job(MIGRATE);
    assert!(stage.machine.is_met(MIGRATE));
}

#[test]
fn a_service_starts_when_all_is_ready_that_those_it_depends_on_need() {
    let nodes = vec![on_failure("db"), service("api", &[0]), service("app", &[1, 3]), service("slow", &[])];
    let mut stage = MachineFixture::new(nodes);
    stage.step(MachineEvent::Tick);
    stage.bring_up(0);
    stage.bring_up(1);
    stage.step(MachineEvent::Prepared(3));
    stage.step(MachineEvent::Started(3));
    stage.step(MachineEvent::Exited(0, -9));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(3)), [], "api runs, but not what it needs");
    stage.step(MachineEvent::Gone(0));
    stage.after(10.0);
    stage.step(MachineEvent::Started(0));
    assert_eq!(stage.step(MachineEvent::ProbeSucceeded(0)), [Action::Prepare(2)]);
}

#[test]
fn a_service_fails_when_what_those_it_depends_on_need_has_failed() {
    let nodes = vec![service("db", &[]), service("api", &[0]), service("app", &[1, 3]), service("slow", &[])];
    let mut stage = MachineFixture::new(nodes);
    stage.step(MachineEvent::Tick);
    stage.bring_up(0);
    stage.bring_up(1);
    stage.step(MachineEvent::Exited(0, 1));
    assert_eq!(stage.states()[2], NodeState::Failed);
    assert_eq!(
        stage.machine.failure(2).map(ToString::to_string),
        Some("cannot start: it depends on `db`, which has failed".to_owned())
    );
    assert_eq!(stage.machine.never(2), Some(NeverReady::Failed(0)));
}
