"""Tests that pytest-forked runs in processes of their own."""

from __future__ import annotations

import pytest
from conftest import Project

pytest.importorskip("pytest_forked", exc_type=ImportError)
if int(pytest.__version__.split(".")[0]) >= 9:
    pytest.skip("this pytest-forked does not work with this pytest", allow_module_level=True)

TESTS = """
import os, signal, pytest, urllib.request
@pytest.mark.parametrize("n", range(6))
def test_a(db, n):
    assert urllib.request.urlopen(db.url).read().decode() == str(db.pid)
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("words", [["--forked"], ["--forked", "-n", "2"]], ids=["alone", "workers"])
def test_forked_tests_share_a_service_that_outlives_each_of_them(project: Project, words: "list[str]") -> None:
    project.ini(project.serve("db"))
    project.file("test_it.py", TESTS)
    assert "1 failed, 5 passed" in project.pytest(*words, code=1)
    assert project.gate.all() == ["db up", "db down"]
