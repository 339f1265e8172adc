//! Tests projects that are renamed, moved or copied while their services run, and state files with false contents.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use crate::support::machine;
use crate::support::project::{Outcome, Project};

const CONFIGURATION: &str = r#"
[tox]
no_package = true

[testenv]
runtime = system
allowlist_externals = *

[testenv:db]
serve = sh -c 'sleep 3600 & echo $! > stray; echo ready now; wait'
ready = log:ready now

[testenv:app]
depends = db
commands = echo the app ran
"#;

/// A folder in which projects are; one of them is `one`.
fn projects() -> Project {
    let projects = Project::new().file("one/tox.ini", CONFIGURATION);
    let root = projects.root().display().to_string();
    projects.variable("XDG_RUNTIME_DIR", &root)
}

fn up(projects: &Project, name: &str) {
    projects.run_in(name, ["up", "-e", "db", "--wait"]).succeeds().says("db: ready");
}

fn up_again(projects: &Project, name: &str) {
    projects.run_in(name, ["up", "-e", "db", "--wait"]).succeeds();
}

/// The process of the service.
fn process(projects: &Project, name: &str) -> u64 {
    let listed = projects.run_in(name, ["ps", "--format", "json"]).succeeds().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed}"));
    assert_eq!(listed[0]["state"], "ready");
    listed[0]["pid"].as_u64().expect("it runs")
}

fn down(projects: &Project, name: &str) {
    projects.run_in(name, ["down"]).succeeds().says("stopped: db");
    projects.run_in(name, ["ps"]).succeeds().explains("nothing is running");
}

fn state(projects: &Project, name: &str, file: &str) -> String {
    fs::read_to_string(projects.path(name).join(".tox/.envo").join(file)).expect("it is there")
}

/// Kills the supervisor, its shim forker and its shims: what has its mark among its arguments.
fn kill_supervisor(projects: &Project, name: &str) {
    let running = state(projects, name, "running");
    let mark = running.split(' ').next().expect("it has a mark");
    let entries = fs::read_dir("/proc").expect("there are processes").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    };
    let own: Vec<i32> = pids.filter(carries).collect();
    assert!(own.len() >= 3, "{own:?}");
    // None of them can act when it sees another one gone.
    own.iter().for_each(|pid| send(*pid, Signal::STOP));
    own.iter().for_each(|pid| send(*pid, Signal::KILL));
}

fn kill(pid: i32) {
    send(pid, Signal::KILL);
}

fn send(pid: i32, signal: Signal) {
    // It may have ended just now.
    let _ = kill_process(Pid::from_raw(pid).expect("not zero"), signal);
}

fn is_running(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|status| !status.contains(") Z "))
}

/// Does everything with a project that was moved from `one` to `two`, whose service is this process.
fn check_moved(projects: &Project, service: u64) {
    assert_eq!(process(projects, "two"), service);
    projects.run_in("two", ["run", "-e", "app"]).succeeds().says("the app ran");
    assert_eq!(process(projects, "two"), service);
    projects.run_in("two", ["restart", "db"]).succeeds();
    projects.run_in("two", ["wait", "db"]).ends_with(1).explains("the project is no longer in [ROOT]/one");
    up(projects, "two");
    assert!(!projects.path("one").exists(), "nothing is made again where it was");
    assert_eq!(state(projects, "two", "log/db.log").lines().last(), Some("ready now"));
    down(projects, "two");
    assert_eq!(projects.processes(), [""; 0]);
    assert!(!projects.path("one").exists());
}

#[test]
fn a_project_that_is_renamed_while_services_run_has_them_under_its_new_name() {
    let projects = projects();
    up(&projects, "one");
    let service = process(&projects, "one");
    fs::rename(projects.path("one"), projects.path("two")).unwrap();
    check_moved(&projects, service);
}

#[test]
fn a_project_that_is_moved_to_another_file_system_has_its_services_there() {
    let projects = projects();
    up(&projects, "one");
    let service = process(&projects, "one");
    // What `mv` does then.
    projects.run_program("cp", &["-r", "one", "two"]).succeeds();
    fs::remove_dir_all(projects.path("one")).unwrap();
    check_moved(&projects, service);
}

#[test]
fn services_of_a_moved_project_are_stopped_first_of_all() {
    let projects = projects();
    up(&projects, "one");
    fs::rename(projects.path("one"), projects.path("two")).unwrap();
    down(&projects, "two");
    assert_eq!(projects.processes(), [""; 0]);
}

