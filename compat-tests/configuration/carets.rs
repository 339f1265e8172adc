//! Errors point at what is wrong: the part of a value, the key of a table.

use crate::support::project::Project;

fn ini(text: &str) -> impl Fn() -> Project {
    move || Project::new().ini(text)
}

#[test]
fn the_caret_of_an_error_is_under_the_wrong_part_of_a_value() {
    // The key, its values, the wrong one of them, and what marks it in the forms that it can be written in.
    for (key, values, wrong) in [
        ("runtime", &["python", "sytem"][..], "sytem"),
        ("runtime", &["system", "node@12x"], "12x"),
        ("runtime", &["node", "python@3.9"], "python@3.9"),
        ("ports", &["http=80", "db=99999"], "db=99999"),
        ("success_exit_codes", &["0", "x"], "x"),
        ("pass_env", &["A", "B C"], "B C"),
    ] {
        let quoted = || values.iter().map(|value| format!("\"{value}\""));
        let ini_value = values.join(", ");
        let ini = format!("[tox]\nno_package = true\n[testenv:a]\nserve = x\n{key} = {ini_value}\n");
        let head = "no_package = true\n[env.a]\nserve = \"x\"\n";
        let list = format!("{head}{key} = [{}]\n", quoted().collect::<Vec<_>>().join(", "));
        let lines = format!("{head}{key} = [ # \"{wrong}\"\n  {},\n]\n", quoted().collect::<Vec<_>>().join(",\n  "));
        for (file, text) in [("tox.ini", &ini), ("tox.toml", &list), ("tox.toml", &lines)] {
            let outcome = Project::new().file(file, text).run(["config", "--check"]).ends_with(1);
            assert_eq!(marked(&outcome.stderr), [wrong], "{text}{}", outcome.stderr);
        }
    }
}

