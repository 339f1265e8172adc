//! Tests running a part of the environments, and the records that runs leave.

use serde_json::{Value, json};

use crate::support::project::Project;

const TWO_AND_A_REPORT: &str = "[tox]\nenv_list = a, b, report\nno_package = true\n[testenv]\nskip_install = true\n\
    allowlist_externals = *\ncommands = echo ran {env_name}\n[testenv:report]\ndepends = a, b\n";

fn read(project: &Project, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(project.path(file)).expect("it was written")).expect("it is JSON")
}

#[test]
fn a_slice_runs_its_environments_and_says_so_in_its_result() {
    let project = Project::new().ini(TWO_AND_A_REPORT);
    let arguments = ["run", "--shard", "2/2", "--result-json", "out/result.json"];
    project.run(arguments).succeeds().says("ran b").never_says("ran a").never_says("ran report");
    let part = read(&project, "out/result.json")["envo"].clone();
    assert_eq!(part["shard"], json!({"index": 2, "total": 2}));
    assert_eq!(part["selected"], json!(["a", "b", "report"]));
    assert_eq!((&part["after"], &part["names"]), (&json!(["report"]), &json!(["b"])));
    project.run(["run-parallel", "--after-shards"]).succeeds().says("report: OK");
    // Without slices, the report is tox's own.
    project.run(["run", "-e", "a", "--result-json", "result.json"]).succeeds();
    assert!(read(&project, "result.json").get("envo").is_none());
}

#[test]
fn an_empty_slice_is_a_success_with_empty_results() {
    let project = Project::new().ini(TWO_AND_A_REPORT);
    let arguments = ["run", "--shard", "3/3", "--result-json", "result.json", "--junit-xml", "junit.xml"];
    project.run(arguments).succeeds().explains("slice 3/3 contains no environments");
    assert_eq!(read(&project, "result.json")["envo"]["names"], json!([]));
    assert!(std::fs::read_to_string(project.path("junit.xml")).expect("it was written").contains("tests=\"0\""));
    let lines = project.run(["run", "--shard", "3/3", "--report", "json"]).succeeds().stdout;
    let last: Value = serde_json::from_str(lines.lines().last().expect("a line")).expect("it is JSON");
    assert_eq!((&last["event"], &last["success"]), (&json!("summary"), &json!(true)));
}

#[test]
fn a_run_records_how_long_each_environment_took() {
    let project = Project::new().ini(TWO_AND_A_REPORT);
    project.run(["run", "-e", "a"]).succeeds();
    let listed = project.run(["list", "--format", "json"]).succeeds().stdout;
    let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
    assert!(listed[0]["seconds"].as_f64().expect("a was run") > 0.0);
    assert_eq!(listed[1]["seconds"], Value::Null);
}
