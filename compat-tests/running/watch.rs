//! `run --watch`: what runs when files change, and what the keys do. The commands report to a gate; the runs are as many as
//! it hears of.

use std::fs::File;
use std::io::Write as _;

use rustix::process::Signal;

use crate::support::gate::Gate;
use crate::support::project::Project;

fn project(gate: &Gate) -> Project {
    let ini = "[tox]\nenv_list = a, b\nno_package = true\n[testenv]\nallowlist_externals = bash\n\
               commands = bash run.sh {env_name}\ninputs = src/{env_name}.txt\n";
    let script =
        gate.bash() + "tell $1; while [ -e hold ]; do read -r word < hold; tell $word; break; done; [ ! -e fail-$1 ]\n";
    Project::new()
        .ini(ini)
        .file("run.sh", &script)
        .file("src/a.txt", "")
        .file("src/b.txt", "")
        .file(".gitignore", "*.log\n")
}

/// Replaces a file, which is one event.
fn change(project: &Project, path: &str) {
    let new = project.path("new.log");
    std::fs::write(&new, path).and_then(|()| std::fs::rename(&new, project.path(path))).expect("it can be written");
}

/// The ends of a named pipe that holds a run back until something is written to it.
fn hold(project: &Project) -> File {
    let path = project.path("hold");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    File::options().read(true).write(true).open(path).expect("it is there")
}

#[test]
fn changes_run_what_they_affect_and_keys_choose_more() {
    let gate = Gate::new();
    let project = project(&gate).file("fail-b", "");
    let (reader, mut keys) = std::io::pipe().expect("a pipe");
    let mut watch = project.start_with_input(["run", "--watch"], reader);
    assert_eq!([gate.next(), gate.next()], ["a", "b"]);
    watch.line_with("waiting for changes");
    change(&project, "src/ignored.log");
    change(&project, "src/a.txt");
    watch.line_with("src/a.txt has changed: running a");
    assert_eq!(gate.next(), "a");
    watch.line_with("waiting for changes");
    change(&project, "README.md");
    watch.line_with("README.md has changed: nothing to run");
    keys.write_all(b"f").expect("it reads");
    assert_eq!(gate.next(), "b");
    watch.line_with("waiting for changes");
    keys.write_all(b"\n").expect("it reads");
    assert_eq!([gate.next(), gate.next()], ["a", "b"]);
    watch.line_with("waiting for changes");
    keys.write_all(b"q").expect("it reads");
    let ended = watch.end();
    assert_eq!(ended.code, 0, "{}", ended.printed);
    assert!(!ended.printed.contains('\u{1b}'), "{}", ended.printed);
    assert_eq!(gate.all(), [""; 0]);
}

#[test]
fn a_change_during_a_run_queues_one_more_and_an_interrupt_ends_all() {
    let gate = Gate::new();
    let project = project(&gate);
    let mut held = hold(&project);
    let mut watch = project.start(["run", "--watch", "-e", "a"]);
    assert_eq!(gate.next(), "a");
    for _ in 0..3 {
        change(&project, "src/a.txt");
    }
    watch.line_with("src/a.txt has changed: running again after this run");
    held.write_all(b"first\n").expect("it is open");
    assert_eq!([gate.next(), gate.next()], ["first", "a"]);
    watch.signal(Signal::INT);
    let ended = watch.end();
    assert!(ended.printed.contains("KeyboardInterrupt - teardown started"), "{}", ended.printed);
    assert_eq!((ended.code, project.processes()), (254, Vec::new()), "{}", ended.printed);
}

#[test]
fn a_change_ends_a_run_that_is_to_be_restarted() {
    let gate = Gate::new();
    let project = project(&gate);
    let mut held = hold(&project);
    let mut watch = project.start(["run", "--watch", "--restart", "-e", "a"]);
    assert_eq!(gate.next(), "a");
    change(&project, "src/a.txt");
    watch.line_with("src/a.txt has changed: running a");
    assert_eq!(gate.next(), "a");
    held.write_all(b"second\n").expect("it is open");
    assert_eq!(gate.next(), "second");
    watch.line_with("waiting for changes");
    watch.signal(Signal::TERM);
    assert_eq!(watch.end().code, 128 + 15);
}

#[test]
fn an_option_of_the_watch_alone_is_an_error() {
    let project = Project::new().ini("[tox]\nno_package = true\n");
    project.run(["run", "--restart"]).ends_with(2).explains("argument --restart: only allowed with --watch");
    project
        .run(["run", "--watch", "-i"])
        .ends_with(2)
        .explains("argument --watch: not allowed with argument -i/--no-capture");
}
