//! Creates a software bill of materials in CycloneDX's JSON format (version 1.5): the packages of locks with hashes and
//! origins, and their licences if known. The same input and time result in the same document: it contains no random
//! number.
//! <https://cyclonedx.org/docs/1.5/json/>

use std::collections::{BTreeMap, HashMap};

use anyhow::Result;
use serde_json::{Value, json};

use crate::digest::sha256;
use crate::lock::dependencies::graph;
use crate::lock::ecosystems::locked::LeftOutLocks;
use crate::lock::ecosystems::{self, EcosystemContents, PackageKey, PackageOrigin};
use crate::lock::graph::PackageGraph;
use crate::lock::licences::{self, Licences};
use crate::lock::project::ProjectLocks;
use crate::lock::project_name;
use crate::lockfile::document::{LockDocument, LockedPackage, LockedSource};

/// A bill of materials as JSON.
pub struct ProjectSbom {
    pub text: String,
    /// Environments without dependencies in it, with the reason.
    pub incomplete: Vec<(String, String)>,
    /// The locks that envo does not read.
    pub left_out: LeftOutLocks,
}

/// The bill of materials of a project, as of `timestamp` in ISO 8601.
pub fn sbom(locks: &ProjectLocks<'_>, timestamp: &str) -> Result<ProjectSbom> {
    let documents = locks.documents()?;
    let mut languages = locks.languages(&[])?;
    let (mut graphs, mut incomplete) = (Vec::new(), Vec::new());
    for (name, document) in &documents {
        match graph(locks, name, document) {
            Ok(graph) => graphs.push(graph),
            // The dependencies are optional in it.
            Err(reason) => incomplete.push((name.clone(), reason)),
        }
    }
    let root = &locks.project.root;
    let folder = || root.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned());
    licences::languages::add(locks, &mut languages.read);
    let contents: Vec<_> = languages.read.iter().map(|one| (one.environment.as_str(), &one.contents)).collect();
    let bill = BillOfMaterials {
        project: &project_name(&locks.project).unwrap_or_else(folder),
        locks: &documents,
        graphs: &graphs,
        languages: &contents,
        licences: &licences::python::known(locks, &documents),
        timestamp,
    };
    let text = format!("{}\n", serde_json::to_string_pretty(&bill.document())?);
    Ok(ProjectSbom { text, incomplete, left_out: languages.left_out })
}

/// The locked contents of a project.
#[derive(Debug, Clone, Copy)]
pub struct BillOfMaterials<'a> {
    pub project: &'a str,
    /// Locks of Python, by environment.
    pub locks: &'a [(String, LockDocument)],
    /// Dependency graphs of the environments for which they are known.
    pub graphs: &'a [PackageGraph],
    /// Locks of other languages, by environment.
    pub languages: &'a [(&'a str, &'a EcosystemContents)],
    /// Licences of Python packages.
    pub licences: &'a Licences,
    /// The time of creation in ISO 8601.
    pub timestamp: &'a str,
}

/// Components by reference, with the environments that contain each.
type SbomComponents<'a> = BTreeMap<String, (Value, Vec<&'a str>)>;

