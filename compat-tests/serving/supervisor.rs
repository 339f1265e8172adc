//! Tests services in the background: one supervisor per project, used by several clients.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::gate::{Gate, PATIENCE};
use crate::support::project::Project;

/// A service that reports its events to the gate, and writes its second argument.
const SERVICE: &str = r#"
import signal, sys
from gate import tell
name = sys.argv[1]
def stop(*_):
    tell(name + " down")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(name, *sys.argv[2:], flush=True)
tell(name + " up")
print("ready now", flush=True)
while True:
    signal.pause()
"#;

const CONFIGURATION: &str = r#"
[tox]
no_package = true
env_list = app

[testenv]
ready = log:ready now

[testenv:first]
serve = python service.py first

[testenv:second]
serve = python service.py second
depends = first

[testenv:app]
depends = second
commands = python -c "from gate import tell; tell('app done')"
"#;

pub fn project(gate: &Gate, configuration: &str) -> Project {
    let project = Project::new().ini(configuration).file("gate.py", &gate.module()).file("service.py", SERVICE);
    let root = project.root().display().to_string();
    project.variable("XDG_RUNTIME_DIR", &root)
}

/// A connection to the project's supervisor.
pub struct Connection {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

pub fn socket(project: &Project) -> PathBuf {
    let folder = fs::read_dir(project.path("envo")).expect("the supervisor has a folder");
    let names = folder.flatten().map(|entry| entry.path());
    names.into_iter().find(|path| path.extension().is_some_and(|end| end == "socket")).expect("it listens")
}

impl Connection {
    pub fn open(project: &Project) -> Self {
        let stream = UnixStream::connect(socket(project)).expect("the supervisor listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
        let lines = BufReader::new(stream.try_clone().expect("it can be copied"));
        Self { stream, lines }
    }

    pub fn greeted(project: &Project) -> (Self, u32) {
        let mut connection = Self::open(project);
        let answer = connection.ask(&json!({"id": 1, "op": "hello", "protocol": 2, "client": "test"}));
        let pid = answer["ok"]["greeting"]["pid"].as_u64().expect("a number");
        (connection, u32::try_from(pid).expect("a process"))
    }

    fn send(&mut self, bytes: &[u8]) {
        // A supervisor that has ended the connection is seen by what is read.
        let _ = self.stream.write_all(bytes);
    }

    pub fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(1..) => Some(serde_json::from_str(&line).expect("a line of JSON")),
            _ => None,
        }
    }

    pub fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.read().expect("an answer")
    }

    pub fn ps(&mut self) -> Vec<Value> {
        let answer = self.ask(&json!({"id": 2, "op": "ps"}));
        answer["ok"]["services"].as_array().expect("a list").clone()
    }
}

fn kill(pid: u64) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a process")).expect("not zero");
    // It may have ended just now.
    let _ = kill_process(pid, Signal::KILL);
}

pub fn states(project: &Project) -> String {
    let (mut connection, _) = Connection::greeted(project);
    let state = |one: &Value| format!("{}={}", one["name"].as_str().unwrap(), one["state"].as_str().unwrap());
    let mut states: Vec<String> = connection.ps().iter().map(state).collect();
    states.sort();
    states.join(" ")
}

#[test]
fn up_leaves_services_running_until_down() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "second", "--wait"]).succeeds().says("second: ready");
    assert_eq!([gate.next(), gate.next()], ["first up", "second up"]);
    assert_eq!(states(&project), "first=ready second=ready");
    project.run(["up", "-e", "second"]).succeeds().says("unchanged: ").never_says("started");
    project.run(["ps"]).succeeds().says("NAME").says("second");
    let listed: Value = serde_json::from_str(&project.run(["ps", "--format", "json"]).succeeds().stdout).unwrap();
    assert_eq!((&listed[0]["state"], &listed[0]["leases"]), (&json!("ready"), &json!(["up"])));
    project.run(["down"]).succeeds().says("stopped: ");
    assert_eq!(gate.all(), ["second down", "first down"]);
    assert_eq!(project.processes(), [] as [&str; 0]);
    project.run(["ps"]).succeeds().explains("nothing is running");
}

#[test]
fn a_run_uses_what_is_up_and_stops_only_what_it_started() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    assert_eq!(gate.next(), "first up");
    project.run(["run", "-e", "app"]).succeeds();
    assert_eq!(gate.all(), ["second up", "app done", "second down"]);
    assert_eq!(states(&project), "first=ready second=stopped");
    project.run(["down"]).succeeds();
    assert_eq!(gate.all(), ["first down"]);
}

