//! Tests the recipes of `docs/services.md`, taken from the page and run with the few files that they mention.

use std::fs;
use std::path::Path;

use crate::reports::fixtures::{OLD_PYTHONS, ask};
use crate::serving::stack::need_database_and_queue;
use crate::support::machine;
use crate::support::project::{Project, fixtures_folder};

/// What the recipes leave to the rest of a `tox.ini`.
const CORE: &str = "[tox]\nno_package = true\n\n[testenv]\nbase_python = python3\n\n";

/// The blocks of a recipe, of all languages, in order: what follows its heading, up to the next one.
fn blocks(heading: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/services.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let from =
        page.find(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("the page has no `### {heading}`")) + 1;
    let end = page[from..].find("\n## ").map_or(page.len(), |end| from + end);
    let end = page[from..end].find("\n### ").map_or(end, |end| from + end);
    let parts: Vec<&str> = page[from..end].split("```").collect();
    // Every other part stands between fences, after the name of its language.
    let block = |part: &&str| part.split_once('\n').map(|(_, block)| block.to_owned());
    parts.iter().skip(1).step_by(2).filter_map(block).collect()
}

/// The one block of a recipe, or the one at this place.
fn block(heading: &str, at: usize) -> String {
    blocks(heading).into_iter().nth(at).unwrap_or_else(|| panic!("`{heading}` has no block {at}"))
}

/// An environment that prints what the address of a service answers.
fn asks(service: &str) -> String {
    let variable = format!("ENVO_{}_URL", service.to_ascii_uppercase());
    let program = format!("import os, urllib.request as r; print(r.urlopen(os.environ['{variable}']).read().decode())");
    format!("\n[testenv:app]\ndepends = {service}\ncommands = python -c \"{program}\"\n")
}

/// A project with PostgreSQL by its recipe, and `rest`.
fn with_postgres(rest: &str) -> Project {
    let script = fixtures_folder().join("stack/services/postgres.sh");
    let script = fs::read_to_string(script).expect("the fixture has it");
    Project::new()
        .with_kept_cache()
        .ini(&format!("{CORE}{}\n{rest}", block("PostgreSQL", 0)))
        .file("services/postgres.sh", &script)
}

const SETTINGS: &str = r#"
import os
from urllib.parse import urlsplit

database = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.path[1:],
        "USER": database.username,
        "HOST": database.hostname,
        "PORT": database.port,
    }
}
ALLOWED_HOSTS = ["*"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "shop.urls"
SECRET_KEY = "of a test"
"#;

const MANAGE: &str = r#"
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
"#;

const MODELS: &str = "
from django.db import models


class Fruit(models.Model):
    name = models.CharField(max_length=20)
";

const MIGRATION: &str = r#"
from django.db import migrations, models


def stock(apps, schema_editor):
    apps.get_model("shop", "Fruit").objects.create(name="an apple")


class Migration(migrations.Migration):
    initial = True
    operations = [
        migrations.CreateModel(
            "Fruit",
            [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20))],
        ),
        migrations.RunPython(stock),
    ]
"#;

const ADDRESSES: &str = r#"
from django.http import HttpResponse
from django.urls import path

from shop.models import Fruit

urlpatterns = [path("", lambda request: HttpResponse(", ".join(fruit.name for fruit in Fruit.objects.all())))]
"#;

