//! `envo submit`: hands slices to a scheduler, waits for them, and merges their results like one run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cli::options::Options;
use crate::commands::{export, merge, open_plan};
use crate::error::ConfigError;
use crate::execute::interrupt::{BySignal, Interrupt};
use crate::execute::process::{Spawn, finish_or_kill};
use crate::export::ExportedProject;
use crate::os_text;
use crate::python_text::shlex;
use crate::report::plain;
use crate::scratch;

/// How often slices without a result are handed in.
const ATTEMPTS: usize = 2;
/// How often the number of finished slices is looked at: results are written on other machines, which notifies nobody here.
const LOOK: Duration = Duration::from_secs(1);

/// A run on Slurm. <https://slurm.schedmd.com/sbatch.html>
struct Submission<'a> {
    options: &'a Options,
    interrupt: Interrupt,
    sbatch: PathBuf,
    /// Of its own, below the work folder, which all nodes see.
    folder: PathBuf,
    /// The name of its jobs.
    name: String,
    /// `envo run …` for a slice, up to its number.
    run: Vec<String>,
}

/// Runs the selected environments.
pub fn execute(options: &Options) -> Result<i32> {
    let plan = open_plan(options)?;
    crate::commands::report_warnings(&plan, options);
    let project = export::exported(&plan, "slurm")?;
    if project.all.is_empty() {
        let error = ConfigError::handled("there are no environments to run");
        return Err(error.hint("add them to `env_list`, or select some with -e").into());
    }
    let total = total(options, &project)?;
    let variables = &options.process.variables;
    let sbatch = which::which_in_global("sbatch", variables.get("PATH")).ok().and_then(|mut found| found.next());
    let sbatch = sbatch.ok_or_else(|| {
        ConfigError::handled("`sbatch` is not on PATH")
            .hint("install the client of Slurm (`apt-get install slurm-client`), or log in to a machine of the cluster")
    })?;
    let work_dir = plan.project()?.work_dir;
    fs_err::create_dir_all(work_dir.join("slurm"))?;
    let folder = tempfile::Builder::new().prefix("run-").tempdir_in(work_dir.join("slurm"))?;
    let name = format!("envo-{}", folder.path().file_name().unwrap_or_default().to_string_lossy());
    let submission = Submission {
        options,
        interrupt: Interrupt::listen(|_| {}).context("cannot listen to signals")?,
        sbatch,
        // Its logs explain failures, so it stays.
        folder: folder.keep(),
        name,
        run: run_words(&plan.settings.source.path, options)?,
    };
    for folder in ["results", "log"] {
        fs_err::create_dir_all(submission.folder.join(folder))?;
    }
    let outcome = submission.results(&project, total);
    if submission.interrupt.requested() {
        submission.cancel();
        return Err(BySignal(submission.interrupt.signal().unwrap_or(2)).into());
    }
    let mut merged = options.clone();
    merged.fanout.merge.files = outcome?;
    merged.fanout.merge.expected = project.all;
    merge::execute(&merged)
}

fn total(options: &Options, project: &ExportedProject) -> Result<usize, ConfigError> {
    let Some(text) = &options.fanout.submit.shards else { return Ok(project.total_slices()) };
    let number = text.parse().ok().filter(|number| (1..=10_000).contains(number));
    number.ok_or_else(|| ConfigError::handled(format!("--shards must be a number from 1 to 10000, not `{text}`")))
}

/// This program with this configuration and its overrides: the nodes see the same files.
fn run_words(configuration: &Path, options: &Options) -> Result<Vec<String>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let word = |path: &Path| os_text::decode(path.as_os_str());
    let mut words = vec![word(&program), "run".to_owned(), "-c".to_owned(), word(configuration)];
    for text in &options.project.overrides {
        words.extend(["-x".to_owned(), text.clone()]);
    }
    Ok(words)
}

