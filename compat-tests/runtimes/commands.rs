//! Tests features common to all languages: variables, allowed programs, locations of settings, `exec`, `devenv`,
//! `config` and the JSON result.

use crate::support::machine::need;
use crate::support::project::Project;

/// Each language with its program, words that print the variables `OWN`, `PASSED` and `KEPT`, and a manifest if it
/// needs one for that.
const LANGUAGES: [(&str, &str, &str); 4] = [
    ("node", "node", "node -p '[process.env.OWN, process.env.PASSED, process.env.KEPT].join()'"),
    ("ruby", "ruby", "ruby -e 'puts [ENV[\"OWN\"], ENV[\"PASSED\"], ENV[\"KEPT\"]].join(\",\")'"),
    ("go", "go", "go run {tox_root}{/}look.go"),
    ("rust", "cargo", "cargo --version"),
];

fn project(language: &str, command: &str) -> Project {
    let ini = format!(
        "[tox]\nno_package = true\n[testenv:it]\nruntime = {language}\nset_env =\n  OWN = {{env_name}}\npass_env = PASSED\n\
         commands = {command}\n[testenv:wrong]\nruntime = {language}\ncommands = uname\n\
         [testenv:allowed]\nruntime = {language}\nallowlist_externals = uname\ncommands = uname -s\n\
         [testenv:plain]\ncommands = python -V\n"
    );
    let source = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\t\
                  fmt.Printf(\"%s,%s,%s\\n\", os.Getenv(\"OWN\"), os.Getenv(\"PASSED\"), os.Getenv(\"KEPT\"))\n}\n";
    Project::new()
        .with_toolchains()
        .ini(&ini)
        .file("look.go", source)
        .variable("PASSED", "passed")
        .variable("KEPT", "kept")
}

#[test]
fn each_language_has_the_variables_that_are_set_and_passed_and_no_others() {
    need(&["node", "ruby", "go"]);
    for (language, _, command) in LANGUAGES {
        let outcome = project(language, command).run(["run", "-e", "it"]).succeeds();
        outcome.says(if language == "rust" { "cargo 1" } else { "it,passed," }).never_says("kept");
    }
}

#[test]
fn programs_of_the_machine_need_leave_in_each_language() {
    need(&["node", "ruby", "go"]);
    for (language, _, command) in LANGUAGES {
        let project = project(language, command);
        let refused = project.run(["run", "-e", "wrong"]).ends_with(1).says("uname is not allowed");
        assert!(
            refused.stderr.contains("tox.ini:10:") || refused.stdout.contains("allowlist_externals"),
            "{refused:?}"
        );
        project.run(["run", "-e", "allowed"]).succeeds().says("Linux");
    }
}

#[test]
fn each_language_has_its_program_in_the_folder_that_settings_name() {
    need(&["node", "ruby", "go"]);
    for (language, program, _) in LANGUAGES {
        let project = project(language, &format!("{{env_bin_dir}}{{/}}{program} {}", version(language)));
        project.run(["run", "-e", "it"]).succeeds().says(&format!(".tox/it/bin/{program}"));
        let shown = project.run(["config", "-e", "it", "-k", "env_bin_dir", "commands"]).succeeds();
        shown.says("env_bin_dir = [ROOT]/.tox/it/bin").says(&format!("[ROOT]/.tox/it/bin/{program}"));
    }
}

fn version(language: &str) -> &'static str {
    if language == "go" { "version" } else { "--version" }
}

#[test]
fn exec_runs_any_command_in_each_language() {
    need(&["node", "ruby", "go"]);
    for (language, program, command) in LANGUAGES {
        let project = project(language, command);
        let outcome = project.run(["exec", "-e", "it", "--", program, version(language)]).succeeds();
        outcome.says("it: OK");
        // What the command ends with is what exec ends with.
        project.run(["exec", "-e", "it", "--", program, "--no-such-option"]).says("it: FAIL");
    }
}

#[test]
fn devenv_makes_an_environment_of_each_language_elsewhere() {
    need(&["node", "ruby", "go"]);
    for (language, program, command) in LANGUAGES {
        let project = project(language, command);
        project.run(["devenv", "-e", "it", "made"]).succeeds();
        assert!(project.path(&format!("made/bin/{program}")).exists(), "{language}");
    }
}

#[test]
fn keys_of_languages_are_shown_only_where_a_language_is_asked_for() {
    for (language, _, command) in LANGUAGES {
        let project = project(language, command);
        project.run(["config", "-e", "it"]).succeeds().says(&format!("runtime = {language}\n"));
        let plain = project.run(["config", "-e", "plain"]).succeeds().never_says("runtime");
        for (other, _, _) in LANGUAGES {
            assert!(!plain.stdout.contains(&format!("{other}_deps")), "{plain:?}");
        }
    }
}

#[test]
fn the_result_as_json_holds_the_commands_of_each_language() {
    need(&["node", "ruby", "go"]);
    for (language, program, command) in LANGUAGES {
        let project = project(language, command);
        let file = project.path("result.json");
        project.run(["run", "-e", "it", "--result-json", file.to_str().expect("the path is text")]).succeeds();
        let text = std::fs::read_to_string(file).expect("it was written");
        let result: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let environment = &result["testenvs"]["it"];
        assert_eq!(environment["result"]["success"], true, "{text}");
        let run = &environment["test"][0];
        assert_eq!(run["retcode"], 0, "{text}");
        assert!(run["command"][0].as_str().is_some_and(|path| path.ends_with(&format!("bin/{program}"))), "{text}");
        assert!(environment["python"].is_null(), "{text}");
        let runtime = &environment["runtimes"][language];
        assert!(runtime["executable"].as_str().is_some_and(|path| path.ends_with(program)), "{text}");
        assert!(runtime["version"].as_str().is_some_and(|version| version.contains('.')), "{text}");
    }
}
