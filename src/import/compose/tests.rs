use super::*;

const FILE: &str = r#"
x-common: &common
  restart: unless-stopped
  env_file:
    - .env
    - path: local.env
      required: false
services:
  db:
    image: docker.io/library/postgres:16-alpine
    ports: ["5432:5432"]
    volumes: [data:/var/lib/postgresql/data]
  cache:
    image: redis:7
  migrate:
    build: .
    command: python manage.py migrate
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
    stop_grace_period: 1m30s
    stop_signal: SIGQUIT
    tty: true
    develop:
      watch:
        - action: sync
          path: ./app
          target: /app
    cap_add: [NET_ADMIN]
  worker:
    image: example/worker
    deploy:
      replicas: 3
    profiles: [full]
    restart: on-failure:7
"#;

#[test]
fn services_that_can_run_without_containers_are_translated() {
    let text = compose(FILE).unwrap().text();
    let section = |name: &str| {
        let at = text.find(&format!("[testenv:{name}]")).unwrap();
        text[at..].split("\n\n").next().unwrap().trim_end().to_owned()
    };
    assert_eq!(
        section("web"),
        "[testenv:web]\ndeps = gunicorn\nserve = gunicorn --bind 0.0.0.0:{port:http} app:app\n\
         set_env = REDIS_URL = redis://{service:cache:host}:{service:cache:port}/1\npass_env = HOME\n\
         env_file =\n    .env\n    - local.env\nports = http=8080\n\
         depends =\n    migrate\n    db:restart\n    cache\n\
         ready = http://{host}:{port}/health\nrestart = always\nstop_signal = SIGQUIT\nstop_timeout = 90\npty = true\n\
         watch = ./app"
    );
    assert_eq!(
        section("migrate"),
        "[testenv:migrate]\ncommands = python manage.py migrate\n\
         set_env = DATABASE_URL = postgres://app:{env:DB_PASSWORD:secret}@{service:db:host}:{service:db:port}/app\n\
         depends = db"
    );
    assert!(section("db").contains("serve = sh -c 'exec postgres -D {env_dir}/data"), "{text}");
    assert!(section("cache").contains("serve = redis-server --bind {host} --port {port}"), "{text}");
    let worker = section("worker");
    assert!(worker.contains("restart_limit = 7\nprofiles = full\ninstances = 3"), "{worker}");
    assert!(worker.contains("# serve = "), "{worker}");
}

#[test]
fn a_postgres_has_the_user_and_the_database_that_its_image_makes() {
    let database = |environment: &str| {
        let text = format!("services: {{db: {{image: 'postgres:16', environment: {environment}}}}}");
        compose(&text).unwrap().text()
    };
    let plain = database("{POSTGRES_PASSWORD: secret}");
    assert!(plain.contains("initdb -D {env_dir}/data -U postgres --auth trust'\n"), "{plain}");
    assert!(plain.contains("url = postgresql://postgres@{host}:{port}/postgres\n"), "{plain}");
    assert!(!plain.contains("secret"), "{plain}");
    let shop = database("{POSTGRES_USER: '${DB_USER:-clerk}', POSTGRES_DB: shop, TZ: UTC}");
    let expected = "commands_pre = sh -c 'test -s {env_dir}/data/PG_VERSION || ( initdb -D {env_dir}/data -U \
                    {env:DB_USER:clerk} --auth trust && echo \"CREATE DATABASE shop\" | postgres --single -D {env_dir}/data \
                    postgres )'\n";
    assert!(shop.contains(expected), "{shop}");
    assert!(shop.contains("url = postgresql://{env:DB_USER:clerk}@{host}:{port}/shop\nstop_signal"), "{shop}");
    assert!(shop.contains("set_env = TZ = UTC\n") && !shop.contains("POSTGRES_"), "{shop}");
}

#[test]
fn what_could_not_be_translated_is_said() {
    let notes = compose(FILE).unwrap().notes.join("\n");
    for expected in [
        "db: `volumes` are not translated",
        "db: it gets a free port in place of 5432",
        "web: `cap_add` is not translated",
        "worker: the image decides what is run",
        "web: it is built from a Dockerfile",
    ] {
        assert!(notes.contains(expected), "{expected} in {notes}");
    }
    assert!(!notes.contains("depends_on") && !notes.contains("tty"), "{notes}");
}

#[test]
fn texts_that_are_no_compose_file_are_refused() {
    for text in ["", "[", "a: b", "services: {}", "services: []"] {
        assert!(compose(text).is_err(), "{text}");
    }
    for odd in ["services: {a: null}", "services: {a: {ports: 5}}", "services: {a: {command: {}, environment: 7}}"] {
        assert!(compose(odd).is_ok(), "{odd}");
    }
}
