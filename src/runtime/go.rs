//! Go: installs programs with `go install` into the environment's folder; modules stay in the cache shared by all
//! projects.

use std::path::{Path, PathBuf};

use crate::model::EnvVariables;
use crate::runtime::failure::{FailurePatterns, ToolFailure};
use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest, RuntimeUpgrade};
use crate::runtime::manifest::{FolderDependencies, dependency_inputs, input, local_path, read, step};
use crate::runtime::outdated;
use crate::runtime::packing::{PackRequest, PackageForm};
use crate::runtime::ruby::dotted;
use crate::runtime::{
    InstallStep, OfflineSettings, Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeLocation, RuntimeVariables,
};

pub struct GoRuntime;

impl Runtime for GoRuntime {
    fn name(&self) -> &'static str {
        "go"
    }

    fn program(&self) -> Option<&'static str> {
        Some("go")
    }

    fn version_arguments(&self) -> &'static [&'static str] {
        &["version"]
    }

    /// `121` is 1.21.
    fn factor_version(&self, digits: &str) -> String {
        dotted(digits)
    }

    fn locations(&self) -> &'static [&'static str] {
        &[
            "/usr/local/go/bin",
            "/usr/lib/go-*/bin",
            "~/sdk/go*/bin",
            "$GOENV_ROOT/versions/*/bin",
            "~/.goenv/versions/*/bin",
            "$MISE_DATA_DIR/installs/go/*/bin",
            "$XDG_DATA_HOME/mise/installs/go/*/bin",
            "~/.local/share/mise/installs/go/*/bin",
            "$ASDF_DATA_DIR/installs/golang/*/go/bin",
            "~/.asdf/installs/golang/*/go/bin",
            "/opt/homebrew/opt/go*/bin",
            "/usr/local/opt/go*/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["gofmt"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["go.mod"]
    }

    fn remedy(&self) -> &'static str {
        "install Go (your system's `golang-go`, https://go.dev/dl, or a version manager such as goenv or mise)"
    }

    fn passes(&self) -> &'static [&'static str] {
        &[
            "GOPROXY",
            "GOSUMDB",
            "GONOSUMDB",
            "GONOPROXY",
            "GOPRIVATE",
            "GOINSECURE",
            "GOCACHE",
            "GOMODCACHE",
            "GOFLAGS",
            "CGO_*",
        ]
    }

    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables {
        let folder = location.folder.display().to_string();
        let mut variables = vec![("GOPATH".to_owned(), folder.clone()), ("GOBIN".to_owned(), format!("{folder}/bin"))];
        if let Some(cache) = module_cache(location.variables) {
            variables.push(("GOMODCACHE".to_owned(), cache));
        }
        if location.variables.get("GOTOOLCHAIN").is_none() {
            // Build with the requested version.
            variables.push(("GOTOOLCHAIN".to_owned(), "local".to_owned()));
        }
        RuntimeVariables { paths: vec![location.folder.join("bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let location = &request.location;
        let mut contents = RuntimeContents::default();
        if let Some(text) = read(&location.project.join("go.mod"))? {
            contents.inputs.push(input("go.mod", &text));
            if let Some(sums) = read(&location.project.join("go.sum"))? {
                contents.inputs.push(input("go.sum", &sums));
            }
            if names_modules(&text) && !location.project.join("vendor").join("modules.txt").is_file() {
                contents.steps.push(step(["go", "mod", "download"], location.project, "go.mod"));
                // Fails if go.sum is incomplete.
                let check = ["go", "list", "-mod=readonly", "-deps", "-test", "-f", "", "./..."];
                contents.steps.push(step(check, location.project, "go.sum"));
            }
        }
        for dependency in request.dependencies {
            contents.steps.push(match (local_path(dependency, location.root), location.lock) {
                (Some(path), _) => step(["go", "install", "."], &path, "go_deps"),
                (None, Some(lock)) => step(["go", "install", "-mod=readonly", path_of(dependency)], lock, "go_deps"),
                (None, None) => step(["go", "install", dependency], location.project, "go_deps"),
            });
        }
        contents.inputs.extend(dependency_inputs(request.dependencies, location.root, FolderDependencies::Copied));
        for name in location.lock.iter().flat_map(|lock| LOCK.map(|name| lock.join(name))) {
            contents.inputs.extend(read(&name)?.map(|text| input("lock", &text)));
        }
        if let Some(cache) = module_cache(location.variables) {
            for step in &mut contents.steps {
                // The download cache has the layout of a proxy, including which version is the latest.
                let proxy = ("GOPROXY".to_owned(), format!("file://{cache}/cache/download"));
                step.offline = Some(OfflineSettings { variables: vec![proxy], ..OfflineSettings::default() });
            }
        }
        Ok(contents)
    }

    fn failures(&self) -> FailurePatterns {
        &[
            ("missing go.sum entry", ToolFailure::Lock),
            ("updates to go.mod needed", ToolFailure::Lock),
            ("checksum mismatch", ToolFailure::Tampered),
            ("checksum error", ToolFailure::Tampered),
            ("inconsistent vendoring", ToolFailure::Lock),
            ("dial tcp", ToolFailure::Network),
            ("read tcp", ToolFailure::Network),
            (": EOF", ToolFailure::Network),
            ("GOPROXY=off", ToolFailure::Network),
            ("i/o timeout", ToolFailure::Network),
            ("unknown revision", ToolFailure::Unknown),
            ("no matching versions", ToolFailure::Unknown),
            ("404 Not Found", ToolFailure::Unknown),
            ("410 Gone", ToolFailure::Unknown),
            ("not found: ", ToolFailure::Unknown),
            ("build failed", ToolFailure::Compilation),
            ("syntax error", ToolFailure::Compilation),
            ("# ", ToolFailure::Compilation),
        ]
    }

    fn lock_command(&self, _project: &Path) -> &'static str {
        "go mod tidy"
    }

    fn package(&self) -> Option<PackageForm> {
        Some(PackageForm { word: "binary", ending: None })
    }

    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        let project = request.location.project;
        if !project.join("go.mod").is_file() {
            return Err(format!("there is no go.mod in {}", project.display()));
        }
        Ok(vec![step(["go", "build", "-o", &format!("{}/", request.results.display()), "./..."], project, "go.mod")])
    }

    /// The project's own modules are locked in its go.mod and go.sum, the programs of `go_deps` in a module of their
    /// own.
    fn newer(&self, file: &LockFile) -> Option<outdated::OutdatedQuery> {
        file.kept.ends_with("go.mod").then(|| outdated::go(&file.kept))
    }

    fn locking(&self, request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        let location = &request.contents.location;
        let mut locking = Locking::default();
        if let Some(text) = read(&location.project.join("go.mod"))? {
            locking.inputs.push(input("go.mod", &text));
            lock_project(&mut locking, request)?;
        }
        let dependencies = request.contents.dependencies;
        locking.inputs.extend(dependency_inputs(dependencies, location.root, FolderDependencies::Copied));
        let named: Vec<&String> =
            dependencies.iter().filter(|dependency| local_path(dependency, location.root).is_none()).collect();
        if !named.is_empty() {
            lock_programs(&mut locking, request, &named)?;
        }
        Ok((!locking.steps.is_empty()).then_some(locking))
    }
}

