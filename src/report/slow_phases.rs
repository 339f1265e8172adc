//! Shows which phase of an environment is under way when it takes long and writes nothing meanwhile, in runs of one
//! environment after the other: on a terminal in a line that goes away by itself, elsewhere in a line now and then. All
//! of it is on standard error, since tox has nothing like it.

use std::io::IsTerminal as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use crate::event::{EnvPhase, Reporter, RunEvent};
use crate::report::human::HumanReporter;
use crate::report::progress::spinner;

/// When a phase is shown on a terminal.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
/// How often it is mentioned elsewhere.
const ELSEWHERE: Duration = Duration::from_secs(30);

/// Writes for people, and shows slow phases besides.
pub struct SlowPhases {
    screen: Arc<StatusLine>,
    watched: Arc<WatchedPhases>,
}

struct StatusLine {
    human: HumanReporter,
    bars: MultiProgress,
    is_terminal: bool,
}

/// What the thread that waits shares with those that report.
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

/// What is under way.
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
        // Without this thread nothing is missing but what it would show.
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

/// What an environment does in that phase, as a phrase for people.
fn doing(phase: EnvPhase) -> &'static str {
    match phase {
        EnvPhase::Fetch => "downloading an interpreter or a language",
        EnvPhase::Lock => "resolving what it will contain",
        EnvPhase::Create => "creating the environment",
        EnvPhase::Install => "installing packages",
        EnvPhase::Package => "building the package",
        EnvPhase::Commands => "running commands",
    }
}

impl WatchedPhases {
    fn state(&self) -> MutexGuard<'_, SlowPhaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on that is under way, or nothing.
    fn enter(&self, next: Option<(&str, EnvPhase)>) {
        let now = Instant::now();
        let current = next.map(|(environment, phase)| CurrentPhase {
            environment: environment.to_owned(),
            phase,
            since: now,
            due: now,
            bar: None,
        });
        let earlier = std::mem::replace(&mut self.state().current, current);
        if let Some(bar) = earlier.and_then(|earlier| earlier.bar) {
            bar.finish_and_clear();
        }
        self.changed.notify_all();
    }

    /// Shows whatever is under way for `interval`, and again after each, until it is closed.
    fn watch(&self, interval: Duration, mut show: impl FnMut(&mut CurrentPhase)) {
        let mut state = self.state();
        while !state.closed {
            let Some(current) = &mut state.current else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = Instant::now();
            if now < current.due + interval {
                let left = current.due + interval - now;
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                current.due = now;
                show(current);
            }
        }
    }

    fn close(&self) {
        self.enter(None);
        self.state().closed = true;
        self.changed.notify_all();
    }
}

impl Reporter for SlowPhases {
    fn event(&self, event: RunEvent) {
        match &event {
            // Commands write for themselves.
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
    fn what_takes_long_is_shown_again_and_again_until_something_else_begins() {
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
            // What was shown before counts no more.
            shown.try_iter().count();
            watched.enter(Some(("b", EnvPhase::Fetch)));
            assert_eq!(shown.recv(), Ok(("b".to_owned(), EnvPhase::Fetch)));
            watched.close();
        });
    }

    #[test]
    fn what_is_quick_is_not_shown() {
        let watched = WatchedPhases::default();
        std::thread::scope(|scope| {
            scope.spawn(|| watched.watch(Duration::from_secs(3600), |_| panic!("it was shown")));
            watched.enter(Some(("a", EnvPhase::Install)));
            watched.enter(None);
            watched.close();
        });
    }
}
