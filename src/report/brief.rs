//! A short report, for coding agents and for people in a hurry: each failure with its last lines, its location and the
//! command that repeats it, and one line at the end. The whole output of each environment is in a log file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use parking_lot::Mutex;
use regex::Regex;

use crate::event::{EnvironmentResult, Level, OutputStream, Reporter, RunEvent};
use crate::python_text::plain;
use crate::report::github::{KeyLocations, setting_of};
use crate::report::human::write;
use crate::report::layout::EventLayout;
use crate::report::xml::without_colors;

/// How much of the end of an environment's output is kept.
const KEPT: usize = 64 * 1024;
/// How many lines of it are shown, and how many characters of each.
const LINES: usize = 20;
const WIDTH: usize = 500;
/// How many locations are shown.
const LOCATIONS: usize = 5;
/// The name of the program itself.
const ROOT: &str = "ROOT";

/// `tests/test_a.py:12` and `File "tests/test_a.py", line 12`.
static LOCATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"File "(?P<quoted>[^"]+)", line (?P<line>\d+)|(?P<path>[\w./+@-]*[\w-]\.\w+):(?P<number>\d+)\b"#).ok()
});

/// What the report has to know about the run.
pub struct BriefContext {
    /// The folder of the logs.
    pub log_dir: PathBuf,
    /// The work folder, whose files are not the user's.
    pub work_dir: PathBuf,
    pub root: PathBuf,
    /// The folder that paths are relative to.
    pub current_dir: PathBuf,
    /// Returns where a key of an environment is defined.
    pub locations: KeyLocations,
    /// Returns the command that runs an environment again.
    pub repeat: Box<dyn Fn(&str) -> String + Send + Sync>,
    pub verbosity: u8,
}

/// Reports failures only.
pub struct BriefReporter {
    context: BriefContext,
    layout: EventLayout,
    records: Mutex<HashMap<String, EnvRecord>>,
}

/// What has happened in an environment.
#[derive(Default)]
struct EnvRecord {
    /// Whether it runs commands, unlike one that only builds a package.
    runs: bool,
    tail: Vec<u8>,
    log: Option<File>,
    /// The folder of the last command; empty: the current one.
    cwd: PathBuf,
    /// The failed commands: step, exit code and command.
    failed: Vec<(String, i32, String)>,
}

impl BriefReporter {
    pub fn new(context: BriefContext) -> Self {
        let layout = EventLayout::new(context.verbosity.max(2), false, "RED");
        Self { context, layout, records: Mutex::default() }
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.context.log_dir.join(format!("{}.log", name.replace('/', "_")))
    }

    /// Adds to an environment's log, and to what is shown if it fails.
    fn add(&self, name: &str, is_shown: bool, bytes: &[u8]) {
        let mut records = self.records.lock();
        let record = records.entry(name.to_owned()).or_default();
        if record.log.is_none() {
            // The report has to do without it if the disk is full.
            record.log = create(&self.log_path(name)).ok();
        }
        if let Some(log) = &mut record.log {
            let _ = log.write_all(bytes);
        }
        if is_shown {
            let end = &bytes[bytes.len().saturating_sub(KEPT)..];
            record.tail.extend_from_slice(end);
            if record.tail.len() > 2 * KEPT {
                record.tail.drain(..record.tail.len() - KEPT);
            }
        }
    }

    /// The report of an environment that has ended; `None`: there is nothing to say.
    fn finish(&self, result: &EnvironmentResult) -> Option<String> {
        let mut records = self.records.lock();
        let record = records.remove(&result.name).unwrap_or_default();
        if result.code == 0 || result.skipped || result.ignore_outcome {
            return None;
        }
        // A package that could not be built is why environments fail that need it.
        let builders: Vec<String> = records
            .iter()
            .filter(|(_, one)| !one.runs && !one.failed.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        let mut text = String::new();
        for name in builders {
            let builder = records.remove(&name).unwrap_or_default();
            let _ = writeln!(text, "{name}: failed");
            self.describe(&mut text, &name, &builder);
        }
        let _ = writeln!(text, "{}: failed (exit code {}, {:.2} s)", result.name, result.code, result.duration_seconds);
        self.describe(&mut text, &result.name, &record);
        let _ = writeln!(text, "  repeat: {}", (self.context.repeat)(&result.name));
        Some(text)
    }

    /// The last lines, the failed commands, their locations and the log.
    fn describe(&self, text: &mut String, name: &str, record: &EnvRecord) {
        let tail = without_colors(&String::from_utf8_lossy(&record.tail));
        let lines: Vec<String> = tail.lines().map(shown).filter(|line| !line.is_empty()).collect();
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = writeln!(text, "    {line}");
        }
        for (step, code, command) in &record.failed {
            let _ = writeln!(text, "  failed: {step} (exit code {code}): {}", plain(command));
        }
        let mut places = self.locations(&tail, &record.cwd);
        if places.is_empty() {
            let key = record.failed.first().and_then(|(step, ..)| setting_of(step));
            let location = key.and_then(|key| (self.context.locations)(name, key));
            places.extend(location.map(|one| format!("{}:{}", self.relative(&one.file), one.line)));
        }
        for place in places {
            let _ = writeln!(text, "  at:     {place}");
        }
        if record.log.is_some() {
            let _ = writeln!(text, "  log:    {}", self.relative(&self.log_path(name)));
        }
    }

