//! Tests installed releases: at every moment there is the old one or the new one, whatever happens.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::shipping::application::{put_packed, put_packed_with_python, with_manifest, with_packed};
use crate::support::machine;
use crate::support::project::Project;

const INSTALL: [&str; 4] = ["install", "packed.tar.zst", "--root", "root"];

/// What the current release prints as its version.
fn current(project: &Project) -> String {
    let output = Command::new(project.path("root/current/run")).output().expect("it can be started");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().find_map(|line| line.strip_prefix("version ")).unwrap_or_default().to_owned()
}

fn releases(project: &Project) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(project.path("root/releases"))
        .expect("it can be listed")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn releases_are_installed_listed_switched_and_removed() {
    let project = Project::new();
    let put = |version: &str| {
        with_manifest(&put_packed(&project, version), |manifest| manifest["keep"] = 2.into());
    };
    project.run(["releases", "--root", "root"]).ends_with(1).explains("nothing is installed in");
    put("1.0");
    project.run(INSTALL).succeeds().says("is current as release 1\n");
    // The same release is not installed twice.
    project.run(INSTALL).succeeds().says("was installed already; it is current as release 1\n");
    project.run(["rollback", "--root", "root"]).ends_with(1).explains("there is no release before the current one");
    put("1.1");
    project.run(INSTALL).succeeds().says("is current as release 2\n");
    assert_eq!(current(&project), "1.1 1.0");
    project.run(["rollback", "--root", "root"]).succeeds().says("is current as release 1\n");
    assert_eq!(current(&project), "1.0 1.0");
    project.run(["rollback", "2", "--root", "root"]).succeeds().says("is current as release 2\n");
    project.run(["rollback", "7", "--root", "root"]).ends_with(1).explains("there is no release 7");
    project.run(["rollback", "x", "--root", "root"]).ends_with(2).explains("invalid number of a release: 'x'");
    put("1.2");
    project.run(INSTALL).succeeds().says("is current as release 3\nrelease 1 was removed\n");
    assert_eq!((current(&project).as_str(), releases(&project)), ("1.2 1.0", vec!["2".to_owned(), "3".to_owned()]));
    let listed = project.run(["releases", "--root", "root"]).succeeds();
    let states: Vec<(&str, bool)> = listed
        .stdout
        .lines()
        .skip(1)
        .filter_map(|line| Some((line.split(' ').next()?, line.ends_with("current"))))
        .collect();
    assert_eq!(states, [("2", false), ("3", true)], "{}", listed.stdout);
    let json = project.run(["releases", "--root", "root", "--format", "json"]).succeeds();
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(
        (&json[1]["release"], &json[1]["current"], &json[1]["tested"]),
        (&3.into(), &true.into(), &false.into())
    );
}

#[test]
fn a_killed_installation_leaves_the_old_release_or_the_new_one() {
    let project = Project::new();
    put_packed_with_python(&project, "1.0");
    project.run(INSTALL).succeeds();
    put_packed_with_python(&project, "1.1");
    let bytes = fs::read(project.path("packed.tar.zst")).expect("it was written");
    mkfifoat(CWD, project.path("pipe"), Mode::RUSR | Mode::WUSR).expect("a pipe can be made");
    for part in 1..=10 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_envo"))
            .args(["install", "pipe", "--root", "root"])
            .current_dir(project.root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let mut pipe = fs::File::options().write(true).open(project.path("pipe")).expect("it is read");
        // The last part is a whole file, so that the kill may come when it is switched. Those that were written are
        // read, as the pipe holds little.
        let _ = pipe.write_all(&bytes[..bytes.len() * part / 10]);
        child.kill().expect("it can be killed");
        child.wait().expect("it can be waited for");
        let found = current(&project);
        assert!(found == "1.0 1.0" || (part == 10 && found == "1.1 1.0"), "{part}: {found}");
    }
    project.run(["verify", "root/current"]).succeeds();
    project.run(INSTALL).succeeds();
    assert_eq!(current(&project), "1.1 1.0");
    assert!(releases(&project).iter().all(|name| name.parse::<u32>().is_ok()), "{:?}", releases(&project));
}

#[test]
fn a_damaged_release_is_not_switched_to() {
    let project = with_packed("1.0");
    project.run(INSTALL).succeeds();
    put_packed(&project, "1.1");
    project.run(INSTALL).succeeds();
    let library = |release: u32| {
        let lib = project.path(&format!("root/releases/{release}/env/lib"));
        let python = fs::read_dir(lib).expect("it can be listed").flatten().next().expect("one").path();
        python.join("site-packages/library.py")
    };
    fs::write(library(1), "altered").expect("it can be written");
    let refused = project.run(["rollback", "--root", "root"]).ends_with(1);
    refused.explains("site-packages/library.py` was altered");
    assert_eq!(current(&project), "1.1 1.0");
    // Neither is it taken for the same release when that is installed again.
    fs::remove_file(library(2)).expect("it is there");
    project.run(["verify", "root/current"]).ends_with(1).explains("library.py` is missing");
    project.run(INSTALL).succeeds().says("is current as release 3\n");
    fs::remove_file(project.path("root/current")).expect("it is there");
    fs::create_dir(project.path("root/current")).expect("it can be made");
    project.run(INSTALL).ends_with(1).explains("is not a link, so it cannot be switched");
}

#[test]
fn a_full_disk_leaves_the_old_release() {
    let project = Project::new();
    fs::create_dir(project.path("root")).expect("it can be made");
    let envo = env!("CARGO_BIN_EXE_envo");
    // A file system of its own, on which the second release has too few bytes, then too few names.
    let mounted = |options: &str, rest: &str| {
        let script =
            format!("mount -t tmpfs -o {options} tmpfs root && {envo} install packed.tar.zst --root root && {rest}");
        project.run_program("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", &script])
    };
    let allowed = project.run_program("unshare", &["--user", "--map-root-user", "--mount", "true"]);
    if !machine::has("unshare") || allowed.code != Some(0) {
        machine::notice("a full disk was not tried: this machine has no user namespaces");
        return;
    }
    fs::rename(put_packed_with_python(&project, "1.1"), project.path("new.tar.zst")).expect("it can be moved");
    put_packed_with_python(&project, "1.0");
    let then = format!("{envo} install new.tar.zst --root root; echo code $?; root/current/run; ls -A root/releases");
    let full = mounted("size=60m", &then).succeeds();
    full.says("code 1\n")
        .says("version 1.0 1.0\n")
        .says("\n1\n")
        .explains("free, but the release takes")
        .never_says(".new");
    let full = mounted("size=1g,nr_inodes=2500", &then).succeeds();
    full.says("code 1\n").says("version 1.0 1.0\n").says("\n1\n").explains("No space left on device");
}
