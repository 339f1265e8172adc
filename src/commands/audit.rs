//! `envo audit`: checks locked packages for known vulnerabilities. It fails closed: a failed lookup is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;

use crate::cli::options::Options;
use crate::commands::locked_ecosystems::LockedEcosystems;
use crate::commands::locking::Locks;
use crate::error::ConfigError;
use crate::exit_code;
use crate::install::pip_settings::PipSettings;
use crate::lock::document::LockDocument;
use crate::lock::ecosystems::{Ecosystem, EcosystemPackage, PackageKey, PackageOrigin};
use crate::lock::error::Unreachable;
use crate::lock::index::{LockIndex, LockIndexEntry};
use crate::lock::osv::{self, QueriedPackage, Vulnerability};
use crate::lock::service::{PATIENCE, ServiceError, VulnerabilityService};
use crate::model::InterpreterLookup as _;
use crate::model::pep508::canonical_name;
use crate::python_text::{escaped, is_printable};
use crate::report::plain;
use crate::report::table;

const SERVICE: &str = "https://api.osv.dev";
const HEAD: [&str; 8] =
    ["PACKAGE", "VERSION", "VULNERABILITY", "CVE", "SEVERITY", "FIXED IN", "ENVIRONMENTS", "SUMMARY"];
/// The columns to omit on a narrow terminal, in that order.
const DISPENSABLE: [&str; 2] = ["SUMMARY", "ENVIRONMENTS"];
/// The maximum length of a summary in characters.
const LONGEST_SUMMARY: usize = 200;

/// The maximum number of queries per request.
const MOST_QUESTIONS: usize = 1000;
/// The maximum number of pages in a response.
const MOST_PAGES: usize = 100;

pub fn execute(options: &Options) -> Result<i32> {
    let locks = Locks::open(options)?;
    let outcome = look_up(options, &locks);
    locks.end(outcome)
}

