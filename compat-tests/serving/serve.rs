//! Tests `envo serve`, and services that a run needs.

use rustix::process::Signal;

use insta::assert_snapshot;

use crate::support::gate::Gate;
use crate::support::project::Project;

/// A service that tells the gate what happens to it: `NAME up` when it listens, `NAME down` when it is asked to stop.
const SERVICE: &str = r#"
import os, signal, socket, sys
from gate import tell
name, port = sys.argv[1], int(sys.argv[2])
def stop(*_):
    tell(name + " down")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
listener = socket.create_server(("127.0.0.1", port))
print(name, "listens on", port, flush=True)
tell(name + " up")
while True:
    connection, _ = listener.accept()
    connection.close()
"#;

/// Two services, the second of which needs the first, and an application that needs the second.
const CONFIGURATION: &str = r#"
[tox]
no_package = true
env_list = app

[testenv:first]
serve = python service.py first {port}
ports = main

[testenv:second]
serve = python service.py second {port}
ports = main
depends = first

[testenv:app]
depends = second
commands = python app.py {service:second:port}
"#;

const APPLICATION: &str = r#"
import os, socket, sys
from gate import tell
for port in (sys.argv[1], os.environ["ENVO_FIRST_PORT"]):
    socket.create_connection(("127.0.0.1", int(port))).close()
assert os.environ["ENVO_SECOND_PORT"] == sys.argv[1]
tell("app done")
"#;

fn project(gate: &Gate, configuration: &str) -> Project {
    Project::new()
        .ini(configuration)
        .file("gate.py", &gate.module())
        .file("service.py", SERVICE)
        .file("app.py", APPLICATION)
}

#[test]
fn a_run_starts_the_services_it_needs_in_order_and_stops_them_in_reverse() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["run", "-e", "app"]).succeeds().says("app: OK");
    assert_eq!(gate.all(), ["first up", "second up", "app done", "second down", "first down"]);
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn serve_keeps_services_until_interrupted_and_leaves_nothing() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let serving = project.start(["-e", "first,second", "serve"]);
    assert_eq!([gate.next(), gate.next()], ["first up", "second up"]);
    assert!(!project.processes().is_empty(), "the search for processes must find the services while they run");
    serving.signal(Signal::INT);
    let ended = serving.end();
    assert_eq!(gate.all(), ["second down", "first down"], "{ended:?}");
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(project.processes(), [] as [&str; 0], "{ended:?}");
    assert!(ended.printed.contains("second listens on"), "{ended:?}");
}

#[test]
fn serve_without_names_means_every_service_and_no_other_environment() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let serving = project.start(["serve"]);
    assert_eq!([gate.next(), gate.next()], ["first up", "second up"]);
    serving.signal(Signal::TERM);
    serving.end();
    assert_eq!(gate.all(), ["second down", "first down"]);
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn the_option_before_and_after_the_command_mean_the_same() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let serving = project.start(["serve", "-e", "first"]);
    assert_eq!(gate.next(), "first up");
    serving.signal(Signal::INT);
    serving.end();
    assert_eq!(gate.all(), ["first down"]);
}

#[test]
fn a_service_that_ignores_the_request_to_stop_and_its_children_are_killed() {
    let gate = Gate::new();
    let stubborn = "import signal, subprocess, sys, time\nfrom gate import tell\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n\
        subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\ntell('stubborn up')\n\
        while True:\n    signal.pause()\n";
    let project =
        project(&gate, "[tox]\nno_package = true\n[testenv:a]\nserve = python stubborn.py\nstop_timeout = 0.2\n")
            .file("stubborn.py", stubborn);
    let serving = project.start(["serve", "-e", "a"]);
    assert_eq!(gate.next(), "stubborn up");
    serving.signal(Signal::INT);
    serving.end();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_second_interrupt_kills_what_takes_its_time_and_serve_still_sees_the_end() {
    let stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGINT, \
                    signal.SIG_IGN)\nprint('stubborn', flush=True)\nwhile True:\n    signal.pause()\n";
    let ini = "[tox]\nno_package = true\n[testenv:a]\nserve = python stubborn.py\nready = log:stubborn\nstop_timeout = \
               3600\n";
    let project = Project::new().ini(ini).file("stubborn.py", stubborn);
    let mut serving = project.start(["serve"]);
    serving.line_with("a: ready");
    serving.signal(Signal::INT);
    serving.line_with("ROOT: stopping (Ctrl-C again to kill)");
    serving.line_with("ROOT: still stopping: a");
    serving.signal(Signal::INT);
    serving.line_with("ROOT: killing: a");
    let ended = serving.end();
    assert_eq!(project.processes(), [] as [&str; 0], "{ended:?}");
    assert!(ended.code == 0 && ended.printed.ends_with("a: stopped\n"), "{ended:?}");
    assert!(!ended.printed.contains("KeyboardInterrupt"), "{ended:?}");
}

