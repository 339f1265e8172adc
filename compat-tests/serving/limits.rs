//! Tests a supervisor near its limits: few descriptors, many connections, and clients that send invalid requests. It
//! keeps serving the others, and reports an error for anything it cannot do.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, Signal, kill_process};

use crate::serving::supervisor::{Connection, socket, states};
use crate::support::gate::Gate;
use crate::support::project::Project;

/// Reports the limit it was started with, and stays.
const SERVICE: &str = "import resource, signal, sys\nfrom gate import tell\n\
    tell('%s %d' % (sys.argv[1], resource.getrlimit(resource.RLIMIT_NOFILE)[0]))\nprint('ready now', flush=True)\nsignal.pause()\n";

fn project(gate: &Gate, configuration: &str) -> Project {
    let project = Project::new().ini(configuration).file("gate.py", &gate.module()).file("service.py", SERVICE);
    let root = project.root().display().to_string();
    project.variable("XDG_RUNTIME_DIR", &root)
}

/// Sections of so many services, each with a port.
fn services(count: usize) -> String {
    let section = |number| {
        format!("[testenv:s{number}]\nserve = python service.py s{number}\nports = http\nready = log:ready now\n")
    };
    format!("[tox]\nno_package = true\n{}", (0..count).map(section).collect::<String>())
}

/// Runs envo with limits of open files, the soft one and the hard one.
fn run_limited(project: &Project, limits: &str, arguments: &str) -> crate::support::project::Outcome {
    let envo = env!("CARGO_BIN_EXE_envo");
    project.run_program("bash", &["-c", &format!("{limits} && exec '{envo}' {arguments}")])
}

fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

#[test]
fn the_supervisor_may_have_more_open_files_than_services_which_have_the_callers_limit() {
    let gate = Gate::new();
    let configuration = services(20)
        + "[testenv:all]\nserve = python service.py all\nready = log:ready now\n\
           depends = s*\ncommands_pre = python -c \"import resource; from gate import tell; \
           tell('pre %d' % resource.getrlimit(resource.RLIMIT_NOFILE)[0])\"\n";
    let project = project(&gate, &configuration);
    // Building takes descriptors of envo's own.
    project.run(["up", "-e", "all", "--wait"]).succeeds();
    project.run(["down"]).succeeds();
    gate.all();
    // Twenty services need more than this.
    run_limited(&project, "ulimit -Sn 60", "up -e all --wait").succeeds();
    let mut told: Vec<String> = (0..22).map(|_| gate.next()).collect();
    told.sort();
    let mut expected: Vec<String> = (0..20).map(|number| format!("s{number} 60")).collect();
    expected.extend(["all 60".to_owned(), "pre 60".to_owned()]);
    expected.sort();
    assert_eq!(told, expected);
    let (_, pid) = Connection::greeted(&project);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limits: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(limits[3], limits[4], "as many as it may have");
    project.run(["down"]).succeeds();
}

#[test]
fn a_service_takes_a_handful_of_descriptors() {
    let gate = Gate::new();
    let project = project(&gate, &services(11));
    let mut counts = Vec::new();
    for last in [0, 10] {
        let names: Vec<String> = (0..=last).map(|number| format!("s{number}")).collect();
        project.run(["up", "-e", &names.join(","), "--wait"]).succeeds();
        let (mut connection, pid) = Connection::greeted(&project);
        // By the time it answers, the questions whether services are ready are over.
        connection.ps();
        counts.push(open_files(pid));
    }
    assert!(counts[1] - counts[0] <= 10 * 5, "{counts:?}");
    project.run(["down"]).succeeds();
}

