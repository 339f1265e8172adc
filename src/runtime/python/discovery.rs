//! Finds the interpreter for a spec: in virtualenv's search order, then in the folders of version managers, which
//! virtualenv does not search. Candidates are selected by file name; only [`InterpreterCache`] runs them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::execute::interrupt::Interrupt;
use crate::model::{EnvVariables, Interpreter, InterpreterLookup, PythonSpec};
use crate::runtime::python::folder_guess;
use crate::runtime::python::interpreter_cache::InterpreterCache;
use crate::runtime::python::shim;

/// Implementations whose program names virtualenv knows. Other names may be any implementation.
const KNOWN_IMPLEMENTATIONS: [&str; 3] = ["cpython", "pypy", "graalpy"];

/// Searched after PATH, which may lack them (in a cron job, for example).
const USUAL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/bin", "/opt/homebrew/bin"];

#[derive(Debug)]
pub struct PythonDiscovery {
    facts: InterpreterCache,
    variables: EnvVariables,
    discover: Vec<PathBuf>,
    /// The absolute folders of PATH, each once.
    path: Vec<PathBuf>,
    host: PathBuf,
    own_folder: Option<PathBuf>,
    found: Mutex<HashMap<String, Option<Arc<Interpreter>>>>,
}

impl PythonDiscovery {
    /// `discover`: interpreters to try first (`--discover`). `own_executable`: envo's own path with symbolic links
    /// resolved; a Python may be next to it.
    pub fn new(variables: &EnvVariables, discover: &[String], own_executable: Option<&Path>) -> Self {
        let mut discovery = Self {
            facts: InterpreterCache::new(variables),
            variables: variables.clone(),
            discover: discover.iter().filter_map(|path| std::path::absolute(path).ok()).collect(),
            path: folders(variables.get("PATH").unwrap_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"))),
            host: PathBuf::new(),
            own_folder: own_executable.and_then(Path::parent).map(Path::to_owned),
            found: Mutex::default(),
        };
        discovery.host = discovery.find_host(own_executable);
        discovery
    }

    /// Makes an interrupt end queries, and prevent further ones.
    pub fn set_interrupt(&self, interrupt: Interrupt) {
        self.facts.set_interrupt(interrupt);
    }

    /// The facts about the interpreter at `path`; `None` if it is missing or does not run. The path need not be
    /// resolved; a shim means the program it would run.
    pub fn interpreter_at(&self, path: &Path) -> Option<Arc<Interpreter>> {
        let path = std::path::absolute(path).ok()?;
        self.facts.of(&self.behind_shim(path)?)
    }

    /// Every interpreter for `text` in the folders of version managers, the most likely first.
    pub fn find_all(&self, text: &str) -> impl Iterator<Item = Arc<Interpreter>> {
        let spec = PythonSpec::parse(text);
        let roots = folder_guess::roots(&self.variables);
        roots
            .into_iter()
            .flat_map({
                let spec = spec.clone();
                move |root| folder_guess::candidates(&root, &spec)
            })
            .filter_map(|path| self.facts.of(&path))
            .filter(move |interpreter| spec.fits(interpreter))
    }

    /// Searches for `text` again, although nothing was found before.
    pub fn find_again(&self, text: &str) -> Option<Arc<Interpreter>> {
        self.found.lock().remove(text);
        self.find(&[text.to_owned()])
    }

    /// Pythons with which a virtualenv may be installed: the host's, and those of the first `tox` and `virtualenv` on
    /// PATH that are scripts.
    pub fn hosts_of_virtualenv(&self) -> Vec<PathBuf> {
        let of_program = |name| self.path.iter().find_map(|folder| interpreter_of(&folder.join(name)));
        std::iter::once(self.host.clone()).chain(["tox", "virtualenv"].into_iter().filter_map(of_program)).collect()
    }

    fn find_host(&self, own_executable: Option<&Path>) -> PathBuf {
        let own_folder = own_executable.and_then(Path::parent);
        let beside = own_folder.into_iter().flat_map(|folder| ["python3", "python"].map(|name| folder.join(name)));
        let on_path =
            ["python3", "python"].into_iter().flat_map(|name| self.path.iter().map(move |folder| folder.join(name)));
        beside
            .chain(on_path)
            .filter(|path| shim::is_program(path))
            .find_map(|path| self.behind_shim(path))
            .map(|path| named_by_tox(&path).unwrap_or(path))
            .unwrap_or_else(|| PathBuf::from("/usr/bin/python3"))
    }

    /// `path` itself unless it is a shim; `None` for a shim that would run nothing.
    fn behind_shim(&self, path: PathBuf) -> Option<PathBuf> {
        if !shim::is_shim(&path) {
            return Some(path);
        }
        shim::target(&path, &self.variables, &std::env::current_dir().ok()?)
    }

    /// The program that satisfies one of `specs` by its name alone, without running any; `None` if a candidate would
    /// have to be run.
    pub fn likely(&self, specs: &[String]) -> Option<PathBuf> {
        let [text] = specs else { return None };
        let spec = PythonSpec::parse(text);
        if let Some(path) = spec.path.filter(|path| path.is_absolute()) {
            return self.behind_shim(path).filter(|path| shim::is_program(path));
        }
        let is_plain = spec.implementation.is_none_or(|name| name.eq_ignore_ascii_case("cpython"))
            && spec.free_threaded != Some(true)
            && (spec.micro, spec.architecture, &spec.machine, spec.debug) == (None, None, &None, None);
        let name = spec.major.zip(spec.minor).map(|(major, minor)| format!("python{major}.{minor}"))?;
        let found = self.path.iter().map(|folder| folder.join(&name)).find(|path| shim::is_program(path))?;
        (is_plain && self.discover.is_empty() && !shim::is_shim(&found)).then_some(found)
    }

    fn search(&self, text: &str) -> Option<Arc<Interpreter>> {
        let spec = PythonSpec::parse(text);
        if let Some(path) = spec.path.clone().filter(|path| path.is_absolute()) {
            return self.interpreter_at(&path);
        }
        let fits = |path: PathBuf| self.facts.of(&path).filter(|interpreter| spec.fits(interpreter));
        if let Some(interpreter) = self.discover.iter().cloned().find_map(fits) {
            return Some(interpreter);
        }
        if let Some(path) = &spec.path {
            // Only with a slash does it mean a file in this folder; otherwise it is the name of a program.
            if path.as_os_str().as_bytes().contains(&b'/') {
                return self.interpreter_at(path);
            }
            return self.on_path(&InterpreterNames { exact: vec![text.to_owned()], pattern: None }, &spec, text);
        }
        let names = InterpreterNames::of(&spec);
        fits(self.host.clone())
            .or_else(|| self.on_path(&names, &spec, text))
            .or_else(|| {
                self.on_path(&InterpreterNames { exact: vec!["python".to_owned()], pattern: None }, &spec, text)
            })
            .or_else(|| self.find_all(text).next())
    }

    fn on_path(&self, names: &InterpreterNames, spec: &PythonSpec, text: &str) -> Option<Arc<Interpreter>> {
        let known = spec
            .implementation
            .as_ref()
            .is_none_or(|name| KNOWN_IMPLEMENTATIONS.iter().any(|known| name.eq_ignore_ascii_case(known)));
        let usual = USUAL_FOLDERS.iter().map(PathBuf::from).filter(|folder| !self.path.contains(folder));
        self.path.iter().cloned().chain(usual).find_map(|folder| {
            names.in_folder(&folder).into_iter().find_map(|path| {
                let is_written_name = path.file_name().is_some_and(|name| name == text);
                let interpreter = self.facts.of(&self.behind_shim(path)?)?;
                let fits = if is_written_name && !known {
                    spec.fits_but_implementation(&interpreter)
                } else {
                    spec.fits(&interpreter)
                };
                fits.then_some(interpreter)
            })
        })
    }
}

impl InterpreterLookup for PythonDiscovery {
    fn find(&self, specs: &[String]) -> Option<Arc<Interpreter>> {
        specs.iter().find_map(|spec| {
            let known = self.found.lock().get(spec).cloned();
            known.unwrap_or_else(|| {
                let interpreter = self.search(spec);
                let mut found = self.found.lock();
                found.entry(spec.clone()).or_insert(interpreter).clone()
            })
        })
    }

