"""The pytest plugin, seen from runs of pytest in projects of their own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from conftest import PATIENCE, Project

HEAD = "import os, pytest, urllib.request\ndef get(url): return urllib.request.urlopen(url).read().decode()\n"


def test_every_service_is_a_fixture_under_its_normalised_name(project: Project) -> None:
    project.ini(project.serve("Svc1", "description = counts things"), project.serve("my-db", "depends = Svc1"))
    project.file(
        "test_it.py",
        HEAD
        + """
def test_orders(svc1, my_db, Svc1):
    assert get(svc1.url) == str(svc1.pid) and get(my_db.url) == str(my_db.pid)
    assert Svc1.url == svc1.url and my_db.name == "my-db"
    assert os.environ["ENVO_MY_DB_URL"] == my_db.url
def test_again(my_db, envo_services):
    assert envo_services.get("my_db").pid == envo_services.get("my-db").pid == my_db.pid
    assert envo_services.names == ["Svc1", "my-db"]
""",
    )
    assert "2 passed" in project.pytest()
    assert project.gate.all() == ["Svc1 up", "my-db up", "my-db down", "Svc1 down"]
    text = project.pytest("--fixtures", "-q")
    assert "svc1 [session scope]" in text and "counts things (tox.ini:" in text
    assert project.gate.all() == [] and project.is_quiet()


def test_what_no_test_asks_for_costs_nothing(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("other"))
    project.file(
        "test_it.py",
        "import pytest\ndef test_nothing(): pass\n"
        "@pytest.mark.skip\ndef test_skipped(db): pass\n"
        "@pytest.mark.skip\n@pytest.mark.envo('other')\ndef test_marked(): pass\n",
    )
    assert "1 passed, 2 skipped" in project.pytest()
    assert project.gate.all() == [] and not (project.root / ".tox").exists()


def test_a_mark_starts_services_and_sets_their_variables_for_tests_of_any_kind(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("api"))
    project.file(
        "test_it.py",
        HEAD
        + """
import unittest
@pytest.mark.envo("db", "api")
def test_function():
    get(os.environ["ENVO_DB_URL"]), get(os.environ["ENVO_API_URL"])
@pytest.mark.envo("db")
class TestCase(unittest.TestCase):
    def test_method(self):
        get(os.environ["ENVO_DB_URL"])
@pytest.mark.envo("dbb")
def test_unknown(): pass
""",
    )
    text = project.pytest("--strict-markers", code=1)
    assert "2 passed, 1 error" in text
    assert "`dbb` is no service of" in text and "services are: db, api" in text
    assert sorted(project.gate.all()) == ["api down", "api up", "db down", "db up"]


def test_what_a_test_needs_is_started_at_once(project: Project) -> None:
    # Each waits for the other to be up, so that one after the other could never work.
    service = """
import os, pathlib, sys, http.server
me, other, port = sys.argv[1:]
pathlib.Path(me).touch()
while not os.path.exists(other): os.sched_yield()
http.server.HTTPServer(("127.0.0.1", int(port)), http.server.BaseHTTPRequestHandler).serve_forever()
"""
    project.file("pair.py", service)
    section = "\n[testenv:{0}]\nserve = {2} pair.py {0} {1} {{port}}\nallowlist_externals = *\nports = tcp\n"
    project.ini(section.format("a", "b", sys.executable), section.format("b", "a", sys.executable))
    project.file("test_it.py", "def test_both(a, b): pass\n")
    assert "1 passed" in project.pytest()


def test_a_failing_report_has_what_the_services_of_that_test_wrote_meanwhile(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("api", "depends = db"), project.serve("other"))
    project.file(
        "test_it.py",
        HEAD
        + """
def test_before(api): get(api.url + "/before")
def test_failing(api, envo_services):
    get(api.url + "/inside")
    get(envo_services.get("db").url + "/deep")
    assert False
def test_after(api): get(api.url + "/after")
def test_without(): assert False
@pytest.fixture
def broken(other):
    get(other.url + "/fixture")
    raise ValueError
