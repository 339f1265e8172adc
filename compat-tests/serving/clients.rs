//! Tests clients of the supervisor: they need no configuration, report what they did, and never wait for an event that
//! cannot come.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::serving::supervisor::{project, states};
use crate::support::gate::Gate;
use crate::support::project::Project;

const CONFIGURATION: &str = r#"
[tox]
no_package = true

[testenv]
ready = log:ready now

[testenv:first]
serve = python service.py first

[testenv:second]
serve = python service.py second
depends = first
"#;

fn supervisor(project: &Project, state: &str) -> Pid {
    let text = fs::read_to_string(project.path(state).join("supervisor.lock")).expect("a supervisor has the lock");
    Pid::from_raw(text.split_whitespace().next().unwrap_or_default().parse().expect("a number")).expect("not zero")
}

#[test]
fn what_talks_to_the_supervisor_needs_no_valid_configuration() {
    let twice = format!("{CONFIGURATION}[testenv:first]\nserve = x\n");
    let elsewhere = CONFIGURATION.replace("no_package", "work_dir = {tox_root}/deep/work\nno_package");
    for (before, broken, warning) in [
        (CONFIGURATION, Some(twice.as_str()), "section 'testenv:first' already exists"),
        (CONFIGURATION, Some("<<<<<<< HEAD\n"), "File contains no section headers"),
        (CONFIGURATION, Some("[tox]\nwork_dir = {[nothing]at_all}\n"), ""),
        (CONFIGURATION, None, ""),
        (&elsewhere, Some(twice.as_str()), "section 'testenv:first' already exists"),
        (&elsewhere, Some("[tox]\nwork_dir = {[nothing]at_all}\n"), ""),
        (&elsewhere, None, ""),
        // Nothing is wrong with this one, but it is not where the services were started.
        (&elsewhere, Some(CONFIGURATION), ""),
    ] {
        let gate = Gate::new();
        let project = project(&gate, before).file("below/it/file", "");
        project.run(["up", "-e", "second", "--wait"]).succeeds();
        match broken {
            Some(text) => fs::write(project.path("tox.ini"), text).expect("it can be written"),
            None => fs::remove_file(project.path("tox.ini")).expect("it can be removed"),
        }
        project.run(["ps"]).succeeds().says("second").explains(warning);
        project.run_in("below/it", ["ps", "--format", "json"]).succeeds().says("\"second\"").explains(warning);
        project.run(["logs", "second"]).succeeds().says("ready now");
        project.run(["stop", "first"]).succeeds().says("stopped: second, first\n");
        project.run(["start", "second", "--wait"]).succeeds().says("starting: first, second\n").says("second: ready");
        project.run(["restart", "second"]).succeeds().says("restarting: second\n");
        project.run(["wait", "second"]).succeeds().says("second: ready");
        project.run(["down"]).succeeds().says("stopped: second, first\n").explains(warning);
        assert_eq!(project.processes(), [] as [&str; 0], "{broken:?}");
    }
    // With no trace of services, the mistake is what there is to say.
    let project = Project::new().ini(&twice);
    assert!(project.run(["ps"]).ends_with(254).stdout.contains("already exists"));
}

#[test]
fn commands_for_running_services_print_what_they_did() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    let said = |arguments: &[&str]| project.run(arguments).succeeds().stdout;
    assert_eq!(said(&["up", "-e", "second"]), "starting: first, second\n");
    said(&["wait", "second"]);
    assert!(said(&["up", "-e", "second"]).ends_with("unchanged: first, second\n"));
    assert_eq!(said(&["stop", "second"]), "stopped: second\n");
    assert_eq!(said(&["stop", "second"]), "not running: second\n");
    assert_eq!(said(&["stop", "second", "first"]), "stopped: first\nnot running: second\n");
    assert_eq!(said(&["start", "second", "--wait"]), "starting: first, second\nsecond: ready\n");
    assert_eq!(said(&["start", "second"]), "already running: second\n");
    assert_eq!(said(&["restart", "second", "--wait"]), "restarting: second\nsecond: ready\n");
    assert_eq!(said(&["stop", "second"]), "stopped: second\n");
    assert_eq!(said(&["down"]), "stopped: first\n", "the other one was stopped before");
}

