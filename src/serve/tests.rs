//! Tests services as real processes. Gates are files and named pipes; nothing waits for time to pass except a
//! timeout under test.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::event::{Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{AllowedPrograms, CommandCapture, CommandSession};
use crate::model::environment::{
    CommandLists, ContentSettings, CreationSettings, Dependencies, EnvFolders, EnvRelations, Environment,
    EnvironmentKind, ExecutionSettings, InstallSettings, PackageRole, PythonChoice, Timeouts, VariableSettings,
};
use crate::model::service::PortSetting;
use crate::model::{Command, Deferred, EnvVariables, ServiceSettings};
use crate::serve::protocol::ServiceDefinition;
use crate::serve::shim::message::{ShimEvent, ShimTask};
use crate::serve::supervisor::SupervisorMessage;
use crate::serve::supervisor::faults::FaultScope;

mod keeping;

/// Not a test: the tests below start it as their shim forker, since the test program is not envo.
#[test]
#[ignore = "is started by other tests, with a socket as its standard input"]
fn acts_as_forker() {
    let mark = std::env::args().next_back().unwrap();
    // SAFETY: with `--test-threads=1` the only test runs on the thread that the process began with.
    assert_eq!(unsafe { shim::forker::main(&mark) }, 0);
}

fn forker_program(mark: &str) -> shim::forker::ShimProgram {
    let arguments = ["serve::tests::acts_as_forker", "--exact", "--ignored", "--nocapture", "--test-threads=1", mark];
    shim::forker::ShimProgram {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.into_iter().map(Into::into).collect(),
    }
}

#[derive(Default)]
struct SupervisorEvents(Mutex<Vec<RunEvent>>);

impl Reporter for SupervisorEvents {
    fn event(&self, event: RunEvent) {
        self.0.lock().push(event);
    }
}

struct SupervisorFixture {
    folder: tempfile::TempDir,
    recorder: Arc<SupervisorEvents>,
    interrupt: Interrupt,
    services: Vec<PreparedService>,
    supervisor: Option<JoinHandle<()>>,
    messages: Option<Sender<SupervisorMessage>>,
}

/// A built environment.
struct PreparedService {
    environment: Environment,
    session: CommandSession,
}

