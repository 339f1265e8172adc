//! Reads a Node.js project and copies its manifest into the environment, because package managers install next to a
//! manifest. Folders that belong to it, members of a workspace and local packages, are copied to the same relative
//! paths, with links to their sources.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::python_text::glob_paths::paths_below;
use crate::runtime::manifest::{input, normal, read, way_from};
use crate::runtime::node::manager::NodeManager;
use crate::runtime::{RuntimeContents, RuntimeLink, RuntimeLocation};

pub const MANIFEST: &str = "package.json";
const PNPM_WORKSPACE: &str = "pnpm-workspace.yaml";

/// The sources of the copy's members, for the resolver.
const MEMBERS: &str = "members.json";

/// Scripts of the project itself that npm would run: its sources are not where its manifest is copied to.
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

const NPM_SETTINGS: &str = ".npmrc";

const SETTINGS: [&str; 5] = [NPM_SETTINGS, ".yarnrc", ".yarnrc.yml", PNPM_WORKSPACE, ".pnpmfile.cjs"];

/// The parts of `.yarn` that an installation reads.
const YARN_FOLDERS: [&str; 5] = ["cache", "patches", "plugins", "releases", "versions"];

const DEPENDENCIES: [&str; 4] = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];

/// A manifest with the files that belong to it.
pub struct NodeManifest {
    /// The folder of the manifest to install: a workspace's root if the commands run in one of its members.
    pub folder: PathBuf,
    pub manifest: Value,
    pub manager: NodeManager,
    /// The lock file's name.
    pub lock: Option<&'static str>,
    /// The folder with the package manager's settings.
    settings: PathBuf,
    text: Vec<u8>,
    /// Folders below, relative: members of the workspace and local packages.
    members: Vec<PathBuf>,
}

impl NodeManifest {
    /// The project of `location`; `None` if there is no manifest.
    pub fn find(location: &RuntimeLocation<'_>) -> Result<Option<Self>, String> {
        let Some(project) = Self::read(location.project, location.project)? else { return Ok(None) };
        if project.lock.is_some() || !location.project.starts_with(location.root) {
            return Ok(Some(project));
        }
        for folder in location.project.ancestors().skip(1).take_while(|folder| folder.starts_with(location.root)) {
            if let Some(above) = Self::read(folder, folder)?
                && above.members.iter().any(|member| folder.join(member) == location.project)
            {
                return Ok(Some(above));
            }
        }
        Ok(Some(project))
    }

