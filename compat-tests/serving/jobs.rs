//! Tests that a job counts as done for as long as its results exist, and no longer.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::serving::supervisor::{Connection, project};
use crate::support::gate::Gate;
use crate::support::project::{Outcome, Project};

/// A store that keeps one line for each connection that brings one, and answers with all of them: in memory, or, with a
/// folder as its second argument, on disk.
const STORE: &str = r#"
import os, socket, sys
from gate import tell
lines = []
kept = os.path.join(sys.argv[2], "lines") if len(sys.argv) > 2 else None
if kept:
    os.makedirs(sys.argv[2], exist_ok=True)
    lines = open(kept).read().split() if os.path.exists(kept) else []
door = socket.create_server(("127.0.0.1", int(sys.argv[1])))
tell("store up")
while True:
    visitor = door.accept()[0]
    word = visitor.makefile().readline().strip()
    if word == "put":
        lines.append("put")
        if kept:
            open(kept, "w").write(" ".join(lines))
    visitor.sendall(" ".join(lines).encode())
    visitor.close()
"#;

/// Brings the store the line that it is given, and prints what the store has then.
const ASK: &str = r#"
import os, socket, sys
with socket.create_connection(("127.0.0.1", int(os.environ["ENVO_STORE_PORT"]))) as store:
    store.sendall(sys.argv[1].encode() + b"\n")
    print("has:", store.makefile().read())
"#;

const PREPARE: &str = "from gate import tell\nimport runpy\nrunpy.run_path('ask.py')\ntell('prepared')\n";

const CONFIGURATION: &str = r#"
[tox]
no_package = true
env_list = check

[testenv]
runtime = system
allowlist_externals = *

[testenv:store]
serve = python3 store.py {port}
ports = store
restart = on-failure
watch = touched

[testenv:prepare]
depends = store
commands = python3 prepare.py put

[testenv:app]
depends = prepare
serve = sleep 1000

[testenv:job]
depends = store
serve = python3 prepare.py put
ready = exit

[testenv:check]
depends = job, store
commands = python3 ask.py get
"#;

fn stack(gate: &Gate, change: impl Fn(&str) -> String) -> Project {
    let project = project(gate, &change(CONFIGURATION));
    project.file("store.py", STORE).file("ask.py", ASK).file("prepare.py", PREPARE)
}

fn in_memory(gate: &Gate) -> Project {
    stack(gate, str::to_owned)
}

/// The store keeps what it has in the folder `data`, and says so.
fn on_disk(gate: &Gate) -> Project {
    stack(gate, |text| text.replace("store.py {port}", "store.py {port} {tox_root}/data\ndata = data"))
}

fn up(project: &Project) -> Outcome {
    project.run(["up", "-e", "app", "--wait"]).succeeds()
}

fn pid_of(project: &Project, name: &str) -> Pid {
    let (mut connection, _) = Connection::greeted(project);
    let services = connection.ps();
    let pid = services.iter().find(|one| one["name"] == name).and_then(|one| one["pid"].as_i64());
    Pid::from_raw(i32::try_from(pid.expect("it runs")).expect("a process")).expect("not zero")
}

#[test]
fn every_run_finds_what_its_job_prepares_in_a_store_that_is_new() {
    let gate = Gate::new();
    let project = in_memory(&gate);
    for _ in 0..2 {
        project.run(["run", "-e", "check"]).succeeds().says("has: put\n").never_says("skipped");
        assert_eq!(gate.all(), ["store up", "prepared"]);
    }
}

#[test]
fn a_job_is_done_again_after_down_and_up() {
    let gate = Gate::new();
    let project = in_memory(&gate);
    for _ in 0..2 {
        up(&project).never_says("skipped");
        assert_eq!(gate.all(), ["store up", "prepared"]);
        project.run(["down"]).succeeds();
    }
}

#[test]
fn a_job_is_left_out_for_the_same_start_and_that_is_said() {
    let gate = Gate::new();
    let project = in_memory(&gate);
    up(&project);
    up(&project).says("prepare: skipped (already done for its dependencies; `envo up --force` runs it)\n");
    project.run(["up", "-e", "app", "--wait", "--force"]).succeeds().never_says("skipped");
    assert_eq!(gate.all(), ["store up", "prepared", "prepared"]);
    project.run(["down"]).succeeds();
}

#[test]
fn a_job_is_done_again_however_the_store_came_to_be_restarted() {
    let gate = Gate::new();
    let project = in_memory(&gate).file("touched", "");
    up(&project);
    let restarted = || {
        for word in ["store up", "prepared"] {
            assert_eq!(gate.next(), word);
        }
        project.run(["wait", "app"]).succeeds();
    };
    restarted();
    project.run(["restart", "store"]).succeeds();
    restarted();
    kill_process(pid_of(&project, "store"), Signal::KILL).unwrap();
    restarted();
    fs::write(project.path("touched"), "again").unwrap();
    restarted();
    project.run(["stop", "store"]).succeeds();
    project.run(["start", "app", "--wait"]).succeeds();
    restarted();
    project.run(["down"]).succeeds();
}

