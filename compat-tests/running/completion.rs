//! Tests completion with the candidates that the program prints, and in real shells.

use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::machine;
use crate::support::project::Project;

const CONFIGURATION: &str = "\
[tox]
no_package = true
env_list = lint, py{311,312}-unit
labels =
  checks = lint
[testenv]
runtime = system
[testenv:lint]
description = check the style: all of it
labels = quick
[testenv:webshop]
serve = true
profiles = dev
[testenv:broker]
serve = true
";

/// What is offered for the last of `words`, without descriptions.
fn offered(project: &Project, words: &[&str]) -> Vec<String> {
    let outcome = project.run(["__complete"].iter().chain(words)).succeeds();
    assert_eq!(outcome.stderr, "");
    outcome.stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn completion_knows_the_names_in_the_configuration() {
    let project = Project::new().ini(CONFIGURATION);
    for (words, expected) in [
        (&["run", "-e", ""][..], &["lint", "py311-unit", "py312-unit", "webshop", "broker"][..]),
        (&["-e", "py"], &["py311-unit", "py312-unit"]),
        (&["run", "-e", "lint,py311"], &["lint,py311-unit"]),
        (&["run", "-e=web"], &["-e=webshop"]),
        (&["exec", "-ebro"], &["-ebroker"]),
        (&["up", ""], &["webshop", "broker"]),
        (&["serve", "-e", "w"], &["webshop"]),
        (&["restart", "webshop", "b"], &["broker"]),
        (&["scale", "w"], &["webshop="]),
        (&["run", "-m", ""], &["checks", "quick"]),
        (&["run", "-f", "un"], &["unit"]),
        (&["up", "--profile", ""], &["dev"]),
        (&["config", "-k", "commands_p"], &["commands_pre", "commands_post"]),
        (&["import", "pi"], &["pipenv", "pip-tools"]),
        (&["import", "compose", ""], &[":files"]),
        (&["run", "--", "tests/"], &[":files"]),
        (&["help", "quick"], &["quickstart"]),
    ] {
        assert_eq!(offered(&project, words), expected, "{words:?}");
    }
    let described = project.run(["__complete", "-e", "lint"]).succeeds();
    assert_eq!(described.stdout, "lint\tcheck the style: all of it\n");
}

#[test]
fn every_kind_of_import_that_completion_offers_exists() {
    let project = Project::new();
    for kind in offered(&project, &["import", ""]) {
        project.run(["import", &kind]).ends_with(254).never_says("expected procfile");
    }
}

#[test]
fn completion_reads_the_configuration_that_the_line_names() {
    let project = Project::new()
        .ini(CONFIGURATION)
        .file("other/tox.toml", "env_list = [\"elsewhere\"]\n[env_run_base]\nskip_install = true\n");
    assert_eq!(offered(&project, &["-c", "other/tox.toml", "run", "-e", "e"]), ["elsewhere"]);
    assert_eq!(offered(&project, &["run", "-e", "lint", "--conf=other", "-e", ""]), ["elsewhere"]);
}

#[test]
fn completion_is_silent_if_the_configuration_is_wrong_or_missing() {
    let names =
        [&["run", "-e", ""][..], &["up", ""], &["run", "-m", ""], &["scale", ""], &["-c", "nowhere", "-e", "x"]];
    for text in ["[tox\n", "[tox]\nenv_list = {nope\n", "[tox]\nenv_list = a\nenv_list = b\n"] {
        let project = Project::new().ini(text);
        for words in names {
            assert_eq!(offered(&project, words), [] as [&str; 0], "{text} {words:?}");
        }
        // What needs no configuration is still there.
        assert_eq!(offered(&project, &["sch"]), ["schema"]);
    }
    let empty = Project::new();
    assert_eq!(offered(&empty, &["up", ""]), [] as [&str; 0]);
    assert_eq!(offered(&empty, &["run", "-m", ""]), [] as [&str; 0]);
}

#[test]
fn completion_provisions_nothing_and_runs_nothing() {
    let project = Project::new().ini(
        "[tox]\nrequires = tox-docker\nno_package = true\nenv_list = a, b\n[testenv]\ncommands = python -c 'open(\"ran\", \"w\")'\n",
    );
    assert_eq!(offered(&project, &["run", "-e", ""]), ["a", "b"]);
    assert!(!project.path(".tox").exists() && !project.path("ran").exists());
}

#[test]
fn a_name_that_a_shell_would_misread_is_not_offered() {
    let project =
        Project::new().file("tox.toml", "[env.\"a\\nb\"]\n[env.\"c\\u001b[31m\"]\n[env.\"$(touch x)\"]\n[env.ok]\n");
    let names = offered(&project, &["run", "-e", ""]);
    assert!(names.contains(&"ok".to_owned()) && !names.iter().any(|name| name.contains(['b', '\u{1b}'])), "{names:?}");
}

/// A project with the completion of every shell for `envo` and for `tox`, both of which are links to the program.
fn with_shells() -> Project {
    machine::need(&["bash", "zsh", "fish"]);
    let project = Project::new().ini(CONFIGURATION).file("tests/module.py", "");
    std::fs::create_dir(project.path("bin")).unwrap();
    for name in ["envo", "tox"] {
        symlink(env!("CARGO_BIN_EXE_envo"), project.path("bin").join(name)).unwrap();
    }
    for (shell, file, prelude) in [
        ("bash", "rc.bash", "bind 'set enable-bracketed-paste off'\nPATH=$PWD/bin:$PATH\nPS1='> '\n"),
        (
            "zsh",
            ".zshrc",
            "unset zle_bracketed_paste\nPATH=$PWD/bin:$PATH\nPS1='> '\nbindkey -e\nautoload -Uz compinit\ncompinit -u\n",
        ),
        ("fish", "rc.fish", "set -gx PATH $PWD/bin $PATH\nfunction fish_prompt\n  echo '> '\nend\n"),
    ] {
        let shown = if shell == "fish" {
            "function shown\n  echo \"<shown>$argv</shown>\"\nend\n"
        } else {
            "shown() { echo \"<shown>$*</shown>\"; }\n"
        };
        let script = |program: &str| {
            let program = project.path("bin").join(program);
            project.run_program(program.to_str().unwrap(), &["completion", shell]).succeeds().stdout
        };
        let text = [prelude, shown, &script("envo"), &script("tox")].concat();
        std::fs::write(project.path(file), text).unwrap();
    }
    let folder = project.root().display().to_string();
    project.variable("ZDOTDIR", &folder).variable("TERM", "xterm")
}

/// The line that a shell makes of what is typed.
fn completed(project: &Project, shell: &str, typed: &str) -> String {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/running/type_in_shell.py");
    let outcome = project.run_program("python3", &[driver.to_str().unwrap(), shell, typed]).succeeds();
    outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_line_is_completed_in_bash_zsh_and_fish() {
    let project = with_shells();
    for shell in ["bash", "zsh", "fish"] {
        for (typed, expected) in [
            ("envo run -e li\t", "envo run -e lint"),
            ("tox -e py311\t", "tox -e py311-unit"),
            ("envo up w\t", "envo up webshop"),
            ("envo run -e lint,py312\t", "envo run -e lint,py312-unit"),
            ("envo run -m che\t", "envo run -m checks"),
            ("envo import comp\t", "envo import compose"),
            ("envo sch\t", "envo schema"),
            ("envo run --skip-miss\t", "envo run --skip-missing-interpreters"),
            ("envo config --format=to\t", "envo config --format=toml"),
            ("tox scale webs\t3", "tox scale webshop=3"),
            ("envo run -- tests/mod\t", "envo run -- tests/module.py"),
            ("envo --conf=tests/mod\t", "envo --conf=tests/module.py"),
        ] {
            assert_eq!(completed(&project, shell, typed), expected, "{shell}: {typed:?}");
        }
    }
}

#[test]
fn a_wrong_configuration_leaves_the_typed_line_alone_in_every_shell() {
    let project = with_shells().ini("[tox\n");
    for shell in ["bash", "zsh", "fish"] {
        assert_eq!(completed(&project, shell, "envo run -e li\t"), "envo run -e li", "{shell}");
    }
}