def test_error(broken): pass
""",
    )
    text = project.pytest(code=1)
    of = {name: body for name, body in re.findall(r"^_+ (?:ERROR at setup of )?(\w+) _+$(.*?)(?=^_{3,}|^=)", text, re.M | re.S)}
    assert "envo log of api" in of["test_failing"] and "GET /inside" in of["test_failing"]
    assert "envo log of db" in of["test_failing"] and "GET /deep" in of["test_failing"]
    assert "/before" not in of["test_failing"] and "/after" not in of["test_failing"]
    assert "envo log of other" not in of["test_failing"]
    assert "envo log" not in of["test_without"]
    assert "other begins" in of["test_error"] and "GET /fixture" in of["test_error"]


def test_a_service_that_fails_is_told_once_in_each_report_and_tried_once(project: Project) -> None:
    code = "open('tries', 'a').write('x'); print('early'); [print('line', n) for n in range(50)]; print('no disk'); exit(3)"
    broken = f"\n[testenv:db]\nserve = {sys.executable} -c \"{code}\"\n"
    project.ini(broken + "ready = log:never\nallowlist_externals = *\n")
    project.file(
        "test_it.py",
        "import pytest\ndef test_a(db): pass\ndef test_b(db): pass\n@pytest.mark.envo('db')\ndef test_c(): pass\n"
        "def test_d(envo_services): envo_services.get('db')\n",
    )
    text = project.pytest(code=1)
    reports = re.split(r"^_{3,} .* _{3,}$", text.partition("short test summary")[0], flags=re.M)[1:]
    assert "1 failed, 3 errors" in text and len(reports) == 4
    for report in reports:
        assert report.count("exited with code 3") == 1 and report.count("no disk") == 1, report
        assert "During handling" not in report and "Traceback" not in report and "_project.py" not in report, report
    # The log has what the excerpt leaves out.
    assert reports[0].count("early") == 1
    assert (project.root / "tries").read_text() == "x"


def test_a_service_that_dies_meanwhile_is_told_to_later_tests(project: Project) -> None:
    dying = project.serve("db").replace("service.py", "dying.py")
    project.file(
        "dying.py",
        (project.root / "service.py").read_text().replace(
            "print(self.command", "self.path == '/die' and (print('no disk', flush=True), os._exit(7))\n        print(self.command"
        ),
    )
    project.ini(dying, project.serve("api", "depends = db"), project.serve("other"))
    project.file("conftest.py", "import pytest\n@pytest.fixture(scope='session')\ndef shop(api): return api.url\n")
    project.file(
        "test_it.py",
        HEAD
        + """
def test_before(db, shop, other): get(db.url), get(shop), get(other.url)
def test_during(db):
    try:
        get(db.url + "/die")
    finally:
        while db.status()["state"] != "failed":
            pass
def test_itself(db): get(db.url)
def test_what_depends_on_it(shop): get(shop)
def test_by_name(envo_services): envo_services.get("db")
def test_other(other): get(other.url)
def test_started_again(envo_services, request):
    for name in ("db", "api"):
        request.getfixturevalue("pytestconfig")._envo_broker._handles[name].start()
def test_afterwards(db): get(db.url)
""",
    )
    text = project.pytest(code=1)
    assert "2 failed, 4 passed, 2 errors" in text
    of = {name: body for name, body in re.findall(r"^_+ (?:ERROR at setup of )?(\w+) _+$(.*?)(?=^_{3,}|^=)", text, re.M | re.S)}
    assert sorted(of) == ["test_by_name", "test_during", "test_itself", "test_what_depends_on_it"]
    for name, report in of.items():
        assert report.count("exited with code 7") == 1 and report.count("no disk") == 1, (name, report)
        assert name == "test_during" or "URLError" not in report


def test_a_service_that_a_test_stops_can_be_started_by_another(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("again", "restart = on-failure"))
    project.file(
        "test_it.py",
        HEAD
        + """
import signal
def test_a(db): db.stop()
def test_b(db): db.start()
def test_c(db): get(db.url)
def test_d(again):
    pid = again.pid
    os.kill(pid, signal.SIGKILL)
    while again.pid == pid:
        pass
def test_e(again): assert get(again.url) == str(again.pid)
""",
    )
    assert "5 passed" in project.pytest()


def test_fixtures_of_plugins_conftests_and_tests_count_more(project: Project) -> None:
    names = ["db", "cache", "tmp_path", "request", "api", "late", "deep", "held", "local", "param"]
    project.ini(*(project.serve(name) for name in names))
    project.file(
        "other_plugin.py",
        """
