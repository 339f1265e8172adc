use super::*;

/// The text and notes of a file in a project with others; every program of the list is on the machine.
fn translate(source: &str, others: &[(&str, &str)]) -> Imported {
    let files = ProjectFiles {
        read: &|path| others.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()),
        has_program: &|name, _| !matches!(name, "mongod" | "minio" | "absent"),
    };
    compose(source, "compose.yaml", &files).unwrap_or_else(|error| panic!("{source}: {}", error.message))
}

fn section(imported: &Imported, name: &str) -> String {
    let text = imported.text();
    let at = text.find(&format!("[testenv:{name}]")).unwrap_or_else(|| panic!("{name} in {text}"));
    text[at..].split("\n\n").next().unwrap_or_default().trim_end().to_owned()
}

fn notes(imported: &Imported) -> String {
    imported.lines().join("\n")
}

const FILE: &str = r#"
x-common: &common
  restart: unless-stopped
  env_file:
    - .env
    - path: local.env
      required: false
services:
  cache:
    image: redis:7
  migrate:
    image: python:3.12
    command: python manage.py migrate
    restart: always
    environment:
      DATABASE_URL: postgres://app:${DB_PASSWORD:-secret}@db:5432/app
    depends_on: [db]
  web:
    <<: *common
    build: .
    command: ["gunicorn", "--bind", "0.0.0.0:8000", "app:app"]
    ports:
      - "127.0.0.1:8080:8000"
    environment:
      - REDIS_URL=redis://cache:6379/1
      - HOME
    depends_on:
      migrate:
        condition: service_completed_successfully
      db:
        condition: service_healthy
        restart: true
    healthcheck:
      test: ["CMD-SHELL", "curl -fsS http://localhost:8000/health || exit 1"]
    stop_signal: SIGQUIT
    stop_grace_period: 1m30s
    tty: true
    develop: {watch: [{path: ./app, action: sync}]}
  db:
    image: docker.io/library/postgres:16-alpine
    ports: ["5432:5432"]
    volumes: [data:/var/lib/postgresql/data]
"#;

#[test]
fn services_become_environments() {
    let imported = translate(FILE, &[("Dockerfile", "FROM python:3.12\n"), (".env", "A=1\n")]);
    assert_eq!(
        section(&imported, "web"),
        "[testenv:web]\nbase_python = python3.12, python3\ndeps = gunicorn\n\
         depends =\n    migrate\n    db:restart\n    cache\n\
         env_file =\n    .env\n    - local.env\n\
         set_env = REDIS_URL = redis://{service:cache:host}:{service:cache:port}/1\npass_env = HOME\nports = http=8080\n\
         serve = gunicorn --bind {host}:{port:http} app:app\nready = http://{host}:{port}/health\nrestart = always\n\
         stop_signal = SIGQUIT\nstop_timeout = 90\npty = true\nwatch = ./app"
    );
    assert_eq!(
        section(&imported, "migrate"),
        "[testenv:migrate]\nbase_python = python3.12, python3\ndepends = db\n\
         set_env = DATABASE_URL = postgres://app:{env:DB_PASSWORD:secret}@{service:db:host}:{service:db:port}/app\n\
         commands = python manage.py migrate"
    );
    assert!(section(&imported, "cache").contains("serve = redis-server --bind {host} --port {port} --save"));
    assert_eq!(imported.lines().last().unwrap(), &"4 of 4 services can run as they are");
}

#[test]
fn a_dockerfile_says_what_is_installed_and_run() {
    let dockerfile = "FROM python:3.11 AS base\nWORKDIR /app\nCOPY requirements.txt ./\nRUN pip install -r requirements.txt\n\
                      COPY . .\nENV FLASK_APP=shop MODE=dev\nEXPOSE 5000\nENTRYPOINT [\"./start.sh\"]\n\
                      FROM base AS web\nCMD [\"flask\", \"run\"]\nFROM base\nCMD [\"absent\"]\n";
    let source = "services:\n  web:\n    build: {context: site, target: web}\n    environment: {MODE: live}\n    ports: ['8000:5000']\n  \
                  other:\n    build: site\n    command: -v --port 5000\n";
    let others = [
        ("site/Dockerfile", dockerfile),
        ("site/requirements.txt", "Flask\n"),
        ("site/start.sh", "#!/bin/sh\nexec \"$@\"\n"),
    ];
    let imported = translate(source, &others);
    assert_eq!(
        section(&imported, "web"),
        "[testenv:web]\nbase_python = python3.11, python3\nallowlist_externals = sh\ndeps = -r site/requirements.txt\n\
         change_dir = {tox_root}/site\nset_env =\n    FLASK_APP = shop\n    MODE = live\n    FLASK_RUN_PORT = {port:http}\n\
         ports = http=8000\nserve = sh ./start.sh flask run"
    );
    assert!(
        section(&imported, "other").ends_with("serve = sh ./start.sh -v --port {port:http}"),
        "{}",
        imported.text()
    );
}

