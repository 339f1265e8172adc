//! Tests locks: creating, checking, installing from, updating and inspecting them, and everything that can be wrong
//! with one.

use std::fs;

use crate::support::machine;
use crate::support::project::Project;
use crate::support::wheels;

/// Environments whose index is the folder `links` of the project.
const SETTINGS: &str = "[testenv]\nset_env =\n  PIP_NO_INDEX = 1\n  PIP_FIND_LINKS = {toxinidir}/links\n";

/// A project with two environments that need `one`, which needs `two`.
fn project() -> Project {
    let project = Project::new().with_uv().ini(&ini("one"));
    wheels::requiring(&project.path("links"), "one", "1.0", &["two>=1"]);
    wheels::library(&project.path("links"), "two", "1.0");
    project
}

fn ini(deps: &str) -> String {
    format!(
        "[tox]\nno_package = true\nenv_list = a, b\n{SETTINGS}deps =\n  {deps}\n\
         commands = python -m pip freeze\n[testenv:b]\ndeps = two\n"
    )
}

fn lock_of(project: &Project, environment: &str) -> String {
    fs::read_to_string(project.path(&format!("locks/pylock.{environment}.toml"))).expect("it is locked")
}

fn index_of(project: &Project) -> String {
    fs::read_to_string(project.path("envo.lock")).expect("it is locked")
}

/// Changes the first `from` in a file of the project.
fn change(project: &Project, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(project.path(file)).expect("it can be read");
    assert!(text.contains(from), "no `{from}` in {text}");
    fs::write(project.path(file), text.replacen(from, to, 1)).expect("it can be written");
}

#[test]
fn what_is_locked_is_installed_and_nothing_else() {
    let project = project();
    project.run(["lock"]).succeeds().says("a: 2 packages in locks/pylock.a.toml\n").says("b: 1 package in ");
    let (lock, index) = (lock_of(&project, "a"), index_of(&project));
    project.run(["lock", "--check"]).succeeds().says("2 locks are up to date\n");
    // A newer version makes no difference to what is locked.
    wheels::library(&project.path("links"), "two", "1.1");
    project.run(["lock"]).succeeds().says("a: 2 packages, as before\n");
    assert_eq!((lock_of(&project, "a"), index_of(&project)), (lock.clone(), index.clone()));
    project.run(["run", "--locked"]).succeeds().says("one==1.0\ntwo==1.0\n").says("install_locked");
    project.run(["run", "--locked"]).succeeds().never_says("install_locked");
    let site = fs::read_dir(project.path(".tox/a/lib")).expect("it was made").next().expect("one").expect("readable");
    let foreign = site.path().join("site-packages/three-1.0.dist-info");
    fs::create_dir(&foreign).expect("it can be made");
    fs::write(foreign.join("METADATA"), "Metadata-Version: 2.1\nName: three\nVersion: 1.0\n").expect("written");
    fs::write(foreign.join("RECORD"), "three-1.0.dist-info/METADATA,,\nthree-1.0.dist-info/RECORD,,\n")
        .expect("written");
    project.run(["run", "--locked", "-e", "a"]).succeeds().says("uninstall_unlocked").never_says("three==1.0");
    assert!(!foreign.exists());
    // Made once more from nothing, on a machine with other caches, it is the same.
    let other = Project::new().with_uv().ini(&ini("one"));
    wheels::requiring(&other.path("links"), "one", "1.0", &["two>=1"]);
    wheels::library(&other.path("links"), "two", "1.0");
    other.run(["lock"]).succeeds();
    assert_eq!((lock_of(&other, "a"), index_of(&other)), (lock, index));
}

#[test]
fn a_project_can_ask_to_be_locked_always() {
    let project = project();
    project.run(["lock"]).succeeds();
    let text = format!("[tox]\nlocked = true\n{}", ini("one").replacen("[tox]\n", "", 1));
    let project = project.ini(&text);
    project.run(["run", "-e", "a"]).succeeds().says("install_locked").says("two==1.0\n");
    let project = project.ini(&text.replace("  one\n", "  one>=1\n"));
    project.run(["run", "-e", "a"]).ends_with(1).says("the lock of a is stale: deps changed");
}

#[test]
fn a_toml_configuration_can_ask_for_it_too() {
    let settings = "set_env = { PIP_NO_INDEX = \"1\", PIP_FIND_LINKS = \"{tox_root}/links\" }";
    let text = |deps: &str| {
        format!(
            "no_package = true\nlocked = true\nenv_list = [\"a\"]\n[env_run_base]\n{settings}\ndeps = [\"{deps}\"]\n\
             commands = [[\"python\", \"-m\", \"pip\", \"freeze\"]]\n"
        )
    };
    let project = project();
    fs::remove_file(project.path("tox.ini")).expect("it can be removed");
    let project = project.file("tox.toml", &text("two"));
    project.run(["run"]).ends_with(1).explains("a is not locked").never_says("install");
    project.run(["lock"]).succeeds();
    project.run(["run"]).succeeds().says("install_locked").says("two==1.0\n");
    let project = project.file("tox.toml", &text("two>=1"));
    project.run(["run"]).ends_with(1).says("the lock of a is stale: deps changed: added two>=1, removed two");
}

