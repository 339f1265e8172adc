//! Formats events as tox does. Writes nothing: returns the text and its stream.

use std::time::Instant;

use crate::color::{BLUE, BRIGHT, CYAN, DIM, GREEN, MAGENTA, NORMAL, RED, RESET, RESET_ALL, WHITE, YELLOW, foreground};
use crate::event::{EnvPhase, EnvironmentResult, Level, OutputStream, RunEvent};
use crate::os_text;

/// The appearance of events.
#[derive(Debug, Clone)]
pub struct EventLayout {
    /// 0 to 5, as in the options.
    verbosity: u8,
    colored: bool,
    /// Whether the final report is coloured: tox does that only if standard output is a terminal, even if
    /// colour was requested.
    colored_summary: bool,
    /// The escape code that starts a child's standard error.
    stderr_code: &'static str,
    /// The start of the times in debug messages.
    start: Instant,
}

impl EventLayout {
    /// `stderr_color`: colorama's name of a colour.
    pub fn new(verbosity: u8, colored: bool, stderr_color: &str) -> Self {
        Self {
            verbosity,
            colored,
            colored_summary: colored && rustix::termios::isatty(std::io::stdout()),
            stderr_code: foreground(stderr_color),
            start: Instant::now(),
        }
    }

    /// The text for `event`, and its stream; `None`: nothing.
    pub fn format(&self, event: RunEvent) -> Option<(OutputStream, Vec<u8>)> {
        let text = match event {
            RunEvent::Message { environment, level, text } => self.message(&environment, level, &text)?,
            RunEvent::Notice { text } => {
                let text = self.shows(Level::Warning).then(|| format!("envo: {text}\n"))?;
                return Some((OutputStream::Error, text.into_bytes()));
            }
            RunEvent::CommandStarted { environment, run_id, cwd, command } => {
                let space = if cwd.is_empty() { "" } else { " " };
                let text = if self.colored {
                    format!("{run_id}{NORMAL}{space}{cwd}{DIM}>{RESET_ALL} {command}")
                } else {
                    format!("{run_id}{space}{cwd}> {command}")
                };
                self.message(&environment, Level::Warning, &text)?
            }
            RunEvent::CommandFinished { environment, cwd, command, exit_code, seconds, pid, level, .. } => {
                let pid = pid.map_or(String::new(), |pid| format!(" pid={pid}"));
                let text = format!("exit {exit_code} ({seconds:.2} seconds) {cwd}> {command}{pid}");
                self.message(&environment, level, &text)?
            }
            RunEvent::Output { stream, bytes, .. } => return Some((stream, self.output(stream, bytes))),
            RunEvent::LaidOut { stream, bytes } => return Some((stream, bytes)),
            RunEvent::EnvironmentFinished { result, last: false } => self.finished(&result),
            RunEvent::Summary { results, seconds, success } => self.summary(&results, seconds, success)?,
            // Workflow commands for GitHub, at any verbosity.
            RunEvent::GroupOpened { title } => format!("::group::{title}\n"),
            RunEvent::GroupClosed => "::endgroup::\n".to_owned(),
            RunEvent::UnusedKeys { section, keys } => {
                self.summary_line(YELLOW, &format!("  {section} unused config key(s): {}", keys.join(", ")))
            }
            RunEvent::Service { service, state, text } => {
                let space = if text.is_empty() { "" } else { " " };
                self.message(&service, Level::Warning, &format!("{state}{space}{text}"))?
            }
            RunEvent::ServiceWaiting { service, target, seconds, seen } => {
                is_worth_a_line(seconds).then_some(())?;
                self.message(&service, Level::Warning, &waiting(&target, seconds, seen.as_deref()))?
            }
            RunEvent::ServiceOutput { service, stream, line } => {
                return Some((stream, self.service_output(&service, &line)));
            }
            RunEvent::EnvironmentFinished { .. } | RunEvent::EnvironmentStarted { .. } | RunEvent::Phase { .. } => {
                return None;
            }
        };
        Some((OutputStream::Out, text.into_bytes()))
    }

