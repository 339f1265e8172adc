//! Tests the six environments of `fixtures/locked`: their locks are the same on every machine, install the same
//! packages everywhere, and work with other programs.

use std::fs;
use std::path::Path;

use crate::support::machine;
use crate::support::package_index::PackageIndex;
use crate::support::package_managers::{asking, registry_with_ms};
use crate::support::project::Project;
use crate::support::real_tox;
use crate::support::web::Web;
use crate::support::wheels;

const LOCKS: [&str; 8] = [
    "envo.lock",
    "locks/pylock.py311.toml",
    "locks/pylock.py3_12.toml",
    "locks/pylock.extra.toml",
    "locks/pylock.group.toml",
    "locks/pylock.both.toml",
    "locks/node.js/package-lock.json",
    "locks/node.both/package-lock.json",
];

/// The environments as a tox that knows Python only takes them, each with its lock.
const FOR_TOX: &str = "[tox]
[testenv]
package = wheel
pylock = locks/pylock.{env_name}.toml
commands = python -c 'import six, packaging'
[testenv:py3.12]
pylock = locks/pylock.py3_12.toml
[testenv:extra]
commands = python -c 'import six, packaging, idna'
[testenv:group]
skip_install = true
commands = python -c 'import iniconfig'
[testenv:both]
skip_install = true
commands = python -c 'import six'
";

/// What the environments are locked from. Only the build backend comes from the public index.
struct Indexes {
    python: PackageIndex,
    node: Web,
}

fn indexes(shelf: &Project) -> Indexes {
    let python = PackageIndex::open();
    for (name, version) in [("six", "1.17.0"), ("packaging", "25.0"), ("idna", "3.10"), ("iniconfig", "2.1.0")] {
        python.add(&wheels::library(&shelf.path("wheels"), name, version));
    }
    Indexes { python, node: registry_with_ms(shelf) }
}

/// The fixture in a place of its own, with caches of its own.
fn fixture(indexes: &Indexes) -> Project {
    let project = Project::fixture("locked").with_uv().with_toolchains().with_old_interpreters();
    let ini = fs::read_to_string(project.path("tox.ini")).expect("it is a fixture");
    asking(project, &indexes.node).ini(&asking_python(&ini, indexes))
}

/// The configuration with its environments asking the index on this machine for packages.
fn asking_python(ini: &str, indexes: &Indexes) -> String {
    let index = format!("[testenv]\nset_env =\n  PIP_INDEX_URL = {}\n  PIP_FIND_LINKS =\n", indexes.python.url());
    ini.replacen("[testenv]\n", &index, 1)
}

fn read(project: &Project, file: &str) -> Vec<u8> {
    fs::read(project.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The environments of the fixture with a Python that is here.
fn pythons() -> Vec<&'static str> {
    let mut names = vec!["extra", "group", "both"];
    for (name, program) in [("py311", "python3.11"), ("py3.12", "python3.12")] {
        if machine::has(program) {
            names.push(name);
        } else {
            machine::notice(&format!("there is no {program} to install the lock of {name} with"));
        }
    }
    names
}

/// What `pip freeze` says in an environment, without the project itself, which is not from an index.
fn frozen(project: &Project, environment: &str) -> String {
    let all =
        project.run(["exec", "--locked", "-e", environment, "--", "python", "-m", "pip", "freeze"]).succeeds().stdout;
    all.lines().filter(|line| line.contains("==")).map(|line| format!("{line}\n")).collect()
}

/// What `npm ls` says in an environment.
fn modules(project: &Project, environment: &str) -> String {
    let folder = project.path(&format!(".tox/{environment}/node"));
    project.run_program("npm", &["ls", "--all", "--json", "--prefix", &folder.display().to_string()]).succeeds().stdout
}

#[test]
fn six_environments_of_two_languages_are_locked_and_installed_alike_everywhere() {
    machine::need(&["node", "npm"]);
    let shelf = Project::new();
    let indexes = indexes(&shelf);
    let (project, other) = (fixture(&indexes), fixture(&indexes));
    let cache = other.path("../uv").display().to_string();
    let other = other.variable("UV_CACHE_DIR", &cache).variable("XDG_CACHE_HOME", &cache);
    for one in [&project, &other] {
        one.run(["lock"]).succeeds();
    }
    for file in LOCKS {
        assert!(read(&project, file) == read(&other, file), "{file} differs");
    }
    let before = LOCKS.map(|file| read(&project, file));
    project.run(["lock"]).succeeds().says("extra: 3 packages, as before\n");
    assert!(LOCKS.map(|file| read(&project, file)) == before);
    // Recreated from scratch they are the same.
    fs::remove_file(project.path("envo.lock")).expect("it can be removed");
    fs::remove_dir_all(project.path("locks")).expect("it can be removed");
    project.run(["lock"]).succeeds();
    assert!(LOCKS.map(|file| read(&project, file)) == before);
    // In an empty home, where nothing was ever fetched, the same is installed.
    let fresh = fixture(&indexes);
    fresh.adopt(&project, &LOCKS);
    for file in ["locks/node.js/package.json", "locks/node.both/package.json"] {
        fresh.adopt(&project, &[file]);
    }
    let names = pythons();
    let chosen = format!("{},js", names.join(","));
    for one in [&project, &fresh] {
        one.run(["run", "--locked", "-e", &chosen]).succeeds().says("172800000\n").says("3600000\n");
    }
    for name in &names {
        assert_eq!(frozen(&project, name), frozen(&fresh, name), "{name}");
    }
    assert_eq!(frozen(&fresh, "extra"), "idna==3.10\npackaging==25.0\nsix==1.17.0\n");
    for name in ["js", "both"] {
        assert_eq!(modules(&project, name), modules(&fresh, name), "{name}");
        assert!(modules(&fresh, name).contains("\"version\": \"2.1.3\""), "{name}");
    }
    for name in &names {
        pip_accepts(&fresh, name);
    }
    let tox = fresh.file("pylock.ini", &asking_python(FOR_TOX, &indexes));
    tox.run_tox(["run", "-c", "pylock.ini", "--workdir", "real", "-e", &names.join(",")]).succeeds();
    assert_installed(&tox.path("real/extra"), "idna-");
}

/// pip itself takes the lock, for the Python of the environment, and would install what is in it.
fn pip_accepts(project: &Project, environment: &str) {
    let lock = format!("locks/pylock.{}.toml", environment.replace('.', "_"));
    let python = project.path(&format!(".tox/{environment}/bin/python")).display().to_string();
    let words = ["--python", &python, "install", "--dry-run", "--ignore-installed", "-r", &lock];
    let said = project.run_program(&real_tox::pip().display().to_string(), &words).succeeds().stdout;
    for package in frozen(project, environment).lines() {
        assert!(said.contains(&package.replace("==", "-")), "no {package} in {said}");
    }
}

fn assert_installed(env_dir: &Path, start: &str) {
    let lib = fs::read_dir(env_dir.join("lib")).expect("it was made").next().expect("one").expect("readable");
    let names = fs::read_dir(lib.path().join("site-packages")).expect("it was made");
    assert!(names.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(start)), "no {start}");
}
