//! Tests `envo cache`.

use crate::support::project::Project;

const TWO: &str =
    "[tox]\nenv_list = a, b\nno_package = true\n[testenv]\nskip_install = true\n[testenv:a]\ndeps = -r r.txt\n";

fn key(project: &Project, arguments: &[&str]) -> String {
    let outcome = project.run(["cache", "key"].iter().chain(arguments)).succeeds();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let (key, prefix) =
        (lines[0].strip_prefix("key=").expect("a key"), lines[1].strip_prefix("prefix=").expect("a prefix"));
    assert!(key.starts_with(prefix) && key.len() == prefix.len() + 32, "{lines:?}");
    key.to_owned()
}

#[test]
fn the_key_changes_with_what_environments_are_made_from() {
    let project = || Project::new().ini(TWO).file("r.txt", "six\n");
    let before = key(&project(), &[]);
    assert_eq!(before, key(&project(), &[]), "in another folder");
    assert_ne!(before, key(&project().file("r.txt", "six>1\n"), &[]));
    assert_eq!(before, key(&project().ini(&format!("{TWO}commands = pytest\n")), &[]));
    assert_eq!(key(&project(), &["-e", "b"]), key(&project().file("r.txt", "attrs\n"), &["-e", "b"]));
}

#[test]
fn environments_that_are_no_longer_configured_are_removed() {
    let project = Project::new().ini(&TWO.replace("deps = -r r.txt", "env_dir = {work_dir}/shared"));
    project.run(["run", "-n"]).succeeds();
    let project = project
        .file(".tox/notes/x", "")
        .ini(&TWO.replace("a, b", "a").replace("deps = -r r.txt", "env_dir = {work_dir}/shared"));
    project.run(["cache", "size"]).succeeds().says("shared").says("envo's cache, for all projects");
    project.run(["cache", "prune", "--ci"]).succeeds().says("b: removed (").never_says("shared");
    assert!(!project.path(".tox/b").exists());
    assert!(project.path(".tox/shared/.tox-info.json").exists() && project.path(".tox/notes/x").exists());
    assert_eq!(project.run(["cache", "prune"]).succeeds().stdout, "");
    project.run(["run", "-n", "-e", "a"]).succeeds();
}

#[test]
fn nothing_is_removed_without_a_configuration() {
    let project = Project::new().ini(TWO);
    project.run(["run", "-n", "-e", "b"]).succeeds();
    std::fs::remove_file(project.path("tox.ini")).expect("it is there");
    project.run(["cache", "prune"]).ends_with(254).says("there is no configuration");
    assert!(project.path(".tox/b").exists());
    project.run(["cache"]).ends_with(2);
    project.run(["cache", "burn"]).ends_with(2);
}

#[test]
fn a_restored_work_folder_is_used_as_it_is() {
    let project = Project::new().ini(&TWO.replace("deps = -r r.txt", "deps = six"));
    project.run(["run", "-n", "-e", "a"]).succeeds().says("install_deps");
    // As a CI cache restores it: with the times of now.
    project.run_program("cp", &["-r", ".tox", "stored"]).succeeds();
    project.run_program("rm", &["-r", ".tox"]).succeeds();
    project.run_program("cp", &["-r", "stored", ".tox"]).succeeds();
    project.run(["run", "-n", "-e", "a"]).succeeds().never_says("install_deps");
}