impl BillOfMaterials<'_> {
    /// The bill of materials for all of it.
    pub fn document(&self) -> Value {
        let components = self.components();
        let references: Vec<String> = components.keys().cloned().collect();
        let components: Vec<Value> = components
            .into_values()
            .map(|(mut component, environments)| {
                let property = |name: &&str| json!({"name": "envo:environment", "value": name});
                component["properties"] = environments.iter().map(property).collect();
                component
            })
            .collect();
        let own = format!("project:{}", self.project);
        let mut result = json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "serialNumber": serial_number(&references),
            "version": 1,
            "metadata": {
                "timestamp": self.timestamp,
                "tools": {"components": [{"type": "application", "name": "envo", "version": env!("CARGO_PKG_VERSION")}]},
                "component": {"type": "application", "bom-ref": own.clone(), "name": self.project},
            },
            "components": components,
        });
        if !self.graphs.is_empty() || !self.languages.is_empty() {
            result["dependencies"] = self.dependencies(&own);
        }
        result
    }

    fn components(&self) -> SbomComponents<'_> {
        let mut components = SbomComponents::new();
        let mut add = |reference: String, component: &dyn Fn(&str) -> Value, environment| {
            let entry = components.entry(reference);
            let reference = entry.key().clone();
            entry.or_insert_with(|| (component(&reference), Vec::new())).1.push(environment);
        };
        for (environment, lock) in self.locks {
            for package in &lock.packages {
                add(reference(package), &|reference| self.component(package, reference), environment.as_str());
            }
        }
        for (environment, contents) in self.languages {
            for (key, package) in &contents.packages {
                let component = |reference: &str| component_of_language(key, package, reference);
                add(contents.reference(key, package), &component, environment);
            }
        }
        components
    }

    fn component(&self, package: &LockedPackage, reference: &str) -> Value {
        let mut component = component(package, reference);
        let key = (package.name.clone(), package.version.clone().unwrap_or_default());
        if let Some(licence) = self.licences.get(&key) {
            component["licenses"] = licence.json();
        }
        component
    }

    fn dependencies(&self, own: &str) -> Value {
        let mut result: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for graph in self.graphs {
            let Some((_, lock)) = self.locks.iter().find(|(name, _)| *name == graph.environment) else { continue };
            let mut references: HashMap<&str, Vec<String>> = HashMap::new();
            for package in &lock.packages {
                references.entry(&package.name).or_default().push(reference(package));
            }
            let of = |name: &String| references.get(name.as_str()).into_iter().flatten().cloned();
            result.entry(own.to_owned()).or_default().extend(graph.roots.iter().flat_map(of));
            for package in &lock.packages {
                let required = graph.requires.get(&package.name).into_iter().flatten();
                result.entry(reference(package)).or_default().extend(required.flat_map(of));
            }
        }
        for (_, contents) in self.languages {
            let of = |key: &PackageKey| contents.packages.get(key).map(|package| contents.reference(key, package));
            result.entry(own.to_owned()).or_default().extend(contents.roots.iter().filter_map(of));
            for (key, package) in &contents.packages {
                let required = package.requires.iter().filter_map(of);
                result.entry(contents.reference(key, package)).or_default().extend(required);
            }
        }
        let entry = |(reference, mut required): (String, Vec<String>)| {
            required.sort();
            required.dedup();
            json!({"ref": reference, "dependsOn": required})
        };
        result.into_iter().map(entry).collect()
    }
}

fn component_of_language(
    (name, version): &PackageKey,
    package: &ecosystems::EcosystemPackage,
    reference: &str,
) -> Value {
    let mut component = json!({"type": "library", "bom-ref": reference, "name": name, "version": version});
    match &package.origin {
        PackageOrigin::Elsewhere(from) => {
            component["externalReferences"] = json!([{"type": "other", "url": from}]);
        }
        _ => component["purl"] = json!(reference),
    }
    let hash =
        |(algorithm, digits): &(String, String)| Some(json!({"alg": algorithm_name(algorithm)?, "content": digits}));
    let hashes: Vec<Value> = package.hashes.iter().filter_map(hash).collect();
    if !hashes.is_empty() {
        component["hashes"] = json!(hashes);
    }
    if let Some(licence) = &package.licence {
        component["licenses"] = json!([{"license": {"name": licence}}]);
    }
    if let Some(url) = package.url.as_deref().filter(|_| package.origin == PackageOrigin::Index) {
        let url = crate::lockfile::inputs::without_credentials(url);
        component["externalReferences"] = json!([{"type": "distribution", "url": url}]);
    }
    component
}

