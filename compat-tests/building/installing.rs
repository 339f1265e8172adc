//! Tests the choice of installer, and where envo's own uv comes from on machines without one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::support::machine;
use crate::support::project::Project;
use crate::support::wheels;

/// A uv that writes down what it is asked for and does nothing.
const WRITES_DOWN: &str = "echo \"$@\" >> \"$LOG\"";

/// A project that requires `one`, whose index is a folder with that alone.
fn project() -> Project {
    let project = Project::new().ini(
        "[tox]\nno_package = true\nenv_list = a\n[testenv]\ndeps = one\npass_env = LOG\n\
         commands = python -c \"print('ran')\"\n",
    );
    wheels::library(&project.path("links"), "one", "1.0");
    let (links, log) = (project.path("links").display().to_string(), project.path("log").display().to_string());
    project
        .variable("PIP_NO_INDEX", "1")
        .variable("PIP_FIND_LINKS", &links)
        .variable("LOG", &log)
        .variable("ENVO_INSTALLER", "")
}

fn asked_of_uv(project: &Project) -> Vec<String> {
    let text = fs::read_to_string(project.path("log")).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("pip install")).map(str::to_owned).collect()
}

fn installed(project: &Project, environment: &str) -> Vec<String> {
    let lib = project.path(&format!(".tox/{environment}/lib"));
    let site_packages: Vec<PathBuf> =
        fs::read_dir(lib).expect("it was made").map(|entry| entry.expect("readable").path()).collect();
    let names = fs::read_dir(site_packages[0].join("site-packages")).expect("it was made");
    names.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn uv_is_fetched_once_and_told_of_on_standard_error() {
    let project = project();
    wheels::uv(&project.path("links"), "7.1", WRITES_DOWN);
    let first = project.run(["run"]).succeeds();
    assert_eq!(first.stderr, "envo: fetching uv, once for this machine (ENVO_INSTALLER=pip does without)\n");
    assert_eq!(asked_of_uv(&project).len(), 1);
    assert!(asked_of_uv(&project)[0].ends_with(" one"), "{:?}", asked_of_uv(&project));
    let again = project.run(["run", "-r"]).succeeds();
    assert_eq!(again.stderr, "");
    assert_eq!(asked_of_uv(&project).len(), 2);
    let lines =
        "a: install_deps> python -I -m pip install one\na: commands[0]> python -c 'print('\"'\"'ran'\"'\"')'\nran\n";
    assert!(first.stdout.starts_with(lines), "{}", first.stdout);
}

#[test]
fn an_index_without_uv_is_asked_once_and_pip_installs() {
    let project = project();
    let first = project.run(["run"]).succeeds().says("ran\n").explains("envo: uv could not be fetched: ");
    assert!(first.stderr.ends_with("; pip is used instead\n"), "{}", first.stderr);
    assert!(installed(&project, "a").contains(&"one.py".to_owned()));
    let again = project.run(["run", "-r", "-v"]).succeeds().says("a: pip installs, not uv: uv could not be fetched: ");
    assert_eq!(again.stderr, "");
}

#[test]
fn a_damaged_uv_is_fetched_again_and_pip_is_not_taken_silently() {
    let project = project();
    wheels::uv(&project.path("links"), "7.1", WRITES_DOWN);
    project.run(["run"]).succeeds();
    let program = project.cached("tools-2/uv/7.1/uv");
    fs::write(&program, "#!/bin/sh\n").expect("it is there");
    let healed = project.run(["run", "-r"]).succeeds();
    let folder = program.parent().expect("it lies in a folder").display().to_string();
    assert_eq!(healed.stderr, format!("envo: `{folder}` is damaged: fetching uv again\n"));
    assert_eq!(asked_of_uv(&project).len(), 2);
    fs::remove_file(&program).expect("it is there");
    fs::remove_file(project.path("links/uv-7.1-py3-none-any.whl")).expect("it is there");
    let without = project.run(["run", "-r"]).succeeds().explains("is damaged").explains("; pip is used instead\n");
    assert!(without.stderr.starts_with(&format!("envo: `{folder}` is damaged")), "{}", without.stderr);
    assert!(installed(&project, "a").contains(&"one.py".to_owned()));
}

#[test]
fn a_uv_that_is_killed_or_does_not_start_is_named_when_pip_takes_over() {
    for (script, reason) in
        [("#!/bin/sh\nkill -KILL $$\n", "was killed by signal 9"), ("#!/nowhere/sh\n", "cannot be started (")]
    {
        let project = project().file("bin/uv", script);
        let uv = project.path("bin/uv");
        fs::set_permissions(&uv, PermissionsExt::from_mode(0o755)).expect("it is there");
        let search = format!("{}:{}", project.path("bin").display(), machine::search_path(false).display());
        let outcome = project.variable("PATH", &search).run(["run"]).succeeds().says("ran\n");
        outcome.explains(&format!("envo: `[ROOT]/bin/uv` {reason}")).explains(": pip installs into a\n");
    }
}

#[test]
fn files_that_uv_installs_are_shared_only_where_the_user_wants_it() {
    let ini = |more: &str| format!("[tox]\nno_package = true\n[testenv:a]\ndeps = one\n{more}");
    for (host, more, links) in [
        ("", "", 1),
        ("", "installer = uv\n", 1),
        ("", "runner = uv-venv-runner\n", 1),
        ("hardlink", "", 2),
        ("", "set_env = UV_LINK_MODE = hardlink\n", 2),
        ("hardlink", "set_env = UV_LINK_MODE = copy\n", 1),
    ] {
        let project = Project::new().with_uv().ini(&ini(more)).variable("PIP_NO_INDEX", "1");
        wheels::library(&project.path("links"), "one", "1.0");
        let folder = project.path("links").display().to_string();
        let project = project.variable("PIP_FIND_LINKS", &folder).variable("UV_FIND_LINKS", &folder);
        let project = project.variable("UV_NO_INDEX", "1").variable("ENVO_INSTALLER", "");
        let project = if host.is_empty() { project } else { project.variable("UV_LINK_MODE", host) };
        project.run(["run", "-e", "a"]).succeeds();
        let lib = fs::read_dir(project.path(".tox/a/lib")).expect("it was made").flatten().next().expect("a Python");
        let module = fs::metadata(lib.path().join("site-packages/one.py")).expect("uv has installed it");
        assert_eq!(module.nlink(), links, "{host} {more}");
    }
}

#[test]
fn pip_installs_where_it_is_asked_for_and_nothing_is_fetched() {
    let project = project();
    wheels::uv(&project.path("links"), "7.1", WRITES_DOWN);
    for (variable, setting) in [("pip", ""), ("", "pip"), ("pip", "uv")] {
        let project = project_with(&project, setting).variable("ENVO_INSTALLER", variable);
        assert_eq!(project.run(["run"]).succeeds().stderr, "", "{variable} {setting}");
        assert!(installed(&project, "a").contains(&"one.py".to_owned()));
    }
}

/// The same with a setting, and with folders of its own.
fn project_with(like: &Project, installer: &str) -> Project {
    let links = like.path("links").display().to_string();
    project()
        .ini(&format!(
            "[testenv:a]\nskip_install = true\ndeps = one\ninstaller = {installer}\n\
             commands = python -c \"\"\n[tox]\nenv_list = a\n"
        ))
        .variable("PIP_FIND_LINKS", &links)
}

#[test]
fn uv_that_was_asked_for_and_cannot_be_had_fails_the_environment() {
    let project = project().variable("ENVO_INSTALLER", "uv").variable("ENVO_OFFLINE", "1");
    let text = "a: failed with uv is chosen as the installer, but there is no uv, and ENVO_OFFLINE is set\n";
    project.run(["run"]).ends_with(1).says(text).explains("install uv, or choose another `installer`");
}

#[test]
fn an_installer_that_nobody_knows_is_refused_with_its_place() {
    let project = project().ini("[tox]\nno_package = true\n[testenv:a]\ninstaller = conda\n");
    let outcome = project.run(["run", "-e", "a"]).ends_with(1);
    outcome.says("unknown installer `conda`, must be one of auto, pip, uv").explains("tox.ini:4");
    let project = project.variable("ENVO_INSTALLER", "conda");
    project.run(["run", "-e", "a"]).ends_with(254).says("ENVO_INSTALLER is `conda`, must be one of auto, pip, uv");
}

#[test]
fn environments_of_tox_uv_are_filled_with_a_uv_of_envos_own() {
    let project = project().ini("[tox]\nno_package = true\n[testenv:a]\nrunner = uv-venv-runner\ndeps = one\n");
    wheels::uv(&project.path("links"), "7.1", "case \"$1\" in pip) echo \"$@\" >> one.log;; esac");
    project.run(["run", "-e", "a"]).succeeds().says("a: install_deps> ").says("uv pip install one\n");
    assert_eq!(fs::read_to_string(project.path("one.log")).expect("uv was run"), "pip install one\n");
}

#[test]
fn a_real_uv_installs_what_pip_would() {
    let project = Project::new()
        .with_kept_cache()
        .ini("[tox]\nno_package = true\n[testenv:a]\ndeps = one\n  two\ncommands = python -m pip freeze --all\n")
        .variable("ENVO_INSTALLER", "uv");
    wheels::library(&project.path("links"), "one", "1.0");
    wheels::library(&project.path("links"), "two", "2.0");
    let links = project.path("links").display().to_string();
    let project = project.variable("PIP_FIND_LINKS", &links);
    let outcome = project.run(["run", "-e", "a", "-vv"]).succeeds().says("one==1.0\n").says("two==2.0\n");
    outcome.never_says("so pip tries");
    assert!(installed(&project, "a").contains(&"one.py".to_owned()));
}

#[test]
fn what_was_installed_from_a_file_is_frozen_alike_by_uv_and_pip() {
    let project = Project::new().with_kept_cache().ini(
        "[tox]\nno_package = true\n[testenv:a]\ndeps = {tox_root}/files/one-1.0-py3-none-any.whl\n\
         commands = python -m pip freeze\n",
    );
    let wheel = wheels::library(&project.path("files"), "one", "1.0");
    let digest = Sha256::digest(fs::read(wheel).expect("it was made"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut project = project;
    for installer in ["uv", "pip"] {
        project = project.variable("ENVO_INSTALLER", installer);
        let line = format!("one @ file://[ROOT]/files/one-1.0-py3-none-any.whl#sha256={digest}\n");
        project.run(["run", "-e", "a", "-r", "-vv"]).succeeds().says(&line).never_says("so pip tries");
    }
}

/// Notes whether it may ask an index, and fails when it may not and `$FAIL` says so.
const NOTES_THE_NETWORK: &str =
    "[ \"$1\" = pip ] && echo \"${UV_OFFLINE:-online}\" >> \"$LOG\"; [ -z \"$UV_OFFLINE\" ] || [ -z \"$FAIL\" ]";

fn two_alike() -> Project {
    let project = project().ini(
        "[tox]\nno_package = true\nenv_list = a, b, c\n[testenv]\ndeps = one\npass_env =\n  LOG\n  FAIL\n\
         commands = python -c \"print('ran')\"\n[testenv:c]\ndeps = one>0\n",
    );
    wheels::uv(&project.path("links"), "7.1", NOTES_THE_NETWORK);
    project
}

#[test]
fn what_one_environment_has_just_got_another_gets_without_asking_an_index() {
    let project = two_alike();
    let outcome = project.run(["run", "-v", "--no-prepare-ahead"]).succeeds();
    for environment in ["a", "b"] {
        let ended = format!("{environment}: exit 0 ([TIME] seconds) [ROOT]> python -I -m pip install one");
        assert_eq!(outcome.stdout.matches(&ended).count(), 1, "{}", outcome.stdout);
    }
    let asked = fs::read_to_string(project.path("log")).expect("uv was asked");
    assert_eq!(asked.lines().collect::<Vec<_>>(), ["online", "1", "online"]);
}

#[test]
fn an_index_is_asked_after_all_when_something_is_missing_without() {
    let project = two_alike().variable("FAIL", "yes");
    let outcome = project.run(["run", "--no-prepare-ahead"]).succeeds();
    let asked = fs::read_to_string(project.path("log")).expect("uv was asked");
    assert_eq!(asked.lines().collect::<Vec<_>>(), ["online", "1", "online", "online"]);
    assert_eq!(outcome.stdout.matches("b: install_deps>").count(), 1, "{}", outcome.stdout);
}
