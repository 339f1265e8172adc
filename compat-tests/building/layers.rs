//! Tests environments that are layers on others (`layer_on`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::support::package_index::PackageIndex;
use crate::support::project::Project;
use crate::support::wheels;

/// As much of bottle and WebTest as `fixtures/layers` uses.
const BOTTLE: &str = "\
class Bottle:
    def __init__(self):
        self.pages = {}
    def get(self, path):
        return lambda page: self.pages.setdefault(path, page)
    def __call__(self, environ, start_response):
        start_response('200 OK', [('Content-Type', 'text/plain')])
        return [self.pages[environ['PATH_INFO']]().encode()]
";
const WEBTEST: &str = "\
import webob
class TestApp:
    def __init__(self, app):
        self.app = app
    def get(self, path):
        self.text = b''.join(self.app({'PATH_INFO': path}, lambda *_: None)).decode()
        return self
";

/// The fixture, and an index with what it needs.
fn fixture() -> (Project, PackageIndex) {
    let index = PackageIndex::open();
    let project = Project::fixture("layers");
    let wheels = project.root().with_file_name("wheels");
    index.add(&wheels::holding(&wheels, "bottle", "0.13", BOTTLE, &[]));
    index.add(&wheels::holding(&wheels, "webob", "1.8", "", &[]));
    index.add(&wheels::holding(&wheels, "webtest", "3.0", WEBTEST, &["webob>=1"]));
    (of_index(project, &index), index)
}

fn of_index(project: Project, index: &PackageIndex) -> Project {
    let local = project.variable("NO_PROXY", "127.0.0.1").variable("no_proxy", "127.0.0.1");
    local.variable("PIP_INDEX_URL", &index.url()).variable("PIP_FIND_LINKS", "")
}

/// A project whose environment `test` is a layer on `web`, and an index with small packages.
fn project(web: &str, test: &str) -> (Project, PackageIndex) {
    let index = PackageIndex::open();
    let project = Project::new();
    let wheels = project.root().with_file_name("wheels");
    for (name, version, requirements) in [
        ("micro", "2.0", &["router>=1"] as &[&str]),
        ("micro", "3.0", &["router>=2"]),
        ("router", "1.0", &[]),
        ("router", "2.0", &[]),
        ("checker", "1.0", &["plug"]),
        ("checker", "2.0", &["plug"]),
        ("plug", "1.0", &[]),
        ("oldtool", "1.0", &["router<2"]),
        ("helper", "1.0", &["router"]),
    ] {
        index.add(&wheels::requiring(&wheels, name, version, requirements));
    }
    (of_index(project, &index).ini(&configuration(web, test)), index)
}

fn configuration(web: &str, test: &str) -> String {
    let list = |names: &str| names.split(' ').fold(String::new(), |text, name| format!("{text}\n  {name}"));
    format!(
        "[tox]\nno_package = true\nenv_list = test\n[testenv:web]\ndeps ={}\n[testenv:test]\nlayer_on = web\n\
         deps ={}\ncommands = python -c 'import micro; print(micro.__file__)'\n",
        list(web),
        list(test)
    )
}

fn site_packages(project: &Project, environment: &str) -> PathBuf {
    let lib = project.path(".tox").join(environment).join("lib");
    lib.read_dir().expect("it was built").flatten().next().expect("it has a Python").path().join("site-packages")
}

/// The packages in an environment's own folder, without pip and what comes with it.
fn packages(project: &Project, environment: &str) -> Vec<String> {
    let entries = site_packages(project, environment).read_dir().expect("it is there").flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".dist-info").map(str::to_owned));
    let mut names: Vec<String> =
        names.filter(|name| !["pip-", "setuptools-", "wheel-"].iter().any(|seed| name.starts_with(seed))).collect();
    names.sort();
    names
}

/// All files of a folder with their contents and times, without logs and temporary files, which every run empties.
fn digest(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = path.symlink_metadata().expect("it is there");
        if metadata.is_dir() {
            let entries = path.read_dir().expect("it can be read").flatten().map(|entry| entry.path());
            open.extend(entries.filter(|entry| *entry != folder.join("log") && *entry != folder.join("tmp")));
        } else {
            let content = fs::read(&path).unwrap_or_default();
            let text = format!("{:x?} {} {}", Sha256::digest(content), metadata.mtime(), metadata.mtime_nsec());
            found.insert(path, text);
        }
    }
    found
}

