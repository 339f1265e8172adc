//! Tests with real commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::event::{Level, OutputStream, Reporter, RunEvent};
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{
    AllowedPrograms, CommandCapture, CommandDisplay, CommandOutcome, CommandRefusal, CommandRequest, CommandSession,
    CommandStdin, DisplayedCommand,
};
use crate::model::environment::Timeouts;
use crate::model::{EnvVariables, ExitRule};

/// Records every event and lets a test wait for one.
#[derive(Default)]
struct CommandEvents {
    events: Mutex<Vec<RunEvent>>,
    more: Condvar,
}

impl Reporter for CommandEvents {
    fn event(&self, event: RunEvent) {
        self.events.lock().push(event);
        self.more.notify_all();
    }
}

impl CommandEvents {
    fn shown(&self, wanted: OutputStream) -> Vec<u8> {
        let mut all = Vec::new();
        for event in &*self.events.lock() {
            if let RunEvent::Output { stream, bytes, .. } = event
                && *stream == wanted
            {
                all.extend_from_slice(bytes);
            }
        }
        all
    }

    fn messages(&self) -> Vec<String> {
        let events = self.events.lock();
        let text = |event: &RunEvent| match event {
            RunEvent::Message { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }

    /// Waits until the command has written `ready`.
    fn wait_until_ready(&self) {
        let is_ready = |event: &RunEvent| matches!(event, RunEvent::Output { bytes, .. } if bytes == b"ready\n");
        self.more.wait_while(&mut self.events.lock(), |events| !events.iter().any(is_ready));
    }
}

struct CommandFixture {
    folder: tempfile::TempDir,
    recorder: Arc<CommandEvents>,
    session: CommandSession,
}

/// A background job of a script ignores SIGINT, and so would all that it starts: a shell cannot trap a signal
/// that was ignored at its start. envo itself handles the signal, which frees its children of this.
fn heed_interrupts() {
    // SAFETY: no handler is set, only the system's default.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

impl CommandFixture {
    fn new() -> Self {
        crate::execute::tree::adopt_orphans();
        heed_interrupts();
        let folder = tempfile::tempdir().unwrap();
        let recorder = Arc::new(CommandEvents::default());
        let root = folder.path();
        let mut variables = EnvVariables::default();
        variables.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        variables.set("TOX_ENV_NAME", "py");
        variables.set("TOX_ENV_DIR", root);
        let soon = Duration::from_millis(50);
        let session = CommandSession {
            environment: "py".into(),
            programs: AllowedPrograms { paths: vec![root.join("bin")], allow: vec!["*".into()] },
            variables,
            log_dir: root.join("log"),
            log_number: Arc::default(),
            not_found: Arc::default(),
            timeouts: Timeouts { suicide: Duration::ZERO, interrupt: soon, terminate: soon },
            current_dir: root.to_owned(),
            grouping: ProcessGrouping::Shared,
            after_interrupt: false,
            verbosity: 2,
            interrupt: crate::execute::interrupt::Interrupt::default(),
            reporter: recorder.clone(),
            capture: CommandCapture::default(),
        };
        Self { folder, recorder, session }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn request(&self, argv: &[&str]) -> CommandRequest {
        CommandRequest {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            shown: DisplayedCommand::Itself,
            cwd: self.root().to_owned(),
            run_id: "commands[0]".into(),
            stdin: CommandStdin::Off,
            display: CommandDisplay::Show,
        }
    }

    fn run(&self, argv: &[&str]) -> CommandOutcome {
        self.session.execute(self.request(argv)).unwrap()
    }

    fn shell(&self, script: &str) -> CommandOutcome {
        self.run(&["sh", "-c", script])
    }

    /// Runs a script and asks it to stop as soon as it reports that it is ready.
    fn interrupted(&self, script: &str, times: usize) -> CommandOutcome {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                self.recorder.wait_until_ready();
                (0..times).for_each(|_| self.session.interrupt.request());
            });
            self.shell(script)
        })
    }

    fn pid_in(&self, file: &str) -> u32 {
        fs::read_to_string(self.root().join(file)).unwrap().trim().parse().unwrap()
    }
}

/// Whether the process exists and is not only waiting to be reaped.
fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_ok_and(|status| status.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X'])))
}

