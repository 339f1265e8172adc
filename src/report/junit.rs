//! A run as JUnit XML, the format for test results in CI servers: a test suite for each environment, in it a
//! test case for each command. Collects events and writes the file on request; has no influence on the run.
//!
//! Written by hand since quick-junit (0.8) removes tabs from output and passes U+FFFE, which XML forbids.
//! The structure is the one that pytest writes and that the readers of Jenkins, GitLab and others expect.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::date;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::event::{EnvironmentResult, JunitCounts, JunitPart, Level, OutputStream, Reporter, RunEvent};
use crate::python_text::shlex;
use crate::report::xml;

/// How much of the end of each output stream of a command is kept.
const KEPT: usize = 256 * 1024;

#[derive(Debug)]
pub struct JunitReporter {
    began: SystemTime,
    suites: Mutex<Vec<JunitSuite>>,
}

/// One environment.
#[derive(Debug)]
struct JunitSuite {
    name: String,
    began: SystemTime,
    cases: Vec<JunitCase>,
    /// Errors outside commands.
    complaints: Vec<String>,
    result: Option<EnvironmentResult>,
}

/// One command.
#[derive(Debug)]
struct JunitCase {
    run_id: String,
    command: String,
    output: HashMap<OutputStream, Vec<u8>>,
    seconds: f64,
    exit_code: i32,
    outcome: JunitOutcome,
    /// The exit codes of earlier attempts (`commands_retry`).
    earlier: Vec<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JunitOutcome {
    Running,
    Passed,
    Failed,
    /// It failed and that is ignored.
    Tolerated,
}

impl JunitReporter {
    #[expect(clippy::disallowed_methods, reason = "the report has wall-clock times")]
    pub fn new() -> Self {
        Self { began: SystemTime::now(), suites: Mutex::default() }
    }

    fn suites(&self) -> MutexGuard<'_, Vec<JunitSuite>> {
        self.suites.lock()
    }

    fn with_suite(&self, name: &str, change: impl FnOnce(&mut JunitSuite)) {
        let mut suites = self.suites();
        let at = suites.iter().position(|suite| suite.name == name).unwrap_or_else(|| {
            suites.push(JunitSuite::new(name));
            suites.len() - 1
        });
        change(&mut suites[at]);
    }

    /// Writes the file, and creates missing folders above it.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::write(file, self.to_xml())
    }

    /// The file's content.
    pub fn to_xml(&self) -> String {
        document(&self.parts(), self.began.elapsed().unwrap_or_default().as_secs_f64())
    }

    /// The report of each environment, in the order in which they started.
    pub fn parts(&self) -> Vec<JunitPart> {
        let part = |suite: &JunitSuite| {
            let mut xml = String::new();
            let counts = suite.write(&mut xml);
            JunitPart { environment: suite.name.clone(), counts, xml }
        };
        self.suites().iter().filter(|suite| !suite.is_empty()).map(part).collect()
    }
}

/// A file with the reports of environments.
pub fn document(parts: &[JunitPart], seconds: f64) -> String {
    let mut total = JunitCounts::default();
    parts.iter().for_each(|part| total.add(part.counts));
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"envo\" {} time=\"{seconds:.3}\">", total.attributes());
    parts.iter().for_each(|part| text.push_str(&part.xml));
    text.push_str("</testsuites>\n");
    text
}

/// The reports of environments of which only a result file is left.
pub fn parts_of_results(content: &Value, results: &[EnvironmentResult]) -> Vec<JunitPart> {
    let reporter = JunitReporter::new();
    for result in results {
        let environment = &result.name;
        for list in ["setup", "test"] {
            let commands = content["testenvs"][environment][list].as_array();
            commands.into_iter().flatten().for_each(|command| replay(&reporter, environment, command));
        }
        reporter.with_suite(environment, |suite| suite.result = Some(result.clone()));
    }
    reporter.parts()
}