#[test]
fn the_stages_of_a_dockerfile_are_layers() {
    let (project, index) = fixture();
    project.run(["run"]).succeeds().says("  test: OK").says("  e2e: OK");
    assert_eq!(packages(&project, "web"), ["bottle-0.13"]);
    assert_eq!(packages(&project, "test"), ["webob-1.8", "webtest-3.0"]);
    assert_eq!(packages(&project, "e2e"), [] as [&str; 0]);
    assert_eq!(project.processes(), [] as [&str; 0]);
    // A changed source is tested, and nothing is installed.
    let before = digest(&project.path(".tox/web"));
    let shop = fs::read_to_string(project.path("shop/__init__.py")).expect("it is there");
    let project = project.file("shop/__init__.py", &shop.replace("apples", "pears"));
    project.run(["run"]).ends_with(1).never_says("install").says("  test: FAIL").says("  e2e: FAIL");
    let project = project.file("shop/__init__.py", &shop);
    project.run(["run-parallel"]).succeeds().says("  test: OK").says("  e2e: OK");
    assert_eq!(digest(&project.path(".tox/web")), before);
    // tox builds all of it, also where envo has built layers, and envo after that.
    let of_tox = project.run_tox(["run"]).succeeds().says("  test: OK").says("  e2e: OK");
    assert!(packages(&project, "test").contains(&"bottle-0.13".to_owned()), "{of_tox:?}");
    project.run(["run"]).succeeds().says("  test: OK").says("  e2e: OK");
    assert_eq!(packages(&project, "test"), ["webob-1.8", "webtest-3.0"]);
    drop(index);
}

#[test]
fn serving_a_base_and_a_layer_builds_both() {
    let (project, _index) = fixture();
    let ini = fs::read_to_string(project.path("tox.ini")).expect("it is there");
    let layer = "[testenv:shop2]\nlayer_on = web\nserve = python -m shop {port}\nports = http\n\
                 ready = http://{host}:{port}/health\n";
    let project = project.file("tox.ini", &format!("{ini}{layer}"));
    project.run(["up", "-e", "shop2", "--wait"]).succeeds();
    project.run(["down"]).succeeds();
    assert_eq!(packages(&project, "shop2"), [] as [&str; 0]);
    assert_eq!(packages(&project, "web"), ["bottle-0.13"]);
}

#[test]
fn a_layer_is_filled_by_uv_as_by_pip_and_writes_nothing_into_its_base() {
    for with_uv in [false, true] {
        let (project, _index) = project("micro", "checker<2 helper");
        let project = if with_uv { project.with_uv() } else { project };
        project.run(["run", "-e", "web"]).succeeds();
        let before = digest(&project.path(".tox/web"));
        let outcome = project.run(["run"]).succeeds().never_says("web:");
        assert!(outcome.stdout.contains("/.tox/web/lib/"), "{outcome:?}");
        assert_eq!(packages(&project, "web"), ["micro-3.0", "router-2.0"]);
        assert_eq!(packages(&project, "test"), ["checker-1.0", "helper-1.0", "plug-1.0"]);
        project.run(["run"]).succeeds().never_says("install");
        // Other test dependencies change only the layer.
        let project = project.ini(&configuration("micro", "checker>=2"));
        project.run(["run"]).succeeds().never_says("web:");
        assert_eq!(packages(&project, "test"), ["checker-2.0", "plug-1.0"]);
        project.run(["exec", "-e", "test", "--", "python", "-c", "import micro, checker, router"]).succeeds();
        assert_eq!(digest(&project.path(".tox/web")), before);
        let dev = project.root().with_file_name("dev");
        project.run(["devenv", "-e", "test", &dev.display().to_string()]).succeeds();
        let python = dev.join("bin/python").display().to_string();
        project.run_program(&python, &["-c", "import micro, checker, router"]).succeeds();
        assert_eq!(digest(&project.path(".tox/web")), before);
    }
}

