//! What the Python package in `python/` stands on, and that package itself.

use std::path::Path;

use insta::assert_snapshot;

use crate::machine;
use crate::project::Project;

const SERVICES: &str = "\
[tox]
no_package = true
env_list = app

[testenv:db]
description = keeps things
serve = python -m http.server {port}
ports = http
share = worker

[testenv:api]
depends = d*
profiles = web
serve = python -m http.server {port}
ports = http

[testenv:app]
depends = api
commands = python -c pass
";

#[test]
fn services_are_listed_with_the_line_they_come_from_and_nothing_is_made() {
    let project = Project::new().ini(SERVICES);
    let outcome = project.run(["services"]).succeeds();
    assert_snapshot!(outcome.stdout, @"
    NAME  FROM        DEPENDS ON  DESCRIPTION
    db    tox.ini:7   -           keeps things
    api   tox.ini:14  db
    ");
    let outcome = project.run(["services", "--format", "json"]).succeeds();
    let listing: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("it is JSON");
    assert_eq!(listing["socket"], serde_json::Value::Null);
    assert_eq!(listing["services"][0]["share"], "worker");
    assert_eq!(listing["services"][1]["depends"], serde_json::json!(["db"]));
    assert!(!project.path(".tox").exists());
}

#[test]
fn without_services_or_a_configuration_the_list_is_empty() {
    let project = Project::new();
    project.run(["services"]).succeeds().explains("there are no services");
    let outcome = project.run(["services", "--format", "json"]).succeeds();
    let listing: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("it is JSON");
    assert_eq!((&listing["config"], &listing["services"]), (&serde_json::Value::Null, &serde_json::json!([])));
}

/// Runs environments of `python/tox.ini` by the program itself, with what it keeps below `target/`.
fn run_environments(names: &str, more: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let project = Project::new()
        .with_kept_cache()
        .with_old_interpreters()
        .with_toolchains()
        .variable("ENVO_EXECUTABLE", env!("CARGO_BIN_EXE_envo"));
    let configuration = root.join("python/tox.ini").display().to_string();
    let folder = machine::kept_folder("python-package").display().to_string();
    let words = ["run-parallel", "-c", &configuration, "--workdir", &folder, "-p", "2", "-e", names];
    project.run(words.iter().chain(more)).succeeds();
}

#[test]
fn the_python_package_passes_its_tests_and_the_checker_of_types() {
    run_environments("types,tests,forked", &[]);
}

#[test]
fn the_python_package_works_on_every_python_there_is() {
    let names = "py38,py39,py310,py311,py312,py313,py314";
    run_environments(names, &["--skip-missing-interpreters", "true"]);
}

#[test]
fn the_wheel_brings_the_program_its_host_python_and_the_plugin() {
    run_environments("wheel", &[]);
}