    /// The project with its manifest in `folder` and its settings in `settings`.
    pub fn read(folder: &Path, settings: &Path) -> Result<Option<Self>, String> {
        let Some(text) = read(&folder.join(MANIFEST))? else { return Ok(None) };
        let manifest = parse(folder, &text)?;
        let (manager, lock) = NodeManager::of(folder, settings, &manifest);
        let mut members = workspace_members(folder, &manifest)?;
        add_local_packages(folder, &manifest, &mut members)?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            manifest,
            manager,
            lock,
            settings: settings.to_owned(),
            text,
            members,
        }))
    }

    /// npm's settings in a folder without a manifest.
    pub fn settings_alone(folder: &Path) -> Result<Option<(PathBuf, Vec<u8>)>, String> {
        Ok(read(&folder.join(NPM_SETTINGS))?.map(|text| (PathBuf::from(NPM_SETTINGS), text)))
    }

    pub fn is_workspace(&self) -> bool {
        self.manifest.get("workspaces").is_some() || self.folder.join(PNPM_WORKSPACE).is_file()
    }

    /// All inputs of an installation, except its lock.
    pub fn inputs(&self) -> Result<Vec<String>, String> {
        let mut inputs = vec![input(MANIFEST, &self.text)];
        for name in SETTINGS {
            if let Some(text) = read(&self.settings.join(name))? {
                inputs.push(input(name, &text));
            }
        }
        for member in &self.members {
            if let Some(text) = read(&self.folder.join(member).join(MANIFEST))? {
                inputs.push(input(&member.join(MANIFEST).display().to_string(), &text));
            }
        }
        Ok(inputs)
    }

    /// Adds the project's files that a package manager needs to `contents`, for the folder `target`.
    pub fn copy_to(&self, target: &Path, contents: &mut RuntimeContents) -> Result<(), String> {
        contents.inputs.extend(self.inputs()?);
        contents.files.push((PathBuf::from(MANIFEST), self.manifest_for(target)));
        for name in SETTINGS {
            if let Some(text) = read(&self.settings.join(name))? {
                contents.files.push((PathBuf::from(name), text));
            }
        }
        if let Some(name) = self.lock
            && let Some(text) = read(&self.folder.join(name))?
        {
            contents.inputs.push(input(name, &text));
            let text = if self.manager == NodeManager::Npm { self.lock_for(target, &text)? } else { text };
            contents.files.push((PathBuf::from(name), text));
        }
        for name in YARN_FOLDERS.map(|name| Path::new(".yarn").join(name)) {
            let source = self.settings.join(&name);
            if source.is_dir() {
                contents.links.push(RuntimeLink { location: name, target: source });
            }
        }
        self.mirror_members(contents)
    }

    /// Copies each member's manifest without its lifecycle scripts, with links to all its other files.
    fn mirror_members(&self, contents: &mut RuntimeContents) -> Result<(), String> {
        for member in &self.members {
            let source = self.folder.join(member);
            let Some(text) = read(&source.join(MANIFEST))? else { continue };
            let manifest = without_lifecycle(parse(&source, &text)?);
            contents.files.push((member.join(MANIFEST), manifest.to_string().into_bytes()));
            for name in names_in(&source) {
                // A member inside this one gets its own copy.
                let location = member.join(&name);
                let is_open = name == MANIFEST || name == "node_modules" || name == ".tox";
                if is_open || self.members.iter().any(|other| other.starts_with(&location)) {
                    continue;
                }
                contents.inputs.push(location.display().to_string());
                contents.links.push(RuntimeLink { location, target: source.join(name) });
            }
        }
        if !self.members.is_empty() {
            let locations: Vec<Value> =
                self.members.iter().map(|member| json!([self.folder.join(member), member])).collect();
            contents.files.push((PathBuf::from(MEMBERS), Value::from(locations).to_string().into_bytes()));
        }
        Ok(())
    }

    fn manifest_for(&self, target: &Path) -> Vec<u8> {
        let mut manifest = without_lifecycle(self.manifest.clone());
        for key in DEPENDENCIES {
            let Some(table) = manifest.get_mut(key).and_then(Value::as_object_mut) else { continue };
            for value in table.values_mut() {
                if let Some(moved) = value.as_str().and_then(|text| self.moved_reference(text, target)) {
                    *value = Value::from(moved);
                }
            }
        }
        manifest.to_string().into_bytes()
    }

    /// `file:../x` rewritten for `target`; `None` if no change is needed.
    fn moved_reference(&self, text: &str, target: &Path) -> Option<String> {
        let (kind, path) = text.split_once(':').filter(|(kind, _)| ["file", "link", "portal"].contains(kind))?;
        Some(format!("{kind}:{}", self.moved_path(path, target)?))
    }

    /// A relative path that leads out of the project, rewritten for `target`.
    fn moved_path(&self, path: &str, target: &Path) -> Option<String> {
        if path.starts_with('/') || !normal(Path::new(path)).starts_with("..") {
            return None;
        }
        Some(way_from(target, &self.folder.join(path)).display().to_string())
    }

    /// npm's lock names local packages by their paths as well.
    fn lock_for(&self, target: &Path, text: &[u8]) -> Result<Vec<u8>, String> {
        let leads_out = text.windows(3).any(|bytes| bytes == b"../");
        if !leads_out {
            return Ok(text.to_vec());
        }
        let name = self.lock.unwrap_or_default();
        let mut lock: Value = serde_json::from_slice(text)
            .map_err(|error| format!("{} is not valid JSON: {error}", self.folder.join(name).display()))?;
        let Some(packages) = lock.get_mut("packages").and_then(Value::as_object_mut) else { return Ok(text.to_vec()) };
        let old = std::mem::take(packages);
        for (key, mut package) in old {
            for table in DEPENDENCIES {
                let Some(table) = package.get_mut(table).and_then(Value::as_object_mut) else { continue };
                for value in table.values_mut() {
                    if let Some(moved) = value.as_str().and_then(|text| self.moved_reference(text, target)) {
                        *value = Value::from(moved);
                    }
                }
            }
            if let Some(resolved) = package.get("resolved").and_then(Value::as_str) {
                let moved = self.moved_reference(resolved, target).or_else(|| self.moved_path(resolved, target));
                if let Some(moved) = moved {
                    package["resolved"] = Value::from(moved);
                }
            }
            let key = self.moved_path(&key, target).unwrap_or(key);
            packages.insert(key, package);
        }
        Ok(lock.to_string().into_bytes())
    }
}

