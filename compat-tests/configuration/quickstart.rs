//! Tests `envo quickstart`: it writes the same as tox, considers the folder's other files, and the result passes the
//! check and runs.

use crate::configuration::differential::same_as_tox;
use crate::support::project::{Outcome, Project};

const PYPROJECT: &str = "[project]\nname = \"shop\"\nversion = \"1\"\n";
const PACKAGE: &str =
    r#"{"name": "shop", "scripts": {"start": "node serve.js", "test": "node -e 'console.log(40 + 2)'"}}"#;
const COMPOSE: &str = "services:\n  web:\n    image: python\n    command: python -m http.server 8000\n    \
                       ports: ['8000']\n";

/// The configuration that is written, and what is said of it; it passes the check.
#[track_caller]
fn written(project: &Project) -> (String, Outcome) {
    let outcome = project.run(["quickstart"]).succeeds();
    let text = std::fs::read_to_string(project.path("tox.ini")).expect("it was written");
    assert!(outcome.stdout.ends_with(&text), "{outcome:?}");
    let check = project.run(["config", "--check"]).succeeds();
    assert_eq!(check.stdout, "no problems found\n");
    (text, outcome)
}

/// The sections of a text from that of an environment on.
fn from<'a>(text: &'a str, environment: &str) -> &'a str {
    &text[text.find(&format!("[testenv:{environment}]")).unwrap_or_else(|| panic!("{text}"))..]
}

#[test]
fn a_python_project_or_an_empty_folder_gets_what_tox_writes() {
    for file in [None, Some(("pyproject.toml", PYPROJECT)), Some(("README", "")), Some(("package.json", "[1"))] {
        let project = || file.map_or_else(Project::new, |(name, text)| Project::new().file(name, text));
        let (ours, theirs) = (project(), project());
        ours.run(["quickstart"]).succeeds();
        theirs.run_tox(["quickstart"]).succeeds();
        let text = |project: &Project| std::fs::read_to_string(project.path("tox.ini")).expect("it was written");
        assert_eq!(text(&ours), text(&theirs), "{file:?}");
    }
}

#[test]
fn a_configuration_that_is_there_is_kept() {
    let project = || Project::new().ini("[tox]\n").file("package.json", PACKAGE);
    same_as_tox(project, ["quickstart"]).ends_with(1).says("tox.ini already exist, refusing to overwrite");
}

#[test]
fn a_package_json_becomes_a_service_and_its_tests() {
    let project = Project::new().file("package.json", PACKAGE).file("serve.js", "setInterval(() => {}, 1000)\n");
    let (text, outcome) = written(&project);
    let web =
        "description = the project described by package.json\nruntime = node\nserve = npm start\ncommands = npm test\n";
    assert!(text.starts_with("[tox]\nenv_list =\n    web\nminversion = "), "{text}");
    assert!(text.ends_with(&format!("\nno_package = true\n\n[testenv:web]\n{web}")), "{text}");
    outcome.explains("help: `envo serve` starts web\n");
    project.run(["run"]).succeeds().says("\n42\n");
    project.run(["up", "--wait"]).succeeds();
    project.run(["down"]).succeeds();
}

