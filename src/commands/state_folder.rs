//! Finds the state folder of a project's services, for verbs that only talk to its supervisor: they work even if the
//! configuration is invalid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::builder::services::STATE_FOLDER;
use crate::cli::options::Options;
use crate::commands::discovery::discovery;
use crate::plan;
use crate::report::plain;
use crate::serve::client::socket_path::SupervisorLocation;
use crate::serve::supervisor::moved_state;

/// The state folder of the project's supervisor.
pub fn state_folder(options: &Options) -> Result<SupervisorLocation> {
    let at = |state_dir: &Path| SupervisorLocation::of(state_dir, &options.process.variables);
    let configured = configured(options);
    if let Ok(Some((work_dir, root))) = &configured {
        let place = at(&work_dir.join(STATE_FOLDER))?;
        if options.project.work_dir.is_some() || place.connect().is_listening() {
            return Ok(place);
        }
        // Services may still run from before `work_dir` was changed.
        let before = likely(root, options).into_iter().filter(|folder| folder.is_dir());
        let mut before = before.filter_map(|folder| at(&folder).ok());
        return Ok(before.find(|before| before.connect().is_listening()).unwrap_or(place));
    }
    let traces: Vec<SupervisorLocation> = traces(options).iter().filter_map(|trace| at(trace).ok()).collect();
    let found = traces.iter().find(|place| place.connect().is_listening()).or(traces.first());
    match (configured, found) {
        (Err(error), Some(found)) => {
            let folder = found.state_dir.parent().unwrap_or(&found.state_dir).display();
            plain::error(&format!(
                "warning: {error}\nhelp: until this is fixed, the command applies to the services of {folder}\n"
            ));
            Ok(found.clone())
        }
        (Ok(_), Some(found)) => Ok(found.clone()),
        (Err(error), None) => Err(error),
        (Ok(_), None) => {
            let work_dir = options.project.work_dir.as_deref().unwrap_or(Path::new(".tox"));
            Ok(at(&options.process.current_dir.join(work_dir).join(STATE_FOLDER))?)
        }
    }
}

/// The work folder and the project's root as the configuration says; `None`: there is no configuration. Nothing else of it
/// is looked at.
fn configured(options: &Options) -> Result<Option<(PathBuf, PathBuf)>> {
    let plan = plan::read(Arc::new(options.clone()), Arc::new(discovery(options)))?;
    if !plan.settings.source.path.exists() {
        return Ok(None);
    }
    let path = |key| plan.settings.path(plan.settings.core(), key);
    Ok(Some((path("work_dir")?, path("tox_root")?)))
}

/// The state folders there are that may be the project's, the likeliest first.
fn traces(options: &Options) -> Vec<PathBuf> {
    let here = |path: &Path| options.process.current_dir.join(path);
    let start = match (&options.project.root_dir, &options.project.config_file) {
        (Some(root), _) => here(root),
        (None, Some(file)) if here(file).is_dir() => here(file),
        (None, Some(file)) => {
            here(file).parent().map_or_else(|| options.process.current_dir.clone(), Path::to_path_buf)
        }
        (None, None) => options.process.current_dir.clone(),
    };
    let named = options.project.work_dir.as_deref().map(|work_dir| vec![here(work_dir).join(STATE_FOLDER)]);
    let candidates = named.unwrap_or_else(|| start.ancestors().flat_map(|root| likely(root, options)).collect());
    candidates.into_iter().filter(|candidate| candidate.is_dir()).collect()
}

/// Where a project with this root may keep its state, whatever its configuration says.
fn likely(root: &Path, options: &Options) -> Vec<PathBuf> {
    let moved = moved_state::recall(&options.process.variables, root);
    moved.into_iter().chain([root.join(".tox").join(STATE_FOLDER)]).collect()
}