#[test]
fn down_says_that_what_envo_did_not_start_goes_on() {
    let gate = Gate::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has a number").port();
    let adopting = format!(
        "\n[testenv:db]\nserve = sh -c 'exit 1'\nallowlist_externals = sh\nports = sql={port}\nready = tcp://{{host}}:{{port}}\nadopt = true\n"
    );
    let project = project(&gate, &format!("{CONFIGURATION}{adopting}"));
    project.run(["up", "-e", "first,db", "--wait"]).succeeds();
    project.run(["ps"]).succeeds().says("adopted");
    project.run(["down"]).succeeds().says("stopped: first\ndb left running: envo did not start it\n");
    assert_eq!(gate.all(), ["first up", "first down"]);
    listener.local_addr().expect("it still listens");
}

#[test]
fn what_two_terminals_serve_goes_on_until_both_have_ended() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let mut one = project.start(["serve", "-e", "first"]);
    one.line_with("first: ready");
    let mut other = project.start(["serve", "-e", "second"]);
    other.line_with("second: ready");
    one.signal(Signal::INT);
    assert_eq!(one.end().code, 0);
    assert_eq!(states(&project), "first=ready second=ready");
    other.signal(Signal::INT);
    assert_eq!(other.end().code, 0);
    assert_eq!(gate.all(), ["first up", "second up", "second down", "first down"]);
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn up_restarts_what_has_changed_and_nothing_else() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "second", "--wait"]).succeeds();
    let changed = CONFIGURATION.replace("service.py second", "service.py second again");
    let project = project.ini(&changed);
    project.run(["up", "-e", "second", "--wait"]).succeeds();
    project.run(["logs", "second", "-n", "2"]).succeeds().says("second again\nready now\n");
    project.run(["down"]).succeeds();
    let told = gate.all();
    assert_eq!(told, ["first up", "second up", "second down", "second up", "second down", "first down"]);
}

#[test]
fn services_are_stopped_started_and_restarted_by_name() {
    let gate = Gate::new();
    let configuration = CONFIGURATION.replace("depends = first", "depends = first:restart");
    let project = project(&gate, &configuration);
    project.run(["up", "-e", "second", "--wait"]).succeeds();
    project.run(["restart", "first", "--wait"]).succeeds();
    project.run(["wait", "second"]).succeeds();
    project.run(["stop", "first"]).succeeds();
    assert_eq!(states(&project), "first=stopped second=stopped");
    project.run(["wait", "second"]).ends_with(1).explains("`first`, which it depends on, was stopped");
    project.run(["start", "second", "--wait"]).succeeds();
    project.run(["stop", "nothing"]).ends_with(1).explains("`nothing` is not among the running services");
    project.run(["down"]).succeeds();
    let up = ["first up", "second up"];
    let down = ["second down", "first down"];
    assert_eq!(gate.all(), [up, down, up, down, up, down].concat());
}

