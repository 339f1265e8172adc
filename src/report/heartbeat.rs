//! Reports from time to time which environments of a parallel run are still at work. CI services end jobs that print
//! nothing for long, and the output of parallel environments is held back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::event::{Reporter, RunEvent};
use crate::python_text::plain;
use crate::report::xml::without_colors;

/// How often it is reported.
const INTERVAL: Duration = Duration::from_secs(60);
/// How many environments are listed.
const LISTED: usize = 20;
/// How many characters of a line are shown.
const WIDTH: usize = 120;

/// Observes a run and reports what is running.
pub struct Heartbeat(Arc<HeartbeatState>);

#[derive(Default)]
struct HeartbeatState {
    running: Mutex<RunningEnvs>,
    closed: Condvar,
}

#[derive(Default)]
struct RunningEnvs {
    environments: BTreeMap<String, RunningEnv>,
    closed: bool,
}

struct RunningEnv {
    since: Instant,
    last_line: String,
}

impl Heartbeat {
    /// Reports to `reporter`.
    pub fn new(reporter: Arc<dyn Reporter>) -> Self {
        let new = Self(Arc::default());
        let state = Arc::clone(&new.0);
        // Without this thread only the reports are missing.
        let thread = std::thread::Builder::new().name("heartbeat".to_owned());
        let _ = thread.spawn(move || state.beat(INTERVAL, |text| reporter.event(RunEvent::Notice { text })));
        new
    }
}

impl HeartbeatState {
    /// Calls `report` after each `interval` until it is closed.
    fn beat(&self, interval: Duration, report: impl Fn(String)) {
        let mut due = Instant::now() + interval;
        let mut running = self.running.lock();
        while !running.closed {
            if self.closed.wait_until(&mut running, due).timed_out() {
                due += interval;
                if let Some(text) = running.text(Instant::now()) {
                    parking_lot::MutexGuard::unlocked(&mut running, || report(text));
                }
            }
        }
    }
}

impl RunningEnvs {
    fn text(&self, now: Instant) -> Option<String> {
        if self.environments.is_empty() {
            return None;
        }
        let line = |(name, env): (&String, &RunningEnv)| {
            let seconds = now.saturating_duration_since(env.since).as_secs();
            let last = if env.last_line.is_empty() { "no output yet" } else { &env.last_line };
            format!("\n  {name} ({seconds} s): {last}")
        };
        let mut text = format!("{} still running", self.environments.len());
        text.extend(self.environments.iter().take(LISTED).map(line));
        let more = self.environments.len().saturating_sub(LISTED);
        if more > 0 {
            text.push_str(&format!("\n  and {more} more"));
        }
        Some(text)
    }
}

/// The last line with text in it, for one line of a log.
fn last_line(bytes: &[u8]) -> Option<String> {
    let lines = bytes.rsplit(|byte| matches!(byte, b'\n' | b'\r'));
    // Lines beyond these have no text that anybody reads.
    let texts = lines.take(50).map(|line| without_colors(&String::from_utf8_lossy(&line[..line.len().min(4096)])));
    let found = texts.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())?;
    Some(plain(&found.chars().take(WIDTH).collect::<String>()).into_owned())
}

impl Reporter for Heartbeat {
    fn event(&self, event: RunEvent) {
        let mut running = self.0.running.lock();
        match event {
            RunEvent::EnvironmentStarted { environment } => {
                let env = RunningEnv { since: Instant::now(), last_line: String::new() };
                running.environments.insert(environment, env);
            }
            RunEvent::Output { environment, bytes, .. } => {
                let Some(env) = running.environments.get_mut(&environment) else { return };
                if let Some(line) = last_line(&bytes) {
                    env.last_line = line;
                }
            }
            RunEvent::CommandStarted { environment, run_id, command, .. } => {
                if let Some(env) = running.environments.get_mut(&environment) {
                    env.last_line = last_line(format!("{run_id}> {command}").as_bytes()).unwrap_or_default();
                }
            }
            RunEvent::EnvironmentFinished { result, .. } => drop(running.environments.remove(&result.name)),
            RunEvent::Summary { .. } => running.environments.clear(),
            _ => {}
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.running.lock().closed = true;
        self.0.closed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::event::{EnvironmentResult, OutputStream};

    fn output(environment: &str, text: &str) -> RunEvent {
        RunEvent::Output { environment: environment.into(), stream: OutputStream::Out, bytes: text.into() }
    }

    #[test]
    fn running_environments_are_listed_with_their_time_and_last_line() {
        let heartbeat = Heartbeat(Arc::default());
        let text = |seconds| heartbeat.0.running.lock().text(Instant::now() + Duration::from_secs(seconds));
        assert_eq!(text(0), None);
        for name in ["b", "a", "done"] {
            heartbeat.event(RunEvent::EnvironmentStarted { environment: name.into() });
        }
        heartbeat.event(output("a", "one\n\x1b[31mtwo\x07\x1b[0m\n \n"));
        heartbeat.event(output("other", "x"));
        let result = EnvironmentResult { name: "done".into(), ..EnvironmentResult::default() };
        heartbeat.event(RunEvent::EnvironmentFinished { result, last: false });
        assert_eq!(
            text(120).unwrap().replace("119 s", "120 s"),
            "2 still running\n  a (120 s): two\\x07\n  b (120 s): no output yet"
        );
        heartbeat.event(RunEvent::Summary { results: Vec::new(), seconds: 1.0, success: true });
        assert_eq!(text(0), None);
    }

    #[test]
    fn long_lists_and_lines_are_cut() {
        let heartbeat = Heartbeat(Arc::default());
        for number in 0..25 {
            heartbeat.event(RunEvent::EnvironmentStarted { environment: format!("e{number:02}") });
        }
        heartbeat.event(output("e00", &"x".repeat(10_000)));
        let text = heartbeat.0.running.lock().text(Instant::now()).unwrap();
        assert_eq!(text.lines().count(), 22);
        assert!(text.ends_with("\n  and 5 more") && text.lines().all(|line| line.len() < 200), "{text}");
    }

    #[test]
    fn it_is_reported_again_and_again_until_the_end() {
        let heartbeat = Heartbeat(Arc::default());
        heartbeat.event(RunEvent::EnvironmentStarted { environment: "a".into() });
        let (sender, reported) = mpsc::channel();
        let state = Arc::clone(&heartbeat.0);
        let thread = std::thread::spawn(move || {
            state.beat(Duration::from_millis(1), |text| drop(sender.send(text)));
        });
        assert!(reported.recv().is_ok() && reported.recv().is_ok());
        drop(heartbeat);
        assert!(thread.join().is_ok());
    }
}
