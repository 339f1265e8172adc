//! Tests what happens to running services: the `alive` probe, interrupts, faults, and services that envo did not start.

use std::net::TcpListener;

use super::*;

fn named(number: u16) -> Vec<PortSetting> {
    vec![PortSetting { name: "main".into(), number: Some(number) }]
}

/// An address of this machine for one test, by its number, on which nothing else listens.
fn own_address(test: u8) -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", 100 + test)
}

#[test]
fn an_unresponsive_service_is_restarted_for_any_restart_setting() {
    let script = "echo up >> notes; rm -f broken; echo listening on port 1\n\
                  if test $(wc -l < notes) = 1; then touch broken; else echo again > gate; fi\nexec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.probes.alive = Some("cmd:test ! -e broken".into());
    });
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    let stack = fixture.start().unwrap();
    assert_eq!(fixture.file("gate"), "again\n");
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "up\nup\n");
}

#[test]
fn a_running_program_on_the_fixed_port_is_adopted() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = other.local_addr().unwrap().port();
    let mut fixture = SupervisorFixture::new()
        .service("db", &[], "echo started >> notes; exit 1", |service| {
            service.address.adopt = true;
            service.address.ports = named(number);
            service.address.url = Some("db://{host}:{port}/x".into());
        })
        .service("app", &["db"], &noted("app"), |service| {
            by_log(service);
            service.serve = "sh app.sh {service:db:url}".into();
        });
    let stack = fixture.start().unwrap();
    let url = stack.instances().get("db").unwrap().url.clone();
    assert_eq!(url, Some(format!("db://127.0.0.1:{number}/x")));
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "app up\napp down\n");
    drop(other);
}

#[test]
fn a_silent_program_on_the_fixed_port_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = other.local_addr().unwrap().port();
    let mut fixture = SupervisorFixture::new().service("db", &[], "exec sleep 1000", |service| {
        service.address.adopt = true;
        service.probes.ready = Some("cmd:false".into());
        service.address.ports = named(number);
    });
    let failure = fixture.failure();
    let expected = format!("cannot be adopted: `db` needs port {number}, which is in use by ");
    assert!(failure.contains(&expected), "{failure}");
}

#[test]
fn without_anything_to_adopt_the_service_is_envos_own() {
    // Not one of the numbers that the system assigns.
    let number = 10_042;
    let mut fixture = SupervisorFixture::new().service("db", &[], &noted("db"), |service| {
        by_log(service);
        service.address.host = own_address(1);
        service.address.adopt = true;
        service.address.ports = named(number);
    });
    fixture.start().unwrap().stop().unwrap();
    assert_eq!(fixture.file("notes"), "db up\ndb down\n");
}

#[test]
fn a_service_whose_port_was_taken_gets_another_one() {
    let script = "echo $1 >> ports; if test -e gate; then read go < gate; echo in use; exit 1; fi\n\
                  echo listening on port $1; exec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.serve = "sh a.sh {port}".into();
        service.address.host = own_address(2);
        service.address.ports = vec![PortSetting { name: "main".into(), number: None }];
    });
    let (gate, ports) = (fixture.path("gate"), fixture.path("ports"));
    rustix::fs::mkfifoat(rustix::fs::CWD, &gate, rustix::fs::Mode::RWXU).unwrap();
    let thief = std::thread::spawn(move || {
        // Opening waits until the service reads, and it has its port then.
        let mut writer = fs::OpenOptions::new().write(true).open(&gate).unwrap();
        let number: u16 = fs::read_to_string(&ports).unwrap().trim().parse().unwrap();
        let stolen = TcpListener::bind((own_address(2), number)).unwrap();
        fs::remove_file(&gate).unwrap();
        std::io::Write::write_all(&mut writer, b"go\n").unwrap();
        stolen
    });
    let stack = fixture.start().unwrap();
    let stolen = thief.join().unwrap().local_addr().unwrap().port();
    let told = stack.instances().get("a").unwrap().ports[0].1;
    stack.stop().unwrap();
    assert_ne!(told, stolen);
    assert_eq!(fixture.file("ports"), format!("{stolen}\n{told}\n"));
}

#[test]
fn a_service_with_a_terminal_has_unchanged_lines() {
    let script = "test -t 1 && test -t 2 && echo a terminal; printf 'listening on port 1\\n'; exec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.pty = true;
    });
    fixture.start().unwrap().stop().unwrap();
    assert_eq!(fixture.log("a"), "a terminal\nlistening on port 1\n");
}

#[test]
fn a_service_gets_its_sockets_open_and_the_same_after_a_restart() {
    let script = "test $LISTEN_PID = $$ && echo mine\necho $LISTEN_FDS $LISTEN_FDNAMES\n\
                  readlink /proc/$$/fd/3 >> sockets; readlink /proc/$$/fd/4 >> sockets; test -e /proc/$$/fd/5 && echo more\n\
                  if test $(wc -l < sockets) -lt 4; then exit 1; fi; echo listening on port 1; exec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.address.listen_fds = true;
        service.restarts.restart = crate::model::service::RestartPolicy::OnFailure;
        service.address.ports = ["http", "admin"].map(|name| PortSetting { name: name.into(), number: None }).into();
    });
    let stack = fixture.start().unwrap();
    let ports = stack.instances().get("a").unwrap().ports.clone();
    // The supervisor listens with the service: clients that connect while it restarts are not refused.
    assert!(std::net::TcpStream::connect(("127.0.0.1", ports[0].1)).is_ok());
    stack.stop().unwrap();
    let start = "mine\n2 http:admin\n";
    assert_eq!(fixture.log("a"), format!("{start}{start}listening on port 1\n"));
    let sockets: Vec<String> = fixture.file("sockets").lines().map(str::to_owned).collect();
    assert!(sockets[0].starts_with("socket:") && sockets[0] != sockets[1], "{sockets:?}");
    assert_eq!(sockets[..2], sockets[2..]);
}