#[test]
fn what_a_script_asks_for_is_locked() {
    let script = |requirement: &str| {
        format!(
            "# /// script\n# requires-python = \">=3.8\"\n# dependencies = [\"{requirement}\"]\n# ///\nimport one\nprint(one.VERSION)\n"
        )
    };
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = s\n{SETTINGS}[testenv:s]\nrunner = virtualenv-pep-723\nscript = s.py\n"
    );
    let project = project().ini(&ini).file("s.py", &script("one"));
    project.run(["lock"]).succeeds().says("s: 2 packages in locks/pylock.s.toml\n");
    assert!(lock_of(&project, "s").contains("requires-python = \">=3.8\"\n"));
    wheels::requiring(&project.path("links"), "one", "1.1", &["two>=1"]);
    project.run(["run", "--locked"]).succeeds().says("install_locked").says("\n1.0\n");
    project.run(["run", "--locked"]).succeeds().never_says("install_locked").says("\n1.0\n");
    let project = project.file("s.py", &script("one>1"));
    let text = "the lock of s is stale: script changed: added one>1, removed one";
    project.run(["run", "--locked"]).ends_with(1).says(text);
    project.run(["lock", "--check"]).ends_with(1).says(text);
    project.run(["lock"]).succeeds();
    project.run(["run", "--locked"]).succeeds().says("\n1.1\n");
}

#[test]
fn a_stale_lock_is_refused_and_tells_what_changed() {
    let project = project();
    project.run(["lock", "--check"]).ends_with(1).says("a: a is not locked: envo.lock has no line for it");
    project.run(["run", "--locked", "-e", "a"]).ends_with(1).explains("`envo lock -e a` updates it");
    project.run(["lock"]).succeeds();
    let project = project.ini(&ini("one>=1"));
    let text = "the lock of a is stale: deps changed: added one>=1, removed one";
    project.run(["lock", "--check"]).ends_with(1).says(text).never_says("lock of b");
    project.run(["run", "--locked", "-e", "a"]).ends_with(1).says(text).never_says("install_");
    project.run(["run", "--locked", "-e", "b"]).succeeds();
    project.run(["lock", "-e", "a"]).succeeds();
    project.run(["lock", "--check"]).succeeds();
}

#[test]
fn one_byte_changed_in_a_lock_the_index_or_a_wheel_is_refused() {
    let project = project();
    project.run(["lock"]).succeeds();
    let (lock, index) = (lock_of(&project, "a"), index_of(&project));
    change(&project, "locks/pylock.a.toml", "version = \"1.0\"\nwheels", "version = \"1.1\"\nwheels");
    project.run(["run", "--locked", "-e", "a"]).ends_with(1).says("locks/pylock.a.toml is not what envo wrote");
    fs::write(project.path("locks/pylock.a.toml"), &lock).expect("written");
    let at = index.find("deps=").expect("an input") + 5;
    let digit = if index.as_bytes()[at] == b'0' { "1" } else { "0" };
    let changed = format!("{}{digit}{}", &index[..at], &index[at + 1..]);
    fs::write(project.path("envo.lock"), changed).expect("written");
    project.run(["run", "--locked", "-e", "a"]).ends_with(1).says("the lock of a is stale: deps changed");
    fs::write(project.path("envo.lock"), &index).expect("written");
    let wheel = project.path("links/two-1.0-py3-none-any.whl");
    let mut bytes = fs::read(&wheel).expect("read");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&wheel, bytes).expect("written");
    let text = "links/two-1.0-py3-none-any.whl is not the file of two that was locked: sha256:";
    project.run(["run", "--locked", "-e", "a"]).ends_with(1).says(text).never_says("two==1.0");
    // With pip as with uv.
    let project = project.variable("ENVO_INSTALLER", "pip");
    project.run(["run", "--locked", "-r", "-e", "a"]).ends_with(1).says(text).never_says("two==1.0");
}

