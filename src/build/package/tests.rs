//! Backends that really run: one that each test writes into its project, so that no network is needed, and, in one test,
//! those that people use.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{BackendFailed, BuildRequest, Package, PackageBuilder, PackageFile, Site, Wanted, Workshop};
use crate::build::halt::Halt;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{Grouping, capture};
use crate::execute::session::{Refusal, Session};
use crate::model::environment::{PackageBuild, Timeouts};
use crate::model::requirements::RequirementText;
use crate::model::{Deferred, PackageKind, Variables};
use crate::report::{Event, Level, Reporter};

/// A backend with the two hooks it must have. `EXTRA` is where tests put more.
const BACKEND: &str = r#"
import io, os, sys, tarfile, zipfile
NAME, METADATA = "demo", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nProvides-Extra: x\nRequires-Dist: six\nRequires-Dist: A; extra == 'x'\n"
def _wheel(folder):
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        archive.writestr("demo.py", "x = 1\n")
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
    return name
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    print("wheel with", config_settings)
    return _wheel(wheel_directory)
def build_sdist(sdist_directory, config_settings=None):
    name = "demo-1.0.tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as archive:
        for file in ("backend.py", "pyproject.toml"):
            archive.add(file, "demo-1.0/" + file)
    return name
"#;
const EDITABLE: &str = "
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return _wheel(wheel_directory)
";
const BUILD_SYSTEM: &str = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";
const STATIC: &str = "[project]\nname = 'demo'\nversion = '1.0'\ndependencies = ['six']\n";

type OnEvent = Box<dyn Fn(&Event) + Send + Sync>;

#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<Event>>,
    on_event: Option<OnEvent>,
}

impl Reporter for Recorder {
    fn event(&self, event: Event) {
        if let Some(on_event) = &self.on_event {
            on_event(&event);
        }
        self.events.lock().unwrap().push(event);
    }
}

/// Stands in for the environment: its Python is the first `python3`, and what is installed is written down.
struct Bench {
    session: Session,
    installed: Arc<Mutex<Vec<String>>>,
    /// How many more times an installation asks for a new environment.
    stale: Arc<AtomicUsize>,
}

impl Workshop for Bench {
    fn prepare(&self) -> anyhow::Result<Session> {
        self.installed.lock().unwrap().push("prepare".to_owned());
        Ok(self.session.clone())
    }

    fn install(&self, requirements: &[String], of_type: &str) -> anyhow::Result<()> {
        self.installed.lock().unwrap().push(format!("{of_type}: {}", requirements.join(" ")).trim().to_owned());
        let less = |count: usize| count.checked_sub(1);
        if self.stale.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Halt::Recreate("dependencies removed: old".to_owned()).into());
        }
        Ok(())
    }

    fn recreate(&self, reason: &str) -> anyhow::Result<()> {
        self.installed.lock().unwrap().push(format!("recreate because {reason}"));
        Ok(())
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    recorder: Arc<Recorder>,
    session: Session,
    installed: Arc<Mutex<Vec<String>>>,
    stale: Arc<AtomicUsize>,
    fresh: bool,
    deps: String,
    settings: Vec<(String, Vec<(String, serde_json::Value)>)>,
}

impl Fixture {
    fn new(pyproject: &str, backend: &str) -> Self {
        Self::reporting(pyproject, backend, Recorder::default())
    }

