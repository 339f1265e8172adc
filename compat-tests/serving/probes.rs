//! Tests probes and their reports, while a service takes long to get ready and when it fails.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use rustix::process::Signal;

use crate::support::project::{Outcome, Project};

const HEAD: &str = "[tox]\nno_package = true\n[testenv]\nruntime = system\nallowlist_externals = *\n";

/// A server of the test's own, which answers every question in this way.
fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
        }
    });
    port
}

/// A server that hands over what connects to it.
fn handing_over() -> (u16, Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, connections) = mpsc::channel();
    thread::spawn(move || listener.incoming().flatten().all(|stream| sender.send(stream).is_ok()));
    (port, connections)
}

/// Both streams of a program that ended.
fn printed(outcome: &Outcome) -> String {
    format!("{}{}", outcome.stdout, outcome.stderr)
}

#[test]
fn a_service_that_is_never_ready_fails_with_what_its_probe_saw() {
    let missing = answering("404 Not Found");
    // A socket that does not listen has its number to itself.
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let deaf = SocketAddr::try_from(getsockname(&socket).unwrap()).unwrap();
    for (ready, more, expected) in [
        (
            format!("http://127.0.0.1:{missing}/up"),
            "",
            "was not ready after [TIME] s: http://127.0.0.1:[PORT]/up answered 404 (expected 200–399)",
        ),
        (
            format!("http://127.0.0.1:{missing}/up|status=204"),
            "",
            "http://127.0.0.1:[PORT]/up answered 404 (expected 204)",
        ),
        (
            format!("tcp://{deaf}"),
            "ports = http\nlisten_fds = true\n",
            "was not ready after [TIME] s: tcp://127.0.0.1:[PORT]: connection refused; the process listens on ",
        ),
        (format!("tcp://{deaf}"), "", "connection refused; the process does not listen on any port"),
        (
            "cmd:sh -c \"echo not yet; exit 3\"".to_owned(),
            "",
            "`sh -c \"echo not yet; exit 3\"` ended with exit code 3 and these last lines:\n  not yet\n",
        ),
        // What it leaves behind, a daemon as well, does not outlive the service.
        ("cmd:sh -c \"setsid sleep 1000 & sleep 1000 & exit 1\"".to_owned(), "", "& exit 1\"` ended with exit code 1"),
        (
            "log:listening on (?P<port>\\d+)".to_owned(),
            "",
            "no line matched `listening on (?P<port>\\d+)` (last line: `half way`)",
        ),
        ("notify".to_owned(), "", "it has not sent `READY=1` to `$NOTIFY_SOCKET`"),
        ("exit".to_owned(), "", "was not ready after [TIME] s: it has not ended"),
        ("unix://nowhere".to_owned(), "", "unix://nowhere: there is no such socket"),
    ] {
        let serve = "serve = sh -c \"echo half way; exec sleep 1000\"\nready_timeout = 1.5\n";
        let project = Project::new().ini(&format!("{HEAD}[testenv:Svc1]\n{serve}ready = {ready}\n{more}"));
        let outcome = project.run(["serve"]).ends_with(1);
        assert!(printed(&outcome).contains(expected), "{expected}\n{outcome:?}");
        assert_eq!(project.processes(), [] as [&str; 0]);
    }
}

#[test]
fn a_probe_that_is_not_answered_is_said_to_be_so() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let ini = format!(
        "{HEAD}[testenv:Svc1]\nserve = sleep 1000\nready_timeout = 1.5\nprobe_timeout = 0.5\nready = http://{address}/\n"
    );
    let outcome = Project::new().ini(&ini).run(["serve"]).ends_with(1);
    let expected = "was not ready after [TIME] s: http://127.0.0.1:[PORT]/ gave no answer within [TIME] s";
    assert!(printed(&outcome).contains(expected), "{outcome:?}");
}

#[test]
fn what_is_waited_for_is_said_with_what_the_probe_saw_last() {
    // It takes its first question at once and answers when that has been waited for longer than two seconds.
    let (port, connections) = handing_over();
    let ini = format!("{HEAD}[testenv:Svc1]\nserve = sleep 1000\nready = http://127.0.0.1:{port}/up\n");
    let project = Project::new().ini(&ini);
    let mut serving = project.start(["serve"]);
    let line = serving.line_with("waiting for");
    assert!(line.starts_with(&format!("Svc1: waiting for http://127.0.0.1:{port}/up (1 s, no answer for ")), "{line}");
    serving.line_with("(5 s, no answer for ");
    connections.recv().unwrap().write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    serving.line_with("Svc1: ready");
    serving.signal(Signal::INT);
    assert_eq!(serving.end().code, 0);
}

#[test]
fn run_and_up_say_what_they_wait_for() {
    let busy = answering("503 Service Unavailable");
    let ini = format!(
        "{HEAD}[testenv:Svc1]\nserve = sleep 1000\nready = http://127.0.0.1:{busy}/\nready_timeout = 2\n\
         [testenv:app]\ndepends = Svc1\ncommands = echo must not run\n"
    );
    for arguments in [&["up", "--wait"][..], &["run", "-e", "app"], &["run-parallel", "-e", "app"]] {
        let outcome = Project::new().ini(&ini).run(arguments);
        let said = "Svc1: waiting for http://127.0.0.1:[PORT]/ (1 s, last answer 503)\n";
        assert!(printed(&outcome).contains(said) && outcome.code != Some(0), "{arguments:?} {outcome:?}");
        assert!(printed(&outcome).contains("answered 503 (expected 200–399)"), "{arguments:?} {outcome:?}");
    }
}

