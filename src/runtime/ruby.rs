//! Ruby: installs gems into the environment's folder, with `gem` for `ruby_deps` and Bundler for the project's
//! `Gemfile`.

use std::path::{Path, PathBuf};

use crate::runtime::failure::{FailurePatterns, ToolFailure};
use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest, RuntimeUpgrade};
use crate::runtime::manifest::{FolderDependencies, dependency_inputs, input, local_path, read, step};
use crate::runtime::outdated;
use crate::runtime::packing::{PackRequest, PackageDelivery, PackageForm};
use crate::runtime::{
    InstallStep, OfflineSettings, Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeLocation, RuntimeVariables,
};

pub struct RubyRuntime;

impl Runtime for RubyRuntime {
    fn name(&self) -> &'static str {
        "ruby"
    }

    fn program(&self) -> Option<&'static str> {
        Some("ruby")
    }

    /// `31` is 3.1, as rbenv's users write it.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn locations(&self) -> &'static [&'static str] {
        &[
            "$RBENV_ROOT/versions/*/bin",
            "~/.rbenv/versions/*/bin",
            "$rvm_path/rubies/ruby-*/bin",
            "~/.rvm/rubies/ruby-*/bin",
            "/usr/local/rvm/rubies/ruby-*/bin",
            "~/.rubies/*/bin",
            "/opt/rubies/*/bin",
            "$MISE_DATA_DIR/installs/ruby/*/bin",
            "$XDG_DATA_HOME/mise/installs/ruby/*/bin",
            "~/.local/share/mise/installs/ruby/*/bin",
            "$ASDF_DATA_DIR/installs/ruby/*/bin",
            "~/.asdf/installs/ruby/*/bin",
            "/opt/homebrew/opt/ruby*/bin",
            "/usr/local/opt/ruby*/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["gem", "bundle", "bundler", "irb", "erb", "rake", "rdoc", "ri"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["Gemfile", "*.gemspec"]
    }

    fn remedy(&self) -> &'static str {
        "install Ruby (your system's `ruby` and `ruby-bundler`, or a version manager such as rbenv, rvm, chruby or mise)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &["BUNDLE_*", "RUBYGEMS_*", "GEM_HOST_*", "GEMRC"]
    }

    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables {
        let folder = location.folder.display().to_string();
        let mut variables = vec![
            ("GEM_HOME".to_owned(), folder.clone()),
            ("GEM_PATH".to_owned(), folder.clone()),
            // Settings of `bundle config` in the project may install gems elsewhere.
            ("BUNDLE_APP_CONFIG".to_owned(), format!("{folder}/.bundle")),
            // Nothing on the machine is changed, even when run as root.
            ("BUNDLE_SILENCE_ROOT_WARNING".to_owned(), "true".to_owned()),
        ];
        if location.variables.get("BUNDLE_GLOBAL_GEM_CACHE").is_none() {
            // Environments share downloaded gems.
            variables.push(("BUNDLE_GLOBAL_GEM_CACHE".to_owned(), "true".to_owned()));
        }
        let folders = location.lock.into_iter().chain([location.project]);
        if let Some(folder) = folders.into_iter().find(|folder| folder.join("Gemfile").is_file())
            && location.variables.get("BUNDLE_GEMFILE").is_none()
        {
            variables.push(("BUNDLE_GEMFILE".to_owned(), folder.join("Gemfile").display().to_string()));
            if folder.join("Gemfile.lock").is_file() {
                variables.push(("BUNDLE_FROZEN".to_owned(), "true".to_owned()));
            }
        }
        RuntimeVariables { paths: vec![location.folder.join("bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let mut contents = RuntimeContents::default();
        for dependency in request.dependencies {
            // The lock contains every dependency that is not a local file.
            if request.location.lock.is_none() || local_path(dependency, request.location.root).is_some() {
                contents.steps.push(install_gem(dependency, request)?);
            }
        }
        contents.inputs.extend(dependency_inputs(
            request.dependencies,
            request.location.root,
            FolderDependencies::Copied,
        ));
        // The lock's Gemfile evaluates the project's.
        let locked = request.location.lock.filter(|folder| folder.join("Gemfile").is_file());
        add_bundle(&mut contents, locked.unwrap_or(request.location.project), &request.location)?;
        Ok(contents)
    }

    fn failures(&self) -> FailurePatterns {
        &[
            ("after changing\nyour Gemfile", ToolFailure::Lock),
            ("is frozen", ToolFailure::Lock),
            ("frozen mode", ToolFailure::Lock),
            ("deployment setting requires", ToolFailure::Lock),
            ("lockfile is corrupt", ToolFailure::Lock),
            ("mismatched checksums", ToolFailure::Tampered),
            ("native extension", ToolFailure::Compilation),
            ("Could not reach host", ToolFailure::Network),
            ("Unable to download data", ToolFailure::Network),
            ("Net::OpenTimeout", ToolFailure::Network),
            ("Network error", ToolFailure::Network),
            ("Could not fetch specs", ToolFailure::Network),
            ("Could not find", ToolFailure::Unknown),
            ("could not find compatible versions", ToolFailure::Unknown),
        ]
    }

    fn lock_command(&self, _project: &Path) -> &'static str {
        "bundle lock"
    }

    fn package(&self) -> Option<PackageForm> {
        Some(PackageForm { word: "gem", ending: Some(".gem") })
    }

    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        let project = request.location.project;
        let found = gemspecs(project);
        if found.is_empty() {
            return Err(format!("there is no gemspec in {}", project.display()));
        }
        let build = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let result = request.results.join(path.with_extension("gem").file_name().unwrap_or_default());
            let mut step = step(["gem", "build", &name, "--output", &result.display().to_string()], project, &name);
            if request.location.variables.get("SOURCE_DATE_EPOCH").is_none() {
                step.variables.push(("SOURCE_DATE_EPOCH".to_owned(), SOURCE_DATE.to_owned()));
            }
            step
        };
        Ok(found.iter().map(build).collect())
    }

    fn deliver(&self, location: &RuntimeLocation<'_>, packages: &[PathBuf]) -> PackageDelivery {
        let mut step =
            step(["gem", "install", "--no-document", "--env-shebang", "--minimal-deps"], location.env_dir, "package");
        step.argv.extend(packages.iter().map(|path| path.display().to_string()));
        PackageDelivery::Steps(vec![step])
    }

    /// The gems of the `Gemfile` are locked next to it; with `ruby_deps`, both together in a `Gemfile` that evaluates
    /// it.
    fn newer(&self, file: &LockFile) -> Option<outdated::OutdatedQuery> {
        file.kept.ends_with("Gemfile.lock").then(|| outdated::bundler(&file.kept))
    }

    fn locking(&self, request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        let location = &request.contents.location;
        let scratch = location.folder;
        let mut locking = Locking::default();
        let gemfile = read(&location.project.join("Gemfile"))?;
        locking.inputs.extend(gemfile.iter().map(|text| input("Gemfile", text)));
        let dependencies = request.contents.dependencies;
        locking.inputs.extend(dependency_inputs(dependencies, location.root, FolderDependencies::Copied));
        let named: Vec<&String> =
            dependencies.iter().filter(|dependency| local_path(dependency, location.root).is_none()).collect();
        let (gemfile, kept) = match (gemfile, named.is_empty()) {
            (None, true) => return Ok(None),
            (Some(_), true) => (location.project.join("Gemfile"), location.project),
            (above, false) => {
                let above = above.map(|_| way_up(location.project, request.folder));
                locking.files.push((PathBuf::from("Gemfile"), gemfile_of(&named, above.as_deref())?.into_bytes()));
                locking.results.push(LockFile::moved(scratch, request.folder, "Gemfile"));
                (scratch.join("Gemfile"), request.folder)
            }
        };
        // Bundler changes as little as possible compared with an existing lock.
        let lock = scratch.join("Gemfile.lock");
        if request.upgrade != RuntimeUpgrade::Everything
            && let Some(text) = read(&kept.join("Gemfile.lock"))?
        {
            locking.files.push((PathBuf::from("Gemfile.lock"), text));
        }
        let mut step = step(["bundle", "lock", "--lockfile", &lock.display().to_string()], scratch, "Gemfile");
        match request.upgrade {
            RuntimeUpgrade::Nothing => {}
            RuntimeUpgrade::Named(names) => {
                step.argv.push("--update".to_owned());
                step.argv.extend(names.iter().cloned());
            }
            // It would also read a lock next to the Gemfile.
            RuntimeUpgrade::Everything => step.argv.push("--update".to_owned()),
        }
        step.variables = vec![
            ("BUNDLE_GEMFILE".to_owned(), gemfile.display().to_string()),
            ("BUNDLE_FROZEN".to_owned(), "false".to_owned()),
        ];
        locking.steps.push(step);
        locking.results.push(LockFile { made: lock, kept: kept.join("Gemfile.lock") });
        Ok(Some(locking))
    }
}

