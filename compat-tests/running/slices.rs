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

/// A report without what differs between two runs.
fn without_times(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            for key in ["elapsed", "start", "end", "duration"] {
                object.remove(key);
            }
            object.values_mut().for_each(|inner| *inner = without_times(inner.take()));
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| *inner = without_times(inner.take())),
        _ => {}
    }
    value
}

fn junit_without_times(project: &Project, file: &str) -> String {
    let text = std::fs::read_to_string(project.path(file)).expect("it was written");
    regex::Regex::new("(time|timestamp)=\"[^\"]*\"").expect("a pattern").replace_all(&text, "").into_owned()
}

/// Three slices, one of which fails, and the report after them.
fn with_results() -> Project {
    let project = Project::new().ini(
        &TWO_AND_A_REPORT
            .replace("a, b, report", "a, b, c, report")
            .replace("depends = a, b", "depends = a, b, c\n[testenv:b]\ncommands = false"),
    );
    for index in 1..=3 {
        let (shard, file) = (format!("{index}/3"), format!("{index}.json"));
        project.run(["run", "--shard", &shard, "--result-json", &file]).ends_with(i32::from(index == 2));
    }
    project.run(["run", "--after-shards", "--result-json", "after.json"]).succeeds();
    project
}

#[test]
fn merged_slices_are_the_result_of_one_run() {
    let project = with_results();
    let arguments =
        ["3.json", "after.json", "1.json", "2.json", "--result-json", "merged.json", "--junit-xml", "merged.xml"];
    let outcome = project.run(["merge"].into_iter().chain(arguments)).ends_with(1);
    outcome.says("b: FAIL code 1").says("report: OK").says("evaluation failed");
    project.run(["run", "--result-json", "one.json", "--junit-xml", "one.xml"]).ends_with(1);
    assert_eq!(without_times(read(&project, "merged.json")), without_times(read(&project, "one.json")));
    assert_eq!(junit_without_times(&project, "merged.xml"), junit_without_times(&project, "one.xml"));
}

#[test]
fn the_exit_code_of_merge_is_that_of_a_single_run() {
    let project = Project::new().ini(
        "[tox]\nenv_list = a, b, c\nno_package = true\n[testenv]\nallowlist_externals = *\ncommands = true\n\
         [testenv:b]\nignore_outcome = true\ncommands = false\n[testenv:c]\nplatform = nowhere\n",
    );
    for index in ["1/3", "2/3", "3/3"] {
        // A slice in which all is skipped fails, as a run does.
        project.run(["run", "--shard", index, "--result-json", &format!("{}.json", &index[..1])]);
    }
    project.run(["merge", "1.json", "2.json", "3.json"]).succeeds().says("b: IGNORED FAIL code 1").says("c: SKIP");
}

#[test]
fn what_does_not_belong_together_is_refused_and_nothing_is_written() {
    let project = with_results();
    let merge = |files: &[&str]| {
        let arguments = ["merge", "--result-json", "merged.json", "--junit-xml", "merged.xml"];
        let outcome = project.run(arguments.iter().chain(files)).ends_with(254);
        assert!(!project.path("merged.json").exists() && !project.path("merged.xml").exists());
        outcome
    };
    merge(&["1.json", "2.json", "after.json"]).says("slice 3/3 is missing");
    merge(&["1.json", "2.json", "3.json"]).says("--after-shards` is missing: report");
    let twice = merge(&["1.json", "2.json", "2.json", "3.json", "after.json"]);
    twice.says("slice 2/3 is there twice: `2.json` and `2.json`");
    merge(&["1.json", "gone.json"]).says("`gone.json` cannot be read");
    let cut = std::fs::read_to_string(project.path("2.json")).expect("it was written");
    let project = project.file("cut.json", &cut[..cut.len() / 2]);
    project.run(["merge", "1.json", "cut.json"]).ends_with(254).says("`cut.json` is not a complete result");
    project.run(["merge", "tox.ini"]).ends_with(254).says("`tox.ini` is not a complete result");
    project.run(["merge"]).ends_with(2);
    let project = project.file("tox.ini", "[tox]\nenv_list = a, b, c, report\nno_package = true\n");
    project.run(["run", "-n", "--shard", "3/3", "--result-json", "other.json"]).succeeds();
    let mixed = project.run(["merge", "1.json", "2.json", "other.json", "after.json"]).ends_with(254);
    mixed.says("`1.json` and `other.json` are results of different configurations");
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_others_unwritten() {
    let project = with_results().file("folder/x", "");
    let results = ["merge", "1.json", "2.json", "3.json", "after.json", "--result-json", "merged.json"];
    project.run(results.into_iter().chain(["--junit-xml", "folder"])).ends_with(1).explains("folder");
    assert!(!project.path("merged.json").exists());
}

#[test]
fn durations_and_summaries_are_written_for_others() {
    let project = with_results().variable("GITHUB_STEP_SUMMARY", "summary.md");
    let results = ["merge", "1.json", "2.json", "3.json", "after.json", "--summary", "github"];
    project.run(results.into_iter().chain(["--durations", "durations.json"])).ends_with(1);
    let summary = std::fs::read_to_string(project.path("summary.md")).expect("it was written");
    assert!(summary.starts_with("### envo: 1 failed, 3 passed, 0 skipped\n"), "{summary}");
    assert!(read(&project, "durations.json")["seconds"]["a"].as_f64().is_some());
    project.run(["list", "--balance", "time", "--durations", "durations.json", "--shard", "1/2"]).succeeds();
}

#[test]
fn results_of_whole_runs_are_merged_by_environment() {
    let project = Project::new().ini(TWO_AND_A_REPORT);
    for name in ["a", "b"] {
        project.run(["run", "-e", name, "--result-json", &format!("{name}.json")]).succeeds();
    }
    let merged = project.run(["merge", "a.json", "b.json", "--expect", "a,b", "--junit-xml", "merged.xml"]).succeeds();
    merged.says("a: OK").says("b: OK");
    assert!(junit_without_times(&project, "merged.xml").contains("ran b"));
    project.run(["merge", "a.json", "--expect", "{a,b}"]).ends_with(254).says("`b` has no result");
    project.run(["merge", "a.json", "a.json"]).ends_with(254).says("`a` has a result in `a.json` and in `a.json`");
}
