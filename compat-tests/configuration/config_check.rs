//! Tests that `config --check` reports all errors at once, with their locations.

use crate::support::project::Project;

#[test]
fn a_sound_configuration_has_no_problems() {
    let ini = "[tox]\nenv_list = a,b\n[base]\ndeps = x\n[testenv]\nno_package = 1\n";
    let sound = ini.replace("no_package = 1", "deps =\n    {[base]deps}\n    a: y\n    linux: z");
    let outcome = Project::new().ini(&sound).run(["config", "--check"]).succeeds();
    assert_eq!(outcome.stdout, "no problems found\n");
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("`no_package` is a key of the project"), "{}", outcome.stderr);
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let ini = "[tox]\nenv_list = a,lint\n[base]\ndeps = x\n[testenv]\ndep = y\ndeps =\n    -r missing.txt\n    \
               {[base]dep}\n    {[bse]deps}\n    lnt: z\nchange_dir = {change_dir}/x\nignore_errors = perhaps\nset_env =\n    \
               file|missing.env\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    for (problem, place) in [
        ("unknown key `dep` in `[testenv]`", "tox.ini:6:1"),
        ("there is no file `missing.txt`", "tox.ini:8:8"),
        ("undefined reference: `[base]` has no key `dep`", "tox.ini:9:5"),
        ("undefined reference: there is no section `[bse]`", "tox.ini:10:5"),
        ("no environment has the factor `lnt`", "tox.ini:11:5"),
        ("circular chain detected", "tox.ini:12:14"),
        ("value 'perhaps' cannot be transformed to bool", "tox.ini:13:17"),
        ("missing.env does not exist", "tox.ini:15:5"),
    ] {
        assert!(outcome.stderr.contains(problem), "{problem}\n{}", outcome.stderr);
        assert!(outcome.stderr.contains(place), "{problem} at {place}\n{}", outcome.stderr);
    }
    assert!(outcome.stderr.contains("did you mean `deps`?") && outcome.stderr.contains("did you mean `lint`?"));
    assert!(outcome.stderr.ends_with("8 problems found\n"), "{}", outcome.stderr);
}

#[test]
fn a_configuration_that_cannot_be_read_is_one_problem() {
    let outcome = Project::new().ini("[tox]\nenv_list = a\n[testenv]\nx\n").run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.ends_with("1 problem found\n"), "{}", outcome.stderr);
}

#[test]
fn values_that_would_end_packing_are_found() {
    let ini = "[tox]\nenv_list = a\n[testenv:a]\npack_keep = none\n[testenv:b]\npack_interpreter = any\n[testenv:c]\n\
               pack_sign = key\n[testenv:d]\npack_tests = gone\n\
               [testenv:f]\npack_command = run\npack_tests = a\n[testenv:g]\npack_command = 'open\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]).ends_with(1);
    let mut outcome = outcome.explains("5 problems found\n");
    for (line, problem) in [
        (4, "`pack_keep` is `none`, must be a number of at least 1"),
        (6, "`pack_interpreter` is `any`"),
        (8, "`pack_sign` is `key`"),
        (10, "`pack_tests` names `gone`"),
        (15, "`pack_command` begins with `'open`, whose quote is not closed"),
    ] {
        outcome = outcome.explains(problem).explains(&format!("tox.ini:{line}:"));
    }
    let toml = "env_list = [\"a\"]\n[env.a]\npack_command = 3\n[env.b]\npack_exclude = 3\n[env.c]\npack_keep = 0\n";
    let outcome = Project::new().file("tox.toml", toml).run(["config", "--check"]).ends_with(1);
    outcome.explains("tox.toml:3:").explains("tox.toml:5:").explains("tox.toml:7:").explains("3 problems found\n");
}