#[test]
fn a_changed_base_changes_only_what_has_to_change_in_its_layers() {
    let (project, _index) = project("micro", "checker<2 helper");
    project.run(["run"]).succeeds();
    let checker = digest(&site_packages(&project, "test").join("checker-1.0.dist-info"));
    // Recreated with the same contents: nothing is installed into the layer.
    project.run(["run", "-e", "web", "-r"]).succeeds();
    project.run(["run"]).succeeds().never_says("install");
    // What has moved to the base is no longer in the layer.
    let project = project.ini(&configuration("micro helper", "checker<2 helper"));
    project.run(["run"]).succeeds();
    assert_eq!(packages(&project, "test"), ["checker-1.0", "plug-1.0"]);
    // What the base has lost is in the layer.
    let project = project.ini(&configuration("micro<3", "checker<2 helper"));
    project.run(["run"]).succeeds();
    assert_eq!(packages(&project, "web"), ["micro-2.0", "router-2.0"]);
    assert_eq!(packages(&project, "test"), ["checker-1.0", "helper-1.0", "plug-1.0"]);
    assert_eq!(digest(&site_packages(&project, "test").join("checker-1.0.dist-info")), checker);
    // Without the key, the environment is built whole, and the other way round.
    let whole = configuration("micro<3", "checker<2 micro").replace("layer_on = web\n", "");
    let project = project.ini(&whole);
    project.run(["run"]).succeeds().says("recreate env");
    assert_eq!(packages(&project, "test"), ["checker-1.0", "micro-3.0", "plug-1.0", "router-2.0"]);
    let project = project.ini(&configuration("micro<3", "checker<2"));
    project.run(["run"]).succeeds().says("recreate env");
    assert_eq!(packages(&project, "test"), ["checker-1.0", "plug-1.0"]);
}

#[test]
fn a_version_that_both_would_have_differently_is_an_error_with_both_requirements() {
    for with_uv in [false, true] {
        let (project, _index) = project("micro>=3", "checker micro<3");
        let project = if with_uv { project.with_uv() } else { project };
        let outcome = project.run(["run"]).ends_with(1).says("  test: FAIL");
        let outcome = outcome.says("`test` requires `micro<3`, but `web`, which `test` is a layer on, has micro 3.0");
        outcome.explains("11 |   micro<3").explains("help: `web` has micro 3.0 for `micro>=3` (tox.ini:6)");
        // A requirement of a requirement, against one of another.
        let project = project.ini(&configuration("micro>=3", "checker oldtool"));
        let outcome = project.run(["run"]).ends_with(1);
        let outcome = outcome.says("oldtool 1.0, which `test` needs, requires `router<2`, but `web`");
        let outcome = outcome.explains("11 |   oldtool");
        outcome.explains("help: `web` has router 2.0 for `micro>=3` (tox.ini:6), which requires it");
        // Once that is corrected, the layer is as it should be.
        let project = project.ini(&configuration("micro>=3", "checker"));
        project.run(["run"]).succeeds();
        assert_eq!(packages(&project, "test"), ["checker-2.0", "plug-1.0"]);
        assert_eq!(packages(&project, "web"), ["micro-3.0", "router-2.0"]);
        // An installation that is impossible without a base, too, is explained by the installer.
        let project = project.ini(&configuration("micro>=3", "checker nothing-of-this-name"));
        project.run(["run"]).ends_with(1).never_explains("is a layer on");
    }
}

#[test]
fn what_commands_install_in_another_version_is_found() {
    let (project, _index) = project("micro>=3", "checker");
    let setup = "extra_setup_commands = python -m pip install --no-deps -q micro==2.0\n";
    let project = project.ini(&format!("{}{setup}", configuration("micro>=3", "checker")));
    project.run(["run"]).ends_with(1).says("`test` has micro 2.0, but `web`, which it is a layer on, has micro 3.0");
    let project = project.ini(&configuration("micro>=3", "checker"));
    project.run(["run"]).succeeds();
    assert_eq!(packages(&project, "test"), ["checker-2.0", "plug-1.0"]);
}

