//! Property tests: generated and mutated texts are read by envo and by Python or the real tox, which must agree.
//!
//! A run takes a few thousand texts, always the same ones. `ENVO_PROPERTY_CASES=1000000` takes that many, different
//! ones each time.

mod answers;
mod compose;
mod env_files;
mod expressions;
mod factors;
mod ini;
mod oracle;
mod splitting;
mod texts;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;

use oracle::Oracle;

const CASES: u32 = 3_000;

/// Fails with the smallest text that was found for which `question` is answered differently.
fn same_for_all<T: std::fmt::Debug>(
    texts: impl Strategy<Value = T>,
    oracle: &Oracle,
    answers: impl Fn(&Oracle, &T) -> (Value, Value),
) {
    let wanted = std::env::var("ENVO_PROPERTY_CASES").ok().map(|text| text.parse().expect("a number of cases"));
    let config = Config { cases: wanted.unwrap_or(CASES), failure_persistence: None, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let outcome = runner.run(&texts, |text| {
        let (expected, found) = answers(oracle, &text);
        if expected == found {
            return Ok(());
        }
        Err(TestCaseError::fail(format!("expected {expected}\n   found {found}")))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
