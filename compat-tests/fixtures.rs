//! The fixtures as stories: what each one shows is what it does.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::machine;
use crate::project::{Project, fixtures_folder};

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

#[test]
fn two_services_serve_an_application_on_three_pythons() {
    if !machine::has("python2.7") || !machine::has("python3.6") {
        // Both are past their end of life: where they cannot be had, the demo and the tests of `serve` remain.
        return;
    }
    let project = Project::fixture("two-services").with_old_interpreters().with_kept_cache();
    let outcome = project.run(["run"]).succeeds();
    for name in ["py27", "py36", "py3"] {
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
fn ask(address: &str, request: &str) -> String {
    let mut connection = TcpStream::connect(address).expect("the service listens");
    connection.write_all(format!("{request} HTTP/1.0\r\n\r\n").as_bytes()).expect("the service reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("the service answers");
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(answer)
}

#[test]
fn every_fixture_begins_with_a_comment_that_says_what_it_shows() {
    for entry in fixtures_folder().read_dir().expect("the fixtures are there").flatten() {
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
