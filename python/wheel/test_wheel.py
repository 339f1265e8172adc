"""What `pip install envo` gives: the wheel is built, and installed into an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from typing import Dict, List

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run(words: List[str], **options: object) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def maturin(*words: str) -> None:
    run([sys.executable, "-m", "maturin", *words], cwd=REPOSITORY)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with envo and what goes with it."""
    wheels = tmp_path_factory.mktemp("wheels")
    # What cargo has compiled for the tests of the program is used as it is.
    maturin("build", "--profile", "dev", "--locked", "--out", str(wheels))
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    (wheel,) = wheels.glob("envo-*.whl")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, str(wheel), "pytest", str(REPOSITORY / "python" / "envo-tox")])
    return folder


def bare(environment: Path) -> Dict[str, str]:
    """Variables with which no other Python and no other envo can be found."""
    keep = {name: value for name, value in os.environ.items() if name in ("HOME", "ENVO_CACHE_DIR", "LANG")}
    return {**keep, "PATH": "/nonexistent", "ENVO_INSTALLER": "pip"}


def test_the_program_comes_with_the_package(environment: Path) -> None:
    variables = bare(environment)
    version = run([str(environment / "bin" / "envo"), "--version"], env=variables)
    assert version.startswith("envo ")
    assert run([str(environment / "bin" / "python"), "-m", "envo", "--version"], env=variables) == version
    assert run([str(environment / "bin" / "python"), "-c", "import envo; print(envo.find_program())"], env=variables) == str(
        environment / "bin" / "envo\n"
    )


def test_the_python_beside_the_program_is_the_host_python(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "tox.ini").write_text(
        "[tox]\nenv_list = a\n[testenv]\npackage = skip\ncommands = python -c \"import sys; print('base', sys.base_prefix)\"\n"
    )
    text = run([str(environment / "bin" / "envo"), "run"], cwd=tmp_path, env=bare(environment))
    assert f"base {sys.base_prefix}\n" in text


def test_the_command_tox_is_envo_under_its_name(environment: Path) -> None:
    text = run([str(environment / "bin" / "tox"), "--version"], env=bare(environment))
    assert "envo" in text or text.startswith("4."), text
    assert "tox" in run([str(environment / "bin" / "tox"), "--help"], env=bare(environment)).splitlines()[0]


def test_pytest_finds_the_plugin(environment: Path, tmp_path: Path) -> None:
    python = str(environment / "bin" / "python")
    (tmp_path / "tox.ini").write_text(
        "[tox]\nno_package = true\n[testenv:db]\npackage = skip\nserve = python -m http.server {port}\nports = http\n"
    )
    (tmp_path / "test_it.py").write_text("def test_a(db): assert db.url.startswith('tcp://127.0.0.1:')\n")
    assert "1 passed" in run([python, "-m", "pytest"], cwd=tmp_path, env=bare(environment))
    assert "--envo-reuse" in run([python, "-m", "pytest", "--help"], cwd=tmp_path, env=bare(environment))


def test_types_are_installed(environment: Path) -> None:
    (package,) = environment.glob("lib/python*/site-packages/envo")
    assert (package / "py.typed").exists()
    assert not list(package.parent.glob("tests"))


def test_the_source_distribution_has_what_a_build_needs(tmp_path: Path) -> None:
    maturin("sdist", "--out", str(tmp_path))
    (archive,) = tmp_path.glob("envo-*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "src").rglob("*") if path.is_file()}
    package = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "python/envo").glob("*.py")}
    assert not (sources | package | {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE"}) - names
    assert not [name for name in names if name.startswith(("fixtures/", "compat-tests/", "python/tests/"))]


def test_the_source_distribution_builds_and_its_program_starts(tmp_path: Path) -> None:
    maturin("sdist", "--out", str(tmp_path))
    (archive,) = tmp_path.glob("envo-*.tar.gz")
    # The crates it needs were compiled for the tests of the program.
    variables = {
        **os.environ,
        "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", str(REPOSITORY / "target")),
        "MATURIN_PEP517_ARGS": "--profile dev --locked",
    }
    folder = tmp_path / "environment"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-build-isolation", "--prefix", str(folder), str(archive)], env=variables, cwd=tmp_path)
    assert run([str(folder / "bin" / "envo"), "--version"], env=bare(folder)).startswith("envo ")
    assert list(folder.glob("lib/python*/site-packages/envo/pytest_plugin.py"))