#[test]
fn every_state_is_told_once_and_ps_says_why_something_has_failed() {
    let gate = Gate::new();
    let failing = "\n[testenv:broken]\nserve = x\ncommands_pre = python -c \"raise SystemExit(5)\"\n";
    let project = project(&gate, &(CONFIGURATION.to_owned() + failing));
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let (mut listening, _) = Connection::greeted(&project);
    assert_eq!(listening.ask(&json!({"id": 2, "op": "events"}))["ok"], "done");
    project.run(["restart", "--wait", "first"]).succeeds();
    let mut told: Vec<(String, Value)> = Vec::new();
    while told.last().is_none_or(|(state, _)| state != "ready") {
        let news = listening.read().expect("news");
        told.extend(news["state"].as_str().map(|state| (state.to_owned(), news["pid"].clone())));
    }
    assert!(told.windows(2).all(|two| two[0] != two[1]), "{told:?}");
    told.dedup_by(|one, before| one.0 == before.0);
    let states: Vec<&str> = told.iter().map(|(state, _)| state.as_str()).collect();
    assert_eq!(states, ["stopping", "preparing", "starting", "ready"]);
    let outcome = project.run(["up", "-e", "broken", "--wait"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
    let line = CONFIGURATION.lines().count() + 3;
    project.run(["ps"]).succeeds().says(&format!("`broken` (tox.ini:{line}) `commands_pre` failed with exit code 5\n"));
    project.run(["down"]).succeeds();
}

#[test]
fn a_job_runs_once_for_its_definition_and_inputs_unless_it_is_forced() {
    let gate = Gate::new();
    let configuration = "[tox]\nno_package = true\n[testenv:web]\nserve = python service.py web\nready = log:ready now\ndepends = \
                         migrate\n[testenv:migrate]\ncommands = python migrate.py\n";
    let project = project(&gate, configuration).file("migrate.py", "from gate import tell; tell('migrated')\n");
    let serve = |arguments: &[&str]| {
        project.run([&["up", "--wait"], arguments].concat()).succeeds();
        project.run(["down"]).succeeds();
        gate.all()
    };
    assert_eq!(serve(&[]), ["migrated", "web up", "web down"]);
    assert_eq!(serve(&[]), ["web up", "web down"]);
    assert_eq!(serve(&["--force"]), ["migrated", "web up", "web down"]);
    fs::write(project.path("migrate.py"), "from gate import tell; tell('migrated again')\n").unwrap();
    assert_eq!(serve(&[]), ["migrated again", "web up", "web down"]);
}

#[test]
fn what_a_bad_client_says_ends_its_own_connection_only() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let refused = |bytes: &[u8]| {
        let mut bad = Connection::open(&project);
        bad.send(bytes);
        let answer = bad.read();
        let mut rest = Vec::new();
        let _ = bad.lines.read_to_end(&mut rest);
        assert!(rest.is_empty(), "nothing comes after a refusal");
        answer.map_or_else(String::new, |answer| answer["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert!(refused(b"nonsense\n").starts_with("not a request"));
    assert!(refused(b"\xff\xfe\n").starts_with("not a request"));
    assert!(refused(b"{\"id\": 1, \"op\": \"no such thing\"}\n").starts_with("not a request"));
    assert!(refused(&[b"[".repeat(200_000), b"\n".to_vec()].concat()).starts_with("not a request"));
    let huge = refused(&vec![b'x'; 17 * 1024 * 1024]);
    assert!(huge.is_empty() || huge.starts_with("the line is longer than"), "{huge}");
    assert_eq!(refused(b"{\"id\": 1,"), "the line took too long");
    let mut rude = Connection::open(&project);
    let answer = rude.ask(&json!({"id": 7, "op": "ps"}));
    assert_eq!((&answer["id"], &answer["error"]["kind"]), (&json!(7), &json!("protocol")));
    for version in [1, 99] {
        let hello = json!({"id": 1, "op": "hello", "protocol": version, "client": ""});
        let error = &Connection::open(&project).ask(&hello)["error"];
        assert_eq!(error["kind"], "protocol");
        let message = error["message"].as_str().expect("it has one");
        assert!(message.ends_with(&format!("uses version 2 of the protocol, not {version}")), "{message}");
        assert_eq!(error["hints"], json!(["stop the services with the envo that started them: `envo down`"]));
    }
    assert_eq!(states(&project), "first=ready", "the other service has not noticed");
    project.run(["down"]).succeeds();
}

#[test]
fn times_out_of_all_reason_harm_nothing() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let (mut odd, _) = Connection::greeted(&project);
    for seconds in [1.844_674_407_370_955e19, 1e19, 1e300, 9.3e18, -1.0, -0.0, 1e-300] {
        let passage = odd.ask(&json!({"id": 3, "op": "logs", "name": "first", "since": seconds}));
        assert_eq!(passage["id"], 3, "{passage}");
        let passage = odd.ask(&json!({"id": 4, "op": "logs", "name": "first", "until": seconds}));
        assert_eq!(passage["id"], 4, "{passage}");
        let ready = odd.ask(&json!({"id": 5, "op": "wait", "names": ["first"], "timeout": seconds}));
        assert!(ready["ok"]["instances"].is_array(), "{ready}");
        let held = odd.ask(&json!({"id": 6, "op": "hold", "names": ["first"], "ttl": seconds}));
        assert!(held["ok"]["instances"].is_array(), "{held}");
    }
    drop(odd);
    assert_eq!(states(&project), "first=ready");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let (mut deaf, _) = Connection::greeted(&project);
    for id in 0..5_000 {
        deaf.send(format!("{{\"id\": {id}, \"op\": \"ps\"}}\n").as_bytes());
        if id % 200 == 0 && deaf.stream.set_write_timeout(Some(std::time::Duration::from_millis(20))).is_err() {
            break;
        }
    }
    assert_eq!(states(&project), "first=ready");
    project.run(["down"]).succeeds();
    drop(deaf);
}

#[test]
fn a_user_other_than_the_owner_is_refused() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let path = socket(&project);
    let folder = path.parent().unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700, "only the owner can enter the folder");
    if rustix::process::geteuid().is_root() {
        // Only the superuser can open the way for another user, who is then refused by the supervisor itself.
        let open = |path: &std::path::Path| {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        };
        path.ancestors().take_while(|path| path.components().count() > 2).for_each(open);
        let script = format!(
            "import os, socket\nos.setgid(65534); os.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n\
             s.connect({:?})\ntry:\n    s.sendall(b'{{\"id\": 1, \"op\": \"hello\", \"protocol\": 1, \"client\": \"x\"}}\\n')\n    \
             print('heard', s.recv(100))\nexcept OSError:\n    print('heard', b'')\n",
            path.display().to_string()
        );
        let output = std::process::Command::new("python3").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "heard b''\n", "{output:?}");
    }
    project.run(["down"]).succeeds();
}

