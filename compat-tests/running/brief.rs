//! `--report brief`, and what commands of parallel runs are told about the processors.

use crate::support::project::Project;

const FAILING: &str = "[tox]\nenv_list = good, bad\nno_package = true\n[testenv]\nallowlist_externals = sh\n\
                       [testenv:good]\ncommands = sh -c 'echo from good'\n\
                       [testenv:bad]\ncommands = sh -c 'echo test_it.py:3: wrong; exit 4'\n";

#[test]
fn a_brief_report_has_failures_only_and_repeats_them() {
    let project = Project::new().ini(FAILING).file("test_it.py", "");
    for verb in ["run", "run-parallel"] {
        let outcome = project.run([verb, "--report", "brief", "--", "a b"]).ends_with(1);
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert!(lines[0].starts_with("bad: failed (exit code 4, "), "{lines:?}");
        assert_eq!(lines[1], "    test_it.py:3: wrong");
        assert!(lines[2].starts_with("  failed: commands[0] (exit code 4): sh -c "), "{lines:?}");
        assert_eq!(lines[3..5], ["  at:     test_it.py:3", "  log:    .tox/.envo/run/bad.log"]);
        assert!(lines[5].ends_with(" run -e bad -- 'a b'"), "{lines:?}");
        assert!(lines[6].starts_with("failed: 1 failed (bad), 1 passed ("), "{lines:?}");
        assert_eq!(lines.len(), 7);
        let log = std::fs::read_to_string(project.path(".tox/.envo/run/good.log")).expect("it is written");
        assert!(log.contains("good: commands[0]> ") && log.contains("\nfrom good\n"), "{log}");
    }
}

#[test]
fn the_variable_chooses_a_brief_report_and_the_option_wins() {
    let project = Project::new().ini(FAILING).variable("ENVO_REPORT", "brief");
    let brief = project.run(["run", "-e", "good"]).succeeds();
    assert!(brief.stdout.starts_with("ok: 1 passed (") && brief.stdout.lines().count() == 1, "{}", brief.stdout);
    project.run(["run", "-e", "good", "--report", "human"]).succeeds().says("congratulations :)");
    project.run(["list"]).succeeds().says("good");
    let wrong = project.variable("ENVO_REPORT", "short").run(["run", "-e", "good"]).succeeds();
    wrong.says("ROOT: ENVO_REPORT is `short`, must be one of human, json, brief").says("congratulations :)");
}

#[test]
fn parallel_commands_get_a_share_of_the_processors_unless_it_is_set() {
    let print = "sh -c 'echo {env_name}=$ENVO_CORES,$PYTEST_XDIST_AUTO_NUM_WORKERS.'";
    let ini = format!(
        "[tox]\nenv_list = a, b, c\nno_package = true\n[testenv]\nallowlist_externals = sh\ncommands = {print}\n\
         [testenv:b]\nparallel_share_cores = true\n\
         [testenv:c]\nparallel_share_cores = true\nset_env = ENVO_CORES = 7\n  PYTEST_XDIST_AUTO_NUM_WORKERS = 8\n"
    );
    let project = Project::new().ini(&ini);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let outcome = project.run(["run-parallel", "-p", "2", "--parallel-live"]).succeeds();
    let share = (cores / 2).max(1);
    outcome.says(&format!("a={share},.\n")).says(&format!("b={share},{share}.\n")).says("c=7,8.\n");
    project.run(["run", "-e", "a,b"]).succeeds().says("a=,.\n").says("b=,.\n");
}
