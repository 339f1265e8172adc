//! Tests invalid configurations and arguments: each gets a clear message, the location, and tox's exit code.

use crate::configuration::differential::same_as_tox;
use crate::support::project::{Outcome, Project};

fn ini(text: &str) -> impl Fn() -> Project {
    move || Project::new().ini(text)
}

/// Runs the environment `a` of a project whose `[testenv:a]` has these lines, with tox and with envo.
#[track_caller]
fn run_a(lines: &str) -> Outcome {
    same_as_tox(ini(&format!("[tox]\nno_package = true\n[testenv:a]\n{lines}\n")), ["run", "-e", "a"])
}

#[test]
fn no_configuration_is_taken_for_an_empty_one() {
    same_as_tox(Project::new, ["list"]).succeeds().says("assuming empty tox.ini at [ROOT]");
    same_as_tox(Project::new, ["run"]).succeeds();
    same_as_tox(ini(""), ["list"]).succeeds().says("py -> [no description]");
}

#[test]
fn a_configuration_that_was_named_must_exist() {
    same_as_tox(Project::new, ["list", "-c", "other.ini"]).ends_with(254).says("config file other.ini does not exist");
    same_as_tox(ini(""), ["list", "-c", "tx.ini"]).ends_with(254).explains("help: there is a tox.ini");
}

#[test]
fn the_folder_of_the_project_must_be_there() {
    let project = ini("[tox]\nno_package = true\n");
    for verb in ["list", "config", "run"] {
        same_as_tox(&project, [verb, "--root", "nowhere"])
            .ends_with(1)
            .explains("[ROOT]/nowhere is not a folder; --root");
    }
}

#[test]
fn an_unknown_environment_brings_the_nearest_name() {
    let project = ini("[tox]\nenv_list = lint\nno_package = true\n[testenv:lint]\n");
    for command in ["run", "config"] {
        let outcome = same_as_tox(&project, [command, "-e", "lynt"]).ends_with(254).says("lynt - did you mean lint?");
        outcome.explains("help: `envo list` shows all environments");
    }
}

#[test]
fn a_line_before_any_section_is_an_error_with_its_place() {
    same_as_tox(ini("stray = 1\n[tox]\n"), ["list"])
        .ends_with(254)
        .says("File contains no section headers.")
        .explains("tox.ini:1");
}

#[test]
fn a_line_that_is_no_key_is_an_error_with_its_place() {
    same_as_tox(ini("[tox]\nenv_list = a\nwhat\n"), ["list"])
        .ends_with(254)
        .says("[line  3]")
        .explains("tox.ini:3")
        .explains("help: a line is `KEY = VALUE`");
}

#[test]
fn a_section_without_its_bracket_is_an_error_with_its_place() {
    same_as_tox(ini("[tox\nenv_list = a\n"), ["list"]).ends_with(254).explains("tox.ini:1");
}

#[test]
fn a_key_twice_is_an_error_with_its_place() {
    same_as_tox(ini("[tox]\nenv_list = a\nenv_list = b\n"), ["list"])
        .ends_with(254)
        .says("option 'env_list' in section 'tox' already exists")
        .explains("tox.ini:3")
        .explains("help: `env_list` is set on line 2 already");
}

#[test]
fn a_section_twice_is_an_error_with_its_place() {
    let outcome = same_as_tox(ini("[tox]\nenv_list = a\n[tox]\n"), ["list"]).ends_with(254);
    outcome.explains("tox.ini:3").explains("help: `[tox]` begins on line 1 already");
    let text = "[tool.tox]\nlegacy_tox_ini = \"\"\"\n[tox]\nenv_list = a\n[tox]\n\"\"\"\n";
    let outcome = Project::new().file("pyproject.toml", text).run(["list"]).ends_with(254);
    outcome.explains("pyproject.toml:5").explains("help: `[tox]` begins on line 3 already");
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    let project = || {
        let project = Project::new();
        std::fs::write(project.path("tox.ini"), b"[tox]\nenv_list = \xff\xfe\n").expect("the project can be written");
        project
    };
    same_as_tox(project, ["list"])
        .ends_with(254)
        .says("'utf-8' codec can't decode byte 0xff in position 17")
        .explains("tox.ini:2:12")
        .explains("help: save the file as UTF-8");
}