    fn reporting(pyproject: &str, backend: &str, recorder: Recorder) -> Self {
        crate::execute::tree::adopt_orphans();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("project")).unwrap();
        fs::write(root.join("project/pyproject.toml"), pyproject).unwrap();
        fs::write(root.join("project/backend.py"), backend).unwrap();
        let recorder = Arc::new(recorder);
        let session = session(&root, &python_folder(&root), recorder.clone());
        Self {
            folder,
            recorder,
            session,
            installed: Arc::default(),
            stale: Arc::default(),
            fresh: false,
            deps: String::new(),
            settings: Vec::new(),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    fn builder(&self, wanted: &[(&str, PackageKind)]) -> PackageBuilder {
        let env_dir = self.root().join("work/.pkg");
        let wanted = wanted.iter().map(|(name, kind)| Wanted { environment: (*name).to_owned(), kind: *kind });
        let site = Site {
            name: ".pkg".to_owned(),
            tmp_dir: env_dir.join("tmp"),
            deps: Deferred::ready(RequirementText { text: self.deps.clone(), root: self.root() }),
            build: PackageBuild {
                package_root: self.root().join("project"),
                meta_dir: env_dir.join(".meta"),
                package_dir: env_dir.join("dist"),
                fresh_subprocess: self.fresh,
                config_settings: self.settings.clone(),
                package_glob: String::new(),
            },
            staging: self.root().join("work/.tmp/package"),
            env_dir,
        };
        let (session, installed, stale) = (self.session.clone(), self.installed.clone(), self.stale.clone());
        PackageBuilder::new(site, wanted.collect(), Box::new(Bench { session, installed, stale }))
    }

    /// Builds `kind` for one environment `a` that is the only one to want it.
    fn build(&self, kind: PackageKind) -> anyhow::Result<Vec<Package>> {
        self.builder(&[("a", kind)]).build(request(kind, &[]))
    }

    fn failure(&self, kind: PackageKind) -> String {
        let error = self.build(kind).expect_err("the build fails");
        format!("{error:#}").replace(&self.root().display().to_string(), "ROOT")
    }

    /// The run ids of the hooks that were called.
    fn hooks(&self) -> Vec<String> {
        let events = self.recorder.events.lock().unwrap();
        let hook = |event: &Event| match event {
            Event::CommandStarted { run_id, .. } => Some(run_id.clone()),
            _ => None,
        };
        events.iter().filter_map(hook).collect()
    }

    fn messages(&self, wanted: Level) -> Vec<String> {
        let events = self.recorder.events.lock().unwrap();
        let text = |event: &Event| match event {
            Event::Message { level, text, .. } if *level == wanted => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(text).collect()
    }
}

fn request<'a>(kind: PackageKind, extras: &'a [String]) -> BuildRequest<'a> {
    BuildRequest { kind, extras, wheel_builder: None }
}

fn host_path() -> String {
    crate::execute::environment::host().text("PATH").unwrap_or_default()
}