#[test]
fn values_that_refer_to_each_other_in_a_circle_are_told() {
    let ini =
        "[tox]\nenv_list = a\n[testenv]\ncommands = {[testenv]commands_pre}\ncommands_pre = {[testenv]commands}\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    assert!(
        outcome.stderr.contains("tox.ini:4:1") && outcome.stderr.contains("Could not expand"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn tables_are_checked_like_sections() {
    let toml = "[tool.tox]\nenv_list = [\"a\", \"b\", \"api\"]\nskip_instal = true\n[tool.tox.gh.python]\n\"3\" = [\"a\"]\n\
                [tool.tox.env_run_base]\ndep = [\"x\"]\ndeps = [\n  \"-r missing.txt\",\n]\ncommands = [\"pytest\"]\n\
                [tool.tox.env]\na = { depends = [\"b\"], ignore_errors = \"maybe\" }\nb.depends = [\"a\"]\n\
                b.set_env = { file = \"none.env\" }\n[tool.tox.env.api]\nserve = \"python -m http.server {port}\"\n\
                ready = \"htp /x\"\nenv_file = \"no.env\"\nno_package = true\n";
    let outcome = Project::new().file("pyproject.toml", toml).run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    for (problem, place) in [
        ("unknown key `skip_instal` in `[tool.tox]`", 3),
        ("unknown key `dep` in `[tool.tox.env_run_base]`", 7),
        ("there is no file `missing.txt`", 9),
        ("failed to load a.commands: value of type 'str' is not list", 11),
        ("failed to load a.ignore_errors: value of type 'str' is not of type 'bool'", 13),
        ("circular dependency detected between environments: a | b", 13),
        ("none.env does not exist for set_env", 15),
        ("`htp /x` is not a probe", 18),
        ("there is no file `no.env`", 19),
        ("the key `no_package` has no meaning in `[tool.tox.env.api]`", 20),
    ] {
        let place = format!("pyproject.toml:{place}:");
        let told = outcome.stderr.split("error: ").any(|one| one.contains(problem) && one.contains(&place));
        // Of two problems on one line, one is reported.
        assert!(told || problem.starts_with("circular"), "{problem} at {place}\n{}", outcome.stderr);
    }
}

#[test]
fn places_in_a_value_that_holds_a_configuration_are_those_of_the_file() {
    let file = "[project]\nname = \"x\"\n[tool.tox]\nlegacy_tox_ini = \"\"\"\n[tox]\nenv_list = a\n[testenv]\ndepz = x\n\"\"\"\n";
    let outcome = Project::new().file("pyproject.toml", file).run(["config", "--check"]);
    assert_eq!(outcome.code, Some(1));
    let expected = "pyproject.toml:8:1\n  |\n8 | depz = x\n  | ^^^^\nhelp: did you mean `deps`?\n";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
}

#[test]
fn factors_that_only_conditions_have_may_be_asked_for() {
    let ini = "[tox]\nenv_list = py, lint\n[testenv]\ndeps =\n    cov: coverage\n    lint-cov: x\n    pytest7: y\n\
               set_env =\n    linux: A=1\n";
    Project::new().ini(ini).run(["config", "--check"]).succeeds();
}

#[test]
fn conditions_that_contradict_themselves_are_told() {
    let ini = "[tox]\nenv_list = a\n[testenv]\ndeps =\n    a-!a: x\n    linux-win32: y\n    a-!a,a: z\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    outcome.clone().explains("can fulfil the condition `a-!a`").explains("tox.ini:5:5");
    outcome.explains("can fulfil the condition `linux-win32`").explains("2 problems found");
}

#[test]
fn a_reference_that_is_misspelt_is_told_and_other_braces_are_left_alone() {
    let ini = "[tox]\nenv_list = a\n[testenv]\nallowlist_externals = *\ncommands =\n    {envbindr}/python\n    \
               awk {print}\n    echo ${envbindr} {posargs} {opts}\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    outcome.explains("there is no key `envbindr`").explains("did you mean `{envbindir}`?").explains("1 problem found");
}

#[test]
fn what_became_of_keys_of_older_versions_is_said() {
    let ini = "[tox]\nisolated_build = true\n[testenv]\nwhitelist_externals = x\nskipdist = true\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    let outcome = outcome.explains("tox 4 always builds in a separate environment").explains("`allowlist_externals`");
    outcome.explains("did you mean `skipsdist`, a key of the project?");
}

#[test]
fn keys_of_plugins_are_left_to_them() {
    let ini = "[tox]\nrequires = tox-docker\n[testenv]\ndocker = x\n";
    Project::new().ini(ini).run(["config", "--check"]).succeeds();
    let outcome = Project::new().ini(&ini.replace("tox-docker", "tox-uv")).run(["config", "--check"]);
    outcome.explains("unknown key `docker`");
}

#[test]
fn environments_that_wait_for_each_other_are_told() {
    let ini = "[tox]\nenv_list = a, b\n[testenv:a]\ndepends = b\n[testenv:b]\ndepends = a\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]);
    outcome.explains("circular dependency detected between environments: a | b").explains("tox.ini:4:1");
}

#[test]
fn programs_get_the_findings_as_json() {
    let project = Project::new().ini("[tox]\nenv_list = a\n[testenv]\ndepz = x\n");
    let outcome = project.run(["config", "--check", "--format", "json"]).ends_with(1);
    let found: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("the output is JSON");
    let first = &found["findings"][0];
    assert_eq!(first["message"], "unknown key `depz` in `[testenv]`");
    assert_eq!(
        (first["line"].as_u64(), first["column"].as_u64(), first["length"].as_u64()),
        (Some(4), Some(1), Some(4))
    );
    assert_eq!(first["help"][0], "did you mean `deps`?");
    assert_eq!(outcome.stderr, "");
    let outcome = Project::new().ini("[tox]\nenv_list = a\n").run(["config", "--check", "--format", "json"]).succeeds();
    assert_eq!(outcome.stdout, "{\n  \"findings\": []\n}\n");
}

#[test]
fn services_are_looked_at_together_with_all_that_needs_them() {
    let check = |rest: &str| {
        let one = |name: &str| format!("[testenv:{name}]\nserve = x {{port:http}}\nports = http=5432\n");
        let ini = format!("[tox]\nno_package = true\nenv_list = app\n{}{}{rest}", one("one"), one("two"));
        Project::new().ini(&ini).run(["config", "--check"])
    };
    // Nothing needs both, so they may well have the same port.
    let sound = "[testenv:app]\ndepends = one\ncommands = a {service:one:url}\n[testenv:b]\ndepends = two\n";
    assert_eq!(check(sound).succeeds().stdout, "no problems found\n");
    let wrong = "[testenv:app]\ndepends = one\ncommands = a {service:one:nothing} {service:two:url}\n[testenv:b]\n\
                 depends = one, two\n[testenv:c]\ndepends = d\nserve = x\n[testenv:d]\ndepends = c\nserve = x\n\
                 [testenv:e]\nserve = x\nports = a=1, b=1\n[testenv:f]\ndepends = e\ncommands = x {service:e:b}\n";
    let outcome = check(wrong).ends_with(1);
    for problem in [
        "`app` (tox.ini:12) uses `nothing` of `one`",
        "`app` (tox.ini:12) names the service `two`, which is not in its `depends`",
        "both have port 5432",
        "circular dependency of services: c → d → c",
        "`ports = b=1`: that number is given twice",
        "\n5 problems found\n",
    ] {
        assert!(outcome.stderr.contains(problem), "{problem} is missing in:\n{}", outcome.stderr);
    }
}

#[test]
fn a_service_that_waits_for_itself_by_inheritance_is_found_before_it_is_asked_for() {
    let ini = "[tox]\nenv_list = app\n[testenv]\ndepends = db\n[testenv:db]\nserve = x\n";
    let outcome = Project::new().ini(ini).run(["config", "--check"]).ends_with(1);
    assert!(outcome.stderr.contains("`depends` of `db` is inherited from `[testenv]`"), "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with("\n1 problem found\n"), "{}", outcome.stderr);
}

#[test]
fn a_problem_is_reported_once_and_nothing_besides() {
    let ini = "[testenv]\npackage = skip\n[testenv:a]\nrunner = nosuch\n";
    let checked = Project::new().ini(ini).run(["config", "--check"]).ends_with(1).explains("1 problem found");
    assert_eq!(checked.stdout, "");
}