#[test]
fn an_unknown_option_or_command_is_refused() {
    same_as_tox(ini("[tox]\n"), ["run", "--nosuch"]).ends_with(254).says("unrecognized arguments: --nosuch");
    same_as_tox(ini("[tox]\n"), ["nosuch"]).ends_with(254).says("unrecognized arguments: nosuch");
}

#[test]
fn variables_that_need_each_other_name_the_circle() {
    run_a("set_env =\n  A = {env:B}\n  B = {env:A}\ncommands = python -c 1")
        .ends_with(1)
        .says("circular chain between set env A, B");
}

#[test]
fn a_value_that_refers_to_itself_stops() {
    run_a("commands = {[testenv:a]commands}").ends_with(2);
}

#[test]
fn a_value_of_the_wrong_type_names_the_key_and_what_is_valid() {
    run_a("ignore_errors = maybe").ends_with(1).says("value 'maybe' cannot be transformed to bool");
}

#[test]
fn a_missing_interpreter_fails_or_skips_as_configured() {
    let outcome = run_a("base_python = python9.9").ends_with(1).says("python9.9");
    let outcome = outcome.explains("tox.ini:4:1").explains("help: found Python 3.");
    outcome.explains("help: install it, or have uv install it with `--install-python`");
    // uv installs no path.
    let outcome = run_a("base_python = /nowhere/python").ends_with(1);
    assert!(!outcome.stderr.contains("--install-python"), "{outcome:?}");
    same_as_tox(
        ini("[tox]\nno_package = true\nskip_missing_interpreters = true\n[testenv:a]\nbase_python = python9.9\n"),
        ["run", "-e", "a"],
    )
    .ends_with(1)
    .says("a: SKIP");
}

#[test]
fn a_name_and_a_base_python_that_contradict_each_other_are_an_error() {
    same_as_tox(ini("[tox]\nno_package = true\n[testenv:py39]\nbase_python = python3.8\n"), ["run", "-e", "py39"])
        .ends_with(1)
        .says("env name py39 conflicting with base python python3.8");
}

#[test]
fn a_runner_that_nothing_provides_and_a_name_with_two_pythons_come_with_what_to_do() {
    same_as_tox(ini("[testenv:a]\nrunner = virtualenv-pep-72\n"), ["run", "-e", "a"])
        .ends_with(254)
        .explains("tox.ini:2:1")
        .explains("help: did you mean virtualenv-pep-723?");
    // tox ends with a traceback here.
    Project::new()
        .ini("[testenv]\npackage = skip\n")
        .run(["run", "-e", "py310-py311"])
        .ends_with(2)
        .says("conflicting factors py310, py311 in py310-py311")
        .explains("keep one of these in its name");
}

#[test]
fn another_platform_is_skipped() {
    run_a("platform = wonderland").ends_with(1).says("platform linux does not match wonderland");
}

#[test]
fn another_program_than_virtualenv_is_not_installed_to_make_an_environment() {
    let outcome = run_a("virtualenv_spec = --requirement=https://example.invalid/x").ends_with(1);
    outcome.says("virtualenv_spec must name virtualenv with optional version specifiers").explains("tox.ini:4:1");
}

#[test]
fn a_failing_install_shows_what_the_installer_said() {
    let outcome = run_a("deps = ./nothere").ends_with(1).says("a: FAIL code 1");
    let outcome = outcome.explains("tox.ini:4:8").explains("installing `deps` of a failed with exit code 1");
    assert!(!outcome.stderr.contains("`-r`"), "making the environment again does not help: {outcome:?}");
    assert!(outcome.stderr.contains("nothere") || outcome.stdout.contains("File './nothere' does not exist"));
}

#[test]
fn a_time_that_is_none_matters_only_to_an_interrupt() {
    run_a("interrupt_timeout = soon\ncommands = python -c 1").ends_with(0).says("a: OK");
}

