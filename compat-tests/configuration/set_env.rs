//! Tests `set_env` with references to other settings, to files and to itself.

use crate::configuration::differential::same_as_tox;
use crate::support::project::Project;

const SHOW: [&str; 5] = ["config", "-e", "py", "-k", "set_env"];

#[test]
fn overrides_of_a_table_reach_those_who_refer_to_it() {
    let same = |toml: &str, value: &str| {
        let project = || {
            Project::new()
                .file("tox.toml", toml)
                .file("base.env", "file=literal\nMAGIC=base\n")
                .file("last.env", "MAGIC=last\nNEW={env:file}\n")
                .variable("BLOCK", "MAGIC=from-shell")
        };
        same_as_tox(project, ["config", "-e", "py", "-k", "set_env", "-x", value])
    };
    let whole = "set_env = { replace = \"ref\", of = [\"env_run_base\", \"set_env\"] }";
    let files = format!("[env_run_base]\nset_env = [{{ file = \"base.env\" }}, {{ A = \"1\" }}]\n[env.py]\n{whole}\n");
    same(&files, "env_run_base.set_env+=file|last.env").says("MAGIC=last\n").says("file=literal\n");
    let child = "[env_run_base]\nset_env.MAGIC = \"base\"\n[env.py]\n\
                 set_env = [{ replace = \"ref\", of = [\"env_run_base\", \"set_env\"] }, { BLOCK = \"MAGIC=child\" }]\n";
    same(child, "env_run_base.set_env+={env:BLOCK}").says("MAGIC=child\n");
    same(child, "env_run_base.set_env=MAGIC=other").says("MAGIC=other\n");
    let chosen = "[env_run_base]\nset_env = [{ MAGIC = \"base\" }]\n[env.py]\nset_env = [{ replace = \"if\", \
                  condition = \"env.HOME\", then = { replace = \"ref\", of = [\"env_run_base\", \"set_env\"], \
                  extend = true }, extend = true }]\n";
    same(chosen, "env_run_base.set_env+=MORE=1").says("MORE=1\n");
}

#[test]
fn only_what_has_the_shape_of_an_entry_may_be_one() {
    for (base, extend) in [("[{ A = \"1\" }]", "false"), ("{ A = \"1\" }", "true"), ("\"A=1\"", "false")] {
        let toml = format!(
            "[env_run_base]\nset_env = {base}\n[env.py]\npackage = \"skip\"\n\
             set_env = [{{ replace = \"ref\", of = [\"env_run_base\", \"set_env\"], extend = {extend} }}]\n"
        );
        let outcome =
            Project::new().file("tox.toml", &toml).run(["run", "-e", "py", "-x", "env_run_base.set_env+=B=2"]);
        let text = "set_env arrays require table references or array references with extend=true";
        outcome.ends_with(1).says(&format!("py: failed to load py.set_env: {text}\n"));
    }
}

#[test]
fn circles_are_told_as_tox_tells_them() {
    let ini = |text: &str| same_as_tox(|| Project::new().ini(text), SHOW);
    ini("[testenv]\nset_env = {[testenv:other]set_env}\n[testenv:other]\n")
        .says("circular chain detected testenv.set_env");
    ini("[testenv]\nset_env =\n  A = {env:B}x\n  B = {env:A}y\n");
    let toml = |text: &str| same_as_tox(|| Project::new().file("tox.toml", text), SHOW);
    toml("[env_run_base]\nset_env = \"{[env.other]set_env}\"\n[env.other]\n");
    toml("[env_run_base]\nset_env = { A = \"{env:B}x\", B = \"{env:A}y\" }\n")
        .says("failed to load py.set_env: circular chain between set env A, B");
    toml("[env_run_base]\nset_env = { replace = \"ref\", of = [\"env_run_base\", \"set_env\"] }\n");
}

#[test]
fn files_that_are_no_text_are_told_of() {
    let project = Project::new().ini("[testenv]\npackage = skip\nset_env = file|a.env\n");
    std::fs::write(project.path("a.env"), b"\xff\xfeA\x00").expect("the project is there");
    let reason = "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte";
    project
        .run(["run", "-e", "py"])
        .ends_with(1)
        .says(&format!("py: failed with [ROOT]/a.env cannot be read for set_env: {reason}\n"));
    let project =
        || Project::new().ini("[testenv]\nset_env = file|a.env\n").file("a.env", "\u{feff}A=1\rB=2\r\nexport C=3;4\n");
    same_as_tox(project, SHOW).says("  A=1\n  B=2\n  C=3;4\n");
}
