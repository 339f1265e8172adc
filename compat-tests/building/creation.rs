//! Tests that variables affect the creation of environments as with tox and its virtualenv.

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;
use crate::support::wheels;

/// Prints what is installed, what shells show, and whether version control ignores the environment.
const LOOK: &str = "import os, sys\nfrom importlib import metadata\n\
    print(sorted(d.name for d in metadata.distributions()))\n\
    print(sorted(line for line in open(os.path.join(sys.prefix, 'pyvenv.cfg')) if line.startswith(('prompt', 'include-system'))))\n\
    print(os.path.exists(os.path.join(sys.prefix, '.gitignore')))\n\
    print(sys.version_info[:2], sorted(os.listdir(os.path.join(sys.prefix, 'bin'))))\n\
    print(os.path.islink(os.path.join(sys.prefix, 'bin', 'python')))\n";

fn project(set_env: &str) -> Project {
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = a\n[testenv]\nset_env =\n  {set_env}\ncommands = python look.py\n"
    );
    Project::new().ini(&ini).file("look.py", LOOK)
}

#[test]
fn variables_of_virtualenv_decide_what_is_made() {
    for set_env in [
        "VIRTUALENV_NO_PIP = 1",
        "VIRTUALENV_NO_SEED = 1",
        "VIRTUALENV_NO_SETUPTOOLS = 1",
        "VIRTUALENV_SETUPTOOLS = embed",
        "VIRTUALENV_SYMLINK_APP_DATA = 1",
        "VIRTUALENV_PROMPT = mine",
        "VIRTUALENV_NO_VCS_IGNORE = 1",
        "VIRTUALENV_CONFIG_FILE = {tox_root}/virtualenv.ini",
        "VIRTUALENV_ACTIVATORS = bash,fish",
        "VIRTUALENV_EXTRA_SEARCH_DIR = {tox_root}",
        "VIRTUALENV_SYSTEM_SITE_PACKAGES = 1",
        "VIRTUALENV_TRY_FIRST_WITH = /nonexistent/python",
    ] {
        let project = || project(set_env).file("virtualenv.ini", "[virtualenv]\nno_pip = true\nprompt = 100%\n");
        same_as_tox(project, ["run"]).succeeds();
    }
}

/// Where the user's `virtualenv.ini` is, is up to the program's own variables: no `pass_env` hands them on.
#[test]
fn variables_of_virtualenv_count_from_the_process_and_from_the_users_file() {
    for (name, value) in [
        ("PYTHON", "nonsense"),
        ("NO_DOWNLOAD", "1"),
        ("SYMLINKS", "1"),
        ("CREATOR", "builtin"),
        ("CLEAR", "1"),
        ("PROMPT", "mine"),
        ("NO_VCS_IGNORE", "1"),
        ("NO_SEED", "1"),
        ("NO_PIP", "1"),
        ("NO_SETUPTOOLS", "1"),
        ("ACTIVATORS", "bash,fish"),
        ("EXTRA_SEARCH_DIR", "."),
        ("SYSTEM_SITE_PACKAGES", "1"),
        ("TRY_FIRST_WITH", "/nonexistent/python"),
    ] {
        let variable = format!("VIRTUALENV_{name}");
        same_as_tox(|| project("OTHER = 1").variable(&variable, value), ["run"]).succeeds();
        let text = format!("[virtualenv]\n{} = {value}\n", name.to_lowercase());
        let project = || {
            let project = project("OTHER = 1").file("settings/virtualenv/virtualenv.ini", &text);
            let folder = project.path("settings").display().to_string();
            project.variable("XDG_CONFIG_HOME", &folder)
        };
        same_as_tox(project, ["run"]).succeeds();
    }
}

#[test]
fn what_only_virtualenv_can_do_it_does() {
    same_as_tox(|| project("VIRTUALENV_SEEDER = pip"), ["run"]).succeeds();
}

/// tox sets the variable from `system_site_packages`, so that only its own setting decides.
#[test]
fn packages_of_the_system_are_seen_as_tox_and_virtualenv_have_it() {
    for (key, variable) in
        [("system_site_packages = true", "0"), ("sitepackages = false", "1"), ("sitepackages = true", "1")]
    {
        let project = || {
            let ini = format!("[tox]\nno_package = true\nenv_list = a\n[testenv]\n{key}\ncommands = python look.py\n");
            Project::new().ini(&ini).file("look.py", LOOK).variable("VIRTUALENV_SYSTEM_SITE_PACKAGES", variable)
        };
        same_as_tox(project, ["run"]).succeeds();
    }
}

