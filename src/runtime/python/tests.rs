//! Tests that create environments with the real interpreters of this machine.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::execute::process::capture;
use crate::model::InterpreterLookup;
use crate::model::interpreter::InterpreterLayout;

struct CreationFixture {
    folder: tempfile::TempDir,
    discovery: Arc<PythonDiscovery>,
    variables: EnvVariables,
}

impl CreationFixture {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = testing::variables(&folder.path().join("cache"));
        for (name, value) in settings {
            variables.set(*name, *value);
        }
        let discovery = Arc::new(PythonDiscovery::new(&variables, &[], None));
        Self { folder, discovery, variables }
    }

    fn find(&self, spec: &str) -> Option<Arc<Interpreter>> {
        self.discovery.find(&[spec.to_owned()])
    }

    /// An interpreter with its own pip, so that nothing has to be fetched.
    fn python(&self) -> Arc<Interpreter> {
        let specs = ["3.11", "3.12", "3.13", "3.14", "3.10", "3.9", "python3"];
        specs.iter().find_map(|spec| self.find(spec)).expect("the tests need a python3")
    }

    fn create(&self, name: &str, interpreter: &Interpreter, creation: &CreationSettings) -> PathBuf {
        let env_dir = self.folder.path().join(name);
        self.runtime().create(&env_dir, interpreter, creation, &self.variables).unwrap();
        env_dir
    }

    fn runtime(&self) -> PythonRuntime {
        PythonRuntime::new(Arc::clone(&self.discovery), &self.variables)
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> String {
        let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        let output = capture(program, &arguments, &self.variables).unwrap();
        let text = String::from_utf8_lossy(&output.error);
        assert!(output.code == 0, "{} {arguments:?}: {text}", program.display());
        String::from_utf8(output.out).unwrap().trim_end().to_owned()
    }

    /// The names listed by pip.
    fn distributions(&self, env_dir: &Path) -> Vec<String> {
        let list = self.run(&env_dir.join("bin/python"), &["-m", "pip", "list", "--format=json"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        list.iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn creation() -> CreationSettings {
    CreationSettings {
        recreate: false,
        system_site_packages: false,
        always_copy: false,
        download: false,
        virtualenv_spec: String::new(),
        seeds: Seeds::Virtualenv,
        prompt: None,
    }
}

/// Every file below `folder` with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}

#[test]
fn an_environment_runs_its_own_python_and_pip() {
    let location = CreationFixture::new();
    let python = location.python();
    let env_dir = location.create("env", &python, &creation());
    let layout = python.layout(&env_dir);
    let code = "import sys; print(sys.prefix); print(sys.base_prefix); print(sys.executable)";
    let expected =
        format!("{}\n{}\n{}", env_dir.display(), python.layout.base_prefix.display(), layout.python.display());
    assert_eq!(location.run(&layout.python, &["-c", code]), expected);
    let code = "import sysconfig; print(sysconfig.get_path('purelib'))";
    assert_eq!(location.run(&layout.python, &["-c", code]), layout.purelib.display().to_string());
    for name in ["pip".to_owned(), "pip3".to_owned(), format!("pip{}", python.dotted_version())] {
        let version = location.run(&layout.bin_dir.join(name), &["--version"]);
        assert!(version.contains(layout.purelib.to_str().unwrap()), "{version}");
    }
    for name in ["python3".to_owned(), format!("python{}", python.dotted_version())] {
        assert_eq!(fs::read_link(layout.bin_dir.join(name)).unwrap(), Path::new("python"));
    }
    assert!(fs::read_to_string(env_dir.join(".gitignore")).unwrap().ends_with("*\n"));
    assert!(
        fs::read_to_string(env_dir.join("CACHEDIR.TAG"))
            .unwrap()
            .starts_with("Signature: 8a477f597d28d172789f06886806bc55")
    );
}

#[test]
fn an_environment_holds_what_virtualenv_would_put_in_it() {
    let location = CreationFixture::new();
    for (spec, expected) in [
        ("3.13", vec!["pip"]),
        ("3.12", vec!["pip"]),
        ("3.11", vec!["pip", "setuptools"]),
        ("3.9", vec!["pip", "setuptools"]),
    ] {
        if let Some(python) = location.find(spec) {
            assert_eq!(location.distributions(&location.create(spec, &python, &creation())), expected, "{spec}");
        }
    }
}

#[test]
fn what_one_environment_does_to_its_files_no_other_sees() {
    let location = CreationFixture::new();
    let python = location.python();
    let first = location.create("first", &python, &creation());
    let second = location.create("second", &python, &creation());
    let before = contents(&second);
    let kept = contents(&location.folder.path().join("cache"));
    let spoil = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        if metadata.is_file() {
            assert_eq!(metadata.nlink(), 1, "{}", path.display());
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(1).unwrap();
            file.set_permissions(fs::Permissions::from_mode(0o400)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    };
    contents(&first).iter().for_each(|(path, _)| spoil(path));
    assert!(contents(&second) == before, "another environment has changed");
    assert!(contents(&location.folder.path().join("cache")) == kept, "the cache has changed");
    let third = location.create("third", &python, &creation());
    assert!(location.distributions(&third).contains(&"pip".to_owned()));
}

type Damage = (&'static str, fn(&Path));

#[test]
fn a_tree_in_the_cache_that_was_damaged_is_made_again() {
    let damages: [Damage; 4] = [
        ("truncated", |file| fs::File::options().write(true).open(file).unwrap().set_len(5000).unwrap()),
        ("emptied", |file| fs::write(file, "").unwrap()),
        ("edited", |file| {
            let mut content = fs::read(file).unwrap();
            content[4000..4100].fill(b'#');
            fs::write(file, content).unwrap();
        }),
        ("removed", |file| fs::remove_file(file).unwrap()),
    ];
    let location = CreationFixture::new();
    let python = location.python();
    let files = |env_dir: &Path| -> Vec<_> {
        let names = contents(&env_dir.join(&python.layout.purelib)).into_iter();
        names.map(|(path, content)| (path.strip_prefix(env_dir).unwrap().to_owned(), content)).collect()
    };
    let whole = files(&location.create("whole", &python, &creation()));
    let trees = location.folder.path().join("cache/trees-2");
    let kept = contents(&trees);
    for (name, damage) in damages {
        contents(&trees).iter().for_each(|(path, _)| damage(path));
        assert!(files(&location.create(name, &python, &creation())) == whole, "{name}");
        assert!(contents(&trees) == kept, "{name}: the cache was not mended");
    }
}

#[test]
fn a_half_made_environment_is_made_whole() {
    let location = CreationFixture::new();
    let python = location.python();
    let env_dir = location.create("env", &python, &creation());
    let site_packages = env_dir.join(&python.layout.purelib);
    fs::remove_file(env_dir.join("pyvenv.cfg")).unwrap();
    fs::remove_file(env_dir.join("bin/python")).unwrap();
    fs::write(env_dir.join("bin/python3.0"), "kept").unwrap();
    fs::remove_dir_all(site_packages.join("pip/_internal")).unwrap();
    fs::create_dir_all(site_packages.join("pip-0.1.dist-info")).unwrap();
    fs::write(site_packages.join("pip-0.1.dist-info/METADATA"), "Metadata-Version: 2.1\nName: pip\nVersion: 0.1\n")
        .unwrap();
    let env_dir = location.create("env", &python, &creation());
    assert!(location.distributions(&env_dir).contains(&"pip".to_owned()));
    assert!(!site_packages.join("pip-0.1.dist-info").exists());
    assert_eq!(fs::read_to_string(env_dir.join("bin/python3.0")).unwrap(), "kept");
}

#[test]
fn copies_system_packages_and_prompts_are_had_on_request() {
    let location = CreationFixture::with(&[("VIRTUALENV_PROMPT", "mine")]);
    let python = location.python();
    let settings = CreationSettings { system_site_packages: true, always_copy: true, ..creation() };
    let env_dir = location.create("env", &python, &settings);
    assert!(fs::symlink_metadata(env_dir.join("bin/python3")).unwrap().is_file());
    let configuration = fs::read_to_string(env_dir.join("pyvenv.cfg")).unwrap();
    for line in ["include-system-site-packages = true", "prompt = \"mine\"", "implementation = CPython"] {
        assert!(configuration.lines().any(|found| found == line), "{line}");
    }
    assert!(fs::read_to_string(env_dir.join("bin/activate")).unwrap().contains("VIRTUAL_ENV_PROMPT='mine'"));
    assert_eq!(
        location.run(&env_dir.join("bin/python"), &["-c", "import sys; print(sys.prefix)"]),
        env_dir.to_str().unwrap()
    );
}

#[test]
fn an_unwritable_cache_is_done_without() {
    let blocked = tempfile::NamedTempFile::new().unwrap();
    let location = CreationFixture::with(&[("ENVO_CACHE_DIR", blocked.path().join("cache").to_str().unwrap())]);
    let python = location.python();
    let env_dir = location.create("env", &python, &creation());
    assert!(location.distributions(&env_dir).contains(&"pip".to_owned()));
}

#[test]
fn a_folder_that_cannot_be_made_is_named_in_the_error() {
    let location = CreationFixture::new();
    let file = location.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error =
        location.runtime().create(&file.join("env"), &location.python(), &creation(), &location.variables).unwrap_err();
    assert!(format!("{error:#}").contains(&file.join("env").display().to_string()), "{error:#}");
}

#[test]
fn the_interpreter_of_an_environment_leads_back_to_its_base() {
    let location = CreationFixture::new();
    let python = location.python();
    let env_dir = location.create("env", &python, &creation());
    let inside = location.discovery.interpreter_at(&env_dir.join("bin/python")).unwrap();
    assert_eq!(inside.system_executable, python.system_executable);
    assert_eq!(inside.layout.base_prefix, python.layout.base_prefix);
    assert_eq!(inside.layout.purelib, python.layout.purelib);
}

#[test]
fn the_stamp_is_what_tox_records() {
    let location = CreationFixture::new();
    let python = location.python();
    let stamp = location.runtime().stamp(&python, &creation());
    let keys: Vec<&String> = stamp.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["version_info", "executable", "virtualenv version"]);
    assert_eq!(stamp["version_info"][0], 3);
    assert_eq!(stamp["executable"], python.system_executable.to_str().unwrap());
    let pinned = CreationSettings { virtualenv_spec: "virtualenv<20".to_owned(), ..creation() };
    let stamp = location.runtime().stamp(&python, &pinned);
    assert_eq!(stamp["virtualenv_spec"], "virtualenv<20");
    assert_eq!(stamp.get("virtualenv version"), None);
    let open = CreationSettings { system_site_packages: true, ..creation() };
    assert_eq!(location.runtime().stamp(&python, &open)["system_site_packages"], true);
}

#[test]
fn a_stamp_holds_whichever_virtualenv_tox_had() {
    let location = CreationFixture::new();
    let (runtime, python) = (location.runtime(), location.python());
    let wanted = runtime.stamp(&python, &creation());
    let holds = |change: &dyn Fn(&mut Value)| {
        let mut recorded = wanted.clone();
        change(&mut recorded);
        runtime.still_holds(recorded.as_object().unwrap(), wanted.as_object().unwrap())
    };
    assert!(holds(&|_| {}));
    assert!(holds(&|recorded| recorded["virtualenv version"] = "20.1".into()));
    assert!(!holds(&|recorded| recorded["executable"] = "/other".into()));
    assert!(!holds(&|recorded| recorded["version_info"][2] = 99.into()));
    assert!(!holds(&|recorded| recorded["virtualenv_spec"] = "virtualenv<20".into()));
    assert!(!holds(&|recorded| drop(recorded.as_object_mut().unwrap().remove("virtualenv version"))));
}

#[test]
fn python_27_gets_its_environment_from_an_old_virtualenv() {
    let location = CreationFixture::with(&[("ENVO_OFFLINE", "")]);
    let Some(python) = location.find("py27") else { return };
    let env_dir = location.create("env", &python, &creation());
    let code = "import sys; print(sys.version_info[:2]); print(sys.prefix)";
    assert_eq!(location.run(&env_dir.join("bin/python"), &["-c", code]), format!("(2, 7)\n{}", env_dir.display()));
    assert_eq!(location.distributions(&env_dir), ["pip", "setuptools", "wheel"]);
    assert!(python.layout(&env_dir).purelib.join("pip").is_dir());
    // The tool is installed now, so that a second environment needs no index.
    let mut offline = location.variables.clone();
    offline.set("PIP_NO_INDEX", "1");
    let runtime = PythonRuntime::new(Arc::clone(&location.discovery), &offline);
    runtime.create(&location.folder.path().join("second"), &python, &creation(), &offline).unwrap();
}

#[test]
fn old_pythons_get_a_pip_that_knows_todays_wheels() {
    let location = CreationFixture::with(&[("ENVO_OFFLINE", "")]);
    let Some(python) = location.find("py36") else { return };
    let env_dir = location.create("env", &python, &creation());
    assert_eq!(location.distributions(&env_dir), ["pip", "setuptools", "wheel"]);
    let version = location.run(&env_dir.join("bin/pip"), &["--version"]);
    let major = version.strip_prefix("pip ").and_then(|rest| rest.split('.').next());
    assert!(major.and_then(|major| major.parse::<u32>().ok()).is_some_and(|major| major >= 20), "{version}");
}

#[test]
fn what_only_virtualenv_can_do_is_left_to_it() {
    let location = CreationFixture::with(&[("ENVO_OFFLINE", ""), ("VIRTUALENV_CREATOR", "venv")]);
    let env_dir = location.create("env", &location.python(), &creation());
    let configuration = fs::read_to_string(env_dir.join("pyvenv.cfg")).unwrap();
    assert!(configuration.contains("virtualenv = ") && !configuration.contains("envo = "), "{configuration}");
}

#[test]
fn seeds_and_ignore_files_are_left_out_on_request() {
    for (name, expected) in [
        ("VIRTUALENV_NO_SEED", vec![]),
        ("VIRTUALENV_NO_PIP", vec!["setuptools"]),
        ("VIRTUALENV_NO_SETUPTOOLS", vec!["pip"]),
        ("VIRTUALENV_NO_VCS_IGNORE", vec!["pip", "setuptools"]),
    ] {
        let location = CreationFixture::with(&[(name, "1")]);
        let Some(python) = location.find("3.11").or_else(|| location.find("3.10")) else { return };
        let env_dir = location.create("env", &python, &creation());
        let code = "from importlib import metadata; print(*sorted(d.name for d in metadata.distributions()))";
        assert_eq!(location.run(&env_dir.join("bin/python"), &["-c", code]), expected.join(" "), "{name}");
        assert_eq!(env_dir.join(".gitignore").exists(), name != "VIRTUALENV_NO_VCS_IGNORE");
    }
}

#[test]
fn the_virtualenv_that_is_pinned_for_a_dropped_python_is_not_needed_for_it() {
    let location = CreationFixture::new();
    let Some(python) = location.find("py38") else { return };
    let settings = CreationSettings { virtualenv_spec: "virtualenv<21.5.0".to_owned(), ..creation() };
    let env_dir = location.create("env", &python, &settings);
    assert!(fs::read_to_string(env_dir.join("pyvenv.cfg")).unwrap().contains("envo = "));
    assert!(!location.folder.path().join("cache/tools-2").exists());
}

#[test]
fn a_python_without_a_pip_of_its_own_borrows_anothers() {
    let location = CreationFixture::new();
    let python = location.python();
    let has_twin = location.discovery.find_all(&python.dotted_version()).next().is_some();
    let bare = Interpreter {
        layout: InterpreterLayout {
            bundled_wheels: vec![location.folder.path().join("none")],
            ..(*python).clone().layout
        },
        ..(*python).clone()
    };
    if has_twin {
        let mut offline = location.variables.clone();
        offline.set("PIP_NO_INDEX", "1");
        offline.remove("PIP_FIND_LINKS");
        let env_dir = location.folder.path().join("env");
        PythonRuntime::new(Arc::clone(&location.discovery), &offline)
            .create(&env_dir, &bare, &creation(), &offline)
            .unwrap();
        assert!(location.distributions(&env_dir).contains(&"pip".to_owned()));
    }
}

#[test]
fn a_virtualenv_that_does_not_exist_is_an_error_that_names_it() {
    let location = CreationFixture::with(&[("PIP_NO_INDEX", "1")]);
    let requirement = CreationSettings { virtualenv_spec: "virtualenv==0.0.1.no".to_owned(), ..creation() };
    let env_dir = location.folder.path().join("env");
    let error = location.runtime().create(&env_dir, &location.python(), &requirement, &location.variables).unwrap_err();
    assert!(format!("{error:#}").contains("virtualenv==0.0.1.no"), "{error:#}");
    // Nothing remains that could be mistaken for the finished tool.
    let tools = location.folder.path().join("cache/tools-2");
    assert_eq!(fs::read_dir(tools).unwrap().count(), 0);
}
