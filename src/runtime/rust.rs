//! Rust: installs programs with `cargo install` into the environment's folder; the registry's cache is the user's.

use std::path::{Path, PathBuf};

use crate::model::runtime::RuntimeVersion;
use crate::python_text::glob_paths::paths_below;
use crate::runtime::failure::{FailurePatterns, ToolFailure};
use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest, RuntimeUpgrade};
use crate::runtime::manifest::{FolderDependencies, dependency_inputs, input, local_path, read, step};
use crate::runtime::outdated;
use crate::runtime::packing::{PackRequest, PackageForm};
use crate::runtime::ruby::dotted;
use crate::runtime::{
    InstallStep, OfflineSettings, Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeLocation, RuntimeVariables,
};

pub struct RustRuntime;

impl Runtime for RustRuntime {
    fn name(&self) -> &'static str {
        "rust"
    }

    fn program(&self) -> Option<&'static str> {
        Some("cargo")
    }

    fn version(&self, answer: &str) -> Option<RuntimeVersion> {
        RuntimeVersion::parse(answer.strip_prefix("cargo ")?)
    }

    /// `175` is 1.75.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn locations(&self) -> &'static [&'static str] {
        &[
            "$RUSTUP_HOME/toolchains/*/bin",
            "~/.rustup/toolchains/*/bin",
            "$MISE_DATA_DIR/installs/rust/*/bin",
            "$XDG_DATA_HOME/mise/installs/rust/*/bin",
            "~/.local/share/mise/installs/rust/*/bin",
            "$ASDF_DATA_DIR/installs/rust/*/bin",
            "~/.asdf/installs/rust/*/bin",
            "/opt/homebrew/opt/rust/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["rustc", "rustdoc", "rustfmt", "cargo-fmt", "cargo-clippy", "clippy-driver"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["Cargo.toml"]
    }

    fn remedy(&self) -> &'static str {
        "install Rust (https://rustup.rs, or your system's `cargo`)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &["CARGO_*", "RUSTUP_HOME", "RUSTFLAGS", "RUSTC_WRAPPER"]
    }

    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables {
        // Next to the folder, not in it: compiled crates should survive recreating it.
        let target = location.env_dir.join("rust-target").display().to_string();
        let variables = vec![
            ("CARGO_INSTALL_ROOT".to_owned(), location.folder.display().to_string()),
            ("CARGO_TARGET_DIR".to_owned(), target),
        ];
        RuntimeVariables { paths: vec![location.folder.join("bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let location = &request.location;
        let mut contents = RuntimeContents::default();
        if let Some(text) = read(&location.project.join(MANIFEST))? {
            contents.inputs.push(input(MANIFEST, &text));
            if let Some(lock) = read(&location.project.join(LOCK))? {
                contents.inputs.push(input(LOCK, &lock));
                contents.steps.push(step(["cargo", "fetch", "--locked"], location.project, LOCK));
            } else {
                contents.steps.push(step(["cargo", "fetch"], location.project, MANIFEST));
            }
        }
        let locked = match location.lock.map(|lock| read(&lock.join(LOCK))).transpose()?.flatten() {
            Some(text) => {
                contents.inputs.push(input("lock", &text));
                Some(String::from_utf8_lossy(&text).into_owned())
            }
            None => None,
        };
        for dependency in request.dependencies {
            contents.steps.push(match local_path(dependency, location.root) {
                Some(path) => install_folder(&path, location.project),
                None => install_crate(dependency, location.project, locked.as_deref())?,
            });
        }
        contents.inputs.extend(dependency_inputs(request.dependencies, location.root, FolderDependencies::Copied));
        for step in &mut contents.steps {
            // cargo queries the index first, even for cached crates.
            let variables = vec![("CARGO_NET_OFFLINE".to_owned(), "true".to_owned())];
            step.offline = Some(OfflineSettings { variables, ..OfflineSettings::default() });
        }
        Ok(contents)
    }

    fn failures(&self) -> FailurePatterns {
        &[
            ("because --locked was passed", ToolFailure::Lock),
            ("needs to be updated but --locked", ToolFailure::Lock),
            ("failed to parse lock file", ToolFailure::Lock),
            ("failed to verify the checksum", ToolFailure::Tampered),
            ("changed between lock files", ToolFailure::Tampered),
            ("failed to download", ToolFailure::Network),
            ("Could not resolve host", ToolFailure::Network),
            ("download of config.json failed", ToolFailure::Network),
            ("in offline mode", ToolFailure::Network),
            ("using offline mode", ToolFailure::Network),
            ("could not find `", ToolFailure::Unknown),
            ("no matching package", ToolFailure::Unknown),
            ("failed to select a version", ToolFailure::Unknown),
            ("could not compile", ToolFailure::Compilation),
            ("failed to run custom build command", ToolFailure::Compilation),
        ]
    }

    fn lock_command(&self, _project: &Path) -> &'static str {
        "cargo update --workspace"
    }

    fn package(&self) -> Option<PackageForm> {
        Some(PackageForm { word: "binary", ending: None })
    }

    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        let project = request.location.project;
        let is_locked = project.join(LOCK).is_file();
        let install = |folder: &PathBuf| {
            let (folder, results) = (folder.display().to_string(), request.results.display().to_string());
            let argv = ["cargo", "install", "--quiet", "--no-track", "--path", &folder, "--root", &results];
            let mut step = step(argv, project, MANIFEST);
            if is_locked {
                step.argv.push("--locked".to_owned());
            }
            let target = request.build_folder.join("target").display().to_string();
            step.variables.push(("CARGO_TARGET_DIR".to_owned(), target));
            step
        };
        Ok(crates_with_programs(project)?.iter().map(install).collect())
    }

    /// The project's crates are locked in its Cargo.lock, the programs of `rust_deps` in that of a package which
    /// depends on them. A program's own dependencies are those it was published with.
    fn newer(&self, file: &LockFile) -> Option<outdated::OutdatedQuery> {
        file.kept.ends_with(LOCK).then(|| outdated::cargo(&file.kept))
    }

    fn locking(&self, request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        let location = &request.contents.location;
        let mut locking = Locking::default();
        if let Some(text) = read(&location.project.join(MANIFEST))? {
            locking.inputs.push(input(MANIFEST, &text));
            locking.steps.push(update(request.upgrade, location.project, MANIFEST));
            locking.results.push(LockFile::next_to(location.project.join(LOCK)));
        }
        let dependencies = request.contents.dependencies;
        locking.inputs.extend(dependency_inputs(dependencies, location.root, FolderDependencies::Copied));
        let named: Vec<&String> =
            dependencies.iter().filter(|dependency| local_path(dependency, location.root).is_none()).collect();
        if !named.is_empty() {
            let known = match request.upgrade {
                RuntimeUpgrade::Everything => None,
                _ => read(&request.folder.join(LOCK))?,
            };
            locking.files.extend(known.map(|text| (PathBuf::from(LOCK), text)));
            locking.files.push((PathBuf::from(MANIFEST), manifest_of(&named).into_bytes()));
            locking.files.push((PathBuf::from("lib.rs"), Vec::new()));
            locking.steps.push(update(request.upgrade, location.folder, "rust_deps"));
            let files = [MANIFEST, LOCK, "lib.rs"];
            locking.results.extend(files.map(|name| LockFile::moved(location.folder, request.folder, name)));
        }
        Ok((!locking.steps.is_empty()).then_some(locking))
    }
}

