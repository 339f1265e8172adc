//! Looks up known vulnerabilities in OSV's format, in a downloaded database or a service's responses. Anything a lookup
//! does not cover is an error, never silently skipped.
//! <https://ossf.github.io/osv-schema/> <https://google.github.io/osv.dev/post-v1-querybatch/>

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::lock::ecosystems::Ecosystem;
use crate::lock::ecosystems::versions::EcosystemVersion;
use crate::lock::severity;
use crate::model::pep508::canonical_name;

/// The maximum size of an entry; usual ones have a few kilobytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A vulnerability of a locked package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vulnerability {
    pub subject: QueriedPackage,
    pub id: String,
    /// Other names, such as CVE numbers.
    pub aliases: Vec<String>,
    pub summary: String,
    /// `low`, `medium`, `high`, `critical`, or the entry's own word.
    pub severity: Option<String>,
    /// Versions with a fix.
    pub fixed: Vec<String>,
}

impl Vulnerability {
    /// Its CVE numbers.
    pub fn cves(&self) -> Vec<&str> {
        let names = std::iter::once(&self.id).chain(&self.aliases);
        names.map(String::as_str).filter(|name| name.starts_with("CVE-")).collect()
    }
}

/// A package to look up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueriedPackage {
    pub ecosystem: Ecosystem,
    pub name: String,
    pub version: String,
}

