//! `envo audit`: looks locked packages up among known vulnerabilities. It fails closed: what could not be looked up is an
//! error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::json;

use super::locking::Locks;
use crate::cli::options::Options;
use crate::exit_code;
use crate::install::pip_settings::PipSettings;
use crate::lock::document::Document;
use crate::lock::osv::{self, Finding, Subject};
use crate::lock::service::Service;
use crate::model::InterpreterLookup as _;
use crate::report::{plain, table};

const SERVICE: &str = "https://api.osv.dev";
const HEAD: [&str; 6] = ["PACKAGE", "VERSION", "VULNERABILITY", "FIXED IN", "ENVIRONMENTS", "SUMMARY"];

/// How many questions the service takes at once.
const MOST_QUESTIONS: usize = 1000;
/// An answer that goes on for longer than this is no answer.
const MOST_PAGES: usize = 100;

/// # Errors
/// When the configuration or a lock is wrong, or anything could not be looked up.
pub fn execute(options: &Options) -> Result<i32> {
    let locks = Locks::open(options)?;
    let documents = locks.documents(options)?;
    let ignored = &options.locks.ignored;
    ensure_all_can_be_looked_up(&locks, options, &documents)?;
    let subjects = subjects(&documents);
    let mut findings = match &options.locks.database {
        Some(database) => osv::look_up(database, &subjects).map_err(|reason| anyhow!("{reason}")),
        None => asked(options, &locks, &subjects),
    }
    .context("nothing can be said about vulnerabilities")?;
    let languages = locks.other_languages(options)?;
    for name in osv::ignore(&mut findings, ignored) {
        let is_language = languages.iter().any(|(_, language)| *language == name);
        if !is_language && documents.iter().all(|(_, document)| document.package(&name).is_none()) {
            plain::error(&format!("`--ignore {name}` fits nothing that was found\n"));
        }
    }
    tell(options, &documents, &findings, subjects.len())?;
    Ok(if findings.is_empty() { exit_code::OK } else { exit_code::FAILED })
}

fn subjects(documents: &[(String, Document)]) -> BTreeSet<Subject> {
    let packages = documents.iter().flat_map(|(_, document)| &document.packages);
    packages.filter_map(|package| Some((package.name.clone(), package.version.clone()?))).collect()
}

/// What has no version that a database could know, and the locks of other languages.
fn ensure_all_can_be_looked_up(locks: &Locks, options: &Options, documents: &[(String, Document)]) -> Result<()> {
    let ignored = |name: &str| options.locks.ignored.iter().any(|one| one == name);
    let mut missing = BTreeSet::new();
    for (_, document) in documents {
        for package in document.packages.iter().filter(|package| package.version.is_none() && !ignored(&package.name)) {
            missing.insert(format!("{} ({})", package.name, package.version_text()));
        }
    }
    for (environment, language) in locks.other_languages(options)? {
        if !ignored(&language) {
            missing.insert(format!("the packages of {language} in {environment}"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.into_iter().collect::<Vec<_>>().join(", ");
    bail!(
        "these cannot be looked up: {missing}\nhelp: `--ignore NAME` leaves out a package or a language that is looked after otherwise"
    );
}

/// Asks the service.
fn asked(options: &Options, locks: &Locks, subjects: &BTreeSet<Subject>) -> Result<Vec<Finding>> {
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
    let service = Service { python: &python, variables: &variables, interrupt: &locks.run.interrupt };
    let base = options.locks.service.as_deref().unwrap_or(SERVICE).trim_end_matches('/');
    let mut named: BTreeMap<String, BTreeSet<&Subject>> = BTreeMap::new();
    let mut open: Vec<(&Subject, Option<String>)> = subjects.iter().map(|subject| (subject, None)).collect();
    for _ in 0..MOST_PAGES {
        let mut next = Vec::new();
        for questions in open.chunks(MOST_QUESTIONS) {
            let answer = service
                .ask(&format!("{base}/v1/querybatch"), Some(&osv::question(questions)))
                .map_err(|reason| anyhow!("{reason}"))?;
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
    bail!("{base} always has one page more")
}

/// What the service knows of the vulnerabilities it named.
fn described(service: &Service<'_>, base: &str, named: &BTreeMap<String, BTreeSet<&Subject>>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (id, subjects) in named {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if id.is_empty() || !id.chars().all(is_name) {
            bail!("{base} names a vulnerability `{id}`");
        }
        let entry = service.ask(&format!("{base}/v1/vulns/{id}"), None).map_err(|reason| anyhow!("{reason}"))?;
        for (name, version) in subjects.iter().copied() {
            // The service has said that they are affected; the entry only says more about it.
            findings.push(osv::described(&entry, name, version, id));
        }
    }
    findings.sort();
    Ok(findings)
}

fn tell(options: &Options, documents: &[(String, Document)], findings: &[Finding], count: usize) -> Result<()> {
    let environments = |finding: &Finding| {
        let has = |document: &Document| {
            document.packages.iter().any(|package| {
                package.name == finding.name && package.version.as_deref() == Some(finding.version.as_str())
            })
        };
        documents.iter().filter(|(_, document)| has(document)).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    if options.locks.format == "json" {
        let entry = |finding: &Finding| {
            json!({
                "package": finding.name, "version": finding.version, "id": finding.id, "aliases": finding.aliases,
                "fixed": finding.fixed, "summary": finding.summary, "environments": environments(finding),
            })
        };
        let text = serde_json::to_string_pretty(&findings.iter().map(entry).collect::<Vec<_>>())?;
        plain::out(&format!("{text}\n"));
        return Ok(());
    }
    if findings.is_empty() {
        plain::out(&format!("{count} packages were looked up, and no vulnerability is known\n"));
        return Ok(());
    }
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let row = |finding: &Finding| {
        vec![
            finding.name.clone(),
            finding.version.clone(),
            finding.id.clone(),
            or_dash(finding.fixed.join(", ")),
            environments(finding).join(", "),
            or_dash(finding.summary.clone()),
        ]
    };
    plain::out(&table::lay_out(&HEAD, &findings.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}
