//! Tests the choice of environments that a change affects, and of those that failed last.

use serde_json::{Value, json};

use crate::support::project::{Outcome, Project};

const SEVERAL: &str = "[tox]\nenv_list = unit, db, lint, docs, typed\n\
    [testenv]\nskip_install = true\n\
    [testenv:unit]\npackage = wheel\nskip_install = false\ndeps = -r requirements/test.txt\ncommands = pytest tests\n\
    [testenv:db]\ndepends = store\ncommands = pytest db-tests\ninputs = db-tests/\n\
    [testenv:store]\nserve = python store.py\ninputs = store.py\n\
    [testenv:lint]\ndeps = ruff\ncommands = ruff check .\ninputs_exclude = data/, *.txt\n\
    [testenv:docs]\nchange_dir = docs\ncommands = sphinx-build . out\ninputs = docs/\n\
    [testenv:typed]\ncommands = mypy src\n";

/// A repository whose branch `work` has left `main` after one commit.
fn repository() -> Project {
    let project = Project::new()
        .variable("GIT_CONFIG_GLOBAL", "/dev/null")
        .variable("GIT_AUTHOR_NAME", "a")
        .variable("GIT_AUTHOR_EMAIL", "a@example.org")
        .variable("GIT_COMMITTER_NAME", "a")
        .variable("GIT_COMMITTER_EMAIL", "a@example.org")
        .ini(SEVERAL)
        .file(".gitignore", ".tox\n")
        .file("pyproject.toml", "[project]\nname = 'one'\nversion = '1'\n")
        .file("requirements/test.txt", "-r base.txt\npytest\n")
        .file("requirements/base.txt", "six\n")
        .file("src/one.py", "")
        .file("tests/test_one.py", "")
        .file("db-tests/test_db.py", "")
        .file("store.py", "")
        .file("data/one.csv", "")
        .file("docs/index.rst", "")
        .file("README.md", "");
    git(&project, &["init", "-q", "-b", "main"]);
    commit(&project);
    git(&project, &["checkout", "-q", "-b", "work"]);
    project
}

fn git(project: &Project, arguments: &[&str]) -> Outcome {
    project.run_program("git", arguments).succeeds()
}

fn commit(project: &Project) {
    git(project, &["add", "-A"]);
    git(project, &["commit", "-q", "-m", "x"]);
}

fn affected(project: &Project) -> Vec<String> {
    let outcome = project.run(["list", "--affected", "--no-desc", "-q"]).succeeds();
    outcome.stdout.lines().map(str::to_owned).collect()
}

/// The environments that a change of one file affects.
#[track_caller]
fn affected_by(file: &str, text: &str, expected: &[&str]) {
    let project = repository().file(file, text);
    assert_eq!(affected(&project), expected, "{file}, not committed");
    commit(&project);
    assert_eq!(affected(&project), expected, "{file}, committed");
}

#[test]
fn a_file_affects_the_environments_that_it_is_an_input_of() {
    affected_by("src/one.py", "x", &["unit", "lint", "typed"]);
    affected_by("src/new.py", "", &["unit", "lint", "typed"]);
    affected_by("tests/test_one.py", "x", &["unit", "lint", "typed"]);
    affected_by("db-tests/test_db.py", "x", &["unit", "db", "lint", "typed"]);
    affected_by("data/one.csv", "x", &["unit", "typed"]);
    affected_by("docs/index.rst", "x", &["docs"]);
    affected_by("README.md", "x", &[]);
}

#[test]
fn a_service_affects_those_that_need_it() {
    affected_by("store.py", "x", &["unit", "db", "lint", "typed"]);
}

#[test]
fn requirement_files_affect_only_those_that_install_from_them() {
    affected_by("requirements/test.txt", "pytest\n", &["unit"]);
    affected_by("requirements/base.txt", "attrs\n", &["unit"]);
}