#[test]
fn an_update_moves_what_was_named_and_says_so() {
    let project = project();
    project.run(["lock"]).succeeds();
    wheels::requiring(&project.path("links"), "one", "1.1", &["two>=1"]);
    wheels::library(&project.path("links"), "two", "1.1");
    let outdated = project.run(["outdated", "-e", "a"]).ends_with(1);
    assert_eq!(
        outdated.stdout,
        "ENVIRONMENT  PACKAGE  LOCKED  COMPATIBLE  NEWEST\na            one      1.0     1.1         1.1\n\
         a            two      1.0     1.1         1.1\n"
    );
    let updated = project.run(["update", "two"]).succeeds();
    assert_eq!(
        updated.stdout,
        "ENVIRONMENT  PACKAGE  BEFORE  NOW\na            two      1.0     1.1\nb            two      1.0     1.1\n"
    );
    assert!(lock_of(&project, "a").contains("one-1.0-"));
    project.run(["lock", "--upgrade", "-e", "a"]).succeeds().says("a            one      1.0     1.1\n");
    project.run(["update"]).succeeds().says("nothing moved\n");
    project.run(["update", "three"]).ends_with(254).says("`three` is not in any lock");
    project.run(["lock", "--check"]).succeeds();
}

#[test]
fn contradictions_are_explained_with_their_lines_and_nothing_is_written() {
    let project = project();
    project.run(["lock"]).succeeds();
    let (lock, index) = (lock_of(&project, "a"), index_of(&project));
    let project = project.ini(&ini("one\n  two<1"));
    let failed =
        project.run(["lock"]).ends_with(1).says("a: a cannot be locked, its requirements contradict each other\n");
    failed.says("two").explains("help: tox.ini:10: two<1\n").explains("no lock was written\n");
    assert_eq!((lock_of(&project, "a"), index_of(&project)), (lock, index));
}

#[test]
fn an_index_that_does_not_answer_leaves_the_locks_as_they_were() {
    let project = project();
    project.run(["lock"]).succeeds();
    let (lock, index) = (lock_of(&project, "a"), index_of(&project));
    // A socket that is bound but never listens refuses connections, and no other process can listen on it.
    let listener =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    rustix::net::bind(&listener, &any).expect("it can be bound");
    let address: std::net::SocketAddr =
        rustix::net::getsockname(&listener).expect("it has an address").try_into().expect("of IP");
    let text = ini("one\n  gone")
        .replace("PIP_NO_INDEX = 1", &format!("PIP_INDEX_URL = http://{address}/simple\n  PIP_RETRIES = 0"));
    let project = project.ini(&text);
    project.run(["lock", "-e", "a"]).ends_with(1).says("a cannot be locked\n").explains("no lock was written");
    assert_eq!((lock_of(&project, "a"), index_of(&project)), (lock, index));
}

#[test]
fn merge_conflicts_are_told_with_their_line() {
    let project = project();
    project.run(["lock"]).succeeds();
    let (lock, index) = (lock_of(&project, "a"), index_of(&project));
    fs::write(project.path("locks/pylock.a.toml"), format!("<<<<<<< HEAD\n{lock}")).expect("written");
    for words in [["lock", "--check"].as_slice(), &["run", "--locked", "-e", "a"], &["lock"]] {
        let told = project.run(words).ends_with(1);
        assert!(told.stdout.contains("pylock.a.toml:1 has a merge conflict marker"), "{told:?}");
    }
    fs::write(project.path("locks/pylock.a.toml"), lock).expect("written");
    fs::write(project.path("envo.lock"), format!("{index}=======\n")).expect("written");
    project.run(["lock", "--check"]).ends_with(1).explains("envo.lock:4 has a merge conflict marker");
    fs::write(project.path("envo.lock"), "").expect("written");
    project.run(["run", "--locked"]).ends_with(1).explains("envo.lock: line 1 is not the one that envo writes");
}

#[test]
fn a_python_that_is_not_here_is_locked_for_by_its_version() {
    let project = project().ini(&format!("[tox]\nno_package = true\n{SETTINGS}deps = one\n[testenv:py3.99]\n"));
    project.run(["lock", "-e", "py3.99"]).succeeds().says("py3.99: 2 packages in locks/pylock.py3_99.toml\n");
    assert!(lock_of(&project, "py3_99").contains("requires-python = \"==3.99.*\"\n"));
    let project = project.variable("ENVO_INSTALLER", "pip");
    project
        .run(["lock", "--upgrade", "-e", "py3.99"])
        .ends_with(1)
        .says("Python 3.99 was not found; uv does not need it");
}

