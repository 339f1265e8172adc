//! Tests which `requires` envo meets itself. With `--no-provision`, what it does not meet is an error.

use envo::model::provided::{PROVIDED, TOX_VERSION};

use crate::support::project::{Outcome, Project};

fn with(requires: &str, rest: &str) -> Project {
    Project::new().ini(&format!("[tox]\nno_package = true\nenv_list = a\nrequires = {requires}\n{rest}"))
}

fn listed(project: &Project) -> Outcome {
    project.run(["list", "--no-desc", "--no-provision"])
}

/// tox's version with another patch number.
fn tox_with_patch(patch: u32) -> String {
    let (minor, _) = TOX_VERSION.rsplit_once('.').expect("three numbers");
    format!("{minor}.{patch}")
}

#[test]
fn a_newer_patch_version_needs_no_real_tox_if_every_key_is_known() {
    let newer = tox_with_patch(999);
    for requires in [format!("tox>={newer}"), format!("tox=={newer}"), "tox-uv>=1.37.99".to_owned()] {
        listed(&with(&requires, "[testenv]\nruntime = system\n")).succeeds().says("a\n");
    }
    let oldest = Project::new().ini(&format!("[tox]\nno_package = true\nenv_list = a\nmin_version = {newer}\n"));
    listed(&oldest).succeeds().says("a\n");
    let referred = "[testenv]\nmine = x\ndescription = {[testenv]mine}\n";
    listed(&with(&format!("tox>={newer}"), referred)).succeeds();
}

#[test]
fn a_newer_patch_version_needs_a_real_tox_if_a_key_is_unknown() {
    let newer = tox_with_patch(999);
    let requires = format!("tox>={newer}");
    for unknown in ["brand_new = true\n", "[testenv]\nbrand_new = true\n", "[testenv:a]\nbrand_new = true\n"] {
        listed(&with(&requires, unknown)).ends_with(254).says(&format!("tox>={newer} ({TOX_VERSION})"));
    }
    let toml = format!("env_list = [\"a\"]\nrequires = [\"{requires}\"]\n[env.a]\nbrand_new = true\n");
    listed(&Project::new().file("tox.toml", &toml)).ends_with(254).says(TOX_VERSION);
}

#[test]
fn a_newer_minor_version_a_plugin_and_a_plugin_file_need_a_real_tox() {
    listed(&with("tox>=4.999", "")).ends_with(254).says("tox>=4.999");
    let newer = tox_with_patch(999);
    listed(&with(&format!("tox>={newer}, tox-docker"), "")).ends_with(254).says("tox-docker");
    let project = with(&format!("tox>={newer}"), "").file("toxfile.py", "");
    listed(&project).ends_with(254).says("toxfile.py");
}

#[test]
fn envo_provides_itself_in_a_version_that_matches() {
    listed(&with("envo-run", "")).succeeds().says("a\n");
    listed(&with("envo_run>=0.0.1", "")).succeeds().says("a\n");
    for arguments in [&["list"][..], &["run"], &["up"], &["serve"]] {
        with("envo-run>=99", "[testenv:db]\nserve = true\n")
            .run(arguments)
            .ends_with(254)
            .says("the configuration requires `envo-run>=99`, but this is envo ")
            .explains("pip install 'envo-run>=99'");
    }
}

#[test]
fn the_documented_versions_are_those_of_the_table() {
    let page = include_str!("../../docs/compatibility.md");
    for (name, version) in PROVIDED.iter().filter(|(name, _)| *name != "envo-run") {
        let row = page.lines().find(|line| line.starts_with("| `") && line.contains(&format!("`{name}`")));
        assert!(row.is_some_and(|row| row.contains(version)), "{name} {version} is not in docs/compatibility.md");
    }
}
