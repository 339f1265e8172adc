//! Tests of hooks that fail, write, hang and exit in unusual ways.

use std::fs;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::builder::package::tests::{
    BACKEND, BUILD_SYSTEM, BuildEvents, BuilderFixture, OnEvent, request, shown, with_static,
};
use crate::env_error::BackendFailed;
use crate::env_error::EnvError;
use crate::event::RunEvent;
use crate::execute::interrupt::Interrupt;
use crate::execute::session::CommandRefusal;
use crate::model::PackageKind;

#[test]
fn hooks_are_announced_in_the_shape_of_tox() {
    let fixture = BuilderFixture::new(&with_static(), BACKEND);
    fixture.build(PackageKind::Wheel).unwrap();
    let events = fixture.recorder.events.lock();
    let Some(RunEvent::CommandStarted { environment, cwd, command, .. }) = events.first() else { panic!("no start") };
    let script = fixture.root().join("work/.pkg/.envo/_backend.py");
    assert_eq!((environment.as_str(), cwd.as_str()), (".pkg", ""));
    assert_eq!(*command, format!("python {} True backend", script.display()));
}

#[test]
fn a_failing_hook_is_told_in_the_words_of_tox_with_all_it_wrote() {
    let hook = "
def get_requires_for_build_sdist(config_settings=None):
    print('hello out, ünïcode')
    sys.stderr.write('on err\\n')
    raise RuntimeError('boom')
";
    for fresh in [false, true] {
        let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}{hook}"));
        fixture.fresh = fresh;
        let error = fixture.build(PackageKind::Sdist).expect_err("the hook fails");
        let failed = error.downcast_ref::<BackendFailed>().expect("a failed backend");
        assert_eq!(failed.exit_code(), 1);
        let text = failed.to_string();
        let start =
            "packaging backend failed (code=1), with RuntimeError: boom\non err\nTraceback (most recent call last):\n";
        assert!(text.starts_with(start), "{text}");
        let out = "RuntimeError: boom\nBackend: run command get_requires_for_build_sdist with args {'config_settings': \
                   None}\nhello out, ünïcode\nBackend: Wrote response {";
        assert!(text.contains(out), "{text}");
        assert!(!text.contains('\u{1e}') && !text.contains("started backend"), "{text}");
        assert!(matches!(EnvError::from(error), EnvError::ExitSaying(1, words) if words == text));
    }
}

#[test]
fn the_ways_in_which_a_backend_can_fail_are_told_apart() {
    let cases = [
        (
            "import nothing_of_the_kind",
            "packaging backend failed (code=-5), with FailedToStart: could not start backend\nfailed to start backend\nTraceback",
        ),
        (
            "del build_sdist",
            "packaging backend failed (code=1), with MissingCommand: <module 'backend' from 'ROOT/project/backend.py'> has no attribute 'build_sdist'\nBackend: run",
        ),
        (
            "def build_sdist(*a, **k):\n    sys.exit(3)",
            "packaging backend failed (code=3), with SystemExit: 3\nTraceback",
        ),
        (
            "def build_sdist(*a, **k):\n    sys.exit('no')",
            "packaging backend failed (code=1), with SystemExit: no\nTraceback",
        ),
        (
            "def build_sdist(*a, **k):\n    return 1",
            "packaging backend failed, with TypeError: 'build_sdist' on 'backend' returned 1 but expected type <class 'str'>\nBackend: run",
        ),
        ("def build_sdist(*a, **k):\n    return {1}", "packaging backend failed (code=1), with TypeError: "),
        (
            "def get_requires_for_build_sdist(c=None, config_settings=None):\n    return 'x'",
            "packaging backend failed, with TypeError: 'get_requires_for_build_sdist' on 'backend' returned 'x' but expected type 'list of string'\n",
        ),
        (
            "def get_requires_for_build_sdist(config_settings=None):\n    return ['a b']",
            "invalid build requirement: Expected semicolon",
        ),
        (
            "def build_sdist(*a, **k):\n    sys.stderr.write('last words')\n    os._exit(7)",
            "packaging backend failed (code=1), with RuntimeError: Backend response file ",
        ),
        (
            "def build_sdist(*a, **k):\n    os.kill(os.getpid(), 9)",
            "packaging backend failed (code=1), with RuntimeError: Backend response file ",
        ),
    ];
    for fresh in [false, true] {
        for (code, expected) in cases {
            let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}\n{code}\n"));
            fixture.fresh = fresh;
            let text = fixture.failure(PackageKind::Sdist);
            assert!(text.starts_with(expected), "{code}: {text}");
        }
    }
}

#[test]
fn a_python_that_is_not_there_is_a_failed_start() {
    let mut fixture = BuilderFixture::new(&with_static(), BACKEND);
    fixture.session.variables.set("PATH", fixture.root());
    let text = fixture.failure(PackageKind::Sdist);
    assert!(
        text.starts_with("packaging backend failed (code=-5), with FailedToStart: could not start backend\n"),
        "{text}"
    );
}

