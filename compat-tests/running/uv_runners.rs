//! Tests environments of tox-uv's runners: the same project under a real tox with tox-uv and under envo gets the same
//! packages and the same record of them.

use std::fs;

use serde_json::Value;

use crate::support::machine;
use crate::support::project::{Outcome, Project};
use crate::support::wheels;

/// The plugin that envo is compared with.
const PLUGIN: &str = "tox-uv==1.37.1";

/// A build backend without requirements, in the project itself: a wheel of one module, or of a `.pth` file.
const BACKEND: &str = r#"import os, tomllib, zipfile
def project():
    with open("pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]
def write(folder, tag, files):
    about = project()
    name, version = about["name"], about["version"]
    info = f"{name}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {text}\n" for text in about.get("dependencies", []))
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = f"{name}-{version}{tag}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, wheel), "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return write(wheel_directory, "", {project()["name"] + ".py": ""})
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return write(wheel_directory, "-0.editable", {project()["name"] + ".pth": os.getcwd() + "\n"})
"#;

/// `pyproject.toml` of a package with that backend.
fn package(name: &str, version: &str, more: &str) -> String {
    format!(
        "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\
         [project]\nname = \"{name}\"\nversion = \"{version}\"\nrequires-python = \">=3.11\"\n{more}"
    )
}

/// What every environment prints: the packages in it.
const LISTED: &str = "commands = python -c \"from importlib import metadata; \
    print(sorted((d.name, d.version) for d in metadata.distributions()))\"\n";

/// An application that takes `shared` from its workspace; an index would have version 1 and 2 of it.
fn workspace(settings: &str) -> Project {
    let project = Project::new().with_uv();
    for version in ["1.0", "2.0"] {
        wheels::library(&project.path("links"), "shared", version);
    }
    let sources = "dependencies = [\"shared\"]\n[dependency-groups]\ngroup = [\"shared\"]\n\
        [tool.uv.sources]\nshared = { workspace = true }\n[tool.uv.workspace]\nmembers = [\"libs/shared\"]\n";
    project
        .file("pyproject.toml", &package("app", "1", sources))
        .file("backend.py", BACKEND)
        .file("libs/shared/pyproject.toml", &package("shared", "99.9", ""))
        .file("libs/shared/backend.py", BACKEND)
        .file("constraints.txt", "shared<2\n")
        .ini(&format!(
            "[tox]\nrequires = tox-uv\nenv_list = a\n[testenv]\nset_env =\n  UV_NO_INDEX = 1\n  \
             UV_FIND_LINKS = {{tox_root}}/links\n  UV_CONSTRAINT = {{env:CONSTRAINT:}}\n  \
             UV_RESOLUTION = {{env:RESOLUTION:highest}}\n{settings}\n{LISTED}"
        ))
}

/// What an environment holds, as its command printed it, and the record of how it came to that.
fn contents(project: &Project, outcome: &Outcome) -> (Option<i32>, Vec<String>, Value) {
    let listed = outcome.stdout.lines().filter(|line| line.starts_with("[(")).map(str::to_owned).collect();
    let record = fs::read_to_string(project.path(".tox/a/.tox-info.json")).unwrap_or_default();
    let root = project.root().display().to_string();
    (outcome.code, listed, serde_json::from_str(&record.replace(&root, "ROOT")).unwrap_or_default())
}

#[track_caller]
fn same_contents_as_tox_uv(project: impl Fn() -> Project) {
    let (tox, envo) = (project(), project());
    let expected = contents(&tox, &tox.run_tox_with(&[PLUGIN], ["run"]));
    let outcome = envo.run(["run"]);
    assert_eq!(contents(&envo, &outcome), expected, "envo's stdout:\n{}\n{}", outcome.stdout, outcome.stderr);
}

#[test]
fn what_a_project_takes_from_its_workspace_comes_from_there() {
    for kind in ["wheel", "editable", "uv", "uv-editable", "deps-only"] {
        same_contents_as_tox_uv(|| workspace(&format!("package = {kind}")));
    }
    same_contents_as_tox_uv(|| workspace("package = skip\ndependency_groups = group"));
}

