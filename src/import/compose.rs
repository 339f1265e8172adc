//! `docker-compose.yml`, as far as its services can run without containers: what the file, its Dockerfiles and its
//! `.env` say together. <https://docs.docker.com/reference/compose-file/>

mod dockerfile;
mod document;
mod health;
mod images;
mod installs;
mod interpolation;
mod keys;
mod linking;
mod notes;
mod paths;
mod references;
mod service;
mod values;
mod writing;

use std::collections::{BTreeMap, BTreeSet};

use yaml_rust2::Yaml;

use self::keys::file_keys;
use self::linking::ServiceLinks;
use self::notes::ImportNotes;
use self::paths::folder_of;
use self::service::ServiceDraft;
use self::values::{entries, get, text};
use super::fields::settled;
use super::section::environment_name;
use super::{Imported, ProjectFiles};
use crate::error::ConfigError;

/// What all services of a file share.
pub struct ComposeContext<'a> {
    pub files: &'a ProjectFiles<'a>,
    /// The compose file's, relative to the project's root.
    pub folder: &'a str,
    pub root: &'a Yaml,
    /// The variables of `.env`.
    pub known: &'a BTreeMap<String, String>,
}

/// Translates the file's text. `path` is the file's, relative to the project's root.
pub fn compose(source: &str, path: &str, files: &ProjectFiles<'_>) -> Result<Imported, ConfigError> {
    let document = document::read(source, path, files)?;
    let context =
        ComposeContext { files, folder: folder_of(path), root: &document.root, known: &document.interpolation.known };
    let mut notes = ImportNotes::default();
    document.notes.iter().for_each(|note| notes.general(note));
    let jobs: BTreeSet<String> = document.services.iter().flat_map(|(_, service)| completed(service)).collect();
    let mut drafts: Vec<ServiceDraft<'_>> = document
        .services
        .iter()
        .map(|(name, service)| ServiceDraft::new(name, service, &context, &mut notes))
        .collect();
    let mut seen = BTreeSet::new();
    drafts.retain(|draft| {
        let is_new = seen.insert(draft.env.clone());
        if !is_new {
            notes.add(&draft.name, format!("another service also becomes the environment `{}`", draft.env));
        }
        is_new
    });
    for draft in &mut drafts {
        draft.is_job = jobs.contains(&draft.name);
    }
    ServiceLinks::new(&mut drafts, &mut notes).work_in();
    let mut imported = Imported { total: document.services.len(), ..Imported::default() };
    for draft in &mut drafts {
        let section = writing::section(draft, &context, &mut notes);
        for refused in section.refused() {
            draft.needs_look = true;
            notes.add(&draft.name, refused);
        }
        if draft.needs_look {
            imported.to_look_at.push(draft.env.clone());
        }
        imported.sections.push(section);
    }
    imported.can_run = can_run(&drafts);
    file_keys(&document, &mut notes);
    imported.notes = notes.into_lines();
    Ok(imported)
}

/// How many need no look, and nothing that needs one.
fn can_run(drafts: &[ServiceDraft<'_>]) -> usize {
    let mut blocked: BTreeSet<&str> =
        drafts.iter().filter(|draft| draft.needs_look).map(|draft| draft.env.as_str()).collect();
    let mut needed_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for draft in drafts {
        for (name, _) in &draft.depends {
            needed_by.entry(name).or_default().push(&draft.env);
        }
    }
    let mut open: Vec<&str> = blocked.iter().copied().collect();
    while let Some(name) = open.pop() {
        open.extend(needed_by.get(name).into_iter().flatten().filter(|other| blocked.insert(other)));
    }
    drafts.len() - blocked.len()
}

/// Those that a service waits for to end well.
fn completed(service: &Yaml) -> Vec<String> {
    let conditions = get(service, "depends_on").map(entries).unwrap_or_default();
    let ends = |(_, how): &(String, &Yaml)| {
        get(how, "condition").and_then(text).is_some_and(|text| settled(&text) == "service_completed_successfully")
    };
    conditions.into_iter().filter(ends).map(|(name, _)| name).collect()
}

/// The environment of a service that is named somewhere.
fn environment_of(name: &str) -> String {
    environment_name(&settled(name))
}

#[cfg(test)]
mod tests;