#[test]
fn a_job_is_left_out_while_the_data_of_a_service_are_there() {
    let gate = Gate::new();
    let project = on_disk(&gate);
    let again = |prepared: bool| {
        let outcome = up(&project);
        assert_eq!(outcome.stdout.contains("prepare: skipped"), !prepared, "{outcome:?}");
        project.run(["down"]).succeeds();
        assert_eq!(gate.all(), if prepared { vec!["store up", "prepared"] } else { vec!["store up"] });
    };
    again(true);
    again(false);
    fs::remove_file(project.path("data/lines")).unwrap();
    again(true);
    fs::remove_dir_all(project.path("data")).unwrap();
    again(true);
    // Others in their place.
    fs::rename(project.path("data"), project.path("old")).unwrap();
    project.run_program("cp", &["-r", "old", "data"]);
    again(true);
    again(false);
    project.run(["up", "-e", "app", "--wait", "--force"]).succeeds().never_says("skipped");
    assert_eq!(gate.all(), ["store up", "prepared"]);
    kill_process(pid_of(&project, "store"), Signal::KILL).unwrap();
    assert_eq!(gate.next(), "store up");
    up(&project).says("prepare: skipped");
    project.run(["down"]).succeeds();
    assert!(gate.all().is_empty());
}

#[test]
fn a_service_that_is_persistent_by_its_own_word_keeps_what_jobs_have_done() {
    let gate = Gate::new();
    let project = stack(&gate, |text| text.replace("restart = on-failure", "persistent = true"));
    up(&project);
    project.run(["down"]).succeeds();
    up(&project).says("prepare: skipped");
    project.run(["down"]).succeeds();
    assert_eq!(gate.all(), ["store up", "prepared", "store up"]);
}

#[test]
fn a_job_that_fails_is_not_done_although_it_was_before() {
    let gate = Gate::new();
    let project = on_disk(&gate);
    up(&project);
    let script = fs::read_to_string(project.path("prepare.py")).unwrap();
    fs::write(project.path("prepare.py"), "raise SystemExit(7)").unwrap();
    let outcome = project.run(["up", "-e", "app", "--wait", "--force"]);
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    project.run(["down"]).succeeds();
    fs::write(project.path("prepare.py"), script).unwrap();
    up(&project).never_says("skipped");
    project.run(["down"]).succeeds();
    assert_eq!(gate.all(), ["store up", "prepared", "store up", "prepared"]);
}

#[test]
fn a_job_that_depends_on_a_job_is_left_out_with_it() {
    let gate = Gate::new();
    let project = on_disk(&gate);
    let ini = fs::read_to_string(project.path("tox.ini")).unwrap();
    let text = ini.replace("[testenv:app]\ndepends = prepare", "[testenv:app]\ndepends = seed")
        + "[testenv:seed]\nserve = python3 -c \"from gate import tell; tell('seeded')\"\nready = exit\ndepends = prepare\n";
    fs::write(project.path("tox.ini"), text).unwrap();
    let again = |arguments: &[&str]| {
        let outcome = project.run([&["up", "-e", "app", "--wait"], arguments].concat()).succeeds();
        project.run(["down"]).succeeds();
        let words = gate.all()[1..].to_vec();
        (outcome.stdout.matches("skipped").count(), words)
    };
    assert_eq!(again(&[]), (0, vec!["prepared".to_owned(), "seeded".to_owned()]));
    assert_eq!(again(&[]), (2, vec![]));
    assert_eq!(again(&["--force"]), (0, vec!["prepared".to_owned(), "seeded".to_owned()]));
    assert_eq!(again(&[]), (2, vec![]));
}

#[test]
fn two_who_ask_at_once_have_a_job_done_once() {
    let gate = Gate::new();
    let project = in_memory(&gate);
    let clients: Vec<_> = (0..3).map(|_| project.start(["up", "-e", "app", "--wait"])).collect();
    for client in clients {
        assert_eq!(client.end().code, 0);
    }
    assert_eq!(gate.all(), ["store up", "prepared"]);
    project.run(["down"]).succeeds();
}

#[test]
fn a_job_is_done_once_for_each_worker_and_each_test() {
    let gate = Gate::new();
    let project = stack(&gate, |text| text.replace("restart = on-failure", "share = test"));
    up(&project);
    gate.all();
    let hold = |test: &str| {
        let (mut connection, _) = Connection::greeted(&project);
        let request = json!({"id": 5, "op": "hold", "names": ["app"], "worker": "gw0", "test": test});
        let answer = connection.ask(&request);
        assert_ne!(answer["ok"]["instances"], Value::Null, "{answer}");
        connection
    };
    let release = |mut connection: Connection| connection.ask(&json!({"id": 6, "op": "release"}));
    let first = hold("gw0-1");
    assert_eq!(gate.all(), ["store up", "prepared"]);
    let second = hold("gw0-1");
    let other = hold("gw0-2");
    assert_eq!(gate.all(), ["store up", "prepared"], "the first test's store is prepared already");
    for connection in [first, second, other] {
        release(connection);
    }
    release(hold("gw0-1"));
    assert_eq!(gate.all(), ["store up", "prepared"], "of the same name, and another store");
    project.run(["down"]).succeeds();
}

