"""Runs the examples of docs/testing.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
from conftest import Project

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"


def sections() -> List[Tuple[str, Dict[str, str], List[str]]]:
    """The headings of the page, each with its files by their names and its other Python."""
    found = []
    for part in re.split(r"^## ", "Services in tests\n" + PAGE.read_text(), flags=re.M):
        title = part.partition("\n")[0]
        blocks = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", part, re.M | re.S)
        files = {name: text for _, name, text in blocks if name}
        found.append((title, files, [text for language, name, text in blocks if language == "python" and not name]))
    return found


WITH_TESTS = [(title, files) for title, files, _ in sections() if any(name.startswith("test_") for name in files)]


@pytest.mark.thorough
@pytest.mark.parametrize("files", [files for _, files in WITH_TESTS], ids=[title for title, _ in WITH_TESTS])
def test_an_example_runs_as_it_stands(project: Project, files: Dict[str, str]) -> None:
    for name, text in files.items():
        project.file(name, text)
    text = project.pytest()
    expected = sum(len(re.findall(r"^ *def test_", text, re.M)) for text in files.values())
    assert f"{expected} passed" in text
    assert project.is_quiet()


def test_there_is_an_example_for_each_of_the_others() -> None:
    titles = [title for title, _ in WITH_TESTS]
    for name in ("pytest-docker", "pytest-xprocess", "testcontainers", "jaraco.services"):
        assert f"From {name}" in titles
    for _, _, others in sections():
        for text in others:
            ast.parse(text)


@pytest.mark.thorough
def test_the_recipe_for_django_runs_as_it_stands(project: Project) -> None:
    (files,) = [files for title, files, _ in sections() if title == "Django"]
    for name, text in files.items():
        project.file(name, text)
    words = [sys.executable, "-m", "django", "test", "--settings", "settings"]
    done = subprocess.run(words, cwd=project.root, env=project.variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and b"Ran 1 test" in done.stdout, done.stdout.decode()
    assert project.is_quiet()


def test_a_service_of_a_package_is_what_the_page_says() -> None:
    (files,) = [files for title, files, _ in sections() if title == "Services in packages"]
    found: Dict[str, object] = {}
    exec(files["envo_echo.py"], found)
    service = found["service"]
    assert callable(service)
    declared = service()
    assert isinstance(declared, dict) and declared["serve"][0] == sys.executable
