//! Tests locks while an index changes: files that are withdrawn, lost or changed, and an index that does not respond.

use std::fs;

use crate::support::gate::PATIENCE;
use crate::support::package_index::PackageIndex;
use crate::support::project::Project;
use crate::support::wheels;

/// What is under version control.
const LOCKED: [&str; 3] = ["tox.ini", "envo.lock", "locks/pylock.a.toml"];

/// A project whose environment `a` asks for `deps` of `index`.
fn project(index: &PackageIndex, deps: &str) -> Project {
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = a\n[testenv]\nset_env =\n  PIP_INDEX_URL = {}\n  PIP_FIND_LINKS =\n\
         deps = {deps}\ncommands = python -m pip freeze\n",
        index.url()
    );
    Project::new().with_uv().variable("NO_PROXY", "127.0.0.1").variable("no_proxy", "127.0.0.1").ini(&ini)
}

/// Puts a wheel on the index that requires those.
fn publish(index: &PackageIndex, project: &Project, name: &str, version: &str, requirements: &[&str]) {
    index.add(&wheels::requiring(&project.path("wheels"), name, version, requirements));
}

fn lock_of(project: &Project) -> String {
    fs::read_to_string(project.path("locks/pylock.a.toml")).expect("it is locked")
}

/// Changes the last byte of a wheel on the index, which goes on to be listed with the hash it had.
fn tamper(project: &Project, wheel: &str) {
    let path = project.path("wheels").join(wheel);
    let mut bytes = fs::read(&path).expect("it can be read");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(path, bytes).expect("it can be written");
}

/// The same project on another machine: what is under version control, in another place and with other caches.
fn elsewhere(project: &Project) -> Project {
    let other = Project::new().with_uv().variable("NO_PROXY", "127.0.0.1").variable("no_proxy", "127.0.0.1");
    other.adopt(project, &LOCKED);
    other
}

#[test]
fn a_withdrawn_file_is_installed_where_it_is_locked_and_never_locked_anew() {
    let index = PackageIndex::open();
    let project = project(&index, "two");
    publish(&index, &project, "two", "1.0", &[]);
    publish(&index, &project, "two", "1.1", &[]);
    project.run(["lock"]).succeeds();
    index.yank("two-1.1-py3-none-any.whl", "it leaks");
    elsewhere(&project).run(["run", "--locked"]).succeeds().says("two==1.1\n");
    project.run(["update", "two"]).succeeds().says("a            two      1.1     1.0\n");
    let before = lock_of(&project);
    index.yank("two-1.0-py3-none-any.whl", "it burns");
    let failed = project.run(["lock", "--upgrade"]).ends_with(1).says("a cannot be locked").says("yanked");
    failed.explains("help: tox.ini:8: deps = two\n").explains("no lock was written");
    assert_eq!(lock_of(&project), before);
}

#[test]
fn a_lost_file_is_told_and_the_environment_stays_as_it_was() {
    let index = PackageIndex::open();
    let project = project(&index, "two");
    publish(&index, &project, "one", "1.0", &["three"]);
    publish(&index, &project, "two", "1.0", &["three"]);
    publish(&index, &project, "two", "1.1", &["one"]);
    publish(&index, &project, "three", "1.0", &[]);
    let text = fs::read_to_string(project.path("tox.ini")).expect("it can be read");
    let project = project.ini(&text.replace("deps = two", "deps = two<1.1"));
    project.run(["lock"]).succeeds();
    let here = elsewhere(&project);
    here.run(["run", "--locked"]).succeeds().says("three==1.0\ntwo==1.0\n");
    // Another user updates the lock: an old requirement is gone, and a new one gets lost.
    publish(&index, &project, "two", "1.1", &[]);
    let project = project.ini(&text);
    project.run(["lock", "--upgrade"]).succeeds();
    here.adopt(&project, &LOCKED);
    index.lose("two-1.1-py3-none-any.whl");
    let pip = here.path(".tox/a/bin/python");
    let freeze = || here.run_program(&pip.display().to_string(), &["-m", "pip", "freeze"]).succeeds().stdout;
    let failed = here.run(["run", "--locked"]).ends_with(1);
    failed.says("what is locked could not be installed").explains("files/two-1.1-py3-none-any.whl");
    assert_eq!(freeze(), "three==1.0\ntwo==1.0\n");
    let here = here.variable("ENVO_INSTALLER", "pip");
    here.run(["run", "--locked"]).ends_with(1).says("what is locked could not be installed").explains("two==1.1");
    let left: Vec<_> = fs::read_dir(here.path(".tox/a")).expect("it is there").flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().starts_with(".locked-")), "{left:?}");
    // Once the file is back, so is the environment.
    publish(&index, &project, "two", "1.1", &[]);
    here.run(["run", "--locked"]).succeeds().says("uninstall_unlocked").says("\ntwo==1.1\n").never_says("three==1.0");
}