/// `%` is the wrong value, beside others that look like it.
#[test]
fn the_caret_is_under_the_wrong_value_in_every_list_and_table() {
    let mut cases: Vec<String> = Vec::new();
    for key in [
        "deps",
        "constraints",
        "pass_env",
        "allowlist_externals",
        "depends",
        "extras",
        "dependency_groups",
        "labels",
        "base_python",
        "base_python_file",
        "runtime",
    ] {
        cases.push(format!("{key} = [\"x\", %]"));
        cases.push(format!("{key} = [ # 7\n  \"x\", # 7\n  %,\n  \"y\",\n]"));
        let reference = "{ replace = \"ref\", of = [\"lists\", \"right\"], extend = true }";
        cases.push(format!("{key} = [\"x7\", {reference}, %]"));
        let condition = "{ replace = \"if\", condition = \"env_name != 'x'\", then = [%], extend = true }";
        cases.push(format!("{key} = [{condition}, \"x\"]"));
    }
    for key in ["commands_pre", "commands", "commands_post"] {
        cases.push(format!("{key} = [[\"x\", \"7\"], [\"y\", %]]"));
        for inner in [
            "{ replace = \"posargs\", default = [\"7\"], extend = true }, %",
            "{ replace = \"posargs\", default = [%], extend = true }, \"7\"",
            "{ replace = \"posargs\", default = [\"7\", { replace = \"ref\", of = [%] }], extend = true }, \"7\"",
            "{ replace = \"env\", name = % }, \"7\"",
            "{ replace = \"env\", name = \"NO\", default = % }, \"7\"",
            "{ replace = \"glob\", pattern = % }, \"7\"",
            "{ replace = \"ref\", of = [\"lists\", %] }, \"7\"",
        ] {
            cases.push(format!("{key} = [[\"x\", {inner}]]"));
        }
    }
    cases.extend(
        [
            "install_command = [\"python\", %, \"{packages}\"]",
            "list_dependencies_command = [\"python\", %]",
            "watch_command = [\"7\", %]",
            "set_env = { A = \"7\", B = % }",
            "set_env.A = \"7\"\nset_env.B = %",
            "set_env = { A = \"7\", B = { value = % } }",
            "set_env = [{ A = \"7\" }, { B = % }]",
            "description = %",
            "ready = %",
            "ignore_errors = %",
        ]
        .map(str::to_owned),
    );
    for wrong in ["7", "7.5", "[\"z\", 7]", "{ a = 8 }"] {
        let mut text = "no_package = true\n[lists]\nright = [\"7\", \"x\"]\n[env.x]\n[env.x7]\n[env.7]\n".to_owned();
        for (number, case) in cases.iter().enumerate() {
            text.push_str(&format!("[env.e{number}]\nserve = \"x\"\n{}\n", case.replace('%', wrong)));
        }
        let outcome = Project::new().file("tox.toml", &text).run(["config", "--check"]).ends_with(1);
        let mut marked = marked(&outcome.stderr).into_iter().filter(|one| one != "lists");
        for case in &cases {
            let expected = if case.starts_with("depends") && wrong.starts_with('{') { "8" } else { wrong };
            assert_eq!(marked.next().as_deref(), Some(expected), "{case}\n{}", outcome.stderr);
        }
        assert_eq!(marked.next(), None, "{}", outcome.stderr);
    }
    // Other shapes, and values elsewhere in the file.
    for (text, wrong) in [
        ("set_env = [{ A = \"7\" }, 7]", "7"),
        ("set_env = [{ A = \"7\" }, [{ B = \"7\" }]]", "[{ B = \"7\" }]"),
        ("set_env = { A = { value = \"x\", marker = \"(\" } }", "\"(\""),
        ("commands = [[\"7\"], { replace = \"ref\", of = [\"lists\", \"wrong\"] }]", "7"),
        ("commands = [[\"x\", \"{[lists]\"], [\"x\", \"a {env:}\"]]", "\"a {env:}\""),
        ("commands = [[\"x\", { replace = \"if\", condition = \"7\", then = \"7\" }]]", "\"7\""),
        ("deps = [\"a-x\", \"-x\"]", "-x"),
        ("ports = [\"x\", 7]", "7"),
        ("depends = [\"7\", { product = [[\"7\"], [\"x\", 7]] }]", "7"),
        ("depends = [{ prefix = \"x\", start = 1, stop = \"7\" }]", "\"7\""),
        ("x = 1\n[env_base.b]\nfactors = [[\"7\"], [7]]", "7"),
        ("x = 1\n[env_base]\nb = { factors = 7 }", "7"),
    ] {
        let text = format!("no_package = true\n[lists]\nwrong = [\"7\", 7]\n[env.a]\nserve = \"x\"\n{text}\n");
        let outcome = Project::new().file("tox.toml", &text).run(["config", "--check"]).ends_with(1);
        assert!(marked(&outcome.stderr).contains(&wrong.to_owned()), "{text}{}", outcome.stderr);
    }
    for (text, wrong) in [
        ("env_list = [\"7\", 7]", "7"),
        ("requires = [\"x7\", 7]", "7"),
        ("labels = { x = [\"7\"], y = [\"7\", 7] }", "7"),
        ("labels = { x = [\"7\"], y = 7 }", "7"),
        ("env_list = [{ product = [[\"7\"], 7] }]", "7"),
        ("env_list = [{ product = [[\"7\"]], exclude = 7 }]", "7"),
        ("env_list = [\"7\", { env = [\"x\"] }]", "env"),
        ("env = [\"7\", 7]", "7"),
        ("min_version = 7", "7"),
    ] {
        for (file, head) in [("tox.toml", ""), ("pyproject.toml", "# ä\n[tool.tox]\n")] {
            let outcome = Project::new().file(file, &format!("{head}{text}\n")).run(["config", "--check"]).ends_with(1);
            assert_eq!(marked(&outcome.stderr), [wrong], "{text}{}", outcome.stderr);
        }
    }
}

#[test]
fn tables_and_keys_that_others_refer_to_are_not_unknown() {
    let text = "no_package = true\nmine = \"x\"\nenv_run_base.allowlist_externals = [\"*\"]\n[lists]\nx.y = [\"echo\"]\n[env.a]\nwords = [\"echo\"]\n\
                commands = [{ replace = \"ref\", of = [\"lists\", \"x\", \"y\"] }, \
                { replace = \"ref\", of = [\"env\", \"a\", \"words\"] }, [\"{[]mine}\"]]\n";
    let outcome = Project::new().file("tox.toml", text).run(["config", "--check"]).ends_with(1);
    assert_eq!(marked(&outcome.stderr), ["mine"], "{outcome:?}");
}

/// What the carets of error frames mark.
fn marked(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2).filter_map(|pair| Some((pair[0], pair[1].find('^')?, pair[1].matches('^').count())));
    pairs.filter_map(|(line, at, length)| line.get(at..at + length).map(str::to_owned)).collect()
}

#[test]
fn a_runtime_that_is_missing_is_marked_in_its_list() {
    let text = "[tox]\nno_package = true\n[testenv:a]\nruntime = system, node@999\ncommands = true\n";
    let outcome = ini(text)().run(["run", "-e", "a"]).ends_with(1);
    assert_eq!(marked(&outcome.stderr), ["node@999"], "{outcome:?}");
}