#[test]
fn whoever_asks_for_what_runs_already_is_shown_where_it_is() {
    let gate = Gate::new();
    let with_port =
        CONFIGURATION.replace("service.py first", "service.py first\nports = http\nurl = http://{host}:{port}/");
    let project = project(&gate, &with_port);
    let first = project.run(["up", "-e", "first", "--wait"]).succeeds().stdout;
    let (begin, _) = first.rsplit_once(" (").expect("how long it took");
    assert!(begin.starts_with("first: ready at http://"), "{first}");
    let expected = format!("{begin} (already running)\n");
    assert_eq!(project.run(["up", "-e", "first", "--wait"]).succeeds().stdout, expected);
    assert_eq!(project.run(["up", "-e", "first"]).succeeds().stdout, format!("{expected}unchanged: first\n"));
    let mut serving = project.start(["serve", "-e", "first"]);
    assert!(serving.line_with("first: ready at http://").ends_with(" (already running)\n"));
    serving.signal(Signal::INT);
    serving.line_with("first keeps running: `envo up` started it, `envo down` stops it");
    assert_eq!(serving.end().code, 0);
    assert_eq!(states(&project), "first=ready", "it was up before");
    project.run(["down"]).succeeds();
}

#[test]
fn up_that_waits_tells_every_failure_once() {
    let gate = Gate::new();
    let failing = "[testenv:early]\nserve = python -c \"raise SystemExit('early goes')\"\n[testenv:late]\nserve = python \
                   late.py\n[testenv:other]\ndepends = early\nserve = python service.py other\n";
    // It waits until the first failure was told.
    let late = "import os, pathlib\nwhile not pathlib.Path('told').exists():\n    os.sched_yield()\nraise \
                SystemExit('late goes')\n";
    let project = project(&gate, &(CONFIGURATION.to_owned() + failing)).file("late.py", late);
    let mut waiting = project.start(["up", "--wait", "-e", "early,late,other,second"]);
    waiting.line_with("error: `early`");
    fs::write(project.path("told"), "").expect("it can be written");
    let ended = waiting.end();
    assert_eq!(ended.code, 1, "{}", ended.printed);
    for once in [
        "error: `early` (",
        "error: `late` (",
        "  early goes",
        "  late goes",
        "second: ready",
        "error: `other` (",
        "error: `",
    ] {
        // The dependents of a failed service are reported, too.
        let times = if once == "error: `" { 3 } else { 1 };
        assert_eq!(ended.printed.matches(once).count(), times, "{once}\n{}", ended.printed);
    }
    project.run(["down"]).succeeds();
}

