//! Tests the files that envo reads and writes in its folders: false contents, links in place of files, folders of other
//! users, and permissions.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use crate::support::gate::Gate;
use crate::support::machine;
use crate::support::project::{Outcome, Project};
use crate::support::wheels;

const CONFIGURATION: &str = r#"
[tox]
no_package = true

[testenv]
runtime = system
allowlist_externals = *

[testenv:db]
serve = sh -c 'echo ready now; while read word; do echo $word; done < words'
ready = log:ready now

[testenv:app]
depends = db
commands = sh -c 'echo $PIPE_TOKEN > /dev/null'
pass_env = PIPE_TOKEN
"#;

/// The id of the user `nobody`.
const OTHER: u32 = 65534;

/// A project whose service repeats what is written into `words`.
fn project() -> Project {
    let project = Project::new().ini(CONFIGURATION);
    make_pipe(&project.path("words"));
    let root = project.root().display().to_string();
    project.variable("XDG_RUNTIME_DIR", &root)
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("there is mkfifo");
    assert!(made.success());
}

/// Something to wait on until it has been repeated: an open end keeps the service from seeing the end of its input.
fn words(project: &Project) -> fs::File {
    fs::File::options().read(true).write(true).open(project.path("words")).expect("it is a pipe")
}

fn up(project: &Project) {
    project.run(["up", "-e", "db", "--wait"]).succeeds().says("db: ready");
}

fn down(project: &Project) {
    project.run(["down"]).succeeds().says("stopped: db");
    project.run(["ps"]).succeeds().explains("nothing is running");
    assert_eq!(project.processes(), [""; 0]);
}

fn state(project: &Project, file: &str) -> PathBuf {
    project.path(".tox/.envo").join(file)
}

/// The process of the service, which is ready.
fn service(project: &Project) -> u64 {
    let listed = project.run(["ps", "--format", "json"]).succeeds().stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed}"));
    assert_eq!(listed[0]["state"], "ready");
    listed[0]["pid"].as_u64().expect("it runs")
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o777
}

/// A process that has nothing to do with envo.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        Self(Command::new("sleep").arg("3600").spawn().expect("it starts"))
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn records_of_all_kinds_of_nonsense_end_nothing_and_hold_up_nobody() {
    let project = project();
    let mut stranger = Stranger::start();
    up(&project);
    down(&project);
    let lock = fs::metadata(state(&project, "supervisor.lock")).unwrap();
    let (device, inode) = (lock.dev(), lock.ino());
    let id = stranger.0.id();
    let own = std::process::id();
    let texts = [
        format!("1 1 {device} {inode}"),
        format!("{own} {device} {inode}"),
        format!("{id} {device} {inode}"),
        format!("-1 {device} {inode}"),
        format!("0123456789abcdef-{id}-1/ {device} {inode}"),
        format!("99999999999999999999 {device} {inode}"),
        "\0\u{fffd} /".to_owned(),
        "x".repeat(1 << 20),
    ];
    for file in ["running", "socket", "jobs.json", "supervisor.lock"] {
        for text in &texts {
            fs::write(state(&project, file), text).unwrap();
            up(&project);
            down(&project);
        }
    }
    assert_eq!(stranger.0.try_wait().unwrap(), None);
}

#[test]
fn links_and_pipes_in_place_of_files_are_not_followed() {
    let project = project().file("precious", "precious");
    fs::create_dir(project.path("folder")).unwrap();
    for put in [symlink_to_precious, make_pipe as fn(&Path)] {
        for file in ["running", "socket", "jobs.json", "supervisor.log"] {
            let _ = fs::remove_dir_all(project.path(".tox"));
            fs::create_dir_all(project.path(".tox/.envo")).unwrap();
            put(&state(&project, file));
            up(&project);
            down(&project);
        }
        for file in ["supervisor.lock", "log", "log/db.log"] {
            let _ = fs::remove_dir_all(project.path(".tox"));
            fs::create_dir_all(state(&project, file).parent().unwrap()).unwrap();
            put(&state(&project, file));
            let outcome = project.run(["up", "-e", "db", "--wait"]).ends_with(1);
            assert!(outcome.stderr.contains(&format!(".envo/{file}: it is ")), "{file}: {}", outcome.stderr);
            project.run(["down"]);
            assert_eq!(project.processes(), [""; 0], "{file}");
        }
    }
    for (link, at) in [(".tox/.envo", "folder"), (".tox/.envo/log", "folder")] {
        let _ = fs::remove_dir_all(project.path(".tox"));
        fs::create_dir_all(project.path(link).parent().unwrap()).unwrap();
        symlink(project.path(at), project.path(link)).unwrap();
        let outcome = project.run(["up", "-e", "db", "--wait"]).ends_with(1);
        assert!(outcome.stderr.contains(&format!("{link}: it is a symbolic link")), "{}", outcome.stderr);
    }
    assert_eq!(fs::read_to_string(project.path("precious")).unwrap(), "precious");
    assert_eq!(fs::read_dir(project.path("folder")).unwrap().count(), 0);
}

