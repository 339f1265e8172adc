//! An application that is packed, and the parts of packed files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::project::Project;
use crate::support::wheels;

/// A program that prints the files it has mapped, which are its interpreter and its libraries, and the name of its code.
const MODULE: &str = "import library, ssl, ctypes, sys

def main():
    for line in sorted({line.split()[-1] for line in open('/proc/self/maps') if '/' in line}):
        print('mapped', line)
    print('prefix', sys.prefix)
    print('code', main.__code__.co_filename)
    print('version', VERSION, library.VERSION)
";

/// `web` is packed after `test` has passed, which has one package more.
pub const SETTINGS: &str = "[tox]\nno_package = true\nenv_list = web, test\n\
    [testenv]\nset_env =\n  PIP_NO_INDEX = 1\n  PIP_FIND_LINKS = {toxinidir}/links\n\
    [testenv:web]\ndeps = app\npack_command = app\npack_tests = test\n\
    [testenv:test]\ndeps =\n  app\n  checker\ncommands = python -c \"import app, checker; {posargs}\"\n";

/// The application with its packages, locked.
pub fn locked() -> Project {
    locked_with(SETTINGS)
}

pub fn locked_with(settings: &str) -> Project {
    let project = Project::new().with_uv().ini(settings);
    add_version(&project, "1.0");
    wheels::library(&project.path("links"), "library", "1.0");
    wheels::library(&project.path("links"), "checker", "1.0");
    project.run(["lock"]).succeeds();
    project
}

/// Puts a version of the application on the index.
pub fn add_version(project: &Project, version: &str) {
    let module = format!("VERSION = '{version}'\n{MODULE}");
    let scripts = "[console_scripts]\napp = app:main\n";
    let entry_points = format!("app-{version}.dist-info/entry_points.txt");
    let files = [("app/__init__.py", module.as_str()), (entry_points.as_str(), scripts)];
    wheels::containing(&project.path("links"), ("app", version), &files, "Requires-Dist: library\n");
}

/// Locks another version of the application.
pub fn upgrade(project: &Project, version: &str) {
    add_version(project, version);
    project.run(["lock", "--upgrade"]).succeeds();
}

/// A project that has only `packed.tar.zst`, for tests of what is done with it.
pub fn with_packed(version: &str) -> Project {
    let project = Project::new();
    put_packed(&project, version);
    project
}

/// Makes `packed.tar.zst` that of version 1.0, 1.1 or 1.2, which are packed once for all tests. They use the Python of this
/// machine: few files are checked and installed faster than the thousands of an interpreter.
pub fn put_packed(project: &Project, version: &str) -> PathBuf {
    static FILES: LazyLock<Files> = LazyLock::new(|| packed_versions("pack_interpreter = system\n"));
    put(project, &FILES[version])
}

/// The same with its own Python.
pub fn put_packed_with_python(project: &Project, version: &str) -> PathBuf {
    static FILES: LazyLock<Files> = LazyLock::new(|| packed_versions("pack_interpreter = bundled\n"));
    put(project, &FILES[version])
}

/// Packed files by their versions.
type Files = BTreeMap<&'static str, Vec<u8>>;

fn packed_versions(key: &str) -> Files {
    let project = locked_with(&SETTINGS.replace("pack_tests = test\n", key));
    let packed = |version| {
        upgrade(&project, version);
        (version, fs::read(packed(&project)).expect("it was written"))
    };
    ["1.0", "1.1", "1.2"].map(packed).into()
}

fn put(project: &Project, content: &[u8]) -> PathBuf {
    let file = project.path("packed.tar.zst");
    fs::write(&file, content).expect("it can be written");
    file
}

/// Packs without tests.
pub fn packed(project: &Project) -> PathBuf {
    project.run(["pack", "--untested", "-o", "packed.tar.zst"]).succeeds();
    project.path("packed.tar.zst")
}

/// The compressed members of a packed file, each by itself: the manifest first, the end last.
pub fn frames(file: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(file).expect("it can be read");
    let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = zstd::zstd_safe::find_frame_compressed_size(rest).expect("it is a frame");
        frames.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    frames
}

/// The manifest of a packed file.
pub fn manifest(file: &Path) -> Value {
    let member = zstd::decode_all(frames(file)[0].as_slice()).expect("it can be read");
    let mut archive = tar::Archive::new(member.as_slice());
    let entry = archive.entries().expect("it is an archive").next().expect("it has a member").expect("it is whole");
    serde_json::from_reader(entry).expect("it is JSON")
}

/// The paths of all members.
pub fn paths(file: &Path) -> Vec<String> {
    let members = manifest(file)["members"].as_array().expect("a list").clone();
    members.iter().map(|member| member["path"].as_str().expect("a path").to_owned()).collect()
}

/// A compressed member at any path.
pub fn frame(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().expect("it is one").name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.extend_from_slice(content);
    member.resize(member.len().next_multiple_of(512), 0);
    zstd::encode_all(member.as_slice(), 3).expect("it can be compressed")
}

/// The same file with another manifest.
pub fn with_manifest(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut manifest = manifest(file);
    let text = |key: &str| manifest[key].as_str().expect("a text").to_owned();
    let path = format!("{}-{}/.envo/manifest.json", text("name"), text("version"));
    change(&mut manifest);
    let mut frames = frames(file);
    frames[0] = frame(&path, manifest.to_string().as_bytes());
    write(file, &frames);
}

pub fn write(file: &Path, frames: &[Vec<u8>]) {
    let mut target = fs::File::create(file).expect("it can be written");
    target.write_all(&frames.concat()).expect("it can be written");
}
