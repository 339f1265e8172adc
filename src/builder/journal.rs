//! Collects tox's `--result-json` report while environments are built and run. Written once, at the end.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::digest::sha256;
use crate::event::EnvironmentResult;
use crate::execute::session::CommandOutcome;
use crate::execute::shell;
use crate::model::Interpreter;
use crate::model::provided::TOX_VERSION;
use crate::slice_result::{self, SliceResult};

/// The commands of one environment, in the order they were run.
pub type CommandRecord = Arc<Mutex<Vec<CommandOutcome>>>;

/// The report while it is collected.
pub struct Journal {
    platform: &'static str,
    /// The system's clock when `origin` was taken, as Python's `time.monotonic()` returns it.
    uptime: f64,
    origin: Instant,
    environments: Mutex<Vec<Arc<EnvironmentJournal>>>,
    /// The slice it is about, if it is one.
    slice: Mutex<Option<SliceResult>>,
}

/// The report on one environment.
pub struct EnvironmentJournal {
    name: String,
    content: Mutex<Map<String, Value>>,
    pub record: CommandRecord,
}

impl Journal {
    pub fn new(platform: &'static str) -> Self {
        Self {
            platform,
            uptime: crate::platform::system::uptime(),
            origin: Instant::now(),
            environments: Mutex::default(),
            slice: Mutex::default(),
        }
    }

    /// The report on the environment `name`, created on first use; environments keep that order.
    pub fn environment(&self, name: &str) -> Arc<EnvironmentJournal> {
        let mut environments = self.environments.lock();
        if let Some(found) = environments.iter().find(|environment| environment.name == name) {
            return Arc::clone(found);
        }
        let created = Arc::new(EnvironmentJournal {
            name: name.to_owned(),
            content: Mutex::default(),
            record: CommandRecord::default(),
        });
        environments.push(Arc::clone(&created));
        created
    }

    /// Makes it the report on a slice.
    pub fn set_slice(&self, slice: SliceResult) {
        *self.slice.lock() = Some(slice);
    }

    /// The file's content.
    pub fn to_json(&self) -> Value {
        let mut content = json!({
            "reportversion": "1",
            "toxversion": TOX_VERSION,
            "platform": self.platform,
            "host": host_name(),
        });
        let environments = self.environments.lock();
        if !environments.is_empty() {
            let parts = environments.iter().map(|environment| (environment.name.clone(), self.part(environment)));
            content["testenvs"] = Value::Object(parts.collect());
        }
        if let Some(slice) = &*self.slice.lock() {
            content[slice_result::KEY] = json!(slice);
        }
        content
    }

    fn part(&self, environment: &EnvironmentJournal) -> Value {
        let mut content = environment.content.lock().clone();
        let outcomes = environment.record.lock();
        let (tests, setup): (Vec<&CommandOutcome>, Vec<&CommandOutcome>) = outcomes
            .iter()
            .partition(|outcome| outcome.run_id.starts_with("commands") || outcome.run_id.starts_with("build"));
        for (key, outcomes) in [("test", tests), ("setup", setup)] {
            if !outcomes.is_empty() {
                content.insert(key.to_owned(), outcomes.into_iter().map(|outcome| self.command(outcome)).collect());
            }
        }
        Value::Object(content)
    }

    fn command(&self, outcome: &CommandOutcome) -> Value {
        let start = self.uptime + outcome.started.saturating_duration_since(self.origin).as_secs_f64();
        json!({
            "command": shell::redact(&outcome.argv),
            "output": newlines(&outcome.out.text()),
            "err": newlines(&outcome.err.text()),
            "retcode": (!outcome.lives_on).then_some(outcome.exit_code),
            "elapsed": outcome.seconds,
            "show_on_standard": outcome.shown,
            "run_id": outcome.run_id,
            "start": start,
            "end": start + outcome.seconds,
        })
    }

    /// Writes the file and creates its missing parent folders.
    pub fn write(&self, file: &Path) -> Result<()> {
        if let Some(folder) = file.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(&self.to_json()).context("cannot write the result as JSON")?;
        Ok(fs_err::write(file, text)?)
    }
}

impl EnvironmentJournal {
    fn set(&self, key: &str, value: Value) {
        self.content.lock().insert(key.to_owned(), value);
    }

    /// How many commands have run so far.
    pub fn outcomes(&self) -> usize {
        self.record.lock().len()
    }

    /// Drops all commands after the first `number`.
    pub fn forget_after(&self, number: usize) {
        self.record.lock().truncate(number);
    }

    /// Records the interpreter the environment is made from.
    pub fn python(&self, python: &Interpreter) {
        let version = &python.version;
        let facts = json!({
            "implementation": python.implementation,
            "version_info": [version.major, version.minor, version.micro, version.release_level, version.serial],
            "version": python.version_text,
            "is_64": python.is_64_bit,
            "sysplatform": python.platform,
            "extra_version_info": null,
            "free_threaded": python.free_threaded,
            "debug": python.debug,
            "machine": python.machine,
            "executable": python.system_executable.to_string_lossy(),
        });
        self.set("python", facts);
    }