    fn host_python(&self) -> PathBuf {
        self.host.clone()
    }

    fn unanswered(&self) -> Vec<String> {
        self.facts.unanswered()
    }

    /// The uv named by `TOX_UV_PATH`, else the one next to envo, else the first on PATH.
    fn uv(&self) -> Option<PathBuf> {
        let search = |program: &OsStr| {
            let mut found = which::which_in_global(program, self.variables.get("PATH")).ok()?;
            found.next()
        };
        if let Some(named) = self.variables.get("TOX_UV_PATH").filter(|named| !named.is_empty()) {
            return search(named);
        }
        let beside = self.own_folder.as_ref().map(|folder| folder.join("uv"));
        beside.and_then(|program| search(program.as_os_str())).or_else(|| search(OsStr::new("uv")))
    }
}

/// The path by which the `tox` in the same folder names the interpreter: tox's messages and settings use that one.
fn named_by_tox(host: &Path) -> Option<PathBuf> {
    let folder = host.parent()?;
    let named = interpreter_of(&folder.join("tox"))?;
    let same = named.parent() == Some(folder) && fs::canonicalize(&named).ok()? == fs::canonicalize(host).ok()?;
    same.then_some(named)
}

/// The program in a script's first line.
fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let mut start = [0; 512];
    let length = fs::File::open(script).and_then(|mut file| file.read(&mut start)).ok()?;
    let line = start[..length].split(|byte| *byte == b'\n').next()?.strip_prefix(b"#!")?;
    let named = PathBuf::from(OsStr::from_bytes(line.trim_ascii()));
    // A program that `env` would find is not searched for.
    named.is_file().then_some(named)
}

