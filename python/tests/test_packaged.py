"""Services that installed packages bring along: those of this repository, and some that are wrong."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Iterator

import pytest
from conftest import Project
from test_documentation import PAGE, sections

import envo_run as envo

HERE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with envo and the packages of this repository, as if pip had installed them."""
    folder = tmp_path_factory.mktemp("beside")
    venv.create(folder, with_pip=False)
    program = folder / "bin" / "envo"
    try:
        os.link(os.environ["ENVO_EXECUTABLE"], program)
    except OSError:
        shutil.copy(os.environ["ENVO_EXECUTABLE"], program)
    for name in ("postgres", "redis"):
        module = "envo_run_" + name
        install(folder, module, f"[envo.services]\n{name} = {module}:service\n", HERE / module.replace("_", "-"))
    return folder


def install(environment: Path, name: str, entry_points: str, source: Path) -> None:
    """What pip leaves behind of a package that is installed from where it stands."""
    (packages,) = environment.glob("lib/python*/site-packages")
    info = packages / f"{name}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    (packages / f"{name}.pth").write_text(f"{source}\n")


@pytest.fixture
def packaged(project: Project, beside: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose envo has the packages beside it."""
    executable = str(beside / "bin" / "envo")
    monkeypatch.setenv("ENVO_EXECUTABLE", executable)
    project.variables["ENVO_EXECUTABLE"] = executable
    return project


def ping(url: str) -> bytes:
    host, _, port = url[len("redis://") :].partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as stream:
        stream.sendall(b"PING\r\n")
        return stream.recv(100)


def test_installed_services_are_listed_with_the_package_they_come_from(packaged: Project) -> None:
    packaged.ini(packaged.serve("redis"))
    text = packaged.envo("services")
    assert [line.split()[:3] for line in text.splitlines()[1:]] == [
        ["redis", "tox.ini:10", "-"],
        ["postgres", "envo-run-postgres", "0.1.0"],
    ]


def test_an_environment_depends_on_redis_without_saying_what_that_is(packaged: Project) -> None:
    code = "import os, socket; print('redis at', os.environ['ENVO_REDIS_URL'])"
    packaged.ini(f'\n[testenv:app]\ndepends = redis\ncommands = python -c "{code}"\n')
    text = packaged.envo("run", "-e", "app")
    assert "redis at redis://127.0.0.1:" in text
    assert packaged.is_quiet()


def test_a_test_demands_redis(packaged: Project) -> None:
    packaged.ini("\n[testenv:app]\ndepends = redis\n")
    with envo.services("redis") as (redis,):
        assert ping(redis.url) == b"+PONG\r\n"
    packaged.file("test_it.py", "def test_a(redis): assert redis.url.endswith('/0')\n")
    assert "1 passed" in packaged.pytest()


def test_services_of_packages_are_fixtures_without_any_configuration(packaged: Project) -> None:
    packaged.file("test_it.py", "def test_a(redis): assert redis.url.endswith('/0')\n")
    assert "1 passed" in packaged.pytest()
    # One that says nothing of services, and an own fixture of that name.
    packaged.file("pyproject.toml", '[build-system]\nrequires = ["setuptools"]\n')
    packaged.file("conftest.py", "import pytest\n@pytest.fixture\ndef postgres(): return 'mine'\n")
    packaged.file("test_b.py", "def test_b(postgres, envo_services): assert postgres == 'mine' and envo_services.get('redis').url\n")
    assert "2 passed" in packaged.pytest()
    assert re.search(r"^redis \[session scope\].*\n +The service redis \(envo-run-redis 0.1.0\)", packaged.pytest("--fixtures"), re.M)


def test_a_program_that_is_not_installed_is_told_with_what_installs_it(packaged: Project, beside: Path) -> None:
    packaged.variables["PATH"] = str(beside / "bin")
    packaged.variables["ENVO_POSTGRES_BIN"] = str(packaged.root)
    packaged.file(
        "test_it.py",
        "def test_a(redis): pass\ndef test_b(postgres): pass\ndef test_c(postgres_database): pass\n",
    )
    text = packaged.pytest("-p", "envo_run_postgres.pytest_plugin", code=1)
    assert "3 errors" in text and "Traceback" not in text and "must be a mapping" not in text, text
    redis, postgres, database = re.split(r"^_{3,} .* _{3,}$", text.partition("short test summary")[0], flags=re.M)[1:]
    assert redis.count("apt-get install redis-server") == 1, redis
    for report in (postgres, database):
        assert report.count(f"PostgreSQL's `pg_isready` is not in {packaged.root}") == 1, report


def test_postgresql_that_is_not_installed_is_told_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import envo_run_postgres
    from envo_run_postgres import _server

    monkeypatch.delenv("ENVO_POSTGRES_BIN", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_server, "_FOLDERS", ())
    with pytest.raises(SystemExit, match="`pg_isready` was not found.*apt-get install postgresql"):
        envo_run_postgres.service()
    with pytest.raises(SystemExit, match="`initdb` was not found.*apt-get install postgresql"):
        _server.main("127.0.0.1", "1")
    handle = envo.Handle.elsewhere("postgres", "postgresql://db.test:5432/postgres")
    with pytest.raises(envo_run_postgres.NotInstalled, match="`psql` was not found.*apt-get install postgresql"):
        with envo_run_postgres.database(handle):
            pass


@pytest.mark.parametrize("module", ["envo_run", "envo_run_tox"])
def test_a_missing_envo_is_told_shortly(tmp_path: Path, module: str) -> None:
    python = tmp_path / "bin" / "python"
    venv.create(tmp_path, with_pip=False)
    paths = os.pathsep.join([str(HERE), str(HERE / "envo-run-tox")])
    code = "import envo_run_tox; envo_run_tox.main()"
    if module == "envo_run":
        code = "import runpy; runpy.run_module('envo_run', run_name='__main__')"
    variables = {"PATH": str(tmp_path), "PYTHONPATH": paths}
    done = subprocess.run([str(python), "-c", code], env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode()
    assert done.returncode == 1 and text.startswith("the program `envo` was not found") and "Traceback" not in text, text


@pytest.fixture
def clusters(packaged: Project) -> Iterator[Path]:
    """Where clusters are made: a folder that the server's own user may enter, and no other test knows."""
    folder = Path(tempfile.mkdtemp(prefix="envo-clusters-"))
    folder.chmod(0o755)
    packaged.variables["TMPDIR"] = str(folder)
    yield folder
    packaged.envo("down")
    shutil.rmtree(folder)


@pytest.mark.thorough
def test_postgresql_is_made_anew_and_gone_afterwards_and_each_worker_has_a_database(
    packaged: Project, clusters: Path
) -> None:
    packaged.ini("\n[testenv:app]\ndepends = postgres\n")
    packaged.file(
        "test_it.py",
        """
import subprocess, pytest
from envo_run_postgres import program

def sql(url, text):
    return subprocess.check_output([program("psql"), "-At", "-d", url, "-c", text], universal_newlines=True).strip()

@pytest.mark.parametrize("n", range(4))
def test_a(postgres_database, worker_id, n):
    assert sql(postgres_database, "SELECT current_database()") == "test_" + worker_id
    sql(postgres_database, f"CREATE TABLE t{n} (x int)")

def test_b(postgres):
    assert sql(postgres.url, "SELECT 6 * 7") == "42"
""",
    )
    assert "5 passed" in packaged.pytest("-n", "2", "-p", "envo_run_postgres.pytest_plugin")
    assert packaged.is_quiet()
    assert not list(clusters.glob("envo-run-postgres-*"))


def test_only_clusters_that_nobody_has_any_more_are_removed(clusters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(clusters))
    from envo_run_postgres import _server

    used, lock = _server._make_folder()
    left, other = _server._make_folder()
    os.close(other)
    new = clusters / "envo-run-postgres-new"
    new.mkdir()
    # What initdb runs has a number here that is not of a process.
    for folder in (used, left):
        os.mkdir(os.path.join(folder, "data"))
        with open(os.path.join(folder, "data", "postmaster.pid"), "w") as file:
            file.write("-99999999\n")
    _server._remove_stale()
    assert set(clusters.iterdir()) == {Path(used), new}
    os.close(lock)
    _server._remove_stale()
    assert list(clusters.iterdir()) == [new]


def test_toml_can_depend_on_a_packaged_service(packaged: Project) -> None:
    packaged.file("tox.toml", "[env_run_base]\npackage = 'skip'\n[env.app]\ndepends = ['redis']\n")
    with envo.services("redis") as (redis,):
        assert ping(redis.url) == b"+PONG\r\n"


def test_what_a_package_says_wrongly_is_told(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    shutil.copy(os.environ["ENVO_EXECUTABLE"], folder / "bin" / "envo")
    source = tmp_path / "source"
    source.mkdir()
    (source / "wrong.py").write_text("number = 7\nempty = {}\ndef broken(): raise OSError('no such disk')\n")
    points = "[envo.services]\nnumber = wrong:number\nempty = wrong:empty\nbroken = wrong:broken\ngone = wrong:gone\n"
    install(folder, "wrong", points, source)
    monkeypatch.setenv("ENVO_EXECUTABLE", str(folder / "bin" / "envo"))
    for name, reason in [("broken", "no such disk"), ("empty", "no `serve`"), ("gone", "gone"), ("number", "TypeError")]:
        project.ini(f"\n[testenv:app]\ndepends = {name}\n")
        with pytest.raises(envo.ConfigurationError, match=f"the service `{name}` of wrong 0.1.0 cannot be loaded: .*{reason}"):
            envo.services(name).start()


def test_the_package_of_the_documentation_is_what_its_page_says(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files,) = [files for title, files, _ in sections() if title == "Services in packages"]
    found = re.search(r'^\[project\.entry-points\."envo\.services"\]\n(.*?)^```$', PAGE.read_text(), re.M | re.S)
    assert found
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=False)
    shutil.copy(os.environ["ENVO_EXECUTABLE"], folder / "bin" / "envo")
    source = tmp_path / "source"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text)
    install(folder, "envo_echo", "[envo.services]\n" + found.group(1).replace('"', ""), source)
    monkeypatch.setenv("ENVO_EXECUTABLE", str(folder / "bin" / "envo"))
    code = "import os, urllib.request as r; print('echo says', r.urlopen(os.environ['ENVO_ECHO_URL']).status)"
    project.ini(f'\n[testenv:app]\ndepends = echo\ncommands = python -c "{code}"\n')
    assert "echo says 200" in project.envo("run", "-e", "app")
    # Its description is not known: the package is loaded when its service is needed.
    assert re.search("echo +envo-echo 0.1.0 ", project.envo("services"))
    project.variables["ENVO_EXECUTABLE"] = os.environ["ENVO_EXECUTABLE"]
    project.file("test_it.py", "def test_a(echo): assert echo.url == f'http://127.0.0.1:{echo.port}'\n")
    assert "1 passed" in project.pytest()