#[test]
fn what_ends_at_once_is_not_ready_and_nothing_starts_for_it() {
    let app = "[testenv:app]\ndepends = Svc1\ncommands = echo must not run\n";
    let project = Project::new().ini(&format!("{HEAD}[testenv:Svc1]\nserve = sh -c \"echo no; exit 3\"\n{app}"));
    let outcome = project.run(["run", "-e", "app"]).never_says("\nmust not run\n");
    assert!(printed(&outcome).contains("exited with code 3 before it was ready"), "{outcome:?}");
    assert!(!printed(&outcome).contains("Svc1: ready"), "{outcome:?}");
}

#[test]
fn a_restart_for_a_failed_alive_probe_says_what_that_saw() {
    let broken = answering("500 Oh");
    let ini =
        format!("{HEAD}[testenv:Svc1]\nserve = sleep 1000\nalive = http://127.0.0.1:{broken}/\nrestart_limit = 1\n");
    let project = Project::new().ini(&ini);
    let outcome = project.run(["serve"]).ends_with(1);
    let seen = "http://127.0.0.1:[PORT]/ answered 500 (expected 200–399)";
    for expected in [
        format!("Svc1: restarting (its `alive` probe failed 3 times in a row: {seen})\n"),
        format!("failed its `alive` probe 3 times in a row after 1 restarts: {seen}"),
    ] {
        assert!(printed(&outcome).contains(&expected), "{expected}\n{outcome:?}");
    }
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_service_can_be_stopped_while_its_probe_hangs() {
    let (port, connections) = handing_over();
    let ini = format!("{HEAD}[testenv:Svc1]\nserve = sleep 1000\nready = http://127.0.0.1:{port}/\n");
    let project = Project::new().ini(&ini);
    let serving = project.start(["serve"]);
    let _hangs = connections.recv().unwrap();
    serving.signal(Signal::INT);
    let ended = serving.end();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_probe_timeout_that_is_none_is_refused() {
    for value in ["0", "soon", "-1"] {
        let project = Project::new().ini(&format!("{HEAD}[testenv:a]\nserve = sleep 1\nprobe_timeout = {value}\n"));
        let outcome = project.run(["serve"]).ends_with(254);
        assert!(printed(&outcome).contains(&format!("`probe_timeout = {value}`")), "{outcome:?}");
    }
}

/// What writes a line of 10 MB full of control codes, and no end of it until the gate opens.
const FLOOD: &str = r#"
import sys, time
sys.stdout.write("\x1b[31mred\x00\x07" * 1_000_000)
sys.stdout.write("\ntoken=\x1b[1mab\x00c\x1b[0m" + "x" * 10_000 + " ready\n" if "ready" in sys.argv else "")
sys.stdout.flush()
time.sleep(1000)
"#;

#[test]
fn lines_of_ten_megabytes_are_searched_and_shown_in_parts_and_fields_are_readable() {
    let ini = format!(
        "{HEAD}[testenv:Svc1]\nserve = python3 flood.py ready\nready = log:token=(?P<token>\\S+) ready\n\
         [testenv:Svc2]\nserve = python3 flood.py\nready = log:never\nready_timeout = 3\n\
         [testenv:app]\ndepends = Svc1\ncommands = python3 -c \"print('token', '{{service:Svc1:token}}')\"\n"
    );
    let project = Project::new().ini(&ini).file("flood.py", FLOOD);
    let app = project.run(["run", "-e", "app"]).succeeds();
    let token = app.stdout.lines().find_map(|line| line.strip_prefix("token ")).expect("it was printed");
    assert_eq!((&token[..4], token.len()), ("abcx", 4096), "of what is as long as this, the beginning");
    let failed = project.run(["up", "--wait", "-e", "Svc2"]).ends_with(1);
    let text = printed(&failed);
    assert!(text.contains("no line matched `never` (last line: `"), "{}", &text[..2000.min(text.len())]);
    assert!(text.len() < 8 * 1024 && !text.contains(['\u{1b}', '\0', '\u{7}']), "{} bytes", text.len());
    project.run(["down"]);
    // What is shown with names has one before each part; alone it is as it was written.
    let bare = project.run(["logs", "Svc2"]).succeeds();
    assert_eq!(bare.stdout.matches("red").count(), 1_000_000);
    assert_eq!(bare.stdout.lines().count(), 1);
    let named = project.run(["logs"]).succeeds();
    assert!(named.stdout.lines().all(|line| line.len() < 200 * 1024));
    let last = project.run(["logs", "-n", "1", "Svc1"]).succeeds();
    assert_eq!(last.stdout.lines().count(), 1);
    assert!(last.stdout.starts_with("token=") && last.stdout.ends_with("xxx ready\n"));
}

#[test]
fn logs_of_several_services_are_shown_line_by_line() {
    let write = "python3 write.py";
    let ini =
        format!("{HEAD}[testenv:Svc1]\nserve = {write}\nready = exit\n[testenv:Svc2]\nserve = {write}\nready = exit\n");
    let project = Project::new().ini(&ini).file("write.py", "for n in range(3000): print(f'{n:099d}')\n");
    project.run(["up", "--wait"]).succeeds();
    project.run(["down"]);
    let shown = project.run(["logs"]).succeeds().stdout;
    let expected = |name: &str| (0..3000).map(|number| format!("{name} | {number:099}\n")).collect::<String>();
    // Not `assert_eq`, which would print all of it.
    assert!(shown == expected("Svc1") + &expected("Svc2"), "{}", &shown[..1000.min(shown.len())]);
}