#[test]
fn a_failure_shows_readable_lines_and_what_would_help() {
    let ini = "[tox]\nno_package = true\n[testenv]\nallowlist_externals = sh, cat\nready = log:never\n[testenv:background]\n\
               serve = sh -c 'sleep 3600 & exit 0'\n[testenv:shell]\nserve = cat missing && cat other\n\
               [testenv:loud]\nserve = python loud.py\n";
    let loud = "print('\\x1b[31mred\\x1b[0m')\nprint('x' * 9999)\nraise SystemExit(3)\n";
    let project = Project::new().ini(ini).file("loud.py", loud);
    let outcome = project.run(["up", "--wait", "background", "shell,loud"]).ends_with(1);
    let outcome =
        outcome.explains("help: it ended and left processes in the background: a service runs in the foreground");
    let outcome = outcome.explains("so `&&` is only an argument: write `serve = sh -c 'cat missing && cat other'`\n");
    let outcome = outcome.explains(&format!("its last lines:\n  red\n  {}…\n", "x".repeat(2048)));
    assert!(!outcome.stderr.contains('\u{1b}'), "{outcome:?}");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_log_that_was_deleted_is_made_again() {
    let gate = Gate::new();
    let talking = "import sys\nfrom gate import tell\nprint('one', flush=True)\nfor _ in sys.stdin: pass\nimport pathlib, \
                   os\nwhile pathlib.Path('.tox/.envo/log/talking.log').exists():\n    os.sched_yield()\nprint('two', \
                   flush=True)\ntell('said')\nimport signal\nsignal.pause()\n";
    let ini = "[tox]\nno_package = true\n[testenv:talking]\nserve = python talking.py\nready = log:one\n";
    let project = Project::new().ini(ini).file("gate.py", &gate.module()).file("talking.py", talking);
    project.run(["up", "--wait"]).succeeds();
    fs::remove_file(project.path(".tox/.envo/log/talking.log")).expect("it is there");
    assert_eq!(gate.next(), "said");
    project.run(["down"]).succeeds();
    project.run(["logs"]).succeeds().says("two\n").never_says("one");
}

#[test]
fn help_and_versions_are_found_under_every_name() {
    let project = Project::new().ini(CONFIGURATION);
    let said = |words: &[&str]| project.run(words).succeeds().stdout;
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "run"]), said(&["run", "--help"]));
    assert_eq!(said(&["help", "p"]), said(&["run-parallel", "--help"]));
    for words in [&["version"] as &[&str], &["-V"], &["help", "version"]] {
        assert_eq!(said(words), said(&["--version"]));
    }
    let unknown = |words: &[&str], hint: &str| {
        let outcome = project.run(words).ends_with(254).says("unrecognized arguments: ");
        outcome.explains(&format!("help: {hint}"));
    };
    unknown(&["py311"], "if `py311` is an environment, `envo run -e py311` runs it");
    unknown(&["run", "py311"], "environments are named with `-e`: `envo run -e py311`");
    unknown(&["help", "nothing"], "`nothing` is not a command; `envo help` lists them");
    unknown(&["down", "-e", "first"], "`down` takes names without `-e`: `envo down NAME`");
    project.run(["serve", "frist"]).ends_with(254).says("frist - did you mean first?");
}

#[test]
fn services_are_started_by_name_with_or_without_an_option() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    for words in
        [&["up", "--wait", "first"] as &[&str], &["up", "first", "second", "--wait"], &["up", "--wait", "first,second"]]
    {
        project.run(words).succeeds();
        let services = if words.len() == 3 && !words[2].contains(',') { "first" } else { "second, first" };
        assert_eq!(project.run(["down"]).succeeds().stdout, format!("stopped: {services}\n"));
    }
    let mut serving = project.start(["serve", "second"]);
    serving.line_with("second: ready");
    serving.signal(Signal::INT);
    assert_eq!(serving.end().code, 0);
}

#[test]
fn an_interrupt_ends_only_the_waiting_of_up() {
    let gate = Gate::new();
    let never = CONFIGURATION.replace("service.py first", "service.py first\nready = log:never");
    let project = project(&gate, &never);
    for signal in [Signal::INT, Signal::TERM] {
        let waiting = project.start(["up", "-e", "first", "--wait"]);
        assert_eq!(gate.next(), "first up");
        waiting.signal(signal);
        let ended = waiting.end();
        assert_eq!(ended.code, 254);
        assert_eq!(
            ended.printed,
            "interrupted: the requested services keep running in the background (first)\nhelp: `envo down` stops it\n"
        );
        assert_eq!(states(&project), "first=starting");
        project.run(["down"]).succeeds();
        assert_eq!(gate.all(), ["first down"]);
    }
}

