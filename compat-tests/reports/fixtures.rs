//! Tests the fixtures: each behaves as it describes.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::machine;
use crate::support::project::{Project, fixtures_folder};

#[test]
fn the_demo_builds_serves_tests_and_leaves_nothing() {
    let project = Project::fixture("demo");
    let outcome = project.run(["run"]).succeeds().says("check: OK").says("app: OK").says("congratulations :)");
    assert!(outcome.stderr.contains("Ran 2 tests") || outcome.stdout.contains("Ran 2 tests"), "{outcome:?}");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn the_demo_runs_in_parallel_too() {
    let project = Project::fixture("demo");
    project.run(["run-parallel"]).succeeds().says("app: OK");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn environments_that_depend_on_no_service_start_none() {
    let project = Project::fixture("demo");
    project.run(["run", "-e", "check"]).succeeds().never_says("stock kept");
    assert!(!project.path(".tox/Svc1").exists(), "Svc1 was built although nothing depends on it");
}

/// Interpreters older than today's, oldest first, with what environments call them.
pub const OLD_PYTHONS: [(&str, &str); 7] = [
    ("python2.7", "py27"),
    ("python3.6", "py36"),
    ("python3.7", "py37"),
    ("python3.8", "py38"),
    ("python3.9", "py39"),
    ("python3.10", "py310"),
    ("pypy3", "pypy3"),
];

#[test]
fn two_services_serve_an_application_on_three_pythons() {
    let found: Vec<_> = OLD_PYTHONS.into_iter().filter(|(program, _)| machine::has(program)).collect();
    let Some((eldest, old)) = found.first().copied() else {
        panic!(
            "this needs a second Python on the machine, best of all 2.7 and 3.6: `pyenv install 2.7.18 3.6.15`, or \
             `uv python install 3.8`, or `apt-get install pypy3`"
        )
    };
    let (_, middle) = found.get(1).copied().unwrap_or((eldest, old));
    let project = Project::fixture("two-services").with_old_interpreters().with_kept_cache();
    if (old, middle) != ("py27", "py36") {
        machine::notice(&format!(
            "fixtures/two-services ran on {old} and {middle}: Python 2.7 or 3.6 is not on this machine \
             (pyenv install 2.7.18 3.6.15)"
        ));
        let names = if old == middle { old.to_owned() } else { format!("{old}, {middle}") };
        let python2 = [
            ("tox.ini", "env_list = py{27,36,3}", format!("env_list = {names}, py3")),
            ("tox.ini", "    py27: pytest<5\n    py36: pytest<7.1\n    py3: pytest\n", "    pytest\n".to_owned()),
            ("tox.ini", "base_python = python2.7", format!("base_python = {eldest}")),
            ("service1/setup.py", ",<3", String::new()),
            ("service1/service1/__init__.py", "from BaseHTTPServer", "from http.server".to_owned()),
            ("service1/service1/__init__.py", "from SocketServer", "from socketserver".to_owned()),
            ("tests/test_services.py", " == \"2.7\"", " != \"\"".to_owned()),
        ];
        // Without Python 2 its service is ported, which takes three lines; with it only the application runs on others.
        let replaced = if old == "py27" { &python2[..2] } else { &python2[..] };
        for (file, from, to) in replaced {
            let text = std::fs::read_to_string(project.path(file)).expect("the fixture has it");
            assert!(text.contains(from), "{file} has no `{from}`");
            std::fs::write(project.path(file), text.replace(from, to)).expect("the copy can be written");
        }
    }
    let outcome = project.run(["run"]).succeeds();
    for name in [old, middle, "py3"] {
        assert!(outcome.stdout.contains(&format!("  {name}: OK")), "{outcome:?}");
    }
    assert_eq!(project.processes(), [] as [&str; 0]);
    project.run(["run", "-e", "Svc1,Svc2"]).succeeds().says("Svc1: OK").says("Svc2: OK");
}

#[test]
fn both_services_answer_until_they_are_interrupted() {
    let project = Project::fixture("demo");
    let mut serving = project.start(["-e", "Svc1,Svc2", "serve"]);
    for (service, request, answer) in
        [("Svc1", "GET /apple", r#"{"left": 3}"#), ("Svc2", "POST /buy/pear", r#"{"sold": true, "left": 0}"#)]
    {
        let line = serving.line_with(&format!("{service}: ready at http://"));
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("it has one");
        assert_eq!(ask(address, request), answer, "{line}");
    }
    serving.signal(Signal::INT);
    let ended = serving.end();
    assert_eq!(project.processes(), [] as [&str; 0], "{ended:?}");
}

/// The body of the answer to a request such as `GET /path`.
pub fn ask(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("the service listens");
    connection.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).expect("the service reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the service answers");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
}

#[test]
fn every_fixture_begins_with_a_comment_that_says_what_it_shows() {
    for entry in fixtures_folder().read_dir().expect("the fixtures are there").flatten() {
        // Projects of Docker Compose, whose tox.ini is what tests have written.
        if entry.file_name() == "compose" {
            continue;
        }
        let text = std::fs::read_to_string(entry.path().join("tox.ini")).expect("a fixture has a tox.ini");
        assert!(text.starts_with("# "), "{}", entry.path().display());
    }
}

#[test]
fn every_fixture_succeeds() {
    for name in ["aliases", "factors", "inheritance", "order", "packaging", "ranges", "references", "substitution"] {
        Project::fixture(name).run(["run"]).succeeds();
    }
    Project::fixture("syntax").run(["run"]).succeeds().says("second # not a comment\n").says("joined\n");
    Project::fixture("variables").run(["run"]).succeeds().says("11 a=b ''\n").says("blue round False\n");
}