#[test]
fn a_changed_file_is_refused_with_its_hashes_and_where_it_came_from() {
    let index = PackageIndex::open();
    let url = index.file_url("one-1.0-py3-none-any.whl");
    let project = project(&index, &format!("one @ {url}"));
    publish(&index, &project, "one", "1.0", &["two>=1"]);
    publish(&index, &project, "two", "1.0", &[]);
    project.run(["lock"]).succeeds();
    assert!(lock_of(&project).contains(&format!("archive = {{ url = \"{url}\", hashes = {{ sha256 = ")));
    for wheel in ["one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"] {
        let locked = lock_of(&project);
        let (before, _) = locked.split_once(&format!("{wheel}\", hashes")).expect("it is locked");
        let (_, hash) = locked[before.len()..].split_once("sha256 = \"").expect("with its hash");
        let hash = &hash[..64];
        let path = project.path("wheels").join(wheel);
        let right = fs::read(&path).expect("it can be read");
        for installer in ["uv", "pip"] {
            let refused = || {
                let other = elsewhere(&project).variable("ENVO_INSTALLER", installer);
                let failed = other.run(["run", "--locked"]).ends_with(1).never_says("commands[0]");
                let failed = failed.says("locks/pylock.a.toml has the address and hash of each file");
                assert!(failed.stderr.contains(&wheel[..3]), "{installer}: {failed:?}");
                failed
            };
            // Another wheel of the same name, and one with a single byte that is not what it was.
            wheels::requiring(&project.path("wheels"), &wheel[..3], "1.0", &["three"]);
            let failed = refused();
            assert!(failed.stderr.contains(hash), "{installer}: {failed:?}");
            fs::write(&path, &right).expect("it can be written");
            tamper(&project, wheel);
            refused();
            fs::write(&path, &right).expect("it can be written");
        }
    }
    elsewhere(&project).run(["run", "--locked"]).succeeds().says("two==1.0\n");
}

#[test]
fn full_caches_are_enough_where_no_index_answers() {
    let index = PackageIndex::open();
    let project = project(&index, "one");
    publish(&index, &project, "one", "1.0", &["two>=1"]);
    publish(&index, &project, "two", "1.0", &[]);
    project.run(["lock"]).succeeds();
    project.run(["run", "--locked"]).succeeds();
    drop(index);
    project.run(["run", "--locked"]).succeeds().never_says("install_locked");
    project.run(["run", "--locked", "-r"]).succeeds().says("install_locked").says("one==1.0\ntwo==1.0\n");
    let other = elsewhere(&project);
    let failed = other.run(["run", "--locked"]).says("what is locked could not be installed");
    assert_ne!(failed.code, Some(0), "{failed:?}");
    let before = lock_of(&project);
    project.run(["lock", "--upgrade"]).ends_with(1).says("a cannot be locked").explains("no lock was written");
    assert_eq!(lock_of(&project), before);
}

/// What stands in a folder of the project whose name begins so.
fn left(project: &Project, folder: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(project.path(folder)).expect("it is there").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

#[test]
fn what_was_tried_out_when_envo_was_killed_is_swept_with_the_next_installation() {
    let index = PackageIndex::open();
    let project = project(&index, "two");
    publish(&index, &project, "one", "1.0", &[]);
    publish(&index, &project, "two", "1.0", &["one"]);
    project.run(["lock"]).succeeds();
    project.run(["run", "--locked"]).succeeds();
    publish(&index, &project, "two", "1.1", &[]);
    project.run(["lock", "--upgrade"]).succeeds();
    let asked = index.hold();
    let running = project.start(["run", "--locked"]);
    asked.recv_timeout(PATIENCE).expect("the installer asks the index");
    running.signal(rustix::process::Signal::KILL);
    // The installer need not have heard of it, and must not come to its end.
    for line in project.processes() {
        let pid = line.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a number"), rustix::process::Signal::KILL);
    }
    assert_eq!(running.end().code, 128 + 9);
    index.go_on();
    assert_eq!(left(&project, ".tox/a", ".locked-").len(), 1);
    project.run(["run", "--locked"]).succeeds().says("two==1.1\n");
    assert_eq!(left(&project, ".tox/a", ".locked-"), [""; 0]);
}

#[test]
fn locks_are_as_they_were_when_envo_is_killed_while_it_locks() {
    let index = PackageIndex::open();
    let project = project(&index, "two").file("tmp/envo-lock-diary", "a user's own");
    let folder = project.path("tmp").display().to_string();
    let project = project.variable("TMPDIR", &folder);
    publish(&index, &project, "two", "1.0", &[]);
    project.run(["lock"]).succeeds();
    let (lock, index_of_locks) = (lock_of(&project), fs::read(project.path("envo.lock")).expect("it is there"));
    publish(&index, &project, "two", "1.1", &[]);
    let asked = index.hold();
    let running = project.start(["update", "two"]);
    asked.recv_timeout(PATIENCE).expect("the resolver asks the index");
    running.signal(rustix::process::Signal::KILL);
    assert_eq!(running.end().code, 128 + 9);
    index.go_on();
    assert_eq!(left(&project, "tmp", "envo-lock-").len(), 2);
    assert_eq!(lock_of(&project), lock);
    assert_eq!(fs::read(project.path("envo.lock")).expect("it is there"), index_of_locks);
    project.run(["lock", "--check"]).succeeds();
    // Killed between writing the lock and the index: the mismatch is reported and repaired.
    project.run(["lock", "--upgrade"]).succeeds();
    let newer = lock_of(&project);
    fs::write(project.path("envo.lock"), index_of_locks).expect("it can be written");
    project.run(["run", "--locked"]).ends_with(1).says("locks/pylock.a.toml is not what envo wrote");
    project.run(["lock"]).succeeds();
    assert_eq!(lock_of(&project), newer);
    assert_eq!(left(&project, "tmp", "envo-"), ["envo-lock-diary"]);
    project.run(["run", "--locked"]).succeeds().says("two==1.1\n");
    let left: Vec<_> = fs::read_dir(project.path("locks")).expect("it is there").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