#[test]
fn values_in_files_are_read_when_the_program_starts() {
    let source = "services:\n  db:\n    image: mariadb:11\n    secrets: [root]\n    environment:\n      \
                  MARIADB_ROOT_PASSWORD_FILE: /run/secrets/root\nsecrets: {root: {file: ./root.txt}}\n";
    let db = section(&translate(source, &[]), "db");
    assert!(db.contains("set_env = MARIADB_ROOT_PASSWORD_FILE = {tox_root}/root.txt\n"), "{db}");
    assert!(db.contains("MARIADB_ROOT_PASSWORD=$(cat \"$MARIADB_ROOT_PASSWORD_FILE\");"), "{db}");
    assert!(!db.contains("\nurl ="), "it would lack the password: {db}");
}

#[test]
fn a_file_that_only_the_image_has_needs_a_look() {
    let outcome = |dockerfile: &str| {
        let others = [("Dockerfile", dockerfile), ("pom.xml", ""), ("run.py", "")];
        notes(&translate("services: {web: {build: .}}", &others))
    };
    for (copied, named) in [("pom.xml", "/app.jar"), (".", "target/app.jar")] {
        let text = outcome(&format!(
            "FROM maven:3 AS build\nCOPY {copied} /src/\nRUN mvn package\nFROM eclipse-temurin:17\n\
             COPY --from=build /src/target/app.jar /app.jar\nCMD [\"java\", \"-jar\", \"/app.jar\"]\n"
        ));
        assert!(text.contains(&format!("web: its command names `{named}`, which only the image has")), "{text}");
        assert!(text.contains("0 of 1 service can run as they are; look at web"), "{text}");
    }
    let text = outcome("FROM python:3.12\nCOPY run.py /run.py\nCMD python /run.py --log=/dev/std.out\n");
    assert!(text.contains("1 of 1 service can run"), "{text}");
}

#[test]
fn node_takes_its_packages_from_the_manifest() {
    let dockerfile = "FROM node:20\nWORKDIR /usr/src/app\nCOPY package*.json ./\nRUN npm ci && npm run build\nCOPY . .\nCMD [\"npm\", \"start\"]\n";
    let source = "services: {web: {build: ./ui, ports: ['3000:3000'], volumes: ['./ui:/usr/src/app', '/usr/src/app/node_modules']}}";
    let imported = translate(source, &[("ui/Dockerfile", dockerfile)]);
    assert_eq!(
        section(&imported, "web"),
        "[testenv:web]\n# The image has version 20: `node@20` asks for it.\nruntime = node\nchange_dir = {tox_root}/ui\n\
         ports = http=3000\ncommands_pre = npm run build\nserve = npm start"
    );
}

#[test]
fn names_of_services_become_fields() {
    let source = "services:
  db: {image: postgres, container_name: main-db}
  queue: {image: rabbitmq, networks: {back: {aliases: [rabbit]}}}
  redis: {image: redis}
  api: {image: python, command: python api.py --port 9000, expose: [9000], environment: {WEB: 'http://web:7000'}}
  web:
    image: python
    command: sh -c 'wait-for db:5432 && python web.py'
    links: ['redis:store']
    environment:
      PORT: 7000
      DB_HOST: main-db
      DB_PORT: '5432'
      DB_NAME: db
      BROKER: amqp://guest:guest@rabbit//
      REDIS_HOST: store
      CACHE_DRIVER: redis
      API: http://api:9000/v1
      DSN: host=db port=5432 dbname=db
      SELF: http://localhost:7000
";
    let imported = translate(source, &[]);
    let web = section(&imported, "web");
    for line in [
        "PORT = {port:main}",
        "DB_HOST = {service:db:host}",
        "DB_PORT = {service:db:port}",
        "DB_NAME = db",
        "BROKER = amqp://guest:guest@{service:queue:host}:{service:queue:port}//",
        "REDIS_HOST = {service:redis:host}",
        "CACHE_DRIVER = redis",
        "DSN = host={service:db:host} port={service:db:port} dbname=db",
        "SELF = http://localhost:{port:main}",
        "serve = sh -c 'wait-for {service:db:host}:{service:db:port} && python web.py'",
    ] {
        assert!(web.contains(line), "{line} in {web}\n{}", imported.text());
    }
    // No other service refers to the port of redis; web and api have each other's address, so one of them must be fixed.
    assert!(section(&imported, "redis").contains("ports = redis=6379"), "{}", imported.text());
    assert!(web.contains("API = http://127.0.0.1:9000/v1"), "{web}");
    assert!(section(&imported, "api").contains("ports = main=9000\n"), "{}", imported.text());
}

