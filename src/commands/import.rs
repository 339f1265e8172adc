//! `envo import`: a Procfile or a `docker-compose.yml` as environments of a `tox.ini`, and locks of other programs as
//! constraints.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli::options::Options;
use crate::error::ConfigError;
use crate::exit_code;
use crate::import::locks::Pins;
use crate::import::{self, Imported};
use crate::report::plain;

/// What versions from another lock are written to.
const PINS: &str = "pins.txt";

/// Where the files usually are.
const PROCFILES: [&str; 2] = ["Procfile", "Procfile.dev"];
const COMPOSE_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Prints the environments, or adds them to the `tox.ini` of the folder, and says what could not be translated.
///
/// # Errors
/// A file that is not there, or is none of its kind; with `--write`, environments that are there already.
pub fn execute(options: &Options) -> Result<i32> {
    let folder = &options.current_dir;
    if let Some(pins) = pins(options)? {
        let text = pins.text();
        match options.import.write {
            true => {
                let file = folder.join(PINS);
                fs_err::write(&file, &text)?;
                plain::out(&format!("wrote {}: name it in `constraints`, then run `envo lock`\n", file.display()));
            }
            false => plain::out(&text),
        }
        for note in &pins.notes {
            plain::error(&format!("{note}\n"));
        }
        return Ok(exit_code::OK);
    }
    let (is_procfile, file) = match options.import.words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["procfile"] => (true, None),
        ["procfile", file] => (true, Some(file)),
        ["compose"] => (false, None),
        ["compose", file] => (false, Some(file)),
        _ => {
            let shown = options.import.words.join(" ");
            let text =
                format!("`{shown}` is none of procfile, compose, pipenv, poetry, pdm and pip-tools, with one file");
            return Err(ConfigError::handled(text).hint("write `envo import KIND [FILE]`").into());
        }
    };
    let names: &[&str] = if is_procfile { &PROCFILES } else { &COMPOSE_FILES };
    let file = match file {
        Some(file) => folder.join(file),
        None => found(folder, names)?,
    };
    let text = fs_err::read_to_string(&file)?;
    let imported = match is_procfile {
        true => import::procfile(&text, file.with_file_name(".env").exists()),
        false => import::compose(&text),
    };
    let imported = imported.map_err(|mut error| {
        error.message = format!("{}: {}", file.display(), error.message);
        error
    })?;
    if options.import.write {
        write(&folder.join("tox.ini"), &imported)?;
    } else {
        plain::out(&imported.text());
    }
    for note in &imported.notes {
        plain::error(&format!("{note}\n"));
    }
    Ok(exit_code::OK)
}

/// What a lock of another program says; `None`: none was named.
fn pins(options: &Options) -> Result<Option<Pins>> {
    let words: Vec<&str> = options.import.words.iter().map(String::as_str).collect();
    let Some(&kind) = words.first() else { return Ok(None) };
    let usual = match kind {
        "pipenv" => "Pipfile.lock",
        "poetry" => "poetry.lock",
        "pdm" => "pdm.lock",
        "pip-tools" => "requirements.txt",
        _ => return Ok(None),
    };
    let [_, rest @ ..] = words.as_slice() else { return Ok(None) };
    let file = options.current_dir.join(match rest {
        [] => usual,
        [file] => file,
        _ => return Err(ConfigError::handled(format!("`import {kind}` takes one file")).into()),
    });
    let text = fs_err::read_to_string(&file)?;
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

fn write(file: &Path, imported: &Imported) -> Result<()> {
    let before = match fs_err::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "[tox]\nno_package = true\n".to_owned(),
        Err(error) => return Err(error.into()),
    };
    let taken = |header: &&str| before.lines().any(|line| line.trim_end() == *header);
    let headers: Vec<String> = imported.sections.iter().map(|section| format!("[testenv:{}]", section.name)).collect();
    if let Some(header) = headers.iter().map(String::as_str).find(taken) {
        return Err(ConfigError::handled(format!("{} has a section {header} already", file.display()))
            .hint("without `--write` the environments are printed")
            .into());
    }
    let gap = if before.ends_with("\n\n") || before.is_empty() {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    fs_err::write(file, format!("{before}{gap}{}", imported.text()))
        .context("the environments could not be written")?;
    plain::out(&format!("added to {}: {}\n", file.display(), headers.join(" ")));
    Ok(())
}
