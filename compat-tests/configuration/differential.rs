//! Runs the same projects under a real tox and under envo: both must print the same and exit the same.

use std::sync::LazyLock;

use regex::Regex;

use crate::support::filters::results_last;
use crate::support::project::{Outcome, Project};

/// What may differ: the lines that name tox's own script for talking to a build backend, the seed's place among tox's
/// files, and which Python runs the program itself.
static OWN_LINES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^\.pkg[^:\n]*: \w+> .*\n").expect("the pattern is valid"));
static HOST_PYTHON: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?m)^(default_base_python|base_python|host_python) = /\S+$").expect("the pattern is valid")
});

fn comparable(stdout: &str) -> String {
    let stdout = results_last(stdout);
    HOST_PYTHON.replace_all(&OWN_LINES.replace_all(&stdout, ""), "$1 = [HOST_PYTHON]").into_owned()
}

/// Runs `arguments` with tox and with envo, each in a fresh copy of the project, and fails the test unless standard
/// output and exit code agree. Returns what envo did.
#[track_caller]
pub fn same_as_tox<const N: usize>(project: impl Fn() -> Project, arguments: [&str; N]) -> Outcome {
    let tox = project().run_tox(arguments);
    let envo = project().run(arguments);
    assert_eq!(comparable(&envo.stdout), comparable(&tox.stdout), "{arguments:?}\nenvo's stderr:\n{}", envo.stderr);
    assert_eq!(envo.code, tox.code, "{arguments:?}\nenvo's stdout:\n{}\nenvo's stderr:\n{}", envo.stdout, envo.stderr);
    envo
}

/// The fixtures that need no service: everything tox can do with them too.
const FIXTURES: [&str; 10] = [
    "aliases",
    "factors",
    "inheritance",
    "order",
    "packaging",
    "ranges",
    "references",
    "substitution",
    "syntax",
    "variables",
];

/// Compares one command on every fixture and names all that differ, not only the first.
fn on_every_fixture<const N: usize>(fixtures: &[&str], arguments: [&str; N]) {
    let differing: Vec<_> = fixtures
        .iter()
        .filter_map(|name| {
            let project = || Project::fixture(name).variable("ENVO_FIXTURE_A", "1").variable("ENVO_OTHER", "1");
            let (tox, envo) = (project().run_tox(arguments), project().run(arguments));
            let (expected, found) = (comparable(&tox.stdout), comparable(&envo.stdout));
            (expected != found || tox.code != envo.code).then(|| {
                format!(
                    "== {name}\n-- tox ({:?})\n{expected}-- envo ({:?})\n{found}-- envo's stderr\n{}",
                    tox.code, envo.code, envo.stderr
                )
            })
        })
        .collect();
    assert!(differing.is_empty(), "{arguments:?} differs:\n{}", differing.join("\n"));
}

#[test]
fn list_agrees_on_every_fixture() {
    on_every_fixture(&FIXTURES, ["list"]);
    on_every_fixture(&["demo", "two-services"], ["list"]);
}

#[test]
fn config_agrees_on_every_fixture() {
    on_every_fixture(&FIXTURES, ["config"]);
    on_every_fixture(
        &["demo", "two-services"],
        ["config", "-e", "ALL", "-k", "deps", "depends", "commands", "set_env"],
    );
}

#[test]
fn config_of_the_core_agrees_on_every_fixture() {
    on_every_fixture(
        &FIXTURES,
        ["config", "--core", "-k", "env_list", "labels", "no_package", "work_dir", "min_version"],
    );
}

#[test]
fn config_as_json_agrees_on_every_fixture() {
    on_every_fixture(
        &FIXTURES,
        ["config", "--format", "json", "-k", "commands", "set_env", "description", "change_dir"],
    );
}

#[test]
fn depends_agrees_on_every_fixture() {
    on_every_fixture(&FIXTURES, ["depends"]);
}

#[test]
fn schema_agrees_on_every_fixture() {
    on_every_fixture(&FIXTURES, ["schema"]);
    on_every_fixture(&["packaging", "ranges"], ["schema", "--strict"]);
}

#[test]
fn run_agrees_on_every_fixture() {
    on_every_fixture(&FIXTURES, ["run"]);
}

#[test]
fn run_with_arguments_after_two_dashes_agrees() {
    same_as_tox(|| Project::fixture("substitution"), ["run", "-e", "arguments", "--", "x", "y z"]);
}

#[test]
fn envo_goes_on_with_what_tox_built_and_tox_with_what_envo_built() {
    for tox_first in [true, false] {
        let project = Project::fixture("packaging");
        let run = |with_tox| {
            if with_tox { project.run_tox(["run", "-e", "none"]) } else { project.run(["run", "-e", "none"]) }
        };
        run(tox_first).succeeds();
        let marker = project.path(".tox/none/marker");
        std::fs::write(&marker, "").expect("the environment is there");
        run(!tox_first).succeeds().never_says("recreate");
        assert!(marker.exists(), "the second program recreated the environment (tox first: {tox_first})");
    }
}
