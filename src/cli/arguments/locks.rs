//! The options of the commands that work with locks.

use clap::{Arg, ArgAction};

use super::Verb;
use super::shapes::{choice, flag, under, value, values};

/// The output formats of `graph`.
pub const GRAPH_FORMATS: [&str; 3] = ["tree", "json", "mermaid"];
/// The output formats of `outdated` and `audit`.
pub const TABLE_FORMATS: [&str; 2] = ["table", "json"];

pub(super) fn arguments(verb: Verb) -> Vec<Arg> {
    let mut result = Vec::new();
    match verb {
        Verb::Lock => {
            result.push(flag("lock_check", "only check the locks; exit with 1 if one is out of date").long("check"));
            result.push(flag("lock_upgrade", "upgrade every package to its newest version").short('U').long("upgrade"));
            let help =
                "lock for this platform only, such as linux or x86_64-pc-windows-msvc; may be repeated [default: all]";
            result.push(value("lock_platforms", "P", help).long("python-platform").action(ArgAction::Append));
        }
        Verb::Update => {
            result.push(values("lock_names", "NAME", "packages to update [default: all]"));
        }
        Verb::Graph => {
            result.push(flag("graph_reverse", "list the dependents of each package instead").long("reverse"));
            let help = "set the output format: tree, json or mermaid [default: tree]";
            result.push(choice("graph_format", GRAPH_FORMATS, help).long("format").value_name("FORMAT"));
        }
        Verb::Audit => {
            let help = "read this folder or zip file of OSV entries instead of querying a service";
            result.push(value("audit_database", "PATH", help).long("db"));
            let help = "query the OSV service at this URL [default: https://api.osv.dev]";
            result.push(value("audit_service", "URL", help).long("service"));
            let help = "ignore this vulnerability, package or language; may be repeated";
            result.push(value("audit_ignored", "ID", help).long("ignore").action(ArgAction::Append));
        }
        Verb::Sbom => {
            result.push(value("sbom_file", "FILE", "write to this file").short('o').long("output-file"));
        }
        _ => {}
    }
    if matches!(verb, Verb::Outdated | Verb::Audit) {
        let help = "set the output format: table or json [default: table]";
        result.push(choice("lock_format", TABLE_FORMATS, help).long("format").value_name("FORMAT"));
    }
    under("Locks", result)
}
