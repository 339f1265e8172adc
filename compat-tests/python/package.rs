//! Tests the prerequisites of the Python package in `python/`. `.ci/test` runs that package's own tests with envo.

use insta::assert_snapshot;

use crate::support::project::Project;

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