impl SupervisorFixture {
    fn new() -> Self {
        crate::execute::tree::adopt_orphans();
        Self {
            folder: tempfile::tempdir().unwrap(),
            recorder: Arc::default(),
            interrupt: Interrupt::default(),
            services: Vec::new(),
            supervisor: None,
            messages: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn log(&self, name: &str) -> String {
        self.file(&format!("state/log/{name}.log"))
    }

    /// Adds a service that runs a shell script.
    fn service(
        mut self,
        name: &str,
        depends: &[&str],
        script: &str,
        change: impl FnOnce(&mut ServiceSettings),
    ) -> Self {
        let file = format!("{name}.sh");
        fs::write(self.path(&file), script).unwrap();
        let mut service = ServiceSettings::new(format!("sh {file}"));
        service.stopping.stop_timeout = Duration::from_secs(60);
        change(&mut service);
        let prepared = self.prepared(name, depends, Some(service));
        self.services.push(prepared);
        self
    }

    fn job(mut self, name: &str, script: &str) -> Self {
        let mut prepared = self.prepared(name, &[], None);
        prepared.environment.execution.commands.main = Deferred::ready(vec![shell(script)]);
        self.services.push(prepared);
        self
    }

    fn prepared(&self, name: &str, depends: &[&str], service: Option<ServiceSettings>) -> PreparedService {
        let root = self.folder.path().to_path_buf();
        let mut variables = EnvVariables::default();
        variables.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        variables.set("TOX_ENV_NAME", name);
        variables.set("TOX_ENV_DIR", root.join(name));
        let timeouts = Timeouts {
            suicide: Duration::ZERO,
            interrupt: Duration::from_millis(100),
            terminate: Duration::from_millis(100),
        };
        let session = CommandSession {
            environment: name.into(),
            programs: AllowedPrograms { paths: Vec::new(), allow: vec!["*".into()] },
            variables,
            log_dir: root.join("log"),
            log_number: Arc::default(),
            not_found: Arc::default(),
            timeouts,
            current_dir: root.clone(),
            grouping: ProcessGrouping::Shared,
            after_interrupt: false,
            verbosity: 2,
            interrupt: self.interrupt.clone(),
            reporter: self.recorder.clone(),
            capture: CommandCapture::default(),
        };
        let mut environment = environment(name, &root, timeouts);
        environment.relations.depends = depends.iter().map(|one| (*one).to_owned()).collect();
        environment.service = service;
        PreparedService { environment, session }
    }

    fn options(&self) -> HoldOptions {
        HoldOptions {
            state_dir: self.path("state"),
            variables: [("XDG_RUNTIME_DIR".into(), self.folder.path().into())].into_iter().collect(),
            reporter: self.recorder.clone(),
            interrupt: self.interrupt.clone(),
            show_output: true,
            change: true,
            force: false,
            client: "test".into(),
            supervisor: SupervisorProgram("/no/such/program".into()),
        }
    }

    fn place(&self) -> client::socket_path::SupervisorLocation {
        let options = self.options();
        client::socket_path::SupervisorLocation::of(&options.state_dir, &options.variables).unwrap()
    }

    /// Runs a supervisor in a thread of this process.
    fn supervise(&mut self) {
        let mut place = self.place();
        let (listener, lock) = (place.listen().unwrap(), place.try_lock().unwrap().unwrap());
        let mark = shim::instance_mark::supervisor(&shim::instance_mark::project(&place.state_dir));
        let forker = shim::forker::ShimForker::start(forker_program(&mark)).unwrap();
        let state_dir = place.state_dir;
        let (sender, receiver) = channel();
        self.messages = Some(sender.clone());
        self.supervisor = Some(std::thread::spawn(move || {
            supervisor::process::serve((sender, receiver), (listener, lock), forker, mark, state_dir).unwrap()
        }));
    }

    fn definitions(&mut self) -> Vec<ServiceDefinition> {
        let services = std::mem::take(&mut self.services);
        let graph =
            graph::ServiceGraph::new(services.iter().map(|one| graph::GraphMember::from(&one.environment)).collect());
        let define = |(at, one): (usize, PreparedService)| ServiceDefinition {
            depends: graph.dependencies_of(at),
            ..define(&one.environment, &one.session).unwrap()
        };
        services.into_iter().enumerate().map(define).collect()
    }

    fn start(&mut self) -> anyhow::Result<ServiceLease> {
        self.supervise();
        ServiceLease::start(self.definitions(), &self.options())
    }

    /// Runs a foreground `serve` on a thread of its own.
    fn serve(&mut self) -> JoinHandle<anyhow::Result<i32>> {
        self.supervise();
        let definitions = self.definitions();
        let want = definitions.iter().map(|one| one.name.clone()).collect();
        let options = self.options();
        std::thread::spawn(move || serve_foreground(connect(&options)?, definitions, want, &options))
    }

    fn failure(&mut self) -> String {
        self.start().map(|_| ()).unwrap_err().to_string()
    }
}

impl Drop for SupervisorFixture {
    fn drop(&mut self) {
        if let Some(supervisor) = self.supervisor.take()
            && !std::thread::panicking()
        {
            supervisor.join().unwrap();
        }
    }
}

fn shell(script: &str) -> Command {
    Command::from_words(vec!["sh".into(), "-c".into(), script.into()])
}

fn environment(name: &str, root: &Path, timeouts: Timeouts) -> Environment {
    let none = || Deferred::ready(Vec::new());
    Environment {
        name: name.to_owned(),
        kind: EnvironmentKind::Run,
        runner: "virtualenv".into(),
        description: Deferred::ready(String::new()),
        folders: EnvFolders {
            env_dir: root.join(name),
            tmp_dir: root.join(name).join("tmp"),
            log_dir: root.join(name).join("log"),
        },
        python: PythonChoice { base_python: Vec::new(), skip_missing_interpreters: false, install_python: false },
        platform: String::new(),
        creation: CreationSettings {
            recreate: false,
            system_site_packages: false,
            always_copy: false,
            download: false,
            virtualenv_spec: String::new(),
            seeds: crate::model::environment::Seeds::Virtualenv,
            prompt: None,
        },
        contents: ContentSettings {
            installation: InstallSettings {
                command: Deferred::ready(shell("")),
                command_is_default: true,
                installer: crate::model::environment::InstallerChoice::Automatic,
                list_dependencies_command: shell(""),
                pip_pre: false,
                constraints: Deferred::ready(Default::default()),
                constrain_package_deps: false,
                use_frozen_constraints: false,
            },
            dependencies: Dependencies {
                deps: Deferred::ready(Default::default()),
                groups: Vec::new(),
                extras: Vec::new(),
                pylock: String::new(),
                platforms: Vec::new(),
            },
            uv: None,
            script: None,
        },
        package: PackageRole { packaging: None, build: None, package_of_runtime: None },
        variables: VariableSettings {
            pass: Vec::new(),
            disallow: Vec::new(),
            set: Deferred::ready(Vec::new()),
            secrets: Vec::new(),
            written: Deferred::ready(Vec::new()),
        },
        execution: ExecutionSettings {
            allowlist_externals: Vec::new(),
            timeouts,
            commands: CommandLists {
                recreate: none(),
                extra_setup: none(),
                pre: none(),
                main: none(),
                post: none(),
                ignore_errors: false,
                retries: 0,
                post_after_interrupt: false,
            },
            change_dir: Deferred::ready(root.to_path_buf()),
            ignore_outcome: false,
            fail_fast: false,
            parallel_show_output: false,
            parallel_share_cores: false,
        },
        relations: EnvRelations {
            depends: Vec::new(),
            restarts_with: Vec::new(),
            depends_inherited: None,
            layer_on: None,
            asks: Vec::new(),
        },
        service: None,
        runtimes: Vec::new(),
    }
}

fn alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// A service that records its start and its stop, and reports its readiness.
fn noted(name: &str) -> String {
    format!(
        "trap 'echo {name} down >> notes; exit 0' TERM\necho {name} up >> notes\necho listening on port 42\n\
         while :; do sleep 1000 & wait $!; done"
    )
}

fn by_log(service: &mut ServiceSettings) {
    service.probes.ready = Some(r"log:listening on port (?P<port>\d+)".into());
}

#[test]
fn services_start_after_and_stop_before_their_dependencies() {
    let mut fixture = SupervisorFixture::new()
        .service("app", &["d*"], &noted("app"), by_log)
        .service("db", &["base"], &noted("db"), by_log)
        .service("base", &[], &noted("base"), by_log);
    let stack = fixture.start().unwrap();
    assert_eq!(fixture.file("notes"), "base up\ndb up\napp up\n");
    assert_eq!(
        fields::fill("{service:db:port} {service:db:url}", &stack.instances()).unwrap(),
        "42 tcp://127.0.0.1:42"
    );
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "base up\ndb up\napp up\napp down\ndb down\nbase down\n");
    let shown = fixture.recorder.0.lock();
    let ready = |event: &&RunEvent| matches!(event, RunEvent::Service { state, .. } if state == "ready");
    assert_eq!(shown.iter().filter(ready).count(), 3);
    let lines = |event: &&RunEvent| {
        matches!(event, RunEvent::ServiceOutput { service, line, .. }
            if service == "db" && line.ends_with(b"listening on port 42\n"))
    };
    assert_eq!(shown.iter().filter(lines).count(), 1);
}

#[test]
fn nothing_a_service_started_outlives_it() {
    let script = "( trap '' TERM INT; echo ready > gate; while :; do sleep 1001; done ) & echo $! > stubborn\n\
                  sleep 1002 & echo $! > background\nsetsid sh -c 'echo $$ > daemon; exec sleep 1003' &\n\
                  sh -c '( echo $$ > parent; exec sleep 1004 ) & exit 0'\n\
                  echo $$ > leader\nread x < gate\nuntil test -s daemon; do sleep 0.01; done\necho all up\n\
                  trap 'exit 0' TERM\nwhile :; do sleep 1000 & wait $!; done";
    let mut fixture = SupervisorFixture::new().service("tree", &[], script, |service| {
        service.probes.ready = Some("log:all up".into());
        service.stopping.stop_timeout = Duration::from_millis(100);
    });
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let stack = fixture.start().unwrap();
    let kinds = ["leader", "stubborn", "background", "daemon"];
    assert!(kinds.iter().all(|kind| alive(&fixture.file(kind))));
    stack.stop().unwrap();
    for kind in kinds {
        assert!(!alive(&fixture.file(kind)), "{kind} is left");
    }
}

#[test]
fn the_shim_ends_everything_when_envo_is_gone() {
    let fixture = SupervisorFixture::new();
    let script = "( trap '' TERM; sleep 1001 ) & echo $! > stubborn\nsetsid sleep 1002 & echo $! > daemon\n\
                  echo $$ > leader\necho up\nexec sleep 1003";
    let mut forker = shim::forker::ShimForker::start(forker_program("unused")).unwrap();
    let shim::forker::ServicePipes { mut requests, mut output, mut events } =
        forker.shim(false, &fixture.path("log"), &[]).unwrap();
    let mut variables = EnvVariables::default();
    variables.set("PATH", "/usr/bin:/bin");
    ShimTask {
        program: "sh".into(),
        arguments: vec!["-c".into(), script.into()],
        cwd: fixture.folder.path().to_path_buf(),
        log: fixture.path("log"),
        variables,
        stop_signal: libc::SIGTERM,
    }
    .write(&mut requests)
    .unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"up\n") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1);
        seen.extend(byte);
    }
    drop(requests);
    let mut received = String::new();
    events.read_to_string(&mut received).unwrap();
    for kind in ["leader", "stubborn", "daemon"] {
        assert!(!alive(&fixture.file(kind)), "{kind} is left");
    }
    let events: Vec<ShimEvent> = received.lines().filter_map(|line| ShimEvent::from_line(line.as_bytes())).collect();
    assert!(matches!(events[..], [ShimEvent::Started { .. }, ShimEvent::Exited(-15), ShimEvent::Gone]), "{events:?}");
}

