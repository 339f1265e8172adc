//! Keys of a compose file that are not translated, each with the reason.

use yaml_rust2::Yaml;

use super::document::ComposeDocument;
use super::notes::ImportNotes;
use super::service::ServiceDraft;
use super::values::{entries, get};

/// Keys of a service that are translated, or noted where that is tried.
const TRANSLATED: [&str; 27] = [
    "image",
    "build",
    "command",
    "entrypoint",
    "environment",
    "env_file",
    "ports",
    "expose",
    "depends_on",
    "healthcheck",
    "restart",
    "stop_signal",
    "stop_grace_period",
    "profiles",
    "scale",
    "deploy",
    "tty",
    "develop",
    "working_dir",
    "links",
    "volumes",
    "secrets",
    "configs",
    "volumes_from",
    "extends",
    "networks",
    "healthcheck.test",
];

/// Keys that a process of this machine does not need, and why.
const REASONS: [(&str, &str); 19] = [
    ("container_name", "the environment's name is its name"),
    ("hostname", "the environment's name is its name"),
    ("labels", "envo does not use labels"),
    ("logging", "envo keeps the logs"),
    ("init", "envo ends every process that a service leaves behind"),
    ("stdin_open", "a service reads nothing from the terminal"),
    ("pull_policy", "no image is used"),
    ("platform", "no image is used"),
    ("user", "it runs as the user who starts envo"),
    ("read_only", "it has no file system of its own"),
    ("tmpfs", "it has no file system of its own"),
    ("cap_add", "it has the rights of the user who starts envo"),
    ("cap_drop", "it has the rights of the user who starts envo"),
    ("privileged", "it has the rights of the user who starts envo"),
    ("security_opt", "it has the rights of the user who starts envo"),
    ("network_mode", "it is in the network of this machine"),
    ("extra_hosts", "names are resolved as on this machine"),
    ("dns", "names are resolved as on this machine"),
    ("external_links", "it refers to containers outside the file"),
];

const NO_COUNTERPART: &str = "a local process has no counterpart";

pub fn service_keys(draft: &ServiceDraft<'_>, notes: &mut ImportNotes) {
    for (key, value) in entries(draft.yaml) {
        match key.as_str() {
            "networks" => notes.key(&draft.name, "networks", "all services are in the network of this machine"),
            "healthcheck" => {
                inner(draft, &(&key, value), &["test", "disable"], "envo has its own probe intervals", notes)
            }
            "deploy" => {
                inner(draft, &(&key, value), &["replicas", "restart_policy"], NO_COUNTERPART, notes);
                if let Some(policy) = get(value, "restart_policy") {
                    inner(
                        draft,
                        &("deploy.restart_policy", policy),
                        &["condition", "max_attempts"],
                        "the pause before a restart grows",
                        notes,
                    );
                }
            }
            "develop" => inner(draft, &(&key, value), &["watch"], NO_COUNTERPART, notes),
            key if key.starts_with("x-") || TRANSLATED.contains(&key) => {}
            key => {
                let reason =
                    REASONS.iter().find(|(known, _)| *known == key).map_or(NO_COUNTERPART, |(_, reason)| reason);
                notes.key(&draft.name, key, reason);
            }
        }
    }
    if draft.is_job {
        for key in ["restart", "stop_signal", "stop_grace_period", "scale", "profiles", "healthcheck"] {
            if draft.get(key).is_some() {
                notes.key(&draft.name, key, "it runs once");
            }
        }
    }
}

/// Keys of a key.
fn inner(
    draft: &ServiceDraft<'_>,
    (outer, value): &(&str, &Yaml),
    known: &[&str],
    reason: &str,
    notes: &mut ImportNotes,
) {
    for (key, _) in entries(value).iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        notes.key(&draft.name, &format!("{outer}.{key}"), reason);
    }
}

/// Keys of the whole file.
pub fn file_keys(document: &ComposeDocument, notes: &mut ImportNotes) {
    for (key, value) in entries(&document.root) {
        let reason = match key.as_str() {
            "services" => continue,
            key if key.starts_with("x-") => continue,
            "name" => "the folder is the project",
            "version" => "Docker Compose no longer uses it",
            "networks" => "all services are in the network of this machine",
            "volumes" => "data that is not in the project stays where the program puts it",
            "include" => "convert those files too",
            // What services have of them was told there.
            "secrets" | "configs" if entries(value).iter().all(|(_, one)| get(one, "file").is_some()) => continue,
            "secrets" | "configs" => "only those with a `file` are supported",
            _ => NO_COUNTERPART,
        };
        notes.key("the file", &format!("{key}:"), reason);
    }
    let used: Vec<&str> = document.interpolation.used.iter().map(String::as_str).collect();
    if !used.is_empty() {
        notes.general(format!(
            "values of .env are written as defaults: {}; a secret should not stay in the file",
            used.join(", ")
        ));
    }
    let missing: Vec<&str> = document.interpolation.missing.iter().map(String::as_str).collect();
    if !missing.is_empty() {
        notes.general(format!("these variables have no value here and are taken from outside: {}", missing.join(", ")));
    }
}
