//! `config --check` tells everything that is wrong at once, with its place.

use crate::project::Project;

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
        ("circular chain detected", "tox.ini:12:1"),
        ("value 'perhaps' cannot be transformed to bool", "tox.ini:13:1"),
        ("missing.env does not exist", "tox.ini:14:1"),
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