#[test]
fn nothing_survives_a_supervisor_that_is_killed_and_the_next_one_takes_its_place() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let mut serving = project.start(["serve", "-e", "second"]);
    serving.line_with("second: ready");
    let (_, supervisor) = Connection::greeted(&project);
    kill(u64::from(supervisor));
    let ended = serving.end();
    assert!(ended.code == 1 && ended.printed.contains("has ended unexpectedly"), "{ended:?}");
    project.run(["up", "-e", "second", "--wait"]).succeeds();
    let told: Vec<String> = gate.all();
    assert_eq!(told.iter().filter(|word| word.ends_with("up")).count(), 4, "{told:?}");
    assert_eq!(told.iter().filter(|word| word.ends_with("down")).count(), 2, "{told:?}");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

/// Writes a numbered line, then notes the number, as fast as it may.
const COUNTER: &str = "n=0\nrun=$$.$(date +%N)\necho ready now\nwhile :; do n=$((n+1)); echo \"line $run $n\"; echo $n > \
                       count-$1-$run; sleep 0.05; done\n";

#[test]
fn two_hundred_faults_leave_nothing_behind_and_lose_nothing() {
    let gate = Gate::new();
    let mut configuration = "[tox]\nno_package = true\n[testenv]\nskip_install = true\nallowlist_externals = \
                             sh\nready = log:ready now\nrestart = always\nrestart_limit = 1000\nstop_timeout = 5\n"
        .to_owned();
    for number in 0..10 {
        configuration.push_str(&format!("[testenv:s{number}]\nserve = sh counter.sh s{number}\n"));
        if number > 0 {
            configuration.push_str(&format!("depends = s{}\n", (number - 1) / 2));
        }
    }
    let project = project(&gate, &configuration).file("counter.sh", COUNTER);
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    // The first one fills the cache for the others.
    project.run(["run", "-e", "s0", "--notest"]).succeeds();
    let up = || project.run(["up"]).succeeds();
    up();
    let mut seed: u64 = 20_261_121;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let (mut connection, mut supervisor) = Connection::greeted(&project);
    let mut hit: BTreeSet<u64> = BTreeSet::new();
    let mut faults = 0;
    while faults < 200 {
        let services = connection.ps();
        // What was hit before may be listed until its end is known, and waits longer from time to time then.
        let running = services.iter().filter_map(|one| one["pid"].as_u64()).filter(|pid| !hit.contains(pid));
        let running: Vec<u64> = running.collect();
        if running.is_empty() {
            let answer = connection.ask(&json!({"id": 3, "op": "restart", "names": names, "wait": true}));
            assert!(answer["error"].is_null(), "{answer}");
            continue;
        }
        let leader = running[random(running.len())];
        match random(20) {
            0 => {
                kill(u64::from(supervisor));
                up();
                (connection, supervisor) = Connection::greeted(&project);
            }
            1 => {
                let commands: [&[&str]; 4] = [&["wait", "s9"], &["up"], &["logs", "-f"], &["serve", "-e", "s4"]];
                let client = project.start(commands[random(4)]);
                client.signal(Signal::KILL);
                client.end();
            }
            2..5 => {
                connection.ask(&json!({"id": 3, "op": "restart", "names": [names[random(10)]]}));
            }
            5..10 => {
                // The shim is the parent of the service's first process.
                let status = fs::read_to_string(format!("/proc/{leader}/stat")).unwrap_or_default();
                let parent = status.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
                let Some(parent) = parent.filter(|pid: &u64| *pid > 1 && *pid != u64::from(supervisor)) else {
                    hit.insert(leader);
                    continue;
                };
                hit.insert(leader);
                kill(parent);
            }
            _ => {
                hit.insert(leader);
                kill(leader);
            }
        }
        faults += 1;
    }
    let answer = connection.ask(&json!({"id": 4, "op": "restart", "names": names, "wait": true}));
    assert!(answer["error"].is_null(), "{answer}");
    assert!(connection.ps().iter().all(|one| one["state"] == "ready"), "{:?}", connection.ps());
    drop(connection);
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
    let mut checked = 0;
    for entry in fs::read_dir(project.root()).unwrap().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let Some((name, run)) = file.strip_prefix("count-").and_then(|rest| rest.split_once('-')) else { continue };
        // A process that was killed between opening and writing has left an empty note.
        let Ok(count) = fs::read_to_string(entry.path()).unwrap().trim().parse::<usize>() else { continue };
        let log = fs::read_to_string(project.path(&format!(".tox/.envo/log/{name}.log"))).unwrap();
        let lines = log.lines().filter(|line| line.contains(&format!("line {run} "))).count();
        assert!(lines >= count, "{name} wrote {count} lines, of which {lines} are in its log");
        checked += 1;
    }
    assert!(checked >= 10, "{checked} runs were checked");
}
