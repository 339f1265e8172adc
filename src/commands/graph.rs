//! `envo graph` and `envo sbom`: show locked packages as a dependency graph and as a bill of materials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cli::options::{Options, Verb};
use crate::commands::licences;
use crate::commands::locked_ecosystems::LockedEcosystems;
use crate::commands::locking::{Locks, Resolvers, target};
use crate::error::ConfigError;
use crate::exit_code;
use crate::install::uv_lock::UvLockRequest;
use crate::lock::document::LockDocument;
use crate::lock::graph::{PackageEdges, PackageGraph, edges_of_annotations, edges_of_installed};
use crate::lock::resolve::{LockRequest, LockResolver};
use crate::lock::sbom::BillOfMaterials;
use crate::python_text::python_repr;
use crate::report::junit::timestamp;
use crate::report::plain;
use crate::runtime::cache;

/// The folder in envo's cache for dependencies, which are valid as long as the lock is unchanged.
const CACHE: &str = "graphs-2";

const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";
/// The end of the year 9999, in seconds since 1970.
const LATEST: u64 = 253_402_300_799;

pub fn execute(options: &Options) -> Result<i32> {
    let locks = Locks::open(options)?;
    let outcome = show(options, &locks);
    locks.end(outcome)
}

fn show(options: &Options, locks: &Locks) -> Result<i32> {
    let documents = locks.documents(options)?;
    let languages = locks.languages(options, &[])?;
    if options.verb == Verb::Sbom {
        return write_sbom(options, locks, &documents, languages);
    }
    let mut graphs = Vec::new();
    for (name, document) in &documents {
        let graph = graph(options, locks, name, document)
            .map_err(|reason| anyhow::anyhow!("cannot determine the dependencies in {name}: {reason}"))?;
        graphs.push(graph);
    }
    graphs.extend(
        languages.read.iter().map(|one| PackageGraph::of_language(&one.environment, &one.runtime, &one.contents)),
    );
    // Group the rows by environment.
    graphs.sort_by(|one, other| one.environment.cmp(&other.environment));
    if options.locks.reverse {
        graphs = graphs.iter().map(PackageGraph::reversed).collect();
    }
    let text = match options.locks.format.as_str() {
        "json" => {
            let graphs: Vec<_> = graphs.iter().map(PackageGraph::json).collect();
            format!("{}\n", serde_json::to_string_pretty(&json!(graphs))?)
        }
        "mermaid" => {
            let bodies = graphs.iter().enumerate().map(|(at, graph)| graph.mermaid(&format!("e{at}")));
            format!("flowchart LR\n{}", bodies.collect::<String>())
        }
        _ => graphs.iter().map(PackageGraph::tree).collect::<Vec<_>>().join("\n"),
    };
    plain::out(&text);
    languages.report_left_out();
    Ok(exit_code::OK)
}

fn write_sbom(
    options: &Options,
    locks: &Locks,
    documents: &[(String, LockDocument)],
    mut languages: LockedEcosystems,
) -> Result<i32> {
    let mut graphs = Vec::new();
    for (name, document) in documents {
        match graph(options, locks, name, document) {
            Ok(graph) => graphs.push(graph),
            // The dependencies are optional in it.
            Err(reason) => plain::error(&format!("{name}: exported without dependencies: {reason}\n")),
        }
    }
    let root = &locks.project.root;
    let project = root.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned());
    let project = crate::lock::project_name(&locks.project).unwrap_or(project);
    crate::commands::language_licences::add(locks, &mut languages.read, &options.variables);
    let contents: Vec<_> = languages.read.iter().map(|one| (one.environment.as_str(), &one.contents)).collect();
    let licences = licences::known(locks, documents, &options.variables);
    let timestamp = format!("{}Z", timestamp(time_of(options)?));
    let bill = BillOfMaterials {
        project: &project,
        locks: documents,
        graphs: &graphs,
        languages: &contents,
        licences: &licences,
        timestamp: &timestamp,
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&bill.document())?);
    match &options.locks.output_file {
        Some(file) => {
            crate::lock::write::replace(file, text.as_bytes())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        None => plain::out(&text),
    }
    languages.report_left_out();
    Ok(exit_code::OK)
}

