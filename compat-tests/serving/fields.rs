//! Tests that fields of services are replaced in the configuration's own text, and never in external input.

use crate::support::project::Project;

/// What reads its words and variables writes them down.
const SHOW: &str = r#"
import json, os, sys, time
names = ("PASSED", "FROM_FILE", "MIXED", "WRITTEN", "TOX_FILE", "BYTES")
seen = {"words": sys.argv[2:], **{name: os.environb.get(name.encode(), b"").decode("latin-1") for name in names}}
with open(sys.argv[1] + ".part", "w") as file:
    json.dump(seen, file, indent=0)
os.rename(sys.argv[1] + ".part", sys.argv[1])
if sys.argv[1] == "service.json":
    print("up with {port}", flush=True)
    time.sleep(1000)
"#;

const INI: &str = r#"
[tox]
no_package = true
[testenv]
runtime = system
allowlist_externals = *
pass_env = PASSED, BYTES
env_file = compose.env
[testenv:Svc1]
ports = http=PORT
set_env =
    file|tox.env
    MIXED = {env:PASSED}/{port}
    WRITTEN = {port} on {host}
serve = python3 show.py service.json {port} "{env:PASSED}" {glob:*.txt} '{env:NESTED}'
ready = log:up with (?P<said>\S+)
url = x://{host}:{port}/{env:PASSED}/{said}
[testenv:app]
depends = Svc1
set_env =
    file|tox.env
    MIXED = {env:PASSED}/{service:Svc1:port}
    WRITTEN = {service:Svc1:url}
commands = python3 show.py app.json {service:Svc1:port} "{env:PASSED}" {posargs}
"#;

const TOML: &str = r#"
no_package = true
[env_run_base]
runtime = ["system"]
allowlist_externals = ["*"]
pass_env = ["PASSED", "BYTES"]
env_file = ["compose.env"]
[env.Svc1]
ports = ["http=PORT"]
set_env = { file = "tox.env", MIXED = "{env:PASSED}/{port}", WRITTEN = "{port} on {host}" }
serve = ["python3", "show.py", "service.json", "{port}", { replace = "env", name = "PASSED" }, "{glob:*.txt}", "{env:NESTED}"]
ready = "log:up with (?P<said>\\S+)"
url = "x://{host}:{port}/{env:PASSED}/{said}"
[env.app]
depends = ["Svc1"]
set_env = { file = "tox.env", MIXED = "{env:PASSED}/{service:Svc1:port}", WRITTEN = "{service:Svc1:url}" }
commands = [["python3", "show.py", "app.json", "{service:Svc1:port}", "{env:PASSED}", { replace = "posargs", extend = true }]]
"#;

#[test]
fn values_from_outside_are_taken_as_they_are() {
    const OUTSIDE: &str = "{asctime} {port} {service:Svc1:url} {said}";
    const FILE: &str = "{host} {port:http} {service:nowhere:url} {";
    for (file, text) in [("tox.ini", INI), ("tox.toml", TOML)] {
        // The number is free as long as the test has the socket bound; the service does not listen.
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        drop(socket);
        let project = Project::new()
            .file(file, &text.replace("PORT", &port.to_string()))
            .file("show.py", SHOW)
            .file("compose.env", &format!("FROM_FILE='{FILE}'\n"))
            .file("tox.env", &format!("TOX_FILE={FILE}\n"))
            .file("{port}.txt", "")
            .variable("PASSED", OUTSIDE)
            .variable("NESTED", "{env:PASSED:}-{host}")
            .variable("BYTES", "{port} {instance}");
        project.run(["run", "-e", "app", "--", "{service:Svc1:url}", "{\"a\": {\"b\": 1}}"]).succeeds();
        let read = |name: &str| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(project.path(name)).unwrap()).unwrap()
        };
        let found = project.path("{port}.txt");
        let service = serde_json::json!({
            "words": [port.to_string(), OUTSIDE, found.to_str().unwrap(), format!("{OUTSIDE}-{{host}}")],
            "PASSED": OUTSIDE, "FROM_FILE": FILE, "TOX_FILE": FILE, "BYTES": "{port} {instance}",
            "MIXED": format!("{OUTSIDE}/{port}"), "WRITTEN": format!("{port} on 127.0.0.1"),
        });
        assert_eq!(read("service.json"), service, "{file}");
        let app = serde_json::json!({
            "words": [port.to_string(), OUTSIDE, "{service:Svc1:url}", "{\"a\": {\"b\": 1}}"],
            "PASSED": OUTSIDE, "FROM_FILE": FILE, "TOX_FILE": FILE, "BYTES": "{port} {instance}",
            "MIXED": format!("{OUTSIDE}/{port}"),
            "WRITTEN": format!("x://127.0.0.1:{port}/{OUTSIDE}/{{port}}"),
        });
        assert_eq!(read("app.json"), app, "{file}");
    }
}

