//! Tests that an interrupted run leaves no process behind, whatever its commands have started and however those resist.

use std::fs::File;
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::support::gate::{Gate, PATIENCE};
use crate::support::project::Project;
use crate::support::running::Ended;

/// A command that starts one process of every kind that tends to survive, and exits on request.
const TREE: &str = r#"
( trap "" TERM INT; tell stubborn; while :; do sleep 3600; done ) &
( tell background; exec sleep 3600 ) &
( setsid bash -c "$(declare -f tell); tell daemon; exec sleep 3600" & ) &
( trap "" HUP; tell deaf; exec nohup sleep 3600 ) &
trap 'exit 7' TERM INT
tell leader
while :; do sleep 3600 & wait $!; done
"#;

const KINDS: [&str; 5] = ["background", "daemon", "deaf", "leader", "stubborn"];

struct Tree {
    gate: Gate,
    project: Project,
}

impl Tree {
    fn new(more: &str) -> Self {
        let gate = Gate::new();
        let project = Project::new().file("tree.sh", &(gate.bash() + TREE)).ini(&format!(
            "[tox]\nno_package = true\nenv_list = a, b\n[testenv:a]\nallowlist_externals = bash\n\
             commands = bash tree.sh\n{more}\n[testenv:b]\ndepends = a\ncommands = python -c \"print('never')\"\n"
        ));
        Self { gate, project }
    }

    /// Starts the run, waits until all kinds of process are there, asks the run to stop and waits for its end.
    fn stop(&self, arguments: &[&str], signal: Signal) -> Ended {
        let running = self.project.start(arguments);
        let mut told = KINDS.map(|_| self.gate.next());
        told.sort();
        assert_eq!(told, KINDS);
        assert!(self.project.processes().len() > KINDS.len(), "{:?}", self.project.processes());
        running.signal(signal);
        running.end()
    }
}

#[test]
fn a_run_that_is_asked_to_stop_leaves_no_process_of_any_kind() {
    for arguments in [&["run"][..], &["run-parallel"], &["run-parallel", "--parallel-live"]] {
        let tree = Tree::new("");
        let ends = [(Signal::INT, 1), (Signal::TERM, 128 + 15), (Signal::HUP, 128 + 1), (Signal::QUIT, 128 + 3)];
        for (signal, code) in ends {
            let ended = tree.stop(arguments, signal);
            let about = format!("{arguments:?} {signal:?}\n{}", ended.printed);
            assert_eq!(tree.project.processes(), [""; 0], "{about}");
            assert_eq!(ended.code, code, "{about}");
            for text in [
                "KeyboardInterrupt - teardown started\n",
                "ROOT: interrupt tox environment: a\n",
                "  a: FAIL code 7 ",
                "  b: ",
            ] {
                assert!(ended.printed.contains(text), "no `{text}` after {about}");
            }
            assert!(!ended.printed.contains("never"), "{about}");
        }
    }
}

#[test]
fn commands_after_the_others_run_after_an_interrupt_only_where_they_are_to() {
    for (setting, runs) in [("false", false), ("true", true)] {
        let more = format!("interrupt_post_commands = {setting}\ncommands_post = python -c \"print('tidied up')\"\n");
        let tree = Tree::new(&more);
        let ended = tree.stop(&["run"], Signal::INT);
        assert_eq!(ended.printed.contains("\ntidied up\n"), runs, "{}", ended.printed);
        assert_eq!(tree.project.processes(), [""; 0]);
    }
}

/// A program that starts another one in the background, and waits for it.
const HANGS: &str = "import subprocess\nfrom gate import tell\nchild = subprocess.Popen(['sleep', '3600'])\n\
    tell('hangs')\nchild.wait()\n";

/// Runs envo in a project in which something hangs, with each signal in turn: nothing is left, whatever it was.
#[track_caller]
fn leaves_nothing_that_hangs(gate: &Gate, project: &Project, arguments: &[&str], codes: [(Signal, Option<i32>); 4]) {
    for (signal, code) in codes {
        let running = project.start(arguments);
        assert_eq!(gate.next(), "hangs");
        running.signal(signal);
        let ended = running.end();
        let fits = code.map_or(ended.code != 0, |code| ended.code == code);
        assert!(fits, "{} {signal:?} {arguments:?}\n{}", ended.code, ended.printed);
        assert_eq!(project.processes(), [""; 0], "{signal:?} {arguments:?}\n{}", ended.printed);
    }
}

/// The codes of those that end by the signal.
const BY_SIGNAL: [(Signal, Option<i32>); 4] = [
    (Signal::QUIT, Some(128 + 3)),
    (Signal::HUP, Some(128 + 1)),
    (Signal::TERM, Some(128 + 15)),
    (Signal::INT, Some(128 + 2)),
];
/// A run does, but after SIGINT fails with the code of what it ran, if that has been quick enough to end by itself.
const OF_A_RUN: [(Signal, Option<i32>); 4] = [BY_SIGNAL[0], BY_SIGNAL[1], BY_SIGNAL[2], (Signal::INT, None)];

