//! Tests the widely used build backends from the package index, each with a small project as a wheel, editable, and
//! once as a source distribution: envo prints and installs the same as tox.

use std::collections::BTreeSet;
use std::fs;

use crate::building::packaging::other_interpreter;
use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

/// What every project is run with: kinds of packages, and what of the project is found installed.
const CONFIGURATION: &str = "[tox]\nenv_list = wheel, editable\n[testenv]\n\
    commands = python -c \"import demo; from importlib import metadata; \
    print(demo.ANSWER, metadata.version('demo'), [e.name for e in metadata.distribution('demo').entry_points])\"\n\
    [testenv:wheel]\npackage = wheel\n[testenv:sdist]\npackage = sdist\n[testenv:editable]\npackage = editable\n";

/// The module of every project in Python.
const MODULE: &str =
    "\"\"\"A demonstration.\"\"\"\nANSWER = 42\n__version__ = \"1.5\"\n\ndef main():\n    print(ANSWER)\n";

/// A project whose `pyproject.toml` names these build requirements and this backend, and says `more`.
fn project(requires: &str, backend: &str, more: &str) -> Project {
    let text = format!("[build-system]\nrequires = [{requires}]\nbuild-backend = \"{backend}\"\n{more}");
    Project::new().with_toolchains().with_kept_cache().file("pyproject.toml", &text).ini(CONFIGURATION)
}

/// The metadata of PEP 621 that most of them read.
const METADATA: &str = "[project]\nname = \"demo\"\nversion = \"1.5\"\ndescription = \"A demonstration\"\n\
    requires-python = \">=3.8\"\nscripts = { demo = \"demo:main\" }\n";

/// Builds and installs the project in both ways, as tox does, and finds what it says of itself in each environment.
#[track_caller]
fn is_built_and_installed_as_tox_does(project: impl Fn() -> Project) {
    same_as_tox(project, ["run"]).succeeds();
}

#[test]
fn a_source_distribution_is_built_as_tox_does() {
    let project = || project("\"setuptools>=77\"", "setuptools.build_meta", METADATA).file("demo.py", MODULE);
    same_as_tox(project, ["run", "-e", "sdist"]).succeeds();
}

#[test]
fn a_project_of_setuptools_is_built_as_tox_does() {
    is_built_and_installed_as_tox_does(|| {
        let more = format!("{METADATA}[tool.setuptools]\npackage-dir = {{ \"\" = \"src\" }}\n");
        project("\"setuptools>=77\"", "setuptools.build_meta", &more).file("src/demo/__init__.py", MODULE)
    });
}

#[test]
fn a_project_of_hatchling_is_built_as_tox_does() {
    is_built_and_installed_as_tox_does(|| {
        let dynamic = METADATA.replace("version = \"1.5\"", "dynamic = [\"version\"]");
        let more = format!("{dynamic}[tool.hatch.version]\npath = \"demo.py\"\n");
        project("\"hatchling\"", "hatchling.build", &more).file("demo.py", MODULE)
    });
}

#[test]
fn a_project_of_flit_is_built_as_tox_does() {
    is_built_and_installed_as_tox_does(|| {
        let dynamic = METADATA
            .replace("version = \"1.5\"", "dynamic = [\"version\", \"description\"]")
            .replace("description = \"A demonstration\"\n", "");
        project("\"flit_core>=3.2,<4\"", "flit_core.buildapi", &dynamic).file("demo.py", MODULE)
    });
}

#[test]
fn a_project_of_poetry_is_built_as_tox_does() {
    let project = || {
        let more = "[tool.poetry]\nname = \"demo\"\nversion = \"1.5\"\ndescription = \"A demonstration\"\n\
            authors = [\"A <a@example.org>\"]\n[tool.poetry.dependencies]\npython = \">=3.8\"\n\
            [tool.poetry.scripts]\ndemo = \"demo:main\"\n";
        project("\"poetry-core\"", "poetry.core.masonry.api", more).file("demo/__init__.py", MODULE)
    };
    same_as_tox(project, ["run", "-e", "wheel"]).succeeds();
    same_as_tox(project, ["run", "-e", "editable"]).succeeds();
    // One after the other, tox hands the backend a folder it does not expect, and gets a wheel that pip refuses.
    project().run(["run"]).succeeds();
}

#[test]
fn a_project_of_pdm_is_built_as_tox_does() {
    is_built_and_installed_as_tox_does(|| {
        let more = format!("{METADATA}[tool.pdm.build]\npackage-dir = \"src\"\n");
        project("\"pdm-backend\"", "pdm.backend", &more).file("src/demo/__init__.py", MODULE)
    });
}

#[test]
fn a_project_of_maturin_is_built_as_tox_does() {
    // A program and the Python module beside it: that needs no crate.
    is_built_and_installed_as_tox_does(|| {
        // maturin refuses entry points beside a program.
        let metadata = METADATA.replace("scripts = { demo = \"demo:main\" }\n", "");
        let more = format!("{metadata}[tool.maturin]\nbindings = \"bin\"\npython-source = \"python\"\n");
        let rust = "[testenv:.pkg]\npass_env = CARGO_HOME, RUSTUP_HOME\n\
            set_env = PATH = {env:CARGO_HOME:/usr}/bin{:}{env:PATH}\n";
        project("\"maturin>=1.7,<2\"", "maturin", &more)
            .ini(&format!("{CONFIGURATION}{rust}"))
            .file("python/demo/__init__.py", MODULE)
            .file(
                "Cargo.toml",
                "[package]\nname = \"demo-tool\"\nversion = \"1.5.0\"\nedition = \"2021\"\n[workspace]\n",
            )
            .file("src/main.rs", "fn main() { println!(\"42\"); }\n")
    });
}