    /// The files of the project that the output names with a line, the last ones of it.
    fn locations(&self, tail: &str, cwd: &Path) -> Vec<String> {
        let Some(pattern) = LOCATION.as_ref() else { return Vec::new() };
        let BriefContext { root, current_dir, work_dir, .. } = &self.context;
        let mut found: Vec<String> = Vec::new();
        let matches: Vec<_> = tail.lines().flat_map(|line| pattern.captures_iter(line)).collect();
        for one in matches.iter().rev() {
            let part = |name| one.name(name).map(|found| found.as_str());
            let (path, line) = (part("quoted").or(part("path")), part("line").or(part("number")));
            let (Some(path), Some(line)) = (path, line) else { continue };
            let folders = [current_dir.join(cwd), root.clone()];
            let mut files = folders.iter().map(|folder| folder.join(path));
            let Some(file) = files.find(|file| file.is_file()) else { continue };
            let place = format!("{}:{line}", self.relative(&file));
            if file.starts_with(root) && !file.starts_with(work_dir) && !found.contains(&place) {
                found.push(place);
            }
            if found.len() == LOCATIONS {
                break;
            }
        }
        found.reverse();
        found
    }

    fn relative(&self, path: &Path) -> String {
        let path = path.strip_prefix(&self.context.current_dir).unwrap_or(path);
        plain(&path.display().to_string()).into_owned()
    }

    fn command_finished(&self, name: &str, step: String, code: i32, command: String) {
        let mut records = self.records.lock();
        let failed = &mut records.entry(name.to_owned()).or_default().failed;
        // Of several attempts, the last one counts.
        failed.retain(|(known, ..)| *known != step);
        if code != 0 {
            failed.push((step, code, command));
        }
    }
}

/// A line of output as it is shown: what a terminal would show of a progress bar, without control characters.
fn shown(line: &str) -> String {
    let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
    let line: String = line.replace('\t', "    ").chars().take(WIDTH).collect();
    plain(&line).into_owned()
}

/// Readable for this user only, since output may contain secrets. The log of an earlier run is not written to.
fn create(path: &Path) -> io::Result<File> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}

/// The line at the end.
fn summary(results: &[EnvironmentResult], seconds: f64, success: bool) -> String {
    let (mut passed, mut skipped, mut ignored) = (0, 0, 0);
    let mut failed: Vec<&str> = Vec::new();
    for result in results {
        match result {
            EnvironmentResult { unavailable: true, .. } | EnvironmentResult { skipped: true, .. } => skipped += 1,
            EnvironmentResult { code: 0, .. } => passed += 1,
            EnvironmentResult { ignore_outcome: true, .. } => ignored += 1,
            _ => failed.push(&result.name),
        }
    }
    let mut parts = Vec::new();
    if !failed.is_empty() {
        parts.push(format!("{} failed ({})", failed.len(), failed.join(", ")));
    }
    let counts = [(passed, "passed"), (skipped, "skipped"), (ignored, "failed but ignored")];
    parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
    if parts.is_empty() {
        parts.push("nothing ran".to_owned());
    }
    format!("{}: {} ({seconds:.2} s)\n", if success { "ok" } else { "failed" }, parts.join(", "))
}