/// The time of the document: `SOURCE_DATE_EPOCH`, for reproducible output, else now.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
#[expect(clippy::disallowed_methods, reason = "readers want the time of the clock on the wall")]
fn time_of(options: &Options) -> Result<SystemTime, ConfigError> {
    let said = options.variables.get(SOURCE_DATE).filter(|said| !said.is_empty());
    let Some(said) = said.map(|said| said.to_string_lossy()) else { return Ok(SystemTime::now()) };
    let seconds = said.parse().ok().filter(|seconds| *seconds <= LATEST);
    seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)).ok_or_else(|| {
        ConfigError::handled(format!("invalid {SOURCE_DATE}: {}", python_repr(&said)))
            .hint("write a number of seconds since 1970-01-01T00:00:00Z")
    })
}

/// The dependencies in a lock: from the cache, else from the resolver, else from the installed packages.
fn graph(options: &Options, locks: &Locks, name: &str, document: &LockDocument) -> Result<PackageGraph, String> {
    let key = cache::key([document.text().as_bytes()]);
    let file = cache::folder(&options.variables).map(|folder| folder.join(CACHE).join(format!("{key}.json")));
    let known = file.as_deref().and_then(cache::read::<PackageEdges>);
    if let Some(edges) = known {
        return Ok(PackageGraph::new(name, document, &edges));
    }
    let edges = match resolved_edges(options, locks, name, document) {
        Ok(edges) => edges,
        Err(reason) => installed_edges(locks, name, document).ok_or(reason)?,
    };
    if let Some(file) = file {
        // It can be found out again.
        let _ = cache::write(&file, &edges);
    }
    Ok(PackageGraph::new(name, document, &edges))
}

fn resolved_edges(
    options: &Options,
    locks: &Locks,
    name: &str,
    document: &LockDocument,
) -> Result<PackageEdges, String> {
    let lockable = locks.lockable(name, options).map_err(|error| format!("{error:#}"))??;
    let resolvers = Resolvers::new(options, locks, &locks.run.interrupt).map_err(|error| format!("{error:#}"))?;
    let (target, platforms) = target(locks, &lockable).map_err(|error| error.to_string())?;
    let wish = UvLockRequest { python_version: target.dotted(), ..UvLockRequest::default() };
    let (resolver, note) = resolvers.find(&lockable, &target, &wish).map_err(|error| error.to_string())?;
    if matches!(resolver, LockResolver::Pip { .. }) {
        let why = note.unwrap_or_else(|| "pip was chosen".to_owned());
        return Err(format!(
            "this needs uv, but {why}; run the environment first to read the dependencies of its installed packages"
        ));
    }
    let order = LockRequest {
        environment: name,
        project: &locks.project,
        inputs: &lockable.inputs,
        target,
        platforms,
        resolver,
        variables: lockable.variables.clone(),
        before: Some(document.clone()),
    };
    let text = order.annotated(&locks.run.interrupt).map_err(|error| error.to_string())?;
    Ok(edges_of_annotations(&text))
}

/// `None` if a locked package is not installed.
fn installed_edges(locks: &Locks, name: &str, document: &LockDocument) -> Option<PackageEdges> {
    let environment = locks.plan.environment(name).ok()?;
    let interpreter = crate::model::InterpreterLookup::find(locks.discovery.as_ref(), &environment.base_python)?;
    let site_packages = interpreter.layout(&environment.env_dir).purelib;
    let edges = edges_of_installed(&site_packages);
    let is_there = |package: &crate::lock::document::LockedPackage| {
        package.marker.is_some()
            || std::fs::read_dir(&site_packages).into_iter().flatten().flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.ends_with(".dist-info")
                    && name
                        .split('-')
                        .next()
                        .is_some_and(|name| crate::model::pep508::canonical_name(name) == package.name)
            })
    };
    document.packages.iter().all(is_there).then_some(edges)
}
