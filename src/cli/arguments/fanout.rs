//! The options for slices, affected environments and merged results.

use clap::Arg;

use super::Verb;
use super::shapes::{choice, flag, under, value};

/// The output formats of `list`, the default first.
pub const LIST_FORMATS: [&str; 3] = ["text", "json", "github"];
/// The values of `--balance`, the default first.
pub const BALANCES: [&str; 3] = ["count", "hash", "time"];

/// The options of the commands that run or list a part of the selected environments.
pub(super) fn slices() -> Vec<Arg> {
    let help = "take only slice K of N, such as 2/5; auto takes both numbers from the CI service or scheduler";
    let shard = value("shard", "K/N", help).long("shard").conflicts_with("after_shards");
    let help = "balance slices by count (the default), time (recorded durations), or hash (of the names)";
    let balance = choice("balance", BALANCES, help).long("balance").value_name("BY");
    let help = "with --balance time, read the durations that `merge --durations` wrote from this file";
    let durations = value("durations", "FILE", help).long("durations");
    let help = "take only environments that no slice contains because they depend on most of the others";
    under("Slices", vec![shard, balance, durations, flag("after_shards", help).long("after-shards")])
}

/// The output format of `list`.
pub(super) fn list_format() -> Arg {
    let help = "set the output format: text, json, or github (a matrix for GitHub Actions) [default: text]";
    choice("list_format", LIST_FORMATS, help).long("format").value_name("FORMAT")
}

/// Whether the command has the options of [`slices`].
pub(super) fn chooses(verb: Verb) -> bool {
    matches!(verb, Verb::Run | Verb::RunParallel | Verb::List)
}
