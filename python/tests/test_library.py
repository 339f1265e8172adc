"""`envo.services` and handles, as scripts use them."""

from __future__ import annotations

import asyncio
import datetime
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError

import pytest
from conftest import Project, get

import envo_run as envo
from envo_run import _logs


def test_services_run_as_long_as_the_block_and_tell_where_they_are(project: Project) -> None:
    project.ini(project.serve("Svc1"), project.serve("my-db", "depends = Svc1"))
    with envo.services("my-db", "Svc1") as held:
        db, svc = held
        assert held["my-db"] is db and held[1] is svc and len(held) == 2
        assert (db.host, db.ports, db.url) == ("127.0.0.1", {"http": db.port}, f"http://127.0.0.1:{db.port}")
        assert get(db.url + "/hello") == str(db.pid)
        prefix = "ENVO_MY_DB"
        port = str(db.port)
        assert db.env == {
            prefix + "_HOST": "127.0.0.1",
            prefix + "_URL": db.url,
            prefix + "_PORT": port,
            prefix + "_PORT_HTTP": port,
        }
        assert held.env == {**db.env, **svc.env}
        assert os.path.basename(db.log_path) == "my-db.log"
        assert (str(db), repr(db)) == (db.url, f"<envo.Handle my-db at {db.url}>")
        assert project.gate.all() == ["Svc1 up", "my-db up"]
    assert project.gate.all() == ["my-db down", "Svc1 down"]
    assert project.is_quiet()


def test_what_runs_already_is_used_and_left(project: Project) -> None:
    project.ini(project.serve("db"))
    project.envo("up", "--wait")
    with envo.services("db") as (db,):
        assert "envo" not in db.status()["leases"] and "up" in db.status()["leases"]
    assert project.gate.all() == ["db up"]
    assert not project.is_quiet()
    project.envo("down")
    assert project.gate.all() == ["db down"]


def test_what_somebody_else_holds_goes_on(project: Project) -> None:
    project.ini(project.serve("a"), project.serve("b"))
    with envo.services("a"):
        with envo.services("a", "b") as (a, _):
            get(a.url)
        assert project.gate.all() == ["a up", "b up", "b down"]
    assert project.gate.all() == ["a down"]