    fn shows(&self, level: Level) -> bool {
        self.verbosity
            >= match level {
                Level::Critical => 0,
                Level::Error => 1,
                Level::Warning => 2,
                Level::Info => 3,
                Level::Debug => 4,
            }
    }

    fn message(&self, environment: &str, level: Level, text: &str) -> Option<String> {
        if !self.shows(level) {
            return None;
        }
        let text = &os_text::shown(text);
        let debug = if self.verbosity >= 4 {
            let letter = match level {
                Level::Critical => 'C',
                Level::Error => 'E',
                Level::Warning => 'W',
                Level::Info => 'I',
                Level::Debug => 'D',
            };
            format!(" {} {letter}", self.start.elapsed().as_millis())
        } else {
            String::new()
        };
        if !self.colored {
            return Some(format!("{environment}:{debug} {text}\n"));
        }
        let color = match level {
            Level::Critical | Level::Error => RED,
            Level::Warning => CYAN,
            Level::Info | Level::Debug => WHITE,
        };
        let debug = if debug.is_empty() { debug } else { format!("{GREEN}{debug}{RESET_ALL}") };
        Some(format!("{BRIGHT}{MAGENTA}{environment}:{RESET_ALL}{debug}{color} {text}{RESET_ALL}\n"))
    }

    fn output(&self, stream: OutputStream, bytes: Vec<u8>) -> Vec<u8> {
        if stream == OutputStream::Out || !self.colored {
            return bytes;
        }
        [self.stderr_code.as_bytes(), &bytes, RESET.as_bytes()].concat()
    }

    /// The line of tox's spinner when an environment is done.
    fn finished(&self, result: &EnvironmentResult) -> String {
        let (status, color) = match result {
            EnvironmentResult { code: 0, skipped: true, .. } => ("SKIP ⚠", YELLOW),
            EnvironmentResult { code: 0, .. } => ("OK ✔", GREEN),
            _ => ("FAIL ✖", RED),
        };
        let text = format!("{}: {status} in {}", result.name, spelled_out(result.duration_seconds));
        if self.colored { format!("{color}{text}{RESET}\n") } else { format!("{text}\n") }
    }

    fn summary(&self, results: &[EnvironmentResult], seconds: f64, success: bool) -> Option<String> {
        if self.verbosity == 0 {
            return None;
        }
        let mut text = String::new();
        for result in results {
            let (outcome, color) = outcome(result);
            let times = if self.verbosity >= 2 { self.times(result) } else { String::new() };
            let line = format!("  {}: {outcome} ({:.2}{times} seconds)", result.name, result.duration_seconds);
            text.push_str(&self.summary_line(color, &line));
            if self.verbosity >= 3 {
                text.push_str(&phases(result));
            }
        }
        let (words, color) = if success { ("congratulations :)", GREEN) } else { ("evaluation failed :(", RED) };
        text.push_str(&self.summary_line(color, &format!("  {words} ({seconds:.2} seconds)")));
        Some(text)
    }

    fn summary_line(&self, color: &str, line: &str) -> String {
        if self.colored_summary { format!("{color}{line}{RESET}\n") } else { format!("{line}\n") }
    }

    /// `=setup[0.20]+cmd[0.10,0.30]`; nothing for an environment that ran no command.
    fn times(&self, result: &EnvironmentResult) -> String {
        if result.command_seconds.is_empty() {
            return String::new();
        }
        let commands: Vec<String> = result.command_seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
        let setup = result.duration_seconds - result.command_seconds.iter().sum::<f64>();
        format!("=setup[{setup:.2}]+cmd[{}]", commands.join(","))
    }