#[test]
fn a_setting_affects_the_environments_that_it_is_resolved_for() {
    affected_by("tox.ini", &SEVERAL.replace("deps = ruff", "deps = ruff>1"), &["lint"]);
    affected_by(
        "tox.ini",
        &SEVERAL.replace("[testenv]\n", "[testenv]\nset_env = A=1\n"),
        &["unit", "db", "lint", "docs", "typed"],
    );
    affected_by("tox.ini", &SEVERAL.replace("store.py\ninputs", "store.py --fast\ninputs"), &["db"]);
    affected_by("tox.ini", &SEVERAL.replace("[testenv:lint]\n", "[testenv:lint]\ndescription = fast\n"), &[]);
    affected_by("tox.ini", &format!("# a comment\n{SEVERAL}"), &[]);
    affected_by("tox.ini", &SEVERAL.replace("docs, typed", "docs, typed, new"), &["new"]);
    let all = ["unit", "db", "lint", "docs", "typed"];
    affected_by("tox.ini", &format!("{SEVERAL}[pytest]\naddopts = -x\n"), &all);
}

#[test]
fn reasons_are_given_for_every_environment() {
    let project = repository().file("docs/index.rst", "x");
    let outcome = project.run(["list", "--affected", "--explain", "--no-desc", "-q"]).succeeds();
    assert_eq!(outcome.stdout, "docs\n");
    let outcome = outcome.explains("docs: affected: `docs/index.rst` has changed, which its commands name");
    outcome.explains("unit: not affected: none of its inputs has changed");
    let text = project.run(["list", "--affected", "--explain", "--format", "json"]).succeeds().stdout;
    let listed: Vec<Value> = serde_json::from_str(&text).expect("it is JSON");
    let verdicts: Vec<(&Value, &Value)> = listed.iter().map(|one| (&one["name"], &one["affected"])).collect();
    assert_eq!(verdicts[0], (&json!("docs"), &json!(true)));
    assert_eq!(verdicts[1], (&json!("unit"), &json!(false)));
    project.run(["list", "--explain"]).ends_with(2).explains("only allowed with --affected");
    project.run(["list", "--base", "main"]).ends_with(2).explains("only allowed with --affected");
}

#[test]
fn the_base_is_what_the_user_or_the_ci_service_says_or_where_the_branch_began() {
    let project = repository().file("docs/index.rst", "1");
    commit(&project);
    let project = project.file("src/one.py", "2");
    commit(&project);
    assert_eq!(affected(&project), ["unit", "lint", "docs", "typed"]);
    let last = project.run(["list", "--affected", "--base", "HEAD~1", "--no-desc", "-q"]).succeeds();
    assert_eq!(last.stdout, "unit\nlint\ntyped\n");
    let first = git(&project, &["rev-parse", "main"]).stdout;
    let project = project.variable("CI_COMMIT_BEFORE_SHA", first.trim());
    assert_eq!(affected(&project), ["unit", "lint", "docs", "typed"]);
    // On the default branch itself, the commit before.
    let project = project.variable("CI_COMMIT_BEFORE_SHA", "0000000000");
    git(&project, &["checkout", "-q", "main"]);
    git(&project, &["merge", "-q", "--ff-only", "work"]);
    assert_eq!(affected(&project), ["unit", "lint", "typed"]);
    project.run(["list", "--affected", "--base", "gone"]).ends_with(254).says("`--base gone`: there is no such commit");
    project.run(["list", "--affected", "--base=--all"]).ends_with(254).says("there is no such commit");
}

