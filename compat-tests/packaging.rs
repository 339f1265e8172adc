//! Building and installing the project where something is missing, is left out or is built for somebody else: tables of
//! the same small project under a real tox and under envo, which must call the same hooks, print the same and end the
//! same. The project brings its own build backend, so that a case takes no index and little time.

use std::fs;
use std::sync::LazyLock;

use regex::Regex;

use crate::filters::results_last;
use crate::project::Project;

/// A build backend that writes down which of its hooks were called, in which environment.
const BACKEND: &str = r#"
import io, os, sys, tarfile, zipfile
VERSION = "%d%d" % sys.version_info[:2]
METADATA = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: demo\nRoot-Is-Purelib: true\nTag: cp%s-none-any\n" % VERSION
def called(hook):
    with open(os.path.join(os.environ["HOME"], "hooks"), "a") as log:
        log.write("%s in %s\n" % (hook, os.path.basename(sys.prefix)))
def get_requires_for_build_sdist(config_settings=None):
    called("get_requires_for_build_sdist")
    return []
def get_requires_for_build_wheel(config_settings=None):
    called("get_requires_for_build_wheel")
    return []
def metadata(folder):
    path = os.path.join(folder, "demo-1.0.dist-info")
    os.makedirs(path)
    for name, text in [("METADATA", METADATA), ("WHEEL", WHEEL)]:
        with open(os.path.join(path, name), "w") as file:
            file.write(text)
    return "demo-1.0.dist-info"
def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    called("prepare_metadata_for_build_wheel")
    return metadata(metadata_directory)
def wheel(folder):
    name = "demo-1.0-cp%s-none-any.whl" % VERSION
    info = "demo-1.0.dist-info/"
    files = [("demo.py", "BUILT = %r\n" % VERSION), (info + "METADATA", METADATA), (info + "WHEEL", WHEEL)]
    files.append((info + "RECORD", "".join(name + ",,\n" for name, _ in files) + info + "RECORD,,\n"))
    with zipfile.ZipFile(os.path.join(folder, name), "w") as archive:
        for path, text in files:
            archive.writestr(path, text)
    return name
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    called("build_wheel")
    return wheel(wheel_directory)
def build_sdist(sdist_directory, config_settings=None):
    called("build_sdist")
    name = "demo-1.0.tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as archive:
        for file in ["pyproject.toml", "backend.py"]:
            archive.add(file, "demo-1.0/" + file)
        information = tarfile.TarInfo("demo-1.0/PKG-INFO")
        information.size = len(METADATA)
        archive.addfile(information, io.BytesIO(METADATA.encode()))
    return name
"#;

/// What makes it one that can build editable wheels as well.
const EDITABLE: &str = r#"
def get_requires_for_build_editable(config_settings=None):
    called("get_requires_for_build_editable")
    return []
def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    called("prepare_metadata_for_build_editable")
    return metadata(metadata_directory)
def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    called("build_editable")
    return wheel(wheel_directory)
"#;

const PYPROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// Metadata that is known without asking the backend.
const STATIC: &str = "[project]\nname = \"demo\"\nversion = \"1.0\"\n";

/// The script that tox and envo each have to talk to a backend.
static SCRIPT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"> python \S*_backend\.py").expect("the pattern is valid"));

/// The folder of a package's copy is named after nothing that lasts.
static COPY: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"/package/\d+/").expect("the pattern is valid"));

/// A project that is run in some way.
#[derive(Clone)]
struct Case {
    what: String,
    files: Vec<(&'static str, String)>,
    arguments: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
}

impl Case {
    /// `arguments` are words between blanks.
    fn new(what: impl Into<String>, ini: impl Into<String>, arguments: &str) -> Self {
        let files = vec![
            ("tox.ini", ini.into()),
            ("pyproject.toml", format!("{PYPROJECT}{STATIC}")),
            ("backend.py", format!("{BACKEND}{EDITABLE}")),
        ];
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Self { what: what.into(), files, arguments, variables: Vec::new() }
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn file(mut self, name: &'static str, text: &str) -> Self {
        self.files.retain(|(other, _)| *other != name);
        self.files.push((name, text.to_owned()));
        self
    }

    fn run(&self, under_tox: bool) -> Ended {
        let project = self.files.iter().fold(Project::new(), |project, (name, text)| project.file(name, text));
        let variables = self.variables.iter();
        let project = variables.fold(project, |project, (name, value)| project.variable(name, value));
        let project = project.with_old_interpreters();
        let outcome = if under_tox { project.run_tox(&self.arguments) } else { project.run(&self.arguments) };
        let stdout = results_last(&outcome.stdout);
        let stdout = SCRIPT.replace_all(&stdout, "> python [SCRIPT]");
        let stdout = COPY.replace_all(&stdout, "/package/[COPY]/").into_owned();
        let hooks = fs::read_to_string(project.root().with_file_name("home").join("hooks")).unwrap_or_default();
        Ended { code: outcome.code, hooks, stdout, stderr: outcome.stderr }
    }
}

struct Ended {
    code: Option<i32>,
    hooks: String,
    stdout: String,
    stderr: String,
}

/// Runs every case under both, and names all that differ.
#[track_caller]
fn same_as_tox(cases: &[Case]) {
    let differing: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let (tox, envo) = (case.run(true), case.run(false));
            let same = (tox.code, &tox.hooks, &tox.stdout) == (envo.code, &envo.hooks, &envo.stdout);
            let shown = |ended: &Ended| format!("{:?}\n{}{}", ended.code, ended.hooks, ended.stdout);
            let (what, error) = (&case.what, &envo.stderr);
            (!same).then(|| format!("== {what}\n-- tox {}-- envo {}-- its stderr\n{error}", shown(&tox), shown(&envo)))
        })
        .collect();
    assert!(differing.is_empty(), "{} of {} differ:\n{}", differing.len(), cases.len(), differing.join("\n"));
}

