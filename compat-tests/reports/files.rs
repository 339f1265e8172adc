//! Tests reports for programs: `--junit-xml`, `--report json`, `--result-json` and the annotations of GitHub Actions.

use std::fs;

use serde_json::Value;

use crate::support::project::Project;

/// Environments that end in every way there is.
const ENDINGS: &str = "[tox]\nno_package = true\nenv_list = good, bad, absent, lax, odd\n[testenv:good]\ncommands =\n  \
    python -c \"print('<fine & good>')\"\n  - python -c \"raise SystemExit(4)\"\n[testenv:bad]\ncommands =\n  \
    python -c \"import sys; print('it broke', file=sys.stderr); raise SystemExit(3)\"\n[testenv:absent]\n\
    platform = nowhere\n[testenv:lax]\nignore_outcome = true\ncommands = python -c \"raise SystemExit(5)\"\n\
    [testenv:odd]\ncommands = no-such-program\n";

fn endings() -> Project {
    Project::new().ini(ENDINGS)
}

/// The values of an attribute of all elements of that name, by text: the file is known to be of this program.
fn attributes<'a>(xml: &'a str, element: &str, attribute: &str) -> Vec<&'a str> {
    xml.split('<')
        .filter(|part| part.split([' ', '>']).next() == Some(element))
        .filter_map(|part| part.split_once(&format!(" {attribute}=\"")))
        .filter_map(|(_, rest)| rest.split('"').next())
        .collect()
}

#[test]
fn environments_and_commands_are_written_as_junit_xml() {
    for verb in ["run", "run-parallel"] {
        let project = endings();
        let outcome = project.run([verb, "--junit-xml", "results/junit.xml"]).ends_with(1);
        assert!(outcome.stdout.contains("evaluation failed :("), "{}", outcome.stdout);
        let xml = fs::read_to_string(project.path("results/junit.xml")).expect("it was written");
        let mut suites = attributes(&xml, "testsuite", "name");
        suites.sort_unstable();
        assert_eq!(suites, ["absent", "bad", "good", "lax", "odd"], "{xml}");
        let total = |attribute| attributes(&xml, "testsuites", attribute).concat();
        assert_eq!(
            [total("tests"), total("failures"), total("errors"), total("skipped")],
            ["6", "2", "0", "2"],
            "{xml}"
        );
        for part in [
            "&lt;fine &amp; good&gt;",
            "<failure message=\"exit code 3\"/>\n<system-err>it broke\n</system-err>",
            "<skipped message=\"skipped because platform linux does not match nowhere\"/>",
            "<skipped message=\"exit code 5, which is ignored (ignore_outcome)\"/>",
        ] {
            assert!(xml.contains(part), "no {part} in {xml}");
        }
    }
}

#[test]
fn an_xml_file_that_cannot_be_written_is_told_and_changes_nothing_else() {
    let project = endings().file("taken", "");
    project
        .run(["run", "-e", "good", "--junit-xml", "taken/junit.xml"])
        .succeeds()
        .says("ROOT: could not write taken/");
}

#[test]
fn every_line_is_an_event_when_json_is_asked_for() {
    let project = endings();
    let outcome = project.run(["run", "--report", "json"]).ends_with(1);
    let events: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    assert!(events.iter().all(|event| event["version"] == 1 && event["time"].is_f64()), "{events:?}");
    let of = |kind: &str, environment: &str| -> Vec<&Value> {
        events.iter().filter(|event| event["event"] == kind && event["environment"] == environment).collect()
    };
    let ends: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "environment-finished")
        .filter_map(|event| event["outcome"].as_str())
        .collect();
    assert_eq!(ends, ["ok", "failed", "skipped", "ignored", "failed"]);
    assert_eq!(of("output", "good")[0]["text"], "<fine & good>\n");
    assert_eq!(
        (&of("output", "bad")[0]["stream"], &of("output", "bad")[0]["text"]),
        (&"stderr".into(), &"it broke\n".into())
    );
    assert_eq!(of("command-finished", "good")[1]["success"], true, "`-` stands before it");
    assert_eq!(of("command-finished", "bad")[0]["exit_code"], 3);
    assert_eq!(of("phase", "good")[0]["phase"], "create");
    let summary = events.last().expect("there are events");
    assert_eq!((summary["event"].as_str(), summary["success"].as_bool()), (Some("summary"), Some(false)));
    assert_eq!(summary["environments"].as_array().map(Vec::len), Some(5));
}

#[test]
fn events_of_environments_side_by_side_are_told_at_once_and_by_name() {
    let outcome = endings().run(["run-parallel", "--report", "json"]).ends_with(1);
    for line in outcome.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert!(event["event"] != "output" || event["environment"].is_string());
    }
    assert!(outcome.stdout.contains("it broke"));
}

#[test]
fn a_wrong_configuration_is_an_event_too() {
    let outcome = Project::new().ini("[tox\n").run(["run", "--report", "json"]);
    let event: Value = serde_json::from_str(outcome.stdout.lines().next().unwrap_or_default()).expect("it is JSON");
    assert_eq!((event["event"].as_str(), event["level"].as_str()), (Some("message"), Some("error")));
}