fn symlink_to_precious(path: &Path) {
    let root = path.ancestors().find(|folder| folder.join("precious").exists()).expect("it is in the project");
    symlink(root.join("precious"), path).unwrap();
}

#[test]
fn a_record_with_the_mark_of_a_project_that_runs_ends_nothing_there() {
    let (other, project) = (project(), project());
    up(&other);
    let running = service(&other);
    up(&project);
    down(&project);
    let lock = fs::metadata(state(&project, "supervisor.lock")).unwrap();
    let record = fs::read_to_string(state(&other, "running")).unwrap();
    let mark = record.split(' ').next().unwrap();
    fs::write(state(&project, "running"), format!("{mark} {} {}\n", lock.dev(), lock.ino())).unwrap();
    up(&project);
    assert_eq!(service(&other), running);
    // The socket of the other one as well.
    down(&project);
    fs::copy(state(&other, "socket"), state(&project, "socket")).unwrap();
    project.run(["down"]).succeeds().explains("nothing is running");
    up(&project);
    assert_ne!(service(&project), running);
    down(&project);
    assert_eq!(service(&other), running);
    down(&other);
}

#[test]
fn a_lock_that_names_a_stranger_has_nobody_told_to_kill_it() {
    let project = project();
    up(&project);
    let lock = fs::read_to_string(state(&project, "supervisor.lock")).unwrap();
    let supervisor = Pid::from_raw(lock.split(' ').next().unwrap().parse().unwrap()).unwrap();
    let stranger = Stranger::start();
    fs::write(state(&project, "supervisor.lock"), stranger.0.id().to_string()).unwrap();
    kill_process(supervisor, Signal::STOP).unwrap();
    let silent = project.run(["ps"]).ends_with(1);
    assert!(!silent.stderr.contains(&stranger.0.id().to_string()), "{}", silent.stderr);
    kill_process(supervisor, Signal::CONT).unwrap();
    down(&project);
}

/// Every file and folder of this user's below `folder`.
fn everything(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        found.push(entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            everything(&entry.path(), found);
        }
    }
}

/// Two services, one of which has run a job, and an environment that is locked.
const EVERYTHING: &str = r#"
[tox]
no_package = true

[testenv]
allowlist_externals = sh
ready = log:ready now
set_env =
    PIP_NO_INDEX = 1
    PIP_FIND_LINKS = {toxinidir}/links

[testenv:s]
runtime = system
serve = sh -c 'echo ready now; sleep 3600'

[testenv:t]
runtime = system
serve = sh -c 'echo ready now; sleep 3600'
depends = job

[testenv:job]
runtime = system
commands = sh -c true

[testenv:a]
depends = s, job
deps = one
commands = python -c 1
"#;

#[test]
fn files_follow_the_umask_and_what_is_private_is_closed_to_others() {
    for umask in [0o002, 0o022, 0o077] {
        let project = Project::new().with_uv().ini(EVERYTHING);
        let root = project.root().display().to_string();
        let user = project.path("user").display().to_string();
        let project = project.variable("XDG_RUNTIME_DIR", &root).variable("ENVO_STATE_DIR", &user);
        wheels::library(&project.path("links"), "one", "1.0");
        let mut before = Vec::new();
        everything(&project.root(), &mut before);
        let run = |arguments: &str| {
            let script = format!("umask {umask:03o}; exec \"$0\" {arguments}");
            project.run_program("sh", &["-c", &script, env!("CARGO_BIN_EXE_envo")]).succeeds()
        };
        run("run -e a --result-json result.json");
        run("up -e t --wait");
        run("lock -e a");
        let mut found = Vec::new();
        everything(&project.root(), &mut found);
        let mut private = 0;
        for path in found.iter().filter(|path| !path.is_symlink() && !before.contains(path)) {
            let is_in = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(project.path(folder)));
            let is_private =
                is_in(&[".tox/.envo", "envo"]) || path.is_file() && (is_in(&[".tox/a/log"]) || path.starts_with(&user));
            private += usize::from(is_private);
            let closed = if is_private { 0o077 } else { umask };
            // Installers make their locks, programs and modules as they like, in folders that follow the umask.
            let is_of_installer = path.ends_with(".lock")
                || path.parent().is_some_and(|folder| folder.ends_with("bin"))
                || path.ancestors().any(|folder| folder.ends_with("site-packages")) && path.is_file();
            assert!(mode(path) & closed == 0 || is_of_installer, "{}: {:o}", path.display(), mode(path));
        }
        assert!(private >= 11, "{private}");
        for file in ["result.json", "locks/pylock.a.toml", "envo.lock", ".tox/a/pyvenv.cfg", ".tox/CACHEDIR.TAG"] {
            assert_eq!(mode(&project.path(file)), 0o666 & !umask, "{file}");
        }
        run("down");
    }
}

