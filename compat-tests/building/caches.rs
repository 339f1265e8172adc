//! Tests envo's cache and the work folder with a full disk, damaged files, and many processes at once, some of which
//! are killed.

use std::fs;
use std::path::Path;

use rustix::process::{Signal, geteuid};

use crate::support::machine;
use crate::support::project::{Outcome, Project};

const INI: &str = "[tox]\nno_package = true\nenv_list = a\n[testenv]\ncommands = python -m pip --version\n";

/// Runs a script of the shell among mounts of its own; `None` where that is not allowed.
fn among_own_mounts(project: &Project, script: &str) -> Option<Outcome> {
    if !geteuid().is_root() || !machine::has("unshare") {
        machine::notice("not root: full and read-only file systems are not tried");
        return None;
    }
    let script = format!("set -e; {script}");
    Some(project.run_program("unshare", &["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_envo")]))
}

#[test]
fn a_cache_that_cannot_be_written_is_gone_without_in_one_line() {
    let whole = Project::new().ini(INI).run(["run"]).succeeds();
    for (cache, reason) in [
        ("tmpfs -o size=16k", "No space left on device"),
        ("tmpfs -o size=1m", "No space left on device"),
        ("tmpfs -o ro", "Read-only file system"),
        ("tmpfs -o size=1m,nr_inodes=2", "No space left on device"),
    ] {
        let project = Project::new().ini(INI);
        let script = format!(
            "mkdir full; mount -t {cache} tmpfs full; export ENVO_CACHE_DIR=$PWD/full ENVO_OFFLINE=1; \"$0\" run; \
             find full -type f -size 0; find full -name '.*' -mindepth 1"
        );
        let Some(outcome) = among_own_mounts(&project, &script) else { return };
        let outcome = outcome.succeeds().says("a: commands[0]> python -m pip --version\npip ");
        let start = "envo: envo's cache cannot be written, going on without it: [ROOT]/full";
        assert!(outcome.stderr.starts_with(start) && outcome.stderr.contains(reason), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert_eq!(outcome.stdout.lines().count(), whole.stdout.lines().count(), "half of a file was left behind");
    }
    let project = Project::new().ini(INI).file("cache", "");
    let file = project.path("cache").display().to_string();
    let outcome = project.variable("ENVO_CACHE_DIR", &file).variable("ENVO_OFFLINE", "1").run(["run"]).succeeds();
    assert!(outcome.stderr.contains("[ROOT]/cache: Not a directory"), "{}", outcome.stderr);
}

#[test]
fn a_full_work_folder_is_named_and_what_is_half_made_is_not_used() {
    for size in ["64k", "2m", "6m"] {
        let project = Project::new().ini(INI);
        let script = format!(
            "mkdir .tox; mount -t tmpfs -o size={size} tmpfs .tox; \"$0\" run || echo failed; echo again; \
             mount -o remount,size=90m .tox; \"$0\" run; cp -r .tox/a/lib whole"
        );
        let Some(outcome) = among_own_mounts(&project, &script) else { return };
        let outcome = outcome.succeeds().says("failed\nagain\n").says("a: commands[0]> python -m pip --version\npip ");
        let start = "a: failed with cannot make a virtual environment at `[ROOT]/.tox/a`: ";
        assert!(outcome.stdout.starts_with(start), "{}", outcome.stdout);
        outcome.says("No space left on device (os error 28)\n");
        project.run(["run", "-r"]).succeeds();
        assert_eq!(names(&project.path("whole")), names(&project.path(".tox/a/lib")), "{size}");
    }
}

/// Every file below `folder` that Python has not compiled, with its size.
fn names(folder: &Path) -> Vec<(String, u64)> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).expect("it was made").flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && name != "__pycache__" {
            names.extend(self::names(&path).into_iter().map(|(below, size)| (format!("{name}/{below}"), size)));
        } else if path.is_file() {
            names.push((name, entry.metadata().expect("it is there").len()));
        }
    }
    names.sort();
    names
}

#[test]
fn what_was_half_written_when_envo_was_killed_is_never_used() {
    let project = Project::new().ini(INI);
    // The system kills a process that writes more to a file than it may: at some place within this many kilobytes.
    let kill_after = |kilobytes: u32| {
        let script = format!("ulimit -f {}; exec \"$0\" run", kilobytes * 2);
        let ended = project.run_program("sh", &["-c", &script, env!("CARGO_BIN_EXE_envo")]);
        assert_ne!(ended.code, Some(0), "{kilobytes}: {ended:?}");
    };
    for kilobytes in [8, 64, 300] {
        kill_after(kilobytes);
        let kept = fs::read_dir(project.cached("trees-2")).expect("it was begun").flatten();
        let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
        let unfinished = kept.iter().filter(|name| name.as_encoded_bytes().starts_with(b".")).count();
        assert!(unfinished == kept.len() && unfinished <= 1, "{kilobytes}: {kept:?}");
    }
    project.run(["run"]).succeeds().says("pip ");
    for folder in ["trees-2", "interpreters-2"] {
        let kept = fs::read_dir(project.cached(folder)).expect("it was filled").flatten();
        let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
        assert!(kept.iter().all(|name| !name.as_encoded_bytes().starts_with(b".")), "{kept:?}");
    }
    let whole = names(&project.path(".tox/a/lib"));
    fs::remove_dir_all(project.path(".tox")).expect("it is there");
    // Now the cache has all of it, and the environment is what remains half written.
    for kilobytes in [4, 16, 64] {
        kill_after(kilobytes);
    }
    project.run(["run"]).succeeds().says("pip ");
    assert_eq!(names(&project.path(".tox/a/lib")), whole);
}

/// Its name, and what brings the cache of a project into it.
type State = (&'static str, fn(&Project));

#[test]
fn many_processes_share_a_cache_in_any_state_and_some_are_killed() {
    let states: [State; 3] = [
        ("empty", |_| {}),
        ("damaged", |project| {
            project.run(["run"]).succeeds();
            for entry in fs::read_dir(project.cached("trees-2")).expect("it was filled").flatten() {
                fs::File::options().write(true).open(entry.path()).and_then(|file| file.set_len(999)).expect("a file");
            }
            for entry in fs::read_dir(project.cached("interpreters-2")).expect("it was filled").flatten() {
                fs::write(entry.path(), "{").expect("a file");
            }
        }),
        ("old", |project| {
            let tree = project.cached("trees-1/pip-26.3-py3-none-any-1950951");
            fs::create_dir_all(tree.join("files/pip")).expect("a folder can be made");
            fs::write(tree.join("files/pip/__init__.py"), "raise SystemExit(1)").expect("a file can be written");
            fs::write(tree.join("manifest.json"), "{}").expect("a file can be written");
        }),
    ];
    for (state, prepare) in states {
        let shared = Project::new().ini(INI);
        prepare(&shared);
        let projects: Vec<Project> = (0..10).map(|_| Project::new().ini(INI).with_cache_of(&shared)).collect();
        let started: Vec<_> = projects.iter().map(|project| project.start(["run"])).collect();
        started.iter().step_by(2).for_each(|running| running.signal(Signal::KILL));
        for (number, running) in started.into_iter().enumerate() {
            let ended = running.end();
            assert!(ended.code == 0 || number % 2 == 0, "{state}: {}", ended.printed);
        }
        for project in projects.iter().step_by(2) {
            project.run(["run"]).succeeds().says("pip ");
        }
        let whole = names(&projects[1].path(".tox/a/lib"));
        for project in &projects {
            assert_eq!(names(&project.path(".tox/a/lib")), whole, "{state}");
        }
    }
}
