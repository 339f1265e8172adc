//! Tests the hook in real shells: what is allowed is activated, leaving restores everything, and no prompt waits.

use std::fs;
use std::path::Path;

use crate::support::machine;
use crate::support::project::{Outcome, Project};

const CONFIGURATION: &str = "\
[envo]
activate = dev
env_file = .env, ?.env.local
[tox]
no_package = true
[testenv:dev]
runtime = system
set_env =
    SHARED = it's \"here\" \\ $HOME
    OWN = NAME
";

/// Two projects, allowed and built, with decisions of their own.
fn projects() -> Project {
    let project = Project::new()
        .file("one/tox.ini", &CONFIGURATION.replace("NAME", "one"))
        .file("one/.env", "FROM_FILE=yes\n")
        .file("one/sub/note", "")
        .file("two/tox.ini", &CONFIGURATION.replace("NAME", "two").replace("env_file = .env, ?.env.local\n", ""));
    let state = project.path("state").display().to_string();
    let project = project.variable("ENVO_STATE_DIR", &state);
    for folder in ["one", "two"] {
        project.run_in(folder, ["allow"]).succeeds();
        project.run_in(folder, ["reload"]).succeeds();
    }
    project
}

/// Runs lines in a shell with the hook, without anyone's start files.
fn in_shell(project: &Project, shell: &str, lines: &str) -> Outcome {
    let envo = env!("CARGO_BIN_EXE_envo");
    let (options, load) = match shell {
        "fish" => (&["--no-config"][..], format!("{envo} hook fish | source\n")),
        "zsh" => (&["-f"][..], format!("eval \"$({envo} hook zsh)\"\n")),
        _ => (&["--norc", "--noprofile"][..], format!("eval \"$({envo} hook bash)\"\n")),
    };
    fs::write(project.path("script"), format!("{load}{}", lines.replace("ENVO ", &format!("{envo} ")))).unwrap();
    let arguments: Vec<&str> = options.iter().copied().chain(["script"]).collect();
    project.run_program(shell, &arguments)
}

/// The variables that a shell itself changes when it changes its folder.
const ALL: &str = "env | grep -v '^_=\\|PWD=\\|^SHLVL=' | sort";

#[test]
fn entering_switching_and_leaving_work_in_every_shell() {
    machine::need(&["bash", "zsh", "fish"]);
    let project = projects();
    for shell in ["bash", "zsh", "fish"] {
        let (set, status) = match shell {
            "fish" => ("set -gx OWN before", "$status"),
            _ => ("export OWN=before", "$?"),
        };
        let lines = format!(
            "{set}\n{ALL} > before\ncd one/sub\nfalse\n_envo_hook\necho code {status}\necho \"$SHARED,$OWN,$FROM_FILE\"\n\
             env | grep ^PATH=\ncd ../../two\n_envo_hook\necho \"$SHARED,$OWN,$FROM_FILE\"\ncd ..\n_envo_hook\n{ALL} > \
             after\n"
        );
        let outcome = in_shell(&project, shell, &lines).succeeds();
        let said: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(said[0], "code 1", "{shell}: {outcome:?}");
        assert_eq!(said[1], "it's \"here\" \\ $HOME,one,yes", "{shell}");
        assert!(said[2].starts_with("PATH=[ROOT]/one/.tox/dev/"), "{shell}: {outcome:?}");
        assert_eq!(said[3], "it's \"here\" \\ $HOME,two,", "{shell}");
        let read = |name| fs::read_to_string(project.path(name)).unwrap();
        assert_eq!(read("before"), read("after"), "{shell}");
        assert_eq!(outcome.stderr, "", "{shell}");
    }
}

#[test]
fn a_change_meanwhile_is_kept_and_a_nested_shell_leaves_too() {
    let project = projects();
    let lines = "cd one; _envo_hook; OWN=mine; PATH=/mine:$PATH\nbash --norc -c 'eval \"$(ENVO hook bash)\"; cd /; _envo_hook; \
                 echo \"nested [$SHARED] [$OWN]\"'\ncd ..; _envo_hook; echo \"[$SHARED] [$OWN] ${PATH%%:*}\"; echo $PATH | grep -c \
                 .tox\n";
    let outcome = in_shell(&project, "bash", lines);
    assert_eq!(outcome.stdout, "nested [] [mine]\n[] [mine] /mine\n0\n");
}

