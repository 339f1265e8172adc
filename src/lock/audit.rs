//! Checks locked packages for known vulnerabilities, for `envo audit`. It fails closed: a failed lookup is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::install::pip_settings::PipSettings;
use crate::lock::ecosystems::locked::{LockedEcosystems, languages_of_environments};
use crate::lock::ecosystems::{Ecosystem, EcosystemPackage, PackageKey, PackageOrigin};
use crate::lock::osv::{self, QueriedPackage, Vulnerability};
use crate::lock::project::ProjectLocks;
use crate::lock::service::{PATIENCE, ServiceError, VulnerabilityService};
use crate::lockfile::document::{LockDocument, LockedPackage};
use crate::lockfile::error::Unreachable;
use crate::lockfile::index::LockIndexEntry;
use crate::model::InterpreterLookup as _;
use crate::model::pep508::canonical_name;
use crate::python_text::escaped;

const SERVICE: &str = "https://api.osv.dev";

/// The maximum number of queries per request.
const MOST_QUESTIONS: usize = 1000;
/// The maximum number of pages in a response.
const MOST_PAGES: usize = 100;

/// The known vulnerabilities of locked packages.
pub struct AuditResult {
    pub affected: AffectedEnvs,
    pub findings: Vec<Vulnerability>,
    pub ignored: IgnoredFindings,
    /// Names of `--ignore` that match nothing.
    pub unmatched: Vec<String>,
}

pub fn audit(locks: &ProjectLocks<'_>) -> Result<AuditResult> {
    let documents = locks.documents()?;
    let names = &locks.options.locks.ignored;
    let languages = locks.languages(names)?;
    ensure_all_can_be_looked_up(names, &documents, &languages)?;
    let mut affected = affected(&documents, &languages);
    let mut ignored = IgnoredFindings {
        packages: affected
            .extract_if(.., |subject, _| is_named(names, subject.ecosystem, &subject.name))
            .map(|(it, _)| it)
            .collect(),
        ..IgnoredFindings::default()
    };
    let subjects = affected.keys().cloned().collect();
    let mut findings = match &locks.options.locks.database {
        // The text is partly the database's.
        Some(database) => osv::look_up(database, &subjects).map_err(|reason| anyhow!("{}", escaped(&reason))),
        None => queried(locks, &subjects).map_err(|error| locks.or_interrupted(error)),
    }
    .context("cannot check for vulnerabilities")?;
    let (known, unused) = osv::ignore(&mut findings, names);
    ignored.findings = known;
    let index = locks.index()?;
    let mut unmatched = Vec::new();
    for name in unused {
        let is_ignored = |subject: &QueriedPackage| is_named(slice::from_ref(&name), subject.ecosystem, &subject.name);
        if index.entries.values().any(|entry| has_language(entry, &name)) {
            ignored.languages.push(name);
        } else if !is_package(&name, &documents, &languages) {
            unmatched.push(name);
        } else if !ignored.packages.iter().any(is_ignored) {
            ignored.others.push(name);
        }
    }
    Ok(AuditResult { affected, findings, ignored, unmatched })
}

fn has_language(entry: &LockIndexEntry, name: &str) -> bool {
    entry.inputs.iter().any(|(input, _)| input.strip_suffix("-lock") == Some(name))
}

fn is_package(name: &str, documents: &[(String, LockDocument)], languages: &LockedEcosystems) -> bool {
    documents.iter().any(|(_, document)| document.package(&canonical_name(name)).is_some())
        || languages.read.iter().any(|one| one.contents.packages.keys().any(|(known, _)| known == name))
}

/// Whether one of the names is that of a package.
fn is_named(names: &[String], ecosystem: Ecosystem, package: &str) -> bool {
    names.iter().any(|name| match ecosystem {
        Ecosystem::PyPi => canonical_name(name) == package,
        _ => name == package,
    })
}

/// The findings and packages that `--ignore` excludes.
#[derive(Debug, Default)]
pub struct IgnoredFindings {
    pub findings: Vec<Vulnerability>,
    pub packages: Vec<QueriedPackage>,
    /// Packages that have no version which could be looked up.
    pub others: Vec<String>,
    pub languages: Vec<String>,
}

/// The packages that are looked up, and the environments that contain them.
pub type AffectedEnvs = BTreeMap<QueriedPackage, BTreeSet<String>>;

