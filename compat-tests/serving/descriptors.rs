//! Tests that processes started by envo inherit none of its caller's open files: otherwise a lock would be held and a
//! pipe kept open for as long as services run.

use std::collections::BTreeSet;
use std::fs;

use crate::support::gate::Gate;
use crate::support::project::{Outcome, Project};

/// Lists its open files, then executes the given program.
const LOOK: &str = "ls -l /proc/$$/fd > \"$(dirname \"$0\")/$1.open\"\nshift\nexec \"$@\"\n";

/// A backend that writes down what it has open, and builds a wheel of nothing.
const BACKEND: &str = r#"
import os, zipfile
def look(name):
    os.system('ls -l /proc/%d/fd > %s.open' % (os.getpid(), name))
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    look('backend')
    name = 'demo-1.0-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(wheel_directory, name), 'w') as wheel:
        wheel.writestr('demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n')
        wheel.writestr('demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        wheel.writestr('demo-1.0.dist-info/RECORD', '')
    return name
"#;

const CONFIGURATION: &str = r#"
[tox]
env_list = app, other

[testenv]
package = wheel
wheel_build_env = .pkg
base_python = {tox_root}/interpreter
allowlist_externals = sh
deps = nothing
install_command = sh {tox_root}/look installer true {packages}
list_dependencies_command = sh {tox_root}/look freeze true
commands_pre = sh {tox_root}/look before true
commands = sh {tox_root}/look command true

[testenv:job]
skip_install = true
commands = sh {tox_root}/look job true

[testenv:service]
skip_install = true
depends = job
commands_pre = sh {tox_root}/look before-service true
serve = sh {tox_root}/look service sleep 600
ready = cmd:sh {tox_root}/look probe true
alive = cmd:sh {tox_root}/look alive true
"#;

/// A project all of whose processes write down what they have open.
fn project() -> Project {
    let python = which::which("python3").expect("there is a python3");
    let interpreter = format!("#!/bin/sh\nls -l /proc/$$/fd > '{{}}'\nexec {} \"$@\"\n", python.display());
    let project = Project::new()
        .ini(CONFIGURATION)
        .file("look", LOOK)
        .file("backend.py", BACKEND)
        .file("pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n");
    let seen = project.path("interpreter.open").display().to_string();
    let root = project.root().display().to_string();
    let project = project.file("interpreter", &interpreter.replace("{}", &seen)).variable("XDG_RUNTIME_DIR", &root);
    project.run_program("chmod", &["+x", "interpreter"]).succeeds();
    project
}

/// Runs envo with `arguments` by a shell that has files open that have nothing to do with it.
fn run_with_open_files(project: &Project, arguments: &str) -> Outcome {
    let envo = env!("CARGO_BIN_EXE_envo");
    let script = format!("exec 3> leaked-3 7> leaked-7 8< tox.ini 200>> leaked-200\n'{envo}' {arguments}");
    project.run_program("bash", &["-c", &script])
}

/// Which processes have written down what they had open, each of which had nothing of the caller's.
#[track_caller]
fn who_looked(project: &Project) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(project.root()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".open") {
            let open = fs::read_to_string(entry.path()).unwrap();
            assert!(!open.contains("leaked") && !open.contains("tox.ini"), "{name}:\n{open}");
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn commands_builds_and_interpreters_have_nothing_open_that_the_caller_has() {
    let expected = BTreeSet::from(["backend", "before", "command", "installer", "interpreter"].map(str::to_owned));
    for arguments in ["run", "run-parallel -p 2"] {
        let project = project();
        run_with_open_files(&project, arguments).succeeds();
        assert_eq!(who_looked(&project), expected, "{arguments}");
    }
}

#[test]
fn services_and_what_watches_them_have_nothing_open_that_the_caller_has() {
    let project = project();
    run_with_open_files(&project, "up -e service --wait").succeeds();
    let looked = who_looked(&project);
    for name in ["before-service", "job", "probe", "service"] {
        assert!(looked.contains(name), "{name} is not among {looked:?}");
    }
    let mut supervisors = 0;
    for process in project.processes() {
        let pid = process.split(' ').next().unwrap();
        supervisors += usize::from(process.contains("__supervise"));
        // A probe may have ended meanwhile.
        let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let open: Vec<String> =
            open.flatten().filter_map(|one| Some(fs::read_link(one.path()).ok()?.display().to_string())).collect();
        assert!(!open.iter().any(|path| path.contains("leaked") || path.contains("tox.ini")), "{process}: {open:?}");
    }
    // The supervisor, what starts its shims, and a shim.
    assert_eq!(supervisors, 3);
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [""; 0]);
}

#[test]
fn a_lock_of_the_caller_is_free_and_its_pipe_at_its_end_while_services_run() {
    let project = project();
    let envo = env!("CARGO_BIN_EXE_envo");
    project.run_program("flock", &["lock", envo, "up", "-e", "service", "--wait"]).succeeds();
    project.run_program("flock", &["-n", "lock", "true"]).succeeds();
    project.run(["down"]).succeeds();
    // Each of these ends only when no process has the other end of a pipe open.
    for script in ["up -e service | cat", "up -e service 2>&1 | cat >&2", "up -e service 5>&1 | cat", "down | cat"] {
        project.run_program("bash", &["-c", &format!("'{envo}' {script}")]).succeeds();
    }
    assert_eq!(project.processes(), [""; 0]);
}

#[test]
fn a_service_with_sockets_has_these_and_no_other_files() {
    let gate = Gate::new();
    let script = "import os\nfrom gate import tell\nfrom os.path import exists\n\
        open_files = [n for n in range(3, 300) if exists('/proc/self/fd/%d' % n)]\n\
        tell('%s %s %s' % (os.environ['LISTEN_FDS'], int(os.environ['LISTEN_PID']) == os.getpid(), open_files))\n\
        import signal\nsignal.pause()\n";
    let project = Project::new().file("gate.py", &gate.module()).file("service.py", script).ini(
        "[tox]\nno_package = true\n[testenv:service]\nserve = python service.py\nports =\n  one\n  two\nlisten_fds = true\n",
    );
    let root = project.root().display().to_string();
    let project = project.variable("XDG_RUNTIME_DIR", &root);
    run_with_open_files(&project, "up -e service").succeeds();
    assert_eq!(gate.next(), "2 True [3, 4]");
    project.run(["down"]).succeeds();
}
