//! Tests `envo config`.

use insta::assert_snapshot;

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

#[test]
fn a_key_is_shown_resolved_for_each_environment() {
    let outcome = Project::fixture("references").run(["config", "-k", "description", "commands"]).succeeds();
    assert_snapshot!(outcome.stdout, @r#"
    [testenv:one]
    description = says hello
    commands =
      python -c 'import os; print(os.environ['"'"'SHARED'"'"'], os.environ['"'"'OWN'"'"'])'
      python -c 'print('"'"'the end of one'"'"')'

    [testenv:two]
    description = says hello world
    commands =
      python -c 'import os; print(os.environ['"'"'SHARED'"'"'], os.environ['"'"'OWN'"'"'])'
      python -c 'print('"'"'the end of two'"'"')'
      python -c 'import os; print(os.environ['"'"'ONLY'"'"'], os.environ['"'"'MORE'"'"'])'
    "#);
}

#[test]
fn an_old_spelling_asks_for_the_same_key() {
    let project = Project::fixture("aliases");
    let new = project.run(["config", "-e", "old", "-k", "change_dir"]).succeeds();
    same_as_tox(|| Project::fixture("aliases"), ["config", "-e", "old", "-k", "changedir"]).succeeds();
    assert!(new.stdout.contains("change_dir = [ROOT]/below"), "{}", new.stdout);
}

#[test]
fn unused_keys_are_named() {
    let project = || Project::new().ini("[tox]\nno_package = true\nunheard = 1\n[testenv]\ndep = pytest\n");
    same_as_tox(project, ["config", "--core"]).succeeds().says("unheard");
}

#[test]
fn an_override_wins_over_the_file_and_plus_appends() {
    let project = || Project::new().ini("[tox]\nno_package = true\n[testenv]\ndescription = from the file\ndeps = a\n");
    same_as_tox(project, ["config", "-k", "description", "-x", "testenv.description=from outside"])
        .succeeds()
        .says("from outside");
    same_as_tox(project, ["config", "-k", "deps", "-x", "testenv.deps+=b"]).succeeds();
}

#[test]
fn what_an_override_appends_comes_behind_what_is_inherited() {
    let project = || {
        Project::new().ini(
            "[tox]\nno_package = true\nenv_list = a\n[testenv]\ndescription = d\ndeps = one\nset_env = A=1\n\
             allowlist_externals = x\n[testenv:a]\nchange_dir = .\n[testenv:b]\ndeps = two\n",
        )
    };
    for (key, first, second) in [
        ("deps", "testenv:a.deps+=three", "testenv.deps+=four"),
        ("set_env", "testenv:a.set_env+=B=2", "testenv.set_env+=C=3"),
        ("set_env", "testenv:a.set_env+=A=2", "testenv.set_env+=A=3"),
        ("allowlist_externals", "testenv:a.allowlist_externals+=y", "testenv:a.allowlist_externals+=z"),
        ("commands", "testenv:a.commands+=echo one", "testenv:a.commands+=echo two"),
        ("description", "testenv:a.description+=more", "testenv:a.description+=most"),
    ] {
        let seed = "testenv.set_env+=PYTHONHASHSEED=1";
        same_as_tox(project, ["config", "-e", "a", "-k", key, "-x", first, "-x", seed]);
        same_as_tox(project, ["config", "-e", "a", "-k", key, "-x", first, "-x", second, "-x", seed]);
    }
    same_as_tox(project, ["config", "-e", "a", "-k", "set_env", "-x", "testenv.set_env+==5"]).ends_with(255);
}

#[test]
fn the_mark_of_a_command_is_shown_in_every_format() {
    let project = || {
        Project::new().ini("[tox]\nno_package = true\n[testenv:a]\ncommands =\n  - echo 'x y'\n  ! false\n  -echo z\n")
    };
    same_as_tox(project, ["config", "-e", "a", "-k", "commands"]).succeeds().says("  - echo 'x y'\n  ! false\n");
    same_as_tox(project, ["config", "-e", "a", "-k", "commands", "--format", "json"]).succeeds().says("\"! false\"");
    same_as_tox(project, ["config", "-e", "a", "-k", "commands", "--format", "toml"]).succeeds();
}

#[test]
fn every_key_of_an_environment_is_shown_as_tox_shows_it() {
    same_as_tox(|| Project::fixture("variables"), ["config", "-e", "set"]).succeeds();
    same_as_tox(|| Project::fixture("packaging"), ["config", "-e", "editable", "--core"]).succeeds();
}

#[test]
fn a_variable_of_tox_changes_the_configuration() {
    let project = || Project::fixture("order").variable("TOX_OVERRIDE", "testenv.description=overridden");
    same_as_tox(project, ["config", "-e", "report", "-k", "description"]).succeeds().says("overridden");
}

#[test]
fn what_is_said_about_packaging_is_unused_without_packages() {
    let project = || Project::new().ini("[tox]\nno_package = true\npackage_env = build\n");
    same_as_tox(project, ["config", "--core"]).succeeds().says("# !!! unused: package_env");
}

#[test]
fn values_that_lead_back_to_themselves_over_defaults_are_errors() {
    for text in ["base_python = {py_dot_ver}", "base_python = {env:X}\nset_env = X={env_python}"] {
        let outcome =
            Project::new().ini(&format!("[testenv]\n{text}\n")).run(["config", "-e", "py", "-k", "base_python"]);
        assert_eq!(outcome.code, Some(255), "{text}: {outcome:?}");
        assert!(outcome.stdout.contains("maximum recursion depth exceeded"), "{text}: {outcome:?}");
    }
    let project = || Project::new().ini("[testenv]\nskip_install = {package}\npackage = {env_dir}\n");
    assert_eq!(same_as_tox(project, ["list"]).code, Some(254));
}

#[test]
fn constraints_that_are_no_files_are_an_error_of_the_setting() {
    let project = || Project::new().ini("[testenv]\nconstraints = -r requirements.txt\n");
    same_as_tox(project, ["config", "-e", "py", "-k", "constraints"]);
}

#[test]
fn toml_references_to_what_is_not_there_name_the_first_missing_part() {
    for of in [r#"["env", "b", "deps"]"#, r#"["env_run_base", "deps"]"#, r#"["env", "a-3.11", "description"]"#] {
        let text = format!(
            "[env.a]\ndescription = {{ replace = \"ref\", of = {of} }}\n[env.\"a-3.11\"]\ndescription = \"x\"\n"
        );
        let project = || Project::new().file("tox.toml", &text);
        same_as_tox(project, ["config", "-e", "a", "-k", "description"]);
    }
}

#[test]
fn an_environment_that_nobody_names_lends_no_settings_in_toml() {
    let text = "[env_run_base]\nlabels = [\"L\"]\n[env.b]\n[env.a]\n\
                commands = [[\"z\", \"{[env.none]labels:default}\", \"{[env.b]labels}\"]]\n\
                commands_pre = [[\"z\", { replace = \"ref\", env = \"none\", key = \"deps\", extend = true }]]\n";
    let project = || Project::new().file("tox.toml", text);
    same_as_tox(project, ["config", "-e", "a", "-k", "commands", "commands_pre"]).says("z default L");
}

#[test]
fn data_keeps_line_breaks_inside_words() {
    let project = || Project::new().file("tox.toml", "[env.a]\ncommands = [[\"x\", \"one\\ntwo\"]]\n");
    same_as_tox(project, ["config", "-e", "a", "-k", "commands"]).succeeds();
    same_as_tox(project, ["config", "-e", "a", "-k", "commands", "--format", "json"]).succeeds();
}

#[test]
fn runners_of_tox_uv_go_by_the_python_that_is_asked_for() {
    let text = "[tox]\nrequires = tox-uv\nenv_list = a\n[testenv]\nrunner = uv-venv-runner\nbase_python = 3.99\n\
                description = {py_dot_ver} {py_impl}\n";
    let outcome = Project::new().ini(text).run(["config", "-e", "a", "-k", "description"]).succeeds();
    assert_snapshot!(outcome.stdout, @r"
    [testenv:a]
    description = 3.99 cpython
    ");
}

#[test]
fn an_error_names_the_key_as_it_is_written() {
    let project = || Project::new().ini("[tox]\nenvlist = a-{}-b\n");
    same_as_tox(project, ["list"]).ends_with(254).says("failed to load core.envlist: a-{}-b");
    let project = || Project::new().file("tox.toml", "[env_run_base]\nsetenv = [1]\n");
    same_as_tox(project, ["config", "-e", "py", "-k", "set_env"]).says("failed to load py.setenv: set_env expected");
}

#[test]
fn variables_of_the_wrong_shape_show_all_that_is_written() {
    for set_env in ["{ A = 1 }", "{ A = { value = 1 } }", "{ A = { other = \"x\" } }", "[{ A = \"1\" }, 2]", "3"] {
        let toml = format!("[env_run_base]\nset_env = {set_env}\n");
        same_as_tox(|| Project::new().file("tox.toml", &toml), ["config", "-e", "py", "-k", "set_env"]);
    }
}

#[test]
fn a_marker_of_a_variable_is_refused_in_the_words_of_packaging() {
    for marker in ["bad", "python_version", "python_version < '3' x", "(os_name == 'a'", "os_name is 'a'"] {
        let toml = format!("[env_run_base]\nset_env.A = {{ value = \"x\", marker = \"{marker}\" }}\n");
        same_as_tox(|| Project::new().file("tox.toml", &toml), ["config", "-e", "py", "-k", "set_env"]);
        let ini = format!("[testenv]\nset_env = A=x; {marker}\n");
        same_as_tox(|| Project::new().ini(&ini), ["config", "-e", "py", "-k", "set_env"]);
    }
}

#[test]
fn what_every_verb_looks_at_is_wrong_for_every_verb() {
    for line in ["work_dir = 3", "temp_dir = 3", "provision_tox_env = 3", "min_version = 4"] {
        same_as_tox(|| Project::new().file("tox.toml", &format!("{line}\n")), ["list"]).ends_with(254);
    }
}

#[test]
fn groups_of_a_lock_file_keep_their_names() {
    let ini = "[testenv]\nrunner = uv-venv-lock-runner\ndependency_groups = test_one, A.b\n";
    let outcome = Project::new().ini(ini).run(["config", "-e", "py", "-k", "dependency_groups"]).succeeds();
    assert_eq!(outcome.stdout, "[testenv:py]\ndependency_groups =\n  A.b\n  test_one\n");
}

#[test]
fn colours_that_were_asked_for_go_to_a_terminal_only() {
    let project = || Project::new().ini("[testenv]\n");
    for format in ["ini", "json", "toml"] {
        let arguments = ["config", "--colored", "yes", "-e", "py", "-k", "deps", "--format", format];
        assert!(!same_as_tox(project, arguments).stdout.contains('\u{1b}'));
    }
}

#[test]
fn a_text_as_default_of_positional_arguments_is_taken_apart() {
    let toml = "[env_run_base]\ncommands = [[\"a\", { replace = \"posargs\", default = \"xy\", extend = true }]]\n";
    same_as_tox(|| Project::new().file("tox.toml", toml), ["config", "-e", "py", "-k", "commands"]).says("a x y");
}

#[test]
fn the_folder_of_programs_is_unknown_without_an_interpreter_unless_uv_makes_it() {
    let project = |runner| move || Project::new().ini(&format!("[testenv]\nrunner = {runner}\n"));
    let arguments = ["config", "-e", "py33", "-k", "env_bin_dir", "env_python"];
    same_as_tox(project("virtualenv"), arguments).says("Skip('no interpreter discovered')");
    project("uv-venv-runner")().run(arguments).succeeds().says("/.tox/py33/bin/python");
}

#[test]
fn all_environments_are_also_those_that_only_packaging_makes_in_the_order_they_are_come_by() {
    let project = || {
        let ini = "[tox]\nenv_list = a, b\n[testenv:a]\npackage_env = zz\n[testenv:b]\npackage_env = aa\n\
                   [testenv:c]\npackage = external\n[testenv:py311]\npackage = wheel\n[testenv:py312]\npackage = wheel\n";
        Project::new().ini(ini).file("setup.py", "")
    };
    same_as_tox(project, ["config", "-e", "ALL", "-k", "env_name"]).says("_sdist_meta");
    same_as_tox(project, ["config", "-e", "ALL"]);
    // Whether there is one for wheels of Python 3.12 depends on the machine.
    // Whether there is one for wheels of Python 3.12 depends on the machine.
    same_as_tox(project, ["config", "-f", ".pkg", "-k", "env_name"]);
    same_as_tox(project, ["config", "-e", "py312", "-k", "env_name"]).never_says(".pkg");
}

#[test]
fn what_a_wrong_pass_env_keeps_from_being_known_says_so() {
    let project = || Project::new().ini("[tox]\nenv_list = a\n[testenv]\npass_env = A B\n");
    same_as_tox(project, ["config", "-k", "env_bin_dir", "env_python"])
        .ends_with(255)
        .says("invalid values found 'A B'");
    same_as_tox(project, ["config", "-k", "py_dot_ver"]).ends_with(255);
}

#[test]
fn requirement_files_are_read_as_by_tox() {
    for (name, text) in [
        ("r.txt", "# coding: nope\nsix\n"),
        ("r.txt", "# -*- coding: utf-8 -*-\nsix # \u{e9}\n"),
        ("r.txt", "-r r.txt\n"),
        ("r.txt", "-r sub/../r.txt\n"),
        ("r.txt", "--use-feature anything\nsix\n"),
    ] {
        let project = || {
            let ini = "[tox]\nno_package = true\n[testenv:a]\ndeps = -r r.txt\nskip_install = true\n";
            Project::new().ini(ini).file(name, text).file("sub/x", "")
        };
        // What is wrong comes before anything is installed.
        same_as_tox(project, ["run", "-e", "a", "--notest", "--skip-env-install"]);
        if text.contains("r.txt") || text.contains("nope") {
            same_as_tox(project, ["run", "-e", "a", "--notest"]).ends_with(1);
        }
    }
}

#[test]
fn a_factor_by_its_number_is_that_of_its_position() {
    let toml = "no_package = true\nenv_list = [{ product = [[\"a\", \"b\"], [\"b\", \"a-b\", \"c\"]] }]\n[env_run_base]\n\
                description = \"{factor:0} and {factor:1} of {env_name}\"\n";
    for name in ["a-b", "b-b", "a-a-b", "b-a-b", "b-c"] {
        same_as_tox(|| Project::new().file("tox.toml", toml), ["config", "-e", name, "-k", "description"]).succeeds();
    }
}

#[test]
fn a_variable_without_a_name_is_refused_in_tables_too() {
    let toml = "no_package = true\n[env.a]\nset_env = { \"\" = \"x\" }\n";
    same_as_tox(|| Project::new().file("tox.toml", toml), ["config", "-e", "a", "-k", "set_env"]);
    same_as_tox(|| Project::new().file("tox.toml", toml), ["run", "-e", "a"]).ends_with(1);
}

#[test]
fn a_command_without_words_ends_as_in_tox() {
    let ini = |command: &str| format!("[tox]\nno_package = true\n[testenv:a]\ncommands = {command}\n");
    for (command, code) in [("''", 13), ("'' a", 13), ("\"\"", 13), ("- ''", 0), ("", 0)] {
        same_as_tox(|| Project::new().ini(&ini(command)), ["run", "-e", "a"]).ends_with(code);
    }
    // For errors tox does not foresee, only the last line of its traceback is shown.
    for command in ["!", "-"] {
        Project::new().ini(&ini(command)).run(["run", "-e", "a"]).ends_with(2).says("cannot execute an empty command");
    }
}