#[test]
fn a_forker_that_was_killed_is_replaced() {
    let fixture = SupervisorFixture::new();
    let mut forker = shim::forker::ShimForker::start(forker_program("unused")).unwrap();
    forker.kill();
    let mut pipes = forker.shim(false, &fixture.path("log"), &[]).unwrap();
    let (program, arguments) = ("sh".into(), vec!["-c".into(), "echo here".into()]);
    let mut variables = EnvVariables::default();
    variables.set("PATH", "/usr/bin:/bin");
    let cwd = fixture.folder.path().to_path_buf();
    ShimTask { program, arguments, cwd, log: fixture.path("log"), variables, stop_signal: libc::SIGTERM }
        .write(&mut pipes.requests)
        .unwrap();
    let mut output = String::new();
    pipes.output.read_to_string(&mut output).unwrap();
    assert_eq!(output, "here\n");
}

#[test]
fn a_service_that_exits_early_is_an_error_with_its_last_lines() {
    let mut fixture = SupervisorFixture::new()
        .service("db", &[], &noted("db"), by_log)
        .service("bad", &["db"], "echo first; echo what went wrong >&2; exit 3", |service| {
            service.probes.ready = Some("log:never".into());
            service.location = "tox.ini:9".into();
        })
        .service("late", &["bad"], "touch started", |_| {});
    let failure = fixture.failure();
    assert!(
        failure.starts_with("`bad` (tox.ini:9) exited with code 3 before it was ready\nits last lines:\n"),
        "{failure}"
    );
    assert!(failure.ends_with("first\n  what went wrong"), "{failure}");
    assert_eq!(fixture.file("notes"), "db up\ndb down\n", "what was started is stopped");
    assert!(!fixture.path("started").exists());
}

