//! Tests `envo submit slurm`, with a scheduler that runs an array on this machine, one task after the other.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::support::gate::Gate;
use crate::support::project::Project;

/// The second task of the first array is lost with its node.
const SBATCH: &str = r#"#!/bin/sh
for argument; do
    case $argument in --array=*) tasks=${argument#--array=} ;; esac
done
echo "$@" >> sbatch.txt
code=0
for task in $(echo "$tasks" | tr , ' '); do
    if [ "$task" = 2 ] && [ ! -e lost ]; then
        touch lost
        continue
    fi
    SLURM_ARRAY_TASK_ID=$task sh "$argument" > output.txt 2>&1 || code=$?
done
exit $code
"#;

const INI: &str = "[tox]\nno_package = true\nenv_list = a, b, c, last\n[testenv]\nruntime = system\n\
                   allowlist_externals = *\ncommands = test -n '{posargs}'\n[testenv:c]\ncommands = sh -c 'exit 3'\n\
                   [testenv:last]\ndepends = a, b, c\n";

/// A project with programs of its own on PATH.
fn project(programs: &[(&str, &str)]) -> Project {
    let project = Project::new().ini(INI);
    let path = format!("{}:{}", project.path("bin").display(), std::env::var("PATH").expect("it is set"));
    let project = project.variable("PATH", &path);
    for (name, text) in programs {
        let program = project.path("bin").join(name);
        fs::create_dir_all(project.path("bin")).expect("a folder can be made");
        fs::write(&program, text).expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is this test's own");
    }
    project
}

#[test]
fn slices_run_as_jobs_and_come_back_as_one_run() {
    let project = project(&[("sbatch", SBATCH)]);
    let words = ["submit", "slurm", "--shards", "3", "--partition", "short", "--result-json", "all.json", "--", "x"];
    let outcome = project.run(words).ends_with(1).says("a: OK").says("b: OK").says("c: FAIL code 3").says("last: OK");
    outcome.explains("3 slices handed in as envo-run-").explains("1 slice without a result: 2, again");
    let results: serde_json::Value =
        serde_json::from_slice(&fs::read(project.path("all.json")).expect("it was written")).expect("JSON");
    assert_eq!(results["testenvs"].as_object().expect("environments").len(), 4);
    let calls = fs::read_to_string(project.path("sbatch.txt")).expect("it was called");
    let arrays: Vec<&str> = calls.split(' ').filter(|word| word.starts_with("--array")).collect();
    assert_eq!(arrays, ["--array=1,2,3", "--array=2", "--array=1"], "the last is what comes after all slices");
    assert_eq!(calls.matches("--wait --requeue").count(), 3);
    assert_eq!(calls.matches("--partition=short").count(), 3);
    // Every attempt works in a folder of its own.
    let runs =
        fs::read_dir(project.path(".tox/slurm")).expect("a folder").next().expect("a run").expect("a folder").path();
    let mut folders: Vec<String> = fs::read_dir(runs.join("work"))
        .expect("folders")
        .map(|entry| entry.expect("a folder").file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    assert_eq!(folders, ["after-1-1-0", "slice-1-1-0", "slice-2-2-0", "slice-3-1-0"]);
}

#[test]
fn an_interrupt_cancels_the_jobs() {
    let gate = Gate::new();
    let sbatch = format!("#!/usr/bin/env bash\n{}tell handed-in\nexec sleep 3600\n", gate.bash());
    let project = project(&[("sbatch", &sbatch), ("scancel", "#!/bin/sh\necho \"$@\" > scancel.txt\n")]);
    let running = project.start(["submit", "slurm"]);
    assert_eq!(gate.next(), "handed-in");
    running.signal(Signal::INT);
    let ended = running.end();
    assert_eq!(ended.code, 128 + 2, "{}", ended.printed);
    let called = fs::read_to_string(project.path("scancel.txt")).expect("it was called");
    assert!(called.starts_with("--name=envo-run-"), "{called}");
    assert!(ended.printed.contains("cancelled envo-run-"), "{}", ended.printed);
    assert_eq!(project.processes(), [""; 0]);
}

#[test]
fn what_cannot_be_submitted_is_an_error() {
    let path = std::env::var("PATH").expect("it is set");
    let without = Project::new().ini(INI).variable("PATH", &path);
    if which::which("sbatch").is_err() {
        without.run(["submit", "slurm"]).ends_with(254).says("`sbatch` is not on PATH");
    }
    without.run(["submit", "slrum"]).ends_with(2).explains("slurm");
    let refusing = "#!/bin/sh\necho 'sbatch: error: invalid partition specified: shrot' >&2\nexit 1\n";
    let refused = project(&[("sbatch", refusing)]);
    refused.run(["submit", "slurm"]).ends_with(254).says("invalid partition specified: shrot");
    refused.run(["submit", "slurm", "--shards", "0"]).ends_with(254).says("--shards must be a number from 1 to 10000");
    let lost = project(&[("sbatch", "#!/bin/sh\n")]);
    lost.run(["submit", "slurm"]).ends_with(254).says("1 slice without a result: 1").explains("their output is in");
}