#[test]
fn exit_codes_and_signals_are_reported() {
    let fixture = CommandFixture::new();
    let outcome = fixture.shell("exit 3");
    assert_eq!((outcome.exit_code, outcome.pid.is_some()), (3, true));
    assert_eq!(fixture.session.conclude(&outcome, ExitRule::Zero), Err(3));
    assert_eq!(fixture.session.conclude(&outcome, ExitRule::NonZero), Ok(()));
    let outcome = fixture.shell("exit 0");
    assert_eq!(fixture.session.conclude(&outcome, ExitRule::NonZero), Err(1));
    assert_eq!(fixture.shell("kill -9 $$").exit_code, -9);
    let events = fixture.recorder.events.lock();
    let levels: Vec<Level> = events
        .iter()
        .filter_map(|event| match event {
            RunEvent::CommandFinished { level, .. } => Some(*level),
            _ => None,
        })
        .collect();
    assert_eq!(levels, [Level::Critical, Level::Info, Level::Critical]);
}

#[test]
fn large_output_on_both_streams_is_shown_and_kept_in_order() {
    let fixture = CommandFixture::new();
    let outcome = fixture.shell("seq 1 1500000 & seq 1 1500000 >&2; wait");
    let expected: String = (1..=1_500_000).map(|number| format!("{number}\n")).collect();
    let expected = expected.into_bytes();
    assert!(outcome.out.to_vec() == expected && outcome.err.to_vec() == expected);
    assert!(
        fixture.recorder.shown(OutputStream::Out) == expected
            && fixture.recorder.shown(OutputStream::Error) == expected
    );
    let log = fs::read(fixture.root().join("log/1-commands[0].log")).unwrap();
    assert!(log.ends_with(&[expected.as_slice(), b"\nstandard error:\n", &expected].concat()));
}

#[test]
fn the_log_file_has_the_format_of_tox_without_secrets() {
    let mut fixture = CommandFixture::new();
    fixture.session.variables.set("API_KEY", "abc");
    fixture.session.programs.allow = vec![" sh ".into()];
    let outcome = fixture.run(&["sh", "-c", "echo hi; echo err >&2; exit 2", "--token=xyz"]);
    let root = fixture.root().display();
    assert_eq!(
        fs::read_to_string(fixture.root().join("log/1-commands[0].log")).unwrap(),
        format!(
            "name: py\nrun_id: commands[0]\nenv API_KEY: ***\nenv PATH: /usr/local/bin:/usr/bin:/bin\n\
             env TOX_ENV_DIR: {root}\nenv TOX_ENV_NAME: py\nmetadata pid: {}\ncwd: {root}\nallow: {root}/bin/*:sh\n\
             cmd: sh -c 'echo hi; echo err >&2; exit 2' '--token=***'\nexit_code: 2\nhi\n\nstandard error:\nerr\n",
            outcome.pid.unwrap()
        )
    );
    fixture.shell("true");
    assert!(fixture.root().join("log/2-commands[0].log").exists());
}

#[test]
fn a_program_that_is_not_allowed_does_not_run() {
    let mut fixture = CommandFixture::new();
    fixture.session.programs.allow.clear();
    let refusal = fixture.session.execute(fixture.request(&["sh", "-c", "echo > ran"])).unwrap_err();
    assert_eq!(refusal.to_string(), "sh is not allowed, use allowlist_externals to allow it");
    assert!(!fixture.root().join("ran").exists());
}

#[test]
fn programs_that_cannot_start_end_with_the_systems_error_number() {
    let mut fixture = CommandFixture::new();
    fs::write(fixture.root().join("data"), "no program").unwrap();
    let data = fixture.root().join("data").display().to_string();
    for (program, number, words) in [
        ("no-such-program", 2, "[Errno 2] No such file or directory: 'no-such-program'".to_owned()),
        ("./absent", 2, "[Errno 2] No such file or directory: './absent'".to_owned()),
        (&data, 13, format!("[Errno 13] Permission denied: '{data}'")),
    ] {
        let outcome = fixture.run(&[program]);
        assert_eq!((outcome.exit_code, outcome.start_error.as_deref()), (number, Some(words.as_str())));
        assert_eq!(fixture.recorder.messages().pop().unwrap(), format!("Exception running subprocess {words}"));
        assert!(!outcome.succeeded(ExitRule::NonZero));
        assert_eq!(fixture.session.conclude(&outcome, ExitRule::NonZero), Err(number));
    }
    fixture.session.current_dir = fixture.root().join("gone");
    let request = CommandRequest { cwd: fixture.root().join("gone"), ..fixture.request(&["sh", "-c", "true"]) };
    let outcome = fixture.session.execute(request).unwrap();
    let gone = fixture.root().join("gone").display().to_string();
    assert_eq!(outcome.start_error.unwrap(), format!("[Errno 2] No such file or directory: '{gone}'"));
}

