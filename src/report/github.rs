//! Annotations for GitHub Actions: each failure at its line in the configuration. They go to standard error,
//! which the runner reads as well, so that standard output is the same as everywhere else.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::Location;
use crate::event::{EnvironmentResult, Level, Reporter, RunEvent};
use crate::model::EnvVariables;
use crate::report::human::write;

/// Returns where a key of an environment is defined.
pub type KeyLocations = Box<dyn Fn(&str, &str) -> Option<Location> + Send + Sync>;

/// Annotates every environment that fails.
pub struct GithubAnnotations {
    checkout: PathBuf,
    locations: KeyLocations,
    /// The last failure in each environment: its step and its description.
    failures: Mutex<HashMap<String, (String, String)>>,
}

/// The folder that paths in annotations are relative to; `None` outside GitHub Actions.
pub fn checkout(variables: &EnvVariables, current_dir: &Path) -> Option<PathBuf> {
    (variables.text("GITHUB_ACTIONS").as_deref() == Some("true"))
        .then(|| variables.get("GITHUB_WORKSPACE").map_or_else(|| current_dir.to_owned(), PathBuf::from))
}

impl GithubAnnotations {
    pub fn new(checkout: PathBuf, locations: KeyLocations) -> Self {
        Self { checkout, locations, failures: Mutex::default() }
    }

    fn remember(&self, environment: String, step: String, text: String) {
        self.failures.lock().insert(environment, (step, text));
    }

    fn of(&self, result: &EnvironmentResult) -> Option<String> {
        let known = self.failures.lock().remove(&result.name);
        if result.code == 0 || result.skipped || result.ignore_outcome {
            return None;
        }
        let (step, text) = known.unwrap_or_else(|| (String::new(), format!("failed with exit code {}", result.code)));
        let location = setting_of(&step).and_then(|key| (self.locations)(&result.name, key));
        Some(annotation(&result.name, &text, location.as_ref(), &self.checkout))
    }
}

impl Reporter for GithubAnnotations {
    fn event(&self, event: RunEvent) {
        match event {
            RunEvent::CommandFinished {
                environment,
                run_id,
                command,
                exit_code,
                level: Level::Critical,
                tolerated: false,
                ..
            } => {
                let text = format!("{run_id} ended with exit code {exit_code}: {command}");
                self.remember(environment, run_id, text);
            }
            RunEvent::Message { environment, level: Level::Error, text } => {
                self.remember(environment, String::new(), text);
            }
            RunEvent::EnvironmentFinished { result, .. } => {
                if let Some(text) = self.of(&result) {
                    let _ = write(io::stderr().lock(), text.as_bytes());
                }
            }
            _ => {}
        }
    }
}

/// The setting a step comes from: `commands` of `commands[0]`, `deps` of `install_deps`.
pub(super) fn setting_of(step: &str) -> Option<&str> {
    match step.split_once('[') {
        Some((setting, _)) => Some(setting),
        None => (step == "install_deps").then_some("deps"),
    }
}

/// On GitHub Actions, has the runner hide these values and their lines, too.
pub fn mask(variables: &EnvVariables, values: &[Vec<u8>]) {
    if variables.text("GITHUB_ACTIONS").as_deref() == Some("true") {
        let commands: String = values.iter().map(|value| mask_commands(value)).collect();
        let _ = write(io::stderr().lock(), commands.as_bytes());
    }
}

fn mask_commands(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let lines = text.lines().filter(|line| text.lines().count() > 1 && line.trim().chars().count() > 3);
    std::iter::once(&*text).chain(lines).map(|text| format!("::add-mask::{}\n", data(text))).collect()
}

/// A workflow command that reports an error, at a line if there is one.
pub fn annotation(title: &str, text: &str, location: Option<&Location>, checkout: &Path) -> String {
    let mut properties = Vec::new();
    if let Some(Location { file, line, column, .. }) = location {
        let file = file.strip_prefix(checkout).unwrap_or(file).display().to_string();
        properties.push(format!("file={}", property(&file)));
        properties.push(format!("line={line},col={column}"));
    }
    properties.push(format!("title={}", property(title)));
    format!("::error {}::{}\n", properties.join(","), data(text))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations() -> GithubAnnotations {
        let locations = |environment: &str, key: &str| {
            (environment == "py" && key == "commands").then(|| Location {
                file: "/project/app/tox.ini".into(),
                line: 7,
                column: 3,
                length: 1,
            })
        };
        GithubAnnotations::new("/project".into(), Box::new(locations))
    }

    fn failed(annotations: &GithubAnnotations, run_id: &str, tolerated: bool) {
        annotations.event(RunEvent::CommandFinished {
            environment: "py".into(),
            run_id: run_id.into(),
            cwd: String::new(),
            command: "pytest\n-q".into(),
            exit_code: 3,
            seconds: 0.0,
            pid: None,
            level: Level::Critical,
            tolerated,
        });
    }

    fn result(code: i32) -> EnvironmentResult {
        EnvironmentResult { name: "py".into(), code, ..EnvironmentResult::default() }
    }

    #[test]
    fn a_failed_command_is_annotated_at_its_line() {
        let annotations = annotations();
        failed(&annotations, "commands[0]", false);
        assert_eq!(
            annotations.of(&result(3)).unwrap(),
            "::error file=app/tox.ini,line=7,col=3,title=py::commands[0] ended with exit code 3: pytest%0A-q\n"
        );
    }

    #[test]
    fn a_failure_without_a_location_is_annotated() {
        let annotations = annotations();
        failed(&annotations, "install_deps", false);
        let text = annotations.of(&result(3)).unwrap();
        assert_eq!(text, "::error title=py::install_deps ended with exit code 3: pytest%0A-q\n");
        (&annotations as &dyn Reporter).error("py", "failed with 100%: no");
        assert_eq!(annotations.of(&result(1)).unwrap(), "::error title=py::failed with 100%25: no\n");
        assert_eq!(annotations.of(&result(9)).unwrap(), "::error title=py::failed with exit code 9\n");
    }

    #[test]
    fn successful_and_ignored_commands_are_not_annotated() {
        let annotations = annotations();
        failed(&annotations, "commands[0]", true);
        assert_eq!(annotations.of(&result(0)), None);
        assert_eq!(annotations.of(&EnvironmentResult { skipped: true, ..result(-2) }), None);
        assert_eq!(annotations.of(&EnvironmentResult { ignore_outcome: true, ..result(2) }), None);
    }

    #[test]
    fn only_the_runners_own_sign_counts() {
        let of = |pairs: &[(&str, &str)]| {
            checkout(&pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(), Path::new("/here"))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("GITHUB_ACTIONS", "false")]), None);
        assert_eq!(of(&[("GITHUB_ACTIONS", "true")]), Some("/here".into()));
        assert_eq!(of(&[("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", "/w")]), Some("/w".into()));
    }
}