def test_a_service_can_be_restarted_stopped_and_started(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db") as (db,):
        before = db.pid
        db.restart()
        assert db.pid != before and get(db.url)
        db.stop()
        assert db.pid is None
        with pytest.raises(URLError):
            get(db.url)
        with pytest.raises(envo.ServiceStopped):
            db.wait(timeout=5)
        db.start()
        db.wait()
        assert get(db.url) == str(db.pid)


def test_logs_are_told_from_the_beginning_or_since_a_moment(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db") as (db,):
        assert db.logs().startswith("db begins\n")
        assert db.logs(since=datetime.timedelta(hours=1)).startswith("db begins\n")
        assert db.logs(since=datetime.datetime.now() - datetime.timedelta(hours=1)).startswith("db begins\n")
        assert db.logs(since=time.time() + 3600) == ""


def test_what_is_not_in_a_log_yet_counts_as_written_before(tmp_path: Path) -> None:
    words = ["sh", "-c", "echo written; read line"]
    log = tmp_path / "db.log"
    log.write_bytes(b"begins\n")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin and writer.stdout
        select.select([writer.stdout], [], [])
        assert _logs.on_its_way(writer.pid) == len(b"written\n")
        inode, position = _logs.mark_of_all_written(str(log), writer.pid)
        with log.open("ab") as file:
            file.write(os.read(writer.stdout.fileno(), 100))
        assert _logs.mark_of_all_written(str(log), writer.pid) == (inode, position) == _logs.mark(str(log))
        assert _logs.on_its_way(writer.pid) == 0
        writer.stdin.close()
    assert _logs.mark_of_all_written(str(log), writer.pid) == (inode, position)


def test_a_service_that_ends_tells_its_last_lines(project: Project) -> None:
    broken = f"\n[testenv:db]\nserve = {sys.executable} -c \"print('no disk'); raise SystemExit(3)\"\nready = log:never\n"
    project.ini(broken, "allowlist_externals = *\n")
    with pytest.raises(envo.ServiceFailed) as raised:
        envo.services("db").start()
    assert raised.value.last_lines == ("no disk",)
    assert raised.value.names == ("db",)
    assert "exited with code 3" in str(raised.value) and "no disk" in str(raised.value)


def test_a_service_that_is_not_ready_in_time_has_failed(project: Project) -> None:
    project.ini(project.serve("db", "ready_timeout = 0.3").replace("ready = http", "ready = log:never #"))
    with pytest.raises(envo.ServiceFailed, match="0.3"):
        envo.services("db").start()


def test_names_and_configurations_that_are_wrong_are_told(project: Project) -> None:
    project.ini(project.serve("db"))
    with pytest.raises(envo.UnknownService, match="`dbb` is no service of .*tox.ini\nhint: services are: db"):
        envo.services("dbb").start()
    with pytest.raises(envo.ConfigurationError, match="does not exist"):
        envo.Project("nowhere/tox.ini").services
    project.ini("\n[testenv:db]\nserve = x\nports = !\n")
    with pytest.raises(envo.ConfigurationError, match="tox.ini:"):
        envo.Project().services


def test_an_environment_that_cannot_be_built_is_told(project: Project) -> None:
    project.ini(project.serve("db", "commands_pre = python -c \"raise SystemExit('no luck')\""))
    with pytest.raises(envo.ServiceFailed):
        envo.services("db").start()
    project.ini(project.serve("db", "base_python = python9.9"))
    with pytest.raises(envo.BuildError, match="python9.9"):
        envo.services("db").start()


def test_a_service_can_be_awaited(project: Project) -> None:
    project.ini(project.serve("db"))

    async def use() -> str:
        async with envo.services("db") as (db,):
            return get(db.url)

    assert asyncio.run(use())
    assert project.gate.all() == ["db up", "db down"]


def test_a_task_that_is_cancelled_while_services_start_holds_none(project: Project) -> None:
    project.ini(project.serve("db").replace("ready = http", "ready = cmd:test -e go #"))
    held = envo.services("db")

    async def begin() -> None:
        async with held:
            raise AssertionError("it was cancelled before")

    async def use() -> None:
        task = asyncio.ensure_future(begin())
        assert await asyncio.get_running_loop().run_in_executor(None, project.gate.next) == "db up"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        project.file("go", "")

    asyncio.run(use())
    assert project.gate.next() == "db down"
    assert list(held) == []


def test_the_configuration_can_be_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.ini(project.serve("db"))
    other = project.file("elsewhere/empty", "").parent
    monkeypatch.chdir(other)
    with envo.services("db", config=project.root) as (db,):
        get(db.url)
    with envo.services("db", config=project.root / "tox.ini") as (db,):
        get(db.url)


def test_services_can_be_left_for_the_next_time(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db", reuse=True):
        pass
    with envo.services("db") as (db,):
        get(db.url)
    assert project.gate.all() == ["db up"]
    project.envo("down")
    assert project.gate.all() == ["db down"]


def test_services_stay_for_a_while_after_the_last_use(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db", ttl=60):
        pass
    assert project.gate.all() == ["db up"] and not project.is_quiet()
    project.envo("down", "db")
    assert project.gate.next() == "db down"
    with envo.services("db", ttl=0.2):
        pass
    assert [project.gate.next(), project.gate.next()] == ["db up", "db down"]


def test_a_service_elsewhere_is_only_an_address(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db", noproc={"db": "postgresql://me@db.test:5432/shop"}) as (db,):
        assert (db.host, db.port, db.url) == ("db.test", 5432, "postgresql://me@db.test:5432/shop")
        assert (db.pid, db.logs(), db.log_path) == (None, "", "")
        with pytest.raises(envo.ServiceError, match="not envo's"):
            db.restart()
    assert project.gate.all() == []


HOLDER = """
import os, sys
import envo_run as envo
with envo.services("db") as (db,):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_is_killed_holds_nothing_any_more(project: Project) -> None:
    project.ini(project.serve("db"))
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGKILL)
    assert [project.gate.next(), project.gate.next()] == ["db up", "db down"]


def test_who_lets_go_last_waits_for_the_end_although_others_have_only_just_gone(project: Project) -> None:
    project.ini(project.serve("db"))
    for _ in range(5):
        others = [envo.services("db").start() for _ in range(40)]
        with envo.services("db"):
            for other in others:
                # As when a process ends: nobody says goodbye.
                lease = other["db"]._lease
                assert lease
                lease.connection.close()
        assert project.gate.all() == ["db up", "db down"]


def test_a_forked_process_can_ask_and_holds_nothing(project: Project) -> None:
    project.ini(project.serve("db"))
    with envo.services("db") as (db,):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                os.write(writer, str(db.pid).encode())
                # Stays behind as a daemon would, until the other end of the pipe is closed.
                os.set_blocking(writer, True)
                while True:
                    os.write(writer, b"." * 4096)
            finally:
                os._exit(0)
        os.close(writer)
        assert os.read(reader, 100).decode().strip(".") == str(db.pid)
    assert project.gate.all() == ["db up", "db down"]
    os.close(reader)
    os.waitpid(child, 0)


def test_the_package_runs_the_program(project: Project) -> None:
    words = [sys.executable, "-m", "envo_run"]
    assert subprocess.check_output([*words, "--version"], env=project.variables).startswith(b"envo ")
    assert subprocess.call([*words, "run", "-e", "nope"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0


def test_a_package_without_the_program_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVO_EXECUTABLE", "/nowhere/envo")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("sysconfig.get_path", lambda *_: "/nowhere")
    with pytest.raises(envo.ProgramNotFound, match="pip install envo-run"):
        envo.find_program()


@pytest.mark.parametrize(
    ("start", "is_another"),
    [
        ("#!/here/bin/python\nimport sys\n", True),
        ("#!/usr/bin/env pypy3\n", True),
        ("#!/bin/sh\n'''exec' '/with a space/bin/python' \"$0\" \"$@\"\n' '''\n", True),
        ("#!/bin/sh\nexec /elsewhere/envo \"$@\"\n", False),
        ("#!/usr/bin/env bash\n# pyenv runs the program\n", False),
        ("\x7fELF", False),
        ("", False),
    ],
)
def test_a_python_script_is_not_taken_for_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, is_another: bool
) -> None:
    program = tmp_path / "envo"
    program.write_text(start)
    program.chmod(0o755)
    monkeypatch.delenv("ENVO_EXECUTABLE", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: "/nowhere")
    if is_another:
        with pytest.raises(envo.ProgramNotFound, match=f"`{program}` is the command of another package(.|\n)*--force-reinstall"):
            envo.find_program()
        # One on PATH counts more, and so does one that is named, whatever it is.
        (tmp_path / "path").mkdir()
        own = tmp_path / "path" / "envo"
        own.write_text("\x7fELF")
        own.chmod(0o755)
        monkeypatch.setenv("PATH", str(own.parent))
        assert envo.find_program() == str(own)
        monkeypatch.setenv("ENVO_EXECUTABLE", str(program))
    assert envo.find_program() == str(program)


def test_everything_that_is_promised_is_there() -> None:
    for name in envo.__all__:
        assert getattr(envo, name) is not None
    assert "services" in dir(envo)
    with pytest.raises(AttributeError):
        envo.nothing
