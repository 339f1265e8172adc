"""The mixin for unittest and the decorator."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from typing import Any

import pytest
from conftest import Project, get

import envo_run as envo
from envo_run.testing import ServicesMixin, with_services


def run(case: "type[unittest.TestCase]") -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return result


def test_a_test_case_has_its_services_while_its_tests_run(project: Project) -> None:
    project.ini(project.serve("db"), project.serve("api"))

    class Case(ServicesMixin, unittest.TestCase):
        envo_services = ["db", "api"]

        def test_one(self) -> None:
            self.assertEqual(get(os.environ["ENVO_DB_URL"]), str(self.services["db"].pid))

        def test_two(self) -> None:
            get(self.services["api"].url)

    result = run(Case)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])
    assert sorted(project.gate.all()) == ["api down", "api up", "db down", "db up"]
    assert "ENVO_DB_URL" not in os.environ


def test_a_class_that_cannot_be_set_up_lets_go(project: Project) -> None:
    project.ini(project.serve("db"))

    class Base:
        @classmethod
        def setUpClass(cls) -> None:
            raise OSError("no luck")

    class Case(ServicesMixin, Base, unittest.TestCase):
        envo_services = ["db"]

        def test_one(self) -> None:
            pass

    assert "no luck" in run(Case).errors[0][1]
    assert project.gate.all() == ["db up", "db down"]


def test_a_function_is_given_handles_while_it_runs(project: Project) -> None:
    project.ini(project.serve("db"))

    @with_services("db")
    def use(db: envo.Handle, more: int = 0, *, other: int = 0) -> Any:
        assert os.environ["ENVO_DB_URL"] == db.url
        return get(db.url) and (more, other)

    assert use(1, other=2) == (1, 2)
    assert use.__name__ == "use"

    class Thing:
        @with_services("db")
        def method(self, db: envo.Handle) -> str:
            return get(db.url)

    assert Thing().method()
    assert project.gate.all() == ["db up", "db down"] * 2
    with pytest.raises(envo.UnknownService):
        with_services("nope")(use)()
    assert "ENVO_DB_URL" not in os.environ


def test_unittest_runs_such_a_case_by_itself(project: Project) -> None:
    project.ini(project.serve("db"))
    project.file(
        "test_it.py",
        "import unittest\nfrom envo_run.testing import ServicesMixin\n"
        "class Case(ServicesMixin, unittest.TestCase):\n    envo_services = ['db']\n"
        "    def test_a(self): self.assertTrue(self.services['db'].port)\n",
    )
    words = [sys.executable, "-m", "unittest", "test_it"]
    done = subprocess.run(words, cwd=project.root, env=project.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    assert project.gate.all() == ["db up", "db down"]
    assert "1 passed" in project.pytest()