#[test]
fn a_layer_that_cannot_be_is_refused_where_it_is_written() {
    let project = Project::new().with_old_interpreters().ini(
        "[tox]\nno_package = true\nenv_list = a, b, own, d, e, g\n[testenv:web]\n[testenv:a]\nlayer_on = wbe\n\
         [testenv:b]\nlayer_on = c\n[testenv:c]\nlayer_on = b\n[testenv:own]\nlayer_on = own\n[testenv:js]\n\
         runtime = node\n[testenv:d]\nlayer_on = js\n[testenv:e]\nlayer_on = web\nruntime = node\n[testenv:win]\n\
         platform = win32\n[testenv:g]\nlayer_on = win\n[testenv:h]\nlayer_on = win\nplatform = win32\n",
    );
    let told = [
        ("a", 6, "`layer_on` of `a` names `wbe`, which does not exist"),
        ("b", 8, "circular `layer_on`: b | c | b"),
        ("own", 12, "circular `layer_on`: own | own"),
        ("d", 16, "`layer_on` of `d` names `js`, which has no Python (`runtime = node`)"),
        ("e", 18, "`e` cannot be a layer on `web`: it has no Python (`runtime = node`)"),
        ("g", 23, "`win`, which `g` is a layer on, is skipped: platform linux does not match win32"),
    ];
    let check = project.run(["config", "--check"]).ends_with(1);
    for (name, line, text) in told {
        let run = project.run(["run", "-e", name]).ends_with(1).says(text);
        for outcome in [&run, &check] {
            assert!(outcome.stderr.contains(text), "{text}\n{outcome:?}");
            assert!(outcome.stderr.contains(&format!("[ROOT]/tox.ini:{line}:")), "{line}\n{outcome:?}");
        }
        assert!(run.stderr.contains("help: "), "{run:?}");
        assert!(!project.path(".tox").join(name).join("bin").exists(), "{name} was built");
    }
    assert!(check.stderr.contains("help: did you mean `web`?"), "{check:?}");
    // One that is skipped itself needs no base.
    project.run(["run", "-e", "h"]).ends_with(1).says("h: SKIP");
    let missing = "[tox]\nno_package = true\nskip_missing_interpreters = true\n[testenv:web]\nbase_python = python9.9\n\
                   [testenv:test]\nlayer_on = web\n";
    let project = project.ini(missing);
    project.run(["run", "-e", "test"]).ends_with(1).says("test: SKIP").never_explains("layer");
    // The order of the others does not matter to it.
    project.run(["depends"]).succeeds().says("Execution order: ");
}

#[test]
fn a_base_that_fails_is_reported_once_and_stops_its_layers() {
    let (project, _index) = project("nothing-of-this-name", "checker");
    let ini = format!("{}[testenv:other]\nlayer_on = web\n", configuration("nothing-of-this-name", "checker"));
    let project = project.ini(&ini);
    let outcome = project.run(["run", "-e", "test,other"]).ends_with(1).says("  test: FAIL").says("  other: FAIL");
    assert_eq!(outcome.stdout.matches("web: install_deps>").count(), 1, "{outcome:?}");
    outcome.explains("`web`, which `test` is a layer on, could not be built").explains("tox.ini:8:12");
}

#[test]
fn a_layer_has_the_python_of_its_base() {
    let Some((program, name)) = crate::reports::fixtures::OLD_PYTHONS
        .into_iter()
        .rev()
        .find(|(program, name)| *name != "pypy3" && crate::support::machine::has(program))
    else {
        return crate::support::machine::notice("layers were tested with one Python: there is no other");
    };
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = test\n[testenv:web]\nbase_python = {name}\n[testenv:test]\nlayer_on = web\n\
         commands = python -c 'import sys; print(\"runs on\", sys.version_info[:2])'\n[testenv:other]\nlayer_on = web\n\
         base_python = python3\n"
    );
    let project = Project::new().with_old_interpreters().ini(&ini);
    let minor = program.trim_start_matches("python3.");
    project.run(["run"]).succeeds().says(&format!("runs on (3, {minor})"));
    let text = "`other` is a layer on `web` and must have its Python";
    project.run(["run", "-e", "other"]).ends_with(1).says(text).explains("tox.ini:11:1");
    project.run(["config", "--check"]).ends_with(1).explains(text);
}

