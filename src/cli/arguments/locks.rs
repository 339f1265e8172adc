//! What the commands around locks take.

use clap::{Arg, ArgAction};

use super::Verb;
use super::shapes::{choice, flag, under, value, values};

/// How `graph` can write.
pub const GRAPH_FORMATS: [&str; 3] = ["tree", "json", "mermaid"];
/// How `outdated` and `audit` can write.
pub const TABLE_FORMATS: [&str; 2] = ["table", "json"];

pub(super) fn arguments(verb: Verb) -> Vec<Arg> {
    let mut result = Vec::new();
    match verb {
        Verb::Lock => {
            result.push(flag("lock_check", "only say whether the locks fit; 1 if one does not").long("check"));
            result.push(flag("lock_upgrade", "let every version move").short('U').long("upgrade"));
            let help =
                "lock for this platform only, such as linux or x86_64-pc-windows-msvc; may be repeated [default: all]";
            result.push(value("lock_platforms", "P", help).long("python-platform").action(ArgAction::Append));
        }
        Verb::Update => {
            result.push(values("lock_names", "NAME", "these packages [default: all]"));
        }
        Verb::Graph => {
            result.push(flag("graph_reverse", "below each package what requires it").long("reverse"));
            let help = "how to write it: tree, json or mermaid [default: tree]";
            result.push(choice("graph_format", GRAPH_FORMATS, help).long("format").value_name("FORMAT"));
        }
        Verb::Audit => {
            let help = "a folder or zip file with entries in OSV's format, in place of the service";
            result.push(value("audit_database", "PATH", help).long("db"));
            let help = "the address of a service that speaks OSV's protocol [default: https://api.osv.dev]";
            result.push(value("audit_service", "URL", help).long("service"));
            let help = "leave out the vulnerability, package or language of this name; may be repeated";
            result.push(value("audit_ignored", "ID", help).long("ignore").action(ArgAction::Append));
        }
        Verb::Sbom => {
            result.push(value("sbom_file", "FILE", "write to this file").short('o').long("output-file"));
        }
        _ => {}
    }
    if matches!(verb, Verb::Outdated | Verb::Audit) {
        let help = "how to write it: table or json [default: table]";
        result.push(choice("lock_format", TABLE_FORMATS, help).long("format").value_name("FORMAT"));
    }
    under("Locks", result)
}