impl Reporter for BriefReporter {
    fn event(&self, event: RunEvent) {
        let out = |text: &str| drop(write(io::stdout().lock(), text.as_bytes()));
        let (name, is_shown) = match &event {
            RunEvent::EnvironmentStarted { environment } => {
                self.records.lock().entry(environment.clone()).or_default().runs = true;
                return;
            }
            RunEvent::EnvironmentFinished { result, .. } => {
                if let Some(text) = self.finish(result) {
                    out(&text);
                }
                return;
            }
            RunEvent::Summary { results, seconds, success } => return out(&summary(results, *seconds, *success)),
            RunEvent::CommandFinished { environment, run_id, command, exit_code, level, tolerated, .. } => {
                let code = if *level == Level::Critical && !tolerated { *exit_code } else { 0 };
                self.command_finished(environment, run_id.clone(), code, command.clone());
                (environment.clone(), false)
            }
            RunEvent::CommandStarted { environment, cwd, .. } => {
                self.records.lock().entry(environment.clone()).or_default().cwd = PathBuf::from(cwd);
                (environment.clone(), false)
            }
            RunEvent::Output { environment, .. } => (environment.clone(), true),
            RunEvent::Message { environment, level, .. } => (environment.clone(), *level <= Level::Error),
            RunEvent::Notice { .. } | RunEvent::LaidOut { stream: OutputStream::Error, .. } => (ROOT.to_owned(), true),
            _ => return,
        };
        let Some((_, bytes)) = self.layout.format(event) else { return };
        if name == ROOT {
            let _ = write(io::stderr().lock(), &bytes);
        } else {
            self.add(&name, is_shown, &bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reporter(folder: &Path) -> BriefReporter {
        BriefReporter::new(BriefContext {
            log_dir: folder.join(".tox/log"),
            work_dir: folder.join(".tox"),
            root: folder.to_path_buf(),
            current_dir: folder.to_path_buf(),
            locations: Box::new(|_, _| None),
            repeat: Box::new(|name| format!("envo run -e {name}")),
            verbosity: 2,
        })
    }

    fn output(environment: &str, text: &str) -> RunEvent {
        RunEvent::Output { environment: environment.into(), stream: OutputStream::Out, bytes: text.into() }
    }

    fn finished(environment: &str, run_id: &str, exit_code: i32) -> RunEvent {
        RunEvent::CommandFinished {
            environment: environment.into(),
            run_id: run_id.into(),
            cwd: "/x".into(),
            command: "pytest -q".into(),
            exit_code,
            seconds: 0.1,
            pid: None,
            level: if exit_code == 0 { Level::Info } else { Level::Critical },
            tolerated: false,
        }
    }

    fn result(name: &str, code: i32) -> EnvironmentResult {
        EnvironmentResult { name: name.into(), code, duration_seconds: 1.5, ..EnvironmentResult::default() }
    }

    #[test]
    fn a_failure_has_its_last_lines_location_command_and_log() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("test_a.py"), "").unwrap();
        fs::create_dir(folder.path().join(".tox")).unwrap();
        fs::write(folder.path().join(".tox/lib.py"), "").unwrap();
        let brief = reporter(folder.path());
        brief.event(RunEvent::EnvironmentStarted { environment: "py".into() });
        let many: String = (0..50).map(|number| format!("line {number}\n")).collect();
        brief.event(output("py", &many));
        brief.event(output("py", "\x1b[31m10%\r90%\x1b[0m\x07\n.tox/lib.py:3: x\nmissing.py:4: y\n"));
        brief.event(output("py", "  File \"test_a.py\", line 7, in f\ntest_a.py:9: AssertionError\n"));
        brief.event(finished("py", "commands[0]", 3));
        let text = brief.finish(&result("py", 3)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "py: failed (exit code 3, 1.50 s)");
        assert_eq!(lines[1], "    line 35");
        assert!(text.contains("\n    90%\\x07\n"), "{text}");
        let expected = [
            "  failed: commands[0] (exit code 3): pytest -q",
            "  at:     test_a.py:7",
            "  at:     test_a.py:9",
            "  log:    .tox/log/py.log",
            "  repeat: envo run -e py",
        ];
        assert_eq!(lines[21..], expected);
        let log = fs::read_to_string(folder.path().join(".tox/log/py.log")).unwrap();
        assert!(log.contains("line 0\n") && log.contains("exit 3 "), "{log}");
    }

    #[test]
    fn successes_and_ignored_failures_are_not_described() {
        let folder = tempfile::tempdir().unwrap();
        let brief = reporter(folder.path());
        brief.event(finished("py", "commands[0]", 3));
        brief.event(finished("py", "commands[0]", 0));
        assert_eq!(brief.finish(&result("py", 0)), None);
        assert_eq!(brief.finish(&EnvironmentResult { ignore_outcome: true, ..result("py", 1) }), None);
        assert_eq!(brief.finish(&EnvironmentResult { skipped: true, ..result("py", -2) }), None);
    }

    #[test]
    fn a_failed_package_is_described_once() {
        let folder = tempfile::tempdir().unwrap();
        let brief = reporter(folder.path());
        brief.event(output(".pkg", "no setup.py\n"));
        brief.event(finished(".pkg", "build_wheel", 1));
        let text = brief.finish(&result("a", 1)).unwrap();
        let start = ".pkg: failed\n    no setup.py\n  failed: build_wheel (exit code 1): pytest -q\n";
        assert!(text.starts_with(start) && text.contains("\na: failed (exit code 1, 1.50 s)\n"), "{text}");
        assert!(!brief.finish(&result("b", 1)).unwrap().contains(".pkg"));
    }

    #[test]
    fn much_output_keeps_little_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let brief = reporter(folder.path());
        for _ in 0..100 {
            brief.event(output("py", &"x".repeat(10_000)));
        }
        assert!(brief.records.lock()["py"].tail.len() <= 2 * KEPT);
        assert_eq!(fs::metadata(folder.path().join(".tox/log/py.log")).unwrap().len(), 1_000_000);
    }

    #[test]
    fn the_last_line_counts_results() {
        let skipped = EnvironmentResult { skipped: true, ..result("c", -2) };
        let ignored = EnvironmentResult { ignore_outcome: true, ..result("d", 4) };
        let all = [result("a", 0), result("b", 3), skipped, ignored];
        assert_eq!(
            summary(&all, 2.0, false),
            "failed: 1 failed (b), 1 passed, 1 skipped, 1 failed but ignored (2.00 s)\n"
        );
        assert_eq!(summary(&all[..1], 2.0, true), "ok: 1 passed (2.00 s)\n");
        assert_eq!(summary(&[], 0.0, true), "ok: nothing ran (0.00 s)\n");
    }
}
