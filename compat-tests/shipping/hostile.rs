//! Tests that a packed file from an attacker harms neither memory nor time nor files, and that what interrupts envo meanwhile
//! leaves nothing.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use crate::shipping::application::{
    frame, frames, locked, manifest, packed, paths, put_packed, with_manifest, with_packed, write,
};
use crate::support::gate::Gate;
use crate::support::project::{Outcome, Project};
use crate::support::wheels;

/// More than the memory that envo gets.
const ENDLESS: u64 = 2 << 30;
/// What is compressed once, and repeated.
const PART: usize = 32 << 20;

/// Runs envo with 1 GB of memory.
fn run_with_little_memory(project: &Project, arguments: &str) -> Outcome {
    let script = format!("ulimit -v 1000000; exec '{}' {arguments}", env!("CARGO_BIN_EXE_envo"));
    project.run_program("bash", &["-c", &script])
}

/// The header of a member of this kind and size.
fn header(path: &str, kind: tar::EntryType, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("it is one").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// A compressed member that is endless zeros.
fn endless(path: &str, kind: tar::EntryType) -> Vec<u8> {
    let compressed = |bytes: &[u8]| zstd::encode_all(bytes, 1).expect("it can be compressed");
    let zeros = compressed(&vec![0; PART]);
    [compressed(&header(path, kind, ENDLESS)), zeros.repeat((ENDLESS as usize) / PART)].concat()
}

#[test]
fn zeros_without_end_take_neither_memory_nor_time() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    let original = frames(&file);
    let about_next = [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader];
    for kind in about_next.into_iter().chain([tar::EntryType::Directory]) {
        let bomb = endless("a", kind);
        fs::write(&file, &bomb).expect("it can be written");
        run_with_little_memory(&project, "verify packed.tar.zst")
            .ends_with(1)
            .explains("was not written by `envo pack`");
        fs::write(&file, [original[0].clone(), bomb].concat()).expect("it can be written");
        run_with_little_memory(&project, "verify packed.tar.zst").ends_with(1);
    }
    write(&file, &original);
    let path = format!("{}/.envo/manifest.json", top(&file));
    fs::write(&file, endless(&path, tar::EntryType::Regular)).expect("it can be written");
    run_with_little_memory(&project, "verify packed.tar.zst").ends_with(1);
}

/// The folder that all members are in.
fn top(file: &Path) -> String {
    let manifest = manifest(file);
    format!("{}-{}", manifest["name"].as_str().expect("a text"), manifest["version"].as_str().expect("a text"))
}

#[test]
fn a_member_is_no_larger_than_the_manifest_says() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    let mut altered = frames(&file);
    let paths = paths(&file);
    let at = paths.iter().position(|path| path.ends_with("site-packages/library.py")).expect("it is there");
    // The header has the size of the manifest, and what precedes it another one.
    let size = manifest(&file)["members"][at]["file"]["size"].as_u64().expect("a number");
    let record = b"19 size=1073741824\n";
    let mut member = header("x", tar::EntryType::XHeader, record.len() as u64);
    member.extend_from_slice(record);
    member.resize(member.len().next_multiple_of(512), 0);
    member.extend(header(&format!("{}/{}", top(&file), paths[at]), tar::EntryType::Regular, size));
    member.resize(member.len() + (64 << 20), 0);
    altered[at + 1] = zstd::encode_all(member.as_slice(), 1).expect("it can be compressed");
    write(&file, &altered);
    let refused = project.run(["verify", "packed.tar.zst"]).ends_with(1);
    refused.explains(&format!("`{}` is damaged", paths[at]));
}