#[test]
fn values_of_secrets_are_in_no_file_that_others_can_read() {
    let ini = "[tox]\nno_package = true\n[testenv]\nruntime = system\nallowlist_externals = sh\npass_env = *\nenv_file = \
               secrets\n[testenv:s]\nserve = sh -c 'echo ready now; exec sleep 3600'\nready = log:ready now\n[testenv:a]\n\
               depends = s\ncommands = sh -c 'exit 3'\n";
    let project = Project::new().ini(ini).file("secrets", "API_TOKEN=v4lue-file\n");
    let root = project.root().display().to_string();
    let user = project.path("user").display().to_string();
    let project = project.variable("XDG_RUNTIME_DIR", &root).variable("ENVO_STATE_DIR", &user);
    let project = project.variable("MY_PASSWORD", "v4lue-name").variable("DATABASE", "db://u:v4lue-url@h/");
    fs::set_permissions(project.path("secrets"), fs::Permissions::from_mode(0o600)).unwrap();
    project.run(["up", "-e", "s", "--wait"]).succeeds();
    project.run(["ps", "--format", "json"]).succeeds().never_says("v4lue");
    project.run(["run", "-e", "a", "--result-json", "result.json", "--junit-xml", "junit.xml"]).ends_with(3);
    project.run(["down"]).succeeds();
    let mut found = Vec::new();
    everything(&project.root(), &mut found);
    for path in found.iter().filter(|path| path.is_file()) {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        let is_log = path.starts_with(project.path(".tox/a/log"));
        let masked = !text.contains("v4lue-name") && (!text.contains("v4lue-file") || path.ends_with("secrets"));
        assert!(masked, "{}: {text}", path.display());
        assert!(!text.contains("v4lue-url") || is_log && mode(path) == 0o600, "{}: {text}", path.display());
    }
}

#[test]
fn logs_go_on_and_nothing_is_orphaned_when_the_folders_are_removed() {
    for removed in [".tox/.envo/log/db.log", ".tox/.envo/log", ".tox/.envo", ".tox"] {
        let project = project();
        up(&project);
        let mut words = words(&project);
        let mut following = project.start(["logs", "-f"]);
        following.line_with("ready now");
        let running = service(&project);
        let path = project.path(removed);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        std::io::Write::write_all(&mut words, b"after\n").unwrap();
        following.line_with("after");
        assert_eq!(service(&project), running, "{removed}");
        project.run(["logs"]).succeeds().says("after");
        project.run(["up", "-e", "db", "--wait"]).succeeds().says("(already running)");
        assert_eq!(service(&project), running, "{removed}");
        project.run(["restart", "db"]).succeeds();
        project.run(["wait", "db"]).succeeds();
        project.run(["down"]).succeeds().says("stopped: db");
        assert_eq!(following.end().code, 0);
        assert_eq!(project.processes(), [""; 0]);
    }
}

#[test]
fn with_other_variables_the_supervisor_is_found_although_its_record_was_removed() {
    let project = project();
    up(&project);
    let running = service(&project);
    fs::remove_dir_all(project.path(".tox")).unwrap();
    fs::create_dir(project.path("elsewhere")).unwrap();
    let elsewhere = project.path("elsewhere").display().to_string();
    let program = env!("CARGO_BIN_EXE_envo");
    let run = |verb: &str| project.run_program("env", &[&format!("XDG_RUNTIME_DIR={elsewhere}"), program, verb]);
    run("up").succeeds().says("db: ");
    assert_eq!(service(&project), running);
    run("down").succeeds().says("stopped: db");
    assert_eq!(project.processes(), [""; 0]);
}

/// Runs envo as another user, who has the project; `None`: this user cannot do that.
struct OtherUser {
    project: Project,
    program: String,
}

impl OtherUser {
    fn new(user: u32, what: &str) -> Option<Self> {
        if !geteuid().is_root() || !machine::has("setpriv") {
            machine::notice(&format!("not root: {what} is not tried"));
            return None;
        }
        let project = project();
        let program = project.path("program").display().to_string();
        fs::copy(env!("CARGO_BIN_EXE_envo"), &program).unwrap();
        let outside = project.root().parent().unwrap().to_path_buf();
        fs::set_permissions(outside, fs::Permissions::from_mode(0o755)).unwrap();
        project.run_program("chown", &["-R", &user.to_string(), "."]).succeeds();
        Some(Self { project, program })
    }