#[test]
fn a_service_that_is_never_ready_fails_after_its_timeout() {
    let mut fixture = SupervisorFixture::new().service("slow", &[], "echo thinking; exec sleep 1000", |service| {
        service.probes.ready = Some("log:never".into());
        service.probes.ready_timeout = Duration::from_millis(200);
    });
    let failure = fixture.failure();
    assert!(failure.starts_with("`slow` was not ready after 0.2 s"), "{failure}");
    assert!(failure.ends_with("thinking"), "{failure}");
}

#[test]
fn a_failed_start_is_reported_with_its_reason() {
    let mut fixture =
        SupervisorFixture::new().service("a", &[], "", |service| service.serve = "./no-such-program".into());
    let failure = fixture.failure();
    assert!(failure.starts_with("`a` cannot be started: `serve = ./no-such-program`: No such file"), "{failure}");
    let mut fixture = SupervisorFixture::new().service("a", &[], "", |service| service.serve = "sh {port}".into());
    assert_eq!(fixture.failure(), "`a` cannot be started: `a` has no `ports`");
    let mut fixture = SupervisorFixture::new().service("a", &[], "", |_| {});
    fixture.services[0].session.programs.allow.clear();
    assert!(fixture.failure().contains("sh (resolves to /usr/bin/sh) is not allowed") || fixture.services.is_empty());
}

