//! Tests that a job counts as done for the state it has prepared, and not for a replacement of it.

use super::*;

const KV: usize = 0;
const MIGRATE: usize = 1;
const APP: usize = 2;

/// A store, a job that writes to it, and a dependent of the job alone: all up, the job done.
fn up(store: MachineNode) -> MachineFixture {
    let mut fixture = MachineFixture::new(vec![store, job("migrate", &[KV]), service("app", &[MIGRATE])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [Action::Prepare(APP)]);
    fixture.bring_up(APP);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
    fixture
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
fn a_job_runs_again_after_a_crash_of_its_store() {
    let mut fixture = up(on_failure("kv"));
    fixture.step(MachineEvent::Exited(KV, -9));
    assert!(!fixture.machine.is_met(MIGRATE), "from the moment on at which what it did is gone");
    fixture.step(MachineEvent::Gone(KV));
    assert_eq!(fixture.after(10.0), [Action::Start(KV)]);
    fixture.step(MachineEvent::Started(KV));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [], "what runs already runs on");
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
}

#[test]
fn a_job_runs_again_after_a_restart_of_its_store() {
    let mut fixture = up(service("kv", &[]));
    assert_eq!(fixture.step(MachineEvent::Restart(vec![KV])), [Action::Terminate(KV)]);
    assert_eq!(fixture.take_down(KV), [Action::Prepare(KV)]);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
    fixture.do_job(MIGRATE);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
}

#[test]
fn a_job_runs_again_after_a_stop_and_start_of_its_store() {
    let mut fixture = up(service("kv", &[]));
    assert_eq!(fixture.step(MachineEvent::Halt(vec![KV])), [Action::Terminate(APP)]);
    assert_eq!(fixture.take_down(APP), [Action::Terminate(KV)]);
    fixture.take_down(KV);
    assert_eq!(fixture.states(), [NodeState::Stopped, NodeState::Exited, NodeState::Stopped], "nothing runs by itself");
    assert_eq!(fixture.step(MachineEvent::Retry(vec![KV])), [Action::Prepare(KV)]);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_job_stays_done_while_the_same_start_runs() {
    let mut fixture = up(service("kv", &[]));
    assert_eq!(fixture.want(&[KV]), [Action::Terminate(APP)]);
    fixture.take_down(APP);
    assert_eq!(fixture.want(&[APP]), [Action::Prepare(APP)]);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Exited, NodeState::Preparing]);
}

#[test]
fn a_job_runs_again_when_everything_was_down() {
    let mut fixture = up(service("kv", &[]));
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Terminate(APP)]);
    assert_eq!(fixture.take_down(APP), [Action::Terminate(KV)]);
    fixture.take_down(KV);
    assert_eq!(fixture.want(&[APP]), [Action::Prepare(KV)]);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
}

