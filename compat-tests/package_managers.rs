//! pnpm and yarn, fetched once by the machine's npm into a folder that outlives the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::machine;
use crate::project::Project;

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
