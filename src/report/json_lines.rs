//! Events for programs: one JSON object per line on standard output. The format is described in
//! `docs/report.md` and has a version number; documented parts change only together with that number.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::event::{EnvironmentResult, OutputStream, Reporter, RunEvent};
use crate::report::human::write;

/// The format's number.
pub const VERSION: u32 = 1;

#[derive(Debug, Default)]
pub struct JsonLines {
    /// The reader of standard output has gone; nothing more is written.
    closed: Mutex<bool>,
}

impl Reporter for JsonLines {
    #[expect(clippy::disallowed_methods, reason = "readers want wall-clock times")]
    fn event(&self, event: RunEvent) {
        // Formatted text is only for people.
        if let RunEvent::LaidOut { stream: OutputStream::Error, bytes } = &event {
            let _ = write(io::stderr().lock(), bytes);
        }
        let Some((kind, fields)) = describe(event) else { return };
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut line = Map::new();
        line.insert("version".to_owned(), VERSION.into());
        line.insert("event".to_owned(), kind.into());
        line.insert("time".to_owned(), rounded(time));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let text = format!("{}\n", Value::Object(line));
        let mut closed = self.closed.lock();
        *closed = *closed || write(io::stdout().lock(), text.as_bytes()).is_err();
    }
}

/// The event's name and its fields.
fn describe(event: RunEvent) -> Option<(&'static str, Value)> {
    Some(match event {
        RunEvent::Message { environment, level, text } => {
            ("message", json!({"environment": environment, "level": level, "text": text}))
        }
        RunEvent::EnvironmentStarted { environment } => ("environment-started", json!({"environment": environment})),
        RunEvent::Phase { environment, phase } => ("phase", json!({"environment": environment, "phase": phase.name()})),
        RunEvent::CommandStarted { environment, run_id, cwd, command } => {
            ("command-started", json!({"environment": environment, "run_id": run_id, "cwd": cwd, "command": command}))
        }
        RunEvent::Output { environment, stream, bytes } => {
            let text = String::from_utf8_lossy(&bytes);
            ("output", json!({"environment": environment, "stream": name(stream), "text": text}))
        }
        RunEvent::CommandFinished { environment, run_id, cwd, command, exit_code, seconds, pid, level, tolerated } => {
            let success = tolerated || level != crate::event::Level::Critical;
            let fields = json!({
                "environment": environment,
                "run_id": run_id,
                "cwd": cwd,
                "command": command,
                "exit_code": exit_code,
                "success": success,
                "seconds": rounded(seconds),
                "pid": pid,
            });
            ("command-finished", fields)
        }
        RunEvent::EnvironmentFinished { result, .. } => ("environment-finished", result_fields(&result)),
        RunEvent::Summary { results, seconds, success } => {
            let results: Vec<Value> = results.iter().map(result_fields).collect();
            ("summary", json!({"success": success, "seconds": rounded(seconds), "environments": results}))
        }
        RunEvent::UnusedKeys { section, keys } => ("unused-keys", json!({"section": section, "keys": keys})),
        RunEvent::Service { service, state, text } => {
            ("service", json!({"service": service, "state": state, "text": text}))
        }
        RunEvent::ServiceWaiting { service, target, seconds, seen } => {
            ("service-waiting", json!({"service": service, "target": target, "seconds": seconds, "seen": seen}))
        }
        RunEvent::ServiceOutput { service, stream, line } => {
            let text = String::from_utf8_lossy(&line);
            ("service-output", json!({"service": service, "stream": name(stream), "text": text}))
        }
        RunEvent::Notice { text } => ("notice", json!({"text": text})),
        // The grouping of a job's log is only for people.
        RunEvent::LaidOut { .. } | RunEvent::GroupOpened { .. } | RunEvent::GroupClosed => return None,
    })
}

fn name(stream: OutputStream) -> &'static str {
    match stream {
        OutputStream::Out => "stdout",
        OutputStream::Error => "stderr",
    }
}

fn result_fields(result: &EnvironmentResult) -> Value {
    let outcome = match result {
        EnvironmentResult { unavailable: true, .. } => "unavailable",
        EnvironmentResult { skipped: true, .. } => "skipped",
        EnvironmentResult { code: 0, .. } => "ok",
        EnvironmentResult { ignore_outcome: true, .. } => "ignored",
        _ => "failed",
    };
    let phases: Map<String, Value> =
        result.phase_seconds.iter().map(|(phase, seconds)| (phase.name().to_owned(), rounded(*seconds))).collect();
    json!({
        "environment": result.name,
        "outcome": outcome,
        "exit_code": result.code,
        "seconds": rounded(result.duration_seconds),
        "phases": phases,
    })
}

/// Seconds, to the thousandth.
fn rounded(seconds: f64) -> Value {
    json!((seconds * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EnvPhase;
    use crate::event::Level;

    fn reported(event: RunEvent) -> String {
        let (kind, fields) = describe(event).expect("it is an event");
        format!("{kind} {fields}")
    }

    #[test]
    fn output_is_text_and_invalid_bytes_are_replaced() {
        let output =
            |stream, bytes: &[u8]| RunEvent::Output { environment: "py".into(), stream, bytes: bytes.to_vec() };
        let line = |stream, bytes| reported(output(stream, bytes));
        assert_eq!(line(OutputStream::Out, b"a\n"), r#"output {"environment":"py","stream":"stdout","text":"a\n"}"#);
        assert_eq!(
            line(OutputStream::Error, b"\xff\"\n"),
            format!(r#"output {{"environment":"py","stream":"stderr","text":"{}\"\n"}}"#, '\u{fffd}')
        );
    }

    #[test]
    fn a_failure_that_does_not_matter_is_a_success() {
        let finished = |level, tolerated| RunEvent::CommandFinished {
            environment: "py".into(),
            run_id: "commands[0]".into(),
            cwd: "/x".into(),
            command: "false".into(),
            exit_code: 1,
            seconds: 0.12345,
            pid: Some(7),
            level,
            tolerated,
        };
        let expected = |success| {
            format!(
                r#"command-finished {{"environment":"py","run_id":"commands[0]","cwd":"/x","command":"false","exit_code":1,"success":{success},"seconds":0.123,"pid":7}}"#
            )
        };
        assert_eq!(reported(finished(Level::Critical, false)), expected(false));
        assert_eq!(reported(finished(Level::Critical, true)), expected(true));
    }

    #[test]
    fn outcomes_have_names() {
        let outcome = |result: EnvironmentResult| result_fields(&result)["outcome"].as_str().unwrap().to_owned();
        let result = |code| EnvironmentResult { code, ..EnvironmentResult::default() };
        assert_eq!(outcome(result(0)), "ok");
        assert_eq!(outcome(result(3)), "failed");
        assert_eq!(outcome(EnvironmentResult { ignore_outcome: true, ..result(3) }), "ignored");
        assert_eq!(outcome(EnvironmentResult { skipped: true, ..result(-2) }), "skipped");
        assert_eq!(outcome(EnvironmentResult { unavailable: true, ..result(0) }), "unavailable");
        let phases = EnvironmentResult { phase_seconds: vec![(EnvPhase::Create, 0.5)], ..result(0) };
        assert_eq!(result_fields(&phases)["phases"], json!({"create": 0.5}));
    }

    #[test]
    fn text_for_people_is_left_out() {
        assert!(describe(RunEvent::LaidOut { stream: OutputStream::Out, bytes: Vec::new() }).is_none());
    }
}