/// A fixed build time makes builds of the same sources identical.
const SOURCE_DATE: &str = "315619200";

fn gemspecs(project: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "gemspec")).collect();
    found.sort();
    found
}

/// Installs the gems of the `Gemfile` in `folder`, exactly as its lock lists them if there is one.
fn add_bundle(contents: &mut RuntimeContents, folder: &Path, location: &RuntimeLocation<'_>) -> Result<(), String> {
    let project = location.project;
    let Some(gemfile) = read(&folder.join("Gemfile"))? else { return Ok(()) };
    contents.inputs.push(input("Gemfile", &gemfile));
    let lock = read(&folder.join("Gemfile.lock"))?;
    if let Some(lock) = &lock {
        contents.inputs.push(input("Gemfile.lock", lock));
    }
    let cause = if lock.is_some() { "Gemfile.lock" } else { "Gemfile" };
    let mut bundle = step(["bundle", "install"], project, cause);
    bundle.variables.push(("BUNDLE_GEMFILE".to_owned(), folder.join("Gemfile").display().to_string()));
    if lock.is_some() {
        bundle.variables.push(("BUNDLE_FROZEN".to_owned(), "true".to_owned()));
    }
    let cache = project.join("vendor").join("cache");
    if has_gems(&cache) {
        // The project contains its gems: no index is needed.
        bundle.argv.push("--local".to_owned());
        bundle.variables.push(("BUNDLE_CACHE_PATH".to_owned(), cache.display().to_string()));
    } else {
        bundle.offline = Some(offline(location));
    }
    contents.steps.push(bundle);
    Ok(())
}

