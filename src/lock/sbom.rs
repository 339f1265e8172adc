//! A software bill of materials in CycloneDX's JSON format (version 1.5): the packages of locks with their hashes and
//! where they come from. The same locks come to the same document: it has no time and no random number in it.
//! <https://cyclonedx.org/docs/1.5/json/>

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::digest;
use super::document::{Document, Package, Source};
use super::graph::Graph;

/// The document over the locks of a project. `graphs`: who requires what, of those environments for which it is known.
pub fn document(project: &str, locks: &[(String, Document)], graphs: &[Graph]) -> Value {
    let mut components: BTreeMap<String, (Value, Vec<&str>)> = BTreeMap::new();
    for (environment, lock) in locks {
        for package in &lock.packages {
            let reference = reference(package);
            let entry =
                components.entry(reference.clone()).or_insert_with(|| (component(package, &reference), Vec::new()));
            entry.1.push(environment);
        }
    }
    let references: Vec<String> = components.keys().cloned().collect();
    let components: Vec<Value> = components
        .into_values()
        .map(|(mut component, environments)| {
            let property = |name: &&str| json!({"name": "envo:environment", "value": name});
            component["properties"] = environments.iter().map(property).collect();
            component
        })
        .collect();
    let own = format!("project:{project}");
    let mut result = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial_number(&references),
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "envo", "version": env!("CARGO_PKG_VERSION")}]},
            "component": {"type": "application", "bom-ref": own.clone(), "name": project},
        },
        "components": components,
    });
    if !graphs.is_empty() {
        result["dependencies"] = dependencies(&own, locks, graphs);
    }
    result
}

fn component(package: &Package, reference: &str) -> Value {
    let mut component = json!({"type": "library", "bom-ref": reference, "name": package.name});
    if let Some(version) = &package.version {
        component["version"] = json!(version);
    }
    if package.source.is_none() {
        component["purl"] = json!(reference);
    }
    let files: Vec<Value> = package
        .files()
        .filter_map(|file| {
            let hashes: Vec<Value> = file
                .hashes
                .iter()
                .filter_map(|(algorithm, value)| Some(json!({"alg": algorithm_name(algorithm)?, "content": value})))
                .collect();
            Some(json!({"type": "distribution", "url": file.url.as_ref().or(file.path.as_ref())?, "hashes": hashes}))
        })
        .collect();
    let repository = match &package.source {
        Some(Source::Repository { url, commit, .. }) => {
            vec![json!({"type": "vcs", "url": url, "comment": format!("commit {commit}")})]
        }
        _ => Vec::new(),
    };
    let references: Vec<Value> = files.into_iter().chain(repository).collect();
    if !references.is_empty() {
        component["externalReferences"] = json!(references);
    }
    component
}

/// A package URL (<https://github.com/package-url/purl-spec>) where there is one.
fn reference(package: &Package) -> String {
    match &package.source {
        None => {
            format!("pkg:pypi/{}@{}", package.name, package.version.as_deref().unwrap_or_default().replace('+', "%2B"))
        }
        Some(Source::Directory { path, .. }) => format!("directory:{path}"),
        Some(Source::Repository { kind, url, commit, .. }) => format!("{kind}:{url}@{commit}"),
        Some(Source::Archive { file, .. }) => {
            format!("archive:{}", file.url.as_ref().or(file.path.as_ref()).map_or("", String::as_str))
        }
    }
}

/// CycloneDX's names of hash algorithms.
fn algorithm_name(algorithm: &str) -> Option<&'static str> {
    Some(match algorithm {
        "md5" => "MD5",
        "sha1" => "SHA-1",
        "sha256" => "SHA-256",
        "sha384" => "SHA-384",
        "sha512" => "SHA-512",
        "sha3_256" => "SHA3-256",
        "sha3_512" => "SHA3-512",
        _ => return None,
    })
}

fn dependencies(own: &str, locks: &[(String, Document)], graphs: &[Graph]) -> Value {
    let mut result: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for graph in graphs {
        let Some((_, lock)) = locks.iter().find(|(name, _)| *name == graph.environment) else { continue };
        let of = |name: &String| -> Vec<String> {
            lock.packages.iter().filter(|package| package.name == *name).map(reference).collect()
        };
        result.entry(own.to_owned()).or_default().extend(graph.roots.iter().flat_map(of));
        for package in &lock.packages {
            let required = graph.requires.get(&package.name).into_iter().flatten();
            result.entry(reference(package)).or_default().extend(required.flat_map(of));
        }
    }
    let entry = |(reference, mut required): (String, Vec<String>)| {
        required.sort();
        required.dedup();
        json!({"ref": reference, "dependsOn": required})
    };
    result.into_iter().map(entry).collect()
}

/// A UUID that stands for the content (RFC 9562, version 8).
fn serial_number(references: &[String]) -> String {
    let digits = digest(references.join("\n").as_bytes());
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::graph::edges_of_annotations;

    #[test]
    fn every_package_stands_in_it_once_with_what_the_format_asks_for() {
        let text = "lock-version = \"1.0\"\n[[packages]]\nname = \"six\"\nversion = \"1\"\nwheels = [{ url = \"https://h/six-1.whl\", \
                    hashes = { sha256 = \"00\" } }]\n[[packages]]\nname = \"lib\"\ndirectory = { path = \"../lib\" }\n";
        let lock = Document::parse(text).unwrap();
        let graph = Graph::new("a", &lock, &edges_of_annotations("six==1 # via lib\n"));
        let locks = [("a".to_owned(), lock.clone()), ("b".to_owned(), lock)];
        let bom = document("demo", &locks, &[graph]);
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        let components = bom["components"].as_array().unwrap();
        assert_eq!(components.len(), 2);
        let six = &components[1];
        assert_eq!(six["purl"], "pkg:pypi/six@1");
        assert_eq!(six["externalReferences"][0]["hashes"], json!([{"alg": "SHA-256", "content": "00"}]));
        assert_eq!(six["properties"].as_array().map(Vec::len), Some(2));
        assert!(
            bom["dependencies"]
                .as_array()
                .unwrap()
                .contains(&json!({"ref": "directory:../lib", "dependsOn": ["pkg:pypi/six@1"]}))
        );
        let serial = bom["serialNumber"].as_str().unwrap();
        assert_eq!(serial.len(), "urn:uuid:".len() + 36, "{serial}");
        assert_eq!(
            bom,
            document("demo", &locks, &[Graph::new("a", &locks[0].1, &edges_of_annotations("six==1 # via lib\n"))])
        );
    }
}
