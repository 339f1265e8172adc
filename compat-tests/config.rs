//! `envo config`.

use insta::assert_snapshot;

use crate::differential::same_as_tox;
use crate::project::Project;

#[test]
fn a_key_is_shown_resolved_for_each_environment() {
    let outcome = Project::fixture("references").run(["config", "-k", "description", "commands"]).succeeds();
    assert_snapshot!(outcome.stdout, @r#"
    [testenv:one]
    description = says hello
    commands =
      python -c 'import os; print(os.environ['"'"'SHARED'"'"'], os.environ['"'"'OWN'"'"'])'
      python -c 'print('"'"'the end of one'"'"')'

    [testenv:two]
    description = says hello world
    commands =
      python -c 'import os; print(os.environ['"'"'SHARED'"'"'], os.environ['"'"'OWN'"'"'])'
      python -c 'print('"'"'the end of two'"'"')'
      python -c 'import os; print(os.environ['"'"'ONLY'"'"'], os.environ['"'"'MORE'"'"'])'
    "#);
}

#[test]
fn an_old_spelling_asks_for_the_same_key() {
    let project = Project::fixture("aliases");
    let new = project.run(["config", "-e", "old", "-k", "change_dir"]).succeeds();
    same_as_tox(|| Project::fixture("aliases"), ["config", "-e", "old", "-k", "changedir"]).succeeds();
    assert!(new.stdout.contains("change_dir = [ROOT]/below"), "{}", new.stdout);
}

#[test]
fn unused_keys_are_named() {
    let project = || Project::new().ini("[tox]\nno_package = true\nunheard = 1\n[testenv]\ndep = pytest\n");
    same_as_tox(project, ["config", "--core"]).succeeds().says("unheard");
}

#[test]
fn an_override_wins_over_the_file_and_plus_appends() {
    let project = || Project::new().ini("[tox]\nno_package = true\n[testenv]\ndescription = from the file\ndeps = a\n");
    same_as_tox(project, ["config", "-k", "description", "-x", "testenv.description=from outside"])
        .succeeds()
        .says("from outside");
    same_as_tox(project, ["config", "-k", "deps", "-x", "testenv.deps+=b"]).succeeds();
}

#[test]
fn every_key_of_an_environment_is_shown_as_tox_shows_it() {
    same_as_tox(|| Project::fixture("variables"), ["config", "-e", "set"]).succeeds();
    same_as_tox(|| Project::fixture("packaging"), ["config", "-e", "editable", "--core"]).succeeds();
}

#[test]
fn a_variable_of_tox_changes_the_configuration() {
    let project = || Project::fixture("order").variable("TOX_OVERRIDE", "testenv.description=overridden");
    same_as_tox(project, ["config", "-e", "report", "-k", "description"]).succeeds().says("overridden");
}
