//! Tests environments of scripts that declare their own requirements (PEP 723).

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

/// An installer of its own that only writes down what it was asked for, so that nothing has to be downloaded.
const INSTALLER: &str = "import pathlib, sys
with pathlib.Path('installed.txt').open('a') as record:
    print(*sys.argv[1:], file=record)
";

fn with_script(ini: &str, block: &str) -> Project {
    let script = format!("# /// script\n{block}# ///\nimport sys\nprint('arguments:', sys.argv[1:])\n");
    Project::new().file("install.py", INSTALLER).file("check.py", &script).ini(&format!(
        "[testenv:check]\nrunner = virtualenv-pep-723\ninstall_command = python install.py {{packages}}\n\
         script = check.py\n{ini}"
    ))
}

#[test]
fn a_script_gets_what_it_asks_for_and_runs_with_the_arguments() {
    let project = with_script("deps = other\n", "# dependencies = ['one>=1', 'two']\n");
    project
        .run(["run", "-e", "check", "--", "a", "b"])
        .succeeds()
        .says("check: install_deps> python install.py 'one>=1' two\n")
        .says("check: commands[0]> python [ROOT]/check.py a b\narguments: ['a', 'b']\n");
    project.run(["run", "-e", "check"]).succeeds().never_says("install").says("arguments: []\n");
    let record = std::fs::read_to_string(project.path(".tox/check/.tox-info.json")).expect("it was built");
    assert!(record.contains("\"Pep723Runner\""), "{record}");
}

#[test]
fn commands_of_a_script_may_be_others() {
    let project = with_script("commands = python -c \"print('custom')\"\n", "");
    project.run(["run", "-e", "check"]).succeeds().says("custom\n").never_says("arguments");
}

#[test]
fn a_script_that_cannot_be_served_fails_its_environment() {
    let fails = |ini: &str, block: &str, text: &str| {
        with_script(ini, block).run(["run", "-e", "check"]).ends_with(1).says(&format!("check: failed with {text}"));
    };
    fails("", "# requires-python = '>=99.0'\n", "python 3.");

    fails(
        "",
        "# dependencies = ['-i http://localhost/simple']\n",
        "invalid dependency '-i http://localhost/simple' in",
    );
    fails("", "# dependencies = 42\n", "invalid dependencies 42 in check.py: expected a list");
    fails("", "# dependencies = [broken\n", "invalid inline script metadata in [ROOT]/check.py: ");
    fails("base_python = python3\n", "", "cannot set base_python with virtualenv-pep-723 runner; use requires-python");
    let missing = Project::new().ini("[testenv:check]\nrunner = virtualenv-pep-723\nscript = ../check.py\n");
    missing.run(["run", "-e", "check"]).ends_with(1).says("script path '../check.py' escapes tox_root [ROOT]");
    missing
        .run(["run", "-e", "check", "-x", "testenv:check.script=x.py"])
        .ends_with(1)
        .says("script file not found: [ROOT]/x.py");
}

#[test]
fn what_is_not_to_be_installed_is_not_even_looked_at() {
    let project = with_script("", "# dependencies = ['-e .']\n");
    let outcome = project.run(["run", "-e", "check", "--skip-env-install"]).succeeds();
    outcome.says("check: skip installing dependencies\n").never_says("install_deps");
}

#[test]
fn the_settings_of_a_script_are_those_tox_knows() {
    let project = || with_script("deps = x\nextras = y\npackage = wheel\n", "");
    same_as_tox(project, ["config", "-e", "check", "--", "word"]);
    same_as_tox(project, ["depends"]);
    same_as_tox(project, ["list"]);
}