fn affected(documents: &[(String, LockDocument)], languages: &LockedEcosystems) -> AffectedEnvs {
    let mut places = AffectedEnvs::new();
    let mut add = |ecosystem, name: &str, version: &str, environment: &str| {
        let subject = QueriedPackage { ecosystem, name: name.to_owned(), version: version.to_owned() };
        places.entry(subject).or_default().insert(environment.to_owned());
    };
    for (environment, document) in documents {
        for package in &document.packages {
            if let Some(version) = &package.version {
                add(Ecosystem::PyPi, &package.name, version, environment);
            }
        }
    }
    for one in &languages.read {
        let of_index = |(_, package): &(&PackageKey, &EcosystemPackage)| package.origin == PackageOrigin::Index;
        for ((name, version), _) in one.contents.packages.iter().filter(of_index) {
            add(one.contents.ecosystem, name, version, &one.environment);
        }
    }
    places
}

/// What has no version that a database could know, and the locks that envo does not read.
fn ensure_all_can_be_looked_up(
    names: &[String],
    documents: &[(String, LockDocument)],
    languages: &LockedEcosystems,
) -> Result<()> {
    let mut missing: BTreeSet<String> = languages_of_environments(&languages.left_out).into_iter().collect();
    for (_, document) in documents {
        let is_meant = |package: &&LockedPackage| !is_named(names, Ecosystem::PyPi, &package.name);
        for package in document.packages.iter().filter(|package| package.version.is_none()).filter(is_meant) {
            missing.insert(format!("{} ({})", package.name, package.version_text()));
        }
    }
    for ((name, _), package) in languages.read.iter().flat_map(|one| &one.contents.packages) {
        if let PackageOrigin::Elsewhere(from) = &package.origin
            && !names.contains(name)
        {
            missing.insert(format!("{name} ({from})"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = escaped(&missing.into_iter().collect::<Vec<_>>().join(", "));
    bail!(
        "these cannot be looked up: {missing}\nhelp: `--ignore NAME` skips a package or a language that is checked by other means"
    );
}

/// Queries the service.
fn queried(locks: &ProjectLocks<'_>, subjects: &BTreeSet<QueriedPackage>) -> Result<Vec<Vulnerability>> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let mut variables = locks.run.host.clone();
    let settings = PipSettings::read(&variables, &locks.project.work_dir);
    if let Some(certificate) = settings.network.certificate.filter(|_| variables.get("SSL_CERT_FILE").is_none()) {
        variables.set("SSL_CERT_FILE", certificate);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
        if let Some(proxy) = settings.network.proxy.as_ref().filter(|_| variables.get(name).is_none()) {
            variables.set(name, proxy);
        }
    }
    let python = locks.discovery.host_python();
    let service = VulnerabilityService {
        python: &python,
        variables: &variables,
        interrupt: &locks.run.interrupt,
        patience: PATIENCE,
    };
    let base = locks.options.locks.service.as_deref().unwrap_or(SERVICE).trim_end_matches('/');
    let mut named: BTreeMap<String, BTreeSet<&QueriedPackage>> = BTreeMap::new();
    let mut open: Vec<(&QueriedPackage, Option<String>)> = subjects.iter().map(|subject| (subject, None)).collect();
    for _ in 0..MOST_PAGES {
        let mut next = Vec::new();
        for questions in open.chunks(MOST_QUESTIONS) {
            let answer = service
                .request(&format!("{base}/v1/querybatch"), Some(&osv::question(questions)))
                .map_err(unanswered)?;
            let answers = osv::answers(&answer, questions.len()).map_err(|reason| anyhow!("{reason}"))?;
            for ((subject, _), (ids, token)) in questions.iter().zip(answers) {
                for id in ids {
                    named.entry(id).or_default().insert(subject);
                }
                next.extend(token.map(|token| (*subject, Some(token))));
            }
        }
        open = next;
        if open.is_empty() {
            return described(&service, base, &named);
        }
    }
    bail!("{base} returned too many pages")
}

/// What the service knows of the vulnerabilities it named.
fn described(
    service: &VulnerabilityService<'_>,
    base: &str,
    named: &BTreeMap<String, BTreeSet<&QueriedPackage>>,
) -> Result<Vec<Vulnerability>> {
    let mut findings = Vec::new();
    for (id, subjects) in named {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if id.is_empty() || !id.chars().all(is_name) {
            bail!("{base} names a vulnerability `{}`", escaped(id));
        }
        let entry = service.request(&format!("{base}/v1/vulns/{id}"), None).map_err(unanswered)?;
        for subject in subjects.iter().copied() {
            // The service has said that they are affected; the entry only says more about it.
            findings.push(osv::described(&entry, subject, id));
        }
    }
    findings.sort();
    Ok(findings)
}

/// Some of the words are the other side's own.
fn unanswered(error: ServiceError) -> anyhow::Error {
    match error {
        ServiceError::Failed(reason) => anyhow!("{}", escaped(&reason)),
        ServiceError::Unreachable(reason) => Unreachable(format!(
            "{}\nhelp: without a network, `--db PATH` looks packages up in a downloaded database, such as \
             https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip",
            escaped(&reason)
        ))
        .into(),
    }
}
