//! What environments that run side by side are doing, drawn at the bottom of the terminal while everything else scrolls
//! by above. Only for terminals.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::event::{Reporter, RunEvent};
use crate::report::human::HumanReporter;
use crate::report::layout::waiting_within;
use crate::report::plain;

/// How often the spinners turn.
const TURN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct ProgressBars {
    human: HumanReporter,
    bars: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl ProgressBars {
    /// Everything that is not progress is written by `human`.
    pub fn new(human: HumanReporter) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self { human, bars, running: Mutex::default() }
    }

    fn start(&self, environment: String) {
        let bar = self.spinner(&environment, "{spinner} {prefix} {wide_msg} {elapsed}");
        if let Some(earlier) = self.running().insert(environment, bar) {
            self.remove(&earlier);
        }
    }

    fn spinner(&self, prefix: &str, template: &str) -> ProgressBar {
        spinner(&self.bars, ProgressBar::new_spinner().with_prefix(prefix.to_owned()), template)
    }

    /// A service is on a line of its own as long as it takes long, which says for how long.
    fn wait(&self, service: &str, text: impl Fn(usize) -> String) {
        let name = of_service(service);
        // Beside it are the spinner and two blanks.
        let room = plain::width().unwrap_or(80).saturating_sub(name.chars().count() + 3);
        let known = self.running().get(&name).cloned();
        let bar = known.unwrap_or_else(|| {
            let bar = self.spinner(&name, "{spinner} {prefix} {wide_msg}");
            self.running().insert(name, bar.clone());
            bar
        });
        bar.set_message(text(room));
    }

    fn finish(&self, environment: &str) {
        // Bound first, so that the lock is not held while the bar is drawn for the last time.
        let bar = self.running().remove(environment);
        if let Some(bar) = bar {
            self.remove(&bar);
        }
    }

    fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.bars.remove(bar);
    }

    fn running(&self) -> std::sync::MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `bar` among the others and lets it turn.
pub(super) fn spinner(bars: &MultiProgress, bar: ProgressBar, template: &str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    let bar = bars.add(bar);
    bar.enable_steady_tick(TURN);
    bar
}

/// What a service is called among environments of which one may have its name.
fn of_service(service: &str) -> String {
    format!("{service}:")
}

impl Reporter for ProgressBars {
    fn event(&self, event: RunEvent) {
        match &event {
            RunEvent::EnvironmentStarted { environment } => self.start(environment.clone()),
            RunEvent::Phase { environment, phase } => {
                let bar = self.running().get(environment).cloned();
                if let Some(bar) = bar {
                    bar.set_message(phase.name());
                }
            }
            RunEvent::ServiceWaiting { service, target, seconds, seen } => {
                return self.wait(service, |room| waiting_within(room, target, *seconds, seen.as_deref()));
            }
            RunEvent::Service { service, .. } => self.finish(&of_service(service)),
            RunEvent::EnvironmentFinished { result, .. } => self.finish(&result.name),
            RunEvent::Summary { .. } => {
                let left: Vec<ProgressBar> = self.running().drain().map(|(_, bar)| bar).collect();
                left.iter().for_each(|bar| self.remove(bar));
            }
            _ => {}
        }
        if let Some((stream, bytes)) = self.human.layout().format(event) {
            self.bars.suspend(|| self.human.write(stream, &bytes));
        }
    }
}

impl Drop for ProgressBars {
    fn drop(&mut self) {
        // A run that ended early leaves no spinner behind.
        let _ = self.bars.clear();
    }
}
