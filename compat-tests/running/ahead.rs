//! Tests environments that are prepared while commands of earlier ones run: the time gained, and that nothing else
//! changes.

use std::fs;

use rustix::process::Signal;

use crate::support::gate::Gate;
use crate::support::project::Project;

/// An installer of its own that writes down for whom it was called, and then does what `install-NAME.py` says.
const INSTALLER: &str = "import os, pathlib, sys
name = os.environ['TOX_ENV_NAME']
with pathlib.Path('record').open('a') as record:
    print('install', name, file=record)
more = pathlib.Path(f'install-{name}.py')
exec(more.read_text() if more.exists() else '')
";

/// Every command writes down whose it is, and then does what `run-NAME.py` says.
const COMMAND: &str = "import os, pathlib
name = os.environ['TOX_ENV_NAME']
with pathlib.Path('record').open('a') as record:
    print('run', name, file=record)
more = pathlib.Path(f'run-{name}.py')
exec(more.read_text() if more.exists() else '')
print('ran', name)
";

fn project(names: &str, rest: &str) -> Project {
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = {names}\n[testenv]\ninstall_command = python install.py {{packages}}\n\
         deps = one\ncommands = python command.py\n{rest}"
    );
    Project::new().file("install.py", INSTALLER).file("command.py", COMMAND).ini(&ini)
}

fn record(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.path("record")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A pipe with a name: opening one end waits for the other.
fn meeting(project: &Project, name: &str) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path(name), mode).expect("a pipe can be made");
}

#[test]
fn the_next_environment_is_made_while_commands_run() {
    let project =
        project("a, b", "").file("run-a.py", "open('meet').read()\n").file("install-b.py", "open('meet', 'w')\n");
    meeting(&project, "meet");
    let outcome = project.run(["run"]).succeeds();
    // What begins first of the two that meet is left open.
    let mut met = record(&project);
    met[1..3].sort();
    assert_eq!(met, ["install a", "install b", "run a", "run b"]);
    let lines =
        "ran a\na: OK ✔ in [TIME] seconds\nb: install_deps> python install.py one\nb: commands[0]> python command.py\n";
    outcome.says(lines);
}

#[test]
fn where_no_commands_run_environments_are_made_side_by_side() {
    let project = project("a, b", "").file("install-a.py", "open('meet').read()\n");
    let project = project.file("install-b.py", "open('meet', 'w')\n");
    meeting(&project, "meet");
    let lines =
        "a: install_deps> python install.py one\na: OK ✔ in [TIME] seconds\nb: install_deps> python install.py one\n";
    project.run(["run", "--notest"]).succeeds().says(lines);
}

#[test]
fn what_is_printed_does_not_depend_on_it() {
    for arguments in
        [&["run"][..], &["run", "-v"], &["run", "-r"], &["run", "--notest"], &["run", "--result-json", "result.json"]]
    {
        let run = |more: &str| {
            let rest = "[testenv:c]\nplatform = nowhere\n[testenv:d]\nbase_python = python2.1\n";
            let project =
                project("a, b, c, d, e", rest).file("install-b.py", "print('no such thing')\nraise SystemExit(7)\n");
            let arguments = [arguments, &[more][..]].concat();
            let first = project.run_merged(arguments.iter().filter(|word| !word.is_empty()));
            let second = project.run_merged(arguments.iter().filter(|word| !word.is_empty()));
            let result: serde_json::Value = fs::read(project.path("result.json"))
                .map_or_else(|_| "".into(), |text| serde_json::from_slice(&text).expect("JSON"));
            let runs = |part: &str| {
                let ids = |one: &serde_json::Value| Some(one["run_id"].as_str()?.to_owned());
                let outcomes = result["testenvs"]["b"][part].as_array().cloned().unwrap_or_default();
                outcomes.iter().filter_map(ids).collect::<Vec<_>>()
            };
            let logs = |name: &str| {
                let folder = fs::read_dir(project.path(&format!(".tox/{name}/log")));
                let mut names: Vec<String> = folder.map_or_else(
                    |_| Vec::new(),
                    |entries| {
                        entries
                            .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
                            .collect()
                    },
                );
                names.sort();
                names
            };
            (
                without_times(&first.stdout),
                without_times(&second.stdout),
                first.code,
                [runs("setup"), runs("test"), logs("b"), logs("e")],
            )
        };
        assert_eq!(run(""), run("--no-prepare-ahead"), "{arguments:?}");
    }
}