    /// The lines of `pip freeze`.
    pub fn installed_packages(&self, lines: &[String]) {
        self.set("installed_packages", json!(lines));
    }

    /// Records the programs of other runtimes: runtime name, program and version.
    pub fn runtimes<'a>(&self, programs: impl Iterator<Item = (&'a str, &'a Path, String)>) {
        let entry = |(name, executable, version): (&str, &Path, String)| {
            (name.to_owned(), json!({"executable": executable, "version": version}))
        };
        let found: Map<String, Value> = programs.map(entry).collect();
        if !found.is_empty() {
            self.set("runtimes", Value::Object(found));
        }
    }

    /// Records the project's packages that were installed.
    pub fn packages<'a>(&self, packages: impl Iterator<Item = &'a Path>) {
        let mut installed: Vec<Value> = packages.map(describe_package).collect();
        match installed.len() {
            0 => {}
            1 => self.set("installpkg", installed.remove(0)),
            _ => self.set("installpkg", Value::Array(installed)),
        }
    }

    pub fn result(&self, result: &EnvironmentResult) {
        let value = json!({
            "success": result.code == 0,
            "exit_code": result.code,
            "duration": result.duration_seconds,
            "skipped": result.skipped,
        });
        self.set("result", value);
    }
}

fn describe_package(path: &Path) -> Value {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if path.is_dir() {
        return json!({"basename": name, "type": "dir"});
    }
    match std::fs::read(path) {
        Ok(bytes) => {
            json!({"basename": name, "type": "file", "sha256": sha256(bytes)})
        }
        Err(_) => json!({"basename": name, "type": "N/A"}),
    }
}

/// Converts line ends as Python's text streams do.
fn newlines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// The machine's name as Python's `socket.getfqdn()` gives it when the hosts file decides: the first name with a dot
/// for its address, else the first name.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    qualified(&name, &hosts).unwrap_or(name)
}

fn qualified(name: &str, hosts: &str) -> Option<String> {
    let lines = || hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    let address = lines().find_map(|mut words| {
        let address = words.next()?;
        words.any(|known| known == name).then_some(address)
    })?;
    let mut names = lines().find_map(|mut words| (words.next() == Some(address)).then_some(words))?;
    let canonical = names.next()?;
    Some(std::iter::once(canonical).chain(names).find(|name| name.contains('.')).unwrap_or(canonical).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::captured::CapturedOutput;

    fn outcome(run_id: &str) -> CommandOutcome {
        CommandOutcome {
            exit_code: 0,
            out: CapturedOutput::default(),
            err: CapturedOutput::default(),
            seconds: 0.5,
            pid: None,
            shell_command: String::new(),
            cwd: "/".into(),
            run_id: run_id.to_owned(),
            shown: true,
            lives_on: false,
            start_error: None,
            argv: vec!["curl".into(), "https://me:secret@host".into()],
            started: Instant::now(),
        }
    }

    #[test]
    fn commands_are_told_apart_from_setup_and_secrets_are_hidden() {
        let journal = Journal::new("linux");
        let environment = journal.environment("py");
        environment.record.lock().extend([outcome("install_deps"), outcome("commands[0]")]);
        let content = &journal.to_json()["testenvs"]["py"];
        assert_eq!(content["test"][0]["run_id"], "commands[0]");
        assert_eq!(content["setup"][0]["run_id"], "install_deps");
        assert!(!content.to_string().contains("secret"));
    }

    #[test]
    fn environments_stay_in_the_order_they_were_asked_for() {
        let journal = Journal::new("linux");
        for name in ["b", "a", "b"] {
            journal.environment(name);
        }
        let json = journal.to_json();
        let names: Vec<&String> = json["testenvs"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn a_packages_digest_is_told_and_a_folder_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.whl");
        std::fs::write(&file, "abc").unwrap();
        let journal = Journal::new("linux");
        let environment = journal.environment("py");
        environment.packages([file.as_path()].into_iter());
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(journal.to_json()["testenvs"]["py"]["installpkg"]["sha256"], digest);
        environment.packages([file.as_path(), folder.path()].into_iter());
        assert_eq!(journal.to_json()["testenvs"]["py"]["installpkg"][1]["type"], "dir");
    }

    #[test]
    fn the_host_has_its_domain_when_the_hosts_file_knows_it() {
        let hosts = "127.0.0.1 localhost # box\n10.0.0.2 box box.example.org\n10.0.0.3 plain alias\n127.0.0.1 vm\n";
        assert_eq!(qualified("box", hosts).as_deref(), Some("box.example.org"));
        assert_eq!(qualified("alias", hosts).as_deref(), Some("plain"));
        assert_eq!(qualified("vm", hosts).as_deref(), Some("localhost"));
        assert_eq!(qualified("other", hosts), None);
    }
}
