//! What is left when a run is asked to stop: nothing, whatever the commands have started and however they cling to life.

use rustix::process::Signal;

use crate::gate::Gate;
use crate::project::Project;
use crate::running::Ended;

/// A command that starts one process of every kind that tends to survive, and ends when it is told to.
const TREE: &str = r#"
( trap "" TERM INT; tell stubborn; while :; do sleep 3600; done ) &
( tell background; exec sleep 3600 ) &
( setsid bash -c "$(declare -f tell); tell daemon; exec sleep 3600" & ) &
( trap "" HUP; tell deaf; exec nohup sleep 3600 ) &
trap 'exit 7' TERM INT
tell leader
while :; do sleep 3600 & wait $!; done
"#;

const KINDS: [&str; 5] = ["background", "daemon", "deaf", "leader", "stubborn"];

struct Tree {
    gate: Gate,
    project: Project,
}

impl Tree {
    fn new(more: &str) -> Self {
        let gate = Gate::new();
        let project = Project::new().file("tree.sh", &(gate.bash() + TREE)).ini(&format!(
            "[tox]\nno_package = true\nenv_list = a, b\n[testenv:a]\nallowlist_externals = bash\n\
             commands = bash tree.sh\n{more}\n[testenv:b]\ndepends = a\ncommands = python -c \"print('never')\"\n"
        ));
        Self { gate, project }
    }

    /// Starts the run, waits until all kinds of process are there, asks the run to stop and waits for its end.
    fn stop(&self, arguments: &[&str], signal: Signal) -> Ended {
        let running = self.project.start(arguments);
        let mut told = KINDS.map(|_| self.gate.next());
        told.sort();
        assert_eq!(told, KINDS);
        assert!(self.project.processes().len() > KINDS.len(), "{:?}", self.project.processes());
        running.signal(signal);
        running.end()
    }
}

#[test]
fn a_run_that_is_asked_to_stop_leaves_no_process_of_any_kind() {
    for arguments in [&["run"][..], &["run-parallel"], &["run-parallel", "--parallel-live"]] {
        let tree = Tree::new("");
        for (signal, code) in [(Signal::INT, 1), (Signal::TERM, 128 + 15), (Signal::HUP, 128 + 1)] {
            let ended = tree.stop(arguments, signal);
            let about = format!("{arguments:?} {signal:?}\n{}", ended.printed);
            assert_eq!(tree.project.processes(), [""; 0], "{about}");
            assert_eq!(ended.code, code, "{about}");
            for text in [
                "KeyboardInterrupt - teardown started\n",
                "ROOT: interrupt tox environment: a\n",
                "  a: FAIL code 7 ",
                "  b: ",
            ] {
                assert!(ended.printed.contains(text), "no `{text}` after {about}");
            }
            assert!(!ended.printed.contains("never"), "{about}");
        }
    }
}

#[test]
fn commands_after_the_others_run_after_an_interrupt_only_where_they_are_to() {
    for (setting, runs) in [("false", false), ("true", true)] {
        let more = format!("interrupt_post_commands = {setting}\ncommands_post = python -c \"print('tidied up')\"\n");
        let tree = Tree::new(&more);
        let ended = tree.stop(&["run"], Signal::INT);
        assert_eq!(ended.printed.contains("\ntidied up\n"), runs, "{}", ended.printed);
        assert_eq!(tree.project.processes(), [""; 0]);
    }
}