/// Leaves out relative entries, which would run files from the current folder, and duplicates of a folder.
fn folders(path: &OsStr) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut resolved: Vec<PathBuf> = Vec::new();
    for folder in std::env::split_paths(path).filter(|folder| folder.is_absolute()) {
        if let Ok(real) = fs::canonicalize(&folder)
            && !resolved.contains(&real)
        {
            resolved.push(real);
            folders.push(folder);
        }
    }
    folders
}

/// The file names of an interpreter in a folder of PATH.
struct InterpreterNames {
    exact: Vec<String>,
    /// Set if the spec leaves the version open: any version of these names fits, the newest first.
    pattern: Option<(Vec<String>, Option<u32>)>,
}

impl InterpreterNames {
    fn of(spec: &PythonSpec) -> Self {
        let mut stems = vec!["python".to_owned()];
        if let Some(implementation) = &spec.implementation {
            stems.insert(0, implementation.to_lowercase());
        }
        let mut exact = vec![spec.text.clone()];
        let threading = if spec.free_threaded == Some(true) { "t" } else { "" };
        let debugging: &[&str] = if spec.debug == Some(true) { &["d", "-dbg", ""] } else { &[""] };
        for stem in &stems {
            for version in versions(spec) {
                for suffix in debugging {
                    exact.push(format!("{stem}{version}{threading}{suffix}"));
                }
                if !threading.is_empty() {
                    exact.push(format!("{stem}{version}"));
                }
            }
        }
        let pattern = spec.minor.is_none().then_some((stems, spec.major));
        Self { exact, pattern }
    }

    fn in_folder(&self, folder: &Path) -> Vec<PathBuf> {
        let exact = self.exact.iter().filter(|name| !name.is_empty() && !name.contains('/'));
        let mut paths: Vec<PathBuf> =
            exact.map(|name| folder.join(name)).filter(|path| shim::is_program(path)).collect();
        if let Some((stems, major)) = &self.pattern {
            paths.extend(listed(folder, stems, *major));
        }
        paths
    }
}

/// From the exact version down to the major one. The bare name comes first if no version is requested.
fn versions(spec: &PythonSpec) -> Vec<String> {
    match (spec.major, spec.minor, spec.micro) {
        (Some(major), Some(minor), Some(micro)) => {
            vec![format!("{major}.{minor}.{micro}"), format!("{major}.{minor}"), major.to_string()]
        }
        (Some(major), Some(minor), None) => vec![format!("{major}.{minor}"), major.to_string()],
        (Some(major), ..) => vec![major.to_string()],
        _ => vec![String::new(), "3".to_owned()],
    }
}

