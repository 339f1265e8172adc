//! Finds out from git what has changed in the project.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::bounded;
use crate::cli::options::Options;
use crate::error::ConfigError;
use crate::execute::interrupt::Interrupt;
use crate::execute::process::{ChildOutput, Spawn, finish_or_kill};
use crate::execute::program;
use crate::model::EnvVariables;
use crate::os_text;
use crate::plan::Plan;
use crate::plan::affected::Changes;
use crate::source;

/// The branches that others start from if the remote does not name one.
const DEFAULT_BRANCHES: [&str; 4] = ["origin/main", "origin/master", "main", "master"];

/// git in the project's folder.
struct Git<'a> {
    program: PathBuf,
    folder: PathBuf,
    variables: &'a EnvVariables,
    interrupt: Interrupt,
}

/// What has changed since the base that the options name, or the one that the project's history suggests. Returns the base
/// as well.
pub(super) fn changes(options: &Options, plan: &Plan, base: Option<&str>) -> Result<(Changes, String)> {
    let variables = &options.process.variables;
    let root = plan.settings.tox_root()?;
    let unknown = |reason: &str| {
        let unknown = Some(format!("it is not known what has changed: {reason}"));
        Ok((Changes { unknown, ..Changes::default() }, "an unknown commit".to_owned()))
    };
    let refused = |reason: &str| {
        let text = format!("`--base {}`: {reason}", base.unwrap_or_default());
        Err(ConfigError::handled(text).hint("name a branch, tag or commit of this repository").into())
    };
    let Some(program) = program::find("git", &root, variables) else {
        return if base.is_some() { refused("git is not installed") } else { unknown("git is not installed") };
    };
    let git = Git { program, folder: root.clone(), variables, interrupt: Interrupt::default() };
    let Some(top) = git.line(&["rev-parse", "--show-toplevel"]) else {
        return if base.is_some() {
            refused("this is not a git repository")
        } else {
            unknown("this is not a git repository")
        };
    };
    let commit = match base {
        Some(base) => match git.commit(base) {
            Some(commit) => commit,
            None => return refused("there is no such commit"),
        },
        None => match git.default_base(variables) {
            Ok(commit) => commit,
            Err(reason) => return unknown(&reason),
        },
    };
    let top = PathBuf::from(os_text::encode(&top));
    let top = top.canonicalize().unwrap_or(top);
    let Some(files) = git.changed_files(&commit, (&top, &root)) else { return unknown("git diff failed") };
    let mut changes = Changes { files, ..Changes::default() };
    let old = |file: &Path| {
        let path = file.strip_prefix(&top).unwrap_or(file).display().to_string();
        git.output(&["show", &format!("{commit}:{path}")]).and_then(|bytes| String::from_utf8(bytes).ok())
    };
    if changes.files.contains("pyproject.toml") {
        changes.pyproject = old(&root.join("pyproject.toml"));
    }
    let configuration = &plan.settings.source.path;
    let resolved = configuration.canonicalize().unwrap_or_else(|_| configuration.clone());
    let is_changed =
        resolved.strip_prefix(&root).is_ok_and(|name| changes.files.contains(&os_text::decode(name.as_os_str())));
    if is_changed || !resolved.starts_with(&root) {
        let before =
            old(&resolved).and_then(|text| source::discover::with_text(&plan.settings.source, text).ok().flatten());
        match before.map(|source| plan.with_source(source)) {
            Some(Ok(before)) => changes.before = Some(Box::new(before)),
            Some(Err(_)) => changes.unknown = Some("the configuration before the change cannot be read".to_owned()),
            None => changes.unknown = Some("the configuration is new".to_owned()),
        }
    }
    Ok((changes, commit))
}

