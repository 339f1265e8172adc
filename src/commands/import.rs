//! `envo import`: converts a Procfile or a `docker-compose.yml` to environments of a `tox.ini`, and locks of other programs
//! to constraints.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::bounded;
use crate::cli::options::Options;
use crate::error::ConfigError;
use crate::exit_code;
use crate::import::locks::Pins;
use crate::import::{self, Imported, ProjectFiles};
use crate::os_text;
use crate::python_text::escaped;
use crate::python_text::glob_paths::paths_below;
use crate::report::plain;

/// The file for versions from another lock.
const PINS: &str = "pins.txt";

/// The first lines of a `tox.ini` with only services.
const NEW_FILE: &str = "[tox]\nno_package = true\n\n";

/// The limit for the size of a file, in bytes.
const MAX_SIZE: u64 = 4 << 20;

/// The usual names of the files.
const PROCFILES: [&str; 2] = ["Procfile", "Procfile.dev"];
pub(super) const COMPOSE_FILES: [&str; 4] =
    ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Prints the environments, or adds them to the `tox.ini` of the folder, and reports what could not be converted.
///
/// # Errors
/// A file that is missing or invalid; with `--write`, environments that already exist.
pub fn execute(options: &Options) -> Result<i32> {
    let folder = &options.process.current_dir;
    if let Some(pins) = pins(options)? {
        let text = pins.text();
        match options.generate.import.write {
            true => {
                let file = folder.join(PINS);
                fs_err::write(&file, &text)?;
                plain::out(&format!("wrote {}: name it in `constraints`, then run `envo lock`\n", file.display()));
            }
            false => plain::out(&text),
        }
        for note in pins.notes.iter().map(|note| escaped(note)) {
            plain::error(&format!("{note}\n"));
        }
        return Ok(exit_code::OK);
    }
    let (is_procfile, file) = match options.generate.import.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["procfile"] => (true, None),
        ["procfile", file] => (true, Some(file)),
        ["compose"] => (false, None),
        ["compose", file] => (false, Some(file)),
        _ => {
            let shown = options.generate.import.words.join(" ");
            let text = format!(
                "expected procfile, compose, pipenv, poetry, pdm or pip-tools and at most one file, not `{shown}`"
            );
            return Err(ConfigError::handled(text).hint("write `envo import KIND [FILE]`").into());
        }
    };
    let names: &[&str] = if is_procfile { &PROCFILES } else { &COMPOSE_FILES };
    let file = match file {
        Some(file) => folder.join(os_text::encode(file)),
        None => found(folder, names)?,
    };
    let text = text_of(&file)?;
    let imported = match is_procfile {
        true => import::procfile(&text, file.with_file_name(".env").exists()),
        false => compose(&text, &file, options),
    };
    let imported = imported.map_err(|mut error| {
        error.message = format!("{}: {}", file.display(), error.message);
        error
    })?;
    if options.generate.import.write {
        write(folder, &imported)?;
    } else {
        let is_first = bounded::read_text(folder.join("tox.ini")).is_ok_and(|text| !text.trim().is_empty());
        plain::out(&format!("{}{}", if is_first { "" } else { NEW_FILE }, imported.text()));
    }
    for note in imported.lines() {
        plain::error(&format!("{note}\n"));
    }
    Ok(exit_code::OK)
}

/// A compose file, with the project's files that it refers to.
fn compose(text: &str, file: &Path, options: &Options) -> Result<Imported, ConfigError> {
    let folder = &options.process.current_dir;
    let relative = file.strip_prefix(folder).unwrap_or(file);
    with_files(folder, options, |files| import::compose(text, &relative.to_string_lossy(), files))
}