/// A configuration with one environment, whose interpreter is nowhere.
fn missing(core: &str, settings: &str, more: &str) -> String {
    format!("[tox]\nenv_list = py315\n{core}[testenv]\ncommands = python -c pass\n{settings}{more}")
}

const KINDS: [&str; 7] = ["sdist", "wheel", "sdist-wheel", "editable", "editable-legacy", "deps-only", "skip"];

#[test]
fn a_missing_interpreter_fails_or_is_skipped_whatever_is_built() {
    let mut cases = Vec::new();
    for kind in KINDS {
        let settings = format!("package = {kind}\n");
        cases.push(Case::new(format!("{kind} fails"), missing("", &settings, ""), "run"));
        let skipping = missing("skip_missing_interpreters = true\n", &settings, "");
        cases.push(Case::new(format!("{kind} is skipped"), skipping, "run"));
    }
    same_as_tox(&cases);
}

#[test]
fn whoever_says_what_becomes_of_a_missing_interpreter_is_heard() {
    let wheel = "package = wheel\n";
    let skip = "skip_missing_interpreters = true\n";
    let of_environment = |value| format!("[testenv:py315]\nskip_missing_interpreters = {value}\n");
    same_as_tox(&[
        Case::new("option false", missing(skip, wheel, ""), "run -s false"),
        Case::new("option true", missing("", wheel, ""), "run -s"),
        Case::new("environment true", missing("", wheel, &of_environment("true")), "run"),
        Case::new("environment false", missing(skip, wheel, &of_environment("false")), "run"),
        Case::new("variable true", missing("", wheel, ""), "run").variable("TOX_SKIP_MISSING_INTERPRETERS", "true"),
        Case::new("variable false", missing(skip, wheel, ""), "run").variable("TOX_SKIP_MISSING_INTERPRETERS", "false"),
        Case::new("outcome ignored", missing("", wheel, "[testenv:py315]\nignore_outcome = true\n"), "run"),
        Case::new("another platform", missing("", wheel, "[testenv:py315]\nplatform = win32\n"), "run"),
    ]);
}

#[test]
fn a_missing_interpreter_fails_under_every_command() {
    let mut cases = Vec::new();
    for kind in ["wheel", "sdist-wheel", "editable"] {
        let ini = missing("", &format!("package = {kind}\n"), "");
        for arguments in [
            "run-parallel -o",
            "exec -e py315 -- python -c pass",
            "run --notest",
            "run --skip-pkg-install",
            "run --skip-env-install",
            "run -b",
            "run --develop",
            "devenv -e py315 folder",
        ] {
            cases.push(Case::new(format!("{kind}: {arguments}"), ini.clone(), arguments));
        }
    }
    let wheel = "package = wheel\n";
    let order = "[tox]\nenv_list = py315, py3\n[testenv]\npackage = wheel\ncommands = python -c pass\n";
    cases.push(Case::new("fail fast", order, "run --fail-fast"));
    cases.push(Case::new("both", order.replace("py315, py3", "py3, py315"), "run"));
    cases.push(Case::new("named builder", missing("", &format!("{wheel}wheel_build_env = .pkg\n"), ""), "run"));
    let nowhere = missing("", wheel, "[testenv:x]\nbase_python = /nonexistent/python\n");
    cases.push(Case::new("path", nowhere, "run -e x"));
    let toml =
        "env_list = [\"3.15\"]\n[env_run_base]\npackage = \"wheel\"\ncommands = [[\"python\", \"-c\", \"pass\"]]\n";
    cases.push(Case::new("TOML", "", "run -c tox.toml").file("tox.toml", toml));
    same_as_tox(&cases);
}
