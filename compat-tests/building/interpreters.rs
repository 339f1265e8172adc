//! Tests which interpreter an environment gets, and the errors if there is no suitable one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::machine;
use crate::support::project::{Outcome, Project};

fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder can be made");
    fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode can be changed");
}

/// A project in which `uv` is this script, which finds a program `python3.98` that it may install: it is the tests' own
/// interpreter and only says that it is another.
fn project_with_uv(script: &str) -> Project {
    let project =
        Project::new().ini("[tox]\nno_package = true\nenv_list = py398\n[testenv]\ncommands = python -c 'print(1)'\n");
    let real = machine::HOST_PYTHON.display();
    program(&project.path("python3.98"), &format!("'{real}' \"$@\" | sed -E 's/\"minor\": [0-9]+/\"minor\": 98/'"));
    let root = project.root().display().to_string();
    program(&project.path("tools/uv"), &format!("echo \"$@\" >> '{root}/log'\nROOT='{root}'\n{script}"));
    let path = format!("{root}/tools:{}", machine::search_path(false).display());
    project.variable("PATH", &path).variable("UV_PYTHON_INSTALL_DIR", &format!("{root}/pythons"))
}

const INSTALLS: &str = "mkdir -p \"$UV_PYTHON_INSTALL_DIR/cpython-3.98.1-linux-x86_64-gnu/bin\"
cp \"$ROOT/python3.98\" \"$UV_PYTHON_INSTALL_DIR/cpython-3.98.1-linux-x86_64-gnu/bin/python3.98\"";

fn asked_of_uv(project: &Project) -> String {
    fs::read_to_string(project.path("log")).unwrap_or_default()
}

const MISSING: &str = "py398: failed with could not find python interpreter matching any of the specs py398";

fn never_ran(outcome: Outcome) -> Outcome {
    outcome.ends_with(1).says("  py398: FAIL code 1")
}

#[test]
fn an_interpreter_that_is_missing_is_installed_when_the_user_asks_for_it_and_only_then() {
    let project = project_with_uv(INSTALLS);
    never_ran(project.run(["run"])).says(&format!("{MISSING}\n"));
    assert_eq!(asked_of_uv(&project), "");
    let asked = project.run(["run", "--install-python"]).succeeds();
    asked.says("py398: install an interpreter: uv python install cpython@3.98\n");
    assert_eq!(asked_of_uv(&project), "python install cpython@3.98\n");
    project.run(["run", "-r"]).succeeds().never_says("install an interpreter");
    assert_eq!(asked_of_uv(&project), "python install cpython@3.98\n");
}

#[test]
fn a_setting_asks_for_interpreters_too_and_each_is_installed_once() {
    let project = project_with_uv(INSTALLS).ini(
        "[tox]\nno_package = true\nenv_list = a, b, c\n[testenv]\nbase_python = py398\n\
         install_python = true\ncommands = python -c 'print(1)'\n",
    );
    project.run(["run-parallel", "-p", "3"]).succeeds();
    assert_eq!(asked_of_uv(&project), "python install cpython@3.98\n");
    project.run(["config", "-e", "a", "-k", "install_python"]).succeeds().says("install_python = True\n");
}

#[test]
fn why_an_interpreter_could_not_be_installed_is_told() {
    let project = project_with_uv("echo 'error: Failed to install x' >&2; echo '  cause: no such host' >&2; exit 1");
    let reason = "`uv python install cpython@3.98` failed: Failed to install x (no such host)";
    never_ran(project.run(["run", "--install-python"])).says(&format!("{MISSING}; {reason}\n"));
    let skipped = project.run(["run", "--install-python", "-s"]).ends_with(1);
    skipped.says(&format!("could not find python interpreter with spec(s): py398; {reason}\n"));
}

#[test]
fn what_uv_installs_and_nobody_finds_is_no_interpreter() {
    let project = project_with_uv("exit 0");
    never_ran(project.run(["run", "--install-python"])).says("installed nothing that is found for `py398`\n");
}

#[test]
fn nothing_is_installed_offline_and_nothing_that_uv_cannot_have() {
    let project = project_with_uv(INSTALLS).variable("ENVO_OFFLINE", "1");
    never_ran(project.run(["run", "--install-python"])).says("and ENVO_OFFLINE is set\n");
    let specs = "[tox]\nno_package = true\nenv_list = a\n[testenv]\nbase_python = /no/python, jython3.98\n";
    let project = project_with_uv(INSTALLS).ini(specs);
    project.run(["run", "--install-python"]).ends_with(1).says("a: failed with could not find python interpreter");
    assert_eq!(asked_of_uv(&project), "");
}
