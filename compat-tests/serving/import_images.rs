//! Tests services from a compose file with known images: they run with the programs of the system's packages, and
//! clients find the data that the file specifies.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::geteuid;

use crate::support::machine;
use crate::support::project::{Outcome, Project};

const COMPOSE: &str = r#"
services:
  rabbit:
    image: rabbitmq:3.12-management-alpine
    environment:
      RABBITMQ_DEFAULT_USER: shop
      RABBITMQ_DEFAULT_PASS: s3cret
      RABBITMQ_DEFAULT_VHOST: orders
    ports: ["5672:5672"]
    healthcheck:
      test: rabbitmq-diagnostics -q ping
  maria:
    image: mariadb:11
    environment:
      MARIADB_ROOT_PASSWORD: root
      MARIADB_DATABASE: shop
      MARIADB_USER: shop
      MARIADB_PASSWORD: s3cret
    command: --character-set-server=utf8mb4 --collation-server=utf8mb4_unicode_ci
    ports: ["3306:3306"]
    healthcheck:
      test: ["CMD", "healthcheck.sh", "--connect", "--innodb_initialized"]
  pg:
    image: postgres:16-alpine
    environment:
      POSTGRES_USER: shop
      POSTGRES_PASSWORD: s3cret
      POSTGRES_DB: orders
    volumes: ["pg:/var/lib/postgresql/data", "./init.sql:/docker-entrypoint-initdb.d/init.sql:ro"]
    healthcheck:
      test: ["CMD-SHELL", "pg_isready -U shop -d orders"]
  redis:
    image: redis:7-alpine
    command: redis-server --appendonly yes --requirepass s3cret
    healthcheck:
      test: ["CMD", "redis-cli", "-a", "s3cret", "ping"]
  cache:
    image: memcached:1.6-alpine
    command: memcached -m 64 -I 2m -l 0.0.0.0
volumes: {pg: {}}
"#;

/// Speaks to the service that is its first argument by its second, the port, and prints what that has.
const ASK: &str = r#"
import glob, os, socket, subprocess, sys
service, port = sys.argv[1:]
def program(name):
    places = [name] + sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name)) + ["/usr/sbin/" + name]
    return next(one for one in places[1:] + places[:1] if os.path.exists(one) or one == name)
def said(*words):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as wire:
        lines = wire.makefile("rwb", buffering=0)
        for word in words:
            lines.write(word)
            yield lines
def run(*words):
    return subprocess.check_output([program(words[0]), *words[1:]], text=True).strip()
if service == "redis":
    for lines in said(b"AUTH s3cret\r\nPING\r\n"):
        print(lines.readline().strip().decode(), lines.readline().strip().decode())
elif service == "cache":
    for lines in said(b"stats settings\r\n"):
        print(*(line for line in iter(lambda: lines.readline().strip().decode(), "END") if "size_max" in line))
elif service == "pg":
    print(run("psql", "-h", "127.0.0.1", "-p", port, "-U", "shop", "-d", "orders", "-Atc", "SELECT id FROM items"))
elif service == "maria":
    print(run("mariadb", "-h", "127.0.0.1", "-P", port, "-ushop", "-ps3cret", "shop", "-Ne", "SELECT DATABASE(), @@character_set_server"))
elif service == "rabbit":
    def field(kind, text):
        return (bytes([len(text)]) if kind == "short" else len(text).to_bytes(4, "big")) + text
    def frame(payload):
        return b"\1\0\0" + field("long", payload) + b"\xce"
    def answered(wire):
        head = wire.read(7)
        return int.from_bytes(wire.read(int.from_bytes(head[3:], "big") + 1)[:4], "big")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as connection:
        wire = connection.makefile("rb")
        connection.sendall(b"AMQP\0\0\x09\1")
        assert answered(wire) == 0x000A000A
        plain = field("long", b"\0shop\0s3cret")
        connection.sendall(frame(b"\0\x0a\0\x0b" + field("long", b"") + field("short", b"PLAIN") + plain + field("short", b"en_US")))
        assert answered(wire) == 0x000A001E
        connection.sendall(frame(b"\0\x0a\0\x1f" + b"\x07\xff" + b"\0\2\0\0" + b"\0\0"))
        connection.sendall(frame(b"\0\x0a\0\x28" + field("short", b"orders") + b"\0\0"))
        print("opened" if answered(wire) == 0x000A0029 else "refused")
"#;