    fn service_output(&self, service: &str, line: &[u8]) -> Vec<u8> {
        let prefix = if self.colored {
            let colors = [CYAN, GREEN, YELLOW, BLUE, MAGENTA];
            let sum: usize = service.bytes().map(usize::from).sum();
            format!("{}{service} |{RESET} ", colors[sum % colors.len()])
        } else {
            format!("{service} | ")
        };
        let mut text = Vec::with_capacity(line.len() + prefix.len() * 2);
        for one in line.split_inclusive(|byte| *byte == b'\n') {
            text.extend_from_slice(prefix.as_bytes());
            text.extend_from_slice(one);
        }
        if !line.ends_with(b"\n") {
            text.push(b'\n');
        }
        text
    }
}

fn outcome(result: &EnvironmentResult) -> (String, &'static str) {
    match result {
        EnvironmentResult { unavailable: true, .. } => ("NOT AVAILABLE".to_owned(), YELLOW),
        EnvironmentResult { skipped: true, .. } => ("SKIP".to_owned(), YELLOW),
        EnvironmentResult { code: 0, .. } => ("OK".to_owned(), GREEN),
        EnvironmentResult { ignore_outcome: true, code, .. } => (format!("IGNORED FAIL code {code}"), YELLOW),
        EnvironmentResult { code, .. } => (format!("FAIL code {code}"), RED),
    }
}

/// How the environment's time was spent, in a line of its own, unless all of it was spent in its commands.
fn phases(result: &EnvironmentResult) -> String {
    if result.phase_seconds.iter().all(|(phase, _)| *phase == EnvPhase::Commands) {
        return String::new();
    }
    let parts: Vec<String> =
        result.phase_seconds.iter().map(|(phase, seconds)| format!("{} {seconds:.2}", phase.name())).collect();
    format!("    {}\n", parts.join(", "))
}

/// A time in words, as in tox: `1 minute 2.5 seconds`.
fn spelled_out(seconds: f64) -> String {
    let mut left = seconds.max(0.0);
    let mut texts = Vec::new();
    for (name, length) in [("day", 86_400.0), ("hour", 3_600.0), ("minute", 60.0)] {
        if left >= length {
            let count = (left / length).floor();
            left -= count * length;
            texts.push(format!("{count:.0} {name}{}", if count == 1.0 { "" } else { "s" }));
        }
    }
    if left >= 0.01 || texts.is_empty() {
        let number = format!("{left:.2}");
        let number = number.trim_end_matches('0').trim_end_matches('.');
        texts.push(format!("{number} second{}", if number == "1" { "" } else { "s" }));
    }
    texts.join(" ")
}

/// The text for a service that takes long to become ready.
pub(super) fn waiting(target: &str, seconds: u64, seen: Option<&str>) -> String {
    let seen = seen.map_or(String::new(), |seen| format!(", {seen}"));
    format!("waiting for {target} ({seconds} s{seen})")
}

/// The same in `width` characters: a long target is cut, but not the observation.
pub(super) fn waiting_within(width: usize, target: &str, seconds: u64, seen: Option<&str>) -> String {
    let whole = waiting(target, seconds, seen);
    let surplus = whole.chars().count().saturating_sub(width);
    if surplus == 0 {
        return whole;
    }
    let kept = target.chars().count().saturating_sub(surplus + 1);
    let target: String = target.chars().take(kept).chain(['…']).collect();
    waiting(&target, seconds, seen)
}

