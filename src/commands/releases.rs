//! `envo verify`, `envo install`, `envo releases` and `envo rollback`: packed files on the machine they run on. None of
//! them reads a project's configuration.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bounded;
use crate::cli::options::Options;
use crate::execute::interrupt::{BySignal, Interrupt};
use crate::exit_code;
use crate::python_text::escaped;
use crate::report::plain;
use crate::report::table;
use crate::ship::manifest::Manifest;
use crate::ship::provenance;
use crate::ship::reading::{self, FileKind, PackedFile};
use crate::ship::reading_image::{self, ImageSummary};
use crate::ship::releases::{Installation, Release};
use crate::ship::signature;
use crate::ship::verify::{Checker, amount};

/// Runs `action`. If a signal arrives meanwhile, nothing of it is left, and the process ends by this signal.
fn with_checker(options: &Options, action: impl FnOnce(&Checker<'_>) -> Result<String>) -> Result<i32> {
    let interrupt = Interrupt::listen(|_| {}).context("cannot listen to signals")?;
    let outcome = action(&Checker { variables: &options.process.variables, interrupt: &interrupt });
    if let (Err(_), Some(signal)) = (&outcome, interrupt.signal()) {
        return Err(BySignal(signal).into());
    }
    plain::out(&outcome?);
    Ok(exit_code::OK)
}

/// `envo verify`.
pub fn execute_verify(options: &Options) -> Result<i32> {
    with_checker(options, |checker| verified(options, checker))
}

fn verified(options: &Options, checker: &Checker<'_>) -> Result<String> {
    let file = &options.ship.file;
    if file.is_dir() {
        let manifest = checker.release(file)?;
        return Ok(described(&manifest, "a folder, which has none"));
    }
    let (file, signed) = signed(options)?;
    if reading::kind(&file)? == FileKind::Image {
        return Ok(image(&reading_image::read(&file, checker.interrupt)?, &signed));
    }
    let manifest = checker.file(&file)?;
    Ok(described(&manifest, &signed))
}

/// The file and the state of its signature, which is checked before the file is read.
fn signed(options: &Options) -> Result<(PackedFile<'_>, String)> {
    let path = &options.ship.file;
    let Some(key) = &options.ship.key else {
        let is_signed = signature::path_for(path).exists();
        let state = if is_signed { "not checked; name the key with --key" } else { "none" };
        return Ok((PackedFile::new(path), state.to_owned()));
    };
    let key_file = options.process.current_dir.join(key);
    let key = if key_file.is_file() { key_file.display().to_string() } else { key.clone() };
    let (file, packer) = signature::verify(path, &key)?;
    Ok((file, format!("valid, of {}", escaped(&packer))))
}

fn described(manifest: &Manifest, signature: &str) -> String {
    let target = &manifest.target;
    let glibc = if target.glibc.is_empty() { String::new() } else { format!(", glibc {} or newer", target.glibc) };
    format!(
        "{} {}\n  signature  {signature}\n  files      {}, {}, as packed\n  machine    {} {}{glibc}\n  \
         Python     {}, works here\n  scripts    {}, can be imported\n",
        manifest.name,
        manifest.version,
        manifest.members.len(),
        amount(manifest.size()),
        target.system,
        target.machine,
        manifest.python.version,
        manifest.scripts.len(),
    )
}

fn image(image: &ImageSummary, signature: &str) -> String {
    format!(
        "{} {}\n  signature  {signature}\n  layers     {}, {}, as packed\n  machine    {}\n  starts     {}\n",
        image.name,
        image.version,
        image.layers,
        amount(image.size),
        image.machine,
        image.start.join(" "),
    )
}

/// `envo install`.
pub fn execute_install(options: &Options) -> Result<i32> {
    with_checker(options, |checker| installed(options, checker))
}

fn installed(options: &Options, checker: &Checker<'_>) -> Result<String> {
    let (file, _) = signed(options)?;
    let installed = Installation::lock(&root(options))?.install(&file, checker)?;
    let release = &installed.release;
    let (name, version) = identity(release);
    let how = if installed.was_there { "was installed already; it is current" } else { "is current" };
    let mut text = format!("{name} {version} {how} as release {}\n", release.number);
    for number in &installed.removed {
        text.push_str(&format!("release {number} was removed\n"));
    }
    Ok(text)
}

/// `envo rollback`.
pub fn execute_rollback(options: &Options) -> Result<i32> {
    with_checker(options, |checker| rolled_back(options, checker))
}

fn rolled_back(options: &Options, checker: &Checker<'_>) -> Result<String> {
    let root = root(options);
    Installation::open(&root)?;
    let release = Installation::lock(&root)?.roll_back(options.ship.release, checker)?;
    let (name, version) = identity(&release);
    Ok(format!("{name} {version} is current as release {}\n", release.number))
}

/// `envo releases`.
pub fn execute_list(options: &Options) -> Result<i32> {
    let releases = Installation::open(&root(options))?.releases()?;
    if options.ship.json {
        let document: Vec<_> = releases.iter().map(json_of).collect();
        plain::out(&format!("{}\n", serde_json::to_string_pretty(&json!(document))?));
        return Ok(exit_code::OK);
    }
    let mut rows = Vec::new();
    for release in &releases {
        let (name, version) = identity(release);
        let tested = if is_tested(release) { "yes" } else { "no" };
        let mark = if release.is_current { "current" } else { "" };
        rows.push([&release.number.to_string(), &name, &version, tested, mark].map(str::to_owned).to_vec());
    }
    plain::out(&table::format_table(&["RELEASE", "NAME", "VERSION", "TESTED", "STATE"], &rows));
    Ok(exit_code::OK)
}

fn json_of(release: &Release) -> serde_json::Value {
    let (name, version) = identity(release);
    json!({"release": release.number, "name": name, "version": version, "current": release.is_current,
        "tested": is_tested(release), "folder": release.folder})
}

fn identity(release: &Release) -> (String, String) {
    match &release.manifest {
        Ok(manifest) => (manifest.name.clone(), manifest.version.clone()),
        Err(_) => ("?".to_owned(), "damaged".to_owned()),
    }
}

fn is_tested(release: &Release) -> bool {
    let text = bounded::read_text(release.folder.join(provenance::PATH)).unwrap_or_default();
    serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|provenance| provenance["tested"] == true)
}

fn root(options: &Options) -> PathBuf {
    options
        .project
        .root_dir
        .as_ref()
        .map_or_else(|| options.process.current_dir.clone(), |root| options.process.current_dir.join(root))
}