import pytest
@pytest.fixture
def db(): return "of the plugin"
@pytest.fixture(name="late", params=["late"])
def anything(request): return request.param
""",
    )
    project.file(
        "conftest.py",
        """
import pytest
@pytest.fixture
def api(): return "of the conftest"
@pytest.fixture(params=[1, 2])
def param(request, param): return param.name + str(request.param)
""",
    )
    project.file("deep/conftest.py", "import pytest\n@pytest.fixture\ndef deep(): return 'of the folder'\n")
    project.file("deep/test_deep.py", "def test_folder(deep, db): assert (deep, db) == ('of the folder', 'of the plugin')\n")
    project.file(
        "test_it.py",
        """
import pytest
@pytest.fixture
def local(): return "of the module"
class TestClass:
    @pytest.fixture
    def held(self): return "of the class"
    def test_places(self, held, local, api): assert (held, local, api) == ("of the class", "of the module", "of the conftest")
def test_plugin(db, late): assert (db, late) == ("of the plugin", "late")
def test_pytests(cache, tmp_path, request): assert request.config.cache is cache and tmp_path.is_dir()
@pytest.mark.parametrize("deep", ["x"])
def test_direct(deep): assert deep == "x"
def test_made_from_it(param): assert param in ("param1", "param2")
def test_by_name(envo_services):
    assert envo_services.get("db").url and envo_services.get("request").url