#[test]
fn the_project_is_installed_once() {
    let (project, _index) = project("micro", "checker");
    let backend = "\
import os, zipfile
def _build(folder):
    name = 'demo-1.0-py3-none-any.whl'
    lines = 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1.0\\nRequires-Dist: micro\\nProvides-Extra: tests\\nRequires-Dist: checker<2; extra == \"tests\"\\n'
    with zipfile.ZipFile(os.path.join(folder, name), 'w') as archive:
        archive.writestr('demo.py', open('demo.py').read())
        archive.writestr('demo-1.0.dist-info/METADATA', lines)
        archive.writestr('demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        archive.writestr('demo-1.0.dist-info/RECORD', '')
    return name
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return _build(wheel_directory)
build_editable = build_wheel
";
    let project = project
        .file("pyproject.toml", "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n")
        .file("backend.py", backend)
        .file("demo.py", "")
        .ini(
            "[tox]\nenv_list = web, test\n[testenv]\npackage = wheel\nchange_dir = {env_tmp_dir}\n\
             commands = python -c 'import demo, os; print(\"in\", demo.__file__, os.environ[\"TOX_PACKAGE\"])'\n\
             [testenv:web]\n[testenv:test]\nlayer_on = web\nextras = tests\n[testenv:plain]\nlayer_on = web\n",
        );
    project.run(["run", "-e", "web,test,plain"]).succeeds();
    assert_eq!(packages(&project, "web"), ["demo-1.0", "micro-3.0", "router-2.0"]);
    assert_eq!(packages(&project, "test"), ["checker-1.0", "plug-1.0"]);
    assert_eq!(packages(&project, "plain"), [] as [&str; 0]);
    let outcome = project.run(["run", "-e", "plain"]).succeeds().never_says("plain: install");
    assert!(outcome.stdout.contains("in [ROOT]/.tox/web/lib/"), "{outcome:?}");
    // A development environment has the project's own files.
    let dev = project.root().with_file_name("dev");
    project.run(["devenv", "-e", "test", &dev.display().to_string()]).succeeds();
    let python = dev.join("bin/python").display().to_string();
    project.run_program(&python, &["-P", "-c", "import demo; print(demo.__file__)"]).succeeds().says("/dev/lib/");
}

#[test]
fn a_layer_is_locked_with_the_versions_of_its_base() {
    let (project, _index) = project("micro", "checker<2 helper router");
    let project = project.with_uv();
    // The base is locked with it.
    project.run(["lock", "-e", "test"]).succeeds().says("web: 2 packages").says("test: 4 packages");
    project.run(["lock", "--check"]).succeeds();
    project.run(["run", "--locked"]).succeeds().never_says("uninstall");
    assert_eq!(packages(&project, "web"), ["micro-3.0", "router-2.0"]);
    assert_eq!(packages(&project, "test"), ["checker-1.0", "helper-1.0", "plug-1.0"]);
    project.run(["run", "--locked"]).succeeds().never_says("install");
    let project = project.variable("ENVO_INSTALLER", "pip");
    project.run(["run", "--locked", "-r"]).succeeds();
    assert_eq!(packages(&project, "test"), ["checker-1.0", "helper-1.0", "plug-1.0"]);
    // A changed lock of the base makes that of the layer stale. uv locks again: pip would need a newer pip from the index.
    let project =
        project.variable("ENVO_INSTALLER", "uv").ini(&configuration("micro router<2", "checker<2 helper router"));
    project.run(["lock", "--check"]).ends_with(1).explains("web");
    project.run(["lock"]).succeeds();
    let lock = fs::read_to_string(project.path("locks/pylock.test.toml")).expect("it is locked");
    assert!(lock.contains("\"router==1.0\""), "{lock}");
    project.run(["run", "--locked"]).succeeds();
    assert_eq!(packages(&project, "web"), ["micro-2.0", "router-1.0"]);
    assert_eq!(packages(&project, "test"), ["checker-1.0", "helper-1.0", "plug-1.0"]);
    // Both requirements are named, and neither lock is written.
    let project = project.ini(&configuration("micro>=3", "oldtool micro<3"));
    let before = fs::read(project.path("envo.lock")).expect("it is locked");
    let outcome = project.run(["lock"]).ends_with(1).explains("tox.ini:6: micro>=3").explains("tox.ini:11: micro<3");
    outcome.says("`test` is a layer on `web`, which is locked with micro==3.0");
    assert_eq!(fs::read(project.path("envo.lock")).expect("it is locked"), before);
}

#[test]
fn layers_are_shown_with_the_order_of_environments() {
    let project = Project::fixture("layers");
    project.run(["depends"]).succeeds().says("Execution order: web, test, e2e\n");
    let drawn = project.run(["depends", "--format", "mermaid"]).succeeds();
    assert_eq!(drawn.stdout.matches("-. layer on .->").count(), 2, "{drawn:?}");
    let read: serde_json::Value =
        serde_json::from_str(&project.run(["depends", "--format", "json"]).succeeds().stdout).expect("it is JSON");
    let test = &read["environments"][1];
    assert_eq!((test["name"].as_str(), test["layer_on"].as_str()), (Some("test"), Some("web")));
    assert_eq!(test["depends"], serde_json::json!([]));
    project.run(["config", "-e", "test", "-k", "layer_on"]).succeeds().says("layer_on = web");
}