impl Submission<'_> {
    /// The results of all slices, and then of what runs after them.
    fn results(&self, project: &ExportedProject, total: usize) -> Result<Vec<PathBuf>> {
        let slices: Vec<usize> = (1..=total).collect();
        let mut results = Vec::new();
        if !project.groups.is_empty() {
            let after = |name: &&String| project.after.iter().any(|one| one.name == **name);
            let names: Vec<&String> = project.all.iter().filter(|name| !after(name)).collect();
            results.extend(self.run_slices("slice", &names, &slices, total)?);
        }
        if !project.after.is_empty() {
            let names: Vec<&String> = project.after.iter().map(|one| &one.name).collect();
            results.extend(self.run_slices("after", &names, &[1], 1)?);
        }
        Ok(results)
    }

    /// Runs slices until each has a result: one whose node was lost has none.
    fn run_slices(&self, kind: &str, names: &[&String], slices: &[usize], total: usize) -> Result<Vec<PathBuf>> {
        let mut missing = slices.to_vec();
        for attempt in 1..=ATTEMPTS {
            let said = self.submit(kind, names, (&missing, total, attempt))?;
            let known = self.known(kind)?;
            missing.retain(|slice| !known.contains_key(slice));
            if missing.is_empty() {
                return Ok(known.into_values().collect());
            }
            if self.interrupt.requested() {
                anyhow::bail!("interrupted");
            }
            if known.is_empty() && !said.is_empty() {
                return Err(ConfigError::handled(format!("sbatch: {said}")).into());
            }
            if attempt < ATTEMPTS {
                plain::error(&format!("{} without a result: {}, again\n", plural(missing.len()), listed(&missing)));
            }
        }
        let log = self.folder.join("log");
        let error = ConfigError::handled(format!("{} without a result: {}", plural(missing.len()), listed(&missing)));
        Err(error.hint(format!("their output is in {}", log.display())).into())
    }

    /// Hands slices in and waits for them. Returns what `sbatch` has to say if it failed.
    fn submit(&self, kind: &str, names: &[&String], part: (&[usize], usize, usize)) -> Result<String> {
        let (slices, total, attempt) = part;
        let script = self.script(kind, names, total, attempt)?;
        let log = self.folder.join("log").join(format!("{kind}-%a.txt"));
        let mut arguments: Vec<OsString> = ["--wait", "--requeue", "--open-mode=append"].map(Into::into).to_vec();
        arguments.push(format!("--job-name={}", self.name).into());
        arguments.push(format!("--array={}", listed(slices)).into());
        for option in ["--output=", "--error="] {
            arguments.push([OsString::from(option), log.clone().into()].into_iter().collect());
        }
        arguments
            .extend(self.options.fanout.submit.partition.as_ref().map(|name| format!("--partition={name}").into()));
        arguments.push(script.into());
        let spawn = Spawn::new(&self.sbatch, arguments, self.options.process.variables.clone());
        plain::error(&format!("{} handed in as {}\n", plural(slices.len()), self.name));
        let (sender, receiver) = channel();
        let interrupt = self.interrupt.clone();
        let waiting = thread::spawn(move || {
            let _ = sender.send(finish_or_kill(spawn, &interrupt));
        });
        let mut finished = 0;
        let outcome = loop {
            match receiver.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.known(kind)?.len();
                    if now != finished {
                        finished = now;
                        plain::error(&format!("{finished} of {} finished\n", plural(slices.len())));
                    }
                }
                Ok(outcome) => break outcome,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that waits for sbatch has ended"),
            }
        };
        let _ = waiting.join();
        match outcome {
            Ok((0, _, _)) => Ok(String::new()),
            // The code of a failed slice is that of its array.
            Ok((_, _, text)) => Ok(String::from_utf8_lossy(&text).trim().to_owned()),
            Err(_) if self.interrupt.requested() => Ok(String::new()),
            Err(error) => Err(error).context("cannot run sbatch"),
        }
    }

    /// A task that runs again on another node must not share a folder, or a result, with what the lost node may
    /// still be doing.
    fn script(&self, kind: &str, names: &[&String], total: usize, attempt: usize) -> Result<PathBuf> {
        let joined = names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(",");
        let folder = shlex::quote(&os_text::decode(self.folder.as_os_str()));
        let text = format!(
            "#!/bin/sh\nset -eu\nown={kind}-$SLURM_ARRAY_TASK_ID-{attempt}-${{SLURM_RESTART_COUNT:-0}}\nexec {} -e {} \
             --shard \"$SLURM_ARRAY_TASK_ID/{total}\" --workdir {folder}/work/\"$own\" --result-json {folder}/results/\"$own\".json{}\n",
            shlex::join(&self.run),
            shlex::quote(&joined),
            self.options
                .invocation
                .positional
                .as_ref()
                .map_or(String::new(), |words| format!(" -- {}", shlex::join(words))),
        );
        let path = self.folder.join(format!("{kind}-{attempt}.sh"));
        let mut file = scratch::file_in(&self.folder, ".envo-submit-", 0o755)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path)?;
        Ok(path)
    }

    /// The results by their slices; of several, that of the last attempt.
    fn known(&self, kind: &str) -> Result<BTreeMap<usize, PathBuf>> {
        let mut found: BTreeMap<usize, ((usize, usize), PathBuf)> = BTreeMap::new();
        for entry in fs_err::read_dir(self.folder.join("results"))? {
            let path = entry?.path();
            let Some(stem) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else { continue };
            let numbers: Option<Vec<usize>> = stem
                .strip_prefix(&format!("{kind}-"))
                .and_then(|rest| rest.split('-').map(|n| n.parse().ok()).collect());
            let Some(&[slice, attempt, restart]) = numbers.as_deref() else { continue };
            if found.get(&slice).is_none_or(|(known, _)| *known < (attempt, restart)) {
                found.insert(slice, ((attempt, restart), path));
            }
        }
        Ok(found.into_iter().map(|(slice, (_, path))| (slice, path)).collect())
    }

    /// Cancels all jobs, also those that wait.
    fn cancel(&self) {
        let scancel = self.sbatch.with_file_name("scancel");
        let arguments = [format!("--name={}", self.name)];
        let spawn = Spawn::new(scancel, arguments, self.options.process.variables.clone());
        // The interrupt that ended the wait does not end this.
        match finish_or_kill(spawn, &Interrupt::default()) {
            Ok((0, _, _)) => plain::error(&format!("cancelled {}\n", self.name)),
            _ => plain::error(&format!("warning: could not cancel the jobs; run `scancel --name={}`\n", self.name)),
        }
    }
}

fn plural(count: usize) -> String {
    if count == 1 { "1 slice".to_owned() } else { format!("{count} slices") }
}

fn listed(slices: &[usize]) -> String {
    slices.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}