/// Each service with the program that has to be there, and what it answers.
const SERVICES: [(&str, &str, &str); 5] = [
    ("rabbit", "rabbitmq-server", "opened"),
    ("maria", "mariadbd", "shop\tutf8mb4"),
    ("pg", "postgres", "7"),
    ("redis", "redis-server", "+OK +PONG"),
    ("cache", "memcached", "STAT item_size_max 2097152"),
];

/// The services whose programs are installed.
fn installed() -> Vec<(&'static str, &'static str)> {
    let is_there = |program: &str| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders = versions.map(|version| version.path().join("bin")).chain(["/usr/sbin".into()]);
        machine::has(program) || folders.any(|folder| folder.join(program).exists())
    };
    let missing: Vec<&str> = SERVICES.iter().filter(|one| !is_there(one.1)).map(|one| one.1).collect();
    if !missing.is_empty() {
        machine::notice(&format!("not installed, so their images are not tried: {}", missing.join(", ")));
    }
    SERVICES.into_iter().filter(|one| is_there(one.1)).map(|one| (one.0, one.2)).collect()
}

fn check(project: &Project, envo: impl Fn(&[&str]) -> Outcome) {
    let services = installed();
    if services.is_empty() {
        return;
    }
    let names: Vec<&str> = services.iter().map(|one| one.0).collect();
    let names = names.join(",");
    envo(&["import", "compose", "--write"]).succeeds();
    envo(&["config", "--check"]).succeeds().says("no problems found");
    envo(&["up", "-e", &names, "--wait"]).succeeds();
    let listed = envo(&["ps", "--format", "json"]).succeeds();
    for (service, expected) in &services {
        // Numbers of ports are left out of what is printed.
        let ask = format!(
            "import json, subprocess, sys; ps = json.loads(subprocess.check_output(sys.argv[1:])); \
             port = next(one['ports'][0][1] if isinstance(one['ports'], list) else list(one['ports'].values())[0] \
             for one in ps if one['name'] == '{service}'); \
             print(subprocess.check_output([sys.executable, 'ask.py', '{service}', str(port)], text=True).strip())"
        );
        let asked = envo(&["--ask", &ask]).succeeds();
        assert_eq!(asked.stdout.trim_end(), *expected, "{service} {listed:?}");
    }
    let stopped = envo(&["down"]).succeeds();
    assert!(services.iter().all(|(name, _)| stopped.stdout.contains(name)), "{stopped:?}");
    assert_eq!(project.processes(), [""; 0]);
}

fn project() -> Project {
    let project = Project::new().file("compose.yaml", COMPOSE).file("ask.py", ASK);
    let root = project.root().display().to_string();
    let project = project.file("init.sql", "CREATE TABLE items (id int); INSERT INTO items VALUES (7);\n");
    project.variable("XDG_RUNTIME_DIR", &root)
}

#[test]
fn known_images_run_as_the_user_who_runs_envo() {
    let project = project();
    check(&project, |arguments| match arguments {
        ["--ask", script] => {
            project.run_program("python3", &["-c", script, env!("CARGO_BIN_EXE_envo"), "ps", "--format", "json"])
        }
        _ => project.run(arguments),
    });
}

#[test]
fn known_images_run_as_a_user_without_rights() {
    if !geteuid().is_root() || !machine::has("setpriv") {
        machine::notice("not root: known images are not tried as another user");
        return;
    }
    let project = project();
    let program = project.path("program").display().to_string();
    fs::copy(env!("CARGO_BIN_EXE_envo"), &program).unwrap();
    let above = project.root().parent().unwrap().to_path_buf();
    fs::set_permissions(&above, fs::Permissions::from_mode(0o755)).unwrap();
    let (home, state) = (project.path("home"), project.path("state"));
    fs::create_dir(&home).unwrap();
    project.run_program("chown", &["-R", "65534:65534", &project.root().display().to_string()]).succeeds();
    let own = [
        format!("HOME={}", home.display()),
        format!("ENVO_STATE_DIR={}", state.display()),
        format!("ENVO_CACHE_DIR={}", project.path("cache").display()),
        "PATH=/usr/local/bin:/usr/bin:/bin".to_owned(),
    ];
    let mut words = vec!["--reuid=65534", "--regid=65534", "--clear-groups", "env"];
    words.extend(own.iter().map(String::as_str));
    check(&project, |arguments| {
        let more: Vec<&str> = match arguments {
            ["--ask", script] => vec!["python3", "-c", script, &program, "ps", "--format", "json"],
            _ => [&[program.as_str()], arguments].concat(),
        };
        project.run_program("setpriv", &[&words[..], &more].concat())
    });
}