#[test]
fn a_package_that_the_backend_did_not_build_is_an_error() {
    let fixture = BuilderFixture::new(
        &with_static(),
        &format!("{BACKEND}\ndef build_sdist(*a, **k):\n    return 'ghost.tar.gz'\n"),
    );
    assert!(fixture.failure(PackageKind::Sdist).contains("ghost.tar.gz"));
    let fixture =
        BuilderFixture::new(BUILD_SYSTEM, &format!("{BACKEND}\ndef build_wheel(*a, **k):\n    return 'ghost.whl'\n"));
    let expected = "missing wheel file return by backed ROOT/work/.pkg/dist/ghost.whl";
    assert_eq!(fixture.failure(PackageKind::Sdist), expected);
}

#[test]
fn whatever_a_backend_does_to_its_streams_its_answer_arrives() {
    let cases = [
        "for i in range(40000): print('x' * 100)",
        "sys.stdout.write('no end of line'); sys.stdout.flush()",
        "sys.stdout.close()",
        "os.close(1); os.close(2)",
        "sys.stdout = None",
        "sys.stdout = open(os.devnull, 'w')",
        "os.write(1, b'\\xff\\x1e\\x1e')",
        "import subprocess; subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL)",
        "sys.stdin.read()",
        "os.chdir('/')",
    ];
    for fresh in [false, true] {
        for code in cases {
            let hook =
                format!("def get_requires_for_build_sdist(config_settings=None):\n    {code}\n    return ['a']\n");
            let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}\n{hook}"));
            fixture.fresh = fresh;
            let builder = fixture.builder(&[("a", PackageKind::Sdist)]);
            builder.build(request(PackageKind::Sdist, &[])).unwrap_or_else(|error| panic!("{code}: {error:#}"));
            assert!(fixture.installed.lock().contains(&"requires_for_build_sdist: a".to_owned()), "{code}");
            builder.finish();
        }
    }
}

#[test]
fn output_is_shown_to_the_curious_without_what_is_only_for_envo() {
    let hook = "
def get_requires_for_build_sdist(config_settings=None):
    sys.stdout.write('one\\ntwo')
    return []
";
    let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}{hook}"));
    fixture.build(PackageKind::Sdist).unwrap();
    assert_eq!(shown(&fixture), "");
    fixture.session.verbosity = 4;
    fixture.build(PackageKind::Sdist).unwrap();
    let shown = shown(&fixture);
    let expected =
        "Backend: run command get_requires_for_build_sdist with args {'config_settings': None}\none\ntwoBackend: Wrote";
    assert!(shown.contains(expected), "{shown}");
    assert!(!shown.contains('\u{1e}'));
}

#[test]
fn hooks_share_a_process_unless_each_is_to_have_a_fresh_one() {
    let hook = "
COUNT = []
def get_requires_for_build_sdist(config_settings=None):
    COUNT.append(1)
    return []
def build_sdist(sdist_directory, config_settings=None):
    raise RuntimeError('%d calls before' % len(COUNT))
";
    for (fresh, expected) in [(false, "RuntimeError: 1 calls before"), (true, "RuntimeError: 0 calls before")] {
        let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}{hook}"));
        fixture.fresh = fresh;
        assert!(fixture.failure(PackageKind::Sdist).contains(expected));
    }
}

#[test]
fn a_fresh_process_sees_what_was_installed_after_the_first_hook() {
    let hook = "
NEEDED = os.path.exists('installed')
def get_requires_for_build_sdist(config_settings=None):
    open('installed', 'w').close()
    return ['needed']
_build = build_sdist
def build_sdist(sdist_directory, config_settings=None):
    assert NEEDED
    return _build(sdist_directory)
";
    let mut fixture = BuilderFixture::new(&with_static(), &format!("{BACKEND}{hook}"));
    fixture.fresh = true;
    fixture.build(PackageKind::Sdist).unwrap();
}

#[test]
fn an_interrupt_ends_a_hook_and_all_it_started() {
    for fresh in [false, true] {
        let hook = "
def get_requires_for_build_sdist(config_settings=None):
    import signal, subprocess
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(['sleep', '600'])
    print('ready %d %d' % (child.pid, os.getpid()))
    sys.stdout.flush()
    child.wait()
";
        let interrupt = Interrupt::default();
        let asked = interrupt.clone();
        let pids: Arc<Mutex<Vec<u32>>> = Arc::default();
        let found = pids.clone();
        let on_event: OnEvent = Box::new(move |event| {
            let RunEvent::Output { bytes, .. } = event else { return };
            let text = String::from_utf8_lossy(bytes);
            let Some((_, line)) = text.split_once("ready ") else { return };
            found.lock().extend(line.split_whitespace().take(2).filter_map(|pid| pid.parse::<u32>().ok()));
            asked.request();
        });
        let recorder = BuildEvents { on_event: Some(on_event), ..BuildEvents::default() };
        let mut fixture = BuilderFixture::reporting(&with_static(), &format!("{BACKEND}{hook}"), recorder);
        fixture.fresh = fresh;
        fixture.session.verbosity = 4;
        fixture.session.interrupt = interrupt;
        let error = fixture.build(PackageKind::Sdist).expect_err("interrupted");
        assert!(matches!(error.downcast_ref::<CommandRefusal>(), Some(CommandRefusal::Interrupted)), "{error:#}");
        let pids = pids.lock().clone();
        assert_eq!(pids.len(), 2);
        for pid in pids {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A process whose new parent has not reaped it yet is a zombie.
            assert!(state.is_empty() || state.contains(") Z ") || state.contains(") X "), "{pid} still runs: {state}");
        }
        assert!(fixture.build(PackageKind::Sdist).is_err());
    }
}
