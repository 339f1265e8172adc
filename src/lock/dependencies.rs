//! Determines which locked package requires which, for `envo graph` and `envo sbom`: from the cache, the resolver or the
//! installed packages.

use anyhow::{Result, anyhow};

use crate::install::uv_lock::UvLockRequest;
use crate::lock::ecosystems::locked::LeftOutLocks;
use crate::lock::graph::{PackageEdges, PackageGraph, edges_of_annotations, edges_of_installed};
use crate::lock::project::ProjectLocks;
use crate::lock::resolve::LockResolver;
use crate::lockfile::document::{LockDocument, LockedPackage};
use crate::model::InterpreterLookup as _;
use crate::model::pep508::canonical_name;
use crate::runtime::cache;

/// The folder in envo's cache for dependencies, which are valid as long as the lock is unchanged.
const CACHE: &str = "graphs-2";

/// The graphs of the environments that were named, else of all, and the locks that envo does not read.
pub fn graphs(locks: &ProjectLocks<'_>) -> Result<(Vec<PackageGraph>, LeftOutLocks)> {
    let documents = locks.documents()?;
    let languages = locks.languages(&[])?;
    let mut graphs = Vec::new();
    for (name, document) in &documents {
        let graph = graph(locks, name, document)
            .map_err(|reason| anyhow!("cannot determine the dependencies in {name}: {reason}"))?;
        graphs.push(graph);
    }
    graphs.extend(
        languages.read.iter().map(|one| PackageGraph::of_language(&one.environment, &one.runtime, &one.contents)),
    );
    // Group them by environment.
    graphs.sort_by(|one, other| one.environment.cmp(&other.environment));
    Ok((graphs, languages.left_out))
}

/// The dependencies in a lock: from the cache, else from the resolver, else from the installed packages.
pub fn graph(locks: &ProjectLocks<'_>, name: &str, document: &LockDocument) -> Result<PackageGraph, String> {
    let key = cache::key([document.text().as_bytes()]);
    let file = cache::folder(&locks.run.host).map(|folder| folder.join(CACHE).join(format!("{key}.json")));
    if let Some(edges) = file.as_deref().and_then(cache::read::<PackageEdges>) {
        return Ok(PackageGraph::new(name, document, &edges));
    }
    let edges = match resolved_edges(locks, name, document) {
        Ok(edges) => edges,
        Err(reason) => installed_edges(locks, name, document).ok_or(reason)?,
    };
    if let Some(file) = file {
        // It can be determined again.
        let _ = cache::write(&file, &edges);
    }
    Ok(PackageGraph::new(name, document, &edges))
}

fn resolved_edges(locks: &ProjectLocks<'_>, name: &str, document: &LockDocument) -> Result<PackageEdges, String> {
    let lockable = locks.lockable(name).map_err(|error| format!("{error:#}"))??;
    let (mut request, note) = locks.request(&lockable, UvLockRequest::default()).map_err(|error| error.to_string())?;
    if matches!(request.resolver, LockResolver::Pip { .. }) {
        let why = note.unwrap_or_else(|| "pip was chosen".to_owned());
        return Err(format!(
            "this needs uv, but {why}; run the environment first to read the dependencies of its installed packages"
        ));
    }
    request.before = Some(document.clone());
    let text = request.annotated(&locks.run.interrupt).map_err(|error| error.to_string())?;
    Ok(edges_of_annotations(&text))
}

/// `None` if a locked package is not installed.
fn installed_edges(locks: &ProjectLocks<'_>, name: &str, document: &LockDocument) -> Option<PackageEdges> {
    let environment = locks.plan.environment(name).ok()?;
    let interpreter = locks.discovery.find(&environment.python.base_python)?;
    let site_packages = interpreter.layout(&environment.folders.env_dir).purelib;
    let edges = edges_of_installed(&site_packages);
    let is_there = |package: &LockedPackage| {
        package.marker.is_some()
            || std::fs::read_dir(&site_packages).into_iter().flatten().flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.ends_with(".dist-info")
                    && name.split('-').next().is_some_and(|name| canonical_name(name) == package.name)
            })
    };
    document.packages.iter().all(is_there).then_some(edges)
}