    fn run(&self, user: u32, words: &[&str]) -> Outcome {
        let user = [format!("--reuid={user}"), format!("--regid={user}")];
        let user = [&user[0], &user[1], "--clear-groups", "env", "XDG_RUNTIME_DIR=", "TMPDIR="];
        self.project.run_program("setpriv", &[&user[..], words].concat())
    }

    fn envo(&self, user: u32, words: &[&str]) -> Outcome {
        self.run(user, &[&[&*self.program], words].concat())
    }
}

/// A path in `/tmp` that is removed at the end.
struct Planted(PathBuf);

impl Drop for Planted {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn a_folder_for_sockets_that_another_user_has_made_keeps_no_service_from_running() {
    for (user, is_link) in [(864_201, false), (864_202, true)] {
        let Some(other) = OtherUser::new(user, "a folder that another user has made") else { return };
        let planted = Planted(PathBuf::from(format!("/tmp/envo-{user}")));
        if is_link { symlink("/tmp", &planted.0) } else { fs::create_dir(&planted.0) }.unwrap();
        let why = if is_link { "it is a symbolic link" } else { "it belongs to another user" };
        let started = other.envo(user, &["up", "-e", "db", "--wait"]).succeeds().says("db: ready");
        started.explains(&format!(
            "cannot use {} ({why}): the supervisor of the services listens at",
            planted.0.display()
        ));
        let again = other.envo(user, &["up", "-e", "db"]).succeeds();
        assert_eq!(again.stderr, "", "it is said once");
        let socket = PathBuf::from(fs::read_to_string(state(&other.project, "socket")).unwrap());
        assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
        other.envo(user, &["ps"]).succeeds().says("ready");
        fs::remove_dir_all(state(&other.project, "")).unwrap();
        other.envo(user, &["ps"]).succeeds().says("ready");
        other.envo(user, &["down"]).succeeds().says("stopped: db");
        assert!(!socket.parent().unwrap().exists(), "nothing is left");
        assert_eq!(other.project.processes(), [""; 0]);
    }
}

#[test]
fn another_user_can_neither_lock_nor_read_nor_connect() {
    let user = 864_203;
    let Some(other) = OtherUser::new(user, "what another user can do") else { return };
    let _folder = Planted(PathBuf::from(format!("/tmp/envo-{user}")));
    other.envo(user, &["up", "-e", "db", "--wait"]).succeeds();
    let socket = fs::read_to_string(state(&other.project, "socket")).unwrap();
    let state_dir = state(&other.project, "");
    // The way there is open; the rest must hold by itself.
    for folder in [Path::new(&socket).parent().unwrap(), &state_dir, &state_dir.join("log")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut files = Vec::new();
    everything(&state_dir, &mut files);
    assert!(files.len() >= 6, "{files:?}");
    let connect = format!("import socket; socket.socket(socket.AF_UNIX).connect({socket:?})");
    let refused = other.run(OTHER, &["python3", "-c", &connect]);
    assert!(refused.stderr.contains("PermissionError"), "{}", refused.stderr);
    for file in files.iter().filter(|file| file.is_file()) {
        let file = file.display().to_string();
        other.run(OTHER, &["flock", "--nonblock", &file, "true"]).explains("Permission denied");
        other.run(OTHER, &["cat", &file]).ends_with(1);
    }
    let ports = other.project.path("home/.local/state/envo/ports.lock");
    assert!(!ports.exists() || mode(&ports) == 0o600);
    other
        .envo(OTHER, &["ps"])
        .ends_with(1)
        .explains(&format!("another user: `uid {user}` runs their supervisor (pid "));
    other.envo(user, &["down"]).succeeds().says("stopped: db");
    other.envo(OTHER, &["ps"]).ends_with(1).explains(&format!("belong to another user, `uid {user}`"));
}

#[test]
fn links_in_a_circle_among_watched_files_are_no_endless_tree() {
    let gate = Gate::new();
    let project = Project::new()
        .file("gate.py", &gate.module())
        .file("service.py", "import signal\nfrom gate import tell\ntell('up')\nsignal.pause()\n")
        .file("data/deep/first", "1")
        .ini("[tox]\nno_package = true\n[testenv:service]\nserve = python service.py\nwatch =\n    data/**\n    data/*/*\n");
    for (target, link) in
        [(".", "data/dot"), ("..", "data/deep/up"), ("../..", "data/deep/root"), ("self", "data/self")]
    {
        symlink(target, project.path(link)).unwrap();
    }
    project.run_program("timeout", &["60", env!("CARGO_BIN_EXE_envo"), "up", "-e", "service", "--wait"]).succeeds();
    assert_eq!(gate.next(), "up");
    fs::write(project.path("data/deep/second"), "2").unwrap();
    assert_eq!(gate.next(), "up", "a change is seen");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [""; 0]);
}
