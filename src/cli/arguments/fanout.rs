//! The options for slices, affected environments and merged results.

use clap::{Arg, ArgAction};

use super::Verb;
use super::shapes::{choice, flag, under, value, values};

/// The output formats of `list`, the default first.
pub const LIST_FORMATS: [&str; 3] = ["text", "json", "github"];
/// What `export` writes.
pub const EXPORTS: [&str; 8] =
    ["github", "gitlab", "slurm", "kubernetes", "compose", "dockerfile", "systemd", "procfile"];
/// Where `submit` runs environments.
pub const SCHEDULERS: [&str; 1] = ["slurm"];
/// What `cache` does.
pub const CACHE_ACTIONS: [&str; 3] = ["key", "size", "prune"];
/// The formats of the summary of `merge`, the default first.
pub const SUMMARIES: [&str; 2] = ["text", "github"];
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

/// The options that choose environments by what happened last.
pub(super) fn recent() -> Vec<Arg> {
    let help = "take only environments whose inputs have changed since --base";
    let affected = flag("affected", help).long("affected");
    let help = "compare with this commit [default: where the branch began, or what the CI service names]";
    let base = value("affected_base", "REV", help).long("base");
    let explain = flag("affected_explain", "say for each environment why it is taken or not").long("explain");
    let last_failed = flag("last_failed", "take only environments that failed when they last ran").long("last-failed");
    under("Changes", vec![affected, base, explain, last_failed])
}

/// The options that run environments again when files change.
pub(super) fn watching() -> Vec<Arg> {
    let help =
        "run again what is affected when files change, until interrupted; Enter runs all, f what failed, q quits";
    let watch = flag("watch", help).long("watch");
    let help = "with --watch, interrupt a run if files change during it, instead of running once more afterwards";
    under("Watching", vec![watch, flag("watch_restart", help).long("restart")])
}

/// The options of `merge`.
pub(super) fn merging() -> Vec<Arg> {
    let results = values("merge_files", "RESULT", "files that --result-json wrote").required(true);
    let help = "write the merged JSON report to this file";
    let json = value("result_json", "path", help).long("result-json");
    let help = "write the merged JUnit XML report to this file";
    let junit = value("junit_xml", "path", help).long("junit-xml");
    let help = "show the summary as text, or github: as a table in the summary of the job [default: text]";
    let summary = choice("merge_summary", SUMMARIES, help).long("summary").value_name("FORMAT");
    let help = "fail if one of these environments has no result (commas and braces allowed); may be repeated";
    let expect = value("merge_expected", "ENV", help).long("expect").action(ArgAction::Append);
    let help = "write how long each environment took to this file, for --balance time";
    let durations = value("merge_durations", "FILE", help).long("durations");
    under("Results", vec![results, json, junit, summary, expect, durations])
}

/// The options of `submit`.
pub(super) fn submitting() -> Vec<Arg> {
    let target = choice("submit_target", SCHEDULERS, "slurm").value_name("TARGET").required(true);
    let help = "divide the environments into N slices [default: four environments each]";
    let shards = value("submit_shards", "N", help).long("shards");
    let partition = value("submit_partition", "NAME", "use this partition").long("partition");
    under("Jobs", vec![target, shards, partition])
}

/// The options of `cache`.
pub(super) fn caching() -> Vec<Arg> {
    let action = choice("cache_action", CACHE_ACTIONS, "key, size or prune").value_name("ACTION").required(true);
    let help = "with prune, also remove logs and temporary files, which need not be stored";
    under("Cache", vec![action, flag("cache_ci", help).long("ci")])
}

/// The options of `export`.
pub(super) fn exporting() -> Vec<Arg> {
    let help = "github, gitlab, slurm, kubernetes, compose, dockerfile, systemd or procfile";
    let target = choice("export_target", EXPORTS, help).value_name("TARGET").required(true);
    let write = flag("export_write", "write the files to their usual places").long("write");
    let help = "exit with 1 if a file in its usual place is out of date";
    let check = flag("export_check", help).long("check").conflicts_with("export_write");
    under("Export", vec![target, write, check])
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