#[test]
fn a_port_in_use_stops_everything_before_anything_starts() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let number = taken.local_addr().unwrap().port();
    let mut fixture =
        SupervisorFixture::new().service("first", &[], "touch started", |_| {}).service("web", &[], "", |service| {
            service.address.ports = vec![PortSetting { name: "http".into(), number: Some(number) }];
        });
    let failure = fixture.failure();
    assert!(failure.contains(&format!("`web` needs port {number}, which is in use by ")), "{failure}");
    assert!(!fixture.path("started").exists());
}

#[test]
fn jobs_run_to_their_end_before_the_services_that_need_them() {
    let mut fixture = SupervisorFixture::new()
        .service("app", &["migrate"], &noted("app"), by_log)
        .job("migrate", "echo migrate done >> notes");
    let stack = fixture.start().unwrap();
    assert_eq!(fixture.file("notes"), "migrate done\napp up\n");
    stack.stop().unwrap();
    let mut fixture =
        SupervisorFixture::new().service("app", &["migrate"], &noted("app"), by_log).job("migrate", "exit 4");
    assert_eq!(fixture.failure(), "`migrate` exited with code 4 before it was ready");
    assert_eq!(fixture.file("notes"), "");
}

#[test]
fn commands_run_before_a_service_starts_and_after_it_has_stopped() {
    let mut fixture =
        SupervisorFixture::new().service("db", &[], &noted("db"), by_log).service("a", &["db"], &noted("a"), by_log);
    let commands = &mut fixture.services[1].environment.execution.commands;
    commands.pre = Deferred::ready(vec![shell("echo before with {service:db:port} $ENVO_DB_PORT >> notes")]);
    commands.post = Deferred::ready(vec![shell("echo after >> notes")]);
    let stack = fixture.start().unwrap();
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "db up\nbefore with 42 42\na up\na down\nafter\ndb down\n");
    let mut fixture = SupervisorFixture::new().service("a", &[], &noted("a"), by_log);
    let script = "echo made: 1; printf 'no room' >&2; exit 2";
    fixture.services[0].environment.execution.commands.pre = Deferred::ready(vec![shell("echo early"), shell(script)]);
    let expected = "`a` `commands_pre` failed with exit code 2\nits last lines:\n  made: 1\n  no room";
    assert_eq!(fixture.failure(), expected);
    assert_eq!(fixture.file("notes"), "");
}

