//! Tests `envo run`, sequentially and in parallel.

use std::fs;

use insta::assert_snapshot;

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

/// Two environments that run one command each.
fn two(command: &str) -> Project {
    Project::new().ini(&format!("[tox]\nno_package = true\nenv_list = a, b\n[testenv]\ncommands = {command}\n"))
}

#[test]
fn commands_are_shown_run_and_summed_up() {
    let outcome = two("python -c \"print('{env_name} runs')\"").run(["run"]).succeeds();
    assert_snapshot!(outcome.stdout, @r#"
    a: commands[0]> python -c 'print('"'"'a runs'"'"')'
    a runs
    a: OK ✔ in [TIME] seconds
    b: commands[0]> python -c 'print('"'"'b runs'"'"')'
    b runs
      a: OK ([TIME]=setup[[TIME]]+cmd[[TIME]] seconds)
      b: OK ([TIME]=setup[[TIME]]+cmd[[TIME]] seconds)
      congratulations :) ([TIME] seconds)
    "#);
}

#[test]
fn naming_no_command_means_run() {
    let project = two("python -c \"print('legacy')\"");
    project.run(["-e", "b"]).succeeds().says("legacy").never_says("  a: OK");
}

#[test]
fn the_exit_code_is_that_of_the_command_that_failed() {
    same_as_tox(|| two("python -c \"raise SystemExit(3)\""), ["run", "-e", "a"]).ends_with(3).says("a: FAIL code 3");
    same_as_tox(|| two("python -c \"raise SystemExit(3)\""), ["run"]).ends_with(1);
}

#[test]
fn commands_before_and_after_run_as_in_tox_when_one_fails() {
    let project = || {
        Project::new().ini(
            "[tox]\nno_package = true\nenv_list = a\n[testenv]\ncommands_pre = python -c \"print(1)\"\ncommands =\n  \
             python -c \"raise SystemExit(2)\"\n  python -c \"print(9)\"\ncommands_post = python -c \"print(3)\"\n",
        )
    };
    same_as_tox(project, ["run"]).ends_with(2).says("commands_post[0]").never_says("commands[1]");
    same_as_tox(project, ["run", "-x", "testenv.ignore_errors=true"]).ends_with(2).says("commands[1]");
    same_as_tox(project, ["run", "-x", "testenv.ignore_outcome=true"]).succeeds().says("IGNORED FAIL");
}

#[test]
fn fail_fast_leaves_the_rest_out() {
    same_as_tox(|| two("python -c \"raise SystemExit(1)\""), ["run", "--fail-fast"]).ends_with(1).says("b: SKIP");
}

#[test]
fn notest_builds_and_runs_nothing() {
    same_as_tox(|| two("python -c \"raise SystemExit(1)\""), ["run", "--notest"]).succeeds().never_says("commands[0]");
}

#[test]
fn skipped_environments_are_named() {
    same_as_tox(|| two("python -c \"print(1)\""), ["run", "--skip-env", "a"]).succeeds().says("skip environment a");
}

#[test]
fn a_label_runs_its_environments() {
    same_as_tox(|| Project::fixture("ranges"), ["run", "-m", "small"]).succeeds().says("green-small: OK");
}

#[test]
fn parallel_environments_say_nothing_but_their_end() {
    let outcome = two("python -c \"print('quiet')\"").run(["run-parallel"]).succeeds();
    let summary = outcome.clone().never_says("quiet").says("  congratulations :)");
    assert!(summary.stdout.contains("  a: OK (") && summary.stdout.contains("  b: OK ("), "{}", summary.stdout);
}

#[test]
fn parallel_environments_show_what_a_failure_printed() {
    let project = two("python -c \"print('why {env_name} failed'); raise SystemExit('{env_name}' == 'b')\"");
    project.run(["run-parallel"]).ends_with(1).says("why b failed").never_says("why a failed");
}

#[test]
fn nothing_is_built_anew_when_nothing_changed() {
    let project = two("python -c \"print(1)\"");
    project.run(["run"]).succeeds();
    let marker = project.path(".tox/a/marker");
    fs::write(&marker, "").expect("the environment is there");
    project.run(["run"]).succeeds();
    assert!(marker.exists(), "the environment was recreated");
    project.run(["run", "-r"]).succeeds();
    assert!(!marker.exists(), "-r did not recreate the environment");
}

#[test]
fn an_environment_is_shut_off_from_the_callers_variables() {
    let project = Project::fixture("variables").variable("ENVO_FIXTURE_A", "1").variable("ENVO_OTHER", "1");
    project.run(["run", "-e", "passed"]).succeeds().says("['ENVO_FIXTURE_A']\n").says("False\n");
}

#[test]
fn the_order_is_that_of_depends_and_the_summary_that_of_the_selection() {
    let outcome = Project::fixture("order").run(["run"]).succeeds();
    let place = |text: &str| outcome.stdout.find(text).unwrap_or_else(|| panic!("no `{text}`:\n{}", outcome.stdout));
    assert!(place("clean: commands[0]") < place("test-a: commands[0]"));
    assert!(place("test-b: commands[0]") < place("report: commands[0]"));
    assert!(place("  report: OK") < place("  clean: OK"));
}

#[test]
fn the_project_is_built_once_and_installed_in_every_environment() {
    let outcome = Project::fixture("packaging").run(["run"]).succeeds();
    for name in ["sdist", "wheel", "editable"] {
        assert!(outcome.stdout.contains(&format!("hello {name}\n")), "{}\n{}", outcome.stdout, outcome.stderr);
    }
    assert!(outcome.stdout.contains("\ngreeting/__init__.py\n"), "{}", outcome.stdout);
}