const MANIFEST: &str = "Cargo.toml";
const LOCK: &str = "Cargo.lock";

/// The folders of the project's crates that have programs: its own and those of a workspace's members.
fn crates_with_programs(project: &Path) -> Result<Vec<PathBuf>, String> {
    let path = project.join(MANIFEST);
    let text = read(&path)?.ok_or_else(|| format!("there is no {MANIFEST} in {}", project.display()))?;
    let manifest: toml::Table = toml::from_str(&String::from_utf8_lossy(&text))
        .map_err(|error| format!("{} is not valid TOML: {}", path.display(), error.message()))?;
    let members = manifest.get("workspace").and_then(|workspace| workspace.get("members"));
    let patterns = members.and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_str);
    let mut folders = vec![project.to_owned()];
    for pattern in patterns {
        folders.extend(
            paths_below(project, pattern).map_err(|error| format!("`members` of {}: {error}", path.display()))?,
        );
    }
    folders.retain(|folder| has_programs(folder));
    if folders.is_empty() {
        return Err(format!("{} has no programs to build", path.display()));
    }
    Ok(folders)
}

fn has_programs(folder: &Path) -> bool {
    let Ok(Some(text)) = read(&folder.join(MANIFEST)) else { return false };
    let manifest: toml::Table = toml::from_str(&String::from_utf8_lossy(&text)).unwrap_or_default();
    let source = folder.join("src");
    manifest.contains_key("package")
        && (manifest.contains_key("bin") || source.join("main.rs").is_file() || source.join("bin").is_dir())
}

fn install_folder(path: &Path, project: &Path) -> InstallStep {
    let mut step = step(["cargo", "install", "--path", &path.display().to_string()], project, "rust_deps");
    if path.join(LOCK).is_file() {
        step.argv.push("--locked".to_owned());
    }
    step
}

