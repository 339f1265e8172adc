//! Tests that no process of a service survives when envo is terminated or killed, whichever of its processes that is
//! and however the service's processes resist.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::serving::supervisor::{Connection, project};
use crate::support::gate::{Gate, PATIENCE};
use crate::support::project::Project;
use crate::support::running::{Ended, Running};

/// A service that starts one process of every kind that tends to survive; each tells its kind and its number. Two of
/// them have left the project's folder, one of these the session and the streams, the other all its variables.
const TREE: &str = r#"
( trap "" TERM INT HUP; tell "stubborn $BASHPID"; while :; do sleep 3600; done ) &
( ( tell "grandchild $BASHPID"; exec sleep 3600 ) & wait ) &
( setsid bash -c "$(declare -f tell); cd /; tell \"daemon \$\$\"; exec sleep 3600" < /dev/null &> /dev/null & ) &
( env -i bash -c "$(declare -f tell); cd /; tell \"cleaned \$\$\"; exec sleep 3600" & ) &
sleep 3600 &
tell "child $!"
trap 'exit 0' TERM INT
tell "leader $$"
wait
"#;

const KINDS: [&str; 6] = ["child", "cleaned", "daemon", "grandchild", "leader", "stubborn"];

const CONFIGURATION: &str = r#"
[tox]
no_package = true

[testenv:tree]
skip_install = true
allowlist_externals = bash
serve = bash tree.sh
stop_timeout = 1
"#;

/// A process that was running when it was opened. The descriptor means that process and no later one of its number.
struct Watched {
    name: String,
    descriptor: OwnedFd,
}

impl Watched {
    fn open(name: &str, number: &str) -> Option<Self> {
        let pid = number.parse().ok().and_then(Pid::from_raw).unwrap_or_else(|| panic!("`{number}` is no process"));
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { name: name.to_owned(), descriptor })
    }

    fn signal(&self, signal: Signal) {
        // It may have ended just now.
        let _ = pidfd_send_signal(&self.descriptor, signal);
    }
}

/// Waits until all have ended; after [`PATIENCE`] it kills and answers those that have not.
fn survivors(mut watched: Vec<Watched>) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    while !watched.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut ends: Vec<PollFd<'_>> = watched.iter().map(|one| PollFd::new(&one.descriptor, PollFlags::IN)).collect();
        match poll(&mut ends, Some(&timeout)) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("the ends of processes cannot be waited for: {error}"),
        }
        let mut ended = ends.iter().map(|end| !end.revents().is_empty()).collect::<Vec<_>>().into_iter();
        watched.retain(|_| ended.next() == Some(false));
    }
    watched.iter().for_each(|one| one.signal(Signal::KILL));
    watched.into_iter().map(|one| one.name).collect()
}

/// A foreground `envo serve` whose service is up.
struct Serving {
    client: Running,
    supervisor: Watched,
    /// All processes of the service, and whatever else runs for the project: the shim, the shim forker, the two above.
    all: Vec<Watched>,
}

impl Serving {
    fn start(project: &Project, gate: &Gate) -> Self {
        let mut client = project.start(["serve", "-e", "tree"]);
        let told = KINDS.map(|_| gate.next());
        let mut kinds = told.each_ref().map(|word| word.split_once(' ').expect("a kind and a number"));
        kinds.sort_unstable();
        assert_eq!(kinds.map(|(kind, _)| kind), KINDS);
        client.line_with("tree: ready");
        let (_, supervisor) = Connection::greeted(project);
        let supervisor = Watched::open("supervisor", &supervisor.to_string()).expect("it answered");
        let mut all: Vec<Watched> = kinds
            .iter()
            .map(|(kind, number)| Watched::open(kind, number).unwrap_or_else(|| panic!("{kind} has ended")))
            .collect();
        let rest = project.processes();
        all.extend(rest.iter().filter_map(|line| Watched::open(line, line.split(' ').next()?)));
        Self { client, supervisor, all }
    }
}

/// Which of envo's processes get the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hit {
    Client,
    Supervisor,
    Both,
}

