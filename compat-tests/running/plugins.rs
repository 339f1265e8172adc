//! Tests tox plugins that envo replaces: the same project under a real tox with the plugin, and under envo.

use std::fs;

use crate::support::filters::results_last;
use crate::support::project::{Outcome, Project};

const TOX_GH: &str = "tox-gh==1.9.1";
const TOX_GH_ACTIONS: &str = "tox-gh-actions==3.5.0";
const IGNORE_NAME: &str = "tox-ignore-env-name-mismatch==0.2.0.post2";

/// Runs `arguments` with tox and the plugin and with envo; both must print the same and end the same.
#[track_caller]
fn same_with<const N: usize>(plugin: &str, project: impl Fn() -> Project, arguments: [&str; N]) -> Outcome {
    let (under_tox, under_envo) = (project(), project());
    let tox = under_tox.run_tox_with(&[plugin], arguments);
    let envo = under_envo.run(arguments);
    assert_eq!(results_last(&envo.stdout), results_last(&tox.stdout), "{arguments:?}\nenvo's stderr:\n{}", envo.stderr);
    assert_eq!(envo.code, tox.code, "{arguments:?}\nenvo's stdout:\n{}", envo.stdout);
    let summary = |project: &Project| fs::read_to_string(project.path("summary.md")).ok();
    assert_eq!(summary(&under_envo), summary(&under_tox), "{arguments:?}");
    envo
}

/// A job of GitHub Actions whose Python is a 3.
fn job(ini: &str) -> Project {
    // What seeds an environment differs, so it is not listed; and tox keeps its words back behind its children's.
    let variables = [("GITHUB_ACTIONS", "true"), ("TOX_LIST_DEPENDENCIES", "no"), ("PYTHONUNBUFFERED", "1")];
    let project = Project::new().ini(ini);
    let project = variables.into_iter().fold(project, |project, (name, value)| project.variable(name, value));
    let summary = project.path("summary.md");
    project.variable("GITHUB_STEP_SUMMARY", &summary.display().to_string())
}

const GH: &str = "[tox]\nenv_list = a, b, lint\nrequires = tox-gh>=1.3\n[gh]\npython =\n    3 = b{1,2}, lint\n    2 = a\n\
                  [testenv]\ndescription = everything\nskip_install = true\ncommands =\n    python -c 'print(\"{env_name}\")'\n    \
                  lint: python -c 'raise SystemExit(3)'\n";

#[test]
fn tox_gh_runs_what_goes_with_the_python_of_the_job_in_groups() {
    let outcome = same_with(TOX_GH, || job(GH), ["run"]);
    assert!(outcome.stdout.starts_with("ROOT: running tox-gh\nROOT: tox-gh set b1, b2, lint\n::group::tox:install\n"));
    same_with(TOX_GH, || job(GH), ["-q"]);
}

#[test]
fn tox_gh_leaves_environments_that_are_named_alone() {
    same_with(TOX_GH, || job(GH), ["run", "-e", "a"]);
    same_with(TOX_GH, || job(GH).variable("TOXENV", "a"), ["run"]);
    same_with(TOX_GH, || Project::new().ini(GH), ["list"]);
    same_with(TOX_GH, || Project::new().ini(GH).variable("GITHUB_ACTIONS", "1"), ["run", "-e", "a"]);
}

#[test]
fn tox_gh_can_be_told_the_python_of_the_job() {
    let told = |version: &'static str| move || job(GH).variable("TOX_GH_MAJOR_MINOR", version);
    same_with(TOX_GH, told("2.7"), ["config", "--core", "-k", "env_list"]);
    same_with(TOX_GH, told("1.0"), ["config", "--core", "-k", "env_list"]);
    same_with(TOX_GH, told("3"), ["config", "-k", "env_name"]);
}

#[test]
fn tox_gh_is_read_from_tables_too() {
    let table = "env_list = [\"a\", \"b\"]\nrequires = [\"tox-gh\"]\n[gh.python]\n3 = [\"b\"]\n";
    let project = || Project::new().file("tox.toml", table).variable("GITHUB_ACTIONS", "true");
    let outcome = same_with(TOX_GH, project, ["config", "--core", "-k", "env_list"]);
    assert!(outcome.stdout.contains("tox-gh set b\n"), "{}", outcome.stdout);
}

#[test]
fn a_section_without_a_requirement_counts_too_and_lists() {
    let ini = GH.replace("requires = tox-gh>=1.3\n", "");
    let outcome = job(&ini).run(["list", "--no-desc"]).succeeds();
    assert_eq!(outcome.stdout, "ROOT: running tox-gh\nROOT: tox-gh set b1, b2, lint\nb1\nb2\nlint\n");
    let outcome = Project::new().ini(&ini).run(["list", "--no-desc"]).succeeds();
    assert_eq!(outcome.stdout, "a\nb\nlint\n");
}