fn component(package: &LockedPackage, reference: &str) -> Value {
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
        Some(LockedSource::Repository { url, commit, .. }) => {
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

/// A package URL (<https://github.com/package-url/purl-spec>) if there is one.
fn reference(package: &LockedPackage) -> String {
    match &package.source {
        None => {
            format!("pkg:pypi/{}@{}", package.name, package.version.as_deref().unwrap_or_default().replace('+', "%2B"))
        }
        Some(LockedSource::Directory { path, .. }) => format!("directory:{path}"),
        Some(LockedSource::Repository { kind, url, commit, .. }) => format!("{kind}:{url}@{commit}"),
        Some(LockedSource::Archive { file, .. }) => {
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

/// A UUID derived from the content (RFC 9562, version 8).
fn serial_number(references: &[String]) -> String {
    let digits = sha256(references.join("\n").as_bytes());
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::graph::edges_of_annotations;
    use crate::lock::licences::Licence;

    #[test]
    fn every_package_stands_in_it_once_with_what_the_format_asks_for() {
        let text = "lock-version = \"1.0\"\n[[packages]]\nname = \"six\"\nversion = \"1\"\nwheels = [{ url = \"https://h/six-1.whl\", \
                    hashes = { sha256 = \"00\" } }]\n[[packages]]\nname = \"lib\"\ndirectory = { path = \"../lib\" }\n";
        let lock = LockDocument::parse(text).unwrap();
        let graph = PackageGraph::new("a", &lock, &edges_of_annotations("six==1 # via lib\n"));
        let locks = [("a".to_owned(), lock.clone()), ("b".to_owned(), lock)];
        let licences = Licences::from([(("six".to_owned(), "1".to_owned()), Licence::Expression("MIT".to_owned()))]);
        let bill = BillOfMaterials {
            project: "demo",
            locks: &locks,
            graphs: &[graph],
            languages: &[],
            licences: &licences,
            timestamp: "2020-01-01T00:00:00Z",
        };
        let bom = bill.document();
        assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&json!("CycloneDX"), &json!("1.5")));
        let components = bom["components"].as_array().unwrap();
        assert_eq!(components.len(), 2);
        let six = &components[1];
        assert_eq!(six["purl"], "pkg:pypi/six@1");
        assert_eq!((&six["licenses"], &components[0]["licenses"]), (&json!([{"expression": "MIT"}]), &Value::Null));
        assert_eq!(bom["metadata"]["timestamp"], "2020-01-01T00:00:00Z");
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
        assert_eq!(bom, bill.document());
    }

    #[test]
    fn packages_of_other_languages_stand_in_it_with_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("package-lock.json");
        let text = r#"{"packages": {"": {"dependencies": {"@s/a": "1"}}, "node_modules/b": {"version": "2.0.0",
            "resolved": "git+ssh://h/b.git#abc"}, "node_modules/@s/a": {"version": "1.0.0", "dependencies": {"b": "1"},
            "license": "MIT", "resolved": "https://u:p@r/a.tgz", "integrity": "sha512-3q2+7w=="}}}"#;
        std::fs::write(&file, text).unwrap();
        let contents = ecosystems::read(&[file]).unwrap().unwrap();
        let bill = BillOfMaterials {
            project: "demo",
            locks: &[],
            graphs: &[],
            languages: &[("js", &contents), ("ts", &contents)],
            licences: &Licences::new(),
            timestamp: "",
        };
        let bom = bill.document();
        let (elsewhere, own) = ("npm:b@git+ssh://h/b.git#abc", "pkg:npm/%40s/a@1.0.0");
        assert_eq!(bom["components"][0]["bom-ref"], elsewhere);
        let component = &bom["components"][1];
        assert_eq!((&component["purl"], &component["name"]), (&json!(own), &json!("@s/a")));
        assert_eq!(component["hashes"], json!([{"alg": "SHA-512", "content": "deadbeef"}]));
        assert_eq!(component["licenses"], json!([{"license": {"name": "MIT"}}]));
        assert_eq!(component["externalReferences"][0]["url"], "https://r/a.tgz");
        assert_eq!(component["properties"].as_array().map(Vec::len), Some(2));
        let dependencies = bom["dependencies"].as_array().unwrap();
        assert!(dependencies.contains(&json!({"ref": own, "dependsOn": [elsewhere]})), "{dependencies:?}");
        assert!(dependencies.contains(&json!({"ref": "project:demo", "dependsOn": [own]})), "{dependencies:?}");
    }
}
