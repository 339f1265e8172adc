//! `envo quickstart`: creates a `tox.ini` for a project tested by pytest, as tox does, and for other files in the folder.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::bounded;
use crate::cli::options::Options;
use crate::cli::{TOX_VERSION, program_version};
use crate::commands::discovery::discovery;
use crate::commands::import::{COMPOSE_FILES, with_files};
use crate::commands::open_plan::report_missing_configuration;
use crate::exit_code;
use crate::import::{self, Imported, ImportedSection, ProjectFiles};
use crate::model::InterpreterLookup as _;
use crate::report::plain;

/// Writes the file, unless it exists.
pub fn execute(options: &Options) -> Result<i32> {
    report_missing_configuration(options)?;
    let root = &options.generate.quickstart_root;
    let file = root.join("tox.ini");
    if file.exists() {
        plain::out(&format!("{} already exist, refusing to overwrite\n", file.display()));
        return Ok(exit_code::FAILED);
    }
    let mut found = with_files(root, options, |files| found(root, files));
    let content = content(&environment_name(options), root, &mut found);
    let (program, version) = (&options.invocation.program, program_version(&options.invocation.program));
    plain::out(&format!("{program} {version} quickstart utility, will create {}:\n{content}", file.display()));
    fs_err::create_dir_all(root)?;
    fs_err::write(&file, content).context("the configuration could not be written")?;
    for line in found.imported.lines() {
        plain::error(&format!("{line}\n"));
    }
    let sections = &found.imported.sections;
    let services: Vec<&str> =
        sections.iter().filter(|section| section.has("serve")).map(|section| section.name.as_str()).collect();
    if !services.is_empty() {
        plain::error(&format!("help: `envo serve` starts {}\n", services.join(", ")));
    }
    Ok(exit_code::OK)
}

/// The contents of the folder other than a Python project.
struct Found {
    imported: Imported,
    /// How many of the sections are services of a compose file; they come first.
    of_compose: usize,
}

fn found(root: &Path, files: &ProjectFiles<'_>) -> Found {
    let compose = COMPOSE_FILES.into_iter().find(|name| root.join(name).is_file());
    let mut imported = compose.map(|name| of_compose(name, files)).unwrap_or_default();
    let of_compose = imported.sections.len();
    import::manifests(files, &mut imported);
    Found { imported, of_compose }
}

/// What cannot be translated is noted.
fn of_compose(name: &str, files: &ProjectFiles<'_>) -> Imported {
    let translated = match (files.read)(name) {
        Some(text) => import::compose(&text, name, files).map_err(|error| error.message),
        None => Err("it cannot be read as a text".to_owned()),
    };
    let mut imported = Imported::default();
    match translated {
        Ok(translated) => imported = translated,
        Err(reason) => imported.note(name, reason),
    }
    for section in &mut imported.sections {
        let description = format!("the service {} of {name}", section.name);
        section.add("description", description);
    }
    imported
}

/// The environment for the current Python; `py`, which means that Python, if no interpreter is found.
fn environment_name(options: &Options) -> String {
    let interpreters = discovery(options);
    let host = interpreters.host_python().display().to_string();
    match interpreters.find(&[host]) {
        Some(found) => format!("py{}{}", found.version.major, found.version.minor),
        None => "py".to_owned(),
    }
}

/// tox's exact file, unless the folder contains more than a Python project.
fn content(environment: &str, root: &Path, found: &mut Found) -> String {
    let (services, projects) = found.imported.sections.split_at(found.of_compose);
    let is_python = is_python(root) || (services.is_empty() && projects.is_empty());
    let tested = |section: &&ImportedSection| section.has("commands");
    let is_any_tested = is_python || projects.iter().any(|section| tested(&section));
    let mut listed = if is_python { vec![environment.to_owned()] } else { Vec::new() };
    listed.extend(
        projects.iter().filter(|section| !is_any_tested || tested(section)).map(|section| section.name.clone()),
    );
    let mut texts = vec![core(&listed, is_python)];
    if is_python {
        texts.push(PYTEST.to_owned());
        // What is for the Python project would hold for them, too.
        for section in &mut found.imported.sections {
            for (key, value) in [("package", "skip"), ("deps", ""), ("commands", "")] {
                if !section.has(key) {
                    section.add(key, value);
                }
            }
        }
    }
    texts.extend(found.imported.sections.iter().map(ImportedSection::text));
    texts.join("\n")
}

/// Whether there is a Python project that can be built: a `pyproject.toml` may be there for tools alone.
fn is_python(root: &Path) -> bool {
    let text = |name: &str| bounded::read_text(root.join(name)).ok();
    let is_project = |text: String| {
        text.parse::<toml::Table>().is_ok_and(|table| {
            table.contains_key("project")
                || table.contains_key("build-system")
                || table.get("tool").is_some_and(|tools| tools.get("poetry").is_some())
        })
    };
    root.join("setup.py").exists()
        || text("setup.cfg").is_some_and(|text| text.contains("[metadata]"))
        || text("pyproject.toml").is_some_and(is_project)
}

fn core(listed: &[String], is_python: bool) -> String {
    let mut text = "[tox]\n".to_owned();
    if !listed.is_empty() {
        text.push_str(&format!("env_list =\n    {}\n", listed.join("\n    ")));
    }
    text.push_str(&format!("minversion = {TOX_VERSION}\n"));
    if !is_python {
        text.push_str("no_package = true\n");
    }
    text
}

/// How tox has a Python project tested.
const PYTEST: &str = "\
[testenv]
description = run the tests with pytest
package = wheel
wheel_build_env = .pkg
deps =
    pytest>=6
commands =
    pytest {tty:--color=yes} {posargs}
";
