//! Tests when environments are created, updated, recreated or left alone, including interruption and two runs at once.

use std::fs;
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::support::gate::{Gate, PATIENCE};
use crate::support::project::Project;

/// An installer of its own that only writes down what it was asked for, so that nothing has to be downloaded.
const INSTALLER: &str = "import pathlib, sys
with pathlib.Path('installed.txt').open('a') as record:
    print(*sys.argv[1:], file=record)
";

fn with_installer(ini: &str) -> Project {
    let head = "[tox]\nno_package = true\nenv_list = a\n[testenv]\ninstall_command = python install.py {packages}\n";
    Project::new().file("install.py", INSTALLER).ini(&format!("{head}commands = python -c \"print(1)\"\n{ini}"))
}

fn edit(project: &Project, old: &str, new: &str) {
    let file = project.path("tox.ini");
    let text = fs::read_to_string(&file).expect("it was written");
    assert!(text.contains(old), "no `{old}` in {text}");
    fs::write(file, text.replace(old, new)).expect("it can be written");
}

fn installed(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.path("installed.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn requirements_are_installed_once_and_only_new_ones_later() {
    let project = with_installer("deps = one\n");
    project.run(["run"]).succeeds().says("a: install_deps> python install.py one\n");
    project.run(["run"]).succeeds().never_says("install");
    edit(&project, "deps = one", "deps =\n  one\n  two");
    project.run(["run"]).succeeds().never_says("recreate");
    assert_eq!(installed(&project), ["one", "one two"]);
}

#[test]
fn a_requirement_that_went_away_recreates_the_environment() {
    let project = with_installer("deps =\n  one\n  two\n");
    project.run(["run"]).succeeds();
    let marker = project.path(".tox/a/marker");
    fs::write(&marker, "").expect("the environment is there");
    edit(&project, "  two\n", "");
    project.run(["run"]).succeeds().says(
        "a: recreate env because requirements removed: two\na: remove tox env folder [ROOT]/.tox/a\na: install_deps>",
    );
    assert!(!marker.exists(), "the old environment is still there");
}

#[test]
fn another_interpreter_recreates_the_environment() {
    let project = with_installer("");
    project.run(["run"]).succeeds();
    let stamp = project.path(".tox/a/.tox-info.json");
    let text = fs::read_to_string(&stamp).expect("the stamp is there");
    fs::write(&stamp, text.replacen("\"version_info\": [\n      3,", "\"version_info\": [\n      2,", 1))
        .expect("written");
    let outcome = project.run(["run"]).succeeds().says("a: recreate env because python changed version_info=[2, ");
    outcome.says("a: remove tox env folder [ROOT]/.tox/a\n");
    project.run(["run"]).succeeds().never_says("recreate");
}

#[test]
fn a_failed_installation_shows_its_output_and_is_tried_again() {
    let project = with_installer("deps = one\n");
    fs::write(project.path("install.py"), "print('no such thing')\nraise SystemExit(7)\n").expect("written");
    let outcome = project.run(["run"]).ends_with(7).says("no such thing\na: exit 7 ");
    outcome.says("  a: FAIL code 7 ").never_says("commands[0]");
    fs::write(project.path("install.py"), INSTALLER).expect("written");
    project.run(["run"]).succeeds().says("install_deps>").never_says("recreate");
}

#[test]
fn what_an_interrupt_left_half_built_is_built_again() {
    let gate = Gate::new();
    let project = with_installer("deps = one\n").file("gate.py", &gate.module());
    let waits = "import gate, time\ngate.tell('installing')\ntime.sleep(3600)\n";
    fs::write(project.path("install.py"), waits).expect("written");
    let running = project.start(["run"]);
    assert_eq!(gate.next(), "installing");
    running.signal(Signal::INT);
    let ended = running.end();
    assert!(ended.printed.contains("KeyboardInterrupt - teardown started\n"), "{}", ended.printed);
    assert!(ended.printed.contains("  a: FAIL code -2 "), "{}", ended.printed);
    assert_eq!(ended.code, 254, "{}", ended.printed);
    fs::write(project.path("install.py"), INSTALLER).expect("written");
    project.run(["run"]).succeeds().says("install_deps>");
    assert_eq!(installed(&project), ["one"]);
}

#[test]
fn an_interrupt_ends_what_runs_and_leaves_out_the_rest() {
    let gate = Gate::new();
    let project = Project::new().file("gate.py", &gate.module()).ini(
        "[tox]\nno_package = true\nenv_list = a, b, c\n[testenv]\n\
         commands = python -c \"import gate, time; gate.tell('running'); time.sleep(3600)\"\n[testenv:c]\ndepends = a\n",
    );
    let running = project.start(["run"]);
    assert_eq!(gate.next(), "running");
    running.signal(Signal::INT);
    let ended = running.end();
    for text in ["  a: FAIL code -2 ", "  b: FAIL code -3 ", "  c: SKIP ", "interrupt tox environment: a\n"] {
        assert!(ended.printed.contains(text), "no `{text}` in {}", ended.printed);
    }
    assert_eq!((ended.code, project.processes()), (1, Vec::new()));
}

#[test]
fn of_two_that_build_one_environment_the_second_waits() {
    let gate = Gate::new();
    let project = with_installer("deps = one\n").file("gate.py", &gate.module());
    let (release, released) = mpsc::channel::<()>();
    let door = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = door.local_addr().expect("it is bound").port();
    let holds = format!(
        "{INSTALLER}import gate, socket\ngate.tell('installing')\nsocket.create_connection(('127.0.0.1', {port})).recv(1)\n"
    );
    fs::write(project.path("install.py"), holds).expect("written");
    let keeper = thread::spawn(move || {
        let (connection, _) = door.accept().expect("the first installer calls");
        released.recv_timeout(PATIENCE).expect("the test goes on");
        drop(connection);
    });
    let first = project.start(["run"]);
    assert_eq!(gate.next(), "installing");
    let second = project.start(["run"]);
    release.send(()).expect("the keeper waits");
    let (first, second) = (first.end(), second.end());
    keeper.join().expect("the keeper is done");
    assert_eq!((first.code, second.code), (0, 0), "{}{}", first.printed, second.printed);
    assert_eq!(installed(&project), ["one"], "the second installed once more: {}", second.printed);
}

#[test]
fn environments_of_one_run_do_not_take_each_other_for_another_process() {
    let backend = "def get_requires_for_build_wheel(config_settings=None):\n    raise RuntimeError('broken')\n";
    let manifest = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\
        [project]\nname = \"demo\"\nversion = \"1.0\"\n";
    Project::new()
        .file("pyproject.toml", manifest)
        .file("backend.py", backend)
        .ini("[tox]\nenv_list = a, b\n[testenv]\npackage = wheel\n")
        .run(["run-parallel", "-p", "2"])
        .ends_with(1)
        .never_says("waiting for another process");
}

#[test]
fn a_link_or_file_where_the_environment_should_be_is_left_alone() {
    let project = with_installer("").file("elsewhere/precious", "");
    fs::create_dir(project.path(".tox")).expect("a folder can be made");
    std::os::unix::fs::symlink(project.path("elsewhere"), project.path(".tox/a")).expect("a link can be made");
    let text = "a: failed with [ROOT]/.tox/a is a link where this environment should live; delete it\n";
    project.run(["run"]).ends_with(1).says(text);
    project.run(["run", "-r"]).succeeds().says("a: remove tox env folder [ROOT]/.tox/a\n");
    assert!(project.path("elsewhere/precious").exists());
}

#[test]
fn commands_of_a_recreation_run_before_the_environment_goes() {
    let project = with_installer("recreate_commands = python -c \"print('goodbye')\"\n");
    project.run(["run"]).succeeds().never_says("goodbye");
    project.run(["run", "-r"]).succeeds().says("goodbye\na: remove tox env folder");
}

#[test]
fn a_command_is_tried_as_often_as_it_may_be() {
    let script = "import pathlib\ntries = pathlib.Path('tries')\nnumber = len(tries.read_text()) if tries.exists() else 0\n\
                  tries.write_text('x' * (number + 1))\nraise SystemExit(number < 2)\n";
    let project = with_installer("commands_retry = 2\n").file("flaky.py", script);
    edit(&project, "python -c \"print(1)\"", "python flaky.py");
    let text = "a: command failed (attempt 2 of 3), retrying ...: python flaky.py\n";
    project.run(["run"]).succeeds().says("(attempt 1 of 3)").says(text);
}

#[test]
fn the_result_file_tells_programs_what_happened() {
    let project = with_installer("deps = one\nlist_dependencies_command = python -c \"print('x==1')\"\n");
    project.run(["run", "--result-json", "out/result.json"]).succeeds();
    let text = fs::read_to_string(project.path("out/result.json")).expect("it was written");
    let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let environment = &result["testenvs"]["a"];
    assert_eq!((&result["reportversion"], &result["toxversion"]), (&"1".into(), &"4.67.15".into()));
    assert_eq!(environment["installed_packages"], serde_json::json!(["x==1"]));
    assert_eq!(environment["test"][0]["output"], "1\n");
    let setup: Vec<&str> =
        environment["setup"].as_array().expect("a list").iter().filter_map(|one| one["run_id"].as_str()).collect();
    assert_eq!(setup, ["install_deps", "freeze"]);
    assert_eq!(environment["result"]["success"], true);
    assert_eq!(environment["python"]["implementation"], "CPython");
}

#[test]
fn the_environment_named_dev_is_the_projects_venv() {
    let project = with_installer("[testenv:dev]\n");
    project.run(["run", "-e", "a"]).succeeds();
    assert!(!project.path(".venv").exists(), "nothing was built that editors should use");
    project.run(["run", "-e", "dev"]).succeeds();
    assert_eq!(fs::read_to_string(project.path(".venv")).expect("the redirect"), ".tox/dev\n");
    project.run(["run", "-e", "dev", "-r", "--notest"]).succeeds();
    edit(&project, "no_package = true", "no_package = true\nvenv_redirect_env = a");
    project.run(["run", "-e", "a"]).succeeds();
    assert_eq!(fs::read_to_string(project.path(".venv")).expect("the redirect"), ".tox/a\n");
}

#[test]
fn a_development_environment_lies_where_it_was_asked_for() {
    let project = Project::fixture("packaging");
    let outcome = project.run(["devenv", "-e", "editable", "there"]).succeeds();
    outcome.says("ROOT: created development environment under [ROOT]/there\n");
    assert!(project.path("there/bin/python").exists());
    assert_eq!(fs::read_to_string(project.path(".venv")).expect("the redirect"), "there\n");
    let text = "exactly one target environment allowed in devenv mode but found sdist, wheel";
    project.run(["devenv", "-e", "sdist,wheel"]).ends_with(254).says(text);
}
