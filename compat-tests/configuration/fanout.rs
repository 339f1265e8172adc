//! Tests `list` for programs and the slices of environments.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::project::{Outcome, Project};

/// Four tests, two of which need a service, a linter, and a report after all tests.
const FLEET: &str = "[tox]\nenv_list = py3{11,12}-{unit,db}, lint, coverage\nno_package = true\nlabels =\n  quick = lint\n\
    [testenv]\ndescription = tests {env_name}\ndeps = -r requirements.txt\ndepends = db: store\ncommands = pytest\n\
    [testenv:lint]\ndeps = ruff\ndepends =\nlabels = style\n\
    [testenv:coverage]\ndeps = coverage\ndepends = py3*\n\
    [testenv:store]\ndescription = keeps things\nserve = store --port {port:http}\nports = http=8123\ndepends = migrate\n\
    [testenv:migrate]\ndepends = base\n[testenv:base]\nserve = base\ndepends =\n";

fn fleet() -> Project {
    Project::new().ini(FLEET).file("requirements.txt", "-r more.txt\n").file("more.txt", "six\n")
}

fn listed(project: &Project) -> Vec<Value> {
    serde_json::from_str(&project.run(["list", "--format", "json"]).succeeds().stdout).expect("it is JSON")
}

fn environment<'a>(listed: &'a [Value], name: &str) -> &'a Value {
    listed.iter().find(|one| one["name"] == name).expect("it is listed")
}