#[test]
fn a_service_with_sockets_reports_why_it_cannot_start() {
    let mut fixture = SupervisorFixture::new().service("a", &[], "", |service| {
        service.serve = "./no-such-program".into();
        service.address.listen_fds = true;
        service.address.ports = vec![PortSetting { name: "http".into(), number: None }];
    });
    let failure = fixture.failure();
    assert!(failure.starts_with("`a` cannot be started: `serve = ./no-such-program`: No such file"), "{failure}");
}

/// Changes a file in one step, which is seen as only one change.
fn replace(fixture: &SupervisorFixture, name: &str) {
    fs::write(fixture.path("new"), "new").unwrap();
    fs::rename(fixture.path("new"), fixture.path(name)).unwrap();
}

#[test]
fn a_changed_file_restarts_a_service_even_after_a_failure() {
    let script =
        "echo up >> notes; echo up > gate; cat good > /dev/null && echo listening on port 1 && exec sleep 1000";
    let mut fixture = SupervisorFixture::new().service("a", &[], script, |service| {
        by_log(service);
        service.stopping.stop_timeout = Duration::from_millis(100);
    });
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    fs::create_dir(fixture.path("src")).unwrap();
    fs::write(fixture.path("good"), "").unwrap();
    let watched = fixture.path("src").display().to_string();
    fixture.services[0].environment.service.as_mut().unwrap().watching.watch = vec![watched];
    let gate = fixture.path("gate");
    let first = std::thread::spawn(move || fs::read_to_string(gate).unwrap());
    let stack = fixture.start().unwrap();
    assert_eq!(first.join().unwrap(), "up\n");
    fs::remove_file(fixture.path("good")).unwrap();
    replace(&fixture, "src/a");
    assert_eq!(fixture.file("gate"), "up\n");
    fs::write(fixture.path("good"), "").unwrap();
    replace(&fixture, "src/a");
    assert_eq!(fixture.file("gate"), "up\n");
    drop(stack);
    assert_eq!(fixture.file("notes"), "up\nup\nup\n");
}

#[test]
fn a_change_runs_the_watch_command_if_there_is_one() {
    let mut fixture = SupervisorFixture::new().service("a", &[], &noted("a"), |service| {
        by_log(service);
        service.watching.watch_command = Some("sh -c 'echo built by $ENVO_INSTANCE > gate'".into());
    });
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.path("gate"), rustix::fs::Mode::RWXU).unwrap();
    fs::write(fixture.path("source"), "").unwrap();
    let watched = fixture.path("source").display().to_string();
    fixture.services[0].environment.service.as_mut().unwrap().watching.watch = vec![watched];
    let stack = fixture.start().unwrap();
    replace(&fixture, "source");
    assert_eq!(fixture.file("gate"), "built by 1\n");
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "a up\na down\n");
}

#[test]
fn everything_a_service_writes_is_in_its_log() {
    let mut fixture = SupervisorFixture::new().service("flood", &[], "seq 1 200000; printf 'no end'", |service| {
        service.probes.ready = Some("exit".into());
    });
    fixture.start().unwrap().stop().unwrap();
    let log = fixture.log("flood");
    let (_, lines) = log.split_once("1\n2\n3\n").unwrap();
    assert_eq!(lines.lines().count(), 200_000 - 3 + 1);
    assert!(lines.ends_with("200000\nno end"));
}

#[test]
fn no_services_are_ready_at_once() {
    SupervisorFixture::new().start().unwrap().stop().unwrap();
}

#[test]
fn a_fault_ends_its_service_and_nothing_else() {
    let mut fixture =
        SupervisorFixture::new().service("a", &[], &noted("a"), by_log).service("b", &[], &noted("b"), by_log);
    let stack = fixture.start().unwrap();
    let messages = fixture.messages.clone().unwrap();
    for scope in [FaultScope::Supervisor, FaultScope::Connection(99), FaultScope::Service(0)] {
        messages.send(SupervisorMessage::Faulty(scope)).unwrap();
    }
    drop(stack.stop());
    let mut notes: Vec<String> = fixture.file("notes").lines().map(str::to_owned).collect();
    notes.sort_unstable();
    assert_eq!(notes, ["a up", "b down", "b up"], "`a` was killed, and `b` was stopped as usual");
}

#[test]
fn services_of_a_run_outlive_its_interrupt_until_they_are_stopped() {
    let mut fixture = SupervisorFixture::new().service("a", &[], &noted("a"), by_log);
    let stack = fixture.start().unwrap();
    fixture.interrupt.request();
    assert_eq!(fixture.file("notes"), "a up\n");
    stack.stop().unwrap();
    assert_eq!(fixture.file("notes"), "a up\na down\n");
}