#[test]
fn what_is_not_known_counts_as_affected() {
    let project = Project::new().ini("[tox]\nenv_list = a, b\nno_package = true\n");
    assert_eq!(affected(&project), ["a", "b"]);
    let outcome = project.run(["list", "--affected", "--explain"]).succeeds();
    outcome.explains("a: affected: it is not known what has changed: this is not a git repository");
    project.run(["list", "--affected", "--base", "main"]).ends_with(254).says("this is not a git repository");
    git(&project, &["init", "-q"]);
    assert_eq!(affected(&project), ["a", "b"]);
    // A configuration that could not be read before.
    let project = repository().ini("[tox\n");
    commit(&project);
    let project = project.ini(SEVERAL);
    let outcome = project.run(["list", "--affected", "--base", "HEAD", "--no-desc", "-q"]).succeeds();
    assert_eq!(outcome.stdout.lines().count(), 5);
    // A commit that was not fetched.
    let project = repository().variable("GITHUB_BASE_REF", "elsewhere");
    let outcome = project.run(["list", "--affected", "--explain", "--no-desc"]).succeeds();
    outcome.explains("GITHUB_BASE_REF names `origin/elsewhere`, which is not in this clone").says("docs");
}

#[test]
fn a_project_below_the_top_of_its_repository_is_compared_too() {
    let project =
        repository().file("below/tox.ini", "[tox]\nenv_list = a, b\nno_package = true\n[testenv:b]\ninputs = x\n");
    commit(&project);
    let project = project.file("below/y.py", "").file("src/one.py", "x");
    let outcome = project.run_in("below", ["list", "--affected", "--base", "HEAD", "--no-desc", "-q"]).succeeds();
    assert_eq!(outcome.stdout, "a\n");
    let outcome =
        project.file("below/x", "").run_in("below", ["list", "--affected", "--base", "HEAD", "--no-desc", "-q"]);
    assert_eq!(outcome.succeeds().stdout, "a\nb\n");
}

#[test]
fn settings_and_the_project_in_one_file_are_told_apart() {
    let pyproject = |dependency: &str, deps: &str| {
        format!(
            "[project]\nname = 'one'\nversion = '1'\ndependencies = ['{dependency}']\n[tool.tox]\nenv_list = ['a', 'b']\n\
             [tool.tox.env.a]\ndeps = ['{deps}']\n[tool.tox.env.b]\nskip_install = true\n"
        )
    };
    let start = || {
        let project = repository().file("pyproject.toml", &pyproject("six", "ruff"));
        std::fs::remove_file(project.path("tox.ini")).expect("it is there");
        commit(&project);
        git(&project, &["branch", "-f", "main"]);
        project
    };
    assert_eq!(affected(&start().file("pyproject.toml", &pyproject("six", "mypy"))), ["a"]);
    assert_eq!(affected(&start().file("pyproject.toml", &pyproject("attrs", "ruff"))), ["a", "b"]);
}

#[test]
fn an_invalid_pattern_is_named() {
    let project = repository().ini(&SEVERAL.replace("inputs = docs/", "inputs = docs/{"));
    project.file("a.py", "").run(["list", "--affected"]).ends_with(254).says("`inputs` of `docs`");
}

#[test]
fn a_run_of_nothing_affected_is_a_success() {
    let project = repository().file("README.md", "x");
    project.run(["run", "--affected"]).succeeds().explains("no selected environment is affected by the changes since");
    project.run(["run-parallel", "--affected", "--shard", "1/2"]).succeeds().explains("is affected");
}

#[test]
fn environments_that_failed_last_run_again() {
    let project = Project::new().ini(
        "[tox]\nenv_list = a, b, c\nno_package = true\n[testenv]\nallowlist_externals = *\ncommands = true\n\
         [testenv:b]\ncommands = test -e fixed\n",
    );
    project.run(["run", "--last-failed"]).succeeds().explains("no selected environment failed when it last ran");
    project.run(["run"]).ends_with(1);
    assert_eq!(project.run(["list", "--last-failed", "--no-desc", "-q"]).succeeds().stdout, "b\n");
    let project = project.file("fixed", "");
    project.run(["run", "--last-failed"]).succeeds().says("b: OK").never_says("a: OK");
    assert_eq!(project.run(["list", "--last-failed", "--no-desc", "-q"]).succeeds().stdout, "");
}