#[test]
fn a_version_that_is_none_is_refused() {
    same_as_tox(ini("[tox]\nmin_version = abc\n"), ["list"])
        .ends_with(254)
        .says("failed to load core.min_version: Invalid version: 'abc'")
        .explains("tox.ini:2:1");
}

#[test]
fn a_requirement_file_that_is_not_there_is_named() {
    let outcome = run_a("deps = -r missing.txt").ends_with(1);
    outcome.says("Could not open requirements file [ROOT]/missing.txt").explains("tox.ini:4:8").explains("help: ");
}

#[test]
fn constraints_and_requirements_of_packaging_that_have_no_such_form_are_refused_as_they_are_read() {
    run_a("constraints = --zz\ndeps = six")
        .ends_with(1)
        .says("a: failed to load a.constraints: only constraints files or URLs can be provided")
        .explains("constraints = --zz");
    let text = "[testenv:a]\npackage = wheel\n[testenv:.pkg]\ndeps = six; zz == '1'\n";
    let project = || Project::new().ini(text).file("pyproject.toml", "[project]\nname = 'one'\nversion = '1'\n");
    same_as_tox(project, ["run", "-e", "a"]).ends_with(1).says("a: failed to load .pkg.deps: Expected a marker");
}

#[test]
fn what_cannot_be_installed_is_shown_where_it_is_written() {
    for (lines, place) in [
        ("deps = --nosuch", "tox.ini:4:8"),
        ("constraints = a b", "tox.ini:4:17"),
        ("description = x\npylock = none.toml", "tox.ini:5:10"),
        ("description = x\ndependency_groups = none", "tox.ini:5:21"),
        ("platform = (", "tox.ini:4:12"),
        ("set_env = A", "tox.ini:4:11"),
        ("set_env = file|none.env", "tox.ini:4:11"),
    ] {
        run_a(lines).ends_with(1).explains(place);
    }
}

#[test]
fn a_requirement_of_tox_that_is_none_is_shown_where_it_is_written() {
    let outcome = same_as_tox(ini("[tox]\nrequires = tox>=a!b\n"), ["list"]).ends_with(254);
    outcome.says("failed to load core.requires: Expected").explains("tox.ini:2:1").explains("help: ");
}

#[test]
fn a_command_outside_the_environment_is_not_allowed() {
    let outcome = run_a("commands = ls").ends_with(1).says("ls is not allowed, use allowlist_externals to allow it");
    outcome.explains("tox.ini:4:1").explains("help: to allow it, add it to `allowlist_externals`");
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    let outcome = run_a("commands = nosuchprogram x\nallowlist_externals = nosuch*").ends_with(2);
    let outcome =
        outcome.says("'nosuchprogram'").explains("tox.ini:4:12").explains("`nosuchprogram` is neither in the");
    assert!(!outcome.stderr.contains("did you mean"), "{outcome:?}");
}

#[test]
fn a_mistyped_program_is_pointed_at_and_one_of_the_environment_is_suggested() {
    let outcome = run_a("commands =\n    python -c 1\n    pipp list").ends_with(2).says("'pipp'");
    let outcome = outcome.explains("the program `pipp` is neither in the environment nor on PATH");
    outcome.explains("tox.ini:6:5\n  |\n6 |     pipp list\n  |     ^^^^\n").explains("help: did you mean `pip`?");
    // What is allowed to fail is explained, too, and a path is not a matter of spelling.
    run_a("commands = - pipp list").succeeds().explains("help: did you mean `pip`?");
    let outcome = run_a("commands = ./pipp list").ends_with(2);
    assert!(!outcome.stderr.contains("did you mean"), "{outcome:?}");
}

#[test]
fn a_dependency_that_cannot_exist_is_found_by_the_check_alone() {
    let text = "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\ndepends = b, py39, other*\ncommands = python -c 1\n\
                [testenv:{unit,lint}-x]\n[testenv:b]\n";
    for (depends, unknown) in [
        ("whatever", Some("whatever")),
        ("py39, unit-x, py3.10", None),
        ("other*", None),
        ("b\n  whatever", Some("whatever")),
    ] {
        let text = text.replace("b, py39, other*", depends);
        let run = same_as_tox(ini(&text), ["run"]).succeeds();
        assert!(!run.stderr.contains("depends"), "{}", run.stderr);
        let checked = ini(&text)().run(["config", "--check"]);
        match unknown {
            Some(name) => drop(checked.ends_with(1).explains(&format!("names `{name}`, which does not exist"))),
            None => drop(checked.succeeds()),
        }
    }
}