/// Process numbers and seconds differ from run to run.
fn without_times(text: &str) -> String {
    let number = regex::Regex::new(r"pid=\d+|\d+\.\d+").expect("a pattern");
    // Where the time of a turn went does depend on what was done before it.
    let phases = regex::Regex::new(r"(?m)^    (?:create|install|package|commands) .*\n").expect("a pattern");
    number.replace_all(&phases.replace_all(text, ""), "N").into_owned()
}

#[test]
fn an_installation_that_fails_ahead_is_tried_again_in_its_turn() {
    let project = project("a, b", "").file("run-a.py", "open('meet').read()\npathlib.Path('made').touch()\n").file(
        "install-b.py",
        "if not pathlib.Path('made').exists():\n    open('meet', 'w')\n    sys.exit('too early')\n",
    );
    meeting(&project, "meet");
    let outcome = project.run_merged(["run"]).succeeds().never_says("too early");
    assert_eq!(record(&project), ["install a", "run a", "install b", "install b", "run b"]);
    assert_eq!(outcome.stdout.matches("b: install_deps>").count(), 1, "{}", outcome.stdout);
    assert!(project.path(".tox/b/log/1-install_deps.log").exists());
    assert!(!project.path(".tox/b/log/3-commands[0].log").exists());
}

#[test]
fn what_an_environment_depends_on_is_done_before_it_is_made() {
    let project = project("a, b, c", "[testenv:b]\ndepends = a\n")
        .file("run-a.py", "open('meet').read()\n")
        .file("install-c.py", "open('meet', 'w')\n");
    meeting(&project, "meet");
    project.run(["run"]).succeeds();
    let record = record(&project);
    let at = |line: &str| record.iter().position(|known| known == line).expect("it was done");
    assert!(at("install c") < at("install b"), "{record:?}");
}

#[test]
fn files_that_commands_may_write_are_installed_in_their_turn() {
    let project = project("a, b", "[testenv:b]\ndeps = ./made\n").file("made/x", "");
    project.run(["run"]).succeeds();
    assert_eq!(record(&project), ["install a", "run a", "install b", "run b"]);
    let project = project_that_waits("--no-prepare-ahead");
    assert_eq!(record(&project), ["install a", "run a", "install b", "run b"]);
}

fn project_that_waits(option: &str) -> Project {
    let project = project("a, b", "");
    project.run(["run", option]).succeeds();
    project
}

#[test]
fn requirements_that_changed_meanwhile_count() {
    let project = project("a, b", "[testenv:b]\ndeps = -r b.txt\n")
        .file("b.txt", "early\n")
        .file("run-a.py", "open('meet').read()\npathlib.Path('b.txt').write_text('late')\n")
        .file("install-b.py", "late = 'late' in pathlib.Path('b.txt').read_text()\nlate or open('meet', 'w')\n");
    meeting(&project, "meet");
    project.run(["run"]).succeeds().says("ran b\n");
    let stamp = fs::read_to_string(project.path(".tox/b/.tox-info.json")).expect("it was made");
    assert!(stamp.contains("late") && !stamp.contains("early"), "{stamp}");
}

#[test]
fn an_interrupt_ends_what_is_done_ahead_too() {
    let gate = Gate::new();
    let project = project("a, b, c", "").file("gate.py", &gate.module());
    for name in ["run-a.py", "install-b.py"] {
        fs::write(project.path(name), "import gate, time\ngate.tell(name)\ntime.sleep(3600)\n").expect("written");
    }
    let running = project.start(["run"]);
    let mut told = [gate.next(), gate.next()];
    told.sort();
    assert_eq!(told, ["a", "b"]);
    running.signal(Signal::INT);
    let ended = running.end();
    assert!(
        ended.printed.contains("  a: FAIL code -2 ") && ended.printed.contains("  b: FAIL code -3 "),
        "{}",
        ended.printed
    );
    assert!(!ended.printed.contains("b: install_deps"), "{}", ended.printed);
    assert_eq!((ended.code, project.processes()), (1, Vec::new()));
    for name in ["run-a.py", "install-b.py"] {
        fs::remove_file(project.path(name)).expect("it is there");
    }
    project.run(["run"]).succeeds().says("b: install_deps>");
}

#[test]
fn a_failure_that_stops_the_others_ends_what_is_done_ahead() {
    let gate = Gate::new();
    let project = project("a, b", "")
        .file("gate.py", &gate.module())
        .file("run-a.py", "open('meet').read()\nsys = __import__('sys')\nsys.exit(3)\n")
        .file("install-b.py", "open('meet', 'w').close()\nimport time\ntime.sleep(3600)\n");
    meeting(&project, "meet");
    project.run(["run", "--fail-fast"]).ends_with(3).never_says("b: install");
    assert_eq!(project.processes(), Vec::<String>::new());
}