#[test]
fn github_gets_annotations_on_standard_error_and_standard_output_stays_as_it_is() {
    let project = endings().variable("GITHUB_ACTIONS", "true");
    let outcome = project.run(["run", "--no-list-dependencies"]).ends_with(1);
    let annotations: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(
        annotations,
        [
            "::error file=tox.ini,line=9,col=1,title=bad::commands[0] ended with exit code 3: python -c 'import sys; \
             print('\"'\"'it broke'\"'\"', file=sys.stderr); raise SystemExit(3)'",
            "::error file=tox.ini,line=17,col=1,title=odd::commands[0] ended with exit code 2: no-such-program",
        ]
    );
    assert!(!outcome.stdout.contains("::error"));
    let wrong =
        Project::new().ini("[tox]\nenv_list = {a\n[testenv]\ndeps = {[no]such}\n").variable("GITHUB_ACTIONS", "true");
    let annotated = wrong.run(["run", "-e", "py"]);
    assert!(annotated.stderr.contains("::error "), "{}{}", annotated.stdout, annotated.stderr);
}

#[test]
fn the_curious_see_what_the_time_was_spent_on() {
    let outcome = endings().run(["run", "-v", "-e", "good", "--no-list-dependencies"]).succeeds();
    let line = outcome.stdout.lines().find(|line| line.starts_with("    ")).unwrap_or_default();
    assert!(line.starts_with("    create ") && line.contains(", commands "), "{}", outcome.stdout);
}

/// The part of a result that does not depend on time, place or the versions of what an environment comes with.
fn comparable(project: &Project, file: &str) -> Value {
    let text = fs::read_to_string(project.path(file)).expect("it was written");
    let text = text.replace(&*project.root().to_string_lossy(), "ROOT");
    let mut result: Value = serde_json::from_str(&text).expect("it is JSON");
    strip(&mut result);
    result
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for key in ["elapsed", "start", "end", "duration", "sha256", "installed_packages"] {
                if let Some(field) = fields.get_mut(key) {
                    *field = Value::String(format!("a {}", if field.is_number() { "number" } else { key }));
                }
            }
            // What setuptools and pip write depends on their versions, and the script beside the backend is each program's own.
            let run_id = fields.get("run_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            if run_id == "_exit" {
                // tox does not wait for the backend's end, and may or may not see its code.
                fields.remove("retcode");
            }
            if !run_id.is_empty() && !run_id.starts_with("commands") {
                fields.remove("output");
                fields.remove("err");
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(values) => {
            for value in values.iter_mut() {
                match value {
                    Value::String(text) if text.ends_with("_backend.py") => *text = "BACKEND".to_owned(),
                    value => strip(value),
                }
            }
        }
        _ => {}
    }
}

fn same_result_as_tox(name: &str, make: impl Fn() -> Project, arguments: &[&str]) {
    let (ours, theirs) = (make(), make());
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--result-json", "out/result.json"]).collect();
    let (outcome, expected) = (ours.run(&arguments), theirs.run_tox(&arguments));
    assert_eq!(outcome.code, expected.code, "{name}:\n{}\n{}", outcome.stdout, expected.stdout);
    assert_eq!(comparable(&ours, "out/result.json"), comparable(&theirs, "out/result.json"), "{name}");
}

#[test]
fn results_are_those_of_tox_whatever_happened() {
    same_result_as_tox("endings", endings, &["run"]);
    same_result_as_tox("fail fast", endings, &["run", "--fail-fast", "-e", "bad,good"]);
    same_result_as_tox("parallel", endings, &["run-parallel", "-p", "1"]);
    same_result_as_tox("no test", endings, &["run", "--notest", "-e", "good"]);
    let retried = "[tox]\nno_package = true\nenv_list = a\n[testenv]\ncommands_retry = 1\n\
        commands_pre = python -c \"print(0)\"\ncommands = python -c \"raise SystemExit(3)\"\n\
        commands_post = python -c \"print(2)\"\n";
    same_result_as_tox("retried", || Project::new().ini(retried), &["run"]);
}

#[test]
fn results_of_packages_are_those_of_tox() {
    let project = |body: &str| {
        let backend = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n[project]\n\
            name = \"demo\"\nversion = \"1.0\"\n";
        Project::new().file("pyproject.toml", backend).file("backend.py", BACKEND).ini(body)
    };
    let wheel = "[tox]\nenv_list = a, b\n[testenv]\npackage = wheel\ncommands = python -c \"import demo\"\n";
    same_result_as_tox("wheel", || project(wheel), &["run"]);
    same_result_as_tox("broken", || project(wheel).file("broken", ""), &["run"]);
}

/// A backend that writes the smallest wheel there is, unless there is a file `broken`.
const BACKEND: &str = r#"
import os, zipfile

def get_requires_for_build_wheel(config_settings=None):
    return []

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    if os.path.exists("broken"):
        raise RuntimeError("it is broken")
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("demo.py", "")
        wheel.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        wheel.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("demo-1.0.dist-info/RECORD", "")
    return name
"#;