#[test]
fn services_are_found_when_the_work_folder_was_removed() {
    let projects = projects();
    up(&projects, "one");
    let service = process(&projects, "one");
    fs::remove_dir_all(projects.path("one/.tox")).unwrap();
    assert_eq!(process(&projects, "one"), service);
    down(&projects, "one");
    assert_eq!(projects.processes(), [""; 0]);
}

#[test]
fn a_copy_of_a_project_has_services_of_its_own() {
    let projects = projects();
    up(&projects, "one");
    let original = process(&projects, "one");
    projects.run_program("cp", &["-r", "one", "two"]).succeeds();
    projects.run_in("two", ["ps"]).succeeds().explains("nothing is running");
    projects.run_in("two", ["down"]).succeeds().explains("nothing is running");
    up(&projects, "two");
    let copy = process(&projects, "two");
    assert_ne!(copy, original);
    assert_eq!(process(&projects, "one"), original);
    down(&projects, "two");
    assert_eq!(process(&projects, "one"), original);
    down(&projects, "one");
    assert_eq!(projects.processes(), [""; 0]);
}

#[test]
fn a_copy_whose_files_are_links_has_services_of_its_own() {
    let projects = projects();
    let both_run = |one: u64, two: u64| {
        assert_ne!(one, two);
        assert_eq!((process(&projects, "one"), process(&projects, "two")), (one, two));
        for name in ["one", "two"] {
            assert_eq!(state(&projects, name, "log/db.log"), "ready now\n");
        }
    };
    for removed in ["", "one/.tox/.envo/socket"] {
        up(&projects, "one");
        projects.run_program("cp", &["-al", "one", "two"]).succeeds();
        fs::remove_file(projects.path(removed)).ok();
        projects.run_in("two", ["ps"]).succeeds().explains("nothing is running");
        projects.run_in("two", ["down"]).succeeds().explains("nothing is running");
        // Several at once start one supervisor.
        let waiting: Vec<_> =
            (0..3).map(|_| projects.start(["-c", "two/tox.ini", "up", "-e", "db", "--wait"])).collect();
        waiting.into_iter().for_each(|one| assert_eq!(one.end().code, 0));
        both_run(process(&projects, "one"), process(&projects, "two"));
        down(&projects, "two");
        process(&projects, "one");
        down(&projects, "one");
        assert_eq!(projects.processes(), [""; 0]);
        fs::remove_dir_all(projects.path("two")).unwrap();
        fs::remove_dir_all(projects.path("one/.tox")).unwrap();
    }
    // The copy of a project of which nothing runs any more; then the original starts first, and then the copy.
    for order in [["one", "two"], ["two", "one"]] {
        up(&projects, "one");
        down(&projects, "one");
        projects.run_program("cp", &["-al", "one", "two"]).succeeds();
        order.iter().for_each(|name| up(&projects, name));
        both_run(process(&projects, "one"), process(&projects, "two"));
        order.iter().for_each(|name| down(&projects, name));
        fs::remove_dir_all(projects.path("two")).unwrap();
        fs::remove_dir_all(projects.path("one/.tox")).unwrap();
    }
}

#[test]
fn a_supervisor_whose_socket_was_removed_is_found_again() {
    let projects = projects();
    up(&projects, "one");
    let service = process(&projects, "one");
    let socket = state(&projects, "one", "socket");
    let folder = projects.path("envo");
    for remove in [
        &|| fs::remove_file(&socket).unwrap(),
        &|| fs::rename(&socket, folder.join("other")).unwrap(),
        // The supervisor may make its socket again before the folder is empty.
        &|| assert!((0..100).any(|_| fs::remove_dir_all(&folder).is_ok()), "the socket is made again and again"),
        &|| fs::rename(&folder, projects.path("moved")).unwrap(),
    ] as [&dyn Fn(); 4]
    {
        remove();
        up_again(&projects, "one");
        assert_eq!(process(&projects, "one"), service);
        fs::remove_file(folder.join("other")).ok();
    }
    down(&projects, "one");
    assert!(!fs::exists(&socket).unwrap());
    assert_eq!(projects.processes(), [""; 0]);
}

#[test]
fn where_a_moved_project_was_a_copy_of_it_has_services_of_its_own() {
    let projects = projects();
    up(&projects, "one");
    let original = process(&projects, "one");
    fs::rename(projects.path("one"), projects.path("two")).unwrap();
    projects.run_program("cp", &["-r", "two", "one"]).succeeds();
    projects.run_in("one", ["ps"]).succeeds().explains("nothing is running");
    up(&projects, "one");
    let copy = process(&projects, "one");
    assert_ne!(copy, original);
    assert_eq!(process(&projects, "two"), original);
    // A record that a second copy has put in the place of its own hides nothing.
    projects.run_program("cp", &["two/.tox/.envo/socket", "one/.tox/.envo/socket"]).succeeds();
    down(&projects, "two");
    assert_eq!(process(&projects, "one"), copy);
    down(&projects, "one");
    assert_eq!(projects.processes(), [""; 0]);
}

