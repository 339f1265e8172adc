//! Tests reading locks that the real pnpm and yarn write for packages in a local registry.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::machine::need;
use crate::support::package_managers::{BERRY, MANAGERS, asking, with_managers};
use crate::support::project::Project;
use crate::support::web::Web;

/// `leaf` in two versions, which two others want: `@s/tool` requires the older one and `@s/plugin` expects the newer one to
/// be there. Beside each file is its hash, in hexadecimal digits.
const REGISTRY: &str = r#"
import base64, hashlib, io, json, sys, tarfile
folder, address = sys.argv[1:3]
packages = {
    "leaf": {"1.0.0": {}, "2.0.0": {}},
    "@s/tool": {"1.0.0": {"dependencies": {"leaf": "^1.0.0"}}},
    "@s/plugin": {"1.1.0": {"peerDependencies": {"leaf": "^2.0.0"}}},
}
for name, versions in packages.items():
    published = {}
    for version, fields in versions.items():
        manifest = {"name": name, "version": version, **fields}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in {
                "package.json": json.dumps(manifest),
                "index.js": "module.exports = '%s %s'\n" % (name, version),
            }.items():
                entry = tarfile.TarInfo("package/" + path)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        file = "%s-%s.tgz" % (name.split("/")[-1], version)
        with open(folder + "/" + file, "wb") as out:
            out.write(buffer.getvalue())
        digest = hashlib.sha512(buffer.getvalue())
        with open(folder + "/" + file + ".sha512", "w") as out:
            out.write(digest.hexdigest())
        dist = {
            "tarball": "http://%s/%s" % (address, file),
            "shasum": hashlib.sha1(buffer.getvalue()).hexdigest(),
            "integrity": "sha512-" + base64.b64encode(digest.digest()).decode(),
        }
        published[version] = {**manifest, "dist": dist}
    # A slash in a name is escaped by whoever asks, each as it likes.
    for escaped in {name.replace("/", slash) for slash in ("%2f", "%2F")}:
        with open(folder + "/" + escaped, "w") as out:
            json.dump({"name": name, "dist-tags": {"latest": max(versions)}, "versions": published}, out)
"#;

/// What asks for all of these, for `leaf` by another name too.
const MANIFEST: &str = r#"{"name": "app", "version": "1.0.0", "private": true, "packageManager": "MANAGER",
"dependencies": {"@s/tool": "^1.0.0", "leaf": "^2.0.0"}, "devDependencies": {"@s/plugin": "1", "old": "npm:leaf@^1"}}
"#;

const INI: &str = "[tox]\nno_package = true\nenv_list = js\n[testenv:js]\nruntime = node\ncommands =\n  \
                   node -p '[require(\"@s/tool\"), require(\"leaf\"), require(\"old\")].join()'\n";

/// One package manager and what is to be read in its lock.
struct Manager<'a> {
    programs: &'a Path,
    /// As `packageManager` names it.
    name: &'static str,
    lock: &'static str,
    /// How that lock says in which format it is.
    format: &'static str,
    graph: &'static str,
    /// Whether its lock has the hashes that the registry publishes.
    has_hashes: bool,
}

/// A project of the manager, which asks the registry on this machine and has caches of its own.
fn project_of(manager: &Manager<'_>) -> (Project, Web) {
    let project = with_managers(Project::new().with_toolchains(), manager.programs);
    let registry = Web::new(project.path("../registry"), REGISTRY, None);
    let project = asking(project, &registry).ini(INI).file("package.json", &MANIFEST.replace("MANAGER", manager.name));
    (project, registry)
}

fn reads_what_it_wrote(manager: &Manager<'_>) {
    let (project, registry) = project_of(manager);
    project.run(["lock"]).succeeds();
    let lock = fs::read_to_string(project.path(manager.lock)).expect("the manager wrote it");
    assert!(lock.contains(manager.format), "{lock}");
    project.run(["lock", "--check"]).succeeds();
    let graph = project.run(["graph"]).succeeds();
    assert_eq!(graph.stdout, manager.graph, "{lock}");
    assert!(!graph.stderr.contains("left out"), "{graph:?}");
    has_a_bill_of_materials(manager, &project, &registry);
    is_audited(&project);
    project.run(["run", "--locked"]).succeeds().says("@s/tool 1.0.0,leaf 2.0.0,leaf 1.0.0");
    // Every command that reads the lock reports an edit by hand.
    fs::write(project.path(manager.lock), format!("{lock}# edited\n")).expect("it can be written");
    for verb in ["graph", "sbom", "audit"] {
        project.run([verb]).ends_with(1).explains("the lock of js is stale: node-lock changed");
    }
}