#[test]
fn groups_of_environments_that_run_beside_each_other_are_held_back_with_their_output() {
    let outcome = job(GH).run(["run-parallel", "-e", "lint"]);
    let groups = "::group::tox:install\n::endgroup::\n::group::tox:lint\n";
    assert!(outcome.stdout.contains(groups), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.matches("::endgroup::").count(), 2, "{}", outcome.stdout);
}

#[test]
fn a_mapping_that_is_none_is_an_error_on_github_only() {
    let ini = "[tox]\nenv_list = a\n[gh]\npython = 3.11\n[testenv]\nskip_install = true\n";
    Project::new().ini(ini).run(["list", "--no-desc"]).succeeds();
    let outcome = job(ini).run(["list"]);
    assert_eq!(outcome.code, Some(254), "{}", outcome.stderr);
    outcome.says("dictionary lines must be of form key=value, found '3.11'").explains("tox.ini:4:1");
}

const GH_ACTIONS: &str = "[tox]\nenv_list = py{2,3}-{one,two}-{linux,mac}, lint\nrequires = tox-gh-actions\n[gh-actions]\n\
                          python =\n    3: py3, lint # two\n    2: py2\n[gh-actions:env]\nPlatform =\n    ubuntu: linux\n    \
                          mac: mac\n[testenv]\ndescription = everything\nskip_install = true\nbase_python = python3\n\
                          commands =\n    python -c 'print(\"{env_name}\")'\n";

#[test]
fn tox_gh_actions_thins_the_list_by_the_python_and_variables_of_the_job() {
    same_with(TOX_GH_ACTIONS, || job(GH_ACTIONS), ["list"]);
    same_with(TOX_GH_ACTIONS, || job(GH_ACTIONS).variable("PLATFORM", "ubuntu"), ["run"]);
    same_with(TOX_GH_ACTIONS, || job(GH_ACTIONS).variable("PLATFORM", "plan9"), ["list", "--no-desc"]);
    same_with(TOX_GH_ACTIONS, || job(GH_ACTIONS).variable("PLATFORM", "mac"), ["-q", "-p", "0"]);
}

#[test]
fn tox_gh_actions_says_that_named_environments_stay_and_falls_back_to_py() {
    same_with(TOX_GH_ACTIONS, || job(GH_ACTIONS), ["run", "-e", "lint"]);
    let other = GH_ACTIONS.replace("    3: py3, lint # two\n", "");
    same_with(TOX_GH_ACTIONS, || job(&other), ["list"]);
}

#[test]
fn tox_gh_actions_makes_no_groups_of_environments_side_by_side() {
    let outcome = job(GH_ACTIONS).run(["run-parallel", "-e", "lint"]).succeeds();
    outcome.never_says("::group::").never_says("::endgroup::");
}

const SHARED: &str = "[tox]\nenv_list = a, b\nrequires = tox-ignore-env-name-mismatch~=0.2.0\n[testenv]\n\
                      skip_install = true\nrunner = ignore_env_name_mismatch\nenv_dir = {work_dir}/shared\n\
                      commands = python -c 'print(\"{env_name}\")'\n";

#[test]
fn an_environment_that_ignores_its_name_is_shared_by_several() {
    let ini = || Project::new().ini(SHARED);
    same_with(IGNORE_NAME, ini, ["run"]);
    same_with(IGNORE_NAME, ini, ["config", "-e", "a", "-k", "runner", "env_dir"]);
    let project = ini();
    project.run(["run"]).succeeds();
    project.run_tox_with(&[IGNORE_NAME], ["run"]).succeeds().never_says("recreate");
    project.run(["run"]).succeeds().never_says("recreate");
}

#[test]
fn the_variables_of_tox_envfile_win_in_every_environment() {
    let ini = "[tox]\nenv_list = a\nrequires = tox-envfile\n[testenv]\nskip_install = true\nset_env =\n    A = no\n    C = yes\n\
               commands = python -c 'import os; print(*map(os.environ.get, \"ABC\"))'\n";
    let file = "# ours\nexport A=\"one {b}\"\nB=${A}-$x # comment\n";
    let project = Project::new().ini(ini).file(".devdata.env", file);
    project.run(["-q"]).succeeds().says("one {b} one {b}-$x yes\n");
    project.run(["config", "-k", "set_env"]).succeeds().says("  A=one {b}\n").says("  C=yes\n");
    let without = Project::new().ini(&ini.replace("requires = tox-envfile\n", "")).file(".devdata.env", file);
    without.run(["-q"]).succeeds().says("no None yes\n");
}