/// Programs of `folder` named like one of `stems` with a version.
fn listed(folder: &Path, stems: &[String], major: Option<u32>) -> Vec<PathBuf> {
    let version = |name: &str| {
        let rest = stems.iter().find_map(|stem| name.strip_prefix(stem.as_str()))?;
        let rest = rest.strip_suffix('t').unwrap_or(rest);
        let parts: Vec<u32> = rest.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        major.is_none_or(|major| parts.first() == Some(&major)).then_some(parts)
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<(Vec<u32>, String)> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            Some((version(&name)?, name))
        })
        .collect();
    found.sort_by(|first, second| second.cmp(first));
    found.into_iter().map(|(_, name)| folder.join(name)).filter(|path| shim::is_program(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::runtime::python::testing;

    /// A folder with an empty PATH folder `bin` and a HOME without version managers.
    struct DiscoveryFixture {
        folder: tempfile::TempDir,
        variables: EnvVariables,
    }

    impl DiscoveryFixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let bin = folder.path().join("bin");
            fs::create_dir(&bin).unwrap();
            let mut variables = testing::variables(&folder.path().join("cache"));
            variables.set("PATH", bin.as_os_str());
            variables.set("HOME", folder.path());
            for name in ["PYENV_ROOT", "PYENV_VERSION", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"] {
                variables.remove(name);
            }
            Self { folder, variables }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Creates a link to this machine's Python 3.
        fn link(&self, name: &str) -> PathBuf {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(testing::python3(), &path).unwrap();
            path
        }

        fn script(&self, name: &str, body: &str) -> PathBuf {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        fn find(&self, specs: &[&str]) -> Option<PathBuf> {
            let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
            let discovery = PythonDiscovery::new(&self.variables, &[], None);
            discovery.find(&specs).map(|interpreter| interpreter.executable.clone())
        }
    }

    /// `3.11` of this machine's Python 3.
    fn dotted() -> String {
        testing::interpreter("python3").unwrap().dotted_version()
    }

    #[test]
    fn a_program_with_the_right_name_is_found_without_asking_it() {
        let machine = DiscoveryFixture::new();
        let (plain, other) = (machine.script("bin/python3.97", "exit 1"), machine.script("other/python", "exit 1"));
        let likely = |specs: &[&str], discover: &[String]| {
            let specs: Vec<String> = specs.iter().map(|spec| (*spec).to_owned()).collect();
            PythonDiscovery::new(&machine.variables, discover, None).likely(&specs)
        };
        for spec in ["py397", "3.97", "python3.97", "cpython3.97"] {
            assert_eq!(likely(&[spec], &[]), Some(plain.clone()), "{spec}");
        }
        assert_eq!(likely(&[&other.display().to_string()], &[]), Some(other.clone()));
        for spec in ["py398", "py3", "py", "pypy3.97", "3.97t", "3.97.1", ">=3.97", "/no/python3.97"] {
            assert_eq!(likely(&[spec], &[]), None, "{spec}");
        }
        assert_eq!(likely(&["py397", "py398"], &[]), None);
        assert_eq!(likely(&["py397"], &[other.display().to_string()]), None);
    }

    #[test]
    fn an_interpreter_on_path_is_found_by_every_way_to_write_it() {
        let machine = DiscoveryFixture::new();
        let python = machine.link("bin/python3");
        let version = dotted();
        for spec in ["py", "py3", "python3", "3", &version, &format!("py{version}"), &format!(">={version}"), "cpython"]
        {
            assert_eq!(machine.find(&[spec]), Some(python.clone()), "{spec}");
        }
        for spec in ["2.6", "pypy9.9", "3.99", ">=4", "3.99t", "no-such-python", "nonsense9"] {
            assert_eq!(machine.find(&[spec]), None, "{spec}");
        }
        assert_eq!(machine.find(&["2.6", "py3"]), Some(python));
        assert_eq!(machine.find(&[]), None);
    }

    #[test]
    fn a_plain_python_is_good_enough_when_nothing_more_exact_is_there() {
        let machine = DiscoveryFixture::new();
        let plain = machine.link("bin/python");
        assert_eq!(machine.find(&[&dotted()]), Some(plain));
    }

    #[test]
    fn a_program_of_the_written_name_may_be_any_implementation() {
        let machine = DiscoveryFixture::new();
        let named = machine.link("bin/special3");
        assert_eq!(machine.find(&["special3"]), Some(named));
        let dashed = machine.link("bin/my+python");
        assert_eq!(machine.find(&["my+python"]), Some(dashed));
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        let machine = DiscoveryFixture::new();
        let python = machine.link("elsewhere/anything");
        assert_eq!(machine.find(&[python.to_str().unwrap()]), Some(python));
        assert_eq!(machine.find(&[machine.path("missing").to_str().unwrap()]), None);
        assert_eq!(machine.find(&["./no/such/python"]), None);
        let failing = machine.script("failing", "exit 1");
        assert_eq!(machine.find(&[failing.to_str().unwrap()]), None);
    }

    #[test]
    fn discover_goes_before_the_host_before_path() {
        let machine = DiscoveryFixture::new();
        let on_path = machine.link("bin/python3");
        let host = machine.link("own/python3");
        let first = machine.link("first/python");
        let find = |discover: &[String], own: Option<&Path>| {
            let discovery = PythonDiscovery::new(&machine.variables, discover, own);
            discovery.find(&["py3".to_owned()]).unwrap().executable.clone()
        };
        let own = machine.path("own/envo");
        assert_eq!(find(&[], None), on_path);
        assert_eq!(find(&[], Some(&own)), host);
        let discover = ["/no/such/python".to_owned(), first.display().to_string()];
        assert_eq!(find(&discover, Some(&own)), first);
        assert_eq!(PythonDiscovery::new(&machine.variables, &[], Some(&own)).host_python(), host);
    }

    #[test]
    fn broken_programs_are_passed_over() {
        let mut machine = DiscoveryFixture::new();
        machine.script("broken/python3", "exit 127");
        symlink(machine.path("gone"), machine.path("broken/python")).unwrap();
        let good = machine.link("bin/python3");
        let path = std::env::join_paths(["broken", "bin"].map(|name| machine.path(name))).unwrap();
        machine.variables.set("PATH", path);
        assert_eq!(machine.find(&["py3"]), Some(good));
    }

    #[test]
    fn a_shim_stands_for_what_it_would_run_and_is_never_run() {
        let mut machine = DiscoveryFixture::new();
        let marker = machine.path("ran");
        machine.script(".pyenv/shims/python3", &format!("touch '{}'; exit 1", marker.display()));
        let real = machine.link(".pyenv/versions/1.2.3/bin/python3");
        let shims = machine.path(".pyenv/shims");
        machine.variables.set("PATH", shims.as_os_str());
        machine.variables.set("PYENV_VERSION", "1.2.3");
        assert_eq!(machine.find(&["py3"]), Some(real.clone()));
        assert_eq!(PythonDiscovery::new(&machine.variables, &[], None).host_python(), real);
        machine.variables.set("PYENV_VERSION", "9.9.9");
        assert_ne!(machine.find(&["py3"]), Some(shims.join("python3")));
        assert!(!marker.exists());
    }

    #[test]
    fn an_installed_but_inactive_version_is_found() {
        let machine = DiscoveryFixture::new();
        let version = dotted();
        let older = machine.link(&format!(".pyenv/versions/{version}.0/bin/python"));
        let spec = format!("{version}-64");
        let newer = machine.link(&format!(".pyenv/versions/{version}.100/bin/python"));
        // An interpreter in the usual folders may fit too, and then comes first.
        let found = machine.find(&[&spec]).unwrap();
        assert!(found == newer || found.starts_with("/usr") || found.starts_with("/bin"), "{}", found.display());
        assert_ne!(found, older);
    }

    #[test]
    fn this_machines_interpreters_are_what_their_specs_say() {
        for spec in ["py27", "py36", "py38", "py311", "py313"] {
            if let Some(interpreter) = testing::interpreter(spec) {
                assert!(PythonSpec::parse(spec).fits(&interpreter), "{spec}");
            }
        }
    }
}
