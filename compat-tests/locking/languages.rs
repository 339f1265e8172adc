//! Tests locks of other languages than Python, written and installed by their own tools from local indexes: created,
//! checked, installed from, out of date, and with a changed byte in them or in a file of the index.

use std::fs;

use crate::support::machine::{self, need};
use crate::support::project::Project;
use crate::support::web::Web;

/// One language with an index of its own.
struct Language {
    /// As `runtime` has it.
    name: &'static str,
    /// Publishes `leaf` in version 1.0.0; with a third word, in version 1.1.0 besides.
    index: &'static str,
    /// The environment's own keys but `runtime`.
    settings: &'static str,
    /// What its command prints in version 1.0.0.
    prints: &'static str,
    /// The lock that it has.
    lock: &'static str,
    /// A text in the lock, and an edit of it.
    edit: (&'static str, &'static str),
    /// The file that the index hands out for version 1.0.0.
    file: &'static str,
    /// Where it is published, as OSV names it, and the package URL of what is locked.
    known_as: (&'static str, &'static str),
    /// What the tool says of another file; `None` where its lock has no hashes, as before Bundler 2.6.
    refuses: Option<&'static str>,
}

const NODE: Language = Language {
    name: "node",
    index: r#"
import base64, hashlib, io, json, os, sys, tarfile
folder, address = sys.argv[1:3]
os.makedirs(folder, exist_ok=True)
versions = {}
for version in ["1.0.0", "1.1.0"][:len(sys.argv) - 2]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        manifest = json.dumps({"name": "leaf", "version": version})
        for path, text in {"package.json": manifest, "index.js": "module.exports = 'leaf %s'\n" % version}.items():
            entry = tarfile.TarInfo("package/" + path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    if not os.path.exists(folder + "/leaf-%s.tgz" % version):
        with open(folder + "/leaf-%s.tgz" % version, "wb") as file:
            file.write(buffer.getvalue())
    with open(folder + "/leaf-%s.tgz" % version, "rb") as file:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(file.read()).digest()).decode()
    dist = {"tarball": "http://%s/leaf-%s.tgz" % (address, version), "integrity": integrity}
    versions[version] = {"name": "leaf", "version": version, "dist": dist}
with open(folder + "/leaf", "w") as file:
    json.dump({"name": "leaf", "dist-tags": {"latest": max(versions)}, "versions": versions}, file)
"#,
    settings: "node_deps = leaf@^1\ncommands = node -p 'require(\"leaf\")'\n",
    prints: "leaf 1.0.0",
    lock: "locks/node.env/package-lock.json",
    edit: ("sha512-", "sha512-A"),
    file: "leaf-1.0.0.tgz",
    known_as: ("npm", "pkg:npm/leaf@1.0.0"),
    refuses: Some("EINTEGRITY"),
};