#[test]
fn following_logs_ends_with_the_services() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "second", "--wait"]).succeeds();
    let mut one = project.start(["logs", "-f", "second"]);
    let mut both = project.start(["logs", "-f"]);
    one.line_with("ready now");
    both.line_with("second | ready now");
    project.run(["restart", "second", "--wait"]).succeeds();
    one.line_with("ready now");
    project.run(["stop", "second"]).succeeds();
    assert_eq!(one.end().code, 0);
    project.run(["down"]).succeeds();
    assert_eq!(both.end().code, 0);
    project.run(["logs", "-f", "second"]).succeeds().says("ready now");
}

#[test]
fn events_wait_for_a_supervisor_and_end_with_it() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    for _ in 0..2 {
        let mut events = project.start(["events"]);
        events.line_with("nothing is running; waiting for services to start");
        project.run(["up", "-e", "first", "--wait"]).succeeds();
        events.line_with("first: ready");
        project.run(["down"]).succeeds();
        let ended = events.end();
        assert!(ended.code == 0 && ended.printed.ends_with("first: stopped\n"), "{}", ended.printed);
    }
    let mut events = project.start(["events"]);
    events.line_with("waiting");
    events.signal(Signal::INT);
    assert_eq!(events.end().code, 0);
}

#[test]
fn a_supervisor_that_does_not_answer_is_named_and_holds_up_nobody() {
    let gate = Gate::new();
    let app = format!("{CONFIGURATION}[testenv:app]\ndepends = first\ncommands = python app.py\n");
    let app_script = "import signal\nfrom gate import tell\ntell('app up')\nsignal.pause()\n";
    let project = project(&gate, &app).file("app.py", app_script);
    let state = ".tox/.envo";
    // Who waits for its first word, or for a service, ends at once.
    project.run(["up", "-e", "first", "--wait"]).succeeds();
    let pid = supervisor(&project, state);
    let mut following = project.start(["logs", "-f", "first"]);
    following.line_with("ready now");
    let events = project.start(["events"]);
    kill_process(pid, Signal::STOP).expect("it runs");
    let number = pid.as_raw_nonzero();
    for command in [&["ps"] as &[&str], &["down"], &["stop", "first"], &["wait", "first"]] {
        let outcome = project.run(command).ends_with(1);
        let outcome = outcome.explains(&format!("the supervisor of the services (pid {number}) does not answer"));
        outcome.explains(&format!("it is stopped: `kill -CONT {number}` lets it continue"));
    }
    for (signal, code) in [(Signal::INT, 254), (Signal::TERM, 254)] {
        let up = project.start(["up", "-e", "first"]);
        up.signal(signal);
        let ended = up.end();
        // A signal that comes before envo listens to any ends it as well. On a busy machine it may come too late.
        let gave_up = ended.code == 1 && ended.printed.contains("does not answer");
        assert!(
            ended.code == code || ended.code == 128 + signal.as_raw() || gave_up,
            "{} {}",
            ended.code,
            ended.printed
        );
    }
    for signal in [Signal::INT, Signal::TERM] {
        let late = [project.start(["events"]), project.start(["logs", "-f", "first"])];
        for one in late {
            one.signal(signal);
            let ended = one.end();
            assert!(!ended.printed.contains("does not answer"), "{}", ended.printed);
        }
    }
    events.signal(Signal::TERM);
    following.signal(Signal::INT);
    events.end();
    following.end();
    kill_process(pid, Signal::CONT).expect("it is there");
    project.run(["down"]).succeeds();
    gate.all();
    // Who holds services lets go of them without its answer.
    for (command, gates) in [(&["serve", "-e", "first"] as &[&str], 1), (&["run", "-e", "app"], 2)] {
        let running = project.start(command);
        for _ in 0..gates {
            gate.next();
        }
        let pid = supervisor(&project, state);
        kill_process(pid, Signal::STOP).expect("it runs");
        running.signal(Signal::INT);
        let ended = running.end();
        assert!(ended.printed.contains("does not answer") && ended.code != 0, "{}", ended.printed);
        kill_process(pid, Signal::CONT).expect("it is there");
        assert_eq!(gate.next(), "first down");
    }
}
