//! The results of a run as a table in Markdown, for the summary of a job on GitHub Actions.

use std::fs::OpenOptions;
use std::io;
use std::io::Write as _;

use serde_json::Value;

use crate::event::EnvironmentResult;
use crate::model::EnvVariables;
use crate::report::plain;

/// Adds the table to the job's summary, or prints it if this is not a job. `content`: the result file.
pub fn github(results: &[EnvironmentResult], content: &Value, variables: &EnvVariables) -> io::Result<()> {
    let text = markdown(results, content);
    match variables.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) {
        Some(path) => OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes()),
        None => {
            plain::out(&text);
            Ok(())
        }
    }
}

/// How many attempts of an environment's commands were followed by another one (`commands_retry`).
fn retries(content: &Value, environment: &str) -> usize {
    let commands = content["testenvs"][environment]["test"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_retry = |pair: &&[Value]| {
        let same = |key: &str| pair[0][key] == pair[1][key];
        same("run_id") && same("command") && pair[0]["retcode"] != 0
    };
    commands.windows(2).filter(is_retry).count()
}

/// Failures first; otherwise in the order of the results.
fn markdown(results: &[EnvironmentResult], content: &Value) -> String {
    let mut rows: Vec<(bool, String)> = Vec::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for result in results {
        let outcome = match result {
            EnvironmentResult { unavailable: true, .. } => "not available".to_owned(),
            EnvironmentResult { skipped: true, .. } => "skipped".to_owned(),
            EnvironmentResult { code: 0, .. } => "passed".to_owned(),
            EnvironmentResult { ignore_outcome: true, code, .. } => format!("ignored (exit code {code})"),
            EnvironmentResult { code, .. } => format!("**failed** (exit code {code})"),
        };
        let is_failure = outcome.starts_with('*');
        *(match outcome.as_str() {
            "skipped" | "not available" => &mut skipped,
            _ if is_failure => &mut failed,
            _ => &mut passed,
        }) += 1;
        let retries = match retries(content, &result.name) {
            0 => String::new(),
            1 => ", after a retry".to_owned(),
            count => format!(", after {count} retries"),
        };
        let name = result.name.replace('|', "\\|");
        rows.push((
            is_failure,
            format!("| {name} | {outcome}{retries} | {} |\n", format_args!("{:.1} s", result.duration_seconds)),
        ));
    }
    let mut text = format!("### envo: {failed} failed, {passed} passed, {skipped} skipped\n\n");
    text.push_str("| environment | outcome | time |\n|---|---|---|\n");
    rows.sort_by_key(|(is_failure, _)| !is_failure);
    rows.iter().for_each(|(_, row)| text.push_str(row));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_come_first_and_are_counted() {
        let result = |name: &str, code| EnvironmentResult {
            name: name.into(),
            code,
            duration_seconds: 2.0,
            ..EnvironmentResult::default()
        };
        let skipped = EnvironmentResult { skipped: true, ..result("c", -2) };
        let ignored = EnvironmentResult { ignore_outcome: true, ..result("d", 4) };
        let command = |code| serde_json::json!({"run_id": "commands[0]", "command": ["x"], "retcode": code});
        let content =
            serde_json::json!({"testenvs": {"a": {"test": [command(1), command(0)]}, "b": {"test": [command(3)]}}});
        let text = markdown(&[result("a", 0), result("b", 3), skipped, ignored], &content);
        assert!(text.contains("| a | passed, after a retry | 2.0 s |\n| c | skipped | 2.0 s |"), "{text}");
        assert!(text.starts_with("### envo: 1 failed, 2 passed, 1 skipped\n"), "{text}");
        let names: Vec<&str> = text.lines().skip(4).filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(names, ["b", "a", "c", "d"]);
    }
}