/// The files of a lock.
const LOCK: [&str; 2] = ["go.mod", "go.sum"];

fn lock_project(locking: &mut Locking, request: &RuntimeLockRequest<'_>) -> Result<(), String> {
    let location = &request.contents.location;
    // Copies, so that no file is written halfway: go looks for the sums next to the given file.
    let scratch = location.folder.join("project");
    for name in LOCK {
        if let Some(text) = read(&location.project.join(name))? {
            locking.files.push((Path::new("project").join(name), text));
        }
        locking.results.push(LockFile::moved(&scratch, location.project, name));
    }
    let copy = format!("-modfile={}", scratch.join("go.mod").display());
    let mut upgrade = step(["go", "get", &copy, "-u"], location.project, "go.mod");
    match request.upgrade {
        RuntimeUpgrade::Nothing => {}
        RuntimeUpgrade::Named(names) => {
            upgrade.argv.extend(names.iter().cloned());
            locking.steps.push(upgrade);
        }
        RuntimeUpgrade::Everything => {
            upgrade.argv.push("./...".to_owned());
            locking.steps.push(upgrade);
        }
    }
    locking.steps.push(step(["go", "mod", "tidy", &copy], location.project, "go.mod"));
    Ok(())
}

fn lock_programs(locking: &mut Locking, request: &RuntimeLockRequest<'_>, named: &[&String]) -> Result<(), String> {
    let scratch = request.contents.location.folder;
    let known =
        if request.upgrade == RuntimeUpgrade::Everything { None } else { read(&request.folder.join("go.mod"))? };
    let is_known = known.is_some();
    if is_known && let Some(sums) = read(&request.folder.join("go.sum"))? {
        locking.files.push((PathBuf::from("go.sum"), sums));
    }
    locking.files.push((PathBuf::from("go.mod"), known.unwrap_or_else(|| b"module environment\n".to_vec())));
    let imports: String = named.iter().map(|one| format!("import _ \"{}\"\n", path_of(one))).collect();
    // A source file imports the programs; otherwise `go mod tidy` would remove them.
    let source = format!("//go:build tools\n\npackage environment\n\n{imports}");
    locking.files.push((PathBuf::from("tools.go"), source.into_bytes()));
    let mut get = step(["go", "get"], scratch, "go_deps");
    // Dependencies without a version stay as they are; `go mod tidy` adds new ones.
    let has_version = |one: &str| one.split_once('@').is_some_and(|(_, version)| version.starts_with('v'));
    let wanted = named.iter().filter(|one| !is_known || has_version(one));
    get.argv.extend(wanted.map(|one| (*one).clone()));
    if let RuntimeUpgrade::Named(names) = request.upgrade {
        get.argv.extend(names.iter().cloned());
    }
    if get.argv.len() > 2 {
        locking.steps.push(get);
    }
    locking.steps.push(step(["go", "mod", "tidy"], scratch, "go_deps"));
    locking.results.extend(["go.mod", "go.sum", "tools.go"].map(|name| LockFile::moved(scratch, request.folder, name)));
    Ok(())
}