/// Reports a command of a result file again.
fn replay(reporter: &JunitReporter, environment: &str, recorded: &Value) {
    let text = |key: &str| recorded[key].as_str().unwrap_or_default().to_owned();
    let words = recorded["command"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let (run_id, command) = (text("run_id"), shlex::join(&words.collect::<Vec<_>>()));
    let exit_code = recorded["retcode"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or(0);
    let failed = exit_code != 0 && run_id.starts_with("commands");
    let environment = environment.to_owned();
    reporter.event(RunEvent::CommandStarted {
        environment: environment.clone(),
        run_id: run_id.clone(),
        cwd: String::new(),
        command: command.clone(),
    });
    if recorded["show_on_standard"] == true {
        for (key, stream) in [("output", OutputStream::Out), ("err", OutputStream::Error)] {
            let (environment, bytes) = (environment.clone(), text(key).into_bytes());
            reporter.event(RunEvent::Output { environment, stream, bytes });
        }
    }
    reporter.event(RunEvent::CommandFinished {
        environment,
        run_id,
        cwd: String::new(),
        command,
        exit_code,
        seconds: recorded["elapsed"].as_f64().unwrap_or(0.0),
        pid: None,
        level: if failed { Level::Critical } else { Level::Info },
        tolerated: false,
    });
}

impl Default for JunitReporter {
    fn default() -> Self {
        Self::new()
    }
}

impl Reporter for JunitReporter {
    fn event(&self, event: RunEvent) {
        match event {
            RunEvent::EnvironmentStarted { environment } => self.with_suite(&environment, |_| {}),
            RunEvent::CommandStarted { environment, run_id, command, .. } => {
                self.with_suite(&environment, |suite| suite.begin(run_id, command));
            }
            RunEvent::Output { environment, stream, bytes } => self.with_suite(&environment, |suite| {
                if let Some(case) = suite.cases.last_mut() {
                    case.keep(stream, &bytes);
                }
            }),
            RunEvent::CommandFinished {
                environment, run_id, command, exit_code, seconds, level, tolerated, ..
            } => {
                let outcome = match level {
                    Level::Critical if tolerated => JunitOutcome::Tolerated,
                    Level::Critical => JunitOutcome::Failed,
                    _ => JunitOutcome::Passed,
                };
                self.with_suite(&environment, |suite| {
                    if suite.cases.last().is_none_or(|case| case.outcome != JunitOutcome::Running) {
                        suite.begin(run_id, command);
                    }
                    if let Some(case) = suite.cases.last_mut() {
                        (case.exit_code, case.seconds, case.outcome) = (exit_code, seconds, outcome);
                    }
                });
            }
            RunEvent::Message { environment, level: Level::Error | Level::Warning, text } if environment != "ROOT" => {
                self.with_suite(&environment, |suite| suite.complaints.push(text));
            }
            RunEvent::EnvironmentFinished { result, .. } => {
                self.with_suite(&result.name.clone(), |suite| suite.result = Some(result));
            }
            RunEvent::Summary { results, .. } => {
                for result in results {
                    self.with_suite(&result.name.clone(), |suite| {
                        suite.result.get_or_insert(result);
                    });
                }
            }
            _ => {}
        }
    }
}

impl JunitSuite {
    #[expect(clippy::disallowed_methods, reason = "the report has wall-clock times")]
    fn new(name: &str) -> Self {
        let (cases, complaints) = (Vec::new(), Vec::new());
        Self { name: name.to_owned(), began: SystemTime::now(), cases, complaints, result: None }
    }

    /// Packaging environments have commands but no result of their own.
    fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.result.is_none()
    }

    /// A command starts. One that is tried again replaces its earlier attempt.
    fn begin(&mut self, run_id: String, command: String) {
        if let Some(last) = self.cases.last_mut()
            && (last.run_id.as_str(), last.outcome) == (run_id.as_str(), JunitOutcome::Failed)
            && last.command == command
        {
            last.outcome = JunitOutcome::Running;
            last.earlier.push(last.exit_code);
            return;
        }
        let (output, seconds, exit_code, earlier) = (HashMap::new(), 0.0, 0, Vec::new());
        let outcome = JunitOutcome::Running;
        self.cases.push(JunitCase { run_id, command, output, seconds, exit_code, outcome, earlier });
    }

    fn write(&self, text: &mut String) -> JunitCounts {
        let ignored = self.result.as_ref().is_some_and(|result| result.ignore_outcome);
        let mut counts = JunitCounts::default();
        let mut body = String::new();
        for case in &self.cases {
            counts.tests += 1;
            let exit = format!("exit code {}", case.exit_code);
            let verdict = match case.outcome {
                JunitOutcome::Passed | JunitOutcome::Tolerated => None,
                JunitOutcome::Failed if ignored => {
                    Some(("skipped", format!("{exit}, which is ignored (ignore_outcome)")))
                }
                JunitOutcome::Failed => Some(("failure", exit)),
                JunitOutcome::Running => Some(("error", self.last_complaint("it did not finish"))),
            };
            counts.count(verdict.as_ref().map(|(kind, _)| *kind));
            let name = format!("{} {}", case.run_id, case.command);
            self.write_case(&mut body, &name, case.seconds, verdict);
            case.write_earlier(&mut body);
            case.write_output(&mut body);
            body.push_str("</testcase>\n");
        }
        if let Some(verdict) = self.own_verdict(&counts) {
            counts.tests += 1;
            counts.count(Some(verdict.0));
            let seconds = self.result.as_ref().map_or(0.0, |result| result.duration_seconds);
            self.write_case(&mut body, "environment", seconds, Some(verdict));
            body.push_str("</testcase>\n");
        }
        let in_commands: f64 = self.cases.iter().map(|case| case.seconds).sum();
        let seconds = self.result.as_ref().map_or(in_commands, |result| result.duration_seconds);
        let (name, time) = (xml::attribute(&self.name), timestamp(self.began));
        let _ = writeln!(
            text,
            "<testsuite name=\"{name}\" {} time=\"{seconds:.3}\" timestamp=\"{time}\">",
            counts.attributes()
        );
        text.push_str(&body);
        text.push_str("</testsuite>\n");
        counts
    }

    /// The result of the environment itself: why it was skipped, or failed without a failure of any of its
    /// commands.
    fn own_verdict(&self, counts: &JunitCounts) -> Option<(&'static str, String)> {
        let result = self.result.as_ref()?;
        let why = || self.last_complaint(&format!("exit code {}", result.code));
        if result.unavailable {
            return Some(("skipped", "not available".to_owned()));
        }
        if result.skipped {
            return Some(("skipped", self.last_complaint("skipped")));
        }
        if result.code == 0 || counts.failures + counts.errors > 0 {
            return None;
        }
        if result.ignore_outcome {
            return (counts.skipped == 0).then(|| ("skipped", why()));
        }
        Some(("error", why()))
    }

    fn last_complaint(&self, otherwise: &str) -> String {
        self.complaints.last().map_or(otherwise, String::as_str).to_owned()
    }

    fn write_case(&self, text: &mut String, name: &str, seconds: f64, verdict: Option<(&'static str, String)>) {
        let (class, name) = (xml::attribute(&self.name), xml::attribute(name));
        let _ = writeln!(text, "<testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">");
        if let Some((kind, message)) = verdict {
            let _ = writeln!(text, "<{kind} message=\"{}\"/>", xml::attribute(&message));
        }
    }
}

impl JunitCase {
    fn keep(&mut self, stream: OutputStream, bytes: &[u8]) {
        let kept = self.output.entry(stream).or_default();
        kept.extend_from_slice(bytes);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }

    /// Earlier attempts, in the elements that Maven Surefire introduced and that CI servers know.
    /// <https://maven.apache.org/surefire/maven-surefire-plugin/examples/rerun-failing-tests.html>
    fn write_earlier(&self, text: &mut String) {
        let element = if self.outcome == JunitOutcome::Passed { "flakyFailure" } else { "rerunFailure" };
        for code in &self.earlier {
            let _ = writeln!(text, "<{element} message=\"exit code {code}\" type=\"commands_retry\"/>");
        }
    }

    fn write_output(&self, text: &mut String) {
        for (stream, element) in [(OutputStream::Out, "system-out"), (OutputStream::Error, "system-err")] {
            let Some(bytes) = self.output.get(&stream).filter(|bytes| !bytes.is_empty()) else { continue };
            let end = &bytes[bytes.len().saturating_sub(KEPT)..];
            let shown = if end.len() < bytes.len() { "[earlier output omitted]\n" } else { "" };
            let _ = writeln!(text, "<{element}>{shown}{}</{element}>", xml::text(&String::from_utf8_lossy(end)));
        }
    }
}

impl JunitCounts {
    fn count(&mut self, kind: Option<&str>) {
        match kind {
            Some("failure") => self.failures += 1,
            Some("error") => self.errors += 1,
            Some(_) => self.skipped += 1,
            None => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }

    fn attributes(&self) -> String {
        let Self { tests, failures, errors, skipped } = self;
        format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
    }
}

/// A time in UTC by ISO 8601: `2026-05-01T12:00:00`.
pub fn timestamp(time: SystemTime) -> String {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
    date(1970, 1, 1).at(0, 0, 0, 0).saturating_add(elapsed).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn result(name: &str, code: i32) -> EnvironmentResult {
        EnvironmentResult { name: name.into(), code, duration_seconds: 1.5, ..EnvironmentResult::default() }
    }

    fn command(junit: &JunitReporter, run_id: &str, exit_code: i32, output: &[u8]) {
        let (environment, command) = ("py".to_owned(), "pytest -k 'a<b'".to_owned());
        let run_id = run_id.to_owned();
        junit.event(RunEvent::CommandStarted {
            environment: environment.clone(),
            run_id: run_id.clone(),
            cwd: String::new(),
            command: command.clone(),
        });
        junit.event(RunEvent::Output {
            environment: environment.clone(),
            stream: OutputStream::Out,
            bytes: output.to_vec(),
        });
        let level = if exit_code == 0 { Level::Info } else { Level::Critical };
        junit.event(RunEvent::CommandFinished {
            environment,
            run_id,
            cwd: String::new(),
            command,
            exit_code,
            seconds: 0.25,
            pid: None,
            level,
            tolerated: false,
        });
    }

    fn finish(junit: &JunitReporter, result: EnvironmentResult) -> String {
        junit.event(RunEvent::EnvironmentFinished { result, last: true });
        junit.to_xml()
    }

    #[test]
    fn commands_are_cases_and_failures_are_counted() {
        let junit = JunitReporter::new();
        command(&junit, "commands[0]", 0, b"\x1b[31mred\x1b[0m & <fine>\x07\n");
        command(&junit, "commands[1]", 3, b"");
        let text = finish(&junit, result("py", 3));
        for part in [
            "<testsuites name=\"envo\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=",
            "<testsuite name=\"py\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"1.500\" timestamp=",
            "<testcase classname=\"py\" name=\"commands[0] pytest -k &apos;a&lt;b&apos;\" time=\"0.250\">\n\
             <system-out>red &amp; &lt;fine&gt;\u{fffd}\n</system-out>\n</testcase>",
            "<failure message=\"exit code 3\"/>\n</testcase>",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }

    #[test]
    fn an_environment_without_a_failed_command_has_a_reason() {
        let junit = JunitReporter::new();
        (&junit as &dyn Reporter).error("py", "failed with no such thing");
        let text = finish(&junit, result("py", 1));
        assert!(text.contains("name=\"environment\" time=\"1.500\">\n<error message=\"failed with no such thing\"/>"));
        assert!(text.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{text}");
    }

    #[test]
    fn skipped_and_ignored_results_count_as_skipped() {
        let junit = JunitReporter::new();
        command(&junit, "commands[0]", 3, b"");
        let ignored = EnvironmentResult { ignore_outcome: true, ..result("py", 3) };
        assert!(finish(&junit, ignored).contains("failures=\"0\" errors=\"0\" skipped=\"1\""));
        let skipped = EnvironmentResult { skipped: true, ..result("other", -2) };
        junit.event(RunEvent::Summary { results: vec![skipped], seconds: 1.0, success: false });
        let text = junit.to_xml();
        assert!(
            text.contains("<testsuite name=\"other\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"1\""),
            "{text}"
        );
    }

    #[test]
    fn of_several_attempts_the_last_counts_and_all_output_is_kept() {
        let junit = JunitReporter::new();
        command(&junit, "commands[0]", 3, b"first\n");
        command(&junit, "commands[0]", 0, b"second\n");
        let text = finish(&junit, result("py", 0));
        assert!(text.contains("tests=\"1\" failures=\"0\""), "{text}");
        assert!(text.contains("<system-out>first\nsecond\n</system-out>"), "{text}");
        assert!(
            text.contains("<flakyFailure message=\"exit code 3\" type=\"commands_retry\"/>\n<system-out>"),
            "{text}"
        );
        let junit = JunitReporter::new();
        [3, 4, 5].iter().for_each(|code| command(&junit, "commands[0]", *code, b""));
        let text = finish(&junit, result("py", 5));
        assert!(text.contains("tests=\"1\" failures=\"1\""), "{text}");
        let failures =
            ["failure message=\"exit code 5\"", "rerunFailure message=\"exit code 3\" type=\"commands_retry\""];
        assert!(failures.iter().all(|failure| text.contains(&format!("<{failure}/>\n"))), "{text}");
        assert_eq!(text.matches("<rerunFailure").count(), 2);
    }

    #[test]
    fn of_large_output_the_end_is_kept() {
        let junit = JunitReporter::new();
        command(&junit, "commands[0]", 0, &[vec![b'x'; 3 * KEPT], b"END".to_vec()].concat());
        let text = finish(&junit, result("py", 0));
        assert!(text.len() < 2 * KEPT && text.contains("xEND</system-out>"));
    }

    #[test]
    fn times_are_in_utc() {
        let at = |seconds| timestamp(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01T00:00:00");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(at(1_793_534_399), "2026-11-01T11:59:59");
        assert_eq!(at(4_102_444_800), "2100-01-01T00:00:00");
        assert_eq!(at(253_402_300_799), "9999-12-31T23:59:59");
    }
}