#[test]
fn a_django_project_migrates_once_and_is_served() {
    need_database_and_queue();
    let recipe = block("Django or Flask with migrations", 0) + &asks("web");
    let project = with_postgres(&recipe)
        .file("manage.py", MANAGE)
        .file("shop/__init__.py", "")
        .file("shop/settings.py", SETTINGS)
        .file("shop/models.py", MODELS)
        .file("shop/urls.py", ADDRESSES)
        .file("shop/migrations/__init__.py", "")
        .file("shop/migrations/0001_initial.py", MIGRATION);
    let first = project.run(["run", "-e", "app"]).succeeds().says("\nan apple\n").says("migrate: exited");
    let at = |text: &str| first.stdout.find(text).unwrap_or_else(|| panic!("`{text}` is not told: {first:?}"));
    assert!(at("postgres: ready") < at("migrate: commands[0]") && at("migrate: exited") < at("web: ready"));
    project.run(["run", "-e", "app"]).succeeds().says("\nan apple\n").never_says("migrate: commands[0]");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

const FLASK: &str = r#"
import os
from urllib.parse import urlsplit

import flask
import pg8000.native

app = flask.Flask(__name__)


def run(statement):
    database = urlsplit(os.environ["DATABASE_URL"])
    name = database.path[1:]
    with pg8000.native.Connection(database.username, database.hostname, name, database.port) as connection:
        return connection.run(statement)


@app.get("/")
def fruits():
    return ", ".join(name for name, in run("SELECT name FROM fruit"))


@app.cli.command("migrate")
def migrate():
    run("CREATE TABLE fruit (name text)")
    run("INSERT INTO fruit VALUES ('a pear')")
"#;

#[test]
fn a_flask_application_migrates_once_and_is_served() {
    need_database_and_queue();
    let migrate = "[testenv:migrate]\ndepends = postgres\ndeps = {[testenv:web]deps}\nset_env = DATABASE_URL = \
                   {service:postgres:url}\ncommands = flask --app shop migrate\n\n";
    let recipe = migrate.to_owned() + &block("Django or Flask with migrations", 1) + &asks("web");
    let project = with_postgres(&recipe).file("shop.py", FLASK);
    project.run(["run", "-e", "app"]).succeeds().says("\na pear\n").says("migrate: exited");
    project.run(["run", "-e", "app"]).succeeds().says("\na pear\n").never_says("migrate: commands[0]");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

/// Python that speaks to the Redis at the address in the variable `CACHE` and keeps a word there.
const CACHE: &str = r#"
import os, socket
from urllib.parse import urlsplit

def cached(*words):
    address = urlsplit(os.environ["CACHE"])
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.makefile().readline().strip()
"#;

#[test]
fn redis_is_served_and_told_by_its_address() {
    need_database_and_queue();
    let app = "\n[testenv:app]\ndepends = redis\nset_env = CACHE = {service:redis:url}\ncommands = python -c \"from cache \
               import cached; print(cached('PING'), cached('SET', 'fruit', 'plum'), cached('STRLEN', 'fruit'))\"\n";
    let project = Project::new().ini(&format!("{CORE}{}{app}", block("Redis", 0))).file("cache.py", CACHE);
    project.run(["run", "-e", "app"]).succeeds().says("\n+PONG +OK :4\n");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

/// For Python 2 and 3.
const OLD_SERVICE: &str = r#"
import platform
import sys

try:
    from BaseHTTPServer import BaseHTTPRequestHandler, HTTPServer
except ImportError:
    from http.server import BaseHTTPRequestHandler, HTTPServer


class Version(BaseHTTPRequestHandler):
    def do_GET(self):
        body = (platform.python_implementation() + " %d.%d" % sys.version_info[:2]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Version).serve_forever()
"#;

#[test]
fn an_application_is_tested_against_a_service_on_an_older_python() {
    let old = OLD_PYTHONS.iter().map(|(program, _)| *program).find(|program| machine::has(program));
    let old = old.expect("this needs a second Python: `pyenv install 2.7.18`, or `apt-get install pypy3`");
    let recipe = block("Two Pythons", 0);
    assert!(recipe.contains("base_python = python2.7"), "{recipe}");
    let test = "import os, platform, sys, urllib.request as r\n\ndef test_it_is_another():\n    own = \
                platform.python_implementation() + ' %d.%d' % sys.version_info[:2]\n    url = \
                os.environ['ENVO_OLD_URL'].replace('tcp', 'http')\n    assert r.urlopen(url).read().decode() != own\n";
    let setup = "from setuptools import setup\n\nsetup(name='service1', version='1', py_modules=['service1'],\n      \
                 entry_points={'console_scripts': ['service1 = service1:main']})\n";
    let project = Project::new()
        .with_old_interpreters()
        .with_kept_cache()
        .ini(&format!("[tox]\nno_package = true\n\n{}", recipe.replace("python2.7", old)))
        .file("service1/setup.py", setup)
        .file("service1/service1.py", OLD_SERVICE)
        .file("test_old.py", test);
    project.run(["run", "-e", "app"]).succeeds().says("1 passed");
    assert_eq!(project.processes(), [] as [&str; 0]);
}

const WEB: &str = r#"
import http.server, os, sys

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open("page").read() if os.path.exists("page") else ""
        if "CACHE" in os.environ:
            from cache import cached
            body += cached("PING")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Page).serve_forever()
"#;

/// The parts of a page about one service.
fn answer(project: &Project, service: &str) -> String {
    let told = project.run(["ps", "--format", "json"]).succeeds().stdout;
    let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let services = told["services"].as_array().or_else(|| told.as_array()).expect("a list");
    let one = services.iter().find(|one| one["name"] == service).unwrap_or_else(|| panic!("no `{service}` in {told}"));
    let port = one["ports"][0][1].as_u64().unwrap_or_else(|| panic!("no port in {one}"));
    ask(&format!("127.0.0.1:{port}"), "GET /")
}

#[test]
fn a_procfile_becomes_what_the_page_says_and_runs() {
    let heading = "A Procfile or a docker-compose.yml";
    let project = Project::new()
        .file("Procfile", &block(heading, 0))
        .file("web.py", WEB)
        .file("worker.py", "import signal\nprint('at work', flush=True)\nsignal.pause()\n")
        .file("release.py", "open('page', 'w').write('released')\n");
    let printed = project.run(["import", "procfile"]).succeeds();
    assert_eq!((printed.stdout, printed.stderr), (block(heading, 1), String::new()));
    project.run(["import", "procfile", "--write"]).succeeds();
    project.run(["up", "--wait"]).succeeds();
    assert_eq!(answer(&project, "web"), "released", "what the release made is there when the page is asked for");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}

#[test]
fn a_compose_file_becomes_what_the_page_says_and_runs() {
    need_database_and_queue();
    let heading = "A Procfile or a docker-compose.yml";
    let project = Project::new()
        .with_old_interpreters()
        .file("docker-compose.yml", &block(heading, 2))
        .file("Dockerfile", &block(heading, 3))
        .file("requirements.txt", "")
        .file("web.py", WEB)
        .file("cache.py", CACHE);
    let printed = project.run(["import", "compose"]).succeeds();
    assert_eq!((printed.stdout, printed.stderr), (block(heading, 4), block(heading, 5)));
    project.run(["import", "compose", "--write"]).succeeds();
    project.run(["up", "--wait"]).succeeds();
    assert_eq!(answer(&project, "web"), "+PONG");
    project.run(["down"]).succeeds();
    assert_eq!(project.processes(), [] as [&str; 0]);
}
