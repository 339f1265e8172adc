//! What environments share is what each of them would come to alone.

use super::*;
use crate::cli::options::{Options, Surroundings};
use crate::cli::{Parsed, parse};
use crate::model::interpreter::NoInterpreters;

fn options(folder: &std::path::Path, line: &str) -> Options {
    let words = std::iter::once("envo").chain(line.split_whitespace()).map(Into::into).collect::<Vec<_>>();
    let variables = [("TOX_USER_CONFIG_FILE", "/nonexistent/config.ini")];
    let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let surroundings = Surroundings { variables, current_dir: folder.to_owned(), stdout_is_terminal: false };
    match parse(&words, surroundings) {
        Ok(Parsed::Run(resolved)) => resolved.options,
        other => panic!("{line}: {other:?}"),
    }
}

fn plan(folder: &std::path::Path, (file, text): (&str, &str), line: &str) -> Plan {
    std::fs::write(folder.join("setup.py"), "").expect("written");
    std::fs::write(folder.join(file), text).expect("written");
    let plan = crate::plan::read(Arc::new(options(folder, line)), Arc::new(NoInterpreters));
    plan.unwrap_or_else(|error| panic!("{}\n{text}", error.message))
}

/// Looks at each environment both ways, and tells how many came to what others had come to.
fn shared(file: &str, text: &str, line: &str) -> usize {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = plan(folder.path(), (file, text), line);
    let (mut sketched, mut looker) = (0, plan.looker(true));
    for name in plan.settings.declared_names().expect("names") {
        let alone = plan.look(name, true).map_err(|error| error.message);
        let found = looker.look(name).map_err(|error| error.message);
        assert_eq!(found, alone, "{name} with {line}\n{text}");
        sketched += usize::from(looker.sketcher.as_mut().is_some_and(|one| one.sketch(name).is_some()));
    }
    sketched - looker.alike.len()
}

const OWN: [&str; 28] = [
    "",
    "usedevelop = true",
    "description = one\n  two\n\n  three",
    "description = for {env_name}",
    "description = a1: one\n  a2: two",
    "description =  one # two",
    "package = wheel",
    "package = wheel\npass_env = A, B",
    "package = wheel\npass_env = A B",
    "package = wheel\npass_env =\n  a1: A B\n  C",
    "passenv = A\n  B # C D",
    "package = editable\nset_env = file|nowhere.env",
    "package = editable\nsetenv = A = 1",
    "skip_install = true",
    "skip_install = perhaps",
    "usedevelop = true\nuse_develop = false",
    "runner = uv-venv-runner",
    "runner = nobody",
    "runner = uv-venv-lock-runner\npackage = uv",
    "base = other",
    "package_env = mine",
    "package = external",
    "package = wheel\nwheel_build_env = mine",
    "package = a1: wheel\n  a2: skip",
    "package = nonsense",
    "runtime = node",
    "package = {[other]package}",
    "deps = x\ncommands = y",
];

fn ini(head: &str) -> String {
    let mut text = format!("[tox]\nenv_list = only-a1, only-a2, only-a3\n{head}\n[other]\npackage = sdist\n");
    for (at, own) in OWN.iter().enumerate() {
        text.push_str(&format!("[testenv:e{at}-a1]\n{own}\n[testenv:e{at}-{{a2,a3}}]\n{own}\n"));
    }
    text
}

#[test]
fn what_environments_of_an_ini_file_share_is_what_each_would_come_to_alone() {
    let overrides = [
        "",
        "-x testenv.package=wheel",
        "-x testenv.description={env_name}",
        "-x testenv.pass_env+=A,B",
        "-x testenv:e0-a1.package=skip",
        "-x testenv:only-a2.package=nonsense",
        "--develop",
    ];
    for line in overrides.map(|words| format!("list {words}")) {
        for own in OWN {
            shared("tox.ini", &ini(&format!("[testenv]\n{own}")), &line);
        }
        shared("tox.ini", &ini("[DEFAULT]\npackage = wheel\n[testenv:only-a1]\npackage = skip"), &line);
        let refers = line.contains('{');
        assert!(refers || shared("tox.ini", &ini(""), &line) > 20, "{line}");
    }
}

const OWN_TABLES: [&str; 21] = [
    "",
    "use_develop = true",
    "description = ' one '",
    "description = 'for {env_name}'",
    "description = { replace = 'env', name = 'X', default = 'one' }",
    "description = 1",
    "package = 'wheel'",
    "package = 'wheel'\npass_env = ['A', 'B']",
    "package = 'wheel'\npass_env = ['A B']",
    "package = 'wheel'\npass_env = [{ replace = 'env', name = 'X', default = 'A B' }]",
    "package = 'editable'\nset_env = { file = 'nowhere.env' }",
    "package = 'editable'\nsetenv = { A = '1' }",
    "skip_install = true",
    "skip_install = 'true'",
    "usedevelop = true\nuse_develop = false",
    "runner = 'uv-venv-runner'",
    "base = ['other']",
    "package = 'wheel'\nwheel_build_env = 'mine'",
    "runtime = ['node']",
    "package = { replace = 'ref', of = ['other', 'package'] }",
    "deps = ['x']",
];

#[test]
fn what_environments_of_a_toml_file_share_is_what_each_would_come_to_alone() {
    let all = |head: &str| {
        let names = "env_list = ['only-a1', 'only-a2']\nother.package = 'sdist'\n";
        let mut text = format!("{names}{head}\n[env_base.t]\nfactors = ['a1', 'a2']\npackage = 'skip'\n");
        for (at, own) in OWN_TABLES.iter().enumerate() {
            text.push_str(&format!("[env.e{at}-a1]\n{own}\n[env.e{at}-a2]\n{own}\n"));
        }
        text
    };
    for line in ["list", "list -x env_run_base.package=wheel", "list -x env.e0-a1.package=skip"] {
        for own in OWN_TABLES {
            shared("tox.toml", &all(&format!("[env_run_base]\n{own}")), line);
        }
        shared("tox.toml", &format!("env.y = 1\n{}", all("")), line);
        assert!(shared("tox.toml", &all(""), line) > 10, "{line}");
    }
}
#[test]
fn nothing_is_shared_where_interpreters_tell_environments_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let sketches = |line: &str| {
        let text = "[tox]\nenv_list = py{311,312}\n[testenv]\npackage = wheel\n";
        plan(folder.path(), ("tox.ini", text), line).looker(false).sketcher.is_some()
    };
    assert_eq!(
        ["config", "config -e ALL", "config -f py311", "list -f py311"].map(sketches),
        [true, false, false, true]
    );
}
