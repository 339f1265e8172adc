//! Measures how long each environment spent in which phase. Shows nothing.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::event::EnvPhase;

/// The phases each environment entered, and when. A phase ends when the next begins.
#[derive(Debug, Default)]
pub struct PhaseTimes(Mutex<HashMap<String, Vec<(EnvPhase, Instant)>>>);

impl PhaseTimes {
    pub fn enter(&self, environment: &str, phase: EnvPhase) {
        let mut begun = self.0.lock();
        begun.entry(environment.to_owned()).or_default().push((phase, Instant::now()));
    }

    /// Removes and returns the seconds that `environment` spent in each phase.
    pub fn take(&self, environment: &str) -> Vec<(EnvPhase, f64)> {
        let begun = self.0.lock().remove(environment).unwrap_or_default();
        sums(&begun, Instant::now())
    }
}

fn sums(begun: &[(EnvPhase, Instant)], end: Instant) -> Vec<(EnvPhase, f64)> {
    let ends = begun.iter().skip(1).map(|(_, start)| *start).chain([end]);
    let spans: Vec<(EnvPhase, f64)> =
        begun.iter().zip(ends).map(|((phase, start), end)| (*phase, (end - *start).as_secs_f64())).collect();
    EnvPhase::ALL
        .into_iter()
        .filter_map(|phase| {
            let of_phase = || spans.iter().filter(move |(other, _)| *other == phase);
            of_phase().next()?;
            Some((phase, of_phase().map(|(_, seconds)| seconds).sum()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_phase_lasts_until_the_next_and_is_summed_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let begun = [
            (EnvPhase::Install, at(1)),
            (EnvPhase::Create, at(2)),
            (EnvPhase::Install, at(4)),
            (EnvPhase::Commands, at(7)),
        ];
        let expected = vec![(EnvPhase::Create, 2.0), (EnvPhase::Install, 4.0), (EnvPhase::Commands, 1.0)];
        assert_eq!(sums(&begun, at(8)), expected);
        assert_eq!(sums(&[], start), []);
    }

    #[test]
    fn environments_are_told_apart_and_forgotten_when_taken() {
        let phases = PhaseTimes::default();
        phases.enter("a", EnvPhase::Create);
        assert_eq!(phases.take("b"), []);
        assert_eq!(phases.take("a").len(), 1);
        assert_eq!(phases.take("a"), []);
    }
}
