//! Queries interpreters for facts about themselves, at most once while their file does not change. Does not search for
//! interpreters or choose one.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::execute::interrupt::Interrupt;
use crate::execute::process;
use crate::model::python_spec::canonical_machine;
use crate::model::{EnvVariables, Interpreter};
use crate::runtime::cache;
use crate::runtime::fingerprint::Fingerprint;

const SCRIPT: &str = include_str!("facts.py");

/// Precedes the answer in the script's output.
const MARK: &[u8] = b"\nenvo-facts:";

/// The version of the records' format and meaning; part of their folder's name.
const FOLDER: &str = "interpreters-2";

#[derive(Serialize, Deserialize)]
struct InterpreterRecord {
    fingerprint: Fingerprint,
    interpreter: Interpreter,
}

type InterpreterAnswer = Arc<OnceLock<Option<Arc<Interpreter>>>>;

/// Facts about interpreters, in memory and in envo's cache folder.
pub struct InterpreterCache {
    folder: Option<PathBuf>,
    variables: EnvVariables,
    /// Not set: signals still end this process.
    interrupt: OnceLock<Interrupt>,
    /// By the queried path. The lock is not held while an interpreter runs.
    answers: Mutex<HashMap<PathBuf, InterpreterAnswer>>,
    /// Interpreters that had to be killed, and why.
    unanswered: Mutex<Vec<String>>,
}

impl fmt::Debug for InterpreterCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Facts").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl InterpreterCache {
    pub fn new(variables: &EnvVariables) -> Self {
        let mut variables = variables.clone();
        // On macOS it makes an interpreter pretend to be another one.
        variables.remove("__PYVENV_LAUNCHER__");
        Self {
            folder: cache::folder(&variables).map(|folder| folder.join(FOLDER)),
            variables,
            interrupt: OnceLock::new(),
            answers: Mutex::default(),
            unanswered: Mutex::default(),
        }
    }

    /// Makes an interrupt end queries, and prevent further ones.
    pub fn set_interrupt(&self, interrupt: Interrupt) {
        // A command handles signals from one place only.
        let _ = self.interrupt.set(interrupt);
    }

    /// The facts about the interpreter at `executable` (an absolute path); `None` if it is missing or does not run.
    pub fn of(&self, executable: &Path) -> Option<Arc<Interpreter>> {
        let answer = {
            let mut answers = self.answers.lock();
            Arc::clone(answers.entry(executable.to_owned()).or_default())
        };
        answer.get_or_init(|| self.look_up(executable).map(Arc::new)).clone()
    }

    /// The interpreters that had to be killed when queried, with the reason.
    pub fn unanswered(&self) -> Vec<String> {
        self.unanswered.lock().clone()
    }

    fn look_up(&self, executable: &Path) -> Option<Interpreter> {
        let fingerprint = Fingerprint::of(executable)?;
        let file = self
            .folder
            .as_ref()
            .map(|folder| folder.join(format!("{}.json", cache::key([executable.as_os_str().as_bytes()]))));
        if let Some(interpreter) = file.as_ref().and_then(|file| read_record(file, &fingerprint, executable)) {
            return Some(interpreter);
        }
        let interpreter = self.query(executable)?;
        let record = InterpreterRecord { fingerprint, interpreter };
        if let Some(file) = file {
            // Without a writable cache the interpreter is run again next time, which only costs time.
            let _ = cache::write(&file, &record);
        }
        Some(record.interpreter)
    }

    fn query(&self, executable: &Path) -> Option<Interpreter> {
        let interrupt = self.interrupt.get().cloned().unwrap_or_default();
        let arguments = ["-E", "-s", "-c", SCRIPT].map(OsStr::new);
        let answer = match process::ask(executable, &arguments, &self.variables, &interrupt) {
            Ok(answer) => answer,
            Err(error) => {
                if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::FileTooLarge) {
                    let text = format!("`{}` was asked about itself and killed: {error}", executable.display());
                    self.unanswered.lock().push(text);
                }
                return None;
            }
        };
        if answer.code != 0 {
            return None;
        }
        let start = answer.out.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
        let mut interpreter: Interpreter = serde_json::from_slice(&answer.out[start..]).ok()?;
        executable.clone_into(&mut interpreter.executable);
        interpreter.machine = interpreter.machine.as_deref().map(canonical_machine);
        Some(interpreter)
    }
}

/// The cached facts, if they were gathered from the very same file.
fn read_record(file: &Path, fingerprint: &Fingerprint, executable: &Path) -> Option<Interpreter> {
    let record: InterpreterRecord = cache::read(file)?;
    let mut interpreter = record.interpreter;
    let usable = record.fingerprint == *fingerprint
        && interpreter.executable == executable
        && interpreter.system_executable.exists();
    usable.then(|| {
        refresh_system_markers(&mut interpreter.markers);
        interpreter
    })
}