/// Every package once, with the hash of the file that the registry hands out, and who requires it.
fn has_a_bill_of_materials(manager: &Manager<'_>, project: &Project, registry: &Web) {
    let bill: Value = serde_json::from_str(&project.run(["sbom"]).succeeds().stdout).expect("it is JSON");
    let components = bill["components"].as_array().expect("there are some");
    let urls: BTreeSet<&str> = components.iter().filter_map(|component| component["purl"].as_str()).collect();
    let expected = ["pkg:npm/%40s/plugin@1.1.0", "pkg:npm/%40s/tool@1.0.0", "pkg:npm/leaf@1.0.0", "pkg:npm/leaf@2.0.0"];
    assert_eq!((components.len(), urls), (4, expected.into()), "{bill}");
    for component in components {
        let hashes = component["hashes"].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let found = hashes.iter().find(|hash| hash["alg"] == "SHA-512").and_then(|hash| hash["content"].as_str());
        let url = component["purl"].as_str().expect("each has one");
        let file = url.rsplit('/').next().expect("there is a name").replace('@', "-");
        let published = fs::read_to_string(registry.folder.join(format!("{file}.tgz.sha512")));
        let published = published.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(found, manager.has_hashes.then_some(published.as_str()), "{url}");
    }
    let dependencies = bill["dependencies"].as_array().expect("there are some");
    let of_tool = dependencies.iter().find(|one| one["ref"].as_str().is_some_and(|name| name.contains("tool")));
    let required = of_tool.expect("it is one of them")["dependsOn"].to_string();
    assert!(required.contains("leaf@1.0.0") && !required.contains("leaf@2.0.0"), "{bill}");
}

/// Of two versions, the bad one is reported.
fn is_audited(project: &Project) {
    let entry = |fixed: &str| {
        let package = json!({"ecosystem": "npm", "name": "leaf"});
        let ranges = json!([{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": fixed}]}]);
        let entry = json!({"id": "OSV-1", "summary": "Bad", "affected": [{"package": package, "ranges": ranges}]});
        fs::create_dir_all(project.path("osv")).expect("it can be made");
        fs::write(project.path("osv/OSV-1.json"), entry.to_string()).expect("it can be written");
    };
    entry("2.0.0-rc.1");
    let found = project.run(["audit", "--db", "osv"]).ends_with(1);
    assert_eq!(found.stdout.matches("leaf (npm)").count(), 1, "{found:?}");
    let found = found.says("OSV-1").says("1.0.0");
    assert!(!found.stdout.contains("2.0.0 "), "{found:?}");
    entry("1.0.0");
    project.run(["audit", "--db", "osv"]).succeeds().says("4 packages checked, no known vulnerabilities");
}

#[test]
fn locks_that_pnpm_writes_are_read() {
    need(&["node", "npm"]);
    reads_what_it_wrote(&Manager {
        programs: &MANAGERS,
        name: "pnpm@9.15.9",
        lock: "pnpm-lock.yaml",
        format: "lockfileVersion: '9.0'",
        graph: "js (node)\n├── @s/plugin 1.1.0\n│   └── leaf 2.0.0\n├── @s/tool 1.0.0\n│   └── leaf 1.0.0\n├── leaf 1.0.0\n└── leaf 2.0.0\n",
        has_hashes: true,
    });
}

#[test]
fn locks_that_yarn_1_writes_are_read() {
    need(&["node", "npm"]);
    reads_what_it_wrote(&Manager {
        programs: &MANAGERS,
        name: "yarn@1.22.22",
        lock: "yarn.lock",
        format: "# yarn lockfile v1",
        // It names neither what the project asks for nor what a package expects beside it.
        graph: "js (node)\n├── @s/plugin 1.1.0\n├── @s/tool 1.0.0\n│   └── leaf 1.0.0\n└── leaf 2.0.0\n",
        has_hashes: true,
    });
}

#[test]
fn locks_that_yarn_4_writes_are_read() {
    need(&["node", "npm"]);
    reads_what_it_wrote(&Manager {
        programs: &BERRY,
        name: "yarn@4.9.2",
        lock: "yarn.lock",
        format: "__metadata:\n  version: 8",
        graph: "js (node)\n├── @s/plugin 1.1.0\n├── @s/tool 1.0.0\n│   └── leaf 1.0.0\n├── leaf 1.0.0\n└── leaf 2.0.0\n",
        // Its checksums are those of its own archives.
        has_hashes: false,
    });
}