#[test]
fn a_misspelt_dependency_of_an_environment_is_warned_of_and_found_by_the_check() {
    let text = "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\ndepends = stok\ncommands = python -c 1\n\
                [testenv:Stock]\n";
    let outcome = same_as_tox(ini(text), ["run"]).succeeds();
    let expected = "warning: `depends` of `a` names `stok`, which does not exist\n --> [ROOT]/tox.ini:5:11\n";
    outcome.explains(expected).explains("help: did you mean `Stock`?");
    let outcome = ini(text)().run(["config", "--check"]).ends_with(1);
    outcome.explains("error: `depends` of `a` names `stok`").explains("help: did you mean `Stock`?");
    // tox makes up what has factors that it knows, and a glob need not match.
    for right in ["py39", "Stock", "St*", "Stock, py38"] {
        let text = text.replace("depends = stok", &format!("depends = {right}"));
        let outcome = same_as_tox(ini(&text), ["run"]).succeeds();
        assert!(!outcome.stderr.contains("depends"), "{outcome:?}");
        ini(&text)().run(["config", "--check"]).succeeds();
    }
}

#[test]
fn an_environment_without_commands_says_that_nothing_ran() {
    let empty = "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\ndescription = x\n";
    let outcome = same_as_tox(ini(empty), ["run"]).succeeds().explains("envo: nothing ran in a: no `commands`\n");
    outcome.explains("help: write what to run as `commands` of `[testenv:a]`");
    let outcome = same_as_tox(Project::new, ["run"]).succeeds();
    outcome
        .explains("nothing ran in py")
        .explains("help: there is no configuration file; `envo quickstart` creates one");
    let service = "serve = sleep 100\n";
    run_a(service).succeeds().explains("help: `a` is a service, which `envo serve -e a` starts");
    for quiet in
        [&["run", "-e", "a"][..], &["run", "--notest"], &["run", "-e", "a", "-qq"], &["devenv", "-e", "a", "x"]]
    {
        let outcome = ini("[tox]\nno_package = true\n[testenv:a]\n")().run(quiet).succeeds();
        assert!(!outcome.stderr.contains("nothing ran"), "{quiet:?} {outcome:?}");
    }
}

#[test]
fn keys_of_envo_take_one_text_in_tables_too() {
    for (key, text, list) in [
        ("runtime", "\"python, system\"", "[\"python\", \"system\"]"),
        ("node_deps", "\"six\"", "[\"six\"]"),
        ("platforms", "\"linux\"", "[\"linux\"]"),
        ("profiles", "\"x\"", "[\"x\"]"),
    ] {
        let shown = |value: &str| {
            let text = format!("no_package = true\nenv_list = [\"a\"]\n[env.a]\nserve = \"x\"\n{key} = {value}\n");
            Project::new().file("tox.toml", &text).run(["config", "-e", "a", "-k", key]).succeeds().stdout
        };
        assert_eq!(shown(text), shown(list), "{key}");
        assert!(shown(text).contains(key), "{key}");
    }
    // tox's own stay as strict as tox.
    let text = "no_package = true\n[env.a]\npass_env = \"A\"\n";
    same_as_tox(|| Project::new().file("tox.toml", text), ["run", "-e", "a"]).ends_with(1);
}

#[test]
fn an_inverted_command_that_succeeds_fails() {
    run_a("commands = ! python -c 1").ends_with(1);
}

#[test]
fn environments_that_depend_on_each_other_are_an_error_that_names_them() {
    let project =
        ini("[tox]\nno_package = true\nenv_list = a, b\n[testenv:a]\ndepends = b\n[testenv:b]\ndepends = a\n");
    same_as_tox(&project, ["run"]).ends_with(254).says("circular dependency detected between environments: a | b");
    same_as_tox(&project, ["depends"]).ends_with(254).says("a | b");
}