/// Bundler uses the user's cache only for gems that an index lists, so the gems of all indexes are gathered in one
/// folder, as if the project contained them.
fn offline(location: &RuntimeLocation<'_>) -> OfflineSettings {
    let set = |name: &str, below: &str| {
        let folder = location.variables.text(name).filter(|text| !text.is_empty())?;
        Some(PathBuf::from(folder).join(below))
    };
    let cache = set("BUNDLE_USER_CACHE", "")
        .or_else(|| set("BUNDLE_USER_HOME", "cache"))
        .or_else(|| set("HOME", ".bundle/cache"));
    let gems = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let indexes = cache.map(|cache| gems(cache.join("gems"))).unwrap_or_default();
    let mut files: Vec<PathBuf> = indexes.into_iter().flat_map(gems).collect();
    files.sort();
    let folder = location.folder.join(".offline");
    OfflineSettings {
        arguments: vec!["--local".to_owned()],
        variables: vec![("BUNDLE_CACHE_PATH".to_owned(), folder.display().to_string())],
        gathered: Some((folder, files)),
    }
}

/// The relative path from `folder` below the project's root to the project's `Gemfile`.
fn way_up(project: &Path, folder: &Path) -> String {
    crate::runtime::manifest::way_from(folder, &project.join("Gemfile")).display().to_string()
}