/// Looks packages up in a database: a folder or zip archive with an entry in each file.
pub fn look_up(database: &Path, subjects: &BTreeSet<QueriedPackage>) -> Result<Vec<Vulnerability>, String> {
    let mut found = BTreeSet::new();
    let mut silent: BTreeSet<Ecosystem> = subjects.iter().map(|subject| subject.ecosystem).collect();
    let mut take = |name: &str, text: &[u8]| -> Result<(), String> {
        let entry: Value =
            serde_json::from_slice(text).map_err(|error| format!("{name} in {}: {error}", database.display()))?;
        if entry.get("id").and_then(Value::as_str).is_none() {
            return Err(format!("{name} in {} is not an OSV entry: it has no id", database.display()));
        }
        for affected in entry.get("affected").and_then(Value::as_array).into_iter().flatten() {
            silent.retain(|ecosystem| !is_of(affected, *ecosystem));
        }
        for subject in subjects {
            found.extend(finding(&entry, subject)?);
        }
        Ok(())
    };
    let failed = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", database.display());
    if database.is_dir() {
        let entries = std::fs::read_dir(database).map_err(|error| failed(&error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed(&error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let file = File::open(&path).map_err(|error| failed(&error))?;
                let text = whole(file).map_err(|error| failed(&format!("{name}: {error}")))?;
                take(&name, &text)?;
            }
        }
    } else {
        let file = File::open(database).map_err(|error| failed(&error))?;
        let mut archive = zip::ZipArchive::new(file).map_err(|error| failed(&error))?;
        for at in 0..archive.len() {
            let mut member = archive.by_index(at).map_err(|error| failed(&error))?;
            let name = member.name().map(|name| name.to_string()).map_err(|error| failed(&error))?;
            if !name.ends_with(".json") {
                continue;
            }
            let text = whole(&mut member).map_err(|error| failed(&format!("{name}: {error}")))?;
            take(&name, &text)?;
        }
    }
    if let Some(ecosystem) = silent.first() {
        return Err(format!(
            "{} has no entry about {} packages, so it says nothing about them",
            database.display(),
            ecosystem.language()
        ));
    }
    Ok(found.into_iter().collect())
}

/// Reads an entry, unless it is too large.
fn whole(entry: impl std::io::Read) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    entry.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        let reason = format!("it is larger than {} MB", MOST_BYTES / (1024 * 1024));
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// The vulnerability of a package version according to an entry, if it is affected.
pub fn finding(entry: &Value, subject: &QueriedPackage) -> Result<Option<Vulnerability>, String> {
    if entry.get("withdrawn").is_some_and(|time| !time.is_null()) {
        return Ok(None);
    }
    let mut is_affected = false;
    for one in entry["affected"].as_array().into_iter().flatten().filter(|affected| is_about(affected, subject)) {
        is_affected |= affects(one, subject).map_err(|reason| format!("{}: {reason}", entry["id"]))?;
    }
    Ok(is_affected.then(|| described(entry, subject, "")))
}

fn is_of(affected: &Value, ecosystem: Ecosystem) -> bool {
    let named = affected["package"]["ecosystem"].as_str();
    named.is_some_and(|name| name.split(':').next() == Some(ecosystem.name()))
}

fn is_about(affected: &Value, subject: &QueriedPackage) -> bool {
    let is_same = |name: &str| match subject.ecosystem {
        Ecosystem::PyPi => canonical_name(name) == subject.name,
        _ => name == subject.name,
    };
    is_of(affected, subject.ecosystem) && affected["package"]["name"].as_str().is_some_and(is_same)
}

fn affects(affected: &Value, subject: &QueriedPackage) -> Result<bool, String> {
    let (ecosystem, text) = (subject.ecosystem, subject.version.as_str());
    let version = EcosystemVersion::of(ecosystem, text);
    let same =
        |listed: &str| listed == text || (version.is_some() && EcosystemVersion::of(ecosystem, listed) == version);
    let listed = affected["versions"].as_array();
    if listed.into_iter().flatten().filter_map(Value::as_str).any(same) {
        return Ok(true);
    }
    let is_git = |range: &&Value| range["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("GIT"));
    let ranges: Vec<&Value> =
        affected["ranges"].as_array().into_iter().flatten().filter(|range| !is_git(range)).collect();
    if ranges.is_empty() && listed.is_none_or(Vec::is_empty) {
        return Err("it says of no version whether that is affected".to_owned());
    }
    if ranges.is_empty() {
        return Ok(false);
    }
    let version = version.ok_or_else(|| format!("`{text}` is not a comparable version"))?;
    for range in ranges {
        if in_range(range, ecosystem, &version)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Events are ordered by version; the last one at or before the version decides.
fn in_range(range: &Value, ecosystem: Ecosystem, version: &EcosystemVersion) -> Result<bool, String> {
    let mut events: Vec<(EcosystemVersion, u8, bool)> = Vec::new();
    let mut limit = None;
    for event in range["events"].as_array().into_iter().flatten() {
        for (kind, value) in event.as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let parsed =
                EcosystemVersion::of(ecosystem, text).ok_or_else(|| format!("`{text}` is not a comparable version"));
            match kind.as_str() {
                "introduced" => events.push((parsed?, 0, true)),
                "fixed" => events.push((parsed?, 0, false)),
                "last_affected" => events.push((parsed?, 1, false)),
                "limit" => limit = Some(parsed?),
                other => return Err(format!("`{other}` is not a known event")),
            }
        }
    }
    events.sort();
    let mut inside = false;
    for (at, after, starts) in events {
        // The last affected version is itself affected.
        if (after == 0 && at <= *version) || (after == 1 && at < *version) {
            inside = starts;
        }
    }
    Ok(inside && limit.is_none_or(|limit| *version < limit))
}

/// The vulnerability of the package in an entry; `id` is used if the entry has none.
pub fn described(entry: &Value, subject: &QueriedPackage, id: &str) -> Vulnerability {
    let affected: Vec<&Value> =
        entry["affected"].as_array().into_iter().flatten().filter(|affected| is_about(affected, subject)).collect();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = affected.iter().flat_map(|one| one["ranges"].as_array().into_iter().flatten());
    let is_git = |range: &&Value| range["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("GIT"));
    let fixed: BTreeSet<String> = events
        .filter(|range| !is_git(range))
        .flat_map(|range| range["events"].as_array().into_iter().flatten())
        .filter_map(|event| event.get("fixed").and_then(Value::as_str))
        .map(str::to_owned)
        .collect();
    let summary = match text(&entry["summary"]) {
        summary if summary.is_empty() => text(&entry["details"]).lines().next().unwrap_or_default().to_owned(),
        summary => summary,
    };
    Vulnerability {
        subject: subject.clone(),
        id: entry["id"].as_str().unwrap_or(id).to_owned(),
        aliases: entry["aliases"].as_array().into_iter().flatten().map(text).collect(),
        summary,
        severity: severity::of_entry(entry, &affected),
        fixed: fixed.into_iter().collect(),
    }
}

/// The body of a query for packages, which the service answers in the same order.
pub fn question(subjects: &[(&QueriedPackage, Option<String>)]) -> Value {
    let query = |(subject, token): &(&QueriedPackage, Option<String>)| {
        let QueriedPackage { ecosystem, name, version } = subject;
        // The service omits the `v` of Go's versions.
        let version = if *ecosystem == Ecosystem::Go { version.trim_start_matches('v') } else { version };
        let mut query = json!({"package": {"name": name, "ecosystem": ecosystem.name()}, "version": version});
        if let Some(token) = token {
            query["page_token"] = json!(token);
        }
        query
    };
    json!({"queries": subjects.iter().map(query).collect::<Vec<_>>()})
}

/// The ids of vulnerabilities, and the token of the next page, if any.
pub type OsvResponse = (Vec<String>, Option<String>);

/// The ids in the response to each query, and the tokens of next pages.
pub fn answers(answer: &Value, asked: usize) -> Result<Vec<OsvResponse>, String> {
    let results = answer["results"].as_array().filter(|results| results.len() == asked);
    let Some(results) = results else {
        return Err(format!("the service did not answer all of {asked} questions"));
    };
    let one = |result: &Value| {
        let result = result.as_object().ok_or("a response of the service is not an object")?;
        let mut ids = Vec::new();
        for vulnerability in result.get("vulns").and_then(Value::as_array).into_iter().flatten() {
            ids.push(vulnerability["id"].as_str().ok_or("a vulnerability has no id")?.to_owned());
        }
        let token = result.get("next_page_token").and_then(Value::as_str).filter(|token| !token.is_empty());
        Ok((ids, token.map(str::to_owned)))
    };
    results.iter().map(one).collect::<Result<_, &str>>().map_err(str::to_owned)
}

/// Removes ignored vulnerabilities by any of their names; returns them and the names that matched nothing.
pub fn ignore(findings: &mut Vec<Vulnerability>, ignored: &[String]) -> (Vec<Vulnerability>, Vec<String>) {
    let is_named = |finding: &Vulnerability, name: &String| finding.id == *name || finding.aliases.contains(name);
    let known: Vec<Vulnerability> =
        findings.extract_if(.., |finding| ignored.iter().any(|name| is_named(finding, name))).collect();
    let is_unused = |name: &&String| !known.iter().any(|finding| is_named(finding, name));
    let unused: BTreeSet<String> = ignored.iter().filter(is_unused).cloned().collect();
    (known, unused.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(ecosystem: Ecosystem, name: &str, version: &str) -> QueriedPackage {
        QueriedPackage { ecosystem, name: name.to_owned(), version: version.to_owned() }
    }

    fn finding(entry: &Value, name: &str, version: &str) -> Result<Option<Vulnerability>, String> {
        super::finding(entry, &subject(Ecosystem::PyPi, name, version))
    }

    fn entry() -> Value {
        json!({
            "id": "GHSA-1", "aliases": ["CVE-1"], "summary": "Bad",
            "affected": [
                {"package": {"ecosystem": "npm", "name": "jinja2"}, "versions": ["9"]},
                {"package": {"ecosystem": "PyPI", "name": "Jinja2"}, "ranges": [
                    {"type": "GIT", "events": [{"introduced": "0"}, {"fixed": "abc"}]},
                    {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.11.3"}, {"introduced": "3.0"}, {"last_affected": "3.1"}]}
                ], "versions": ["5.0"]}
            ]
        })
    }

    #[test]
    fn ranges_and_lists_of_versions_decide() {
        for (version, affected) in [
            ("2.11.2", true),
            ("2.11.3", false),
            ("3.0", true),
            ("3.1", true),
            ("3.1.1", false),
            ("5", true),
            ("9", false),
        ] {
            let found = finding(&entry(), "jinja2", version).unwrap();
            assert_eq!(found.is_some(), affected, "{version}");
        }
        let found = finding(&entry(), "jinja2", "2.0").unwrap().unwrap();
        assert_eq!(
            (found.id.as_str(), found.fixed, found.aliases),
            ("GHSA-1", vec!["2.11.3".to_owned()], vec!["CVE-1".to_owned()])
        );
        assert_eq!(finding(&entry(), "other", "1"), Ok(None));
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let mut strange = entry();
        strange["affected"][1] = json!({"package": {"ecosystem": "PyPI", "name": "jinja2"}});
        assert!(finding(&strange, "jinja2", "1").is_err());
        assert!(finding(&entry(), "jinja2", "not a version").is_err());
        let mut unknown = entry();
        unknown["affected"][1]["ranges"][1]["events"] = json!([{"gone": "1"}]);
        assert!(finding(&unknown, "jinja2", "1").is_err());
        let mut withdrawn = entry();
        withdrawn["withdrawn"] = json!("2020-01-01T00:00:00Z");
        assert_eq!(finding(&withdrawn, "jinja2", "1"), Ok(None));
    }

    #[test]
    fn a_database_is_a_folder_or_an_archive_and_has_to_be_whole() {
        let folder = tempfile::tempdir().unwrap();
        let subjects = BTreeSet::from(
            [("jinja2", "2.0"), ("six", "1")].map(|(name, version)| subject(Ecosystem::PyPi, name, version)),
        );
        assert!(look_up(folder.path(), &subjects).unwrap_err().contains("has no entry about Python packages"));
        std::fs::write(folder.path().join("GHSA-1.json"), entry().to_string()).unwrap();
        assert_eq!(look_up(folder.path(), &subjects).unwrap().len(), 1);
        let archive = folder.path().join("all.zip");
        let mut writer = zip::ZipWriter::new(File::create(&archive).unwrap());
        writer.start_file("GHSA-1.json", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, entry().to_string().as_bytes()).unwrap();
        writer.finish().unwrap();
        assert_eq!(look_up(&archive, &subjects).unwrap().len(), 1);
        std::fs::write(folder.path().join("x.json"), "{").unwrap();
        assert!(look_up(folder.path(), &subjects).is_err());
        assert!(look_up(&folder.path().join("none"), &subjects).is_err());
    }

    #[test]
    fn each_ecosystem_has_names_and_versions_of_its_own() {
        let range = |ecosystem: &str, name: &str, fixed: &str| {
            json!({"id": "X", "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": [
                {"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": fixed}]}]}]})
        };
        for (ecosystem, name, fixed, version, affected) in [
            (Ecosystem::Npm, "leaf", "1.0.0", "1.0.0-rc.1", true),
            (Ecosystem::Npm, "leaf", "1.0.0", "1.0.0", false),
            (Ecosystem::Npm, "Leaf", "1.0.0", "0.1.0", true),
            (Ecosystem::CratesIo, "leaf", "1.10.0", "1.9.0", true),
            (Ecosystem::RubyGems, "leaf", "1.0.0.beta2", "1.0.0.beta1", true),
            (Ecosystem::RubyGems, "leaf", "1.0", "1.0.0", false),
            (Ecosystem::Go, "example.org/leaf", "0.3.8", "v0.3.7", true),
        ] {
            let entry = range(ecosystem.name(), name, fixed);
            let found = super::finding(&entry, &subject(ecosystem, name, version)).unwrap();
            assert_eq!(found.is_some(), affected, "{ecosystem:?} {version}");
            assert_eq!(super::finding(&entry, &subject(Ecosystem::PyPi, name, version)), Ok(None));
        }
        let entry = range("npm", "leaf", "1.0.0");
        assert_eq!(super::finding(&entry, &subject(Ecosystem::Npm, "Leaf", "0.1.0")), Ok(None));
        assert!(super::finding(&entry, &subject(Ecosystem::Npm, "leaf", "latest")).is_err());
        let asked = question(&[(&subject(Ecosystem::Go, "m", "v1.0.0"), None)]);
        assert_eq!(asked["queries"][0], json!({"package": {"name": "m", "ecosystem": "Go"}, "version": "1.0.0"}));
    }

    #[test]
    fn a_database_that_knows_nothing_of_an_ecosystem_says_nothing_about_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("GHSA-1.json"), entry().to_string()).unwrap();
        let both = BTreeSet::from([subject(Ecosystem::PyPi, "six", "1"), subject(Ecosystem::Npm, "jinja2", "9")]);
        assert_eq!(look_up(folder.path(), &both).unwrap().len(), 1);
        let error = look_up(folder.path(), &BTreeSet::from([subject(Ecosystem::Go, "m", "v1")])).unwrap_err();
        assert!(error.contains("has no entry about Go packages"), "{error}");
    }

    #[test]
    fn a_service_has_to_answer_every_question() {
        let subject = subject(Ecosystem::PyPi, "six", "1");
        let asked = question(&[(&subject, None), (&subject, Some("t".to_owned()))]);
        assert_eq!(asked["queries"][0]["package"], json!({"name": "six", "ecosystem": "PyPI"}));
        assert_eq!(asked["queries"][1]["page_token"], "t");
        let answer = json!({"results": [{"vulns": [{"id": "A"}], "next_page_token": "n"}, {}]});
        assert_eq!(answers(&answer, 2), Ok(vec![(vec!["A".to_owned()], Some("n".to_owned())), (vec![], None)]));
        for bad in [
            json!({}),
            json!({"results": [{}]}),
            json!({"results": [{}, null]}),
            json!({"results": [{}, {"vulns": [{}]}]}),
        ] {
            assert!(answers(&bad, 2).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_ignored_by_any_of_its_names_is_left_out() {
        let mut findings = vec![finding(&entry(), "jinja2", "2.0").unwrap().unwrap()];
        let (known, unused) = ignore(&mut findings, &["CVE-1".to_owned(), "CVE-2".to_owned()]);
        assert_eq!((findings.len(), known[0].id.as_str(), unused), (0, "GHSA-1", vec!["CVE-2".to_owned()]));
        assert_eq!(known[0].cves(), ["CVE-1"]);
    }
}