""",
    )
    words = ["-p", "other_plugin", "-o", "addopts=", "-p", "cacheprovider"]
    assert "8 passed" in project.pytest(*words)
    assert sorted(set(project.gate.all())) == ["db down", "db up", "param down", "param up", "request down", "request up"]
    text = project.pytest("--fixtures", *words)
    found = re.search("Fixtures that are no services: (.*)", text)
    assert found and "`db` is of other_plugin" in found[1] and "`late` is of other_plugin" in found[1]
    assert "`tmp_path` is of _pytest.tmpdir" in found[1]
    of_envo = text.partition("fixtures defined from envo_run ")[2].partition("fixtures defined")[0]
    assert sorted(re.findall(r"^(\w+) \[session scope\]", of_envo, re.M)) == ["api", "deep", "held", "local", "param"]
    # Without that plugin, they are services.
    assert re.search(r"^db \[session scope\].*\n +The service db \(tox.ini:", project.pytest("--fixtures"), re.M)


@pytest.mark.thorough
def test_fixtures_of_plugins_count_more_in_workers_too(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("api"))
    project.file("other_plugin.py", "import pytest\n@pytest.fixture\ndef db(): return 'of the plugin'\n")
    project.file("conftest.py", "import pytest\n@pytest.fixture\ndef api(api): return api.name\n")
    project.file(
        "test_it.py",
        "def test_a(db): assert db == 'of the plugin'\ndef test_b(api): assert api == 'api'\n"
        "def test_c(envo_services): assert envo_services.get('db').url\n",
    )
    assert "3 passed" in project.pytest("-n", "2", "-p", "other_plugin")
    assert "fixtures defined from envo_run " in project.pytest("-n", "2", "-p", "other_plugin", "--fixtures")


def test_a_service_elsewhere_is_used_in_place_of_one(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file(
        "test_it.py",
        "import os\ndef test_a(db, queue):\n    assert (db.host, db.port) == ('db.test', 81)\n"
        "    assert os.environ['ENVO_DB_URL'] == 'http://db.test:81/x' and queue.port == 6379\n",
    )
    text = project.pytest("--envo-noproc", "db=http://db.test:81/x", "--envo-noproc=queue=redis://q.test:6379/0")
    assert "1 passed" in text and project.gate.all() == []
    assert "must be NAME=URL" in project.pytest("--envo-noproc", "db", code=4)


def test_services_can_be_left_for_the_next_run(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", HEAD + "def test_a(db): get(db.url)\n")
    for _ in range(2):
        assert "1 passed" in project.pytest("--envo-reuse")
    assert project.gate.all() == ["db up"]
    project.envo("down")
    assert project.gate.all() == ["db down"]


def test_jobs_that_were_done_can_be_run_again_once_in_a_run(project: Project) -> None:
    tell = f"import socket; gate = socket.socket(socket.AF_UNIX); gate.connect('{project.gate.path}'); gate.sendall(b'seeded')"
    project.file("seed.py", tell + "\n")
    seed = f"\n[testenv:seed]\ndepends = db\nserve = {sys.executable} seed.py\nready = exit\nallowlist_externals = *\n"
    project.ini(project.serve("db", "persistent = true"), seed, project.serve("api", "depends = seed"))
    project.file("test_it.py", "".join(f"def test_{name}(api): pass\n" for name in "abcd"))

    def reports(*words: str) -> "list[str]":
        assert "4 passed" in project.pytest(*words)
        return [report for report in project.gate.all() if report == "seeded"]

    assert reports() == ["seeded"]
    assert reports() == []
    assert reports("--envo-force") == ["seeded"]
    assert reports("-n", "2", "--envo-force") == ["seeded"]
    assert reports("-n", "2") == []


@pytest.mark.thorough
def test_services_stay_for_a_while_and_the_next_run_finds_them(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", HEAD + "def test_a(db): get(db.url)\n")
    for _ in range(2):
        assert "1 passed" in project.pytest("--envo-ttl", "60")
    assert project.gate.all() == ["db up"]
    assert "1 passed" in project.pytest("-n", "2", "--envo-ttl", "0.1")
    project.envo("down", "db")
    assert project.gate.next() == "db down"


def test_the_configuration_can_be_named_or_stand_in_the_ini_file(project: Project) -> None:
    (project.root / "below").mkdir()
    project.ini(project.serve("db").replace("service.py", str(project.root / "service.py")))
    (project.root / "tox.ini").rename(project.root / "below" / "tox.ini")
    project.file("test_it.py", HEAD + "def test_a(db): get(db.url)\n")
    assert "1 passed" in project.pytest("--envo-config", "below")
    assert "fixture 'db' not found" in project.pytest(code=1)
    project.file("pytest.ini", "[pytest]\nenvo_config = below/tox.ini\n")
    assert "1 passed" in project.pytest()


def test_a_configuration_that_is_wrong_harms_only_tests_with_services(project: Project) -> None:
    project.ini("\n[testenv:db]\nserve = x\nports = !\n")
    project.file("test_it.py", "import pytest\ndef test_a(): pass\n@pytest.mark.envo('db')\ndef test_b(): pass\n")
    text = project.pytest(code=1)
    assert "1 passed" in text and "there are no fixtures for services" in text and "tox.ini:" in text
    assert "no service is known here" in text
    project.file("test_it.py", "def test_a(envo_services): envo_services.get('db')\n")
    text = project.pytest(code=1)
    assert "UnknownService: " in text and "no configuration with services" not in text


def test_without_a_configuration_the_fixture_says_so(project: Project) -> None:
    project.file("test_it.py", "def test_a(envo_services): pass\n")
    text = project.pytest(code=1)
    assert "there is no configuration with services" in text and "--envo-config" in text


@pytest.mark.thorough
def test_all_workers_share_one_instance_which_ends_after_the_last(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file(
        "test_it.py",
        HEAD + "@pytest.mark.parametrize('n', range(200))\ndef test_a(db, n): assert get(db.url) == str(db.pid)\n",
    )
    assert "200 passed" in project.pytest("-n", "4")
    assert project.gate.all() == ["db up", "db down"]
    assert project.is_quiet()


@pytest.mark.thorough
def test_a_worker_that_is_killed_takes_no_service_with_it(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file(
        "test_it.py",
        HEAD
        + """
import signal
# Only this worker uses the service before it dies, and only its successor afterwards.
@pytest.mark.parametrize("n", range(20))
def test_a(db, n):
    get(db.url)
    if n == 10:
        os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    text = project.pytest("-n", "1", "--max-worker-restart", "2", code=1)
    assert "1 failed, 19 passed" in text, text
    assert project.gate.all() == ["db up", "db down"]


