//! `envo services`: lists the available services and their origin. Builds and starts nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;

use crate::builder::services::STATE_FOLDER;
use crate::cli::options::Options;
use crate::commands::packaged_services;
use crate::commands::run_progress::notice;
use crate::exit_code;
use crate::model::service::Share;
use crate::plan::{self, Plan};
use crate::python_text::glob;
use crate::report::plain;
use crate::report::table;
use crate::runtime::python::PythonDiscovery;
use crate::serve::client::socket_path::SupervisorLocation;
use crate::settings::service_keys;

/// The report for programs, as one JSON object.
#[derive(Serialize)]
struct ServiceListing {
    /// The file of the configuration; `null` if it does not exist.
    config: Option<PathBuf>,
    /// The folder of the project.
    root: PathBuf,
    /// Where services of the project leave their state, whether or not it is there yet.
    state: PathBuf,
    /// Where a supervisor listens, or did when it was there; `null`: there has never been one.
    socket: Option<PathBuf>,
    services: Vec<ServiceRow>,
}

#[derive(Serialize)]
struct ServiceRow {
    name: String,
    share: Share,
    /// Environments and services it depends on directly.
    depends: Vec<String>,
    profiles: Vec<String>,
    /// `tox.ini:12`, or the distribution that provides it.
    from: String,
    description: String,
}

/// Lists services.
pub fn execute(options: &Options) -> Result<i32> {
    let discovery = Arc::new(crate::commands::discovery::discovery(options));
    let plan = plan::open(Arc::new(options.clone()), Arc::clone(&discovery) as _)?;
    let warnings = plan.take_warnings();
    let mut services = rows(&plan)?;
    add_packaged(&mut services, &plan, options, &discovery)?;
    if options.services.json {
        let project = plan.project()?;
        let config = Some(plan.settings.source.path.clone()).filter(|path| path.exists());
        let state = project.work_dir.join(STATE_FOLDER);
        let place = if state.is_dir() { SupervisorLocation::of(&state, &options.process.variables).ok() } else { None };
        let socket = place.map(|place| place.socket).filter(|socket| !socket.as_os_str().is_empty());
        let listing = ServiceListing { config, root: project.root, state, socket, services };
        plain::out(&format!("{}\n", serde_json::to_string(&listing)?));
    } else if services.is_empty() {
        crate::commands::report(warnings, options);
        notice("there are no services\n");
    } else {
        let cells = |row: &ServiceRow| {
            let depends = if row.depends.is_empty() { "-".to_owned() } else { row.depends.join(", ") };
            vec![row.name.clone(), row.from.clone(), depends, row.description.clone()]
        };
        let head = ["NAME", "FROM", "DEPENDS ON", "DESCRIPTION"];
        plain::out(&table::format_table(&head, &services.iter().map(cells).collect::<Vec<_>>()));
    }
    // The process ends now; taking a large configuration apart first would only take time.
    std::mem::forget(plan);
    Ok(exit_code::OK)
}

/// Adds the services of packages. What they are is not known before they are loaded.
fn add_packaged(
    rows: &mut Vec<ServiceRow>,
    plan: &Plan,
    options: &Options,
    discovery: &Arc<PythonDiscovery>,
) -> Result<()> {
    for offer in packaged_services::offers(plan, options, discovery, None)? {
        let name = offer.entry_point.name.clone();
        if plan.settings.is_declared(&name) {
            continue;
        }
        let from = offer.from();
        let (share, depends, profiles) = (Share::Run, Vec::new(), Vec::new());
        rows.push(ServiceRow { name, share, depends, profiles, from, description: String::new() });
    }
    Ok(())
}

fn rows(plan: &Plan) -> Result<Vec<ServiceRow>> {
    let known: Vec<String> = plan.all()?.into_iter().map(|entry| entry.name.clone()).collect();
    let mut rows = Vec::new();
    for name in &known {
        let set = plan.settings.environment(name);
        if !service_keys(&plan.settings, &set)?.contains(&"serve") {
            continue;
        }
        let environment = plan.environment(name)?;
        let Some(service) = environment.service else { continue };
        let fits = |other: &&String| environment.relations.depends.iter().any(|pattern| glob::matches(pattern, other));
        rows.push(ServiceRow {
            name: name.clone(),
            share: service.share,
            depends: known.iter().filter(fits).filter(|other| *other != name).cloned().collect(),
            profiles: service.profiles,
            from: service.location,
            description: plan.settings.text(&set, "description")?,
        });
    }
    Ok(rows)
}