/// With a lock, installs exactly the locked version, with the dependencies it was published with.
fn install_crate(dependency: &str, project: &Path, lock: Option<&str>) -> Result<InstallStep, String> {
    let (name, version) = crate_of(dependency);
    if name.starts_with('-') {
        return Err(format!("`{dependency}` in `rust_deps` is not a crate; write NAME or NAME@VERSION"));
    }
    let mut step = step(["cargo", "install"], project, "rust_deps");
    let Some(lock) = lock else {
        if version != "*" {
            // cargo requires all three numbers, or an operator.
            let is_partial =
                version.split('.').count() < 3 && version.starts_with(|digit: char| digit.is_ascii_digit());
            let version = if is_partial { format!("^{version}") } else { version.to_owned() };
            step.argv.extend(["--version".to_owned(), version]);
        }
        step.argv.push(name.to_owned());
        return Ok(step);
    };
    let version = locked_version(lock, name)
        .ok_or_else(|| format!("`{dependency}` in `rust_deps` is not in the lock, which is out of date"))?;
    step.argv.extend(["--locked", "--version", &format!("={version}"), name].map(str::to_owned));
    Ok(step)
}

/// The version of a package that only the root of the lock depends on: the highest, if there are several.
fn locked_version(lock: &str, name: &str) -> Option<String> {
    let lock = toml::de::DeTable::parse(lock).ok()?;
    let packages = lock.get_ref().get("package")?.get_ref().as_array()?;
    let text = |package: &toml::de::DeValue<'_>, key: &str| Some(package.get(key)?.get_ref().as_str()?.to_owned());
    let named = packages
        .iter()
        .map(|package| package.get_ref())
        .filter(|package| text(package, "name").as_deref() == Some(name));
    let versions = named.filter_map(|package| text(package, "version"));
    versions.max_by_key(|version| RuntimeVersion::parse(version))
}

/// `ripgrep@14` as name and version.
fn crate_of(dependency: &str) -> (&str, &str) {
    dependency.split_once('@').map_or((dependency, "*"), |(name, version)| (name, version.trim()))
}

/// A manifest that depends on these.
fn manifest_of(dependencies: &[&String]) -> String {
    let mut text =
        "[package]\nname = \"environment\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[lib]\npath = \"lib.rs\"\n\n\
                    # Stands alone, whatever lies above it.\n[workspace]\n\n[dependencies]\n"
            .to_owned();
    for dependency in dependencies {
        let (name, version) = crate_of(dependency);
        // As for cargo install: three numbers mean exactly that version.
        let is_exact = version.split('.').count() == 3 && version.starts_with(|letter: char| letter.is_ascii_digit());
        let version = if is_exact { format!("={version}") } else { version.to_owned() };
        text.push_str(&format!("{name:?} = {version:?}\n"));
    }
    text
}

/// Keeps an existing lock except for what may change.
fn update(upgrade: RuntimeUpgrade<'_>, cwd: &Path, cause: &str) -> InstallStep {
    let mut step = step(["cargo", "update", "--quiet"], cwd, cause);
    match upgrade {
        RuntimeUpgrade::Nothing => step.argv.push("--workspace".to_owned()),
        RuntimeUpgrade::Named(names) => step.argv.extend(names.iter().cloned()),
        RuntimeUpgrade::Everything => {}
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EnvVariables;

    #[test]
    fn a_lock_file_must_hold_and_local_crates_are_paths() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("Cargo.toml"), "").unwrap();
        std::fs::write(project.path().join("Cargo.lock"), "").unwrap();
        let variables = EnvVariables::default();
        let location = RuntimeLocation {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/rust"),
            root: project.path(),
            project: project.path(),
            version: None,
            lock: None,
            variables: &variables,
        };
        let dependencies = ["ripgrep@14".to_owned(), "./tool".to_owned()];
        let steps =
            RustRuntime.contents(&RuntimeInstallRequest { location, dependencies: &dependencies }).unwrap().steps;
        assert_eq!(steps[0].argv, ["cargo", "fetch", "--locked"]);
        assert_eq!(steps[1].argv, ["cargo", "install", "--version", "^14", "ripgrep"]);
        assert_eq!(steps[2].argv[..3], ["cargo", "install", "--path"]);
    }

    #[test]
    fn a_nightlys_version_is_understood() {
        assert_eq!(RustRuntime.version("cargo 1.97.0-nightly (abc 2026-01-01)").unwrap().to_string(), "1.97.0");
    }
}
