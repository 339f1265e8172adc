//! Tests `envo exec`.

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

fn project() -> Project {
    Project::new()
        .ini("[tox]\nno_package = true\nenv_list = a, b\n[testenv]\ncommands = python -c \"print('its own')\"\n")
}

#[test]
fn a_command_runs_in_the_environment_instead_of_its_own() {
    same_as_tox(project, ["exec", "-e", "a", "--", "python", "-c", "import sys; print(sys.prefix)"])
        .succeeds()
        .says("[ROOT]/.tox/a\n")
        .never_says("its own");
}

#[test]
fn its_exit_code_is_passed_on() {
    same_as_tox(project, ["exec", "-e", "a", "--", "python", "-c", "raise SystemExit(7)"]).ends_with(7);
}

#[test]
fn without_a_command_the_message_says_where_to_put_it() {
    same_as_tox(project, ["exec", "-e", "a"]).ends_with(254).says("use -- <command>");
}

#[test]
fn only_one_environment_can_be_meant() {
    same_as_tox(project, ["exec", "-e", "a,b", "--", "python", "-V"]).ends_with(254).says("exactly one target");
}

#[test]
fn a_program_outside_the_environment_is_not_allowed_here_either() {
    same_as_tox(project, ["exec", "-e", "a", "--", "ls"]).ends_with(1).says("ls is not allowed");
}

#[test]
fn a_packaging_environment_can_neither_be_meant_nor_run_among_all() {
    let project = || Project::new().ini("[tox]\nenv_list = a\n[testenv:.pkg]\nset_env = X=1\n").file("setup.py", "");
    same_as_tox(project, ["exec", "-e", ".pkg", "--", "python", "-V"]).ends_with(254).says("mode but found");
    same_as_tox(project, ["run", "-e", "ALL"]).ends_with(254).says("cannot run packaging environment(s) .pkg");
}
