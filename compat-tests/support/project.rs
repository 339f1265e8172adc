//! Creates a project in a temporary folder, and runs the program in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getpgid, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use crate::support::filters;
use crate::support::machine;
use crate::support::real_tox;
use crate::support::running::Running;

/// The folder `fixtures/` of this repository.
pub fn fixtures_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A project, an empty home and an empty cache, all gone when the test ends.
pub struct Project {
    folder: TempDir,
    variables: Vec<(String, String)>,
    with_old_interpreters: bool,
    cache: PathBuf,
}

impl Project {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("envo-test-").tempdir().expect("a folder can be made");
        for name in ["project", "home", "cache"] {
            fs::create_dir(folder.path().join(name)).expect("a folder can be made");
        }
        let cache = folder.path().join("cache");
        let project = Self { folder, variables: Vec::new(), with_old_interpreters: false, cache };
        project.share_seeds();
        project
    }

    /// Puts what new environments hold from the start into the cache: fetched once for all tests, as for a user.
    fn share_seeds(&self) {
        static SEEDS: LazyLock<PathBuf> = LazyLock::new(|| {
            let cache = machine::kept_folder("seeds-cache");
            let folder = tempfile::Builder::new().prefix("envo-test-").tempdir().expect("a folder can be made");
            for name in ["project", "home"] {
                fs::create_dir(folder.path().join(name)).expect("a folder can be made");
            }
            let project = Project { folder, variables: Vec::new(), with_old_interpreters: false, cache: cache.clone() };
            project.ini("[tox]\nno_package = true\n").run(["run", "-e", "py"]).succeeds();
            cache.join("tools-2/virtualenv")
        });
        fs::create_dir(self.cache.join("tools-2")).expect("a folder can be made");
        std::os::unix::fs::symlink(&*SEEDS, self.cache.join("tools-2/virtualenv")).expect("a link can be made");
    }

    /// A copy of `fixtures/NAME`.
    pub fn fixture(name: &str) -> Self {
        let project = Self::new();
        copy(&fixtures_folder().join(name), &project.root());
        project
    }

    pub fn ini(self, text: &str) -> Self {
        self.file("tox.ini", text)
    }

    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("the path lies in the project")).expect("a folder can be made");
        fs::write(path, text).expect("a file can be written");
        self
    }

    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets the program see the other interpreters of this machine too.
    pub fn with_old_interpreters(mut self) -> Self {
        self.with_old_interpreters = true;
        self
    }

    /// Keeps envo's cache from one test run to the next, for tests that would download otherwise.
    pub fn with_kept_cache(mut self) -> Self {
        self.cache = machine::kept_folder("compat-cache");
        self
    }

    /// Uses the cache of another project.
    pub fn with_cache_of(mut self, other: &Self) -> Self {
        self.cache.clone_from(&other.cache);
        self
    }

    /// A path in envo's cache.
    pub fn cached(&self, path: &str) -> PathBuf {
        self.cache.join(path)
    }

    /// Lets uv do the work: one that envo has fetched for all tests that ask for it.
    pub fn with_uv(mut self) -> Self {
        static CACHE: LazyLock<PathBuf> = LazyLock::new(|| {
            let cache = machine::kept_folder("uv-cache");
            let mut project = Project::new().ini("[tox]\nno_package = true\n[testenv]\ndeps = six\n");
            project.cache.clone_from(&cache);
            // It comes with the first installation.
            project.variable("ENVO_INSTALLER", "uv").run(["run", "-e", "py"]).succeeds();
            cache
        });
        self.cache.clone_from(&CACHE);
        self.variable("ENVO_INSTALLER", "uv")
    }

    /// Lets the program see the caller's Rust and what npm was told of its registry.
    pub fn with_toolchains(mut self) -> Self {
        self.variables.extend(machine::toolchain_variables());
        self
    }

    /// Takes files over from another project.
    pub fn adopt(&self, other: &Self, files: &[&str]) {
        for file in files {
            let place = self.path(file);
            fs::create_dir_all(place.parent().expect("the path lies in the project")).expect("a folder can be made");
            fs::copy(other.path(file), place).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Runs envo in the project's folder.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.finish(self.command(Path::new(env!("CARGO_BIN_EXE_envo"))).args(arguments))
    }

    /// Runs another program in the project's folder.
    pub fn run_program(&self, program: &str, arguments: &[&str]) -> Outcome {
        self.finish(self.command(Path::new(program)).args(arguments))
    }

    /// Runs envo with both of its streams on one pipe: the answer's `stdout` has them as a terminal would show them.
    pub fn run_merged<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        let (mut reader, writer) = io::pipe().expect("a pipe can be made");
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_envo")));
        command.args(arguments).stdout(writer.try_clone().expect("a pipe's end can be copied")).stderr(writer);
        let mut child = command.spawn().expect("the program can be started");
        // The command holds this process's copies of the pipe's end, without which reading would never finish.
        drop(command);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("the pipe can be read");
        let status = child.wait().expect("it can be waited for");
        Outcome { code: status.code(), stdout: self.filtered(&bytes), stderr: String::new() }
    }

    /// Runs envo in a folder below the project's.
    pub fn run_in<A: AsRef<OsStr>>(&self, folder: &str, arguments: impl IntoIterator<Item = A>) -> Outcome {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_envo")));
        self.finish(command.current_dir(self.path(folder)).args(arguments))
    }

    /// Runs the pinned real tox in the project's folder.
    pub fn run_tox<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.run_tox_with(&[], arguments)
    }

    /// [`Self::run_tox`] with plugins of tox beside it.
    pub fn run_tox_with<A: AsRef<OsStr>>(&self, plugins: &[&str], arguments: impl IntoIterator<Item = A>) -> Outcome {
        let mut command = self.command(&real_tox::program(plugins));
        command.env("VIRTUALENV_OVERRIDE_APP_DATA", machine::kept_folder("real-tox-data"));
        self.finish(command.args(arguments))
    }

    /// Starts envo and does not wait for its end.
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        Running::start(self.command(Path::new(env!("CARGO_BIN_EXE_envo"))).args(arguments))
    }

    /// The same with this standard input.
    pub fn start_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: impl Into<Stdio>,
    ) -> Running {
        Running::start(self.command(Path::new(env!("CARGO_BIN_EXE_envo"))).args(arguments).stdin(input))
    }

    /// The same on a terminal.
    pub fn start_on_terminal<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_envo")));
        Running::start_on_terminal(command.env("TERM", "xterm").args(arguments))
    }

    /// Processes that still have to do with this project: it shows in their arguments, folder or variables.
    pub fn processes(&self) -> Vec<String> {
        let root = self.root();
        let needle = root.to_string_lossy();
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|entry| {
                let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
                let arguments = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                let variables = String::from_utf8_lossy(&read("environ")).into_owned();
                let inside = fs::read_link(entry.path().join("cwd")).is_ok_and(|folder| folder.starts_with(&root));
                let found = inside || arguments.contains(&*needle) || variables.contains(&*needle);
                found.then(|| format!("{} {arguments}", entry.file_name().to_string_lossy()))
            })
            .collect()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.root())
            .env_clear()
            .envs(machine::index_variables())
            .env("PATH", machine::search_path(self.with_old_interpreters))
            .env("HOME", self.folder.path().join("home"))
            .env("ENVO_CACHE_DIR", &self.cache)
            // Shared by all tests, as by all projects of a user: no port is given to two of them.
            .env("ENVO_STATE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
            .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            // With an empty cache every test would fetch a uv of its own.
            .env("ENVO_INSTALLER", "pip")
            .env("LANG", "C.UTF-8")
            .env("TERM", "dumb")
            .env("NO_COLOR", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    fn finish(&self, command: &mut Command) -> Outcome {
        let output = command.output().expect("the program can be started");
        Outcome {
            code: output.status.code(),
            stdout: self.filtered(&output.stdout),
            stderr: self.filtered(&output.stderr),
        }
    }

    fn filtered(&self, bytes: &[u8]) -> String {
        let home = self.folder.path().join("home");
        filters::apply(&String::from_utf8_lossy(bytes), &[(&self.root(), "[ROOT]"), (&home, "[HOME]")])
    }
}

impl Drop for Project {
    /// Ends the supervisors that a test which failed half-way has left running here, and with them their services.
    fn drop(&mut self) {
        for process in self.processes().iter().filter(|process| process.contains(" __supervise ")) {
            let Some(pid) = process.split(' ').next().and_then(|number| Pid::from_raw(number.parse().ok()?)) else {
                continue;
            };
            // It leads a group, to which its shims belong.
            if getpgid(Some(pid)) != Ok(pid) {
                continue;
            }
            let Ok(end) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // The second one kills what does not end by itself.
            for signal in [Signal::TERM, Signal::INT] {
                let _ = pidfd_send_signal(&end, signal);
            }
            let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
            let _ = poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&limit));
        }
    }
}

/// What a run printed, filtered, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Fails the test, with everything that was printed, unless the program ended with `code`.
    #[track_caller]
    pub fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.ends_with(0)
    }

    /// Fails the test unless `text` is somewhere on standard output.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no `{text}` in\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless `text` is somewhere on standard error.
    #[track_caller]
    pub fn explains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no `{text}` in\nstderr:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }

    /// Fails the test if `text` is somewhere on standard error.
    #[track_caller]
    pub fn never_explains(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "`{text}` in:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "`{text}` in\nstdout:\n{}", self.stdout);
        self
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten() {
        let name = entry.file_name();
        // What a run by hand left in the fixture is no part of it.
        if [".tox", "__pycache__", "build"].iter().any(|left| name == *left)
            || name.to_string_lossy().ends_with(".egg-info")
        {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).expect("a file can be copied");
        }
    }
}