#[test]
fn a_project_of_meson_is_built_as_tox_does() {
    is_built_and_installed_as_tox_does(|| {
        let build = "project('demo', 'c', version: '1.5')\npython = import('python').find_installation(pure: false)\n\
            python.install_sources('src/demo/__init__.py', subdir: 'demo')\n\
            python.extension_module('native', 'native.c', subdir: 'demo', install: true)\n";
        let native = "#include <Python.h>\nstatic struct PyModuleDef module = {PyModuleDef_HEAD_INIT, \"native\"};\n\
            PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }\n";
        // Sources for the archive are taken from version control.
        let project = project("\"meson-python\"", "mesonpy", METADATA)
            .file("src/demo/__init__.py", &format!("from . import native\n{MODULE}"))
            .file("meson.build", build)
            .file("native.c", native);
        committed(project)
    });
}

/// meson takes the sources for an archive from version control.
fn committed(project: Project) -> Project {
    for arguments in
        [&["init", "-q"][..], &["add", "."], &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"]]
    {
        project.run_program("git", arguments).succeeds();
    }
    project
}

/// An extension module that says which Python it was built for.
const EXTENSION: &str = r#"
#include <Python.h>
static PyObject *version(PyObject *self, PyObject *unused) { return PyUnicode_FromString(PY_VERSION); }
static PyMethodDef methods[] = {{"version", version, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", NULL, -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"#;

/// Environments of two interpreters for each kind of package, which look whether the extension is for theirs.
const EXTENSION_CONFIGURATION: &str = r#"
[tox]
env_list = py3, OTHER, again-{py3,OTHER}, develop
[testenv]
package =
    !again: editable
    again: sdist-wheel
change_dir = {env_tmp_dir}
commands = python -c "import sys, demo; print('found', demo.version());     assert demo.version().split('.')[:2] == ['%d' % part for part in sys.version_info[:2]]"
[testenv:develop]
base_python = OTHER
use_develop = true
"#;

/// Runs a project with an extension module under tox and envo, with these arguments one after the other, and compares
/// how that ends, what was built for, and what is left.
#[track_caller]
fn extensions_are_built_as_tox_does(pyproject: &str, build: &str, runs: &[&[&str]]) {
    let Some(other) = other_interpreter() else { return };
    let ended = |with_tox: bool| {
        let project = Project::new().with_kept_cache().with_old_interpreters().file("pyproject.toml", pyproject);
        let project = project.file("native.c", EXTENSION).file("meson.build", build);
        let project =
            project.file("demo/__init__.py", "from demo.native import version\n").file(".gitignore", ".tox\n");
        let project = committed(project.ini(&EXTENSION_CONFIGURATION.replace("OTHER", &other)));
        let ends = runs.iter().map(|arguments| {
            let arguments: Vec<String> = arguments.iter().map(|word| word.replace("OTHER", &other)).collect();
            let outcome = if with_tox { project.run_tox(&arguments) } else { project.run(&arguments) };
            let outcome = outcome.succeeds();
            outcome.stdout.lines().filter(|line| line.starts_with("found ")).map(str::to_owned).collect::<Vec<_>>()
        });
        let ends: Vec<_> = ends.collect();
        let left = fs::read_dir(project.path(".tox")).expect("it was made").flatten().map(|entry| entry.file_name());
        // tox keeps no durations.
        let left: BTreeSet<_> = left.filter(|name| name != ".envo-runs").collect();
        (ends, left)
    };
    assert_eq!(ended(false), ended(true));
}

const METADATA_OF_EXTENSION: &str = "[project]\nname = \"demo\"\nversion = \"1.5\"\n";

#[test]
fn extensions_of_setuptools_are_built_for_the_interpreter_they_are_for() {
    let pyproject = format!(
        "[build-system]\nrequires = [\"setuptools>=77\"]\nbuild-backend = \"setuptools.build_meta\"\n\
         {METADATA_OF_EXTENSION}[tool.setuptools]\npackages = [\"demo\"]\n\
         ext-modules = [{{ name = \"demo.native\", sources = [\"native.c\"] }}]\n"
    );
    let runs: [&[&str]; 3] =
        [&["run"], &["run", "--develop", "-e", "again-OTHER"], &["devenv", "-e", "OTHER", "developed"]];
    extensions_are_built_as_tox_does(&pyproject, "", &runs);
}

#[test]
fn extensions_of_meson_are_built_for_the_interpreter_they_are_for() {
    let pyproject = format!(
        "[build-system]\nrequires = [\"meson-python\", \"ninja\"]\nbuild-backend = \"mesonpy\"\n{METADATA_OF_EXTENSION}"
    );
    let build = "project('demo', 'c', version: '1.5')\npython = import('python').find_installation(pure: false)\n\
        python.install_sources('demo/__init__.py', subdir: 'demo')\n\
        python.extension_module('native', 'native.c', subdir: 'demo', install: true)\n";
    let runs: [&[&str]; 3] = [
        &["run", "-e", "py3,OTHER,again-py3,again-OTHER"],
        &["run", "--develop", "-e", "again-OTHER"],
        &["devenv", "-e", "OTHER", "developed"],
    ];
    extensions_are_built_as_tox_does(&pyproject, build, &runs);
}
