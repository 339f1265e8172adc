//! `envo merge`: puts the results of slices together.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

use crate::bounded;
use crate::builder::verdict;
use crate::cli::options::{Options, SummaryFormat};
use crate::commands::{ProgressDisplay, reporter};
use crate::error::ConfigError;
use crate::event::{EnvironmentResult, RunEvent};
use crate::report::{junit, run_summary};
use crate::run_record::Durations;
use crate::scratch;
use crate::slice_result::merge::{MergedResult, ResultFile, merge};

/// The size up to which results are read: that of all output of thousands of environments.
const LARGEST: u64 = 1 << 30;

/// Merges results, writes the files that were asked for and shows the summary.
pub fn execute(options: &Options) -> Result<i32> {
    let request = &options.fanout.merge;
    let files = request.files.iter().map(|path| read(path, options)).collect::<Result<Vec<_>, ConfigError>>()?;
    let merged = merge(&files, &request.expected)?;
    write_all(outputs(options, &merged)?)?;
    let code = verdict::exit_code(&merged.results, merged.fail_fast);
    let success = verdict::is_success(&merged.results);
    let seconds = merged.results.iter().map(|result| result.duration_seconds).sum();
    match request.summary {
        SummaryFormat::Text => {
            let results = merged.results;
            reporter(options, ProgressDisplay::Plain).event(RunEvent::Summary { results, seconds, success });
        }
        SummaryFormat::Github => run_summary::github(&merged.results, &merged.content, &options.process.variables)?,
    }
    Ok(code)
}

fn read(path: &Path, options: &Options) -> Result<ResultFile, ConfigError> {
    let name = path.strip_prefix(&options.process.current_dir).unwrap_or(path).display().to_string();
    let bytes = bounded::read_up_to(path, LARGEST);
    let bytes = bytes.map_err(|error| ConfigError::handled(format!("`{name}` cannot be read: {error}")))?;
    ResultFile::parse(&name, &bytes)
}

/// The files to write, with their contents.
fn outputs(options: &Options, merged: &MergedResult) -> Result<Vec<(PathBuf, String)>> {
    let mut outputs = Vec::new();
    if let Some(file) = &options.run.results.result_json {
        outputs.push((file.clone(), serde_json::to_string_pretty(&merged.content)?));
    }
    if let Some(file) = &options.run.results.junit_xml {
        let seconds = merged.results.iter().map(|result| result.duration_seconds).sum();
        let suites = if merged.suites.is_empty() {
            junit::parts_of_results(&merged.content, &merged.results)
        } else {
            merged.suites.clone()
        };
        outputs.push((file.clone(), junit::document(&suites, seconds)));
    }
    if let Some(file) = &options.fanout.merge.durations {
        let ran = |result: &&EnvironmentResult| !result.skipped && !result.unavailable;
        let seconds = merged.results.iter().filter(ran).map(|result| (result.name.clone(), result.duration_seconds));
        outputs.push((file.clone(), Durations::new(seconds.collect()).to_json()));
    }
    let here = &options.process.current_dir;
    Ok(outputs.into_iter().map(|(file, text)| (here.join(file), text)).collect())
}

/// Writes all files, or none if one of them cannot be written.
fn write_all(outputs: Vec<(PathBuf, String)>) -> Result<()> {
    let mut written: Vec<(NamedTempFile, PathBuf)> = Vec::new();
    for (path, text) in outputs {
        let context = || format!("could not write {}", path.display());
        let folder = path.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        if path.is_dir() {
            anyhow::bail!("{}: it is a folder", context());
        }
        let mut file = scratch::file_in(folder, ".envo-merge-", 0o666).with_context(context)?;
        file.write_all(text.as_bytes()).with_context(context)?;
        written.push((file, path));
    }
    for (file, path) in written {
        file.persist(&path).with_context(|| format!("could not write {}", path.display()))?;
    }
    Ok(())
}