/// Whether an event that is sent every second is written as a line: these become rarer.
fn is_worth_a_line(seconds: u64) -> bool {
    matches!(seconds, 1 | 5 | 10 | 20) || (seconds > 0 && seconds.is_multiple_of(30))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(layout: &EventLayout, event: RunEvent) -> Option<String> {
        layout.format(event).map(|(_, bytes)| String::from_utf8(bytes).unwrap())
    }

    fn message(level: Level) -> RunEvent {
        RunEvent::Message { environment: "py".into(), level, text: "words".into() }
    }

    fn started(cwd: &str) -> RunEvent {
        RunEvent::CommandStarted {
            environment: "a".into(),
            run_id: "commands[0]".into(),
            cwd: cwd.into(),
            command: "sh -c x".into(),
        }
    }

    fn result(name: &str, code: i32) -> EnvironmentResult {
        EnvironmentResult {
            name: name.into(),
            skipped: false,
            code,
            ignore_outcome: false,
            fail_fast: false,
            unavailable: false,
            duration_seconds: 0.21,
            command_seconds: vec![0.01, 0.1],
            phase_seconds: Vec::new(),
        }
    }

    #[test]
    fn verbosity_decides_which_messages_show() {
        let levels = [Level::Critical, Level::Error, Level::Warning, Level::Info, Level::Debug];
        for verbosity in 0..=5 {
            let layout = EventLayout::new(verbosity, false, "RED");
            let shown = levels.iter().filter(|level| text(&layout, message(**level)).is_some()).count();
            assert_eq!(shown, usize::from(verbosity).min(4) + 1);
        }
    }

    #[test]
    fn lines_read_as_those_of_tox() {
        let layout = EventLayout::new(2, false, "RED");
        assert_eq!(text(&layout, message(Level::Error)).unwrap(), "py: words\n");
        assert_eq!(text(&layout, started("")).unwrap(), "a: commands[0]> sh -c x\n");
        assert_eq!(text(&layout, started("/x")).unwrap(), "a: commands[0] /x> sh -c x\n");
        let finished = RunEvent::CommandFinished {
            environment: "b".into(),
            run_id: "commands[1]".into(),
            cwd: "/t".into(),
            command: "sh -c 'exit 3'".into(),
            exit_code: 3,
            seconds: 0.004,
            pid: Some(11),
            level: Level::Critical,
            tolerated: false,
        };
        assert_eq!(text(&layout, finished).unwrap(), "b: exit 3 (0.00 seconds) /t> sh -c 'exit 3' pid=11\n");
        let debug = text(&EventLayout::new(4, false, "RED"), message(Level::Debug)).unwrap();
        let rest = debug.strip_prefix("py: ").unwrap().trim_start_matches(|c: char| c.is_ascii_digit());
        assert_eq!(rest, " D words\n");
    }

    #[test]
    fn colours_are_those_of_tox() {
        let layout = EventLayout::new(2, true, "RED");
        assert_eq!(
            text(&layout, started("")).unwrap(),
            "\x1b[1m\x1b[35ma:\x1b[0m\x1b[36m commands[0]\x1b[22m\x1b[2m>\x1b[0m sh -c x\x1b[0m\n"
        );
        assert_eq!(
            text(&layout, message(Level::Critical)).unwrap(),
            "\x1b[1m\x1b[35mpy:\x1b[0m\x1b[31m words\x1b[0m\n"
        );
        let output = |stream| RunEvent::Output { environment: "a".into(), stream, bytes: b"err\n".to_vec() };
        assert_eq!(text(&layout, output(OutputStream::Error)).unwrap(), "\x1b[31merr\n\x1b[39m");
        assert_eq!(text(&layout, output(OutputStream::Out)).unwrap(), "err\n");
        let blue = EventLayout::new(2, true, "LIGHTBLUE_EX");
        assert_eq!(text(&blue, output(OutputStream::Error)).unwrap(), "\x1b[94merr\n\x1b[39m");
        let finished = RunEvent::EnvironmentFinished { result: result("a", 0), last: false };
        assert_eq!(text(&layout, finished).unwrap(), "\x1b[32ma: OK ✔ in 0.21 seconds\x1b[39m\n");
    }

    #[test]
    fn a_waiting_service_fits_into_the_width_of_its_line() {
        let text = |width| waiting_within(width, "http://127.0.0.1:21632/health", 5, Some("last answer 503"));
        assert_eq!(text(70), "waiting for http://127.0.0.1:21632/health (5 s, last answer 503)");
        assert_eq!(text(50), "waiting for http://127.0.0… (5 s, last answer 503)");
        assert_eq!(text(50).chars().count(), 50);
        assert_eq!(text(3), "waiting for … (5 s, last answer 503)");
    }

    #[test]
    fn the_summary_names_every_outcome() {
        let results = vec![
            result("ok", 0),
            result("bad", 3),
            EnvironmentResult { ignore_outcome: true, ..result("ignored", 1) },
            EnvironmentResult { skipped: true, command_seconds: vec![], ..result("skipped", -2) },
            EnvironmentResult { unavailable: true, command_seconds: vec![], ..result("absent", 0) },
        ];
        let summary = |verbosity| {
            let event = RunEvent::Summary { results: results.clone(), seconds: 1.239, success: false };
            text(&EventLayout { colored_summary: false, ..EventLayout::new(verbosity, true, "RED") }, event)
        };
        assert_eq!(
            summary(2).unwrap(),
            "  ok: OK (0.21=setup[0.10]+cmd[0.01,0.10] seconds)\n\
             \x20 bad: FAIL code 3 (0.21=setup[0.10]+cmd[0.01,0.10] seconds)\n\
             \x20 ignored: IGNORED FAIL code 1 (0.21=setup[0.10]+cmd[0.01,0.10] seconds)\n\
             \x20 skipped: SKIP (0.21 seconds)\n\
             \x20 absent: NOT AVAILABLE (0.21 seconds)\n\
             \x20 evaluation failed :( (1.24 seconds)\n"
        );
        assert!(summary(1).unwrap().starts_with("  ok: OK (0.21 seconds)\n"));
        assert_eq!(summary(0), None);
    }

    #[test]
    fn higher_verbosity_shows_the_time_of_each_phase() {
        let results = |phase_seconds| vec![EnvironmentResult { phase_seconds, ..result("py", 0) }];
        let summary = |verbosity, phases| {
            let event = RunEvent::Summary { results: results(phases), seconds: 1.0, success: true };
            text(&EventLayout::new(verbosity, false, "RED"), event).unwrap()
        };
        let phases = || vec![(EnvPhase::Create, 0.016), (EnvPhase::Install, 0.5), (EnvPhase::Commands, 0.2)];
        assert!(summary(3, phases()).contains("seconds)\n    create 0.02, install 0.50, commands 0.20\n  congrat"));
        assert!(!summary(2, phases()).contains("create"));
        assert!(!summary(3, vec![(EnvPhase::Commands, 0.2)]).contains("\n    "));
    }

    #[test]
    fn only_the_last_environment_ends_without_a_line() {
        let layout = EventLayout::new(0, false, "RED");
        let line = |result, last| text(&layout, RunEvent::EnvironmentFinished { result, last });
        assert_eq!(line(result("a", 3), false).unwrap(), "a: FAIL ✖ in 0.21 seconds\n");
        let skipped = EnvironmentResult { skipped: true, ..result("a", 0) };
        assert_eq!(line(skipped, false).unwrap(), "a: SKIP ⚠ in 0.21 seconds\n");
        assert_eq!(line(result("a", 0), true), None);
    }

    #[test]
    fn times_are_spelled_out_as_in_tox() {
        for (seconds, expected) in [
            (0.0, "0 seconds"),
            (0.004, "0 seconds"),
            (1.0, "1 second"),
            (1.5, "1.5 seconds"),
            (10.0, "10 seconds"),
            (60.0, "1 minute"),
            (3_725.25, "1 hour 2 minutes 5.25 seconds"),
            (172_800.0, "2 days"),
        ] {
            assert_eq!(spelled_out(seconds), expected);
        }
    }

    #[test]
    fn a_services_lines_carry_its_name() {
        let event = |line: &[u8]| RunEvent::ServiceOutput {
            service: "db".into(),
            stream: OutputStream::Out,
            line: line.to_vec(),
        };
        let layout = EventLayout::new(2, false, "RED");
        assert_eq!(text(&layout, event(b"up")).unwrap(), "db | up\n");
        assert_eq!(text(&layout, event(b"up\n")).unwrap(), "db | up\n");
        assert_eq!(text(&layout, event(b"a\n\nb")).unwrap(), "db | a\ndb | \ndb | b\n");
    }
}