impl Git<'_> {
    /// The output of a git command; `None` if it fails.
    fn output(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let arguments = ["-c", "core.quotepath=off"].iter().chain(arguments).map(OsString::from);
        let mut spawn = Spawn::new(&self.program, arguments, self.variables.clone());
        spawn.cwd = Some(self.folder.clone());
        spawn.stderr = ChildOutput::Null;
        let (code, out, _) = finish_or_kill(spawn, &self.interrupt).ok()?;
        (code == 0).then_some(out)
    }

    fn line(&self, arguments: &[&str]) -> Option<String> {
        let text = String::from_utf8(self.output(arguments)?).ok()?;
        let line = text.trim_end_matches('\n');
        (!line.is_empty()).then(|| line.to_owned())
    }

    fn commit(&self, revision: &str) -> Option<String> {
        // A revision cannot look like an option.
        if revision.starts_with('-') {
            return None;
        }
        self.line(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
    }

    /// What the CI service says, else where the branch left the default branch, else the commit before this one.
    fn default_base(&self, variables: &EnvVariables) -> Result<String, String> {
        if let Some((name, revision)) = base_of_ci(variables) {
            let missing = || {
                format!(
                    "{name} names `{revision}`, which is not in this clone (fetch more of the history, such as fetch-depth: 0)"
                )
            };
            let commit = self.commit(&revision).ok_or_else(missing)?;
            return Ok(self.line(&["merge-base", &commit, "HEAD"]).unwrap_or(commit));
        }
        let of_remote = self.line(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]);
        let mut branches = of_remote.iter().map(String::as_str).chain(DEFAULT_BRANCHES);
        let head = self.commit("HEAD").ok_or("there is no commit yet")?;
        let branch = branches.find(|branch| self.commit(branch).is_some());
        let left = branch.and_then(|branch| self.line(&["merge-base", branch, "HEAD"]));
        // A new branch without commits has only changes that are not committed.
        let current = self.line(&["symbolic-ref", "--quiet", "--short", "HEAD"]);
        let is_other = || {
            current.as_deref().is_some_and(|name| branch.is_some_and(|one| one.trim_start_matches("origin/") != name))
        };
        match left.filter(|commit| *commit != head || is_other()) {
            Some(commit) => Ok(commit),
            None => self.commit("HEAD~1").ok_or_else(|| "there is no earlier commit in this clone".to_owned()),
        }
    }

    /// Everything that differs from the commit, committed or not, and files that are new; relative to the project's root.
    fn changed_files(&self, commit: &str, (top, root): (&Path, &Path)) -> Option<std::collections::BTreeSet<String>> {
        let mut output = self.output(&["diff", "--name-only", "--no-renames", "-z", commit, "--"])?;
        let new = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z"];
        output.extend(self.output(&new)?);
        let prefix = root.strip_prefix(top).unwrap_or(Path::new(""));
        let names = output.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let relative = |name: &[u8]| {
            let path = String::from_utf8_lossy(name).into_owned();
            let below = Path::new(&path).strip_prefix(prefix).ok().map(|path| path.display().to_string());
            below.unwrap_or_else(|| top.join(&path).display().to_string())
        };
        Some(names.map(relative).collect())
    }
}

/// The commit before the change, and the variable that names it.
fn base_of_ci(variables: &EnvVariables) -> Option<(&'static str, String)> {
    let text = |name: &str| variables.text(name).filter(|text| !text.is_empty() && !text.chars().all(|c| c == '0'));
    if let Some(branch) = text("GITHUB_BASE_REF") {
        return Some(("GITHUB_BASE_REF", format!("origin/{branch}")));
    }
    for name in ["CI_MERGE_REQUEST_DIFF_BASE_SHA", "CI_COMMIT_BEFORE_SHA"] {
        if let Some(commit) = text(name) {
            return Some((name, commit));
        }
    }
    if let Some(branch) = text("BUILDKITE_PULL_REQUEST_BASE_BRANCH") {
        return Some(("BUILDKITE_PULL_REQUEST_BASE_BRANCH", format!("origin/{branch}")));
    }
    // A push to GitHub: the event says which commit was there before.
    let event = bounded::read(text("GITHUB_EVENT_PATH")?).ok()?;
    let event: serde_json::Value = serde_json::from_slice(&event).ok()?;
    let before = event["before"].as_str().filter(|commit| !commit.chars().all(|c| c == '0'))?;
    Some(("GITHUB_EVENT_PATH", before.to_owned()))
}
