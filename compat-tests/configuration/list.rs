//! Tests `envo list`.

use insta::assert_snapshot;

use crate::configuration::differential::same_as_tox;
use crate::support::project::{Outcome, Project};

#[test]
fn names_are_listed_with_their_descriptions() {
    let outcome = Project::fixture("ranges").run(["list"]).succeeds();
    assert_snapshot!(outcome.stdout, @r"
    default environments:
    step1       -> the first steps
    step2       -> the first steps
    step3       -> [no description]
    red-small   -> [no description]
    red-large   -> large and coloured
    green-small -> [no description]
    green-large -> large and coloured
    back3       -> [no description]
    back2       -> [no description]
    back1       -> [no description]
    lint        -> one section, two environments

    additional environments:
    lint-strict -> one section, two environments
    ");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_folder_below_the_project_lists_the_same() {
    let project = Project::fixture("aliases");
    assert_eq!(project.run_in("below", ["list"]).succeeds(), project.run(["list"]));
}

#[test]
fn without_descriptions_and_additional_environments_only_the_default_names_are_left() {
    let outcome = Project::fixture("ranges").run(["list", "-d", "--no-desc", "-q"]).succeeds();
    assert_eq!(outcome.stdout.lines().next(), Some("step1"));
    assert_eq!(outcome.stdout.lines().last(), Some("lint"));
}

#[test]
fn labels_factors_and_skipped_names_choose_as_in_tox() {
    let project = || Project::fixture("ranges");
    same_as_tox(project, ["list", "-m", "small"]).succeeds().says("green-small");
    same_as_tox(project, ["list", "-f", "large"]).succeeds().says("red-large").never_says("step1");
    same_as_tox(project, ["list", "-f", "red", "small"]).succeeds();
    same_as_tox(project, ["list", "--skip-env", "(red|step).*"]).succeeds().never_says("step1 ");
}

#[test]
fn the_old_spellings_of_listing_still_work() {
    let project = || Project::fixture("factors");
    same_as_tox(project, ["-l"]).succeeds();
    same_as_tox(project, ["-a"]).succeeds();
    same_as_tox(project, ["l"]).succeeds();
    same_as_tox(project, ["-av"]).succeeds();
}

#[test]
fn a_thousand_environments_are_listed() {
    let project = Project::new().ini("[tox]\nenv_list = {a,b}-{0-499}\nno_package = true\n");
    let outcome = project.run(["list", "--no-desc", "-q"]).succeeds();
    assert_eq!(outcome.stdout.lines().count(), 1000, "{}", outcome.stdout);
}

#[test]
fn a_setup_cfg_and_a_legacy_string_in_pyproject_are_found() {
    let cfg =
        || Project::new().file("setup.cfg", "[tox:tox]\nenv_list = a,b\n[testenv:a]\ndescription = in setup.cfg\n");
    same_as_tox(cfg, ["list"]).succeeds().says("in setup.cfg");
    let toml = || {
        Project::new().file(
            "pyproject.toml",
            "[tool.tox]\nlegacy_tox_ini = \"\"\"\n[tox]\nenv_list = a\n[testenv:a]\ndescription = inside TOML\n\"\"\"\n",
        )
    };
    same_as_tox(toml, ["list"]).succeeds().says("inside TOML");
}

#[test]
fn what_is_noticed_is_said_where_it_belongs_and_of_whom() {
    let unavailable = || {
        let ini = "[tox]\nno_package = true\nenv_list = a, b, c\n[testenv:b]\nrunner = other\n";
        Project::new().ini(ini)
    };
    same_as_tox(unavailable, ["list"]).says("b: environment b marked as unavailable, runner 'other' is not available");
    same_as_tox(unavailable, ["list", "--skip-env", "a"]).says("ROOT: skip environment a, matches filter 'a'");
    same_as_tox(unavailable, ["config", "--skip-env", "a|c"]);
    let blocked = || {
        let text = "extra = [1, \"a\"]\n[env.b]\ndescription = \"{[extra.more]ok:failed}\"\n";
        Project::new().file("tox.toml", text)
    };
    same_as_tox(blocked, ["list"]).says("ROOT: Failed to load key more as not dictionary [1, 'a']\nb");
    same_as_tox(blocked, ["config", "-e", "b", "-k", "env_name", "description"]);
    same_as_tox(blocked, ["config", "-e", "b", "-k", "description", "--format", "json"]);
}

#[test]
fn environments_before_one_that_is_wrong_are_shown() {
    let text =
        "[tox]\nenv_list = a, b\n[testenv:b]\ndescription = {[b]x}\nchange_dir = {env:NONE}\n[b]\nx = {change_dir}\n";
    let outcome = same_as_tox(|| Project::new().ini(text), ["list"]);
    assert!(outcome.stdout.starts_with("default environments:\na -> [no description]\n"), "{}", outcome.stdout);
    assert_eq!(outcome.code, Some(254));
}

#[test]
fn the_order_is_drawn_for_other_programs() {
    let project = Project::new().ini(
        "[tox]\nenv_list = app\nno_package = true\n[testenv:db]\nserve = x\n[testenv:migrate]\ndepends = db\n\
         [testenv:web]\nserve = x\ndepends = migrate\n[testenv:app]\ndepends = web\n",
    );
    let outcome = project.run(["depends", "--format", "mermaid"]).succeeds();
    assert_snapshot!(outcome.stdout, @r#"
    flowchart LR
        e0(["db"])
        e1[["migrate"]]
        e2(["web"])
        e3["app"]
        e1 --> e0
        e2 --> e1
        e3 --> e2
    "#);
    let outcome = project.run(["depends", "--format", "json"]).succeeds();
    let json: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("it is JSON");
    assert_eq!(json["environments"][2]["depends"], serde_json::json!(["migrate"]));
    project.run(["depends", "--format", "dot"]).succeeds().says("\"app\" -> \"web\";");
}

/// What `list` says when it may use one processor only: it looks at one environment after the other then.
fn listed_one_by_one(project: &Project) -> Outcome {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells of each process");
    let allowed =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("it tells of processors");
    let first = allowed.trim().split(['-', ',']).next().expect("there is one");
    project.run_program("taskset", &["-c", first, env!("CARGO_BIN_EXE_envo"), "list"])
}

#[test]
fn environments_of_a_large_configuration_are_looked_at_side_by_side_and_nothing_of_it_shows() {
    let sections = |own: &dyn Fn(usize) -> &'static str| -> String {
        let section = |at| format!("[testenv:e{at}]\ndescription = number {at}\n{}\n", own(at));
        (0..2100).map(section).collect()
    };
    let wrong: [&dyn Fn(usize) -> &'static str; 6] = [
        &|_| "package = wheel\npass_env = CI",
        &|at| if at == 2050 { "package_env = e2050" } else { "" },
        &|at| if at % 400 == 7 { "runner = {[x]y}" } else { "" },
        &|at| if at % 400 == 7 { "package = wheel\npass_env = A B" } else { "" },
        &|at| if at == 900 { "package_env = e3" } else { "package = skip" },
        &|at| if at % 500 == 1 { "package = wheel\nwheel_build_env = wheel-{[no]thing}" } else { "" },
    ];
    let project = |text: &str| Project::new().ini(text).file("pyproject.toml", "");
    for own in wrong {
        let project = project(&format!("[x]\ny = {{[x]y}}\n{}", sections(own)));
        assert_eq!(project.run(["list"]), listed_one_by_one(&project));
    }
    project(&sections(wrong[0])).run(["list"]).succeeds().says("e0    -> number 0\n").says("\ne2099 -> number 2099\n");
    project(&sections(wrong[1])).run(["list"]).ends_with(254).says("e2050 cannot self-package");
}

#[test]
fn everything_that_is_left_out_is_named_in_tox_s_place() {
    let project = || {
        let ini = "[tox]\nno_package = true\nenv_list = a, b\n[testenv]\nallowlist_externals = true\n[testenv:c]\n[testenv:bc]\n";
        Project::new().ini(ini)
    };
    same_as_tox(project, ["list", "--skip-env", "b"]).says("bc, matches filter 'b'\ndefault environments:\na");
    same_as_tox(project, ["list", "-d", "--skip-env", "b"]).never_says("bc");
    same_as_tox(project, ["list", "-f", "b", "--skip-env", "b"]).never_says("bc");
    same_as_tox(project, ["config", "-k", "env_name", "--skip-env", "b"])
        .says("env_name = a\nROOT: skip environment b, matches filter 'b'\n");
    same_as_tox(project, ["config", "-k", "env_name", "--skip-env", "."]);
    same_as_tox(project, ["config", "-k", "env_name", "--skip-env", ".", "--core"]);
    same_as_tox(project, ["config", "-k", "env_name", "--format", "json", "--skip-env", "b"]);
    same_as_tox(project, ["run", "-e", "a", "--skip-env", "b"]).says("bc, matches filter 'b'\n");
    same_as_tox(project, ["exec", "-e", "a", "--skip-env", "b", "--", "true"]);
}

#[test]
fn what_keeps_tox_from_looking_for_an_interpreter_to_build_with_keeps_it_from_listing() {
    let with = |package: &'static str, rest: &'static str| {
        let ini = format!("[tox]\nenv_list = a, b\n[testenv]\npackage = {package}\n{rest}");
        move || Project::new().ini(&ini).file("setup.py", "")
    };
    for rest in [
        "[testenv:b]\nbase_python = {env:NOT_THERE:}\n",
        "[testenv:py38-py39]\n",
        "[testenv:py39]\nbase_python = python3.8\n",
        "[testenv:py39]\nbase_python = /not/there\n",
        "set_env =\n  A = 1\n  b: B = 2;not a marker\n",
        "system_site_packages = perhaps\n",
        "[testenv:.pkg]\nbase_python =\n",
        "[testenv:.pkg]\nbase_python = py25\n",
        "[pkgenv]\npass_env = A B\n",
        "[testenv:x]\nbase_python =\npackage_env = c\n[testenv:d]\npackage_env = x\n",
    ] {
        for arguments in [["list", "-q"], ["depends", "-q"]] {
            let outcome = same_as_tox(with("wheel", rest), arguments);
            assert!(
                outcome.code != Some(0) && !outcome.stdout.contains("[no description]"),
                "{rest}\n{}",
                outcome.stdout
            );
        }
        // None is needed for an sdist, or if the builder of the wheel is configured.
        same_as_tox(with("sdist", rest), ["list"]).succeeds().says("[no description]");
    }
    let said = "wheel_build_env = .pkg\npass_env = A B\n[testenv:py38-py39]\n";
    same_as_tox(with("wheel", said), ["list"]).succeeds().says("py38-py39");
}

#[test]
fn one_of_many_environments_alike_that_is_wrong_is_found() {
    let with = |rest: &'static str| {
        let ini = format!("[tox]\nenv_list = {{a,b}}-{{0-60}}\n[testenv]\npackage = wheel\n{rest}");
        move || Project::new().ini(&ini).file("setup.py", "")
    };
    same_as_tox(with(""), ["list", "--no-desc"]).succeeds();
    for rest in [
        "[testenv:py38-py39]\n",
        "[testenv:py39]\nbase_python = python3.8\n",
        "[testenv:b-7]\nbase_python =\n",
        "set_env = b-7: A = 1;no marker\n",
    ] {
        assert_ne!(same_as_tox(with(rest), ["list", "--no-desc"]).code, Some(0), "{rest}");
    }
}

#[test]
fn a_malformed_configuration_is_named_as_it_was_typed() {
    let project = || Project::new().file("sub/tox.ini", "no section\n");
    for typed in ["sub", "./sub/", "sub/tox.ini", "sub//./tox.ini"] {
        same_as_tox(project, ["list", "-c", typed]).ends_with(254).says("file: 'sub/tox.ini', line: 1");
    }
    same_as_tox(project, ["list", "-c", "nothing/"]).ends_with(254).says("config file nothing does not exist");
}