#[test]
fn a_variable_of_a_file_is_said_again_if_it_has_an_address() {
    let source = "services: {db: {image: postgres}, web: {image: python, command: python a.py, env_file: web.env, depends_on: [db]}}";
    let imported = translate(source, &[("web.env", "A=1\nDATABASE_URL=postgres://u@db/x\n")]);
    let web = section(&imported, "web");
    assert!(web.contains("set_env = DATABASE_URL = postgres://u@{service:db:host}:{service:db:port}/x\n"), "{web}");
    assert!(!web.contains("A = 1"), "{web}");
    let missing = translate(source, &[]);
    assert!(section(&missing, "web").contains("env_file = - web.env"));
    assert_eq!(missing.lines().last().unwrap(), &"1 of 2 services can run as they are; look at web");
}

#[test]
fn databases_are_made_as_their_images_make_them() {
    let source = "services: {db: {image: 'postgres:16', environment: {POSTGRES_USER: '${DB_USER:-clerk}', POSTGRES_DB: shop}, \
                  volumes: ['./sql:/docker-entrypoint-initdb.d']}, old: {image: mysql, environment: {MYSQL_DATABASE: shop}}}";
    let imported = translate(source, &[]);
    let db = section(&imported, "db");
    assert!(db.contains("set_env =\n    POSTGRES_USER = {env:DB_USER:clerk}\n    POSTGRES_DB = shop\n"), "{db}");
    assert!(db.contains("setpriv --reuid=postgres") && db.contains("files=\"{tox_root}/sql/*.sql\""), "{db}");
    assert!(db.contains("url = postgresql://{env:DB_USER:clerk}@{host}:{port}/shop\n"), "{db}");
    assert!(section(&imported, "old").contains("url = mysql://root:@{host}:{port}/shop"), "{}", imported.text());
}

#[test]
fn programs_of_the_project_are_allowed_beside_those_of_a_runtime() {
    let dockerfile = "FROM ruby:3.3\nWORKDIR /rails\nRUN bundle install\nENTRYPOINT [\"/rails/bin/docker-entrypoint\"]\n\
                      CMD [\"./bin/rails\", \"server\", \"-b\", \"0.0.0.0\"]\n";
    let source = "services: {web: {build: ., ports: ['3000:3000']}, puma: {build: ., entrypoint: bundle exec puma}, \
                  sh: {build: ., entrypoint: sh -c 'rake x && puma'}, rails: {build: ., entrypoint: ./bin/rails server}}";
    let imported =
        translate(source, &[("Dockerfile", dockerfile), ("bin/docker-entrypoint", "#!/bin/sh\nexec \"$@\"\n")]);
    assert!(section(&imported, "web").contains("allowlist_externals = sh\n"), "{}", imported.text());
    assert!(section(&imported, "rails").contains("allowlist_externals = ./bin/rails\n"), "{}", imported.text());
    assert!(!section(&imported, "puma").contains("allowlist_externals"), "{}", imported.text());
    assert!(section(&imported, "sh").contains("allowlist_externals = sh\n"), "{}", imported.text());
}

