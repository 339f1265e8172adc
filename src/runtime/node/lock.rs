//! Writes locks of Node.js projects with their package managers.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::runtime::locking::{LockFile, Locking, RuntimeLockRequest, RuntimeUpgrade};
use crate::runtime::manifest::{FolderDependencies, dependency_inputs, input, local_path, read, way_from};
use crate::runtime::node::manager::NodeManager;
use crate::runtime::node::project::{MANIFEST, NodeManifest};
use crate::runtime::node::{EMPTY_MANIFEST, step};
use crate::runtime::{RuntimeContents, RuntimeInstallRequest};

/// The lock of the project's manifest, next to it; with `node_deps`, the lock of both together, in a folder of its own.
pub fn locking(request: &RuntimeLockRequest<'_>) -> Result<Option<Locking>, String> {
    let contents = &request.contents;
    let project = NodeManifest::find(&contents.location)?;
    if !contents.dependencies.is_empty() {
        return together(request, project.as_ref()).map(Some);
    }
    project.map(|project| next_to_manifest(request, &project)).transpose()
}

fn next_to_manifest(request: &RuntimeLockRequest<'_>, project: &NodeManifest) -> Result<Locking, String> {
    let name = project.lock.unwrap_or(project.manager.lock_name());
    let kept = project.folder.join(name);
    let inputs = project.inputs()?;
    let argv = project.manager.lock(upgraded(request.upgrade));
    if project.manager != NodeManager::Yarn {
        let mut locking = Locking { inputs, results: vec![LockFile::next_to(kept)], ..Locking::default() };
        locking.steps.push(step(argv, &project.folder, MANIFEST));
        return Ok(locking);
    }
    // The manager has to install, which must not happen next to the sources.
    let scratch = request.contents.location.folder;
    let mut copy = RuntimeContents::default();
    project.copy_to(scratch, &mut copy)?;
    Ok(Locking {
        files: copy.files,
        steps: vec![step(argv, scratch, MANIFEST)],
        results: vec![LockFile { made: scratch.join(name), kept }],
        inputs,
    })
}

fn together(request: &RuntimeLockRequest<'_>, project: Option<&NodeManifest>) -> Result<Locking, String> {
    let contents = &request.contents;
    let (scratch, root) = (contents.location.folder, contents.location.root);
    if let Some(project) = project.filter(|project| project.is_workspace()) {
        return Err(format!(
            "`node_deps` cannot be locked together with the workspace in {}: name them in its package.json",
            project.folder.display()
        ));
    }
    let manager = project.map_or(NodeManager::Npm, |project| project.manager);
    let lock_name = project.and_then(|project| project.lock).unwrap_or(manager.lock_name());
    let mut copy = RuntimeContents::default();
    let mut inputs = project.map(NodeManifest::inputs).transpose()?.unwrap_or_default();
    match project {
        Some(project) => project.copy_to(scratch, &mut copy)?,
        None => {
            copy.files.push((PathBuf::from(MANIFEST), EMPTY_MANIFEST.into()));
            let settings = NodeManifest::settings_alone(contents.location.project)?;
            inputs.extend(settings.iter().map(|(name, text)| input(&name.display().to_string(), text)));
            copy.files.extend(settings);
        }
    }
    for (_, text) in copy.files.iter_mut().filter(|(name, _)| name == Path::new(MANIFEST)) {
        *text = with_dependencies(text, contents)?;
    }
    if request.upgrade == RuntimeUpgrade::Everything {
        copy.files.retain(|(name, _)| name != Path::new(lock_name));
    } else if let Some(known) = read(&request.folder.join(lock_name))? {
        copy.files.retain(|(name, _)| name != Path::new(lock_name));
        copy.files.push((PathBuf::from(lock_name), known));
    }
    let upgrade = if request.upgrade == RuntimeUpgrade::Everything { RuntimeUpgrade::Nothing } else { request.upgrade };
    inputs.extend(dependency_inputs(contents.dependencies, root, FolderDependencies::Linked(MANIFEST)));
    Ok(Locking {
        steps: vec![step(manager.lock(upgraded(upgrade)), scratch, "node_deps")],
        results: [MANIFEST, lock_name].map(|name| LockFile::moved(scratch, request.folder, name)).to_vec(),
        files: copy.files,
        inputs,
    })
}

/// `None` if everything may change.
fn upgraded(upgrade: RuntimeUpgrade<'_>) -> Option<&[String]> {
    match upgrade {
        RuntimeUpgrade::Nothing => Some(&[]),
        RuntimeUpgrade::Named(names) => Some(names),
        RuntimeUpgrade::Everything => None,
    }
}

fn with_dependencies(manifest: &[u8], request: &RuntimeInstallRequest<'_>) -> Result<Vec<u8>, String> {
    let mut manifest: Value = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let mut added = Map::new();
    for dependency in request.dependencies {
        let (name, wanted) = named(dependency, request)?;
        added.insert(name, Value::from(wanted));
    }
    if let Some(table) = manifest.as_object_mut() {
        match table.entry("dependencies").or_insert_with(|| Value::Object(Map::new())) {
            Value::Object(known) => known.extend(added),
            other => *other = Value::Object(added),
        }
    }
    serde_json::to_vec_pretty(&manifest).map_err(|error| error.to_string())
}

/// A dependency's name and version requirement, as in a manifest.
fn named(dependency: &str, request: &RuntimeInstallRequest<'_>) -> Result<(String, String), String> {
    if let Some(path) = local_path(dependency, request.location.root) {
        let name = NodeManifest::read(&path, &path)?
            .and_then(|project| Some(project.manifest.get("name")?.as_str()?.to_owned()));
        let name = name.ok_or_else(|| format!("`{dependency}` in `node_deps` has no package.json with a name"))?;
        return Ok((name, format!("file:{}", way_from(request.location.folder, &path).display())));
    }
    let (scope, rest) = match dependency.strip_prefix('@') {
        Some(rest) => ("@", rest),
        None => ("", dependency),
    };
    let (name, wanted) = rest.split_once('@').unwrap_or((rest, ""));
    let slashes = if scope.is_empty() { 0 } else { 1 };
    if name.is_empty() || name.contains(':') || name.matches('/').count() != slashes || name.starts_with('-') {
        return Err(format!(
            "`{dependency}` in `node_deps` names no package, without which it cannot be locked; write NAME@{dependency}"
        ));
    }
    let wanted = if wanted.is_empty() { "*" } else { wanted };
    Ok((format!("{scope}{name}"), wanted.to_owned()))
}
