//! The steps of stopping a command: time to end by itself, SIGINT, time, SIGTERM, time, SIGKILL. A pure state
//! machine: it returns the signal that is due and the next deadline; the caller sends signals and knows the
//! time.

use std::time::Instant;

use rustix::process::Signal;

use crate::model::environment::Timeouts;

/// How far stopping a command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationStage {
    /// Requested; the command may end by itself.
    Asked,
    Interrupted,
    Terminated,
    /// There is no stronger signal.
    Killed,
}

#[derive(Debug, Clone)]
pub struct Termination {
    timeouts: Timeouts,
    stage: TerminationStage,
    deadline: Instant,
}

impl Termination {
    pub fn begin(timeouts: Timeouts, now: Instant) -> Self {
        Self { timeouts, stage: TerminationStage::Asked, deadline: after(now, timeouts.suicide) }
    }

    pub fn stage(&self) -> TerminationStage {
        self.stage
    }

    /// When to call [`Termination::step`] again; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        (self.stage != TerminationStage::Killed).then_some(self.deadline)
    }

    /// The signal that is due at `now`, if one is.
    pub fn step(&mut self, now: Instant) -> Option<Signal> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let (stage, signal, patience) = match self.stage {
            TerminationStage::Asked => (TerminationStage::Interrupted, Signal::INT, self.timeouts.interrupt),
            TerminationStage::Interrupted => (TerminationStage::Terminated, Signal::TERM, self.timeouts.terminate),
            TerminationStage::Terminated | TerminationStage::Killed => return self.force(),
        };
        self.stage = stage;
        self.deadline = after(now, patience);
        Some(signal)
    }

    /// Skips the remaining waits: the signal to send, `None` if it was sent before.
    pub fn force(&mut self) -> Option<Signal> {
        (self.stage != TerminationStage::Killed).then(|| {
            self.stage = TerminationStage::Killed;
            Signal::KILL
        })
    }
}

/// A time too far away to be represented counts as a day.
fn after(now: Instant, patience: std::time::Duration) -> Instant {
    now.checked_add(patience).unwrap_or_else(|| now + std::time::Duration::from_secs(24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ending(suicide: u64, now: Instant) -> Termination {
        let second = Duration::from_secs(1);
        let timeouts = Timeouts { suicide: Duration::from_secs(suicide), interrupt: second, terminate: second };
        Termination::begin(timeouts, now)
    }

    #[test]
    fn signals_come_one_after_the_other_each_when_its_time_is_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ending = ending(5, start);
        assert_eq!(ending.step(at(4)), None);
        assert_eq!(ending.step(at(5)), Some(Signal::INT));
        assert_eq!((ending.step(at(5)), ending.deadline()), (None, Some(at(6))));
        assert_eq!(ending.step(at(6)), Some(Signal::TERM));
        assert_eq!(ending.step(at(7)), Some(Signal::KILL));
        assert_eq!((ending.step(at(99)), ending.deadline()), (None, None));
    }

    #[test]
    fn force_skips_the_remaining_waits_and_kills_once() {
        let mut ending = ending(0, Instant::now());
        assert_eq!(ending.force(), Some(Signal::KILL));
        assert_eq!((ending.force(), ending.stage()), (None, TerminationStage::Killed));
    }

    #[test]
    fn endless_patience_does_not_overflow() {
        let mut ending = ending(u64::MAX, Instant::now());
        assert_eq!(ending.step(Instant::now()), None);
    }
}