@pytest.mark.thorough
def test_a_package_that_requires_names_is_installed_and_its_service_found(project: Project) -> None:
    wheel = make_wheel(project.root / "dist")
    code = "import os; print('echo at', os.environ['ENVO_ECHO_URL'])"
    project.ini(f'\n[testenv:app]\ndepends = echo\ncommands = python -c "{code}"\n')
    text = (project.root / "tox.ini").read_text()
    requirement = f"requires = envo-echo @ file://{wheel}"
    (project.root / "tox.ini").write_text(text.replace("no_package = true", "no_package = true\n" + requirement))
    # The environment of `requires` has no tox, and none is wanted.
    assert "echo at tcp://127.0.0.1:" in project.envo("run", "-e", "app")
    assert "envo-echo 0.1.0" in project.envo("services")
    with envo.services("echo") as (echo,):
        assert echo.port


def make_wheel(folder: Path) -> Path:
    """A package with a service, built by hand."""
    import zipfile

    folder.mkdir()
    path = folder / "envo_echo-0.1.0-py3-none-any.whl"
    info = "envo_echo-0.1.0.dist-info"
    serve = "[sys.executable, '-m', 'http.server', '{port}']"
    files = {
        "envo_echo.py": f"import sys\nservice = dict(serve={serve}, ports=['tcp'], runtime='system')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: envo-echo\nVersion: 0.1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[envo.services]\necho = envo_echo:service\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path