#[test]
fn names_in_a_packed_file_cannot_control_the_terminal() {
    let project = Project::new();
    let file = put_packed(&project, "1.0");
    let mut altered = frames(&file);
    let last = altered.len() - 1;
    altered.insert(last, frame("x\u{1b}[2J\nerror: y", b""));
    write(&file, &altered);
    let refused = project.run(["verify", "packed.tar.zst"]).ends_with(1);
    refused.never_explains("\u{1b}").explains("`x\\x1b[2J\\nerror: y` is not listed in the manifest");
    with_manifest(&file, |manifest| manifest["python"]["version"] = json!("3\u{1b}[2J\nfine"));
    let refused = project.run(["verify", "packed.tar.zst"]).ends_with(1);
    refused.never_explains("\u{1b}").explains("`3\\x1b[2J\\nfine` has characters that cannot be displayed");
}

#[test]
fn an_installation_removes_no_files_of_the_user() {
    let project = Project::new();
    let put = |project: &Project, version: &str| {
        with_manifest(&put_packed(project, version), |manifest| manifest["keep"] = json!(1));
    };
    put(&project, "1.0");
    let kept = ["root/releases/.git/config", "root/releases/.gitkeep", "root/releases/7/notes.txt"];
    let project = kept.iter().fold(project, |project, path| project.file(path, "mine"));
    let install = ["install", "packed.tar.zst", "--root", "root"];
    project.run(install).succeeds().says("is current as release 8\n").never_says("removed");
    put(&project, "1.1");
    project.run(install).succeeds().says("is current as release 9\nrelease 8 was removed\n");
    for path in kept {
        assert_eq!(fs::read_to_string(project.path(path)).expect("it is there"), "mine", "{path}");
    }
    // The largest number has no successor.
    let project = project.file(&format!("root/releases/{}/notes.txt", u64::MAX), "mine");
    put(&project, "1.2");
    project.run(install).ends_with(1).explains("is the largest number that a release can have");
}

#[test]
fn releases_are_not_installed_into_a_folder_of_another_user() {
    let project = with_packed("1.0");
    fs::create_dir_all(project.path("root/releases")).expect("it can be made");
    if std::os::unix::fs::chown(project.path("root/releases"), Some(12345), None).is_err() {
        crate::support::machine::notice("another user's folder was not tried: this is not the superuser");
        return;
    }
    let refused = project.run(["install", "packed.tar.zst", "--root", "root"]).ends_with(1);
    refused.explains("releases belongs to another user (uid 12345)");
    assert!(fs::read_dir(project.path("root/releases")).expect("it is there").next().is_none());
}

#[test]
fn a_signal_ends_a_check_with_all_that_it_has_started() {
    let gate = Gate::new();
    let project = locked();
    let waiting = format!("{}\nimport time\ntell('importing')\ntime.sleep(3600)\n", gate.module());
    let scripts = "[console_scripts]\napp = app:main\n";
    let files = [("app/__init__.py", waiting.as_str()), ("app-3.0.dist-info/entry_points.txt", scripts)];
    wheels::containing(&project.path("links"), ("app", "3.0"), &files, "");
    project.run(["lock", "--upgrade"]).succeeds();
    packed(&project);
    fs::create_dir(project.path("temporary")).expect("it can be made");
    let temporary = project.path("temporary").display().to_string();
    let project = project.variable("TMPDIR", &temporary);
    for arguments in [&["verify", "packed.tar.zst"][..], &["install", "packed.tar.zst", "--root", "root"]] {
        for (signal, code) in [(Signal::INT, 2), (Signal::TERM, 15), (Signal::HUP, 1), (Signal::QUIT, 3)] {
            let running = project.start(arguments);
            assert_eq!(gate.next(), "importing");
            running.signal(signal);
            let ended = running.end();
            assert_eq!(ended.code, 128 + code, "{arguments:?}: {}", ended.printed);
            assert_eq!(project.processes(), [""; 0]);
            let left = |path: &str| fs::read_dir(project.path(path)).into_iter().flatten().flatten().count();
            assert_eq!((left("temporary"), left("root/releases")), (0, 0), "{arguments:?}");
        }
    }
}