/// A `Gemfile` with these gems and those of the `Gemfile` at `above`.
fn gemfile_of(dependencies: &[&String], above: Option<&str>) -> Result<String, String> {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let mut text = match above {
        Some(path) => format!("eval_gemfile {}\n", quoted(path)),
        None => "source 'https://rubygems.org'\n".to_owned(),
    };
    for dependency in dependencies {
        let (name, requirement) = gem_of(dependency)?;
        let requirements = requirement.split(',').map(str::trim).filter(|one| !one.is_empty());
        let words: Vec<String> = std::iter::once(name).chain(requirements).map(quoted).collect();
        text.push_str(&format!("gem {}\n", words.join(", ")));
    }
    Ok(text)
}

/// `rack`, `rack ~> 3.0` or a gem's file.
fn install_gem(dependency: &str, request: &RuntimeInstallRequest<'_>) -> Result<InstallStep, String> {
    let mut step = step(["gem", "install", "--no-document", "--env-shebang"], request.location.project, "ruby_deps");
    if let Some(path) = local_path(dependency, request.location.root) {
        step.argv.push(path.display().to_string());
        return Ok(step);
    }
    let (name, requirement) = gem_of(dependency)?;
    step.argv.push(name.to_owned());
    if !requirement.is_empty() {
        step.argv.extend(["--version".to_owned(), requirement.to_owned()]);
    }
    Ok(step)
}

/// The gem's name and its version requirement.
fn gem_of(dependency: &str) -> Result<(&str, &str), String> {
    let (name, requirement) = dependency.split_once(char::is_whitespace).unwrap_or((dependency, ""));
    if name.starts_with('-') {
        return Err(format!(
            "`{dependency}` in `ruby_deps` is not a gem; write NAME or NAME VERSION, such as `rack ~> 3.0`"
        ));
    }
    Ok((name, requirement.trim()))
}

fn has_gems(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().extension().is_some_and(|extension| extension == "gem"))
}

/// `31` as `3.1`; a version with a dot is left alone.
pub fn dotted(digits: &str) -> String {
    match digits.split_at_checked(1) {
        Some((major, minor)) if !digits.contains('.') && !minor.is_empty() => format!("{major}.{minor}"),
        _ => digits.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EnvVariables;

    fn contents(project: &Path, dependencies: &[&str]) -> Result<RuntimeContents, String> {
        let dependencies: Vec<String> = dependencies.iter().map(|text| (*text).to_owned()).collect();
        let variables = EnvVariables::default();
        let location = RuntimeLocation {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/ruby"),
            root: project,
            project,
            version: None,
            lock: None,
            variables: &variables,
        };
        RubyRuntime.contents(&RuntimeInstallRequest { location, dependencies: &dependencies })
    }

    #[test]
    fn gems_are_named_as_in_a_gemfile() {
        let project = tempfile::tempdir().unwrap();
        let steps = contents(project.path(), &["rack ~> 3.0", "puma", "./a.gem"]).unwrap().steps;
        assert_eq!(steps[0].argv[4..], ["rack", "--version", "~> 3.0"]);
        assert_eq!(steps[1].argv[4..], ["puma"]);
        assert_eq!(steps[2].argv[4..], [project.path().join("./a.gem").display().to_string()]);
        assert!(contents(project.path(), &["--source x"]).unwrap_err().contains("`--source x` in `ruby_deps`"));
    }

    #[test]
    fn bundler_takes_the_gems_that_come_with_the_project() {
        let project = tempfile::tempdir().unwrap();
        std::fs::write(project.path().join("Gemfile"), "").unwrap();
        assert_eq!(contents(project.path(), &[]).unwrap().steps[0].argv, ["bundle", "install"]);
        std::fs::create_dir_all(project.path().join("vendor/cache")).unwrap();
        std::fs::write(project.path().join("vendor/cache/a-1.gem"), "").unwrap();
        assert_eq!(contents(project.path(), &[]).unwrap().steps[0].argv, ["bundle", "install", "--local"]);
    }

    #[test]
    fn two_digits_are_two_numbers() {
        assert_eq!((dotted("31"), dotted("3"), dotted("3.1")), ("3.1".into(), "3".into(), "3.1".into()));
    }
}
