//! Tests delegating to an installed real tox: plugins that only it can run.

use std::path::PathBuf;

use crate::support::machine;
use crate::support::project::Project;
use crate::support::real_tox;

const PLUGIN: &str = "from tox.plugin import impl

@impl
def tox_add_option(parser):
    parser.add_argument('--magic', action='store_true')

@impl
def tox_extend_envs():
    return ('conjured',)
";

/// A project whose host Python has tox.
fn beside_tox() -> Project {
    let folder = real_tox::program(&[]).parent().map(PathBuf::from).expect("a program lies in a folder");
    let path = format!("{}:{}", folder.display(), machine::search_path(false).display());
    Project::new().variable("PATH", &path).ini("[tox]\nno_package = true\nenv_list = a\n")
}

#[test]
fn a_plugin_of_the_project_is_run_by_the_tox_beside_the_host_python() {
    let project = beside_tox().file("toxfile.py", PLUGIN);
    project.run(["--magic", "list"]).succeeds().says("conjured -> [no description]\n").never_says("install_deps");
    assert!(!project.path(".tox/.tox").exists(), "nothing has to be provided");
    project.run(["run", "--nonsense"]).ends_with(254).says("unrecognized arguments: --nonsense");
}

#[test]
fn a_plugin_of_the_project_tells_of_itself_in_help_and_version() {
    let project = beside_tox().file("toxfile.py", PLUGIN).file("sub/empty.txt", "");
    project.run(["-h"]).succeeds().says("--magic");
    project.run(["run", "--help"]).succeeds().says("--magic");
    project.run(["--version"]).succeeds().says("inline plugin:");
    project.run_in("sub", ["--help", "-c", "../missing.ini"]).succeeds().says("--magic");
    project.run(["--help", "-c", "sub"]).succeeds().never_says("--magic");
}

#[test]
fn help_needs_no_other_tox() {
    let project = Project::new().ini("").file("toxfile.py", PLUGIN);
    project.run(["-h"]).succeeds().says("usage: envo").never_says("--magic");
    beside_tox().run(["-h"]).succeeds().says("usage: envo");
}

#[test]
fn the_host_python_is_called_as_the_tox_beside_it_calls_it() {
    let project = || beside_tox().ini("[tox]\nno_package = true\nrequires = tox-nothing-of-that-name\n");
    let arguments = ["config", "--no-provision"];
    let tox = project().run_tox(arguments).ends_with(254);
    assert_eq!(project().run(arguments).ends_with(254).stdout, tox.stdout);
}