#[test]
fn programs_that_are_not_there_are_said() {
    for (image, program, package) in [
        (
            "mongo:7",
            "mongod",
            "mongodb-org, from MongoDB's own repository (https://www.mongodb.com/docs/manual/installation)",
        ),
        ("minio/minio", "minio", "minio, a single binary (https://min.io/download)"),
    ] {
        let imported = translate(
            &format!("services: {{s: {{image: '{image}', command: ''}}, t: {{image: redis, depends_on: [s]}}}}"),
            &[],
        );
        assert!(
            notes(&imported).contains(&format!("s: `{program}` is not installed on this machine: install {package}")),
            "{:?}",
            imported.notes
        );
        assert_eq!(imported.lines().last().unwrap(), &"0 of 2 services can run as they are; look at s");
    }
    for (service, note) in [
        ("image: prom/prometheus", "the image defines its command"),
        ("image: prom/prometheus, command: --x", "its command `--x` belongs to a program of the image"),
        ("build: gone", "there is no gone/Dockerfile"),
        ("build: 'https://example.org/x.git'", "is not a folder of this project"),
        ("build: {context: ., target: x}, command: python a", "it has no stage `x`"),
        ("image: alpine, command: absent --x", "the programs of the image alpine must be installed"),
    ] {
        let imported = translate(&format!("services: {{s: {{{service}}}}}"), &[("Dockerfile", "FROM a\n")]);
        assert!(notes(&imported).contains(note), "{service}: {:?}", imported.notes);
        assert_eq!(imported.to_look_at, ["s"], "{service}");
    }
}

#[test]
fn every_key_that_is_not_translated_is_noted_once() {
    let source = "version: '3'\nname: x\nnetworks: {n: }\nservices:\n  a: &a\n    image: redis\n    user: '1'\n    cap_add: [X]\n    \
                  networks: [n]\n    logging: {driver: x}\n    ulimits: {nofile: 1}\n    new_key: 1\n    deploy: {resources: {}}\n    \
                  healthcheck: {test: redis-cli ping, interval: 1s}\n    ports: ['53:53/udp']\n  b: *a\n";
    let imported = translate(source, &[]);
    let notes = notes(&imported);
    for key in
        ["user", "cap_add", "networks", "logging", "ulimits", "new_key", "deploy.resources", "healthcheck.interval"]
    {
        assert_eq!(notes.matches(&format!("a, b: `{key}` is not translated: ")).count(), 1, "{key} in {notes}");
    }
    for key in ["version:", "name:", "networks:"] {
        assert_eq!(notes.matches(&format!("the file: `{key}` is not translated: ")).count(), 1, "{key} in {notes}");
    }
    assert!(notes.contains("a: the port `53:53/udp` is not translated: only TCP is known"), "{notes}");
}

#[test]
fn what_is_extended_and_overridden_counts() {
    let source = "services:\n  base: {image: python, command: python base.py, environment: [A=1, B=1]}\n  web:\n    \
                  extends: {service: base}\n    environment: {B: 2}\n  far:\n    extends: {file: lib/more.yaml, service: x}\n  \
                  self: {extends: self, image: redis}\n";
    let others = [
        ("lib/more.yaml", "services: {x: {build: ./app, command: python x.py}}"),
        ("lib/app/Dockerfile", "FROM python\nWORKDIR /a\nCOPY . .\n"),
        ("compose.override.yaml", "services: {web: {command: python override.py}}"),
    ];
    let imported = translate(source, &others);
    let web = section(&imported, "web");
    assert!(web.contains("A = 1\n    B = 2\n") && web.ends_with("serve = python override.py"), "{web}");
    assert!(
        section(&imported, "far").contains("change_dir = {tox_root}/lib/app\nserve = python x.py"),
        "{}",
        imported.text()
    );
    assert!(notes(&imported).contains("self: the service it extends does not exist"));
}

#[test]
fn nothing_in_a_file_can_write_a_section_of_its_own() {
    let evil = "\\n[testenv:evil]\\ncommands = rm";
    let source = format!(
        "services:\n  \"a{evil}\":\n    image: \"redis{evil}\"\n    command: \"run{evil}\"\n    environment: {{\"A{evil}\": \"1\", B: \"x{evil}\"}}\n    \
         env_file: \"f{evil}\"\n    ports: [\"1{evil}\"]\n    profiles: [\"p{evil}\"]\n    stop_signal: \"S{evil}\"\n    scale: \"3{evil}\"\n    \
         working_dir: \"/w{evil}\"\n    restart: \"on-failure:{evil}\"\n    depends_on: [\"d{evil}\"]\n    healthcheck: {{test: \"h{evil}\"}}\n    \
         develop: {{watch: [{{path: \"p{evil}\"}}]}}\n    volumes: [\"./v{evil}:/w\"]\n    build: \"x{evil}\"\n    \"key{evil}\": 1\n  \
         \"d{evil}\": {{image: python, command: [\"python\", \"x{evil}\"]}}\n"
    );
    let imported = translate(&source, &[]);
    let text = imported.text();
    let headers: Vec<&str> = text.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(
        headers,
        ["[testenv:a--testenv-evil--commands---rm]", "[testenv:d--testenv-evil--commands---rm]"],
        "{text}"
    );
    assert!(!text.contains("\ncommands"), "{text}");
    for note in imported.lines() {
        assert!(!note.contains('\n'), "{note}");
    }
    assert!(notes(&imported).contains("is not a valid variable name"));
}