#[test]
fn what_a_killed_supervisor_left_is_ended_after_a_move_and_not_by_a_copy() {
    let projects = projects();
    up(&projects, "one");
    let stray = fs::read_to_string(projects.path("one/stray")).unwrap();
    projects.run_program("cp", &["-r", "one", "copy"]).succeeds();
    fs::rename(projects.path("one"), projects.path("two")).unwrap();
    kill_supervisor(&projects, "two");
    up(&projects, "copy");
    assert!(is_running(stray.trim()), "it is not the copy's");
    up(&projects, "two");
    assert!(!is_running(stray.trim()));
    down(&projects, "copy");
    down(&projects, "two");
    assert_eq!(projects.processes(), [""; 0]);
}

/// A process that has nothing to do with envo.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("3600").spawn().expect("it starts"))
    }

    /// As a line of what services run.
    fn line(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).expect("it runs");
        let time = status.split(") ").last().and_then(|fields| fields.split(' ').nth(19)).expect("it has a time");
        format!("{0} {time} {0} {time} {0} {time} db\n", self.0.id())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_file_that_names_the_process_of_a_stranger_ends_nothing() {
    let projects = projects();
    let mut stranger = Stranger::start();
    for genuine in [false, true] {
        up(&projects, "one");
        let running = if genuine { state(&projects, "one", "running") } else { String::new() };
        kill_supervisor(&projects, "one");
        fs::write(projects.path("one/.tox/.envo/running"), running + &stranger.line()).unwrap();
        up(&projects, "one");
        assert_eq!(stranger.0.try_wait().unwrap(), None);
    }
    down(&projects, "one");
    let strays: Vec<String> = projects.processes();
    // The rest of the start whose record was replaced has no owner any more.
    strays.iter().filter_map(|one| one.split(' ').next()?.parse().ok()).for_each(kill);
}

#[test]
fn a_file_that_names_the_supervisor_of_another_project_ends_nothing() {
    let projects = projects().file("other/tox.ini", CONFIGURATION);
    up(&projects, "other");
    let other = process(&projects, "other");
    up(&projects, "one");
    kill_supervisor(&projects, "one");
    projects.run_program("cp", &["other/.tox/.envo/running", "one/.tox/.envo/running"]).succeeds();
    up(&projects, "one");
    assert_eq!(process(&projects, "other"), other);
    down(&projects, "one");
    down(&projects, "other");
    let strays: Vec<String> = projects.processes();
    strays.iter().filter_map(|one| one.split(' ').next()?.parse().ok()).for_each(kill);
}

#[test]
fn another_user_is_told_whose_supervisor_has_the_project() {
    if !geteuid().is_root() || !machine::has("setpriv") {
        machine::notice("not root: another user's supervisor is not tried");
        return;
    }
    let projects = projects();
    let program = projects.path("program").display().to_string();
    fs::copy(env!("CARGO_BIN_EXE_envo"), &program).unwrap();
    let outside = projects.root().parent().unwrap().to_path_buf();
    fs::set_permissions(outside, fs::Permissions::from_mode(0o755)).unwrap();
    let as_other = |arguments: &[&str]| -> Outcome {
        let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "env", "--chdir=one", "XDG_RUNTIME_DIR="];
        let words = [&user[..], &[&program], arguments].concat();
        projects.run_program("setpriv", &words)
    };
    up(&projects, "one");
    for arguments in [&["ps"][..], &["down"], &["up", "-e", "db"]] {
        as_other(arguments).ends_with(1).explains("another user: `root` runs their supervisor (pid ");
    }
    down(&projects, "one");
    as_other(&["ps"]).ends_with(1).explains("the services of this project belong to another user, `root`");
    fs::remove_dir_all(projects.path("one/.tox")).unwrap();
    projects.run_program("chown", &["-R", "65534", "one"]).succeeds();
    as_other(&["up", "-e", "db", "--wait"]).succeeds();
    for arguments in [&["ps"][..], &["down"], &["stop", "db"], &["up", "-e", "db"]] {
        projects.run_in("one", arguments).ends_with(1).explains("another user: `nobody` runs their supervisor (pid ");
    }
    as_other(&["down"]).succeeds().says("stopped: db");
}