#[test]
fn a_service_gets_its_ports_and_its_dependencies_addresses() {
    let script = "echo \"$@\" $ENVO_MY_DB_URL $ADDRESS > seen; echo listening on port 1; exec sleep 1000";
    let mut fixture = SupervisorFixture::new()
        .service("my-db", &[], "exec sleep 1000", |service| {
            service.probes.ready = Some("alive".into());
            service.address.url = Some("db://{host}:{port}".into());
            service.address.ports = vec![PortSetting { name: "sql".into(), number: None }];
        })
        .service("a", &["my-db"], script, |service| {
            by_log(service);
            service.serve = "sh a.sh {service:my-db:url} '{service:my-db:port:sql}'".into();
        });
    let address = "<{service:my-db:host}>";
    fixture.services[1].session.variables.set("ADDRESS", address);
    fixture.services[1].environment.variables.written = Deferred::ready(vec![("ADDRESS".into(), address.into())]);
    let stack = fixture.start().unwrap();
    let port = stack.instances().get("my-db").unwrap().ports[0].1;
    stack.stop().unwrap();
    let url = format!("db://127.0.0.1:{port}");
    assert_eq!(fixture.file("seen"), format!("{url} {port} {url} <127.0.0.1>\n"));
}

#[test]
fn a_failure_after_readiness_ends_the_services() {
    let mut fixture = SupervisorFixture::new().service("db", &[], &noted("db"), by_log).service(
        "a",
        &["db"],
        "echo listening on port 1; read x < gate; echo gone wrong; exit 5",
        by_log,
    );
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let serving = fixture.serve();
    fs::write(fixture.path("gate"), "go\n").unwrap();
    let failure = serving.join().unwrap().unwrap_err().to_string();
    assert!(failure.starts_with("`a` exited with code 5\n") && failure.ends_with("gone wrong"), "{failure}");
    assert_eq!(fixture.file("notes"), "db up\ndb down\n");
}

#[test]
fn a_service_that_fails_is_started_again_when_it_asks_for_it() {
    let script = "echo up >> notes\nif test $(wc -l < notes) -lt 3; then exit 1; fi\n\
                  echo listening on port 1; exec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.restarts.restart = crate::model::service::RestartPolicy::OnFailure;
    });
    fixture.start().unwrap().stop().unwrap();
    assert_eq!(fixture.file("notes"), "up\nup\nup\n");
}

#[test]
fn an_interrupt_stops_services_in_order_and_is_not_a_failure() {
    let script = format!("echo started > gate\n{}", noted("a"));
    let mut fixture =
        SupervisorFixture::new().service("db", &[], &noted("db"), by_log).service("a", &["db"], &script, by_log);
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let serving = fixture.serve();
    assert_eq!(fixture.file("gate"), "started\n");
    fixture.interrupt.request();
    assert_eq!(serving.join().unwrap().unwrap(), 0);
    assert!(fixture.file("notes").ends_with("db down\n"), "{}", fixture.file("notes"));
}

#[test]
fn an_interrupt_while_services_start_stops_them() {
    let script = format!("echo waiting > gate\n{}", noted("a"));
    let mut fixture =
        SupervisorFixture::new().service("a", &[], &script, |service| service.probes.ready = Some("log:never".into()));
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let (gate, interrupt) = (fixture.path("gate"), fixture.interrupt.clone());
    let user = std::thread::spawn(move || {
        assert_eq!(fs::read_to_string(gate).unwrap(), "waiting\n");
        interrupt.request();
    });
    let error = fixture.start().map(|_| ()).unwrap_err();
    user.join().unwrap();
    assert!(matches!(error.downcast_ref(), Some(crate::env_error::EnvError::Interrupted)), "{error}");
}
