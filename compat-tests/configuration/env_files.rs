//! Tests `env_file`: variables of environments from files.

use crate::support::project::Project;

#[test]
fn env_file_is_read_as_compose_reads_it() {
    let show = "python -c \"import os; print([os.environ.get(n) for n in 'ABCDE'])\"";
    let ini = format!(
        "[tox]\nno_package = true\nenv_list = app\n[testenv:app]\nenv_file =\n    one.env\n    two.env\nset_env =\n    C = set\n    D = \
         own\ncommands = {show}\n"
    );
    let one = "\u{feff}A='Let\\'s go!'\r\nB=\"${HOST_NAME:-none} $D\"\r\nC=lost\r\n";
    let project = Project::new().ini(&ini).file("one.env", one).file("two.env", "HOST_NAME\nE=${A} #1\n");
    let expected = "[\"Let's go!\", 'none own', 'set', 'own', \"Let's go!\"]";
    project.run(["run"]).ends_with(0).says(expected);
    let outcome = project.variable("HOST_NAME", "outside").run(["run"]).ends_with(0);
    assert!(outcome.says("'outside own'").stderr.is_empty());
}

#[test]
fn what_env_file_cannot_hold_is_an_error_with_file_and_line() {
    let ini = "[tox]\nno_package = true\nenv_list = app\n[testenv:app]\nenv_file = app.env\ncommands = python -c 1\n";
    let table = [
        ("A=1\nV='Let's go!'\n", "app.env:2: text follows the closing quote: `s go!'`"),
        ("A=1\n\nV=\"open\n", "app.env:3: the quote is not closed"),
        ("V=${NO_SUCH:?say which}\n", "app.env:1: the required variable `NO_SUCH` is missing: say which"),
    ];
    for (text, expected) in table {
        let project = Project::new().ini(ini).file("app.env", text);
        for command in [&["run"] as &[&str], &["config", "--check"]] {
            let outcome = project.run(command);
            let all = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(outcome.code != Some(0) && all.contains(expected), "{outcome:?}");
        }
    }
    let project = Project::new().ini(ini).file("app.env", "PASSWORD=pa$word\n");
    let outcome = project.run(["run"]).ends_with(0);
    assert!(
        format!("{}{}", outcome.stdout, outcome.stderr).contains("`PASSWORD` uses `$word`, which is not set"),
        "{outcome:?}"
    );
    project.run(["config", "--check"]).ends_with(0);
}