/// Access to the project in `folder` and to the machine for a translation.
pub(super) fn with_files<T>(folder: &Path, options: &Options, translate: impl FnOnce(&ProjectFiles<'_>) -> T) -> T {
    let search = options.process.variables.text("PATH").unwrap_or_default();
    translate(&ProjectFiles {
        read: &|path| readable(&folder.join(path)),
        has_program: &|name, folders| {
            let found = folders.iter().map(|pattern| paths_below(Path::new("/"), &format!("{pattern}/{name}")));
            which::which_in_global(name, Some(&search)).is_ok_and(|mut found| found.next().is_some())
                || found.flatten().flatten().any(|path| path.is_file())
        },
    })
}

fn text_of(file: &Path) -> Result<String, ConfigError> {
    bounded::read_text(file).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &std::io::Error) -> ConfigError {
    ConfigError::handled(format!("cannot read `{}`: {error}", file.display()))
}

/// The text of a file of the project; nothing that is no file, or is too large to be read by people, is looked into.
fn readable(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok()?;
    let fits = metadata.is_file() && metadata.len() <= MAX_SIZE;
    if fits { bounded::read_text(path).ok() } else { None }
}

/// What a lock of another program says; `None`: none was named.
fn pins(options: &Options) -> Result<Option<Pins>> {
    let words: Vec<&str> = options.generate.import.words.iter().map(String::as_str).collect();
    let Some(&kind) = words.first() else { return Ok(None) };
    let usual = match kind {
        "pipenv" => "Pipfile.lock",
        "poetry" => "poetry.lock",
        "pdm" => "pdm.lock",
        "pip-tools" => "requirements.txt",
        _ => return Ok(None),
    };
    let [_, rest @ ..] = words.as_slice() else { return Ok(None) };
    let file = options.process.current_dir.join(match rest {
        [] => usual,
        [file] => file,
        _ => return Err(ConfigError::handled(format!("`import {kind}` takes one file")).into()),
    });
    let text = text_of(&file)?;
    let pins = match kind {
        "pipenv" => import::locks::pipfile(&text),
        "pip-tools" => import::locks::requirements(&text),
        _ => import::locks::packages(&text, usual),
    };
    pins.map(Some).map_err(|mut error| {
        error.message = format!("{}: {}", file.display(), error.message);
        error.into()
    })
}

fn found(folder: &Path, names: &[&str]) -> Result<PathBuf, ConfigError> {
    let there = names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    there.ok_or_else(|| {
        ConfigError::handled(format!("there is no {} in {}", names.join(", no "), folder.display()))
            .hint("name the file: `envo import procfile FILE` or `envo import compose FILE`")
    })
}

fn write(folder: &Path, imported: &Imported) -> Result<()> {
    let file = folder.join("tox.ini");
    let before = match bounded::read_text(&file) {
        Ok(text) if text.trim().is_empty() => NEW_FILE.to_owned(),
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            not_beside_another(folder)?;
            NEW_FILE.to_owned()
        }
        Err(error) => return Err(unreadable(&file, &error).into()),
    };
    let taken = |header: &&str| before.lines().any(|line| line.trim_end() == *header);
    let headers: Vec<String> = imported.sections.iter().map(|section| format!("[testenv:{}]", section.name)).collect();
    if let Some(header) = headers.iter().map(String::as_str).find(taken) {
        return Err(ConfigError::handled(format!("{} already has a section {header}", file.display()))
            .hint("omit `--write` to print the environments")
            .into());
    }
    let gap = if before.ends_with("\n\n") || before.is_empty() {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    fs_err::write(&file, format!("{before}{gap}{}", imported.text()))
        .context("the environments could not be written")?;
    plain::out(&format!("added to {}: {}\n", file.display(), headers.join(" ")));
    Ok(())
}

/// A new `tox.ini` would count more than the configuration that the project has.
fn not_beside_another(folder: &Path) -> Result<(), ConfigError> {
    let holds = |name: &str, words: &[&str]| {
        let text = bounded::read_text(folder.join(name)).unwrap_or_default();
        words.is_empty() && folder.join(name).is_file() || words.iter().any(|word| text.contains(word))
    };
    let others =
        [("setup.cfg", &["[tox:tox]"][..]), ("pyproject.toml", &["[tool.tox", "legacy_tox_ini"]), ("tox.toml", &[])];
    match others.iter().find(|(name, words)| holds(name, words)) {
        Some((name, _)) => Err(ConfigError::handled(format!(
            "the project is configured by {name}, and a new tox.ini would take precedence"
        ))
        .hint("omit `--write` to print the environments")),
        None => Ok(()),
    }
}
