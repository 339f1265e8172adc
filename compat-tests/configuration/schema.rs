//! Tests the schema of all keys with a real validator: what envo accepts is valid, and what it refuses is not.

use std::path::Path;

use crate::support::project::{Project, fixtures_folder};
use crate::support::real_tox::python_with;

/// The errors of the validator in these files of the project, without the folder.
fn errors(project: &Project, files: &[String], options: &[&str]) -> String {
    let schema = project.run(["schema", "--all-keys"].iter().chain(options)).succeeds().stdout;
    std::fs::write(project.path("schema.json"), schema).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/configuration/validate.py");
    let mut arguments = vec![script.to_str().unwrap(), "schema.json"];
    arguments.extend(files.iter().map(String::as_str));
    let python = python_with("jsonschema", &["jsonschema==4.23.0", "tomli==2.2.1"]);
    project.run_program(python.to_str().unwrap(), &arguments).succeeds().stdout
}

#[test]
fn every_fixture_has_only_keys_and_values_of_the_schema() {
    let mut files = Vec::new();
    for folder in std::fs::read_dir(fixtures_folder()).unwrap() {
        let names = ["tox.ini", "tox.toml", "pyproject.toml"].map(|name| folder.as_ref().unwrap().path().join(name));
        files.extend(names.iter().filter(|file| file.exists()).map(|file| file.display().to_string()));
    }
    assert!(files.len() > 10, "{files:?}");
    // Keys that only others refer to, and one that is unknown on purpose.
    let on_purpose = |line: &&str| {
        ["fixtures/references/", "fixtures/inheritance/", "fixtures/syntax/", "fixtures/substitution/"]
            .iter()
            .any(|folder| line.contains(folder))
            && line.contains("Additional properties")
    };
    let found = errors(&Project::new(), &files, &["--strict"]);
    let found: Vec<&str> = found.lines().filter(|line| !on_purpose(line)).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(errors(&Project::new(), &files, &[]), "");
}

const RIGHT: &str = r#"
requires = ["tox>=4"]
env_list = ["app", { product = [["py"], ["a", "b"]] }]
locked = false
lock_dir = "locks"
skipsdist = true
labels = { all = ["app"] }

[env_run_base]
set_env = { A = "1", B = { replace = "env", name = "B", default = "b" } }
runtime = ["system"]

[env_base.py]
factors = ["x", "y"]

[env.web]
description = "the shop"
serve = ["sh", "-c", "exec sleep 9", "{port}"]
ports = ["http", "admin=8081"]
ready = "tcp:{port}"
ready_timeout = 5
restart = "on-failure"
success_exit_codes = [0, 143]
adopt = false
instances = 2
profiles = "dev"

[env.app]
depends = ["web"]
node_deps = "left-pad"
installer = "uv"
commands = [["true"], { replace = "ref", of = ["env", "web", "serve"], extend = true }]
"#;

#[test]
fn a_file_with_the_keys_of_envo_is_valid_and_envo_accepts_it() {
    let project = Project::new().file("tox.toml", RIGHT);
    assert_eq!(errors(&project, &["tox.toml".to_owned()], &["--strict"]), "");
    let listed = project.run(["list", "--no-desc"]).succeeds().stdout;
    for name in ["app", "py-a", "py-x", "web"] {
        assert!(listed.lines().any(|line| line == name), "{listed}");
    }
    let indented = RIGHT.replace("[e", "[tool.tox.e");
    let project = Project::new().file("pyproject.toml", &format!("[tool.tox]\n{indented}"));
    assert_eq!(errors(&project, &["pyproject.toml".to_owned()], &["--strict"]), "");
    project.run(["list"]).succeeds();
}

#[test]
fn a_value_of_the_wrong_type_is_not_valid() {
    for (line, named) in [
        ("env_list = 3", "env_list"),
        ("locked = \"yes\"", "locked"),
        ("[env.a]\nserve = 3", "env.a.serve"),
        ("[env.a]\nports = { http = 80 }", "env.a.ports"),
        ("[env.a]\ncommands = [\"true\"]", "env.a.commands"),
        ("[env.a]\ninstall_python = \"maybe\"", "env.a.install_python"),
        ("[env_run_base]\nset_env = [\"A\"]", "env_run_base.set_env"),
        ("[env_base.t]\nruntime = true", "env_base.t.runtime"),
    ] {
        let project = Project::new().file("tox.toml", line);
        let found = errors(&project, &["tox.toml".to_owned()], &[]);
        assert!(found.starts_with(&format!("tox.toml: {named}")), "{line}: {found}");
    }
    let project = Project::new().file("tox.toml", "[env.a]\nserv = \"x\"\n");
    assert_eq!(errors(&project, &["tox.toml".to_owned()], &[]), "");
    assert!(errors(&project, &["tox.toml".to_owned()], &["--strict"]).contains("'serv' was unexpected"));
}

#[test]
fn the_schema_of_all_keys_needs_no_configuration_and_no_valid_one() {
    let schema = Project::new().run(["schema", "--all-keys"]).succeeds();
    assert_eq!(schema.stderr, "");
    assert_eq!(Project::new().ini("[tox\n").run(["schema", "--all-keys"]).succeeds().stdout, schema.stdout);
}