#[test]
fn what_is_not_allowed_is_named_once_and_nothing_is_run() {
    let project = Project::new().ini(&CONFIGURATION.replace("env_file", "#"));
    let state = project.path("state").display().to_string();
    let project = project.variable("ENVO_STATE_DIR", &state);
    let asked = |lines: &str| in_shell(&project, "bash", lines).succeeds();
    let outcome = asked("_envo_hook; _envo_hook; echo \"[$OWN]\"");
    assert_eq!(outcome.stdout, "[]\n");
    assert_eq!(outcome.stderr, "envo: [ROOT]/tox.ini is not allowed; `envo allow` activates it\n");
    assert!(!project.path(".tox").exists());
    project.run(["allow", "--show"]).succeeds().says("variable: OWN=NAME").says("runtime: system");
    project.run(["reload"]).ends_with(-2 & 0xff).explains("allow");
    project.run(["allow"]).succeeds();
    project.run(["reload"]).succeeds();
    assert_eq!(asked("_envo_hook; echo \"[$OWN]\"").stdout, "[NAME]\n");
    let unload =
        "_envo_hook; ENVO unload; _envo_hook; echo \"[$OWN]\"; ENVO reload >/dev/null; _envo_hook; echo \"[$OWN]\"";
    assert_eq!(asked(unload).stdout, "[]\n[NAME]\n");
    let edit = "_envo_hook; echo '# more' >> tox.ini; _envo_hook; echo \"[$OWN]\"";
    let outcome = asked(edit);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.contains("has changed")), ("[]\n", true), "{outcome:?}");
    project.run(["status"]).succeeds().says("changed since it was allowed");
    project.run(["deny"]).succeeds();
    assert_eq!(asked("_envo_hook; echo \"[$OWN]\"").stderr, "");
    project.run(["revoke"]).succeeds();
    assert!(asked("_envo_hook").stderr.contains("not allowed"));
    fs::write(project.path("tox.ini"), "[envo]\nactivat = dev\n").unwrap();
    let outcome = asked("_envo_hook; _envo_hook; echo usable");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.lines().count()), ("usable\n", 1), "{outcome:?}");
}

#[test]
fn a_prompt_does_not_wait_for_a_build() {
    let gated = CONFIGURATION
        .replace("set_env =", "allowlist_externals = sh\nextra_setup_commands = sh -c 'test -e done || { read line < gate; touch done; }'\nset_env =");
    let project = Project::new().ini(&gated.replace("env_file", "#"));
    let state = project.path("state").display().to_string();
    let project = project.variable("ENVO_STATE_DIR", &state);
    project.run_program("mkfifo", &["gate"]).succeeds();
    project.run(["allow"]).succeeds();
    let outcome = in_shell(&project, "bash", "_envo_hook; echo \"prompt [$OWN]\"").succeeds();
    assert_eq!(outcome.stdout, "prompt []\n");
    assert!(outcome.stderr.contains("building `dev`"), "{outcome:?}");
    // Opened when the build in the background reads it.
    fs::write(project.path("gate"), "go\n").unwrap();
    // Waits for that build, and finds everything done.
    project.run(["reload"]).succeeds();
    assert_eq!(in_shell(&project, "bash", "_envo_hook; echo \"[$OWN]\"").stdout, "[NAME]\n");
}

#[test]
fn a_deleted_folder_and_a_state_that_cannot_be_written_leave_the_shell_usable() {
    let project = projects();
    let outcome = in_shell(&project, "bash", "mkdir one/gone; cd one/gone; rmdir ../gone; _envo_hook; echo \"[$OWN]\"");
    assert_eq!(outcome.stdout, "[one]\n", "{outcome:?}");
    let outcome =
        in_shell(&project, "bash", "export ENVO_STATE_DIR=/proc/none; cd one; _envo_hook; echo \"[$OWN] $?\"");
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.lines().count()), ("[] 0\n", 1), "{outcome:?}");
    let project = project.variable("ENVO_STATE_DIR", "/proc/none");
    project.run_in("one", ["allow"]).ends_with(1).explains("could not be stored");
}

#[test]
fn shell_and_env_have_the_variables_and_only_commands_the_secrets() {
    let ini = CONFIGURATION.replace("env_file", "#") + "secrets = TOKEN = cmd:cat token\n";
    let project = Project::new().ini(&ini).file("token", "tr3asure-0");
    project
        .run(["shell", "-e", "dev", "--", "sh", "-c", "echo [$OWN] [$TOKEN]"])
        .succeeds()
        .says("[NAME] [tr3asure-0]");
    let show = project.path("show").display().to_string();
    fs::write(&show, "#!/bin/sh\necho \"[$OWN] [$TOKEN]\"\n").unwrap();
    fs::set_permissions(&show, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let project = project.variable("SHELL", &show);
    project.run(["shell"]).succeeds().says("[NAME] []");
    project.run(["shell", "-x", "testenv:dev.secrets_in_shell=true"]).succeeds().says("[NAME] [tr3asure-0]");
    for (format, expected) in [
        ("shell", "export OWN='NAME'"),
        ("json", "\"OWN\": \"NAME\""),
        ("dotenv", "OWN='NAME'"),
        ("github", "OWN=NAME"),
    ] {
        project.run(["env", "--format", format]).succeeds().says(expected).never_says("TOKEN");
    }
    assert!(Path::new(&show).exists());
}