/// A folder whose `python` is the first `python3` on PATH.
fn python_folder(root: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let bin = root.join("bin");
    fs::create_dir(&bin).unwrap();
    let python = bin.join("python");
    let found = which::which("python3").unwrap();
    // A link would not do: version managers put scripts on PATH that act on the name they were called by.
    fs::write(&python, format!("#!/bin/sh\nexec '{}' \"$@\"\n", found.display())).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

fn session(root: &Path, bin: &Path, recorder: Arc<Recorder>) -> Session {
    let mut variables = Variables::default();
    variables.set("PATH", format!("{}:{}", bin.display(), host_path()));
    variables.set("HOME", root);
    variables.set("PYTHONIOENCODING", "utf-8");
    variables.set("PYTHONDONTWRITEBYTECODE", "1");
    let moment = Duration::from_millis(50);
    Session {
        environment: ".pkg".to_owned(),
        paths: vec![bin.to_owned()],
        variables,
        allow: Vec::new(),
        log_dir: root.join("work/.pkg/log"),
        log_number: Arc::default(),
        timeouts: Timeouts { suicide: Duration::ZERO, interrupt: moment, terminate: moment },
        current_dir: root.join("project"),
        no_capture: false,
        grouping: Grouping::Shared,
        after_interrupt: false,
        verbosity: 2,
        interrupt: Interrupt::default(),
        reporter: recorder,
        record: None,
    }
}

fn with_static() -> String {
    format!("{BUILD_SYSTEM}{STATIC}")
}

#[test]
fn an_sdist_is_built_once_and_every_environment_gets_its_own_copy() {
    let fixture = Fixture::new(&with_static(), BACKEND);
    let builder = fixture.builder(&[("a", PackageKind::Sdist), ("b", PackageKind::Sdist)]);
    let packages: Vec<Package> = std::thread::scope(|scope| {
        let builds: Vec<_> =
            (0..4).map(|_| scope.spawn(|| builder.build(request(PackageKind::Sdist, &[])).unwrap())).collect();
        builds.into_iter().flat_map(|build| build.join().unwrap()).collect()
    });
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist"]);
    assert_eq!(*fixture.installed.lock().unwrap(), ["prepare", "requires:", "deps:", "requires_for_build_sdist:"]);
    let mut paths: Vec<_> = packages.iter().map(|package| package.path.clone()).collect();
    paths.sort();
    let staging = fixture.root().join("work/.tmp/package");
    let expected: Vec<_> = (1..5).map(|number| staging.join(number.to_string()).join("demo-1.0.tar.gz")).collect();
    assert_eq!(paths, expected);
    assert_eq!(packages[0].requirements, ["six"]);
    assert_eq!(packages[0].file, PackageFile::Sdist { config_settings: Vec::new() });
    builder.finish();
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist", "_exit"]);
    assert!(paths.iter().all(|path| !path.exists()));
    assert!(fixture.root().join("work/.pkg/dist/demo-1.0.tar.gz").exists());
    assert!(fixture.root().join("work/.pkg/log/2-build_sdist.log").exists());
}

#[test]
fn hooks_are_announced_in_the_shape_of_tox() {
    let fixture = Fixture::new(&with_static(), BACKEND);
    fixture.build(PackageKind::Wheel).unwrap();
    let events = fixture.recorder.events.lock().unwrap();
    let Some(Event::CommandStarted { environment, cwd, command, .. }) = events.first() else { panic!("no start") };
    let script = fixture.root().join("work/.pkg/.envo/_backend.py");
    assert_eq!((environment.as_str(), cwd.as_str()), (".pkg", ""));
    assert_eq!(*command, format!("python {} True backend", script.display()));
}

#[test]
fn metadata_that_is_not_static_is_taken_from_the_wheel_when_the_backend_cannot_prepare_it() {
    let fixture = Fixture::new(BUILD_SYSTEM, BACKEND);
    let builder = fixture.builder(&[("a", PackageKind::Sdist)]);
    let package = builder.build(request(PackageKind::Sdist, &["X".to_owned()])).unwrap().remove(0);
    assert_eq!(package.requirements, ["six", "A"]);
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_wheel", "build_sdist"]);
    let error = builder.build(request(PackageKind::Sdist, &["typo".to_owned()])).expect_err("no such extra");
    assert_eq!(error.to_string(), "extras not found for package demo: typo (available: x)");
}

#[test]
fn metadata_is_prepared_when_no_wheel_is_built_anyway() {
    let prepare = r#"
def get_requires_for_build_sdist(config_settings=None):
    return ["One >= 1"]
def get_requires_for_build_wheel(config_settings=None):
    return []
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    os.mkdir(os.path.join(metadata_directory, "demo-1.0.dist-info"))
    with io.open(os.path.join(metadata_directory, "demo-1.0.dist-info", "METADATA"), "w") as file:
        file.write(METADATA)
    return "demo-1.0.dist-info"
"#;
    let fixture = Fixture::new(BUILD_SYSTEM, &format!("{BACKEND}{prepare}"));
    let meta = fixture.root().join("work/.pkg/.meta");
    fs::create_dir_all(&meta).unwrap();
    fs::write(meta.join("stale"), "").unwrap();
    assert_eq!(fixture.build(PackageKind::Sdist).unwrap()[0].requirements, ["six"]);
    let hooks = ["_optional_hooks", "get_requires_for_build_sdist", "get_requires_for_build_wheel"];
    assert_eq!(fixture.hooks()[..3], hooks);
    assert_eq!(fixture.hooks()[3..], ["prepare_metadata_for_build_wheel", "build_sdist"]);
    assert!(fixture.installed.lock().unwrap().contains(&"requires_for_build_sdist: One>=1".to_owned()));
    assert!(!meta.join("stale").exists());
}

#[test]
fn a_backend_without_editable_wheels_falls_back_to_the_old_kind() {
    for (pyproject, hooks) in
        [(BUILD_SYSTEM.to_owned(), vec!["_optional_hooks", "build_wheel"]), (with_static(), vec!["_optional_hooks"])]
    {
        let fixture = Fixture::new(&pyproject, BACKEND);
        let builder = fixture.builder(&[("b", PackageKind::Editable), ("a", PackageKind::Editable)]);
        for _ in 0..2 {
            let package = builder.build(request(PackageKind::Editable, &[])).unwrap().remove(0);
            assert_eq!(package.file, PackageFile::EditableLegacy);
            assert_eq!(package.path, fixture.root().join("project"));
            assert_eq!(package.requirements, ["six"]);
        }
        assert_eq!(fixture.hooks(), hooks);
        assert_eq!(
            fixture.messages(Level::Error),
            ["package config for a, b is editable, however the build backend backend does not support PEP-660, \
              falling back to editable-legacy - change your configuration to it"]
        );
    }
}

#[test]
fn editable_and_ordinary_wheels_are_built_apart() {
    let fixture = Fixture::new(BUILD_SYSTEM, &format!("{BACKEND}{EDITABLE}"));
    let builder = fixture.builder(&[("a", PackageKind::Editable), ("b", PackageKind::Wheel)]);
    for _ in 0..2 {
        for (kind, file) in [(PackageKind::Editable, PackageFile::Editable), (PackageKind::Wheel, PackageFile::Wheel)] {
            assert_eq!(builder.build(request(kind, &[])).unwrap()[0].file, file);
        }
    }
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_editable", "build_wheel"]);
}

#[test]
fn a_wheel_can_come_from_the_source_archive() {
    let backend = BACKEND.replace(
        "    print(\"wheel with\", config_settings)",
        "    assert 'sdist-extract' in os.getcwd(), os.getcwd()",
    );
    let fixture = Fixture::new(&with_static(), &backend);
    let builder = fixture.builder(&[("a", PackageKind::SdistWheel)]);
    for _ in 0..2 {
        let package = builder.build(request(PackageKind::SdistWheel, &[])).unwrap().remove(0);
        assert_eq!(package.file, PackageFile::Wheel);
        assert!(package.path.ends_with("demo-1.0-py3-none-any.whl"));
    }
    assert_eq!(fixture.hooks(), ["_optional_hooks", "build_sdist", "_optional_hooks", "build_wheel", "_exit"]);
    assert_eq!(fixture.messages(Level::Info), ["built sdist demo-1.0.tar.gz, now building wheel from it"]);
}

#[test]
fn wheels_are_built_where_another_interpreter_needs_them() {
    let fixture = Fixture::new(&with_static(), BACKEND);
    let parent = fixture.builder(&[("a", PackageKind::Wheel)]);
    let child = fixture.builder(&[("a", PackageKind::Wheel)]);
    let wanted = BuildRequest { wheel_builder: Some(&child), ..request(PackageKind::Wheel, &[]) };
    assert_eq!(parent.build(wanted).unwrap()[0].file, PackageFile::Wheel);
    assert_eq!(fixture.installed.lock().unwrap().iter().filter(|step| *step == "prepare").count(), 1);
}

#[test]
fn config_settings_reach_their_hooks_and_the_installer() {
    let mut fixture = Fixture::new(
        &with_static(),
        &format!(
            "{BACKEND}\ndef get_requires_for_build_wheel(config_settings=None):\n    return list(config_settings)\n"
        ),
    );
    fixture.settings = vec![
        ("get_requires_for_build_wheel".to_owned(), vec![("needs-this".to_owned(), "1".into())]),
        ("build_wheel".to_owned(), vec![("X".to_owned(), "y".into()), ("Z".to_owned(), "w".into())]),
    ];
    fixture.session.verbosity = 4;
    let builder = fixture.builder(&[("a", PackageKind::Wheel), ("b", PackageKind::Sdist)]);
    builder.build(request(PackageKind::Wheel, &[])).unwrap();
    let sdist = builder.build(request(PackageKind::Sdist, &[])).unwrap().remove(0);
    assert!(fixture.installed.lock().unwrap().contains(&"requires_for_build_wheel: needs-this".to_owned()));
    let settings = [("X", "y"), ("Z", "w")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    assert_eq!(sdist.file, PackageFile::Sdist { config_settings: settings });
    assert!(shown(&fixture).contains("wheel with {'X': 'y', 'Z': 'w'}\n"));
}

/// Standard output and error as they were shown.
fn shown(fixture: &Fixture) -> String {
    let events = fixture.recorder.events.lock().unwrap();
    let bytes = |event: &Event| match event {
        Event::Output { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    events.iter().filter_map(bytes).collect()
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
        let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}{hook}"));
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
        assert!(matches!(Halt::from(error), Halt::ExitSaying(1, words) if words == text));
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
            let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}\n{code}\n"));
            fixture.fresh = fresh;
            let text = fixture.failure(PackageKind::Sdist);
            assert!(text.starts_with(expected), "{code}: {text}");
        }
    }
}

