//! Finds the lines with the requirements that a resolver complains about. For error messages only: a line too few or
//! too many does no harm.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::lockfile::error::RequirementOrigin;
use crate::lockfile::inputs::LockInputs;
use crate::model::ProjectSettings;
use crate::model::pep508::{Requirement, canonical_name};

/// The lines of the project's files with requirements named in `explanation`.
pub fn of(project: &ProjectSettings, inputs: &LockInputs, explanation: &str) -> Vec<RequirementOrigin> {
    let named: BTreeSet<String> = words(explanation).map(canonical_name).collect();
    let lines = inputs.inputs.iter().flat_map(|input| &input.lines);
    let lines = lines.chain(inputs.base.iter().flat_map(|base| &base.requirements));
    let requirements: Vec<Requirement> = lines.filter_map(|line| requirement(line)).collect();
    let wanted: Vec<&Requirement> =
        requirements.iter().filter(|requirement| named.contains(&canonical_name(&requirement.name))).collect();
    let mut found = Vec::new();
    for file in files(project, inputs) {
        let Ok(text) = bounded::read_text(&file) else { continue };
        for (at, line) in text.lines().enumerate() {
            let written: Vec<Requirement> = candidates(line).into_iter().filter_map(requirement).collect();
            let is_wanted = |one: &Requirement| wanted.iter().any(|other| same(one, other));
            if written.iter().any(is_wanted) {
                let file = file.strip_prefix(&project.root).unwrap_or(&file).to_owned();
                found.push(RequirementOrigin { file, line: at + 1, text: line.trim().to_owned() });
            }
        }
    }
    found
}

/// The explanation with the versions in it that come from the base.
pub fn with_base(environment: &str, inputs: &LockInputs, explanation: String) -> String {
    let Some(base) = &inputs.base else { return explanation };
    let named: BTreeSet<String> = words(&explanation).map(canonical_name).collect();
    let is_named = |pin: &&String| requirement(pin).is_some_and(|one| named.contains(&canonical_name(&one.name)));
    let pins: Vec<&str> = base.pins.iter().filter(is_named).map(String::as_str).collect();
    let (explanation, below) = (explanation.trim_end(), &base.environment);
    let versions = if pins.is_empty() {
        "whose locked versions it keeps".to_owned()
    } else {
        format!("which is locked with {}", pins.join(", "))
    };
    format!("{explanation}\n`{environment}` is a layer on `{below}`, {versions}\n")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))).filter(|word| !word.is_empty())
}

/// The requirement of a line in the form that inputs use.
fn requirement(line: &str) -> Option<Requirement> {
    line.trim().trim_start_matches("-c ").parse().ok()
}

fn same(one: &Requirement, other: &Requirement) -> bool {
    canonical_name(&one.name) == canonical_name(&other.name) && one.specifiers == other.specifiers
}

/// The configuration, the project's own file, and every requirement file.
fn files(project: &ProjectSettings, inputs: &LockInputs) -> Vec<PathBuf> {
    let mut files = vec![project.config_file.clone(), project.package_root.join("pyproject.toml")];
    let words = &inputs.request.arguments;
    for (option, file) in words.iter().zip(words.iter().skip(1)) {
        if matches!(option.as_str(), "-r" | "-c") {
            nested(&project.root.join(file), &mut files);
        }
    }
    files.dedup();
    files
}

fn nested(file: &Path, files: &mut Vec<PathBuf>) {
    let mut open = vec![file.to_owned()];
    let mut known: BTreeSet<PathBuf> = files.iter().cloned().collect();
    while let Some(file) = open.pop() {
        if !known.insert(file.clone()) {
            continue;
        }
        let text = bounded::read_text(&file).unwrap_or_default();
        let mut named = Vec::new();
        for line in text.lines().map(str::trim) {
            let options = ["-r", "-c", "--requirement", "--constraint"];
            let name = options.iter().find_map(|option| line.strip_prefix(option));
            if let (Some(name), Some(folder)) = (name, file.parent()) {
                named.push(folder.join(name.trim_start_matches('=').trim()));
            }
        }
        open.extend(named.into_iter().rev());
        files.push(file);
    }
}

/// The parts of a line that may be requirements: all of it, the text after a key or a condition, and quoted texts.
fn candidates(line: &str) -> Vec<&str> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let mut found = vec![line];
    found.extend(line.split_once('=').filter(|(_, value)| !value.starts_with('=')).map(|(_, value)| value));
    found.extend(line.split_once(": ").map(|(_, value)| value));
    for quote in ['"', '\''] {
        found.extend(line.split(quote).skip(1).step_by(2));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::InstallRequest;
    use crate::lockfile::inputs::LockInput;

    #[test]
    fn lines_are_found_in_the_configuration_and_in_files_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("tox.ini", "[testenv]\ndeps = Attrs <2\n  py311: six==1 # why\n  other\n  -r r.txt\n");
        write("r.txt", "-r more.txt\n");
        write("more.txt", "attrs>=3\n");
        write("pyproject.toml", "dependencies = [\"attrs>=3\", 'six==2']\n");
        let root = folder.path().to_owned();
        let project = ProjectSettings {
            config_file: root.join("tox.ini"),
            root: root.clone(),
            lock_dir: root.join("locks"),
            work_dir: root.clone(),
            temp_dir: root.clone(),
            package_root: root.clone(),
            current_dir: root,
            venv_redirect: None,
            venv_redirect_env: None,
        };
        let lines = ["attrs>=3", "Attrs<2", "six==1", "other"].map(str::to_owned).to_vec();
        let inputs = LockInputs {
            base: None,
            inputs: vec![LockInput { name: "deps".to_owned(), lines }],
            request: InstallRequest::new("lock", vec!["-r".to_owned(), "r.txt".to_owned()]),
            lowest: None,
            asked_of: None,
        };
        let explanation = "Because you require attrs>=3 and attrs<2 and six==1, we can conclude";
        let found: Vec<String> = of(&project, &inputs, explanation)
            .into_iter()
            .map(|origin| format!("{}:{} {}", origin.file.display(), origin.line, origin.text))
            .collect();
        assert_eq!(
            found,
            [
                "tox.ini:2 deps = Attrs <2",
                "tox.ini:3 py311: six==1 # why",
                "pyproject.toml:1 dependencies = [\"attrs>=3\", 'six==2']",
                "more.txt:1 attrs>=3"
            ]
        );
    }
}