/// How the foreground `serve` ends: a lease is worthless without its supervisor, and this is reported.
#[track_caller]
fn check_end(hit: Hit, signal: Signal, ended: &Ended) {
    let (code, text) = match (hit, signal) {
        (Hit::Client | Hit::Both, Signal::KILL) => (128 + 9, ""),
        (Hit::Client, _) => (0, "tree: stopped\n"),
        (Hit::Supervisor, Signal::KILL) => (1, "the supervisor of the services has ended unexpectedly\n"),
        (Hit::Supervisor, Signal::TERM) => (1, "the supervisor of the services was ended by SIGTERM, "),
        (Hit::Supervisor, _) => (1, "the supervisor of the services was ended by SIGINT, "),
        // Whether it still hears that all has stopped depends on who is faster.
        (Hit::Both, _) => return,
    };
    assert!(ended.code == code && ended.printed.contains(text), "{hit:?} {signal:?}: {ended:?}");
}

/// For each signal: all that ran is gone afterwards, and the next `serve` in the same project works as the first did.
fn nothing_survives(hit: Hit) {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION).file("tree.sh", &(gate.bash() + TREE));
    for signal in [Signal::TERM, Signal::INT, Signal::KILL] {
        let serving = Serving::start(&project, &gate);
        if hit != Hit::Supervisor {
            serving.client.signal(signal);
        }
        if hit != Hit::Client {
            serving.supervisor.signal(signal);
        }
        let ended = serving.client.end();
        assert_eq!(survivors(serving.all), [""; 0], "{hit:?} {signal:?}: {ended:?}");
        assert_eq!(project.processes(), [""; 0], "started meanwhile; {hit:?} {signal:?}: {ended:?}");
        check_end(hit, signal, &ended);
    }
}

#[test]
fn no_process_of_a_service_survives_the_foreground_serve() {
    nothing_survives(Hit::Client);
}

#[test]
fn no_process_of_a_service_survives_the_supervisor() {
    nothing_survives(Hit::Supervisor);
}

#[test]
fn no_process_of_a_service_survives_when_the_foreground_serve_and_the_supervisor_go_at_once() {
    nothing_survives(Hit::Both);
}

#[test]
fn what_a_foreground_serve_held_that_was_killed_need_not_be_waited_for_as_long_as_stop_timeout() {
    let gate = Gate::new();
    let configuration = CONFIGURATION.replace("stop_timeout = 1", "stop_timeout = 3600");
    let project = project(&gate, &configuration).file("tree.sh", &(gate.bash() + TREE));
    let serving = Serving::start(&project, &gate);
    serving.client.signal(Signal::KILL);
    let ended = serving.client.end();
    assert_eq!(survivors(serving.all), [""; 0], "{ended:?}");
}

#[test]
fn sockets_of_a_supervisor_that_was_killed_are_swept_with_the_next_one() {
    let gate = Gate::new();
    let configuration = "[tox]\nno_package = true\n[testenv:silent]\nallowlist_externals = bash\n\
                         serve = bash silent.sh\nready = notify\n";
    let script = gate.bash() + "tell \"$$ $NOTIFY_SOCKET\"\nexec sleep 3600\n";
    let project = project(&gate, configuration).file("silent.sh", &script);
    let started = || {
        project.run(["up", "-e", "silent"]).succeeds();
        let told = gate.next();
        let (pid, socket) = told.split_once(' ').expect("a number and a path");
        (Watched::open("service", pid).expect("it waits"), PathBuf::from(socket))
    };
    let (service, socket) = started();
    let (_, supervisor) = Connection::greeted(&project);
    let supervisor = Watched::open("supervisor", &supervisor.to_string()).expect("it answered");
    supervisor.signal(Signal::KILL);
    assert_eq!(survivors(vec![service, supervisor]), [""; 0]);
    assert!(socket.exists());
    let (_, next) = started();
    assert!(!socket.exists() && next.exists());
    project.run(["down"]).succeeds();
    assert!(!next.exists());
}