#[test]
fn a_job_and_commands_around_a_service_take_values_from_outside_as_they_are() {
    let ini = "[tox]\nno_package = true\n[testenv]\nruntime = system\nallowlist_externals = *\n[testenv:db]\nports = \
               sql\nserve = sleep 1000\nready = alive\ncommands_pre = python3 show.py pre.json \
               {port} \"{env:PASSED}\"\n[testenv:migrate]\ndepends = db\ncommands = python3 show.py job.json \
               {service:db:port} \"{env:PASSED}\"\n[testenv:web]\ndepends = migrate, db\nserve = sleep \
               1000\n[testenv:app]\ndepends = web\ncommands = echo\n";
    let project = Project::new().ini(ini).file("show.py", SHOW).variable("PASSED", "{port} {service:db:url}");
    project.run(["run", "-e", "app"]).succeeds();
    for name in ["pre.json", "job.json"] {
        let text = std::fs::read_to_string(project.path(name)).unwrap();
        let seen: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(seen["words"][1], "{port} {service:db:url}", "{name}");
        assert!(seen["words"][0].as_str().is_some_and(|port| port.parse::<u16>().is_ok()), "{name} {seen}");
    }
}

/// Every way to say a command or a variable in which a brace is escaped, with what is there instead.
#[test]
fn an_escaped_brace_begins_no_field() {
    let project = Project::new().file("show.py", SHOW).ini(
        r#"
[tox]
no_package = true
[testenv]
runtime = system
allowlist_externals = *
[testenv:Svc1]
ports = http
set_env = WRITTEN = \{host} \{port\} {host}
serve = python3 show.py service.json {host} \{port\} "\{port\}" \{service:Svc2:url} \\{host}
ready = log:^up with \{port}$
url = x://\{host}/{host}
[testenv:app]
depends = Svc1
set_env = WRITTEN = \{service:Svc1:url\} {service:Svc1:url}
commands = python3 show.py app.json \{service:Svc1:port\} {service:Svc1:host} \{port} {env:NO:\{service:Svc9:url}}
"#,
    );
    project.run(["config", "--check"]).succeeds();
    project.run(["run", "-e", "app"]).succeeds();
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&std::fs::read_to_string(project.path(name)).unwrap()).unwrap()
    };
    let (service, app) = (read("service.json"), read("app.json"));
    let words = ["127.0.0.1", "{port}", "{port}", "{service:Svc2:url}", "\\127.0.0.1"];
    assert_eq!(service["words"], serde_json::json!(words));
    assert_eq!(service["WRITTEN"], "{host} {port} 127.0.0.1");
    assert_eq!(app["words"], serde_json::json!(["{service:Svc1:port}", "127.0.0.1", "{port}", "{service:Svc9:url}"]));
    assert_eq!(app["WRITTEN"], "{service:Svc1:url} x://{host}/127.0.0.1");
}