/// The markers that describe the running kernel change although the interpreter does not.
fn refresh_system_markers(markers: &mut BTreeMap<String, String>) {
    let system = rustix::system::uname();
    let values = [("platform_release", system.release()), ("platform_version", system.version())];
    for (name, value) in values {
        markers.insert(name.to_owned(), value.to_string_lossy().into_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::runtime::python::testing;

    fn script(path: &Path, body: &str) {
        fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A program that stands for `real` and leaves a line in `log` whenever it runs.
    fn counting_wrapper(path: &Path, real: &Path, log: &Path) {
        script(path, &format!("echo run >> '{}'\nexec '{}' \"$@\"", log.display(), real.display()));
    }

    fn runs(log: &Path) -> usize {
        fs::read_to_string(log).unwrap_or_default().lines().count()
    }

    #[test]
    fn an_interpreter_answers_with_the_layout_of_a_virtual_environment() {
        let folder = tempfile::tempdir().unwrap();
        let python = testing::python3();
        let interpreter =
            InterpreterCache::new(&testing::variables(folder.path())).of(&python).expect("python3 answers");
        assert_eq!(interpreter.executable, python);
        assert_eq!(interpreter.version.major, 3);
        assert_eq!(interpreter.system_executable, interpreter.system_executable.canonicalize().unwrap());
        let expected = format!("lib/python{}/site-packages", interpreter.dotted_version());
        if interpreter.implementation == "CPython" {
            assert_eq!(interpreter.layout.purelib, Path::new(&expected));
        }
        assert_eq!(interpreter.markers["python_version"], interpreter.dotted_version());
        assert_eq!(interpreter.markers.len(), 11);
        assert!(interpreter.layout.standard_library.join("os.py").exists());
    }

    #[test]
    fn an_interpreter_is_asked_again_only_when_its_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (wrapper, log) = (folder.path().join("python3"), folder.path().join("log"));
        let variables = testing::variables(&folder.path().join("cache"));
        counting_wrapper(&wrapper, &testing::python3(), &log);
        let first = InterpreterCache::new(&variables).of(&wrapper).expect("the wrapper answers");
        assert_eq!(InterpreterCache::new(&variables).of(&wrapper), Some(first));
        assert_eq!(runs(&log), 1);
        script(&wrapper, "exit 3");
        assert_eq!(InterpreterCache::new(&variables).of(&wrapper), None);
    }

    #[test]
    fn garbage_in_the_cache_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let variables = testing::variables(folder.path());
        let python = testing::python3();
        let first = InterpreterCache::new(&variables).of(&python).unwrap();
        let cached: Vec<_> =
            fs::read_dir(folder.path().join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(cached.len(), 1);
        let other_version = fs::read_to_string(&cached[0]).unwrap().replace("\"major\":3", "\"major\":4");
        for garbage in ["", "{", "null", "{\"fingerprint\": 3}", &other_version] {
            fs::write(&cached[0], garbage).unwrap();
            assert_eq!(InterpreterCache::new(&variables).of(&python).as_ref(), Some(&first));
            assert!(fs::read_to_string(&cached[0]).unwrap().starts_with("{\"fingerprint\":{"));
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_is_done_without() {
        let folder = tempfile::tempdir().unwrap();
        // A file where a folder should be stops even the superuser.
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        assert!(InterpreterCache::new(&testing::variables(&blocked.join("cache"))).of(&testing::python3()).is_some());
        assert!(InterpreterCache::new(&EnvVariables::default()).of(&testing::python3()).is_some());
    }

    #[test]
    fn what_is_no_interpreter_has_no_facts() {
        let folder = tempfile::tempdir().unwrap();
        let facts = InterpreterCache::new(&testing::variables(folder.path()));
        let path = |name: &str| folder.path().join(name);
        script(&path("fails"), "exit 1");
        script(&path("chatty"), "echo hello");
        script(&path("liar"), "printf '\\nenvo-facts:{\"implementation\": 1}\\n'");
        fs::write(path("plain"), "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink(path("gone"), path("dangling")).unwrap();
        for name in ["fails", "chatty", "liar", "plain", "dangling", "missing", "."] {
            assert_eq!(facts.of(&path(name)), None, "{name}");
        }
    }

    #[test]
    fn modules_in_the_current_folder_and_noise_do_not_disturb_the_answer() {
        let folder = tempfile::tempdir().unwrap();
        let wrapper = folder.path().join("python3");
        fs::write(folder.path().join("platform.py"), "raise SystemExit(1)").unwrap();
        let (location, real) = (folder.path().display().to_string(), testing::python3());
        script(&wrapper, &format!("echo noise; cd '{location}'; exec '{}' \"$@\"", real.display()));
        assert!(InterpreterCache::new(&testing::variables(folder.path())).of(&wrapper).is_some());
    }
}