#[test]
fn a_python_that_is_not_there_is_a_failed_start() {
    let mut fixture = Fixture::new(&with_static(), BACKEND);
    fixture.session.variables.set("PATH", fixture.root());
    let text = fixture.failure(PackageKind::Sdist);
    assert!(
        text.starts_with("packaging backend failed (code=-5), with FailedToStart: could not start backend\n"),
        "{text}"
    );
}

#[test]
fn a_package_that_the_backend_did_not_build_is_an_error() {
    let fixture =
        Fixture::new(&with_static(), &format!("{BACKEND}\ndef build_sdist(*a, **k):\n    return 'ghost.tar.gz'\n"));
    assert!(fixture.failure(PackageKind::Sdist).contains("ghost.tar.gz"));
    let fixture =
        Fixture::new(BUILD_SYSTEM, &format!("{BACKEND}\ndef build_wheel(*a, **k):\n    return 'ghost.whl'\n"));
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
            let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}\n{hook}"));
            fixture.fresh = fresh;
            let builder = fixture.builder(&[("a", PackageKind::Sdist)]);
            builder.build(request(PackageKind::Sdist, &[])).unwrap_or_else(|error| panic!("{code}: {error:#}"));
            assert!(fixture.installed.lock().unwrap().contains(&"requires_for_build_sdist: a".to_owned()), "{code}");
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
    let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}{hook}"));
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
        let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}{hook}"));
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
    let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}{hook}"));
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
            let Event::Output { bytes, .. } = event else { return };
            let text = String::from_utf8_lossy(bytes);
            let Some((_, line)) = text.split_once("ready ") else { return };
            found.lock().unwrap().extend(line.split_whitespace().take(2).filter_map(|pid| pid.parse::<u32>().ok()));
            asked.request();
        });
        let recorder = Recorder { on_event: Some(on_event), ..Recorder::default() };
        let mut fixture = Fixture::reporting(&with_static(), &format!("{BACKEND}{hook}"), recorder);
        fixture.fresh = fresh;
        fixture.session.verbosity = 4;
        fixture.session.interrupt = interrupt;
        let error = fixture.build(PackageKind::Sdist).expect_err("interrupted");
        assert!(matches!(error.downcast_ref::<Refusal>(), Some(Refusal::Interrupted)), "{error:#}");
        let pids = pids.lock().unwrap().clone();
        assert_eq!(pids.len(), 2);
        for pid in pids {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // A process whose new parent has not taken notice of its end yet is a zombie.
            assert!(state.is_empty() || state.contains(") Z ") || state.contains(") X "), "{pid} still runs: {state}");
        }
        assert!(fixture.build(PackageKind::Sdist).is_err());
    }
}

