//! The configuration of a container image: what it starts, as which user, and what it is.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md>

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::ship::facts::ReleaseFacts;
use crate::ship::image::Layer;
use crate::ship::manifest::Manifest;

/// The user of an image without `pack_user`, and the number of every user other than root.
pub const USER: (&str, u32) = ("nonroot", 65532);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

/// The name and number of the user that an image runs as.
pub fn user(facts: &ReleaseFacts) -> (&str, u32) {
    match facts.settings.user.as_deref() {
        Some("root") => ("root", 0),
        Some(name) => (name, USER.1),
        None => USER,
    }
}

pub fn document(manifest: &Manifest, facts: &ReleaseFacts, layers: &[Layer]) -> Value {
    let prefix = &facts.prefix;
    let mut config = Map::new();
    let number = user(facts).1;
    config.insert("User".to_owned(), json!(format!("{number}:{number}")));
    if let Some(service) = &facts.service {
        let ports: Map<String, Value> = service
            .address
            .ports
            .iter()
            .filter_map(|port| Some((format!("{}/tcp", port.number?), json!({}))))
            .collect();
        if !ports.is_empty() {
            config.insert("ExposedPorts".to_owned(), Value::Object(ports));
        }
        config.insert("StopSignal".to_owned(), json!(service.stopping.stop_signal));
    }
    let variables = [
        format!("PATH={prefix}/env/bin:{PATH}"),
        format!("VIRTUAL_ENV={prefix}/env"),
        format!("SSL_CERT_FILE=/{CERTIFICATES}"),
    ];
    config.insert("Env".to_owned(), json!(variables));
    config.insert("Entrypoint".to_owned(), json!(facts.start_words));
    config.insert("WorkingDir".to_owned(), json!(facts.work_folder()));
    config.insert("Labels".to_owned(), json!(annotations(manifest, facts)));
    let diffs: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.diff)).collect();
    let history: Vec<Value> =
        layers.iter().map(|layer| json!({"created_by": "envo pack", "comment": layer.title})).collect();
    json!({
        "created": facts.created,
        "architecture": architecture(&manifest.target.machine),
        "os": manifest.target.system,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": history,
    })
}

/// <https://github.com/opencontainers/image-spec/blob/v1.1.0/annotations.md>
pub fn annotations(manifest: &Manifest, facts: &ReleaseFacts) -> BTreeMap<&'static str, String> {
    let mut found = BTreeMap::new();
    found.insert("org.opencontainers.image.created", facts.created.clone());
    found.insert("org.opencontainers.image.title", manifest.name.clone());
    found.insert("org.opencontainers.image.version", manifest.version.clone());
    if let Some(commit) = &facts.commit {
        found.insert("org.opencontainers.image.revision", commit.id.clone());
    }
    found
}

/// The names of Go, which images use.
pub fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    }
}
