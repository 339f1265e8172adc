//! `envo import`: what it writes can be served.

use crate::project::Project;

#[test]
fn an_imported_procfile_runs() {
    let project = Project::new().file(
        "Procfile",
        "web: python -m http.server --bind 127.0.0.1 $PORT\nrelease: python -c \"print('released')\"\n",
    );
    let outcome = project.run(["import", "procfile", "--write"]).succeeds();
    assert!(outcome.stdout.contains("[testenv:web] [testenv:release]"), "{outcome:?}");
    let text = std::fs::read_to_string(project.path("tox.ini")).expect("it was written");
    std::fs::write(
        project.path("tox.ini"),
        format!("{text}\n[testenv:app]\ndepends = web\ncommands = python ask.py\n"),
    )
    .expect("it can be written");
    let ask =
        "import os, urllib.request as r\nprint(r.urlopen(os.environ['ENVO_WEB_URL'].replace('tcp', 'http')).status)\n";
    let outcome = project.file("ask.py", ask).run(["run", "-e", "app"]).succeeds();
    assert!(outcome.stdout.contains("\n200\n"), "{outcome:?}");
}

#[test]
fn a_compose_file_is_printed_and_what_is_left_is_said() {
    let compose = "services:\n  web:\n    image: example/web\n    command: run --port 80\n    ports: ['8080:80']\n    \
                   volumes: ['.:/app']\n";
    let project = Project::new().file("docker-compose.yml", compose);
    let outcome = project.run(["import", "compose"]).succeeds();
    assert_eq!(
        outcome.stdout,
        "[testenv:web]\nallowlist_externals = run\nserve = run --port {port:http}\nports = http=8080\n"
    );
    assert!(outcome.stderr.contains("web: `volumes` are not translated"), "{outcome:?}");
    assert!(!project.path("tox.ini").exists());
}

#[test]
fn an_environment_that_is_there_is_not_written_again() {
    let project = Project::new().ini("[testenv:web]\nserve = x\n").file("Procfile", "web: y\n");
    let outcome = project.run(["import", "procfile", "--write"]).ends_with(254);
    assert!(outcome.stdout.contains("has a section [testenv:web] already"), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(project.path("tox.ini")).expect("it is there"), "[testenv:web]\nserve = x\n");
}

#[test]
fn a_missing_file_is_named() {
    let outcome = Project::new().run(["import", "compose"]).ends_with(254);
    assert!(outcome.stdout.contains("there is no compose.yaml"), "{outcome:?}");
    let outcome = Project::new().run(["import", "honcho"]).ends_with(254);
    assert!(outcome.stdout.contains("`honcho` is none of"), "{outcome:?}");
    let outcome = Project::new().run(["import", "procfile", "nothing"]);
    assert!(outcome.code.is_some_and(|code| code != 0) && outcome.stderr.contains("/nothing`"), "{outcome:?}");
}