fn parse(folder: &Path, text: &[u8]) -> Result<Value, String> {
    let path = folder.join(MANIFEST);
    let manifest: Value =
        serde_json::from_slice(text).map_err(|error| format!("{} is not valid JSON: {error}", path.display()))?;
    if manifest.is_object() { Ok(manifest) } else { Err(format!("{} is not a JSON object", path.display())) }
}

fn without_lifecycle(mut manifest: Value) -> Value {
    if let Some(scripts) = manifest.get_mut("scripts").and_then(Value::as_object_mut) {
        scripts.retain(|name, _| !LIFECYCLE.contains(&name.as_str()));
    }
    manifest
}

/// The folders that match the workspace's patterns and have a manifest.
fn workspace_members(folder: &Path, manifest: &Value) -> Result<Vec<PathBuf>, String> {
    let mut patterns: Vec<String> = match read(&folder.join(PNPM_WORKSPACE))? {
        Some(text) => pnpm_patterns(&String::from_utf8_lossy(&text)),
        None => Vec::new(),
    };
    let named = manifest.get("workspaces");
    let named = named.and_then(|value| value.as_array().or_else(|| value.get("packages")?.as_array()));
    patterns.extend(named.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    let mut members: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let (pattern, is_excluded) = match pattern.strip_prefix('!') {
            Some(rest) => (rest.to_owned(), true),
            None => (pattern, false),
        };
        let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
        let found = paths_below(folder, pattern)
            .map_err(|error| format!("`workspaces` of {}: {error}", folder.join(MANIFEST).display()))?;
        for path in found {
            let Ok(member) = path.strip_prefix(folder).map(normal) else { continue };
            let is_installed = member.components().any(|part| part.as_os_str() == "node_modules");
            if is_excluded {
                members.retain(|other| *other != member);
            } else if !is_installed && path.join(MANIFEST).is_file() && !members.contains(&member) {
                members.push(member);
            }
        }
    }
    members.retain(|member| !member.as_os_str().is_empty());
    Ok(members)
}

/// The folders below the project that dependencies of it and of its members name as local packages.
fn add_local_packages(folder: &Path, manifest: &Value, members: &mut Vec<PathBuf>) -> Result<(), String> {
    let mut next = 0;
    let mut names = local_references(manifest, Path::new(""));
    loop {
        for name in names {
            let is_inside = !name.as_os_str().is_empty() && !name.starts_with("..") && !name.is_absolute();
            if is_inside && folder.join(&name).join(MANIFEST).is_file() && !members.contains(&name) {
                members.push(name);
            }
        }
        let Some(member) = members.get(next).cloned() else { return Ok(()) };
        next += 1;
        let source = folder.join(&member);
        names = match read(&source.join(MANIFEST))? {
            Some(text) => local_references(&parse(&source, &text)?, &member),
            None => Vec::new(),
        };
    }
}

fn local_references(manifest: &Value, below: &Path) -> Vec<PathBuf> {
    let tables = DEPENDENCIES.iter().filter_map(|key| manifest.get(key)?.as_object());
    let values = tables.flat_map(|table| table.values()).filter_map(Value::as_str);
    let paths = values.filter_map(|text| {
        text.strip_prefix("file:").or_else(|| text.strip_prefix("link:")).or_else(|| text.strip_prefix("portal:"))
    });
    paths.map(|path| normal(&below.join(path))).collect()
}

/// The list `packages` of a pnpm-workspace.yaml, with one pattern per line.
fn pnpm_patterns(text: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with("packages:")).skip(1);
    lines
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map_while(|line| line.strip_prefix("- "))
        .map(|entry| entry.trim().trim_matches(['\'', '"']).to_owned())
        .collect()
}

/// The names in a folder, in order.
fn names_in(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    names
}
