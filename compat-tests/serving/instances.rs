//! Tests several instances of one service: per worker or test of a client, or as many as requested.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::serving::supervisor::{Connection, project, states};
use crate::support::gate::Gate;

const CONFIGURATION: &str = r#"
[tox]
no_package = true
env_list = app

[testenv]
ready = log:ready now

[testenv:shared]
serve = python service.py shared

[testenv:db]
serve = python service.py db-{instance}
ports = sql
share = worker
depends = shared

[testenv:migrate]
depends = db
commands = python -c "from gate import tell; tell('migrated')"

[testenv:api]
serve = python service.py api {service:db:port}
depends = migrate, db
set_env = ADDRESS = {service:db:url}

[testenv:mail]
serve = python service.py mail
share = test
"#;

fn names(answer: &Value) -> Vec<String> {
    let list = answer["ok"]["instances"].as_array().unwrap_or_else(|| panic!("instances: {answer}"));
    let mut names: Vec<String> = list.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

fn instance<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut list = answer["ok"]["instances"].as_array().into_iter().flatten();
    list.find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} is not in {answer}"))
}

fn hold(connection: &mut Connection, name: &str, worker: Option<&str>, test: Option<&str>) -> Value {
    connection.ask(&json!({"id": 5, "op": "hold", "names": [name], "worker": worker, "test": test}))
}

#[test]
fn a_client_holds_services_of_its_own_and_shares_the_others() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    // Whoever was told of a service once knows it from then on.
    project.run(["up", "-e", "api,mail", "--wait"]).succeeds();
    gate.all();
    let (mut one, _) = Connection::greeted(&project);
    let (mut other, _) = Connection::greeted(&project);
    let answer = hold(&mut one, "api", Some("gw0"), None);
    assert_eq!(names(&answer), ["api@gw0", "db@gw0", "migrate@gw0", "shared"], "{answer}");
    let db = instance(&answer, "db@gw0");
    assert_eq!(
        (&db["environment"], &db["variables"]["ENVO_DB_PORT"]),
        (&json!("db"), &json!(db["ports"][0][1].to_string()))
    );
    assert!(db["pid"].is_u64() && db["log"].as_str().is_some_and(|path| path.ends_with("/log/db@gw0.log")), "{db}");
    let port = |answer: &Value, name: &str| instance(answer, name)["ports"][0][1].as_u64();
    let second = hold(&mut other, "api", Some("gw1"), None);
    assert_ne!(port(&second, "db@gw1"), port(&answer, "db@gw0"), "each has a port of its own");
    assert_eq!(gate.all(), ["db-gw0 up", "migrated", "api up", "db-gw1 up", "migrated", "api up"]);
    let log = one.ask(&json!({"id": 6, "op": "logs", "name": "api@gw0", "since": 0, "lines": 2}));
    let expected = format!("api {}\nready now\n", port(&answer, "db@gw0").expect("it has a port"));
    assert_eq!(log["ok"]["log"], json!({"text": expected, "truncated": false}));
    // The same worker in another process means the same instances.
    assert_eq!(names(&hold(&mut other, "db", Some("gw0"), None)), ["db@gw0", "shared"]);
    assert_eq!(gate.all(), [""; 0]);
    drop(one);
    assert_eq!(gate.next(), "api down");
    let left = other.ask(&json!({"id": 7, "op": "release", "names": ["db@gw0"]}));
    assert!(
        left["ok"]["released"]["stopped"].as_array().is_some_and(|names| names.contains(&json!("db@gw0"))),
        "{left}"
    );
    assert_eq!(gate.all(), ["db-gw0 down"]);
    drop(other);
    assert_eq!([gate.next(), gate.next()], ["api down", "db-gw1 down"]);
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn instances_for_single_tests_come_and_go_and_their_places_are_used_again() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "shared,mail", "--wait"]).succeeds();
    let (mut one, _) = Connection::greeted(&project);
    for number in 0..5 {
        let test = format!("gw0-test_{number}");
        let answer = hold(&mut one, "mail", Some("gw0"), Some(&test));
        assert_eq!(names(&answer), [format!("mail@{test}")]);
        one.ask(&json!({"id": 7, "op": "release"}));
    }
    assert_eq!(states(&project), "mail=ready shared=ready", "what is over is not told of");
    let bad = hold(&mut one, "mail", Some("gw0"), Some("a/b"));
    assert_eq!(bad["error"]["kind"], "configuration");
    let unknown = hold(&mut one, "no-such", None, None);
    assert_eq!(unknown["error"]["kind"], "unknown", "{unknown}");
    project.run(["down"]).succeeds();
}

#[test]
fn what_a_client_wants_kept_is_there_for_the_next_one() {
    let gate = Gate::new();
    let project = project(&gate, CONFIGURATION);
    project.run(["up", "-e", "shared,mail", "--wait"]).succeeds();
    let (mut one, _) = Connection::greeted(&project);
    let answer = one.ask(&json!({"id": 5, "op": "hold", "names": ["mail"], "test": "a", "ttl": 600}));
    let pid = answer["ok"]["instances"][0]["pid"].clone();
    drop(one);
    let (mut next, _) = Connection::greeted(&project);
    assert_eq!(hold(&mut next, "mail", None, Some("a"))["ok"]["instances"][0]["pid"], pid);
    // `down` would leave it for the time it was wanted.
    assert_eq!(next.ask(&json!({"id": 6, "op": "shutdown"}))["ok"], "done");
    assert!(std::iter::from_fn(|| next.read()).all(|news| news["error"].is_null()), "it ends without a complaint");
}

const SEVERAL: &str = r#"
[tox]
no_package = true
[testenv]
ready = log:ready now
[testenv:web]
serve = python service.py web-{instance}
ports = http
url = http://{host}:{port}
instances = 2
[testenv:balancer]
serve = python service.py balancer {service:web:urls} {service:web@2:port}
depends = web
"#;

#[test]
fn a_service_has_as_many_instances_as_it_says_or_as_somebody_wants() {
    let gate = Gate::new();
    let project = project(&gate, SEVERAL);
    project.run(["up", "-e", "balancer", "--wait"]).succeeds();
    let up: BTreeSet<String> = [gate.next(), gate.next()].into();
    assert_eq!(up, BTreeSet::from(["web-1 up".to_owned(), "web-2 up".to_owned()]));
    assert_eq!(gate.next(), "balancer up");
    assert_eq!(states(&project), "balancer=ready web=ready web@2=ready");
    let listed = Connection::greeted(&project).0.ps();
    let url = |name: &str| {
        listed.iter().filter(|one| one["name"] == name).find_map(|one| one["url"].as_str().map(str::to_owned)).unwrap()
    };
    assert_ne!(url("web"), url("web@2"));
    let port = url("web@2").rsplit(':').next().unwrap().to_owned();
    let told = format!("balancer {},{} {port}\n", url("web"), url("web@2"));
    let log = std::fs::read_to_string(project.path(".tox/.envo/log/balancer.log")).unwrap();
    assert!(log.starts_with(&told), "{log}");
    project.run(["scale", "web=3", "--wait"]).succeeds().says("web@3");
    assert_eq!(gate.all(), ["web-3 up"], "nothing else is restarted");
    project.run(["scale", "web=1", "--wait"]).succeeds();
    assert_eq!(gate.all().into_iter().collect::<BTreeSet<_>>(), ["web-2 down", "web-3 down"].map(str::to_owned).into());
    assert_eq!(states(&project), "balancer=ready web=ready");
    project.run(["stop", "web"]).succeeds();
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}