#[test]
fn constraints_hold_for_every_kind_of_package() {
    for kind in ["wheel", "uv", "uv-editable", "deps-only"] {
        same_contents_as_tox_uv(|| {
            workspace(&format!("package = {kind}\ndeps = shared\nconstraints = constraints.txt"))
        });
    }
    for kind in ["uv", "uv-editable"] {
        // What comes from an index obeys as well.
        let project = || {
            let project = workspace(&format!("package = {kind}\nconstraints = constraints.txt"));
            let plain = package("app", "1", "dependencies = [\"shared\"]\n");
            project.file("pyproject.toml", &plain)
        };
        same_contents_as_tox_uv(project);
        project().run(["run"]).succeeds().says("('shared', '1.0')");
    }
}

#[test]
fn a_variable_that_decides_what_uv_installs_is_part_of_the_record() {
    for (settings, name, value) in [
        ("package = skip\ndeps = shared", "RESOLUTION", "lowest"),
        ("package = skip\ndependency_groups = group", "CONSTRAINT", "constraints.txt"),
    ] {
        let project = || workspace(settings).file("pyproject.toml", "[dependency-groups]\ngroup = [\"shared\"]\n");
        let (tox, envo) = (project(), project());
        tox.run_tox_with(&[PLUGIN], ["run"]).succeeds();
        envo.run(["run"]).succeeds().says("('shared', '2.0')");
        let (tox, envo) = (tox.variable(name, value), envo.variable(name, value));
        let expected = contents(&tox, &tox.run_tox_with(&[PLUGIN], ["run"]));
        let outcome = envo.run(["run"]).succeeds().says("install_");
        assert_eq!(contents(&envo, &outcome), expected, "{settings}");
        envo.run(["run"]).succeeds().never_says("install_");
    }
}

#[test]
fn uv_in_the_place_of_pip_does_not_obey_variables_of_its_own() {
    let project = Project::new().with_uv().variable("ENVO_INSTALLER", "auto");
    for version in ["1.0", "2.0"] {
        wheels::library(&project.path("links"), "one", version);
    }
    let links = project.path("links").display().to_string();
    let ini = "[tox]\nno_package = true\n[testenv:a]\ndeps = one\nset_env =\n  UV_RESOLUTION = lowest\n  \
               UV_INDEX_URL = http://localhost:1/\ncommands = python -m pip freeze --all\n";
    let project = project.ini(ini).variable("PIP_FIND_LINKS", &links).variable("PIP_NO_INDEX", "1");
    project.run(["run", "-e", "a"]).succeeds().says("one==2.0\n");
    // Whoever chooses uv has chosen them too.
    let chosen = project.variable("ENVO_INSTALLER", "uv");
    chosen.run(["run", "-r", "-e", "a"]).succeeds().says("one==1.0\n");
}

#[test]
fn seeds_of_uv_are_those_that_uv_installs() {
    let project = || {
        let project = Project::new().with_uv().with_old_interpreters();
        let names = "commands = python -c \"from importlib import metadata; \
            print(sorted({d.name for d in metadata.distributions()} - {'packaging'}))\"\n";
        let head = "[tox]\nrequires = tox-uv\nno_package = true\nenv_list = py311, py312\n[testenv]\nuv_seed = true\n";
        project.ini(&format!("{head}{names}"))
    };
    machine::need(&["python3.11", "python3.12"]);
    let printed = |outcome: &Outcome| {
        let lines = outcome.stdout.lines().filter(|line| line.starts_with('['));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    // What else they require depends on the day.
    assert_eq!(printed(&project().run(["run"]).succeeds()), ["['pip', 'setuptools', 'wheel']", "['pip']"]);
    assert_eq!(
        printed(&project().run_tox_with(&[PLUGIN], ["run"]).succeeds()),
        ["['pip', 'setuptools', 'wheel']", "['pip']"]
    );
}