#[test]
fn a_program_that_is_no_python_for_all_its_name_keeps_nobody_from_locking() {
    let project = project().ini(&format!("[tox]\nno_package = true\n{SETTINGS}deps = one\n[testenv:py3.99]\n"));
    let project = project.file("bin/python3.99", "#!/bin/sh\nexit 1\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(project.path("bin/python3.99"), mode).expect("its mode can be set");
    let path = format!("{}:{}", project.path("bin").display(), machine::search_path(false).display());
    let project = project.variable("PATH", &path);
    project.run(["lock", "-e", "py3.99"]).succeeds().says("py3.99: 2 packages in locks/pylock.py3_99.toml\n");
}

#[test]
fn pip_locks_where_it_is_chosen() {
    let project = project().variable("ENVO_INSTALLER", "pip");
    project.run(["lock", "-e", "a"]).succeeds().says("a: 2 packages in locks/pylock.a.toml\n");
    wheels::library(&project.path("links"), "two", "1.1");
    project.run(["update", "one", "-e", "a"]).succeeds().says("nothing moved\n");
    project.run(["update", "two", "-e", "a"]).succeeds().says("a            two      1.0     1.1\n");
    project.run(["run", "--locked", "-e", "a"]).succeeds().says("one==1.0\ntwo==1.1\n");
}

/// A build backend that needs nothing: what it builds requires `two`.
const BACKEND: &str = r#"
import os, zipfile
NAME = open("pyproject.toml").read().split('name = "')[1].split('"')[0]
METADATA = "Metadata-Version: 2.1\nName: %s\nVersion: 1.0\nRequires-Dist: two\n" % NAME
WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
def prepare_metadata_for_build_wheel(directory, settings=None):
    folder = directory + "/%s-1.0.dist-info" % NAME
    os.mkdir(folder)
    for name, text in [("METADATA", METADATA), ("WHEEL", WHEEL)]:
        with open(folder + "/" + name, "w") as file:
            file.write(text)
    return NAME + "-1.0.dist-info"
def build_wheel(directory, settings=None, metadata=None):
    wheel = NAME + "-1.0-py3-none-any.whl"
    with zipfile.ZipFile(directory + "/" + wheel, "w") as archive:
        for name, text in [("METADATA", METADATA), ("WHEEL", WHEEL), ("RECORD", "")]:
            archive.writestr(NAME + "-1.0.dist-info/" + name, text)
    return wheel
"#;

#[test]
fn folders_and_what_only_a_backend_knows_are_locked_by_uv_and_by_pip_alike() {
    let manifest = |name: &str, path: &str| {
        format!(
            "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\"{path}\"]\n[project]\n\
             name = \"{name}\"\nversion = \"1.0\"\ndynamic = [\"dependencies\"]\n"
        )
    };
    let ini = format!(
        "[tox]\nenv_list = own, folder\n{SETTINGS}[testenv:folder]\nskip_install = true\ndeps = ./lib\ncommands = python -m pip freeze\n"
    );
    let project = project().ini(&ini).file("pyproject.toml", &manifest("app", "lib")).file("lib/backend.py", BACKEND);
    let project = project.file("lib/pyproject.toml", &manifest("lib", "."));
    let mut project = project;
    for installer in ["uv", "pip"] {
        project = project.variable("ENVO_INSTALLER", installer);
        project.run(["lock", "--upgrade"]).succeeds();
        let (own, folder) = (lock_of(&project, "own"), lock_of(&project, "folder"));
        assert!(own.contains("name = \"two\"") && !own.contains("directory"), "{own}");
        assert!(folder.contains("directory = { path = \"../lib\" }") && folder.contains("two-1.0-py3"), "{folder}");
        project.run(["run", "--locked", "-r", "-e", "folder"]).succeeds().says("two==1.0\n").says("lib @ file:");
        project.run(["lock", "--check"]).succeeds();
    }
}

#[test]
fn what_is_locked_can_be_drawn_and_listed() {
    let project = project();
    project.run(["graph"]).ends_with(254).says("nothing is locked");
    project.run(["lock"]).succeeds();
    assert_eq!(project.run(["graph", "-e", "a"]).succeeds().stdout, "a\n└── one 1.0\n    └── two 1.0\n");
    assert_eq!(project.run(["graph", "-e", "a", "--reverse"]).succeeds().stdout, "a\n└── two 1.0\n    └── one 1.0\n");
    project.run(["graph", "--format", "mermaid"]).succeeds().says("flowchart LR\n").says("e0_0 --> e0_1\n");
    let json: serde_json::Value =
        serde_json::from_str(&project.run(["graph", "--format", "json"]).succeeds().stdout).expect("it is JSON");
    assert_eq!(json[0]["packages"][0]["requires"], serde_json::json!(["two"]));
    project.run(["sbom", "-o", "sbom.json"]).succeeds();
    let bom: serde_json::Value =
        serde_json::from_slice(&fs::read(project.path("sbom.json")).expect("it was written")).expect("it is JSON");
    assert_eq!((&bom["bomFormat"], &bom["components"][1]["purl"]), (&"CycloneDX".into(), &"pkg:pypi/two@1.0".into()));
}