#[test]
fn an_instance_that_comes_beside_others_is_prepared_too() {
    let gate = Gate::new();
    let project = in_memory(&gate);
    up(&project);
    assert_eq!(gate.all(), ["store up", "prepared"]);
    project.run(["scale", "store=2", "--wait"]).succeeds();
    project.run(["wait", "app"]).succeeds();
    assert_eq!(gate.all(), ["store up", "prepared"]);
    project.run(["scale", "store=1", "--wait"]).succeeds();
    up(&project).says("prepare: skipped");
    project.run(["down"]).succeeds();
}

#[test]
fn who_asks_for_ready_gets_all_of_it_ready() {
    let gate = Gate::new();
    let slow = "import os, sys\nfrom gate import tell\nstarts = len(os.listdir('starts'))\n\
                open(f'starts/{starts}', 'w').close()\ntell(f'start {starts}')\nif starts: open('go').read()\n\
                print('ready now', flush=True)\nimport time\ntime.sleep(1000)\n";
    let project = project(
        &gate,
        "[tox]\nno_package = true\n[testenv]\nruntime = system\nallowlist_externals = *\n[testenv:db]\n\
         serve = python3 slow.py\nready = log:ready now\nrestart = on-failure\n[testenv:api]\ndepends = db\n\
         serve = sleep 1000\n",
    );
    let project = project.file("slow.py", slow).file("starts/.keep", "");
    fs::remove_file(project.path("starts/.keep")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("go"), rustix::fs::Mode::RWXU).unwrap();
    project.run(["up", "-e", "api", "--wait"]).succeeds();
    assert_eq!(gate.next(), "start 0");
    kill_process(pid_of(&project, "db"), Signal::KILL).unwrap();
    assert_eq!(gate.next(), "start 1");
    project.run(["wait", "api", "--timeout", "0.1"]).explains("not in time: db is starting");
    let waiting = project.start(["up", "-e", "api", "--wait"]);
    fs::write(project.path("go"), "").unwrap();
    assert_eq!(waiting.end().code, 0);
    project.run(["ps", "db"]).succeeds().says("ready");
    project.run(["down"]).succeeds();
}

/// `ask` serves nothing and depends on the store and on what prepares it, which serves nothing either.
fn asking(gate: &Gate) -> Project {
    let ask = "[testenv:ask]\ndepends = prepare, store\ncommands = python3 ask.py get\n";
    let between = "[testenv:report]\ndepends = ask\ncommands = python3 -c \"print('reported')\"\n";
    stack(gate, |text| format!("{text}{ask}{between}"))
}

#[test]
fn an_environment_that_uses_a_store_has_it_prepared_however_it_is_run() {
    let gate = Gate::new();
    let project = asking(&gate);
    let exec: &[&str] = &["exec", "-e", "ask", "--", "python3", "ask.py", "get"];
    for run in [&["run", "-e", "ask"][..], &["-e", "ask"], &["run-parallel", "-e", "ask", "-o"], exec] {
        project.run(run).succeeds().says("has: put\n").never_says("skipped");
        assert_eq!(gate.all(), ["store up", "prepared"], "{run:?}");
    }
}

#[test]
fn what_prepares_a_store_that_runs_already_is_left_out_for_its_start_alone() {
    let gate = Gate::new();
    let project = asking(&gate);
    project.run(["up", "-e", "store", "--wait"]).succeeds();
    project.run(["run", "-e", "ask"]).succeeds().says("has: put\n").never_says("skipped");
    project.run(["run", "-e", "ask"]).succeeds().says("has: put\n").says("prepare: skipped (already done");
    project.run(["restart", "store"]).succeeds();
    project.run(["run", "-e", "ask"]).succeeds().says("has: put\n");
    project.run(["down"]).succeeds();
    assert_eq!(gate.all(), ["store up", "prepared", "store up", "prepared"]);
}

#[test]
fn what_is_run_itself_is_not_run_as_a_job_too() {
    let gate = Gate::new();
    let project = asking(&gate);
    for selected in [&["run", "-e", "ask,prepare"][..], &["run-parallel", "-e", "ask,prepare", "-o"]] {
        project.run(selected).succeeds().says("has: put\n").says("prepare: OK");
        assert_eq!(gate.all(), ["store up", "prepared"], "{selected:?}");
    }
}

#[test]
fn an_environment_that_uses_no_service_only_comes_after_those_that_do() {
    let gate = Gate::new();
    let project = asking(&gate);
    project.run(["run", "-e", "report"]).succeeds().says("reported\n").never_says("has: put");
    assert!(gate.all().is_empty(), "order alone, as in tox");
}
