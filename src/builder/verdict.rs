//! Derives the result of a run from the results of its environments.

use crate::event::EnvironmentResult;
use crate::exit_code;

/// Whether the run succeeded: no environment failed, and not all were skipped.
pub fn is_success(results: &[EnvironmentResult]) -> bool {
    let good = |result: &EnvironmentResult| result.code == exit_code::OK || result.ignore_outcome || result.unavailable;
    results.iter().all(good) && !results.iter().all(|result| result.skipped)
}

/// The program's exit code: that of the only environment, or with `fail_fast` of the first that failed, or 1.
pub fn exit_code(results: &[EnvironmentResult], fail_fast: bool) -> i32 {
    if is_success(results) {
        return exit_code::OK;
    }
    if let [only] = results {
        return if only.skipped { exit_code::FAILED } else { only.code };
    }
    let failed = |result: &&EnvironmentResult| {
        !result.skipped && !result.ignore_outcome && !result.unavailable && result.code != exit_code::OK
    };
    match results.iter().find(failed) {
        Some(first) if fail_fast => first.code,
        _ => exit_code::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(code: i32) -> EnvironmentResult {
        EnvironmentResult {
            name: "py".into(),
            skipped: false,
            code,
            ignore_outcome: false,
            fail_fast: false,
            unavailable: false,
            duration_seconds: 0.0,
            command_seconds: Vec::new(),
            phase_seconds: Vec::new(),
        }
    }

    fn skipped() -> EnvironmentResult {
        EnvironmentResult { skipped: true, ..result(0) }
    }

    #[test]
    fn the_only_environments_code_is_the_programs() {
        assert_eq!(exit_code(&[result(0)], false), 0);
        assert_eq!(exit_code(&[result(7)], false), 7);
        assert_eq!(exit_code(&[skipped()], false), 1);
        assert_eq!(exit_code(&[EnvironmentResult { ignore_outcome: true, ..result(7) }], false), 0);
    }

    #[test]
    fn several_environments_fail_with_one_unless_they_fail_fast() {
        assert_eq!(exit_code(&[result(0), result(7)], false), 1);
        assert_eq!(exit_code(&[skipped(), result(7), result(8)], true), 7);
        assert_eq!(exit_code(&[result(0), skipped()], false), 0);
        assert_eq!(exit_code(&[skipped(), skipped()], false), 1);
        assert_eq!(exit_code(&[], false), 1);
    }

    #[test]
    fn an_unavailable_environment_is_no_failure() {
        let unavailable = EnvironmentResult { unavailable: true, ..result(0) };
        assert_eq!(exit_code(&[result(0), unavailable], false), 0);
    }
}
