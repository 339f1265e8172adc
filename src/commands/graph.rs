//! `envo graph` and `envo sbom`: show locked packages as a dependency graph and as a bill of materials.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cli::options::{Options, Verb};
use crate::commands::locks::{hint_left_out, with_locks};
use crate::error::ConfigError;
use crate::exit_code;
use crate::lock::ProjectLocks;
use crate::lock::dependencies;
use crate::lock::graph::PackageGraph;
use crate::lock::sbom;
use crate::lockfile::write::replace;
use crate::python_text::python_repr;
use crate::report::junit::timestamp;
use crate::report::plain;

const SOURCE_DATE: &str = "SOURCE_DATE_EPOCH";
/// The end of the year 9999, in seconds since 1970.
const LATEST: u64 = 253_402_300_799;

pub fn execute(options: &Options) -> Result<i32> {
    with_locks(options, |locks| if options.verb == Verb::Sbom { write_sbom(locks) } else { show_graphs(locks) })
}

fn show_graphs(locks: &ProjectLocks<'_>) -> Result<i32> {
    let options = &locks.options.locks;
    let (mut graphs, left_out) = dependencies::graphs(locks)?;
    if options.reverse {
        graphs = graphs.iter().map(PackageGraph::reversed).collect();
    }
    let text = match options.format.as_str() {
        "json" => {
            let graphs: Vec<_> = graphs.iter().map(PackageGraph::json).collect();
            format!("{}\n", serde_json::to_string_pretty(&json!(graphs))?)
        }
        "mermaid" => {
            let bodies = graphs.iter().enumerate().map(|(at, graph)| graph.mermaid(&format!("e{at}")));
            format!("flowchart LR\n{}", bodies.collect::<String>())
        }
        _ => graphs.iter().map(PackageGraph::tree).collect::<Vec<_>>().join("\n"),
    };
    plain::out(&text);
    hint_left_out(&left_out);
    Ok(exit_code::OK)
}

fn write_sbom(locks: &ProjectLocks<'_>) -> Result<i32> {
    let sbom = sbom::sbom(locks, &format!("{}Z", timestamp(time_of(locks.options)?)))?;
    for (name, reason) in &sbom.incomplete {
        plain::error(&format!("{name}: exported without dependencies: {reason}\n"));
    }
    match &locks.options.locks.output_file {
        Some(file) => {
            replace(file, sbom.text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?
        }
        None => plain::out(&sbom.text),
    }
    hint_left_out(&sbom.left_out);
    Ok(exit_code::OK)
}

/// The time of the document: `SOURCE_DATE_EPOCH`, for reproducible output, else now.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
#[expect(clippy::disallowed_methods, reason = "readers want the time of the clock on the wall")]
fn time_of(options: &Options) -> Result<SystemTime, ConfigError> {
    let said = options.process.variables.get(SOURCE_DATE).filter(|said| !said.is_empty());
    let Some(said) = said.map(|said| said.to_string_lossy()) else { return Ok(SystemTime::now()) };
    let seconds = said.parse().ok().filter(|seconds| *seconds <= LATEST);
    seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)).ok_or_else(|| {
        ConfigError::handled(format!("invalid {SOURCE_DATE}: {}", python_repr(&said)))
            .hint("write a number of seconds since 1970-01-01T00:00:00Z")
    })
}
