//! Tests `envo import`: the services it writes can be started.

use crate::support::project::{Outcome, Project};

/// Projects that Docker Compose runs, and how many services they have.
const COMPOSE_PROJECTS: [(&str, usize); 6] = [
    ("flask-redis", 2),
    ("django-postgres", 3),
    ("node-mongo", 4),
    ("nginx-front", 3),
    ("rails-like", 4),
    ("worker-rabbitmq", 5),
];

/// A copy of a project that Docker Compose runs, with its environments written.
fn imported(name: &str) -> (Project, Outcome) {
    let project = Project::fixture(&format!("compose/{name}"));
    let outcome = project.run(["import", "compose", "--write"]).succeeds();
    (project, outcome)
}

#[test]
fn what_is_written_for_compose_projects_passes_the_check() {
    for (name, total) in COMPOSE_PROJECTS {
        let (project, outcome) = imported(name);
        let last = outcome.stderr.lines().last().unwrap_or_default().to_owned();
        // How many of them can run depends on the programs of the machine.
        assert!(last.contains(&format!(" of {total} services can run as they are")), "{name}: {last}");
        let outcome = project.run(["config", "--check"]).succeeds();
        assert!(outcome.stdout.contains("no problems found"), "{name}: {outcome:?}");
    }
}

#[test]
fn flask_and_redis_run_as_they_were_written_for_compose() {
    let (project, _) = imported("flask-redis");
    let ask = "import urllib.request as r, os\nprint(r.urlopen(os.environ['ENVO_WEB_URL'].replace('tcp', 'http')).read().decode())\n";
    let ini = std::fs::read_to_string(project.path("tox.ini")).expect("it was written");
    // The port in the file may be in use on this machine.
    let ini = ini.replace("http=8000", "http");
    let project =
        project.file("ask.py", ask).ini(&format!("{ini}\n[testenv:app]\ndepends = web\ncommands = python ask.py\n"));
    let outcome = project.run(["run", "-e", "app"]).succeeds();
    assert!(outcome.stdout.contains("Welcome to: "), "{outcome:?}");
}

#[test]
fn django_and_postgres_run_as_they_were_written_for_compose() {
    let (project, _) = imported("django-postgres");
    let ask =
        "import urllib.request as r, os\nprint(r.urlopen(os.environ['ENVO_SITE_URL'] + '/notes').read().decode())\n";
    let ini = std::fs::read_to_string(project.path("tox.ini")).expect("it was written").replace("http=8080", "http");
    let project =
        project.file("ask.py", ask).ini(&format!("{ini}\n[testenv:app]\ndepends = site\ncommands = python ask.py\n"));
    for _ in 0..2 {
        let outcome = project.run(["run", "-e", "app"]).succeeds();
        assert!(outcome.stdout.contains("made by the; first start"), "{outcome:?}");
    }
}

#[test]
fn a_compose_file_cannot_write_a_section_or_take_the_memory() {
    let evil = "services:\n  web:\n    image: python\n    command: python a.py\n    environment:\n      \"A\\n[testenv:evil]\\ncommands\": x\n";
    let project = Project::new().file("compose.yaml", evil);
    let outcome = project.run(["import", "compose", "--write"]).succeeds();
    assert!(
        outcome.stderr.contains("web: `A\\n[testenv:evil]\\ncommands` is not a valid variable name"),
        "{outcome:?}"
    );
    assert!(!std::fs::read_to_string(project.path("tox.ini")).expect("it was written").contains("evil"));
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    }
    for text in [laughs, "[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        let project = Project::new().file("compose.yaml", &text);
        // A million kilobytes of address space.
        let command = format!("ulimit -v 1000000; exec {} import compose", env!("CARGO_BIN_EXE_envo"));
        let outcome = project.run_program("sh", &["-c", &command]).ends_with(254);
        assert!(outcome.stdout.contains("it is not valid YAML: line "), "{outcome:?}");
    }
}

#[test]
fn a_new_file_does_not_hide_the_configuration_of_the_project() {
    let project = Project::new().file("tox.toml", "env_list = []\n").file("Procfile", "web: y\n");
    let outcome = project.run(["import", "procfile", "--write"]).ends_with(254);
    assert!(outcome.stdout.contains("the project is configured by tox.toml"), "{outcome:?}");
    assert!(!project.path("tox.ini").exists());
}

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
                   user: nobody\n";
    let project = Project::new().file("docker-compose.yml", compose);
    let outcome = project.run(["import", "compose"]).succeeds();
    assert_eq!(
        outcome.stdout,
        "[tox]\nno_package = true\n\n[testenv:web]\nruntime = system\nports = http=8080\nserve = run --port {port:http}\n"
    );
    assert!(outcome.stderr.contains("web: `user` is not translated: "), "{outcome:?}");
    assert!(outcome.stderr.ends_with("0 of 1 service can run as they are; look at web\n"), "{outcome:?}");
    assert!(!project.path("tox.ini").exists());
}

#[test]
fn an_environment_that_is_there_is_not_written_again() {
    let project = Project::new().ini("[testenv:web]\nserve = x\n").file("Procfile", "web: y\n");
    let outcome = project.run(["import", "procfile", "--write"]).ends_with(254);
    assert!(outcome.stdout.contains("already has a section [testenv:web]"), "{outcome:?}");
    assert_eq!(std::fs::read_to_string(project.path("tox.ini")).expect("it is there"), "[testenv:web]\nserve = x\n");
}

#[test]
fn a_missing_file_is_named() {
    let outcome = Project::new().run(["import", "compose"]).ends_with(254);
    assert!(outcome.stdout.contains("there is no compose.yaml"), "{outcome:?}");
    let outcome = Project::new().run(["import", "honcho"]).ends_with(254);
    assert!(outcome.stdout.contains("pip-tools and at most one file, not `honcho`"), "{outcome:?}");
    let outcome = Project::new().run(["import", "procfile", "nothing"]);
    outcome.says("/nothing`: No such file").ends_with(254);
}