fn look_up(options: &Options, locks: &Locks) -> Result<i32> {
    let documents = locks.documents(options)?;
    let names = &options.locks.ignored;
    let languages = locks.languages(options, names)?;
    ensure_all_can_be_looked_up(options, &documents, &languages)?;
    let mut places = affected(&documents, &languages);
    let mut ignored = IgnoredFindings {
        packages: places
            .extract_if(.., |subject, _| is_named(names, subject.ecosystem, &subject.name))
            .map(|(it, _)| it)
            .collect(),
        ..IgnoredFindings::default()
    };
    let subjects = places.keys().cloned().collect();
    let mut findings = match &options.locks.database {
        // Some of the words are others' own.
        Some(database) => osv::look_up(database, &subjects).map_err(|reason| anyhow!("{}", escaped(&reason))),
        None => selected(options, locks, &subjects).map_err(|error| locks.or_interrupted(error)),
    }
    .context("cannot check for vulnerabilities")?;
    let (known, unused) = osv::ignore(&mut findings, names);
    ignored.findings = known;
    let runtimes = LockIndex::read(&locks.project.root).map_err(ConfigError::from)?;
    for name in unused {
        if runtimes.entries.values().any(|entry| has_language(entry, &name)) {
            ignored.languages.push(name);
        } else if !is_package(&name, &documents, &languages) {
            plain::error(&format!("`--ignore {name}` matches no finding\n"));
        } else if !ignored
            .packages
            .iter()
            .any(|subject| is_named(slice::from_ref(&name), subject.ecosystem, &subject.name))
        {
            ignored.others.push(name);
        }
    }
    report(options, &places, &findings, &ignored)?;
    Ok(if findings.is_empty() { exit_code::OK } else { exit_code::FAILED })
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
struct IgnoredFindings {
    findings: Vec<Vulnerability>,
    packages: Vec<QueriedPackage>,
    /// Packages that have no version which could be looked up.
    others: Vec<String>,
    languages: Vec<String>,
}

impl IgnoredFindings {
    /// How much it is, and its names; `None` when that is nothing.
    fn sentence(&self) -> Option<String> {
        let of_finding = |finding: &Vulnerability| {
            let others: Vec<&str> = finding.cves().into_iter().filter(|cve| *cve != finding.id).collect();
            let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
            format!("{}{others} in {}", finding.id, of_package(&finding.subject))
        };
        let packages = self.packages.iter().map(of_package).chain(self.others.iter().cloned());
        let part = |names: Vec<String>, one: &str, several: &str| {
            let count = names.len();
            (count > 0).then(|| format!("{count} {}: {}", if count == 1 { one } else { several }, names.join(", ")))
        };
        let parts = [
            part(self.findings.iter().map(of_finding).collect(), "vulnerability", "vulnerabilities"),
            part(packages.collect(), "package", "packages"),
            part(self.languages.clone(), "language", "languages"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| escaped(&format!("ignored {}", parts.join("; "))))
    }
}

fn of_package(subject: &QueriedPackage) -> String {
    format!("{} {}", named(subject), subject.version)
}

/// What is looked up, and which environments have it.
type AffectedEnvs = BTreeMap<QueriedPackage, BTreeSet<String>>;

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
    options: &Options,
    documents: &[(String, LockDocument)],
    languages: &LockedEcosystems,
) -> Result<()> {
    let names = &options.locks.ignored;
    let mut missing: BTreeSet<String> = languages.left_out().into_iter().collect();
    for (_, document) in documents {
        let is_meant =
            |package: &&crate::lock::document::LockedPackage| !is_named(names, Ecosystem::PyPi, &package.name);
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

/// Asks the service.
fn selected(options: &Options, locks: &Locks, subjects: &BTreeSet<QueriedPackage>) -> Result<Vec<Vulnerability>> {
    if subjects.is_empty() {
        return Ok(Vec::new());
    }
    let mut variables = options.variables.clone();
    let settings = PipSettings::read(&variables, &locks.project.work_dir);
    if let Some(certificate) = settings.certificate.filter(|_| variables.get("SSL_CERT_FILE").is_none()) {
        variables.set("SSL_CERT_FILE", certificate);
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
        if let Some(proxy) = settings.proxy.as_ref().filter(|_| variables.get(name).is_none()) {
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
    let base = options.locks.service.as_deref().unwrap_or(SERVICE).trim_end_matches('/');
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

fn report(
    options: &Options,
    places: &AffectedEnvs,
    findings: &[Vulnerability],
    ignored: &IgnoredFindings,
) -> Result<()> {
    let sentence = ignored.sentence().map(|sentence| format!("{sentence}\n")).unwrap_or_default();
    let environments =
        |finding: &Vulnerability| places.get(&finding.subject).into_iter().flatten().cloned().collect::<Vec<_>>();
    if options.locks.format == "json" {
        let entry = |finding: &Vulnerability| {
            json!({
                "package": finding.subject.name, "version": finding.subject.version,
                "ecosystem": finding.subject.ecosystem.name(), "id": finding.id, "aliases": finding.aliases,
                "severity": finding.severity, "fixed": finding.fixed, "summary": finding.summary, "environments": environments(finding),
            })
        };
        let text = serde_json::to_string_pretty(&findings.iter().map(entry).collect::<Vec<_>>())?;
        plain::out(&format!("{}\n", printable_json(&text)));
        plain::error(&sentence);
        return Ok(());
    }
    if findings.is_empty() {
        let beyond = if ignored.findings.is_empty() { "" } else { " except those ignored" };
        let count = places.len();
        plain::out(&format!("{count} packages checked, no known vulnerabilities{beyond}\n{sentence}"));
        return Ok(());
    }
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let row = |finding: &Vulnerability| {
        vec![
            named(&finding.subject),
            finding.subject.version.clone(),
            finding.id.clone(),
            or_dash(finding.cves().join(", ")),
            or_dash(finding.severity.clone().unwrap_or_default()),
            or_dash(finding.fixed.join(", ")),
            environments(finding).join(", "),
            or_dash(finding.summary.chars().take(LONGEST_SUMMARY).collect()),
        ]
    };
    let rows: Vec<_> = findings.iter().map(row).collect();
    plain::out(&table::format_within(plain::width(), (&HEAD, &rows), &DISPENSABLE));
    plain::out(&sentence);
    Ok(())
}

/// JSON in which whatever a terminal would obey is escaped: JSON's writer leaves much of that as it is.
fn printable_json(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\n' || is_printable(character) {
            result.push(character);
        } else {
            let units =
                character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            result.push_str(&units);
        }
    }
    result
}

/// Python's packages have no more than their name, since they are what envo is asked about most.
fn named(subject: &QueriedPackage) -> String {
    match subject.ecosystem {
        Ecosystem::PyPi => subject.name.clone(),
        other => format!("{} ({})", subject.name, other.name()),
    }
}
