//! Tests environments of other runtimes when envo is killed while it replaces their files: the next run never mistakes
//! partial files for complete ones, or old ones for new ones. Node.js and npm are scripts here, so that the test
//! controls what is installed, and when.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::process::Signal;

use crate::support::gate::PATIENCE;
use crate::support::project::{Outcome, Project};

/// Installs what the file `content` says, and then does what `after.sh` says.
const NPM: &str = "#!/bin/sh
root=$(cat \"$(dirname \"$(readlink -f \"$0\")\")/root\")
mkdir -p node_modules && cp \"$root/content\" node_modules/content && . \"$root/after.sh\"
";

const INI: &str = "[testenv:js]\nruntime = node\nnode_deps = ./greet\nallowlist_externals = cat\n\
                   commands = cat {env_dir}/node/node_modules/content\n";

fn project() -> Project {
    let project = Project::new()
        .ini(INI)
        .file("tools/node", "#!/bin/sh\necho v998.1.0\n")
        .file("tools/npm", NPM)
        .file("after.sh", "");
    for name in ["node", "npm"] {
        fs::set_permissions(project.path("tools").join(name), PermissionsExt::from_mode(0o755)).expect("it is there");
    }
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("tools").display());
    let root = project.root().display().to_string();
    wants(project.file("tools/root", &root).variable("PATH", &path), "apple")
}

/// The dependency is of this version, and so is what will be installed.
fn wants(project: Project, version: &str) -> Project {
    let manifest = format!(r#"{{"name": "greet", "version": "{version}"}}"#);
    project.file("greet/package.json", &manifest).file("content", &format!("an {version}\n"))
}

#[track_caller]
fn leaves_nothing_behind(project: &Project) {
    for name in [".tox/js/.previous-node", ".tox/js/.unfinished-node"] {
        assert!(!project.path(name).exists(), "{name}");
    }
}

fn run(project: &Project) -> Outcome {
    project.run(["run", "-e", "js"])
}

fn rename(project: &Project, from: &str, to: &str) {
    fs::rename(project.path(".tox/js").join(from), project.path(".tox/js").join(to)).expect("it is there");
}

/// The installer makes a pipe of what says what the dependency is.
const MAKES_A_PIPE: &str = "rm \"$root/greet/package.json\" && mkfifo \"$root/greet/package.json\" && \
                            echo made > \"$root/gate\"\n";

/// Kills envo while it reads the pipe that the installer has created and no process writes to.
fn kill_while_it_reads(project: &Project) {
    let (gate, pipe) = (project.path("gate"), project.path("greet/package.json"));
    project.run_program("mkfifo", &["gate"]).succeeds();
    let running = project.start(["run", "-e", "js"]);
    let (sender, opened) = mpsc::channel();
    thread::spawn(move || {
        // Reading waits for who writes, and opening to write for who reads.
        let held = fs::read_to_string(gate).and_then(|_| fs::OpenOptions::new().write(true).open(pipe));
        sender.send(held)
    });
    let _held = opened.recv_timeout(PATIENCE).expect("it is read").expect("a pipe can be opened");
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, 128 + Signal::KILL.as_raw());
    fs::remove_file(project.path("gate")).expect("it is there");
}

#[test]
fn what_was_put_in_place_is_not_taken_for_what_was_recorded_before() {
    for skips_installation in [false, true] {
        let project = project();
        run(&project).succeeds().says("an apple\n");
        let manifest = project.path("greet/package.json");
        let project = wants(project, "orange").file("after.sh", MAKES_A_PIPE);
        // After the exchange envo looks once more at what the dependencies are, and only then records anything.
        kill_while_it_reads(&project);
        let content = fs::read_to_string(project.path(".tox/js/node/node_modules/content")).expect("it is there");
        assert_eq!(content, "an orange\n");
        fs::remove_file(&manifest).expect("it is there");
        let project = wants(project, "apple").file("after.sh", "");
        if skips_installation {
            project.run(["run", "-e", "js", "--skip-env-install"]).succeeds().says("an apple\n");
        }
        run(&project).succeeds().says("an apple\n");
        leaves_nothing_behind(&project);
        run(&project).succeeds().never_says("npm install");
    }
}

#[test]
fn what_was_there_comes_back_and_is_installed_anew() {
    let project = project();
    run(&project).succeeds().says("an apple\n");
    // Killed after what was there had been moved away, while what comes instead was not yet in its place.
    rename(&project, "node", ".previous-node");
    fs::create_dir(project.path(".tox/js/.unfinished-node")).expect("it is not there");
    run(&project).succeeds().says("npm install").says("an apple\n");
    leaves_nothing_behind(&project);
    // Without an installer that works it is still there.
    rename(&project, "node", ".previous-node");
    let project = project.file("after.sh", "false\n");
    let failed = run(&project).ends_with(1);
    failed.says("what was installed before is left as it was");
    project.run(["run", "-e", "js", "--skip-env-install"]).succeeds().says("an apple\n");
    let project = wants(project, "orange").file("after.sh", "");
    run(&project).succeeds().says("an orange\n");
    leaves_nothing_behind(&project);
}

#[test]
fn what_was_being_removed_is_not_taken_for_whole() {
    let project = project();
    run(&project).succeeds().says("an apple\n");
    // Killed while it removed what had been replaced: that has no name any more by which it is known.
    rename(&project, "node", ".unfinished-node");
    fs::remove_file(project.path(".tox/js/.unfinished-node/node_modules/content")).expect("it is there");
    run(&project).succeeds().says("npm install").says("an apple\n");
    leaves_nothing_behind(&project);
}

#[test]
fn an_environment_whose_removal_was_cut_off_is_removed_first() {
    let ini = "[tox]\nno_package = true\n[testenv:a]\ncommands = python -c 'import left'\n";
    let project = Project::new().ini(ini);
    project.run(["run", "-e", "a"]).ends_with(1);
    let site = glob(&project, ".tox/a/lib/python*/site-packages");
    fs::write(Path::new(&site).join("left.py"), "").expect("it is there");
    project.run(["run", "-e", "a"]).succeeds();
    // A record that names another folder is not ours: nothing is removed for it.
    let record = |removal: &str| {
        let text = format!(r#"{{"envo": {{"removal": {removal}}}}}"#);
        fs::write(project.path(".tox/a/.tox-info.json"), text).expect("it is there");
    };
    for forged in ["true", r#"{"device": 1, "inode": 1}"#] {
        record(forged);
        project.run(["run", "-e", "a"]).succeeds();
    }
    let folder = fs::metadata(project.path(".tox/a")).expect("it is there");
    record(&format!(r#"{{"device": {}, "inode": {}}}"#, folder.dev(), folder.ino()));
    project.run(["run", "-e", "a"]).ends_with(1).explains("No module named 'left'");
    let record = fs::read_to_string(project.path(".tox/a/.tox-info.json")).expect("it is there");
    assert!(!record.contains("removal"), "{record}");
}

/// The one path that fits, as the shell sees it.
fn glob(project: &Project, pattern: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("printf %s {pattern}")])
        .current_dir(project.root())
        .output()
        .expect("there is a shell");
    project.path(&String::from_utf8(output.stdout).expect("it is text")).display().to_string()
}