#[test]
fn what_never_comes_to_an_end_is_warned_of_when_it_is_needed_and_as_whose_it_is() {
    let warning = |label: &str| format!("{label}: Could not expand {{env:LOOP}} after recursing 101 frames\n");
    let loops = |core: &str, lines: &str| {
        let text = format!("[tox]\nno_package = true\n{core}\n[testenv:a]\n{lines}\n");
        move || Project::new().ini(&text).variable("LOOP", "{env:LOOP}")
    };
    let described = loops("env_list = a", "description = {env:LOOP}\ncommands = python -c 'print(1)' {env:LOOP}");
    same_as_tox(&described, ["list"]).says(&warning("ROOT"));
    same_as_tox(&described, ["config", "-k", "description"]).says(&warning("ROOT"));
    // A run does not read descriptions.
    let outcome = same_as_tox(&described, ["run"]).succeeds();
    assert_eq!(outcome.stdout.matches("Could not expand").count(), 1, "{outcome:?}");
    assert!(outcome.stdout.starts_with(&warning("a")), "{outcome:?}");
    // What is wrong with the value besides is said after it.
    for lines in ["ignore_errors = {env:LOOP}", "constraints = {env:LOOP}", "recreate = {env:LOOP}"] {
        let outcome = same_as_tox(loops("", lines), ["run", "-e", "a"]).ends_with(1);
        assert!(outcome.stdout.starts_with(&warning("a")), "{outcome:?}");
    }
    for core in ["env_list = a, {env:LOOP}", "min_version = {env:LOOP}", "requires = x{env:LOOP}"] {
        for arguments in [["list", "-d"], ["run", "-ea"], ["config", "-knone"]] {
            let outcome = same_as_tox(loops(core, ""), arguments).ends_with(254);
            assert_eq!(outcome.stdout.matches(&warning("ROOT")).count(), 1, "{outcome:?}");
        }
    }
    let installs = loops("", "deps = six; python_version == \"{env:LOOP}\"\ncommands = python -c 1");
    let outcome = installs().run(["run", "-e", "a"]).succeeds();
    assert!(outcome.stdout.starts_with(&format!("{}a: install_deps> ", warning("a"))), "{outcome:?}");
}

#[test]
fn strange_configurations_never_panic() {
    let strange = [
        "[testenv]\ncommands = {",
        "[testenv]\ncommands = {[}",
        "[testenv]\ncommands = {[testenv]}",
        "[testenv]\ncommands = }{",
        "[testenv]\ncommands = {env:}",
        "[testenv]\ncommands = \\",
        "[testenv]\nset_env = =",
        "[testenv]\nset_env = file|",
        "[testenv]\nbase_python = ,",
        "[testenv:]\n",
        "[testenv:{a,]\n",
        "[testenv:{}]\n",
        "[tox]\nenv_list = {1-",
        "[tox]\nenv_list = {9-1}",
        "[tox]\nenv_list = {,}",
        "[tox]\nenv_list = {0-99999999999999999999}",
        "[tox]\nlabels = x",
        "[testenv]\ncommands = 'unterminated",
        "[testenv]\nports = 99999999\nserve = x",
        "[testenv]\nready = log:(\nserve = x",
        "[testenv]\nserve =",
        "[testenv]\nready_timeout = soon\nserve = x",
        "[testenv]\ndepends = {",
        "\u{feff}[tox]\n",
        "[]\n",
        "=\n",
        " [tox]\n",
    ];
    for text in strange {
        for arguments in [["list", "-q"], ["config", "-q"], ["depends", "-q"], ["serve", "--notest"]] {
            let outcome = Project::new().ini(text).run(arguments);
            assert!(outcome.code.is_some_and(|code| code != 101), "{text:?} {arguments:?}: {outcome:?}");
            assert!(!outcome.stderr.contains("panicked"), "{text:?} {arguments:?}: {outcome:?}");
        }
    }
}