#[test]
fn a_key_of_a_service_that_is_nearly_envos_is_warned_of_where_it_runs() {
    let ini_text = "[tox]\nno_package = true\nenv_list = a\n[testenv]\nruntime = system\nallowlist_externals = *\nredy = x\n\
                    [testenv:a]\ncommands = true\n[testenv:db]\nserve = sleep 60\nredy = exit\nmine = x\n";
    let warning = "warning: unknown key `redy` in `[testenv:db]`\n  --> [ROOT]/tox.ini:12:1\n";
    let outcome = ini(ini_text)().run(["run"]).succeeds().explains(warning).explains("help: did you mean `ready`?");
    // What the service inherits, too.
    outcome.explains("warning: unknown key `redy` in `[testenv]`\n --> [ROOT]/tox.ini:7:1\n");
    let lent = "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\ncommands = python -c 1\n[testenv:lent]\nredy = x\n\
                serve = x\n[testenv:other]\nredx = x\n[testenv:db]\nbase = lent\n[testenv:x]\nbase = other\n";
    let outcome = ini(lent)().run(["run"]).succeeds().explains("warning: unknown key `redy` in `[testenv:lent]`");
    assert_eq!(outcome.stderr.matches("unknown key").count(), 1, "{}", outcome.stderr);
    ini(ini_text)().run(["config", "--check"]).ends_with(1).explains("error: unknown key `redy` in `[testenv:db]`\n");
    assert_eq!(ini(ini_text)().run(["run", "-qq"]).succeeds().stderr, "");
    let toml = "no_package = true\nenv_list = [\"a\"]\n[env.a]\nruntime = \"system\"\nallowlist_externals = [\"*\"]\n\
                commands = [[\"true\"]]\n[env.db]\nruntime = \"system\"\nserve = \"sleep 60\"\nredy = \"exit\"\n";
    Project::new().file("tox.toml", toml).run(["run"]).succeeds().explains("warning: unknown key `redy` in `[env.db]`");
    let inherited =
        toml.replace("redy = \"exit\"\n", "").replace("[env.a]", "[env_run_base]\nredy = \"exit\"\n[env.a]");
    let outcome = Project::new().file("tox.toml", &inherited).run(["run"]).succeeds();
    outcome.explains("warning: unknown key `redy` in `[env_run_base]`");
    // A section of any name that it inherits from, the defaults of all, and a template.
    for (section, text) in [
        ("[common]", "[common]\nredy = exit\n[testenv:db]\nbase = common\n"),
        ("[common]", "[common]\nredy = exit\nserve = sleep 60\n[testenv:db]\nbase = x, common\n"),
        ("[DEFAULT]", "[DEFAULT]\nredy = exit\n[testenv:db]\n"),
        ("[testenv:d{b,c}]", "[testenv:d{b,c}]\nredy = exit\n"),
    ] {
        let serve = if text.contains("serve") { "" } else { "serve = sleep 60\n" };
        let text = format!(
            "[tox]\nno_package = true\nenv_list = a\n[testenv:a]\ncommands = python -c 1\n{text}{serve}[other]\nredy = x\n"
        );
        let project = ini(&text);
        let outcome = project().run(["run"]).succeeds();
        let outcome = outcome.explains(&format!("warning: unknown key `redy` in `{section}`"));
        let outcome = outcome.explains("did you mean `ready`?");
        assert_eq!(outcome.stderr.matches("unknown key").count(), 1, "{outcome:?}");
        let outcome = project().run(["config", "--check"]).ends_with(1);
        assert_eq!(marked(&outcome.stderr)[0], "redy", "{outcome:?}");
    }
    for (section, text) in [
        ("[common]", "[common]\nredy = \"exit\"\n[env.db]\nbase = [\"common\"]\nserve = \"x\"\n"),
        ("[env.lent]", "[env.lent]\nredy = \"exit\"\n[env.db]\nbase = [\"lent\"]\nserve = \"x\"\n"),
        ("[env_base.db]", "[env_base.db]\nfactors = [\"a\"]\nredy = \"exit\"\nserve = \"x\"\n"),
    ] {
        let text =
            format!("no_package = true\nenv_list = [\"a\"]\n[env.a]\ncommands = [[\"python\", \"-c\", \"1\"]]\n{text}");
        let project = || Project::new().file("tox.toml", &text);
        project().run(["run"]).succeeds().explains(&format!("warning: unknown key `redy` in `{section}`"));
        let outcome = project().run(["config", "--check"]).ends_with(1);
        assert_eq!(marked(&outcome.stderr)[0], "redy", "{outcome:?}");
    }
    // Of others tox says what it says.
    let other = ini_text.replace("serve = sleep 60\n", "");
    assert!(!ini(&other)().run(["run"]).stderr.contains("redy"));
}
