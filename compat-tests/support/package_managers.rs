//! Provides pnpm and yarn, fetched once by the machine's npm into a folder that outlives the tests, and a local
//! registry for every package manager, so that no test depends on the public one or on a user's cache.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::support::machine;
use crate::support::project::Project;
use crate::support::web::Web;

/// A folder with programs of pnpm and yarn 1.
pub static MANAGERS: LazyLock<PathBuf> =
    LazyLock::new(|| programs_of("package-managers", &["pnpm@9.15.9", "yarn@1.22.22"]));

/// A folder with the program of yarn 4.
pub static BERRY: LazyLock<PathBuf> =
    LazyLock::new(|| programs_of("package-manager-berry", &["@yarnpkg/cli-dist@4.9.2"]));

/// The programs of these packages.
fn programs_of(name: &str, packages: &[&str]) -> PathBuf {
    let folder = machine::kept_folder(name);
    if !folder.join("bin/yarn").exists() {
        let status = Command::new("npm")
            .args(["install", "--global", "--no-audit", "--no-fund", "--prefix"])
            .arg(&folder)
            .args(packages)
            .status()
            .expect("npm can be started");
        assert!(status.success(), "npm could not fetch {packages:?}");
    }
    folder.join("bin")
}

/// The project with the programs of `managers` on PATH.
pub fn with_managers(project: Project, managers: &Path) -> Project {
    let machines = machine::search_path(false);
    let folders = std::iter::once(managers.to_owned()).chain(std::env::split_paths(&machines));
    let path = std::env::join_paths(folders).expect("no folder's name has a colon");
    project.variable("PATH", path.to_str().expect("the path is text"))
}

/// `ms` in three versions, as a registry publishes it: `ms('2 days')` is a number of milliseconds.
const MS: &str = r#"
import base64, hashlib, io, json, sys, tarfile
folder, address = sys.argv[1:3]
source = """module.exports = text => {
  const [number, unit] = String(text).match(/^(\d+) ?(\w*)$/).slice(1);
  const length = {d: 86400000, h: 3600000}[unit[0]];
  return length ? number * length : number + 'ms';
};
"""
versions = {}
for version in ["2.0.0", "2.1.2", "2.1.3"]:
    manifest = {"name": "ms", "version": version, "main": "index.js"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {"package.json": json.dumps(manifest), "index.js": source}.items():
            entry = tarfile.TarInfo("package/" + path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    with open(folder + "/ms-%s.tgz" % version, "wb") as out:
        out.write(buffer.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(buffer.getvalue()).digest()).decode()
    shasum = hashlib.sha1(buffer.getvalue()).hexdigest()
    dist = {"tarball": "http://%s/ms-%s.tgz" % (address, version), "integrity": integrity, "shasum": shasum}
    versions[version] = {**manifest, "dist": dist}
with open(folder + "/ms", "w") as out:
    json.dump({"name": "ms", "dist-tags": {"latest": max(versions)}, "versions": versions}, out)
"#;

/// A registry on this machine that has `ms`, in a folder beside the project's.
pub fn registry_with_ms(project: &Project) -> Web {
    Web::new(project.path("../registry"), MS, None)
}

/// The project with npm, pnpm and every yarn asking that registry, with a cache of their own.
pub fn asking(project: Project, registry: &Web) -> Project {
    let address = format!("http://{}", registry.address);
    // Of root the cache of yarn 1 is not in its home.
    let cache = project.path("../managers-cache").display().to_string();
    let project = project
        .file(".npmrc", &format!("registry={address}/\n"))
        .file(".yarnrc", &format!("registry \"{address}/\"\n"));
    [
        ("npm_config_registry", &*address),
        ("NPM_CONFIG_REGISTRY", &address),
        ("YARN_NPM_REGISTRY_SERVER", &address),
        ("YARN_UNSAFE_HTTP_WHITELIST", "127.0.0.1"),
        ("YARN_CACHE_FOLDER", &cache),
        ("YARN_ENABLE_TELEMETRY", "0"),
        ("YARN_HTTP_PROXY", ""),
        ("YARN_HTTPS_PROXY", ""),
        ("no_proxy", "127.0.0.1"),
        ("NO_PROXY", "127.0.0.1"),
    ]
    .into_iter()
    .fold(project, |project, (name, value)| project.variable(name, value))
}