/// A program's path without the version.
fn path_of(dependency: &str) -> &str {
    dependency.split('@').next().unwrap_or_default()
}

/// The module cache if `GOPATH` is not set for the environment.
fn module_cache(variables: &EnvVariables) -> Option<String> {
    let set = |name: &str| variables.text(name).filter(|text| !text.is_empty());
    set("GOMODCACHE")
        .or_else(|| Some(format!("{}/pkg/mod", set("GOPATH")?.split(':').next()?)))
        .or_else(|| Some(format!("{}/go/pkg/mod", set("HOME")?)))
}

fn names_modules(manifest: &[u8]) -> bool {
    String::from_utf8_lossy(manifest).lines().any(|line| line.trim_start().starts_with("require"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_fetched_only_where_there_are_any() {
        let project = tempfile::tempdir().unwrap();
        let variables = EnvVariables::default();
        let location = RuntimeLocation {
            env_dir: Path::new("/e"),
            folder: Path::new("/e/go"),
            root: project.path(),
            project: project.path(),
            version: None,
            lock: None,
            variables: &variables,
        };
        let commands = |text: &str| {
            std::fs::write(project.path().join("go.mod"), text).unwrap();
            let dependencies = ["example.org/x@v1".to_owned()];
            let contents =
                GoRuntime.contents(&RuntimeInstallRequest { location, dependencies: &dependencies }).unwrap();
            contents.steps.iter().map(|step| step.argv.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(commands("module x\ngo 1.19\n"), ["go install example.org/x@v1"]);
        assert_eq!(
            commands("module x\nrequire a v1\n"),
            ["go mod download", "go list -mod=readonly -deps -test -f  ./...", "go install example.org/x@v1"]
        );
    }

    #[test]
    fn the_module_cache_stays_the_users() {
        let variables = |name: &str, value: &str| [(name.into(), value.into())].into_iter().collect::<EnvVariables>();
        assert_eq!(module_cache(&variables("HOME", "/h")), Some("/h/go/pkg/mod".into()));
        assert_eq!(module_cache(&variables("GOPATH", "/a:/b")), Some("/a/pkg/mod".into()));
        assert_eq!(module_cache(&variables("GOMODCACHE", "/m")), Some("/m".into()));
    }

    #[test]
    fn what_go_says_of_its_version_is_understood() {
        assert_eq!(GoRuntime.version("go version go1.19.8 linux/amd64").unwrap().to_string(), "1.19.8");
    }
}