fn names(outcome: &Outcome) -> Vec<String> {
    outcome.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn environments_are_listed_with_what_programs_want_to_know() {
    let found = listed(&fleet());
    let mut one = environment(&found, "py312-db").clone();
    let digest = one.as_object_mut().expect("an object").remove("digest").expect("a digest");
    assert_eq!(digest.as_str().map(str::len), Some(64));
    let expected = json!({
        "name": "py312-db", "description": "tests py312-db", "default": true,
        "runtimes": [{"name": "python", "version": "3.12"}], "factors": ["py312", "db"], "labels": [],
        "depends": ["store"], "services": ["store", "base"], "service": false, "ports": [], "seconds": null,
    });
    assert_eq!(one, expected);
    let lint = environment(&found, "lint");
    assert_eq!((&lint["labels"], &lint["services"]), (&json!(["quick", "style"]), &json!([])));
    let store = environment(&found, "store");
    assert_eq!((&store["default"], &store["service"]), (&json!(false), &json!(true)));
    assert_eq!(store["ports"], json!([{"name": "http", "number": 8123}]));
    let coverage = environment(&found, "coverage");
    assert_eq!(coverage["depends"].as_array().map(Vec::len), Some(4));
}

#[test]
fn the_digest_is_of_contents_and_the_same_in_every_folder() {
    let digests = |project: &Project| {
        let digest = |one: &Value| (one["name"].as_str().unwrap().to_owned(), one["digest"].clone());
        listed(project).iter().map(digest).collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = digests(&fleet());
    assert_eq!(before, digests(&fleet()));
    assert_eq!(before["py311-unit"], before["py311-db"]);
    assert_ne!(before["py311-unit"], before["py312-unit"]);
    // A file that a requirement file names.
    let changed = digests(&fleet().file("more.txt", "six>1\n"));
    assert_ne!(before["py311-unit"], changed["py311-unit"]);
    assert_eq!(before["lint"], changed["lint"]);
    let commands = digests(&fleet().ini(&FLEET.replace("= pytest", "= pytest -x")));
    assert_eq!(before, commands);
}

#[test]
fn a_matrix_for_github_has_the_default_environments() {
    let outcome = fleet().run(["list", "--format", "github"]).succeeds();
    assert_eq!(outcome.stdout.lines().count(), 1);
    let matrix: Value = serde_json::from_str(&outcome.stdout).expect("it is JSON");
    let include = matrix["include"].as_array().expect("a list");
    assert_eq!(include.len(), 6);
    assert_eq!(include[2], json!({"name": "py312-unit", "python": "3.12"}));
}

#[test]
fn a_matrix_of_more_than_256_jobs_is_refused_and_a_slice_of_it_is_not() {
    let project = Project::new().ini("[tox]\nenv_list = e{0-256}\nno_package = true\n");
    let refused = project.run(["list", "--format", "github"]).ends_with(254);
    refused.says("257 environments are too many for a matrix").explains("--shard");
    project.run(["list", "--format", "github", "--shard", "1/2"]).succeeds();
    project.run(["list", "--format", "json"]).succeeds();
}

#[test]
fn slices_are_disjoint_complete_and_leave_the_report_for_later() {
    let project = fleet();
    for total in 1..=7 {
        let mut found = BTreeSet::new();
        for index in 1..=total {
            let slice = format!("{index}/{total}");
            let outcome = project.run(["list", "--no-desc", "-q", "--shard", &slice]).succeeds();
            assert_eq!(outcome, project.run(["list", "--no-desc", "-q", "--shard", &slice]));
            if names(&outcome).is_empty() {
                outcome.clone().explains(&format!("slice {slice} contains no environments"));
            }
            names(&outcome).into_iter().for_each(|name| assert!(found.insert(name)));
        }
        let expected = ["lint", "py311-db", "py311-unit", "py312-db", "py312-unit"];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }
    assert_eq!(names(&project.run(["list", "--no-desc", "-q", "--after-shards"]).succeeds()), ["coverage"]);
}

#[test]
fn environments_that_depend_on_each_other_are_in_one_slice() {
    let project = Project::new().ini("[tox]\nenv_list = a, b, c, d\nno_package = true\n[testenv:d]\ndepends = a\n");
    for balance in ["count", "hash", "time"] {
        let slices = [1, 2, 3].map(|index| {
            names(
                &project.run(["list", "--no-desc", "--balance", balance, "--shard", &format!("{index}/3")]).succeeds(),
            )
        });
        let of_a = slices.iter().find(|slice| slice.contains(&"a".to_owned())).expect("a is in a slice");
        assert!(of_a.contains(&"d".to_owned()), "{balance}: {slices:?}");
    }
}

#[test]
fn schedulers_variables_name_the_slice() {
    let slice = |variables: &[(&str, &str)], shard| {
        let project = fleet();
        let project = variables.iter().fold(project, |project, (name, value)| project.variable(name, value));
        project.run(["list", "--no-desc", "--shard", shard]).succeeds().stdout
    };
    let second = slice(&[], "2/3");
    assert_eq!(slice(&[("CI_NODE_INDEX", "2"), ("CI_NODE_TOTAL", "3")], "auto"), second);
    assert_eq!(slice(&[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "3")], "auto"), second);
    let buildkite = [("BUILDKITE_PARALLEL_JOB", "1"), ("BUILDKITE_PARALLEL_JOB_COUNT", "3")];
    assert_eq!(slice(&buildkite, "auto"), second);
    let slurm = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_COUNT", "3")];
    assert_eq!(slice(&slurm, "auto"), second);
    assert_eq!(slice(&[("JOB_COMPLETION_INDEX", "1")], "auto/3"), second);
}

#[test]
fn slices_that_do_not_exist_are_refused() {
    for text in ["0/3", "4/3", "1/0", "x", "1/x", "-1/2", "", "2", "auto"] {
        let outcome = fleet().run(["list", &format!("--shard={text}")]).ends_with(2);
        outcome.explains("argument --shard");
    }
    fleet().run(["list", "--shard", "1/2", "--after-shards"]).ends_with(2);
    fleet().run(["list", "--shard", "1/2", "--balance", "size"]).ends_with(2);
    let unread = fleet().run(["list", "--shard", "1/2", "--balance", "time", "--durations", "gone.json"]);
    unread.ends_with(254).says("gone.json");
}

#[test]
fn durations_balance_slices() {
    let durations = r#"{"version": 1, "seconds": {"a": 1, "b": 1, "c": 1, "d": 60}}"#;
    let project =
        Project::new().ini("[tox]\nenv_list = a, b, c, d\nno_package = true\n").file("durations.json", durations);
    let slice = |index| {
        let arguments = ["list", "--no-desc", "--balance", "time", "--durations", "durations.json", "--shard", index];
        names(&project.run(arguments).succeeds())
    };
    assert_eq!((slice("1/2"), slice("2/2")), (vec!["d".to_owned()], ["a", "b", "c"].map(str::to_owned).to_vec()));
}
