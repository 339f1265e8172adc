//! Shows the current phase of an environment if it takes long without output, in sequential runs: on a
//! terminal in a temporary line, elsewhere in an occasional line. All of it is on standard error, since tox
//! has no equivalent.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use parking_lot::{Condvar, Mutex};

use crate::event::{EnvPhase, Reporter, RunEvent};
use crate::report::human::HumanReporter;
use crate::report::progress::spinner;

/// How long a phase takes before it is shown on a terminal.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
/// How often it is reported elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(30);

/// Writes for people, and also shows slow phases.
pub struct SlowPhases {
    screen: Arc<StatusLine>,
    watched: Arc<WatchedPhases>,
}

struct StatusLine {
    human: HumanReporter,
    bars: MultiProgress,
    is_terminal: bool,
}

/// The state shared by the waiting thread and the reporting ones.
#[derive(Default)]
struct WatchedPhases {
    state: Mutex<SlowPhaseState>,
    changed: Condvar,
}

#[derive(Default)]
struct SlowPhaseState {
    current: Option<CurrentPhase>,
    closed: bool,
}

/// The current phase.
struct CurrentPhase {
    environment: String,
    phase: EnvPhase,
    since: Instant,
    due: Instant,
    bar: Option<ProgressBar>,
}

impl SlowPhases {
    /// Everything else is written by `human`.
    pub fn new(human: HumanReporter) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let interval = if is_terminal { ON_A_TERMINAL } else { ELSEWHERE };
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let screen = Arc::new(StatusLine { human, bars, is_terminal });
        let new = Self { screen: Arc::clone(&screen), watched: Arc::default() };
        let watched = Arc::clone(&new.watched);
        // Without this thread only the slow phases are missing.
        let thread = std::thread::Builder::new().name("slow phases".to_owned());
        let _ = thread.spawn(move || watched.watch(interval, |current| screen.show(current)));
        new
    }
}

impl StatusLine {
    fn show(&self, current: &mut CurrentPhase) {
        let text = format!("{}: {}", current.environment, doing(current.phase));
        if !self.is_terminal {
            let text = format!("{text} ({} s)", current.since.elapsed().as_secs());
            self.human.event(RunEvent::Notice { text });
        } else if current.bar.is_none() {
            let bar = ProgressBar::new_spinner().with_elapsed(current.since.elapsed());
            current.bar = Some(spinner(&self.bars, bar.with_message(text), "{spinner} {wide_msg} {elapsed}"));
        }
    }
}

/// The phase in words.
fn doing(phase: EnvPhase) -> &'static str {
    match phase {
        EnvPhase::Fetch => "downloading a runtime",
        EnvPhase::Lock => "resolving its packages",
        EnvPhase::Create => "creating the environment",
        EnvPhase::Install => "installing packages",
        EnvPhase::Package => "building the package",
        EnvPhase::Commands => "running commands",
    }
}

impl WatchedPhases {
    /// Sets the current phase.
    fn enter(&self, next: Option<(&str, EnvPhase)>) {
        let now = Instant::now();
        let current = next.map(|(environment, phase)| CurrentPhase {
            environment: environment.to_owned(),
            phase,
            since: now,
            due: now,
            bar: None,
        });
        let earlier = std::mem::replace(&mut self.state.lock().current, current);
        if let Some(bar) = earlier.and_then(|earlier| earlier.bar) {
            bar.finish_and_clear();
        }
        self.changed.notify_all();
    }

    /// Shows each phase that takes at least `interval`, and again after each further one, until it is closed.
    fn watch(&self, interval: Duration, mut show: impl FnMut(&mut CurrentPhase)) {
        let mut state = self.state.lock();
        while !state.closed {
            let Some(current) = &mut state.current else {
                self.changed.wait(&mut state);
                continue;
            };
            let now = Instant::now();
            if now < current.due + interval {
                let left = current.due + interval - now;
                self.changed.wait_for(&mut state, left);
            } else {
                current.due = now;
                show(current);
            }
        }
    }

    fn close(&self) {
        self.enter(None);
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Reporter for SlowPhases {
    fn event(&self, event: RunEvent) {
        match &event {
            // Commands have their own output.
            RunEvent::Phase { phase: EnvPhase::Commands, .. }
            | RunEvent::EnvironmentFinished { .. }
            | RunEvent::Summary { .. } => {
                self.watched.enter(None);
            }
            RunEvent::Phase { environment, phase } => self.watched.enter(Some((environment, *phase))),
            _ => {}
        }
        if let Some((stream, bytes)) = self.screen.human.layout().format(event) {
            self.screen.bars.suspend(|| self.screen.human.write(stream, &bytes));
        }
    }
}

impl Drop for SlowPhases {
    fn drop(&mut self) {
        self.watched.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_long_phase_is_shown_repeatedly_until_the_next_one() {
        let watched = WatchedPhases::default();
        let (sender, shown) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                watched.watch(Duration::from_millis(1), |current| {
                    let _ = sender.send((current.environment.clone(), current.phase));
                });
            });
            let next = |expected: (&str, EnvPhase)| {
                let expected = (expected.0.to_owned(), expected.1);
                assert!(shown.iter().any(|one| one == expected));
            };
            watched.enter(Some(("a", EnvPhase::Create)));
            next(("a", EnvPhase::Create));
            next(("a", EnvPhase::Create));
            watched.enter(Some(("a", EnvPhase::Install)));
            next(("a", EnvPhase::Install));
            watched.enter(None);
            // Earlier output does not count.
            shown.try_iter().count();
            watched.enter(Some(("b", EnvPhase::Fetch)));
            assert_eq!(shown.recv(), Ok(("b".to_owned(), EnvPhase::Fetch)));
            watched.close();
        });
    }

    #[test]
    fn quick_phases_are_not_shown() {
        let watched = WatchedPhases::default();
        std::thread::scope(|scope| {
            scope.spawn(|| watched.watch(Duration::from_secs(3600), |_| panic!("it was shown")));
            watched.enter(Some(("a", EnvPhase::Install)));
            watched.enter(None);
            watched.close();
        });
    }
}