#[test]
fn a_running_job_begins_again_when_its_store_is_lost() {
    let mut fixture =
        MachineFixture::new(vec![on_failure("kv"), job("migrate", &[KV]), service("app", &[KV, MIGRATE])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(KV);
    fixture.step(MachineEvent::Prepared(MIGRATE));
    fixture.step(MachineEvent::Started(MIGRATE));
    assert_eq!(fixture.step(MachineEvent::Exited(KV, -9)), [Action::Terminate(KV), Action::Terminate(MIGRATE)]);
    // That it could not continue is not its own failure.
    fixture.step(MachineEvent::Exited(MIGRATE, 1));
    fixture.step(MachineEvent::Gone(MIGRATE));
    fixture.step(MachineEvent::Finished(MIGRATE));
    fixture.step(MachineEvent::Gone(KV));
    assert_eq!(fixture.states(), [NodeState::Restarting, NodeState::Waiting, NodeState::Waiting]);
    fixture.after(10.0);
    fixture.step(MachineEvent::Started(KV));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_waiting_dependent_starts_after_the_repeated_job() {
    let nodes = vec![on_failure("kv"), job("migrate", &[KV]), service("app", &[MIGRATE, 3]), service("slow", &[])];
    let mut fixture = MachineFixture::new(nodes);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(KV);
    fixture.do_job(MIGRATE);
    fixture.step(MachineEvent::Prepared(3));
    fixture.step(MachineEvent::Started(3));
    fixture.step(MachineEvent::Exited(KV, -9));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(3)), [], "the job's work is gone");
    fixture.step(MachineEvent::Gone(KV));
    fixture.after(10.0);
    fixture.step(MachineEvent::Started(KV));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_job_is_done_for_data_that_persist() {
    let mut fixture = up(with_data("kv"));
    assert_eq!(fixture.crash(KV), []);
    assert_eq!(fixture.states(), [NodeState::Ready, NodeState::Exited, NodeState::Ready]);
    // Unless they are not there any more.
    assert_eq!(fixture.step(MachineEvent::StateLost(KV)), [Action::Prepare(MIGRATE)]);
}

#[test]
fn data_in_memory_is_lost_even_if_the_next_start_persists() {
    let mut fixture = up(on_failure("kv"));
    fixture.machine.redefine(KV, with_data("kv"), true);
    fixture.machine.connect();
    assert_eq!(fixture.step(MachineEvent::Tick), [Action::Terminate(KV)]);
    assert_eq!(fixture.take_down(KV), [Action::Prepare(KV)]);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
    fixture.do_job(MIGRATE);
    assert_eq!(fixture.crash(KV), [], "from now on they do");
    // And the other way round.
    fixture.machine.redefine(KV, service("kv", &[]), true);
    fixture.machine.connect();
    fixture.step(MachineEvent::Tick);
    fixture.take_down(KV);
    assert_eq!(fixture.bring_up(KV), [Action::Prepare(MIGRATE)]);
}

#[test]
fn one_of_several_that_loses_its_state_is_enough() {
    let mut fixture = MachineFixture::new(vec![with_data("db"), on_failure("kv"), job("migrate", &[0, 1])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    fixture.do_job(2);
    assert_eq!(fixture.crash(0), []);
    assert_eq!(fixture.crash(1), [Action::Prepare(2)]);
}

#[test]
fn a_job_that_depends_on_a_job_runs_again_with_it_and_after_it() {
    let mut fixture =
        MachineFixture::new(vec![with_data("kv"), job("migrate", &[0]), job("seed", &[1]), service("app", &[2])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.do_job(1);
    fixture.do_job(2);
    assert_eq!(fixture.step(MachineEvent::Restart(vec![1])), [Action::Prepare(1)], "as by --force");
    assert_eq!(fixture.do_job(1), [Action::Prepare(2)]);
    assert_eq!(fixture.do_job(2), []);
    // Indirect dependencies count as well.
    assert_eq!(fixture.step(MachineEvent::StateLost(0)), [Action::Prepare(1)]);
    assert_eq!(fixture.do_job(1), [Action::Prepare(2)]);
}

#[test]
fn a_job_runs_again_for_an_added_instance_and_not_for_a_removed_one() {
    let mut fixture = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[0]), service("kv@2", &[])]);
    fixture.want(&[1]);
    fixture.bring_up(0);
    fixture.do_job(1);
    fixture.machine.redefine(1, job("migrate", &[0, 2]), false);
    fixture.machine.connect();
    assert_eq!(fixture.want(&[1]), [Action::Prepare(2)]);
    assert_eq!(fixture.bring_up(2), [Action::Prepare(1)]);
    fixture.do_job(1);
    fixture.machine.redefine(1, job("migrate", &[0]), false);
    fixture.machine.connect();
    assert_eq!(fixture.want(&[1]), [Action::Terminate(2)]);
    assert_eq!((fixture.take_down(2), fixture.machine.is_met(1)), (vec![], true));
}

#[test]
fn a_service_adopted_again_may_be_another() {
    let mut fixture = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    fixture.step(MachineEvent::Tick);
    assert_eq!(fixture.step(MachineEvent::Adopted(KV)), [Action::Prepare(MIGRATE)]);
    fixture.do_job(MIGRATE);
    assert_eq!(fixture.step(MachineEvent::Stop), [Action::Finish(KV)]);
    fixture.step(MachineEvent::Finished(KV));
    assert!(!fixture.machine.is_met(KV));
    assert_eq!(fixture.want(&[MIGRATE]), [Action::Prepare(KV)]);
    assert_eq!(fixture.step(MachineEvent::Adopted(KV)), [Action::Prepare(MIGRATE)]);
}

#[test]
fn dependents_that_restart_with_a_job_do_so_when_it_runs_again() {
    let mut app = service("app", &[KV, MIGRATE]);
    app.restarts_with = vec![MIGRATE];
    let mut fixture = MachineFixture::new(vec![on_failure("kv"), job("migrate", &[KV]), app]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(KV);
    fixture.do_job(MIGRATE);
    fixture.bring_up(APP);
    assert_eq!(fixture.step(MachineEvent::Exited(KV, -9)), [Action::Terminate(KV), Action::Terminate(APP)]);
    fixture.take_down(APP);
    fixture.step(MachineEvent::Gone(KV));
    fixture.after(10.0);
    fixture.step(MachineEvent::Started(KV));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(KV)), [Action::Prepare(MIGRATE)]);
    assert_eq!(fixture.do_job(MIGRATE), [Action::Prepare(APP)]);
}

#[test]
fn a_service_that_ends_after_its_last_job_is_not_started_again() {
    let mut fixture = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(KV);
    fixture.do_job(MIGRATE);
    fixture.step(MachineEvent::Exited(KV, 0));
    assert_eq!(fixture.take_down_after_exit(KV), []);
    assert_eq!(fixture.states(), [NodeState::Exited, NodeState::Exited]);
}

#[test]
fn a_service_outlives_the_dependents_of_jobs_that_prepared_it() {
    let mut fixture = up(service("kv", &[]));
    fixture.step(MachineEvent::Exited(KV, 0));
    assert_eq!(fixture.failure(), "kv: exited with code 0");
}

#[test]
fn a_failed_job_is_tried_again_when_it_is_asked_for() {
    let mut fixture = MachineFixture::new(vec![service("kv", &[]), job("migrate", &[KV])]);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(KV);
    fixture.step(MachineEvent::Prepared(MIGRATE));
    fixture.step(MachineEvent::Started(MIGRATE));
    fixture.step(MachineEvent::Exited(MIGRATE, 3));
    assert_eq!(fixture.take_down_after_exit(MIGRATE), []);
    assert_eq!(fixture.failure(), "migrate: exited with code 3 before it was ready");
    assert_eq!(fixture.step(MachineEvent::Retry(vec![MIGRATE])), [Action::Prepare(MIGRATE)]);
    fixture.do_job(MIGRATE);
    assert!(fixture.machine.is_met(MIGRATE));
}

#[test]
fn a_service_starts_when_indirect_dependencies_are_ready() {
    let nodes = vec![on_failure("db"), service("api", &[0]), service("app", &[1, 3]), service("slow", &[])];
    let mut fixture = MachineFixture::new(nodes);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    fixture.step(MachineEvent::Prepared(3));
    fixture.step(MachineEvent::Started(3));
    fixture.step(MachineEvent::Exited(0, -9));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(3)), [], "api runs, but not what it needs");
    fixture.step(MachineEvent::Gone(0));
    fixture.after(10.0);
    fixture.step(MachineEvent::Started(0));
    assert_eq!(fixture.step(MachineEvent::ProbeSucceeded(0)), [Action::Prepare(2)]);
}

#[test]
fn a_service_fails_when_an_indirect_dependency_has_failed() {
    let nodes = vec![service("db", &[]), service("api", &[0]), service("app", &[1, 3]), service("slow", &[])];
    let mut fixture = MachineFixture::new(nodes);
    fixture.step(MachineEvent::Tick);
    fixture.bring_up(0);
    fixture.bring_up(1);
    fixture.step(MachineEvent::Exited(0, 1));
    assert_eq!(fixture.states()[2], NodeState::Failed);
    assert_eq!(
        fixture.machine.failure(2).map(ToString::to_string),
        Some("cannot start: it depends on `db`, which has failed".to_owned())
    );
    assert_eq!(fixture.machine.never(2), Some(NeverReady::Failed(0)));
}