#[test]
fn only_scripts_that_are_there_are_offered() {
    let web = |files: &[(&str, &str)]| {
        let project = files.iter().fold(Project::new(), |project, (name, text)| project.file(name, text));
        let (text, outcome) = written(&project);
        let lines = from(&text, "web").lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        (lines, outcome)
    };
    // What `npm init` writes.
    let initial = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    let (lines, outcome) = web(&[("package.json", initial)]);
    assert_eq!(lines, ["runtime = node"]);
    outcome
        .explains("package.json: no known way to start it: set the command as `serve` of `[testenv:web]`\n")
        .explains("package.json: no known way to test it: set the command as `commands` of `[testenv:web]`\n");
    let (lines, _) = web(&[("package.json", initial), ("server.js", "")]);
    assert_eq!(lines, ["runtime = node", "serve = npm start"]);
    let (lines, _) = web(&[("package.json", r#"{"scripts": {"dev": "vite"}}"#), ("pnpm-lock.yaml", "")]);
    assert_eq!(lines, ["runtime = node", "serve = pnpm run dev"]);
    let (lines, _) = web(&[("package.json", r#"{"packageManager": "yarn@4.0.0", "scripts": {"test": "x"}}"#)]);
    assert_eq!(lines, ["runtime = node", "commands = yarn test"]);
}

#[test]
fn a_python_project_with_a_package_json_keeps_its_tests() {
    let project = Project::new().file("pyproject.toml", PYPROJECT).file("package.json", PACKAGE);
    let (text, _) = written(&project);
    assert!(text.contains("    web\nminversion") && !text.contains("no_package"), "{text}");
    assert!(text.contains("[testenv]\ndescription = run the tests with pytest\npackage = wheel\n"), "{text}");
    assert!(from(&text, "web").ends_with("commands = npm test\npackage = skip\ndeps =\n"), "{text}");
    project.run(["run", "-e", "web"]).succeeds().says("\n42\n");
}

#[test]
fn a_pyproject_for_tools_alone_is_no_python_project() {
    let project = Project::new().file("pyproject.toml", "[tool.black]\n").file("package.json", PACKAGE);
    let (text, _) = written(&project);
    assert!(text.contains("no_package = true\n") && !text.contains("pytest"), "{text}");
}

#[test]
fn go_and_rust_are_started_and_tested_by_their_tools() {
    let project = Project::new()
        .file("go.mod", "// shop\nmodule example.com/shop/v2\n")
        .file("cmd/shop/main.go", "package main\nfunc main() {}\n")
        .file("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")
        .file("src/main.rs", "fn main() {}\n");
    let (text, _) = written(&project);
    assert!(
        from(&text, "go").contains("runtime = go\nserve = go run ./cmd/shop\ncommands = go test ./...\n"),
        "{text}"
    );
    assert!(
        from(&text, "rust").ends_with("runtime = rust\nserve = cargo run --bin shop\ncommands = cargo test\n"),
        "{text}"
    );
    let project = project.with_toolchains();
    project.run(["run", "-e", "rust"]).succeeds().says("test result: ok");
}

#[test]
fn the_program_of_several_is_the_one_that_counts_as_such() {
    for (manifest, files, serve) in [
        (
            "[package]\nname = \"a\"\ndefault-run = \"b\"\n[[bin]]\nname = \"b\"\n[[bin]]\nname = \"c\"\n",
            &[][..],
            "cargo run --bin b",
        ),
        (
            "[package]\nname = \"a\"\n[[bin]]\nname = \"b\"\npath = \"src/main.rs\"\n",
            &["src/main.rs"],
            "cargo run --bin b",
        ),
        ("[package]\nname = \"a\"\n[[bin]]\nname = \"b\"\npath = \"b.rs\"\n", &[], "cargo run --bin b"),
        ("[package]\nname = \"a\"\n[[bin]]\nname = \"b\"\n[[bin]]\nname = \"c\"\n", &[], ""),
        ("[package]\nname = \"a\"\n", &["src/lib.rs"], ""),
        ("[workspace]\n", &[], ""),
    ] {
        let project =
            files.iter().fold(Project::new().file("Cargo.toml", manifest), |project, file| project.file(file, ""));
        let (text, _) = written(&project);
        let line = text.lines().find_map(|line| line.strip_prefix("serve = ")).unwrap_or_default();
        assert_eq!(line, serve, "{manifest}");
    }
}

#[test]
fn a_compose_file_becomes_services() {
    let (text, outcome) = written(&Project::new().file("compose.yaml", COMPOSE));
    assert!(!text.contains("env_list") && text.contains("no_package = true\n\n[testenv:web]\n"), "{text}");
    assert!(text.contains("serve = python -m http.server {port"), "{text}");
    outcome.explains("1 of 1 service can run as they are\nhelp: `envo serve` starts web\n");
    // Its names come first, and nothing of the Python project reaches its services.
    let both = Project::new().file("docker-compose.yml", COMPOSE).file("package.json", PACKAGE);
    let (text, _) = written(&both.file("setup.py", "from setuptools import setup\nsetup(name='shop')\n"));
    assert!(from(&text, "web").contains("package = skip\ndeps =\ncommands =\n\n[testenv:node]\n"), "{text}");
    assert!(text.contains("    node\nminversion"), "{text}");
}

#[test]
fn what_cannot_be_read_is_said_and_left_out() {
    let project =
        Project::new().file("package.json", "{\"a\": ").file("compose.yaml", "services: [").file("go.mod", "go 1.2");
    let (text, outcome) = written(&project.file("Cargo.toml", "[package"));
    assert!(text.contains("[testenv]\n") && !text.contains("[testenv:"), "{text}");
    outcome
        .explains("compose.yaml: it is not valid YAML: line ")
        .explains("package.json: not valid JSON: EOF while parsing a value at line 1 ")
        .explains("go.mod: it names no module\n")
        .explains("Cargo.toml: not valid TOML: ");
    let (text, outcome) = written(&Project::new().file("package.json", PACKAGE).file("compose.yaml", "a: 1\n"));
    assert!(text.contains("[testenv:web]\n"), "{text}");
    outcome.explains("compose.yaml: ");
}

#[test]
fn a_manifest_writes_no_section_of_its_own() {
    let evil = "module a/x]\n[testenv:evil]\n";
    let (text, _) = written(&Project::new().file("go.mod", evil).file("cmd/x]/main.go", "package main\n"));
    assert!(!text.contains("evil"), "{text}");
    let evil = "[package]\nname = \"a\\n[testenv:evil]\"\n";
    let (text, outcome) = written(&Project::new().file("Cargo.toml", evil).file("src/main.rs", ""));
    assert!(!text.contains("evil"), "{text}");
    outcome.explains("Cargo.toml: `serve` cannot have ");
}

#[test]
fn where_there_is_no_configuration_quickstart_is_named() {
    let hint = "help: there is no configuration file; `envo quickstart` creates one\n";
    for arguments in [&["run"][..], &["run", "-e", "lint"], &["serve"], &["up", "-e", "web"]] {
        Project::new().run(arguments).explains(hint);
    }
    let services = Project::new().ini("[tox]\nno_package = true\n[testenv:web]\nserve = sleep 9\n");
    services.run(["run"]).succeeds().explains("help: `envo serve` starts the services\n");
}