#[test]
fn an_environment_that_must_be_made_anew_is_and_the_build_goes_on() {
    let fixture = Fixture::new(&with_static(), BACKEND);
    fixture.stale.store(1, Ordering::SeqCst);
    fixture.build(PackageKind::Sdist).unwrap();
    let steps = ["prepare", "requires:", "recreate because dependencies removed: old", "prepare", "requires:"];
    assert_eq!(fixture.installed.lock().unwrap()[..5], steps);
    fixture.stale.store(100, Ordering::SeqCst);
    let error = fixture.build(PackageKind::Sdist).expect_err("it never fits");
    assert!(matches!(error.downcast_ref::<Halt>(), Some(Halt::Recreate(_))));
}

#[test]
fn deps_are_only_for_the_old_kind_of_build() {
    for (kind, accepted) in [
        (PackageKind::Sdist, false),
        (PackageKind::SdistWheel, false),
        (PackageKind::Wheel, false),
        (PackageKind::Editable, false),
        (PackageKind::EditableLegacy, true),
    ] {
        let mut fixture = Fixture::new(&with_static(), &format!("{BACKEND}{EDITABLE}"));
        fixture.deps = "# for the build\nA >= 1\n".to_owned();
        match fixture.build(kind) {
            Ok(_) => {
                assert!(accepted, "{kind:?}");
                assert!(fixture.installed.lock().unwrap().contains(&"deps: A>=1".to_owned()));
            }
            Err(error) => {
                assert!(!accepted, "{kind:?}: {error:#}");
                let expected = "PEP-517 packaging environment '.pkg' does not support the deps configuration. ";
                assert!(error.to_string().starts_with(expected), "{error:#}");
                assert!(fixture.installed.lock().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_metadata_folder_that_is_a_link_is_refused_and_what_it_leads_to_stays() {
    let fixture = Fixture::new(BUILD_SYSTEM, BACKEND);
    let outside = fixture.root().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("keep"), "keep").unwrap();
    fs::create_dir_all(fixture.root().join("work/.pkg")).unwrap();
    std::os::unix::fs::symlink(&outside, fixture.root().join("work/.pkg/.meta")).unwrap();
    let expected = "ROOT/work/.pkg/.meta is a link where the package metadata should live; delete it";
    assert_eq!(fixture.failure(PackageKind::Wheel), expected);
    assert!(outside.join("keep").exists());
}

#[test]
fn metadata_and_sources_may_not_share_a_folder() {
    let fixture = Fixture::new(
        BUILD_SYSTEM,
        &format!("{BACKEND}\ndef prepare_metadata_for_build_wheel(*a, **k):\n    return 'x'\n"),
    );
    for (folder, expected) in [
        ("project", "the project root and the metadata directory can't be the same ROOT/project"),
        ("", "the metadata directory can't contain the project root ROOT/project"),
    ] {
        let mut builder = fixture.builder(&[("a", PackageKind::Sdist)]);
        builder.site_mut().build.meta_dir = fixture.root().join(folder).components().collect();
        let error = builder.build(request(PackageKind::Sdist, &[])).expect_err(folder);
        assert_eq!(format!("{error:#}").replace(&fixture.root().display().to_string(), "ROOT"), expected);
        assert!(fixture.root().join("project/backend.py").exists());
    }
}

#[test]
fn packages_that_were_built_elsewhere_say_what_they_require() {
    let fixture = Fixture::new(BUILD_SYSTEM, BACKEND);
    let sdist = fixture.build(PackageKind::Sdist).unwrap().remove(0).path;
    let external = fixture.builder(&[("a", PackageKind::External)]);
    let unpack_in = fixture.root().join("work/.pkg/tmp/sdist-extract");
    let extras = ["x".to_owned()];
    let package = external.describe_sdist(&sdist, &unpack_in, &extras).unwrap();
    assert_eq!((&package.path, package.requirements), (&sdist, vec!["six".to_owned(), "A".to_owned()]));
    external.finish();
    assert!(sdist.exists());
    let wheel = fixture.build(PackageKind::Wheel).unwrap().remove(0).path;
    assert_eq!(super::describe_wheel(&wheel, &[]).unwrap().requirements, ["six"]);

    let empty = fixture.root().join("empty-1.0.tar.gz");
    super::archive::tests::write_source_archive(&empty, &[]);
    let again = fixture.builder(&[("a", PackageKind::External)]);
    let nothing = fixture.root().join("work/.pkg/tmp/nothing");
    let error = again.describe_sdist(&empty, &nothing, &[]).expect_err("an empty archive");
    assert_eq!(error.to_string(), format!("no files inside {}", empty.display()));
}

#[test]
fn the_backends_people_use_build_real_projects() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let venv = root.join("venv");
    let mut variables = crate::execute::environment::host();
    variables.remove("PYTHONPATH");
    let run = |program: &Path, arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(std::ffi::OsStr::new).collect();
        let output = capture(program, &arguments, &variables, None).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(&which::which("python3").unwrap(), &["-m", "venv", &venv.display().to_string()]);
    let backends = ["setuptools", "wheel", "hatchling", "flit_core", "poetry-core", "pdm-backend", "editables"];
    run(&venv.join("bin/python"), &[&["-m", "pip", "install", "--quiet"][..], &backends[..]].concat());

    let project = "[project]\nname = 'demo'\nversion = '1.0'\ndescription = 'a demö'\ndynamic = ['dependencies']\n";
    let fixed = "[project]\nname = 'demo'\nversion = '1.0'\ndescription = 'a demö'\ndependencies = ['six']\n";
    let setup = "import setuptools\nprint('noise')\nsetuptools.setup(name='demo', version='1.0', py_modules=['demo'], install_requires=['six'])\n";
    let cfg = "[metadata]\nname = demo\nversion = 1.0\n[options]\npy_modules = demo\ninstall_requires = six\n";
    let system = |backend: &str| format!("[build-system]\nrequires = []\nbuild-backend = '{backend}'\n");
    let setuptools = system("setuptools.build_meta");
    let cases: Vec<(&str, Vec<(&str, String)>)> = vec![
        ("setup.py alone", vec![("setup.py", setup.to_owned())]),
        ("setup.cfg", vec![("setup.cfg", cfg.to_owned()), ("pyproject.toml", setuptools.clone())]),
        (
            "setuptools",
            vec![(
                "pyproject.toml",
                format!(
                    "{setuptools}{project}[tool.setuptools]\npy-modules = ['demo']\n[tool.setuptools.dynamic]\ndependencies = {{file = 'deps.txt'}}\n"
                ),
            )],
        ),
        (
            "hatchling",
            vec![(
                "pyproject.toml",
                format!("{}{fixed}[tool.hatch.build]\ninclude = ['demo.py']\n", system("hatchling.build")),
            )],
        ),
        ("flit", vec![("pyproject.toml", format!("{}{fixed}", system("flit_core.buildapi")))]),
        (
            "poetry",
            vec![(
                "pyproject.toml",
                format!(
                    "{}[tool.poetry]\nname = 'demo'\nversion = '1.0'\ndescription = ''\nauthors = []\n[tool.poetry.dependencies]\nsix = '*'\n",
                    system("poetry.core.masonry.api")
                ),
            )],
        ),
        ("pdm", vec![("pyproject.toml", format!("{}{fixed}", system("pdm.backend")))]),
    ];
    for (name, files) in cases {
        let mut fixture = Fixture::new("", "");
        let source = fixture.root().join("project");
        fs::remove_file(source.join("pyproject.toml")).unwrap();
        fs::remove_file(source.join("backend.py")).unwrap();
        fs::write(source.join("demo.py"), "x = 1\n").unwrap();
        fs::write(source.join("deps.txt"), "six\n").unwrap();
        for (file, content) in files {
            fs::write(source.join(file), content).unwrap();
        }
        fixture.fresh = super::BuildSystem::read(&source).unwrap().wants_fresh_process();
        let path = format!("{}:{}", venv.join("bin").display(), host_path());
        fixture.session.variables.set("PATH", path);
        let kinds = [PackageKind::Sdist, PackageKind::Wheel, PackageKind::Editable];
        let builder = fixture.builder(&kinds.map(|kind| ("a", kind)));
        for kind in kinds {
            let package =
                builder.build(request(kind, &[])).unwrap_or_else(|error| panic!("{name} {kind:?}: {error:#}"));
            let requirements = package[0].requirements.join(" ");
            assert!(requirements.starts_with("six"), "{name} {kind:?}: {requirements}");
            assert!(package[0].path.metadata().unwrap().len() > 100, "{name} {kind:?}");
            let sdist = matches!(package[0].file, PackageFile::Sdist { .. });
            assert_eq!(sdist, kind == PackageKind::Sdist, "{name} {kind:?}");
        }
        builder.finish();
        let metadata = fixture.builder(&[("a", PackageKind::Sdist)]);
        let requirements = metadata.dependencies(request(PackageKind::DepsOnly, &[])).unwrap();
        assert!(requirements.join(" ").starts_with("six"), "{name}: {requirements:?}");
        metadata.finish();
    }
}