#[test]
fn words_that_no_command_takes_bring_a_hint() {
    let text = "[tox]\nno_package = true\n[testenv:lint]\n[testenv:db]\nserve = sleep 9\n";
    for (words, help) in [
        ("help NOTHING", "`NOTHING` is not a command; `envo help` lists them"),
        ("help lst", "did you mean `envo help list`?"),
        ("list lint", "`envo list` takes no names: it shows every environment; `envo config -e lint` shows"),
        ("depends lint", "`envo depends` takes no names"),
        ("config lint", "environments are named with `-e`: `envo config -e lint`"),
        ("lock x", "environments are named with `-e`: `envo lock -e x`"),
        ("quickstart a b", "usage: `envo quickstart [options] [root]`"),
        ("schema x", "usage: `envo schema [options]`"),
        ("ps x", "nothing is running; `envo up` starts services"),
        ("logs x", "`envo up` and `envo serve` start services"),
        ("serve x", "`envo list` shows all environments"),
        ("up lint", "`envo run -e lint` runs its commands"),
    ] {
        let outcome = ini(text)().run(words.split(' ')).ends_with(254);
        outcome.explains(&format!("help: {help}"));
    }
    same_as_tox(ini(text), ["list", "lint"]).ends_with(254);
    same_as_tox(ini(text), ["help", "NOTHING"]).ends_with(254);
}

#[test]
fn an_interpreter_that_says_too_much_about_itself_is_killed_and_named() {
    let project = Project::new()
        .ini("[tox]\nno_package = true\nenv_list = a\n[testenv]\nbase_python = {tox_root}/python-endless\n")
        .file("python-endless", "#!/bin/sh\nexec yes\n");
    project.run_program("chmod", &["+x", "python-endless"]).succeeds();
    let said = "python-endless` was asked about itself and killed: it printed more than 16 MB";
    for arguments in [&["run"][..], &["run", "--skip-missing-interpreters", "true"], &["lock"]] {
        let outcome = project.run(arguments);
        let printed = outcome.stdout + &outcome.stderr;
        assert!(outcome.code != Some(0) && printed.contains(said), "{arguments:?}\n{printed}");
    }
    assert_eq!(project.processes(), [""; 0]);
}

#[test]
fn folders_and_files_that_cannot_be_used_are_explained_with_their_setting() {
    for (lines, code, text, place) in [
        ("change_dir = tox.ini", 2, "change_dir [ROOT]/tox.ini cannot be created: [ROOT]/tox.ini is a file", "4:14"),
        ("env_dir = tox.ini/a", 2, "env_dir [ROOT]/tox.ini/a cannot be created: [ROOT]/tox.ini is a file", "4:11"),
        ("env_dir = /proc/x", 2, "env_dir /proc/x cannot be created: ", "4:11"),
        ("env_tmp_dir = /proc/x", 2, "env_tmp_dir /proc/x cannot be created: ", "4:15"),
        ("env_log_dir = /proc/x", 2, "env_log_dir /proc/x cannot be created: ", "4:15"),
        ("env_dir = tox.ini", 1, "tox.ini is a file where this environment should live", "4:11"),
        ("env_tmp_dir = {tox_root}", 1, "env_tmp_dir [ROOT] holds the project", "4:15"),
        ("base_python_file = tox.ini", 1, "base_python_file: 'tox.ini' does not contain a Python version", "4:20"),
        ("runner = virtualenv-pep-723\nscript = gone.py", 1, "script file not found: [ROOT]/gone.py", "5:10"),
    ] {
        let configuration = format!("[tox]\nno_package = true\n[testenv:a]\n{lines}\n");
        let outcome = ini(&configuration)().run(["run", "-e", "a"]).ends_with(code).explains("error: ");
        assert!(!outcome.stdout.contains("internal error"), "{outcome:?}");
        outcome.says(text).explains(&format!("tox.ini:{place}\n")).explains("help: ");
    }
    let project = "[tox]\nno_package = true\nenv_list = a\nwork_dir = tox.ini\n[testenv:a]\ncommands = python -c 1\n";
    let outcome = ini(project)().run(["run"]).ends_with(2).says("work_dir [ROOT]/tox.ini cannot be created: ");
    outcome.explains("tox.ini:4:12\n").explains("help: ");
}
