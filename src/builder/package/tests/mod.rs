//! Tests with backends that really run: one that each test writes into its project, so that no network is needed, and,
//! in one test, real ones from the index.

mod failures;
mod kinds;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::builder::package::staging::Staging;
use crate::builder::package::{BackendEnv, BuildRequest, PackageBuilder, PackageNeed, PackagingEnvSpec};
use crate::env_error::EnvError;
use crate::event::{Level, Reporter, RunEvent};
use crate::execute::interrupt::Interrupt;
use crate::execute::process::ProcessGrouping;
use crate::execute::session::{AllowedPrograms, CommandCapture, CommandSession};
use crate::model::environment::{PackageBuild, Timeouts};
use crate::model::requirements::RequirementText;
use crate::model::{Deferred, EnvVariables, PackageKind};
use crate::package::BuiltPackage;

/// A backend with the two mandatory hooks. `EXTRA` is where tests add more.
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

type OnEvent = Box<dyn Fn(&RunEvent) + Send + Sync>;

#[derive(Default)]
struct BuildEvents {
    events: Mutex<Vec<RunEvent>>,
    on_event: Option<OnEvent>,
}

impl Reporter for BuildEvents {
    fn event(&self, event: RunEvent) {
        if let Some(on_event) = &self.on_event {
            on_event(&event);
        }
        self.events.lock().push(event);
    }
}

/// A fake environment: its Python is the first `python3`, and installations are recorded.
struct FakeBackendEnv {
    session: CommandSession,
    installed: Arc<Mutex<Vec<String>>>,
    /// How many more times an installation requests a new environment.
    stale: Arc<Mutex<usize>>,
}

impl BackendEnv for FakeBackendEnv {
    fn prepare(&self) -> anyhow::Result<CommandSession> {
        self.installed.lock().push("prepare".to_owned());
        Ok(self.session.clone())
    }

    fn install(&self, requirements: &[String], of_type: &str) -> anyhow::Result<()> {
        self.installed.lock().push(format!("{of_type}: {}", requirements.join(" ")).trim().to_owned());
        let mut stale = self.stale.lock();
        if *stale > 0 {
            *stale -= 1;
            return Err(EnvError::Recreate("dependencies removed: old".to_owned()).into());
        }
        Ok(())
    }

    fn equipped(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn recreate(&self, reason: &str) -> anyhow::Result<()> {
        self.installed.lock().push(format!("recreate because {reason}"));
        Ok(())
    }
}

struct BuilderFixture {
    folder: tempfile::TempDir,
    recorder: Arc<BuildEvents>,
    session: CommandSession,
    installed: Arc<Mutex<Vec<String>>>,
    stale: Arc<Mutex<usize>>,
    fresh: bool,
    deps: String,
    settings: Vec<(String, Vec<(String, serde_json::Value)>)>,
}

impl BuilderFixture {
    fn new(pyproject: &str, backend: &str) -> Self {
        Self::reporting(pyproject, backend, BuildEvents::default())
    }

    fn reporting(pyproject: &str, backend: &str, recorder: BuildEvents) -> Self {
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
        let wanted = wanted.iter().map(|(name, kind)| PackageNeed { environment: (*name).to_owned(), kind: *kind });
        let env = PackagingEnvSpec {
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
            staging: Staging { folder: self.root().join("work/.tmp/package"), root: self.root().to_owned() },
            env_dir,
        };
        let (session, installed, stale) = (self.session.clone(), self.installed.clone(), self.stale.clone());
        PackageBuilder::new(env, wanted.collect(), Box::new(FakeBackendEnv { session, installed, stale }))
    }

    /// Builds `kind` for a single environment `a`.
    fn build(&self, kind: PackageKind) -> anyhow::Result<Vec<BuiltPackage>> {
        self.builder(&[("a", kind)]).build(request(kind, &[]))
    }

    fn failure(&self, kind: PackageKind) -> String {
        let error = self.build(kind).expect_err("the build fails");
        format!("{error:#}").replace(&self.root().display().to_string(), "ROOT")
    }

    /// The run ids of the called hooks.
    fn hooks(&self) -> Vec<String> {
        let events = self.recorder.events.lock();
        let hook = |event: &RunEvent| match event {
            RunEvent::CommandStarted { run_id, .. } => Some(run_id.clone()),
            _ => None,
        };
        events.iter().filter_map(hook).collect()
    }

    fn messages(&self, wanted: Level) -> Vec<String> {
        let events = self.recorder.events.lock();
        let text = |event: &RunEvent| match event {
            RunEvent::Message { level, text, .. } if *level == wanted => Some(text.clone()),
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
    // A link would not do: version managers put scripts on PATH that act on the name they are called by.
    fs::write(&python, format!("#!/bin/sh\nexec '{}' \"$@\"\n", found.display())).unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

fn session(root: &Path, bin: &Path, recorder: Arc<BuildEvents>) -> CommandSession {
    let mut variables = EnvVariables::default();
    variables.set("PATH", format!("{}:{}", bin.display(), host_path()));
    variables.set("HOME", root);
    variables.set("PYTHONIOENCODING", "utf-8");
    variables.set("PYTHONDONTWRITEBYTECODE", "1");
    let moment = Duration::from_millis(50);
    CommandSession {
        environment: ".pkg".to_owned(),
        programs: AllowedPrograms { paths: vec![bin.to_owned()], allow: Vec::new() },
        variables,
        log_dir: root.join("work/.pkg/log"),
        log_number: Arc::default(),
        timeouts: Timeouts { suicide: Duration::ZERO, interrupt: moment, terminate: moment },
        current_dir: root.join("project"),
        grouping: ProcessGrouping::Shared,
        after_interrupt: false,
        verbosity: 2,
        interrupt: Interrupt::default(),
        reporter: recorder,
        not_found: Arc::default(),
        capture: CommandCapture::default(),
    }
}

fn with_static() -> String {
    format!("{BUILD_SYSTEM}{STATIC}")
}

/// Standard output and error as shown.
fn shown(fixture: &BuilderFixture) -> String {
    let events = fixture.recorder.events.lock();
    let bytes = |event: &RunEvent| match event {
        RunEvent::Output { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    events.iter().filter_map(bytes).collect()
}
