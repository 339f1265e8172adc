//! `envo audit`: reports known vulnerabilities of locked packages.

use anyhow::Result;
use serde_json::json;

use crate::cli::options::Options;
use crate::commands::locks::with_locks;
use crate::exit_code;
use crate::lock::audit::{AuditResult, IgnoredFindings, audit};
use crate::lock::ecosystems::Ecosystem;
use crate::lock::osv::{QueriedPackage, Vulnerability};
use crate::python_text::{escaped, is_printable};
use crate::report::plain;
use crate::report::table;

const HEAD: [&str; 8] =
    ["PACKAGE", "VERSION", "VULNERABILITY", "CVE", "SEVERITY", "FIXED IN", "ENVIRONMENTS", "SUMMARY"];
/// The columns to omit on a narrow terminal, in that order.
const DISPENSABLE: [&str; 2] = ["SUMMARY", "ENVIRONMENTS"];
/// The maximum length of a summary in characters.
const LONGEST_SUMMARY: usize = 200;

pub fn execute(options: &Options) -> Result<i32> {
    with_locks(options, |locks| {
        let result = audit(locks)?;
        for name in &result.unmatched {
            plain::error(&format!("`--ignore {name}` matches no finding\n"));
        }
        report(options, &result)?;
        Ok(if result.findings.is_empty() { exit_code::OK } else { exit_code::FAILED })
    })
}

/// The number and names of what was ignored; `None` if nothing was.
fn ignored_sentence(ignored: &IgnoredFindings) -> Option<String> {
    let of_finding = |finding: &Vulnerability| {
        let others: Vec<&str> = finding.cves().into_iter().filter(|cve| *cve != finding.id).collect();
        let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
        format!("{}{others} in {}", finding.id, of_package(&finding.subject))
    };
    let packages = ignored.packages.iter().map(of_package).chain(ignored.others.iter().cloned());
    let part = |names: Vec<String>, one: &str, several: &str| {
        let count = names.len();
        (count > 0).then(|| format!("{count} {}: {}", if count == 1 { one } else { several }, names.join(", ")))
    };
    let parts = [
        part(ignored.findings.iter().map(of_finding).collect(), "vulnerability", "vulnerabilities"),
        part(packages.collect(), "package", "packages"),
        part(ignored.languages.clone(), "language", "languages"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| escaped(&format!("ignored {}", parts.join("; "))))
}

fn of_package(subject: &QueriedPackage) -> String {
    format!("{} {}", named(subject), subject.version)
}

fn report(options: &Options, result: &AuditResult) -> Result<()> {
    let AuditResult { affected, findings, ignored, .. } = result;
    let sentence = ignored_sentence(ignored).map(|sentence| format!("{sentence}\n")).unwrap_or_default();
    let environments =
        |finding: &Vulnerability| affected.get(&finding.subject).into_iter().flatten().cloned().collect::<Vec<_>>();
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
        let count = affected.len();
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