def test_a_killed_pytest_leaves_nothing(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", "import signal\ndef test_a(db):\n    print('here', flush=True)\n    signal.pause()\n")
    process = project.start_pytest("-s")
    assert process.stdout
    while "here" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [project.gate.next(), project.gate.next()] == ["db up", "db down"]


@pytest.mark.thorough
def test_a_killed_pytest_with_workers_leaves_no_service(project: Project) -> None:
    project.ini(project.serve("db"))
    fifo = project.root / "fifo"
    os.mkfifo(fifo)
    project.file("test_it.py", "import signal\ndef test_a(db):\n    open('fifo', 'w').write('here')\n    signal.pause()\n")
    process = project.start_pytest("-n", "2")
    assert fifo.read_text() == "here"
    process.send_signal(signal.SIGKILL)
    # Its workers have its standard output, and leave it, too.
    assert [project.gate.next(), project.gate.next()] == ["db up", "db down"]
    assert process.stdout
    process.stdout.read()
    process.wait()
    process.stdout.close()


@pytest.mark.thorough
def test_of_ten_runs_that_are_killed_no_process_is_left(project: Project) -> None:
    project.ini(project.serve("db"))
    fifo = project.root / "fifo"
    os.mkfifo(fifo)
    project.file("test_it.py", "import signal\ndef test_a(db):\n    open('fifo', 'w').write('here')\n    signal.pause()\n")
    for _ in range(10):
        process = project.start_pytest("-n", "2")
        assert fifo.read_text() == "here"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout
        process.stdout.close()
        assert [project.gate.next(), project.gate.next()] == ["db up", "db down"]
        project.wait_for_processes()


@pytest.mark.parametrize("words", [[], pytest.param(["-n", "2"], marks=pytest.mark.thorough)], ids=["alone", "workers"])
def test_an_interrupt_ends_the_run_and_its_services(project: Project, words: "list[str]") -> None:
    project.ini(project.serve("db"))
    fifo = project.root / "fifo"
    os.mkfifo(fifo)
    project.file("test_it.py", "import signal\ndef test_a(db):\n    open('fifo', 'w').write('here')\n    signal.pause()\n")
    process = project.start_pytest(*words)
    assert fifo.read_text() == "here"
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, text
    assert project.gate.next() == "db up" and project.gate.next() == "db down"


def test_the_first_failure_ends_the_run_and_its_services(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", "def test_a(db): assert 0\ndef test_b(db): pass\n")
    assert "stopping after 1 failures" in project.pytest("-x", code=1)
    assert project.gate.all() == ["db up", "db down"]


def test_a_debugger_that_stops_a_test_stops_no_service(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", HEAD + "def test_a(db):\n    url = db.url\n    assert 0\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "envo_run.pytest_plugin", "--pdb"],
        cwd=project.root,
        env=project.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    text, _ = process.communicate("p 'answer ' + get(url)\nq\n", timeout=PATIENCE)
    assert re.search(r"'answer \d+'", text), text
    assert project.gate.all() == ["db up", "db down"]


def test_a_run_inside_an_environment_uses_what_that_was_given(project: Project) -> None:
    section = (
        f"\n[testenv:app]\ndepends = db\nallowlist_externals = *\npass_env = PYTHONPATH\n"
        f"commands = {sys.executable} -m pytest -p no:cacheprovider -p envo_run.pytest_plugin test_it.py\n"
    )
    project.ini(project.serve("db"), project.serve("other"), section)
    project.file(
        "test_it.py",
        HEAD
        + """
def test_a(db, other):
    assert os.environ["TOX_ENV_NAME"] == "app"
    assert any(who.startswith("run (pid") for who in db.status()["leases"])
    assert not any(who.startswith("run (pid") for who in other.status()["leases"])
""",
    )
    assert "1 passed" in project.envo("run", "-e", "app", "--workdir", str(project.root / "elsewhere"))
    assert project.gate.all() == ["db up", "other up", "other down", "db down"]


def test_a_shell_and_a_run_with_other_variables_find_the_same_supervisor(project: Project) -> None:
    section = (
        f"\n[testenv:app]\nallowlist_externals = *\npass_env = PYTHONPATH\n"
        f"commands = {sys.executable} -m pytest -p no:cacheprovider -p envo_run.pytest_plugin test_it.py\n"
    )
    project.ini(project.serve("db"), section)
    project.file("test_it.py", "def test_a(db): assert 'up' in db.status()['leases']\n")
    project.envo("up", "--wait", "-e", "db")
    assert "1 passed" in project.envo("run", "-e", "app")
    assert project.gate.all() == ["db up"]


@pytest.mark.thorough
def test_what_the_program_tells_is_asked_once_for_all_workers(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", "def test_a(): pass\ndef test_b(): pass\n")
    folder = tmp_path_factory.mktemp("program")
    wrapper = folder / "envo"
    wrapper.write_text(f"#!/bin/sh\necho \"$1\" >> {folder}/asked\nexec {os.environ['ENVO_EXECUTABLE']} \"$@\"\n")
    wrapper.chmod(0o755)
    project.variables["ENVO_EXECUTABLE"] = str(wrapper)
    assert "2 passed" in project.pytest("-n", "2")
    assert (folder / "asked").read_text() == "services\n"
    # A project whose files say nothing of services is not asked for at all.
    project.ini()
    assert "2 passed" in project.pytest()
    assert (folder / "asked").read_text() == "services\n"


def test_pytest_does_not_rewrite_what_has_no_assertions_of_tests(project: Project) -> None:
    # Pytest says this by itself of every package with a plugin that is installed.
    project.file("conftest.py", "import pytest\npytest.register_assert_rewrite('envo_run')\n")
    project.ini(project.serve("svc1"))
    project.file(
        "test_it.py",
        """
        import sys
        def test_a(svc1):
            for name in ("_plugin", "_project", "_broker", "_handle"):
                assert type(sys.modules["envo_run." + name].__loader__).__name__ == "SourceFileLoader"
        """.replace("\n        ", "\n"),
    )
    assert "1 passed" in project.pytest()


def test_the_plugin_imports_little_where_there_are_no_services(project: Project) -> None:
    project.file("test_it.py", "import sys\ndef test_a(): print(sorted(m for m in sys.modules if m.startswith('envo_run')))\n")
    text = project.pytest("-s")
    assert json.dumps(["envo_run", "envo_run._plugin", "envo_run.pytest_plugin"]).replace('"', "'") in text


def test_a_service_for_each_test_is_new_every_time(project: Project) -> None:
    project.ini(project.serve("db", "share = test"), project.serve("api", "depends = db"), project.serve("base"))
    project.file(
        "test_it.py",
        HEAD
        + """
seen = []
@pytest.mark.parametrize("n", range(3))
def test_a(api, db, base, n):
    assert get(db.url) == str(db.pid) and get(api.url) == str(api.pid)
    assert db.pid not in seen and api.pid not in seen
    assert os.environ["ENVO_DB_URL"] == db.url
    seen.extend([db.pid, api.pid])
def test_b(base): assert "ENVO_DB_URL" not in os.environ
""",
    )
    assert "4 passed" in project.pytest()
    reports = project.gate.all()
    assert [reports.count(one) for one in ("db up", "api up", "base up", "db down", "api down", "base down")] == [3, 3, 1, 3, 3, 1]


@pytest.mark.thorough
def test_each_worker_has_an_instance_of_its_own(project: Project) -> None:
    project.ini(project.serve("db", "share = worker"), project.serve("base"))
    project.file(
        "test_it.py",
        HEAD
        + """
@pytest.mark.parametrize("n", range(20))
def test_a(db, base, worker_id, n):
    assert get(db.url) == str(db.pid)
    assert db.instance_name == "db@" + worker_id and db.namespace == worker_id and base.instance_name == "base"
    with open("instances", "a") as file:
        print(worker_id, db.pid, file=file)
""",
    )
    assert "40 passed" in project.pytest("-n", "2", "--dist", "each")
    assert len(set((project.root / "instances").read_text().splitlines())) == 2
    reports = project.gate.all()
    assert [reports.count(one) for one in ("db up", "base up", "db down", "base down")] == [2, 1, 2, 1]
    assert project.is_quiet()


def test_a_failing_report_has_the_log_of_the_instance_of_that_test(project: Project) -> None:
    project.ini(project.serve("db", "share = test"))
    project.file("test_it.py", HEAD + "def test_a(db):\n    get(db.url + '/inside')\n    assert 0\n")
    text = project.pytest(code=1)
    assert "envo log of db@master-1" in text and "GET /inside" in text