#[test]
fn an_empty_or_unspeakable_command_is_an_outcome_and_no_panic() {
    let fixture = CommandFixture::new();
    assert!(matches!(fixture.session.execute(fixture.request(&[])), Err(CommandRefusal::Empty)));
    assert!(fixture.run(&[""]).start_error.is_some());
    assert!(fixture.run(&["sh", "a\0b"]).start_error.is_some());
}

#[test]
fn programs_are_found_in_the_folder_the_command_runs_in() {
    let fixture = CommandFixture::new();
    let folder = fixture.root().join("sub");
    fs::create_dir(&folder).unwrap();
    fs::copy("/bin/echo", folder.join("say")).unwrap();
    let request = CommandRequest { cwd: folder, ..fixture.request(&["./say", "hi"]) };
    assert_eq!(fixture.session.execute(request).unwrap().out.text(), "hi\n");
}

#[test]
fn the_start_is_reported_with_relative_paths() {
    let fixture = CommandFixture::new();
    let bin = fixture.root().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::copy("/bin/echo", bin.join("say")).unwrap();
    let program = bin.join("say").display().to_string();
    let request = CommandRequest { cwd: bin.clone(), ..fixture.request(&[&program, "a b"]) };
    fixture.session.execute(request).unwrap();
    let events = fixture.recorder.events.lock();
    assert_eq!(
        events[0],
        RunEvent::CommandStarted {
            environment: "py".into(),
            run_id: "commands[0]".into(),
            cwd: bin.display().to_string(),
            command: "say 'a b'".into(),
        }
    );
}

#[test]
fn without_input_a_command_reads_the_end_of_it_at_once() {
    let outcome = CommandFixture::new().run(&["cat"]);
    assert_eq!((outcome.exit_code, outcome.out.is_empty()), (0, true));
}

#[test]
fn hidden_output_is_shown_when_the_command_failed() {
    let fixture = CommandFixture::new();
    let hidden = |script| CommandRequest { display: CommandDisplay::Hide, ..fixture.request(&["sh", "-c", script]) };
    let outcome = fixture.session.execute(hidden("echo fine")).unwrap();
    fixture.session.conclude(&outcome, ExitRule::Zero).unwrap();
    let outcome = fixture.session.execute(hidden("printf bad; echo worse >&2; exit 1")).unwrap();
    assert!(fixture.recorder.shown(OutputStream::Out).is_empty());
    fixture.session.conclude(&outcome, ExitRule::Zero).unwrap_err();
    assert_eq!(fixture.recorder.shown(OutputStream::Out), b"bad\n");
    assert_eq!(fixture.recorder.shown(OutputStream::Error), b"worse\n");
}

#[test]
fn a_process_that_was_left_behind_does_not_hold_up_the_end() {
    let fixture = CommandFixture::new();
    let outcome = fixture.shell("sleep 600 & echo $!");
    let left: u32 = outcome.out.text().trim().parse().unwrap();
    assert!(outcome.seconds < 300.0 && runs(left));
    rustix::process::kill_process(rustix::process::Pid::from_raw(left as i32).unwrap(), rustix::process::Signal::KILL)
        .unwrap();
}