#[test]
fn a_service_that_dies_ends_the_command_with_its_last_lines() {
    let configuration = "[tox]\nno_package = true\n[testenv:a]\nserve = python -c \"print('what went wrong'); raise \
                         SystemExit(5)\"\nports = main\n";
    let outcome = Project::new().ini(configuration).run(["serve", "-e", "a"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
    assert!(format!("{}{}", outcome.stdout, outcome.stderr).contains("what went wrong"), "{outcome:?}");
}

#[test]
fn a_service_that_never_gets_ready_ends_the_command() {
    let configuration = "[tox]\nno_package = true\n[testenv:a]\nserve = python -c \"import signal; print('still \
                         thinking', flush=True); signal.pause()\"\nready = log:never written\nready_timeout = 0.5\n";
    let project = Project::new().ini(configuration);
    let outcome = project.run(["serve", "-e", "a"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
    assert!(format!("{}{}", outcome.stdout, outcome.stderr).contains("still thinking"), "{outcome:?}");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn an_application_is_not_run_when_its_service_fails() {
    let configuration = "[tox]\nno_package = true\n[testenv:a]\nserve = python -c \"raise SystemExit(5)\"\nports = \
                         main\n[testenv:app]\ndepends = a\ncommands = python -c \"print('must not run')\"\n";
    let outcome = Project::new().ini(configuration).run(["run", "-e", "app"]).never_says("\nmust not run\n");
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
}

#[test]
fn services_that_depend_on_each_other_print_the_circle() {
    let configuration =
        "[tox]\nno_package = true\n[testenv:a]\nserve = x\ndepends = b\n[testenv:b]\nserve = x\ndepends = a\n";
    let outcome = Project::new().ini(configuration).run(["serve"]).ends_with(254);
    assert!(format!("{}{}", outcome.stdout, outcome.stderr).contains("circ"), "{outcome:?}");
}

#[test]
fn a_circle_through_inherited_depends_says_where_they_come_from_and_what_to_write() {
    // What every environment is to wait for, the service itself inherits, and so does the migration it waits for.
    let ini =
        "[tox]\nno_package = true\n[testenv]\ndepends = db\n[testenv:app]\ncommands = echo\n[testenv:db]\nserve = x\n";
    let longer = format!("{ini}depends = migrate\n[testenv:migrate]\ncommands = echo\n");
    let toml = "no_package = true\n[env_run_base]\ndepends = [\"db\"]\n[env.app]\ncommands = [[\"echo\"]]\n\
                [env.db]\nserve = [\"x\"]\n";
    let project = format!("[tool.tox]\n{}", toml.replace("[env", "[tool.tox.env"));
    for (file, text, circle, help) in [
        (
            "tox.ini",
            ini,
            "db → db",
            "`depends` of `db` is inherited from `[testenv]` (tox.ini:4): write `depends =` in `[testenv:db]`",
        ),
        (
            "tox.ini",
            &longer,
            "db → migrate → db",
            "`depends` of `migrate` is inherited from `[testenv]` (tox.ini:4): write `depends =` in `[testenv:migrate]`",
        ),
        (
            "tox.toml",
            toml,
            "db → db",
            "`depends` of `db` is inherited from `[env_run_base]` (tox.toml:3): write `depends = []` in `[env.db]`",
        ),
        (
            "pyproject.toml",
            &project,
            "db → db",
            "`depends` of `db` is inherited from `[tool.tox.env_run_base]` (pyproject.toml:4): write `depends = []` in \
             `[tool.tox.env.db]`",
        ),
    ] {
        for command in [&["serve"] as &[&str], &["run", "-e", "app"]] {
            let outcome = Project::new().file(file, text).run(command).ends_with(254);
            let outcome = outcome.says(&format!("circular dependency of services: {circle}\n")).explains(help);
            assert_eq!(outcome.stderr.matches("is inherited").count(), 1, "{outcome:?}");
        }
        // What the help says to write mends it.
        let (line, header) = (if file == "tox.ini" { "depends =" } else { "depends = []" }, help.rsplit('`').nth(1));
        let header = header.expect("the section is named last");
        let mended = text.replacen(&format!("{header}\n"), &format!("{header}\n{line}\n"), 1);
        let outcome = Project::new().file(file, &mended).run(["serve"]);
        assert!(!outcome.stdout.contains("circular"), "{mended}\n{outcome:?}");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port();
    let configuration = format!("[tox]\nno_package = true\n[testenv:a]\nserve = python -c 1\nports = main={port}\n");
    let outcome = Project::new().ini(&configuration).run(["serve", "-e", "a"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
    let printed = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(printed.contains(&port.to_string()) && printed.contains("in use"), "{outcome:?}");
}

#[test]
fn a_service_that_is_not_in_depends_cannot_be_asked_for() {
    let configuration = CONFIGURATION.replace("depends = second\n", "");
    let gate = Gate::new();
    let outcome = project(&gate, &configuration).run(["run", "-e", "app"]);
    assert!(outcome.code.is_some_and(|code| code != 0), "{outcome:?}");
    assert!(format!("{}{}", outcome.stdout, outcome.stderr).contains("depends"), "{outcome:?}");
}

#[test]
fn commands_and_logs_can_tell_that_a_service_is_ready() {
    let gate = Gate::new();
    let configuration = "[tox]\nno_package = true\n[testenv:by-log]\nserve = python service.py by-log {port}\nports = \
                         main\nready = log:by-log listens on (?P<chosen>\\d+)\n[testenv:by-command]\nserve = python \
                         service.py by-command {port}\nports = main\ndepends = by-log\nready = cmd:python check.py \
                         {port}\n[testenv:app]\ndepends = by-command\ncommands = python -c \"import sys; \
                         assert sys.argv[1] == sys.argv[2]\" {service:by-log:chosen} {service:by-log:port}\n";
    let check = "import socket, sys\nsocket.create_connection(('127.0.0.1', int(sys.argv[1])))\n";
    project(&gate, configuration).file("check.py", check).run(["run", "-e", "app"]).succeeds();
    assert_eq!(gate.all(), ["by-log up", "by-command up", "by-command down", "by-log down"]);
}

#[test]
fn services_of_a_profile_are_served_when_it_is_asked_for_or_something_needs_them() {
    let gate = Gate::new();
    let project =
        project(&gate, &CONFIGURATION.replace("ports = main\ndepends = first", "ports = main\nprofiles = full"));
    let serving = project.start(["serve"]);
    assert_eq!(gate.next(), "first up");
    serving.signal(Signal::INT);
    serving.end();
    assert_eq!(gate.all(), ["first down"]);
    let serving = project.start(["serve", "--profile", "full"]);
    let mut up = [gate.next(), gate.next()];
    up.sort();
    assert_eq!(up, ["first up", "second up"]);
    serving.signal(Signal::INT);
    serving.end();
    let outcome = project.run(["serve", "--profile", "ful"]).ends_with(254);
    assert!(format!("{outcome:?}").contains("no service has the profile `ful`"), "{outcome:?}");
}

#[test]
fn what_commands_and_variables_ask_for_is_checked_before_anything_starts() {
    let ini = "[tox]\nno_package = true\n[testenv:db]\nserve = python -c 1\nports = sql\n[testenv:app]\ndepends = \
               db\nset_env =\n  URL = {service:db:uri}\ncommands =\n  other: echo {service:gone:url}\n  echo \
               {service:cache:url}\n";
    let outcome = Project::new().ini(ini).run(["run", "-e", "app"]).ends_with(254);
    let first = "`commands` of `app` (tox.ini:10) names the service `cache`, which is not in its `depends`";
    assert!(outcome.stdout.contains(first), "{outcome:?}");
    assert_snapshot!(outcome.stderr, @"
    error: `commands` of `app` (tox.ini:10) names the service `cache`, which is not in its `depends`
      --> [ROOT]/tox.ini:12:17
       |
    12 |   echo {service:cache:url}
       |                 ^^^^^
    help: write `depends = cache` in `app`
    error: `set_env` of `app` (tox.ini:8) uses `uri` of `db` (tox.ini:4), which has no such field: the fields are url, urls, host, port, port:NAME and the named groups of its `ready = log:…`
     --> [ROOT]/tox.ini:9:21
      |
    9 |   URL = {service:db:uri}
      |                     ^^^
    ");
    let toml = "no_package = true\n[env.db]\nserve = [\"python\", \"-c\", \"1\"]\n[env.web]\nserve = [\"x\"]\n\
                set_env = { URL = \"{service:db:host}\" }\n";
    let project = Project::new().file("tox.toml", toml);
    let outcome = project.run(["serve"]).ends_with(254);
    let expected = "`set_env` of `web` (tox.toml:6) names the service `db`, which is not in its `depends`";
    assert!(outcome.stderr.contains(expected) || outcome.stdout.contains(expected), "{outcome:?}");
    assert!(!project.path(".tox/.envo").exists(), "nothing has started");
}

#[test]
fn what_is_shown_to_a_reader_that_has_gone_ends() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let envo = env!("CARGO_BIN_EXE_envo");
    // The time is for a failure, which would never end.
    let piped = |command: &str| {
        let line = format!("'{envo}' {command} 2>/dev/null | head -n 1");
        project.run_program("timeout", &["300", "sh", "-c", &line]).succeeds()
    };
    piped("serve -e second").says("first listens on");
    assert_eq!(project.processes(), [] as [&str; 0], "all was stopped, however far it had come");
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    piped("logs -f first").says("first listens on");
    project.run(["down"]).succeeds();
}

#[test]
fn a_service_is_asked_for_without_any_depends_and_nothing_starts() {
    let ini = "[tox]\nno_package = true\n[testenv:web]\nserve = x\nports = http\n[testenv:app]\ncommands = echo \
               {service:web:url}\n";
    let project = Project::new().ini(ini);
    let outcome = project.run(["run", "-e", "app"]).ends_with(254);
    let expected = "`commands` of `app` (tox.ini:7) names the service `web`, which is not in its `depends`";
    assert!(outcome.stdout.contains(expected), "{outcome:?}");
    assert!(!project.path(".tox/app").exists(), "nothing was built");
}

#[test]
fn a_missing_env_file_is_told_before_anything_is_built_or_started() {
    let ini = "[tox]\nno_package = true\n[testenv:web]\nserve = x\nenv_file =\n    - may.env\n    must.env\n\
               [testenv:app]\ndepends = web\ncommands = echo\n";
    let toml = "no_package = true\n[env.web]\nserve = [\"x\"]\nenv_file = [\"- may.env\", \"must.env\"]\n\
                [env.app]\ndepends = [\"web\"]\ncommands = [[\"echo\"]]\n";
    for (file, text, place) in [("tox.ini", ini, "tox.ini:7:5"), ("tox.toml", toml, "tox.toml:4:")] {
        for command in [&["serve"] as &[&str], &["up"], &["run", "-e", "app"]] {
            let project = Project::new().file(file, text);
            let outcome = project.run(command).ends_with(254).says("`env_file = must.env`");
            assert!(outcome.stderr.contains(place), "{outcome:?}");
            assert!(!project.path(".tox/web").exists() && !project.path(".tox/.envo").exists(), "{outcome:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_addresses_is_told_once_with_its_line() {
    let ini = "[tox]\nno_package = true\n[testenv:web]\nserve = x {port}\nports = http\nhost = no host\nurl = \
               http://{host}:{port}/{nope}\n";
    let outcome = Project::new().ini(ini).run(["serve"]).ends_with(254);
    assert!(outcome.stdout.contains("`host = no host` of `web` (tox.ini:6) is neither an address nor a name"));
    assert!(outcome.stderr.contains("`url` of `web` (tox.ini:7) has `{nope}`, which is not a field"), "{outcome:?}");
    // What only the system knows.
    let ini = "[tox]\nno_package = true\n[testenv:web]\nserve = x {port}\nports = http\nhost = 192.0.2.1\n";
    let outcome = Project::new().ini(ini).run(["serve"]).ends_with(1);
    assert_eq!(outcome.stderr.matches("cannot listen on").count(), 1, "{outcome:?}");
}

#[test]
fn a_url_has_what_the_service_said_of_itself() {
    let program = "import socket\nlistener = socket.create_server(('127.0.0.1', 0))\n\
                   print('listening on', listener.getsockname()[1], 'token s3cret', flush=True)\n\
                   while True:\n    listener.accept()[0].close()\n";
    let ini = "[tox]\nno_package = true\n[testenv:web]\nserve = python chosen.py\nready = log:on (?P<port>\\d+) token \
               (?P<token>\\w+)\nalive = tcp://{host}:{port}\nurl = http://{host}:{port}/?token={token}\n\
               [testenv:app]\ndepends = web\ncommands = python -c \"import sys; print(sys.argv[1], \
               sys.argv[1] == sys.argv[2])\" {service:web:url} http://{service:web:host}:{service:web:port}/?token=s3cret\n";
    let project = Project::new().ini(ini).file("chosen.py", program);
    project.run(["run", "-e", "app"]).succeeds().says("/?token=s3cret True\n");
}

#[test]
fn a_probe_that_an_ini_file_reads_as_a_condition_is_told() {
    let ini = "[tox]\nno_package = true\n[testenv:db]\nserve = python -c 1\nready = log: listening\n";
    let outcome = Project::new().ini(ini).run(["serve"]).ends_with(254);
    let printed = format!("{outcome:?}");
    assert!(printed.contains("`ready = log: …` is a condition") && printed.contains("tox.ini:5"), "{printed}");
}