#[test]
fn services_can_be_seen_and_stopped_when_the_supervisor_has_no_descriptors_left() {
    let gate = Gate::new();
    let project = project(&gate, &services(3));
    run_limited(&project, "ulimit -n 40", "up -e s0 --wait").succeeds();
    let (mut first, pid) = Connection::greeted(&project);
    // Clients that stay, until there is no room for another.
    let mut clients = Vec::new();
    loop {
        let mut client = Connection::open(&project);
        client.ask(&serde_json::json!({"id": 1, "op": "hello", "protocol": 2, "client": "test"}));
        let answer = client.ask(&serde_json::json!({"id": 2, "op": "events"}));
        if answer["error"]["kind"] == "descriptors" {
            break;
        }
        clients.push(client);
        assert!(clients.len() < 40);
    }
    for _ in 0..3 {
        project.run(["ps"]).succeeds().says("s0").never_explains("nothing is running");
    }
    project
        .run(["up", "-e", "s1"])
        .ends_with(1)
        .explains("the supervisor of the services has reached its limit of open files")
        .explains("`envo stop NAME` and `envo down NAME` make room");
    assert_eq!(first.ps().len(), 1);
    assert!(open_files(pid) <= 40);
    // Those who wait are served when there is room again.
    clients.clear();
    while open_files(pid) > 30 {
        project.run(["ps"]).succeeds();
    }
    project.run(["up", "-e", "s1", "--wait"]).succeeds();
    drop(first);
    project.run(["down"]).succeeds().says("stopped: ");
    assert_eq!(project.processes(), [""; 0]);
}

#[test]
fn a_stopped_supervisor_is_an_error_and_not_nothing_when_connections_are_closed() {
    let gate = Gate::new();
    let project = project(&gate, &services(1));
    project.run(["up", "-e", "s0", "--wait"]).succeeds();
    let path = socket(&project);
    let (_, pid) = Connection::greeted(&project);
    let supervisor = Pid::from_raw(i32::try_from(pid).unwrap()).expect("not zero");
    // It would listen again elsewhere.
    kill_process(supervisor, Signal::STOP).expect("it runs");
    let kept = path.with_extension("kept");
    fs::rename(&path, &kept).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // In its place, one that closes every connection.
    std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
    for command in [&["ps"] as &[&str], &["down"], &["stop", "s0"], &["up", "-e", "s0"]] {
        let outcome = project.run(command).ends_with(1).never_explains("nothing is running");
        let outcome = outcome.explains(&format!("the supervisor of the services (pid {pid}) "));
        outcome.explains(&format!("it is stopped: `kill -CONT {pid}` lets it continue"));
    }
    fs::rename(&kept, &path).unwrap();
    kill_process(supervisor, Signal::CONT).expect("it runs");
    project.run(["down"]).succeeds().says("stopped: ");
}

#[test]
fn whatever_a_connection_sends_the_others_are_served() {
    let gate = Gate::new();
    let project = project(&gate, &services(1));
    project.run(["up", "-e", "s0", "--wait"]).succeeds();
    let open = || UnixStream::connect(socket(&project)).expect("the supervisor listens");
    let hello = b"{\"id\": 1, \"op\": \"hello\", \"protocol\": 1, \"client\": \"test\"}\n";
    let nested = [vec![b'['; 100_000], b"\n".to_vec()].concat();
    let endless = vec![b'x'; 100_000_000];
    for garbage in [
        &b""[..],
        b"\n\n\n",
        b"\0\xff\xfe\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"{\"id\": 1, \"op\": ",
        b"{\"id\": -1, \"op\": \"ps\"}\n",
        b"{\"id\": 1, \"op\": \"ps\"}\n",
        &nested,
        &endless,
    ] {
        for greeting in [&b""[..], hello] {
            let mut stream = open();
            // What it does not take it has ended the connection for.
            let _ = stream.write_all(greeting).and_then(|()| stream.write_all(garbage));
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answers = Vec::new();
            let _ = stream.read_to_end(&mut answers);
            assert_eq!(states(&project), "s0=ready");
        }
    }
    // Endless requests whose responses are never read, and many connections at once, with half a request each.
    let mut unread = open();
    unread.write_all(hello).unwrap();
    unread.set_write_timeout(Some(std::time::Duration::from_millis(100))).unwrap();
    let requests = b"{\"id\": 2, \"op\": \"ps\"}\n".repeat(10_000);
    let _ = unread.write_all(&requests);
    let mut many: Vec<UnixStream> = Vec::new();
    for _ in 0..1000 {
        let mut stream = open();
        let _ = stream.write_all(b"{\"id\": 1, \"op");
        many.push(stream);
    }
    assert_eq!(states(&project), "s0=ready");
    drop((many, unread));
    project.run(["down"]).succeeds().says("stopped: ");
    assert_eq!(project.processes(), [""; 0]);
}