#[test]
fn long_shebangs_can_be_taken_apart() {
    let mut fixture = CommandFixture::new();
    let script = fixture.root().join("script");
    // The kernel would pass all that follows `env` as one argument.
    fs::write(&script, "#!/usr/bin/env -i sh 'ignored'\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fixture.session.variables.set("TOX_LIMITED_SHEBANG", "1");
    fs::write(fixture.root().join("ignored"), "echo got $1\n").unwrap();
    let outcome = fixture.run(&["./script", "x"]);
    assert_eq!(outcome.out.text(), format!("got {}\n", script.display()));
}

#[test]
fn a_command_that_ignores_signals_is_killed_when_time_is_up() {
    let fixture = CommandFixture::new();
    let outcome = fixture.interrupted("trap '' INT TERM; echo ready; while :; do sleep 600; done", 1);
    assert_eq!(outcome.exit_code, -9);
    let (pid, own) = (outcome.pid.unwrap(), std::process::id());
    assert_eq!(
        fixture.recorder.messages(),
        [
            "interrupt tox environment: py".to_owned(),
            format!("requested interrupt of {pid} from {own}, activate in 0.00"),
            format!("send signal SIGINT(2) to {pid} from {own} with timeout 0.05"),
            format!("send signal SIGTERM(15) to {pid} from {own} with timeout 0.05"),
            format!("send signal SIGKILL(9) to {pid} from {own}"),
            "interrupt finished with success".to_owned(),
        ]
    );
    assert!(matches!(fixture.session.execute(fixture.request(&["true"])), Err(CommandRefusal::Interrupted)));
}

#[test]
fn a_command_may_end_in_its_own_way_and_its_last_words_are_kept() {
    let mut fixture = CommandFixture::new();
    fixture.session.timeouts.interrupt = Duration::from_secs(600);
    let outcome =
        fixture.interrupted("trap 'seq 1 100000; exit 7' INT; echo ready; while :; do sleep 600 & wait; done", 1);
    assert_eq!(outcome.exit_code, 7);
    assert!(outcome.out.text().ends_with("\n100000\n"));
}

#[test]
fn a_second_interrupt_leaves_out_the_waiting() {
    let mut fixture = CommandFixture::new();
    let long = Duration::from_secs(600);
    fixture.session.timeouts = Timeouts { suicide: long, interrupt: long, terminate: Duration::ZERO };
    let outcome = fixture.interrupted("trap '' INT TERM; echo ready; while :; do sleep 600; done", 2);
    assert_eq!(outcome.exit_code, -9);
}

#[test]
fn grandchildren_and_daemons_are_gone_after_an_interrupt() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let fixture = CommandFixture::new();
    let daemon = "trap '' INT TERM HUP; echo $$ > daemon; echo > gate; while :; do sleep 600; done";
    let grandchild = "trap '' INT TERM; echo $$ > grandchild; echo > gate; while :; do sleep 600; done";
    fs::write(fixture.root().join("daemon.sh"), daemon).unwrap();
    fs::write(fixture.root().join("grandchild.sh"), grandchild).unwrap();
    let outcome = fixture.interrupted(
        "mkfifo gate; (setsid sh daemon.sh > /dev/null 2>&1 &); read line < gate; sh grandchild.sh & read line < gate; \
         echo ready; wait",
        1,
    );
    assert_eq!(outcome.exit_code, -2);
    for file in ["daemon", "grandchild"] {
        assert!(!runs(fixture.pid_in(file)), "the {file} is gone");
    }
}

#[test]
fn permitted_commands_run_after_one_interrupt_but_not_two() {
    let mut fixture = CommandFixture::new();
    fixture.session.after_interrupt = true;
    fixture.session.interrupt.request();
    assert_eq!(fixture.shell("exit 4").exit_code, 4);
    let outcome = fixture.interrupted("echo ready; exec sleep 600", 1);
    assert_eq!(outcome.exit_code, -2);
    assert!(fixture.recorder.messages()[0].starts_with("second interrupt received"));
    assert!(matches!(fixture.session.execute(fixture.request(&["true"])), Err(CommandRefusal::Interrupted)));
}

#[test]
fn a_group_of_its_own_gets_the_interrupt_as_a_whole() {
    let mut fixture = CommandFixture::new();
    fixture.session.grouping = ProcessGrouping::Group;
    fixture.session.timeouts.interrupt = Duration::from_secs(600);
    // The outer shell runs its trap only when the program in front of it has ended, which needs the signal too.
    let outcome = fixture.interrupted("trap 'exit 9' INT; sh -c 'echo ready; exec sleep 600'", 1);
    assert_eq!(outcome.exit_code, 9);
}

#[test]
fn output_goes_through_a_terminal_if_there_is_one() {
    let model = crate::execute::pty::pair().unwrap();
    let terminal = crate::execute::pty::like(&model.child).unwrap();
    let mut spawn = crate::execute::process::Spawn::new(
        "sh",
        ["-c", "test -t 1 && echo terminal"],
        [("PATH".into(), "/usr/bin:/bin".into())].into_iter().collect(),
    );
    spawn.stdout = crate::execute::process::ChildOutput::To(terminal.child);
    let mut child = spawn.start().unwrap();
    assert_eq!(child.reap().unwrap(), 0);
    let folder = PathBuf::from("/nonexistent");
    let mut output =
        crate::execute::output::CommandOutput::new(OutputStream::Out, Some(terminal.reader.into()), false, &folder);
    output.drain(&mut [0; 100], &|_, _| ());
    assert!(output.source().is_none(), "its end is seen");
    assert_eq!(output.finish(&|_, _| ()).text(), "terminal\r\n");
    let file = fs::File::open("/dev/null").unwrap();
    assert!(crate::execute::pty::like(file).is_none());
}