/// The variable in `set_env`, in the process and in a file of virtualenv's.
fn sources(name: &str, value: &str) -> [Project; 3] {
    let text = format!("[virtualenv]\n{} = {value}\n", name.to_lowercase());
    [
        project(&format!("VIRTUALENV_{name} = {value}")),
        project("OTHER = 1").variable(&format!("VIRTUALENV_{name}"), value),
        project("VIRTUALENV_CONFIG_FILE = {tox_root}/virtualenv.ini").file("virtualenv.ini", &text),
    ]
}

/// virtualenv has something to say about these options, which is not repeated.
#[test]
fn options_that_virtualenv_warns_of_do_what_they_do_there() {
    for (name, value) in [("COPIES", "1"), ("NO_WHEEL", "1")] {
        for (envo, tox) in sources(name, value).iter().zip(&sources(name, value)) {
            let (ours, theirs) = (envo.run(["run"]).succeeds(), tox.run_tox(["run"]).succeeds());
            let is_advice = |line: &&str| line.contains("DEPRECATION: ") || line.contains("another account can change");
            let expected: Vec<&str> = theirs.stdout.lines().filter(|line| !is_advice(line)).collect();
            assert_eq!(ours.stdout.lines().collect::<Vec<_>>(), expected, "{name}");
        }
    }
}

#[test]
fn a_creator_that_does_not_exist_fails_and_is_named() {
    for (envo, tox) in sources("CREATOR", "nonsense").iter().zip(&sources("CREATOR", "nonsense")) {
        tox.run_tox(["run"]).ends_with(1);
        envo.run(["run"]).ends_with(1).says("creator 'nonsense' is not available");
    }
}

#[test]
fn no_environment_takes_the_place_of_a_folder_that_holds_the_project() {
    for folder in ["{tox_root}", "{tox_root}/..", "{tox_root}/sub/.."] {
        let ini = format!("[tox]\nno_package = true\nenv_list = a\n[testenv]\nenv_dir = {folder}\n");
        let project = Project::new().ini(&ini).file("sub/kept", "");
        for arguments in [&["run"] as &[&str], &["run", "-r"]] {
            let outcome = project.run(arguments).ends_with(1).says("contains the project");
            outcome.explains("tox.ini:5:11").explains("name a folder of the environment's own");
        }
        assert!(project.root().join("sub/kept").exists() && !project.root().join("pyvenv.cfg").exists());
    }
}

#[test]
fn without_pip_nothing_is_installed_as_with_tox() {
    let ini = "[tox]\nno_package = true\nenv_list = a\n[testenv]\nset_env = VIRTUALENV_NO_PIP = 1\ndeps = six\n";
    let tox = Project::new().ini(ini).run_tox(["run"]);
    Project::new().ini(ini).run(["run"]).ends_with(tox.code.unwrap_or_default()).explains("No module named pip");
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there_is_replaced_by_another() {
    let project = |folder: &str| {
        let manifest = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";
        let backend = "import zipfile\ndef build_wheel(wheel_directory, config_settings=None, metadata_directory=None):\n    \
            name = 'demo-1-py3-none-any.whl'\n    with zipfile.ZipFile(wheel_directory + '/' + name, 'w') as archive:\n        \
            archive.writestr('demo-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: demo\\nVersion: 1\\n')\n        \
            archive.writestr('demo-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n')\n        \
            archive.writestr('demo-1.dist-info/RECORD', '')\n    return name\n";
        let ini = "[tox]\nenv_list = a\n[testenv]\npackage = wheel\n\
            commands = python -c \"import tempfile; print(tempfile.gettempdir())\"\n";
        let project = Project::new().ini(ini).file("pyproject.toml", manifest).file("backend.py", backend);
        project.variable("TMPDIR", folder)
    };
    for folder in ["/nonexistent", "/dev/null", ""] {
        same_as_tox(|| project(folder), ["run"]).succeeds();
    }
}

#[test]
fn packages_are_compiled_where_python_may_not_keep_bytecode() {
    let compiled = |set_env: &str| {
        let ini = format!("[tox]\nno_package = true\nenv_list = a\n[testenv]\nset_env = {set_env}\ndeps = one\n");
        let project = Project::new().with_uv().ini(&ini);
        wheels::library(&project.path("links"), "one", "1.0");
        let links = project.path("links").display().to_string();
        let project = project.variable("PIP_NO_INDEX", "1").variable("PIP_FIND_LINKS", &links);
        project.run(["run"]).succeeds();
        let python = project.path(".tox/a/lib").read_dir().expect("it was made").flatten().next().expect("a folder");
        python.path().join("site-packages/__pycache__").is_dir()
    };
    assert!(compiled("PYTHONDONTWRITEBYTECODE = 1"));
    assert!(!compiled("OTHER = 1"));
}
