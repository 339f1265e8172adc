//! Knows npm, pnpm and yarn: which of them a project uses, and the arguments of each.

use std::path::Path;

use serde_json::Value;

/// No output unrelated to a test run, and the shared cache first.
const NPM: [&str; 3] = ["--no-audit", "--no-fund", "--prefer-offline"];

/// Files that identify the package manager, by precedence.
const LOCKS: [(&str, NodeManager); 5] = [
    ("npm-shrinkwrap.json", NodeManager::Npm),
    ("package-lock.json", NodeManager::Npm),
    ("pnpm-lock.yaml", NodeManager::Pnpm),
    ("yarn.lock", NodeManager::Yarn),
    ("yarn.lock", NodeManager::Berry),
];

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeManager {
    Npm,
    Pnpm,
    /// Yarn 1.
    Yarn,
    /// Yarn 2 and later.
    Berry,
}

impl NodeManager {
    /// The manager of the project in `folder`, whose settings are in `settings`, and its lock file, if there is one: what the lock file says, else
    /// `packageManager`, else npm.
    pub fn of(folder: &Path, settings: &Path, manifest: &Value) -> (Self, Option<&'static str>) {
        let is_berry = is_berry(settings, manifest);
        let lock = LOCKS.iter().find(|(name, _)| folder.join(name).is_file());
        let named = || manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
        let manager = lock.map_or_else(
            || match named().split('@').next() {
                Some("pnpm") => Self::Pnpm,
                Some("yarn") => Self::Yarn,
                _ => Self::Npm,
            },
            |(_, manager)| *manager,
        );
        (if manager == Self::Yarn && is_berry { Self::Berry } else { manager }, lock.map(|(name, _)| *name))
    }

    /// The name of its lock file.
    pub fn lock_name(self) -> &'static str {
        match self {
            Self::Npm => "package-lock.json",
            Self::Pnpm => "pnpm-lock.yaml",
            Self::Yarn | Self::Berry => "yarn.lock",
        }
    }

    /// Installs the dependencies of the manifest in the current folder; exactly as locked if there is a lock.
    pub fn install(self, is_locked: bool) -> Vec<String> {
        match (self, is_locked) {
            (Self::Npm, true) => with(&["npm", "ci"], &NPM),
            (Self::Npm, false) => with(&["npm", "install"], &NPM),
            (Self::Pnpm, true) => words(&["pnpm", "install", "--frozen-lockfile", "--prefer-offline"]),
            (Self::Pnpm, false) => words(&["pnpm", "install", "--no-frozen-lockfile", "--prefer-offline"]),
            (Self::Yarn, true) => with(&["yarn", "install", "--frozen-lockfile"], &YARN),
            (Self::Yarn, false) => with(&["yarn", "install"], &YARN),
            (Self::Berry, true) => words(&["yarn", "install", "--immutable"]),
            (Self::Berry, false) => words(&["yarn", "install", "--no-immutable"]),
        }
    }

    /// Installs `packages` as well.
    pub fn add(self, packages: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut argv = match self {
            Self::Npm => with(&["npm", "install", "--no-save"], &NPM),
            Self::Pnpm => words(&["pnpm", "add", "--prefer-offline", "--ignore-workspace-root-check"]),
            Self::Yarn => with(&["yarn", "add", "--ignore-workspace-root-check"], &YARN),
            Self::Berry => words(&["yarn", "add"]),
        };
        argv.extend(packages);
        argv
    }

    /// Packs the project in the current folder into the folder `results`.
    pub fn pack(self, results: &Path) -> Vec<String> {
        let file = results.join("package.tgz").display().to_string();
        match self {
            Self::Npm => words(&["npm", "pack", "--pack-destination", &results.display().to_string()]),
            Self::Pnpm => words(&["pnpm", "pack", "--pack-destination", &results.display().to_string()]),
            Self::Yarn => words(&["yarn", "pack", "--filename", &file]),
            Self::Berry => words(&["yarn", "pack", "--out", &file]),
        }
    }

    /// Updates the lock of the manifest in the current folder: entries that no longer match it, and these packages;
    /// `None` means all of them. Yarn 1 can do so only by installing.
    pub fn lock(self, upgrade: Option<&[String]>) -> Vec<String> {
        // Cached metadata about the newest versions would differ between machines, so npm's own expiry applies.
        let npm =
            |verb: &str| words(&["npm", verb, "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]);
        let mut argv = match (self, upgrade) {
            (Self::Npm, Some([])) => npm("install"),
            (Self::Npm, _) => npm("update"),
            (Self::Pnpm, Some([])) => words(&["pnpm", "install", "--lockfile-only", "--no-frozen-lockfile"]),
            (Self::Pnpm, _) => words(&["pnpm", "update", "--lockfile-only", "--no-save", "--recursive"]),
            (Self::Yarn, Some([])) => with(&["yarn", "install", "--ignore-scripts"], &YARN),
            (Self::Yarn, _) => with(&["yarn", "upgrade", "--ignore-scripts"], &YARN),
            (Self::Berry, Some([])) => words(&["yarn", "install", "--mode=update-lockfile", "--no-immutable"]),
            (Self::Berry, Some(_)) => words(&["yarn", "up", "--recursive", "--mode=update-lockfile"]),
            (Self::Berry, None) => words(&["yarn", "up", "--recursive", "--mode=update-lockfile", "*"]),
        };
        argv.extend(upgrade.unwrap_or_default().iter().cloned());
        argv
    }
}

const YARN: [&str; 3] = ["--prefer-offline", "--non-interactive", "--no-progress"];

/// Whether `yarn` means yarn 2 or later here.
fn is_berry(settings: &Path, manifest: &Value) -> bool {
    let named = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    let version = named.strip_prefix("yarn@").and_then(|version| version.split('.').next());
    match version {
        Some(major) => major != "1" && major != "0",
        None => settings.join(".yarnrc.yml").is_file(),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with(first: &[&str], then: &[&str]) -> Vec<String> {
    [first, then].concat().into_iter().map(str::to_owned).collect()
}