const RUBY: Language = Language {
    name: "ruby",
    index: r#"
import os, shutil, subprocess, sys
folder = sys.argv[1]
os.makedirs(folder + "/gems", exist_ok=True)
os.makedirs(folder + "/source/lib", exist_ok=True)
for version in ["1.0.0", "1.1.0"][:len(sys.argv) - 2]:
    if os.path.exists(folder + "/gems/leaf-%s.gem" % version):
        continue
    with open(folder + "/source/leaf.gemspec", "w") as file:
        file.write("Gem::Specification.new do |gem|\n  gem.name = 'leaf'\n  gem.version = '%s'\n  gem.summary = 'x'\n"
                   "  gem.authors = ['x']\n  gem.files = ['lib/leaf.rb']\nend\n" % version)
    with open(folder + "/source/lib/leaf.rb", "w") as file:
        file.write("LEAF = 'leaf %s'\n" % version)
    build = ["gem", "build", "--silent", "--output", "../gems/leaf-%s.gem" % version, "leaf.gemspec"]
    subprocess.run(build, cwd=folder + "/source", check=True, stderr=subprocess.DEVNULL)
subprocess.run(["gem", "generate_index", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
"#,
    settings: "commands = bundle exec ruby -rleaf -e 'puts LEAF'\n",
    prints: "leaf 1.0.0",
    lock: "Gemfile.lock",
    edit: ("leaf (1.0.0)", "leaf (1.0.1)"),
    file: "gems/leaf-1.0.0.gem",
    known_as: ("RubyGems", "pkg:gem/leaf@1.0.0"),
    refuses: None,
};

const RUST: Language = Language {
    name: "rust",
    index: r#"
import hashlib, io, json, os, sys, tarfile
folder, address = sys.argv[1:3]
os.makedirs(folder + "/le/af", exist_ok=True)
lines = []
for version in ["1.0.0", "1.1.0"][:len(sys.argv) - 2]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {
            "Cargo.toml": '[package]\nname = "leaf"\nversion = "%s"\nedition = "2021"\n' % version,
            "src/lib.rs": 'pub const LEAF: &str = "leaf %s";\n' % version,
        }.items():
            entry = tarfile.TarInfo("leaf-%s/%s" % (version, path))
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    if not os.path.exists(folder + "/leaf-%s.crate" % version):
        with open(folder + "/leaf-%s.crate" % version, "wb") as file:
            file.write(buffer.getvalue())
    with open(folder + "/leaf-%s.crate" % version, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    line = {"name": "leaf", "vers": version, "deps": [], "cksum": digest, "features": {}, "yanked": False}
    lines.append(json.dumps(line) + "\n")
with open(folder + "/config.json", "w") as file:
    json.dump({"dl": "http://%s/{crate}-{version}.crate" % address}, file)
with open(folder + "/le/af/leaf", "w") as file:
    file.write("".join(lines))
"#,
    settings: "commands = cargo run --quiet --locked --offline\n",
    prints: "leaf 1.0.0",
    lock: "Cargo.lock",
    edit: ("checksum = \"", "checksum = \"0"),
    file: "leaf-1.0.0.crate",
    known_as: ("crates.io", "pkg:cargo/leaf@1.0.0"),
    refuses: Some("checksum"),
};

const GO: Language = Language {
    name: "go",
    index: r#"
import os, sys, zipfile
folder = sys.argv[1] + "/example.org/leaf/@v"
os.makedirs(folder, exist_ok=True)
module = "module example.org/leaf\n\ngo 1.18\n"
versions = ["v1.0.0", "v1.1.0"][:len(sys.argv) - 2]
with open(folder + "/list", "w") as file:
    file.write("".join(version + "\n" for version in versions))
for version in versions:
    for name, text in {
        ".info": '{"Version": "%s", "Time": "2024-01-01T00:00:00Z"}' % version,
        ".mod": module,
    }.items():
        with open(folder + "/" + version + name, "w") as file:
            file.write(text)
    if os.path.exists(folder + "/%s.zip" % version):
        continue
    with zipfile.ZipFile(folder + "/%s.zip" % version, "w") as archive:
        archive.writestr("example.org/leaf@%s/go.mod" % version, module)
        archive.writestr("example.org/leaf@%s/leaf.go" % version, 'package leaf\n\nconst Leaf = "leaf %s"\n' % version[1:])
"#,
    settings: "commands = go run .\n",
    prints: "leaf 1.0.0",
    lock: "go.sum",
    edit: ("h1:", "h1:A"),
    file: "example.org/leaf/@v/v1.0.0.zip",
    known_as: ("Go", "pkg:golang/example.org/leaf@v1.0.0"),
    refuses: Some("checksum"),
};

/// A project of the language, which asks the index on this machine.
fn project_of(language: &Language) -> (Project, Web) {
    let project = Project::new().with_toolchains().variable("no_proxy", "127.0.0.1").variable("NO_PROXY", "127.0.0.1");
    let index = Web::new(project.path("../index"), language.index, None);
    let project = with_manifest(project, language, &index);
    let settings = [("GOPROXY", &*format!("http://{}", index.address)), ("GOFLAGS", "-modcacherw"), ("GONOSUMDB", "*")];
    let settings = settings.into_iter().chain([("CARGO_NET_RETRY", "0"), ("npm_config_fetch_retries", "0")]);
    (settings.fold(project, |project, (name, value)| project.variable(name, value)), index)
}

/// With caches that nothing was put into yet.
fn with_caches(project: Project, name: &str) -> Project {
    let folder = project.path(&format!("../{name}"));
    ["npm_config_cache", "BUNDLE_USER_HOME", "CARGO_HOME", "GOMODCACHE"]
        .into_iter()
        .fold(project, |project, variable| project.variable(variable, &folder.join(variable).display().to_string()))
}

fn with_manifest(project: Project, language: &Language, index: &Web) -> Project {
    let address = &index.address;
    let project = project.ini(&format!(
        "[tox]\nenv_list = env\nno_package = true\n[testenv]\nruntime = {}\n{}",
        language.name, language.settings
    ));
    match language.name {
        "ruby" => project.file("Gemfile", &format!("source 'http://{address}'\ngem 'leaf', '~> 1.0'\n")),
        "rust" => project
            .file("Cargo.toml", "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nleaf = \"1\"\n")
            .file("src/main.rs", "fn main() {\n    println!(\"{}\", leaf::LEAF);\n}\n")
            .file(".cargo/config.toml", &format!("[source.crates-io]\nreplace-with = \"mine\"\n[source.mine]\nregistry = \"sparse+http://{address}/\"\n")),
        "go" => project.file("go.mod", "module example.org/app\n\ngo 1.18\n").file(
            "main.go",
            "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.org/leaf\"\n)\n\nfunc main() { fmt.Println(leaf.Leaf) }\n",
        ),
        _ => project.file(".npmrc", &format!("registry=http://{address}/\n")),
    }
}

/// Adds version 1.1.0 to an index.
fn publish_newer(language: &Language, index: &Web) {
    let folder = index.folder.display().to_string();
    let words = ["-c", language.index, &folder, &index.address, "newer"];
    assert!(std::process::Command::new(&*machine::HOST_PYTHON).args(words).status().expect("Python starts").success());
}

fn read(project: &Project, file: &str) -> String {
    fs::read_to_string(project.path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All that a lock promises.
fn keeps_its_promises(language: &Language) {
    let (project, index) = project_of(language);
    let project = with_caches(project, "first");
    project.run(["lock", "--check"]).ends_with(1).says("env is not locked");
    project.run(["lock"]).succeeds();
    let (lock, line) = (read(&project, language.lock), read(&project, "envo.lock"));
    assert_eq!(project.path("locks").exists(), language.lock.starts_with("locks/"));
    project.run(["lock", "--check"]).succeeds();
    project.run(["run", "--locked"]).succeeds().says(language.prints);
    tells_what_is_locked(&project, language);
    // Newer versions change nothing until an upgrade is requested.
    publish_newer(language, &index);
    project.run(["lock"]).succeeds();
    assert_eq!((read(&project, language.lock), read(&project, "envo.lock")), (lock.clone(), line.clone()));
    let newer = project.run(["outdated"]).ends_with(1);
    let letter = if language.name == "go" { "v" } else { "" };
    let row = newer.stdout.lines().last().unwrap_or_default().split_whitespace().skip(2).collect::<Vec<_>>().join(" ");
    assert_eq!(row, format!("{letter}1.0.0 {letter}1.1.0 {letter}1.1.0"), "{newer:?}");
    assert!(!project.path("locks").join(format!(".unfinished-{}.env", language.name)).exists());
    assert_eq!((read(&project, language.lock), read(&project, "envo.lock")), (lock.clone(), line.clone()));
    project.run(["run", "--locked", "-r"]).succeeds().says(language.prints);
    // An edit by hand.
    let (before, after) = language.edit;
    assert!(lock.contains(before), "{lock}");
    fs::write(project.path(language.lock), lock.replacen(before, after, 1)).expect("it can be written");
    let text = format!("the lock of env is stale: {}-lock changed", language.name);
    project.run(["lock", "--check"]).ends_with(1).says(&text);
    project.run(["run", "--locked"]).ends_with(1).says(&text);
    for verb in ["graph", "sbom", "outdated", "audit"] {
        project.run([verb]).ends_with(1).explains(&text);
    }
    fs::write(project.path(language.lock), &lock).expect("it can be written");
    project.run(["lock", "--check"]).succeeds();
    // Another file where nothing was fetched yet.
    let project = with_caches(project, "second");
    if let Some(refuses) = language.refuses {
        let file = index.folder.join(language.file);
        let content = fs::read(&file).expect("it was published");
        let mut other = content.clone();
        // Of what is compressed, the time: nothing that unpacks notices before the hash is known.
        let place = if other.starts_with(b"\x1f\x8b") { 4 } else { other.len() / 2 };
        other[place] ^= 1;
        fs::write(&file, other).expect("it can be written");
        let failed = project.run(["run", "--locked", "-r"]).never_says(language.prints).explains(refuses);
        failed.explains("help: a file is not the one that was locked");
        fs::write(&file, content).expect("it can be written");
    }
    project.run(["run", "--locked", "-r"]).succeeds().says(language.prints);
    // Newer, as was asked for.
    project.run(["lock", "--upgrade"]).succeeds();
    project.run(["outdated"]).succeeds().says("every locked package is up to date");
    assert_ne!(read(&project, language.lock), lock);
    project.run(["lock", "--check"]).succeeds();
    project.run(["run", "--locked"]).succeeds().says("leaf 1.1.0");
}

/// Who requires what, the bill of materials and known vulnerabilities.
fn tells_what_is_locked(project: &Project, language: &Language) {
    let (ecosystem, url) = language.known_as;
    let (name, version) = if language.name == "go" { ("example.org/leaf", "v1.0.0") } else { ("leaf", "1.0.0") };
    let graph = project.run(["graph"]).succeeds();
    assert_eq!(graph.stdout, format!("env ({})\n└── {name} {version}\n", language.name));
    assert!(!graph.stderr.contains("left out"), "{graph:?}");
    let bill: serde_json::Value = serde_json::from_str(&project.run(["sbom"]).succeeds().stdout).expect("it is JSON");
    let components = bill["components"].as_array().expect("there are some");
    assert_eq!((components.len(), components[0]["purl"].as_str()), (1, Some(url)));
    assert_eq!(components[0]["hashes"].is_array(), language.refuses.is_some(), "{bill}");
    let entry = |ecosystem: &str, fixed: &str| {
        let events = serde_json::json!([{"introduced": "0"}, {"fixed": fixed}]);
        let package = serde_json::json!({"ecosystem": ecosystem, "name": name});
        let affected = serde_json::json!([{"package": package, "ranges": [{"type": "SEMVER", "events": events}]}]);
        let text = serde_json::json!({"id": "OSV-1", "summary": "Bad", "affected": affected}).to_string();
        fs::create_dir_all(project.path("osv")).expect("it can be made");
        fs::write(project.path("osv/OSV-1.json"), text).expect("it can be written");
    };
    entry(ecosystem, "1.0.1");
    let found = project.run(["audit", "--db", "osv"]).ends_with(1);
    found.says(&format!("{name} ({ecosystem})")).says("OSV-1").says("1.0.1");
    project.run(["audit", "--db", "osv", "--ignore", language.name]).succeeds();
    entry(ecosystem, "1.0.0");
    project.run(["audit", "--db", "osv"]).succeeds().says("1 packages checked, no known vulnerabilities");
    // A database of another ecosystem says nothing.
    entry("Hex", "1.0.0");
    project.run(["audit", "--db", "osv"]).ends_with(1).explains("so it says nothing about them");
    fs::remove_dir_all(project.path("osv")).expect("it can be removed");
}

#[test]
fn locks_of_npm_keep_their_promises() {
    need(&["node", "npm"]);
    keeps_its_promises(&NODE);
}

#[test]
fn locks_of_bundler_keep_their_promises() {
    need(&["ruby", "gem", "bundle"]);
    keeps_its_promises(&RUBY);
}

#[test]
fn locks_of_cargo_keep_their_promises() {
    keeps_its_promises(&RUST);
}

#[test]
fn locks_of_go_keep_their_promises() {
    need(&["go"]);
    keeps_its_promises(&GO);
}

#[test]
fn what_languages_wrote_counts_only_when_everything_could_be_locked() {
    need(&["node", "npm"]);
    let manifest = |name: &str| {
        format!("{{\"name\": \"{name}\", \"version\": \"1.0.0\", \"dependencies\": {{\"lib\": \"file:./lib\"}}}}")
    };
    let ini = |deps: &str| {
        format!(
            "[tox]\nno_package = true\nenv_list = js, other, alike, py\n[testenv]\nset_env =\n  PIP_NO_INDEX = 1\n  \
             PIP_FIND_LINKS = {{toxinidir}}/links\n[testenv:js]\nruntime = node\nchange_dir = app\n[testenv:other]\nruntime = node\n\
             node_deps = ./lib\n[testenv:alike]\nruntime = node\nnode_deps = ./lib\n[testenv:py]\ndeps = {deps}\n"
        )
    };
    let project = Project::new().with_uv().with_toolchains().ini(&ini("nowhere"));
    let project = project
        .file("app/package.json", &manifest("app"))
        .file("app/lib/package.json", "{\"name\": \"lib\", \"version\": \"1.0.0\"}");
    let project =
        project.file("lib/package.json", "{\"name\": \"lib\", \"version\": \"1.0.0\"}").file("links/readme", "");
    project.run(["lock"]).ends_with(1).says("py cannot be locked").explains("no lock was written");
    let is_there = |name: &str| project.path(name).exists();
    assert!(!is_there("app/package-lock.json") && !is_there("locks") && !is_there("envo.lock"));
    // The same the other way around: a tool that fails leaves Python's lock unwritten.
    let project = project.ini(&ini("")).file("app/package.json", &manifest("app").replace("./lib", "./gone"));
    fs::write(project.path("app/package.json"), "{").expect("it can be written");
    project.run(["lock"]).ends_with(1);
    assert!(!project.path("envo.lock").exists() && !project.path("locks/pylock.py.toml").exists());
    let project = project.file("app/package.json", &manifest("app"));
    // What is asked twice is asked once, and each has a lock of its own.
    let locked = project.run(["lock"]).succeeds();
    assert_eq!(locked.stdout.matches("lock_node").count(), 2, "{locked:?}");
    assert_eq!(
        read(&project, "locks/node.other/package-lock.json"),
        read(&project, "locks/node.alike/package-lock.json")
    );
    assert!(read(&project, "app/package-lock.json").contains("\"lib\""));
    project.run(["lock", "--check"]).succeeds().says("4 locks are up to date");
    project.run(["run", "--locked"]).succeeds();
    // Folders of the project are its own, and others are nowhere to be looked up.
    let graph = project.run(["graph"]).succeeds();
    assert!(graph.stdout.contains("alike (node)\n└── lib 1.0.0\n"), "{graph:?}");
    let missing = "these cannot be looked up: lib (../../lib)";
    project.run(["audit", "--db", "links"]).ends_with(1).explains(missing);
}