#[test]
fn texts_that_are_no_compose_file_are_refused() {
    let files = ProjectFiles { read: &|_| None, has_program: &|_, _| true };
    for text in ["", "[", "a: b", "services: {}", "services: []", "a: &a [*a]"] {
        assert!(compose(text, "compose.yaml", &files).is_err(), "{text}");
    }
    for odd in [
        "services: {a: null}",
        "services: {a: {ports: 5}}",
        "services: {a: {command: {}, environment: 7}}",
        "services: {a: {build: [], healthcheck: 1, deploy: x, volumes: x, depends_on: {b: }, secrets: [1], env_file: [{}]}}",
        "services: {a: {extends: 1}, b: {healthcheck: {test: []}, image: redis}}",
        "services: {a: {command: [], entrypoint: [], image: postgres}, 7: {image: x}}",
        "services: {a: {image: python, command: '-'}, b: {image: '', command: ''}}",
    ] {
        assert!(compose(odd, "compose.yaml", &files).is_ok(), "{odd}");
    }
}

#[test]
fn a_file_with_thousands_of_services_takes_no_long_time() {
    let mut text = "services:\n".to_owned();
    for at in 0..3000 {
        text.push_str(&format!(
            "  s{at}: {{image: redis, environment: {{A: 'redis://s{}:6379'}}, depends_on: [s{}]}}\n",
            at + 1,
            at + 1
        ));
    }
    assert_eq!(translate(&text, &[]).sections.len(), 3000);
}

/// A text of YAML in double quotes.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest::proptest! {
    #[test]
    fn no_text_of_a_compose_file_can_leave_its_place(
        parts in proptest::collection::vec(
            "(\n|\r|\u{1b}\\[2J|\u{202e}|\u{85}|\u{2028}|\n\\[testenv:evil\\]\ncommands = x|\n  |;|#|\\{env:A\\}|\\$\\{A:-|\\}|\\\\|\"|'|%|=|:|: | |-|[a-z0-9é])",
            24,
        ),
    ) {
        let texts: Vec<String> = parts.chunks(3).map(|three| quoted(&three.concat())).collect();
        let [a, b, c, d, e, f, g, h] = &texts[..] else { unreachable!() };
        let source = format!(
            "services:\n  {a}:\n    image: {b}\n    command: [{c}, {d}]\n    working_dir: {f}\n    ports: [{g}]\n    \
             environment:\n      {e}: {f}\n    env_file: {h}\n    healthcheck: {{test: {c}}}\n    user: {d}\n  x:\n    \
             image: redis\n    entrypoint: {b}\n    depends_on: [{a}]\n    environment: [{e}]\n    {g}: {h}\n"
        );
        let dockerfile = parts.concat();
        let others = [(".env", dockerfile.as_str()), ("Dockerfile", dockerfile.as_str())];
        let files = ProjectFiles {
            read: &|path| others.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()),
            has_program: &|_, _| true,
        };
        let Ok(imported) = compose(&source, "compose.yaml", &files) else { return Ok(()) };
        let text = imported.text();
        let read = crate::source::ini::read(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
        let names: Vec<&str> = read.sections.iter().map(|section| section.name.as_str()).collect();
        let expected: Vec<String> =
            imported.sections.iter().map(|section| format!("testenv:{}", section.name)).collect();
        proptest::prop_assert_eq!(names, expected);
        for line in imported.lines() {
            proptest::prop_assert!(!line.contains(crate::python_text::misleads) && !line.contains('\n'), "{:?}", line);
        }
    }
}

#[test]
fn a_semicolon_in_a_variable_begins_no_marker() {
    let imported =
        translate("services:\n  a:\n    image: x\n    command: run\n    environment:\n      A: 'a; b;c'\n", &[]);
    let a = section(&imported, "a");
    assert!(a.contains("set_env = A = a\\; b\\;c\n"), "{a}");
}