#[test]
fn a_backend_that_hangs_is_gone_with_what_it_started() {
    let gate = Gate::new();
    let build = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
    let backend = format!("def build_wheel(*_, **__):\n    exec({HANGS:?})\n");
    let project = Project::new()
        .ini("[tox]\nenv_list = a, b\n[testenv]\npackage = wheel\nwheel_build_env = .pkg\n")
        .file("pyproject.toml", build)
        .file("gate.py", &gate.module())
        .file("backend.py", &backend);
    leaves_nothing_that_hangs(&gate, &project, &["run", "-e", "a"], OF_A_RUN);
    leaves_nothing_that_hangs(&gate, &project, &["run-parallel"], OF_A_RUN);
}

#[test]
fn an_installer_that_hangs_is_gone_with_what_it_started() {
    let gate = Gate::new();
    let project = Project::new()
        .ini("[tox]\nno_package = true\nenv_list = a\n[testenv]\ndeps = x\ninstall_command = python hangs.py {packages}\n")
        .file("gate.py", &gate.module())
        .file("hangs.py", HANGS);
    for arguments in [&["run"][..], &["run-parallel"]] {
        leaves_nothing_that_hangs(&gate, &project, arguments, OF_A_RUN);
    }
}

#[test]
fn a_resolver_that_hangs_is_gone_and_lock_ends_by_the_signal() {
    let gate = Gate::new();
    let uv =
        "#!/bin/sh\n[ \"$1\" = --version ] && exec echo uv 0.9.9\nexec python3 \"$(dirname \"$0\")/../hangs.py\"\n";
    let project = Project::new()
        .ini("[tox]\nno_package = true\nenv_list = a\n[testenv]\ndeps = x\n")
        .file("gate.py", &gate.module())
        .file("hangs.py", HANGS)
        .file("bin/uv", uv);
    project.run_program("chmod", &["+x", "bin/uv"]).succeeds();
    let path = format!("{}:{}", project.path("bin").display(), crate::support::machine::search_path(false).display());
    let project = project.variable("PATH", &path).variable("ENVO_INSTALLER", "uv");
    leaves_nothing_that_hangs(&gate, &project, &["lock"], BY_SIGNAL);
}

#[test]
fn a_program_that_hangs_when_asked_for_its_version_is_gone() {
    let gate = Gate::new();
    let hangs = "#!/bin/sh\nexec python3 \"$(dirname \"$0\")/../hangs.py\"\n";
    let mut project = Project::new()
        .ini("[testenv]\npackage = skip\nskip_missing_interpreters = true\n[testenv:py398]\n[testenv:js]\nruntime = node\n")
        .file("gate.py", &gate.module())
        .file("hangs.py", HANGS);
    for program in ["bin/python3.98", "bin/node"] {
        project = project.file(program, hangs);
        project.run_program("chmod", &["+x", program]).succeeds();
    }
    let path = format!("{}:{}", project.path("bin").display(), crate::support::machine::search_path(false).display());
    let project = project.variable("PATH", &path);
    for arguments in [["run", "-e", "py398"], ["run-parallel", "-e", "py398"], ["run", "-e", "js"]] {
        leaves_nothing_that_hangs(&gate, &project, &arguments, OF_A_RUN);
    }
}

#[test]
fn a_pipe_that_is_never_written_to_is_given_up() {
    let environment = |lines: &str| format!("[testenv]\npackage = skip\n[testenv:a]\n{lines}\n");
    let native = |lines: &str| environment(&format!("runtime = system\ncommands = ls\n{lines}"));
    for (ini, arguments, codes) in [
        (native("env_file = pipe"), &["run", "-e", "a"][..], OF_A_RUN),
        (native("env_file = pipe"), &["run-parallel", "-e", "a"], OF_A_RUN),
        (native("env_file = pipe"), &["config", "--check"], BY_SIGNAL),
        (native("env_file = pipe\nserve = ls"), &["up", "-e", "a"], BY_SIGNAL),
        (environment("deps = -r pipe"), &["run", "-e", "a"], OF_A_RUN),
        (environment("deps = -r pipe"), &["lock", "-e", "a"], BY_SIGNAL),
        (environment("pylock = pipe"), &["run-parallel", "-e", "a"], OF_A_RUN),
        (native(""), &["list", "-c", "pipe"], BY_SIGNAL),
    ] {
        let project = Project::new().ini(&ini);
        project.run_program("mkfifo", &["pipe"]).succeeds();
        for (signal, code) in codes {
            let running = project.start(arguments);
            // Opens when envo has opened its end, and writes nothing.
            let (opened, writer) = mpsc::channel();
            let pipe = project.path("pipe");
            thread::spawn(move || opened.send(File::options().write(true).open(pipe)));
            let _writer = writer.recv_timeout(PATIENCE).expect("envo reads it").expect("it is a pipe");
            running.signal(signal);
            let ended = running.end();
            let fits = code.map_or(ended.code != 0, |code| ended.code == code);
            assert!(fits, "{} {signal:?} {arguments:?}\n{}", ended.code, ended.printed);
            assert!(!ended.printed.contains("nothing was written"), "{signal:?} {arguments:?}\n{}", ended.printed);
        }
    }
}
