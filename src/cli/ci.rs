//! Detects continuous integration by its variables.

use crate::model::EnvVariables;

/// Variables and their required values; `None` for any value.
/// Collected at <https://adamj.eu/tech/2020/03/09/detect-if-your-tests-are-running-on-ci>.
const SIGNS: [(&str, Option<&str>); 13] = [
    ("CI", None),
    ("TF_BUILD", Some("true")),
    ("bamboo.buildKey", None),
    ("BUILDKITE", Some("true")),
    ("CIRCLECI", Some("true")),
    ("CIRRUS_CI", Some("true")),
    ("CODEBUILD_BUILD_ID", None),
    ("GITHUB_ACTIONS", Some("true")),
    ("GITLAB_CI", None),
    ("HEROKU_TEST_RUN_ID", None),
    ("BUILD_ID", None),
    ("TEAMCITY_VERSION", None),
    ("TRAVIS", Some("true")),
];

pub fn is_ci(variables: &EnvVariables) -> bool {
    SIGNS.iter().any(|(name, wanted)| {
        variables.text(name).is_some_and(|value| match *name {
            // `CI` can be switched off by its value; for vendors' variables only the exact value or presence counts.
            "CI" => !matches!(value.to_lowercase().as_str(), "" | "0" | "false"),
            "TEAMCITY_VERSION" => value != "LOCAL",
            _ => wanted.is_none_or(|wanted| value == wanted),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> bool {
        is_ci(&[(name.into(), value.into())].into_iter().collect())
    }

    #[test]
    fn the_general_variable_can_be_switched_off() {
        assert!(with("CI", "1") && with("CI", "true"));
        assert!(!with("CI", "False") && !with("CI", "") && !with("CI", "0"));
    }

    #[test]
    fn vendors_variables_count_by_presence_or_exact_value() {
        assert!(with("GITLAB_CI", "") && with("TRAVIS", "true") && with("TEAMCITY_VERSION", "9"));
        assert!(!with("TRAVIS", "1") && !with("TEAMCITY_VERSION", "LOCAL") && !with("HOME", "/"));
    }
}
