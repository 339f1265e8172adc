//! Tests the state left by an interrupted build: killed, with a full disk, without a network.

use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::support::gate::PATIENCE;
use crate::support::project::{Outcome, Project};
use crate::support::wheels;

/// An installer of its own that writes down what it is called for, and then does what `during-install.py` says.
const INSTALLER: &str = "import pathlib, sys
with pathlib.Path('record').open('a') as record:
    print(*sys.argv[1:], file=record)
more = pathlib.Path('during-install.py')
exec(more.read_text() if more.exists() else '')
";

/// A backend in the project itself that does what `during-build.py` says and then makes a wheel.
const BACKEND: &str = "import pathlib, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    more = pathlib.Path('during-build.py')
    exec(more.read_text() if more.exists() else '')
    name = 'demo-1.0-py3-none-any.whl'
    with zipfile.ZipFile(pathlib.Path(wheel_directory, name), 'w') as wheel:
        wheel.writestr('demo.py', '')
        wheel.writestr('demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\n')
        wheel.writestr('demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')
        wheel.writestr('demo-1.0.dist-info/RECORD', '')
    return name
";

fn project() -> Project {
    let ini = "[tox]\nenv_list = a\n[testenv]\npackage = wheel\ninstall_command = python install.py {packages}\n\
               deps = one\ncommands = python command.py\nrecreate_commands = python recreate.py\n";
    let pyproject = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";
    Project::new()
        .ini(ini)
        .file("pyproject.toml", pyproject)
        .file("backend.py", BACKEND)
        .file("install.py", INSTALLER)
        .file("command.py", "print('ran')\n")
        .file("recreate.py", "")
}

/// What was installed, in the order it was, without the folders of files.
fn record(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.path("record")).unwrap_or_default();
    text.lines().map(|line| line.rsplit(['/', ' ']).next().unwrap_or_default().to_owned()).collect()
}

/// Runs envo until the child that executes `file` calls, kills envo there, and lets the child go on to its end.
fn kill_during(project: &Project, file: &str, arguments: &[&str]) {
    let before = fs::read_to_string(project.path(file)).ok();
    let door = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = door.local_addr().expect("it is bound").port();
    let (sender, calls) = mpsc::channel();
    thread::spawn(move || door.accept().map(|(connection, _)| sender.send(connection)));
    let hold = format!("import socket\nheld = socket.create_connection(('127.0.0.1', {port}))\nheld.recv(1)\n");
    fs::write(project.path(file), hold).expect("a file can be written");
    let running = project.start(arguments);
    let mut held = calls.recv_timeout(PATIENCE).expect("the child has come so far");
    running.signal(Signal::KILL);
    held.shutdown(Shutdown::Write).expect("the child still listens");
    // What it holds closes with its end.
    let _ = held.read_to_end(&mut Vec::new());
    assert_eq!(running.end().code, 128 + Signal::KILL.as_raw());
    match before {
        Some(text) => fs::write(project.path(file), text).expect("a file can be written"),
        None => fs::remove_file(project.path(file)).expect("it was written"),
    }
}

#[test]
fn a_build_that_was_killed_is_done_again_from_where_it_was() {
    for (file, before, after) in [
        ("during-install.py", &["one"][..], &["one", "demo-1.0-py3-none-any.whl"][..]),
        ("during-build.py", &["one"], &["demo-1.0-py3-none-any.whl"]),
        ("command.py", &["one", "demo-1.0-py3-none-any.whl"], &["demo-1.0-py3-none-any.whl"]),
    ] {
        let project = project();
        kill_during(&project, file, &["run"]);
        assert_eq!(record(&project), before, "{file}");
        project.run(["run"]).succeeds().says("ran\n");
        assert_eq!(record(&project)[before.len()..], *after, "{file}");
    }
}

#[test]
fn an_environment_whose_recreation_was_killed_is_still_there() {
    let project = project();
    project.run(["run"]).succeeds();
    kill_during(&project, "recreate.py", &["run", "-r"]);
    let known = record(&project).len();
    project.run(["run"]).succeeds().says("ran\n");
    assert_eq!(record(&project)[known..], ["demo-1.0-py3-none-any.whl"]);
}

/// Runs envo where no file may grow beyond some kilobytes: what a full disk says, for everybody and at a known place.
fn run_without_room(project: &Project, arguments: &str) -> Outcome {
    let limits = format!("trap '' XFSZ; ulimit -f 16; exec \"$0\" {arguments}");
    project.run_program("sh", &["-c", &limits, env!("CARGO_BIN_EXE_envo")])
}

#[test]
fn without_room_the_cause_is_told_and_what_was_good_stays_of_use() {
    let ini = "[tox]\nno_package = true\nenv_list = a, b\n[testenv]\ncommands = python -B -c \"print('ran')\"\n";
    let project = Project::new().ini(ini);
    // Nothing is in the cache yet, so pip has to be unpacked.
    let failed = run_without_room(&project, "run -e a").ends_with(1);
    failed.says("a: failed with cannot make a virtual environment at `[ROOT]/.tox/a`: ").says("(os error 27)\n");
    project.run(["run", "-e", "a"]).succeeds().never_says("recreate");
    run_without_room(&project, "run -e a").succeeds().says("ran\n");
}

#[test]
fn without_a_network_the_installer_says_so_and_what_was_good_stays_of_use() {
    let ini = "[tox]\nno_package = true\nenv_list = a\n[testenv]\ndeps = one\ncommands = python -c \"import one; print('ran')\"\n";
    let project = Project::new().ini(ini);
    wheels::library(&project.path("links"), "one", "1.0");
    let links = project.path("links").display().to_string();
    // Only the system itself may listen on the first port.
    let project = project
        .variable("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
        .variable("PIP_NO_CACHE_DIR", "1")
        .variable("PIP_RETRIES", "1")
        .variable("PIP_FIND_LINKS", &links);
    project.run(["run", "-x", "testenv.deps=there-is-no-such"]).ends_with(1).explains("Connection refused");
    project.run(["run", "-x", "testenv.deps=one"]).succeeds().says("ran\n");
    let more = project.run(["run", "-x", "testenv.deps=one\nthere-is-no-such"]).ends_with(1);
    more.says("a: exit 1 ");
    let again = project.run(["run"]).succeeds().says("ran\n");
    again.never_says("recreate").never_says("install_deps");
}
