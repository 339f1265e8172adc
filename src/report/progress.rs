//! Shows what parallel environments are doing, at the bottom of the terminal while all other output scrolls
//! by above. Only for terminals.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use crate::event::{Reporter, RunEvent};
use crate::report::human::HumanReporter;
use crate::report::layout::waiting_within;
use crate::report::plain;

/// The interval of the spinners.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct ProgressBars {
    human: HumanReporter,
    bars: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl ProgressBars {
    /// Everything except progress is written by `human`.
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

    /// Shows a slow service on a line of its own, with the time.
    fn wait(&self, service: &str, text: impl Fn(usize) -> String) {
        let name = of_service(service);
        // The spinner and two spaces are in the same line.
        let width = plain::width().unwrap_or(80).saturating_sub(name.chars().count() + 3);
        let known = self.running().get(&name).cloned();
        let bar = known.unwrap_or_else(|| {
            let bar = self.spinner(&name, "{spinner} {prefix} {wide_msg}");
            self.running().insert(name, bar.clone());
            bar
        });
        bar.set_message(text(width));
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

    fn running(&self) -> parking_lot::MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.running.lock()
    }
}

/// Adds `bar` to the others and starts its spinner.
pub(super) fn spinner(bars: &MultiProgress, bar: ProgressBar, template: &str) -> ProgressBar {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    let bar = bars.add(bar);
    bar.enable_steady_tick(FRAME);
    bar
}

/// The name of a service among environments of which one may have the same name.
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
                return self.wait(service, |width| waiting_within(width, target, *seconds, seen.as_deref()));
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
