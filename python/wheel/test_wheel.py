"""What `pip install envo-run` gives: the wheel is built, and installed into an environment that has nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Dict, List, Set

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run(words: List[str], **options: object) -> str:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


def maturin(*words: str) -> None:
    run([sys.executable, "-m", "maturin", *words], cwd=REPOSITORY)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    wheels = tmp_path_factory.mktemp("wheels")
    # What cargo has compiled for the tests of the program is used as it is.
    maturin("build", "--profile", "dev", "--locked", "--out", str(wheels))
    (wheel,) = wheels.glob("envo_run-*.whl")
    return wheel


def pip_install(environment: Path, *words: str) -> None:
    run([str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *words])


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with envo and what goes with it."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip_install(folder, str(wheel), "pytest", str(REPOSITORY / "python" / "envo-run-tox"))
    return folder


def bare(environment: Path) -> Dict[str, str]:
    """Variables with which no other Python and no other envo can be found."""
    keep = {name: value for name, value in os.environ.items() if name in ("HOME", "ENVO_CACHE_DIR", "LANG")}
    return {**keep, "PATH": "/nonexistent", "ENVO_INSTALLER": "pip"}


def test_the_program_comes_with_the_package(environment: Path) -> None:
    variables = bare(environment)
    version = run([str(environment / "bin" / "envo"), "--version"], env=variables)
    assert version.startswith("envo ")
    assert run([str(environment / "bin" / "python"), "-m", "envo_run", "--version"], env=variables) == version
    assert run([str(environment / "bin" / "python"), "-c", "import envo_run; print(envo_run.find_program())"], env=variables) == str(
        environment / "bin" / "envo\n"
    )


def test_the_command_envo_run_becomes_the_program(environment: Path, tmp_path: Path) -> None:
    variables = bare(environment)
    command = str(environment / "bin" / "envo-run")
    assert run([command, "--version"], env=variables) == run([str(environment / "bin" / "envo"), "--version"], env=variables)
    # The same process goes on: its exit code is the command's, and so are the signals it gets.
    (tmp_path / "tox.ini").write_text(
        "[tox]\nenv_list = a\n[testenv]\npackage = skip\ncommands = python -c \"import os; print('parent', os.getppid()); exit(3)\"\n"
    )
    process = subprocess.Popen([command, "run"], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, universal_newlines=True)
    text, _ = process.communicate()
    assert f"parent {process.pid}\n" in text, text
    assert process.returncode == 3, text


def test_uvx_runs_the_wheel(wheel: Path, tmp_path: Path) -> None:
    uv = [sys.executable, "-m", "uv", "tool", "run", "--no-config", "--offline", "--python", sys.executable]
    variables = {**bare(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_TOOL_DIR": str(tmp_path / "tools")}
    # By its name alone, as `uvx envo-run` finds it in an index.
    for words in (["--from", str(wheel), "envo-run"], ["--no-index", "--find-links", str(wheel.parent), "envo-run"]):
        assert f"envo {wheel.name.split('-')[1]} " in run([*uv, *words, "--version"], env=variables)


def foreign_wheel(folder: Path) -> Path:
    """A wheel of the other package called envo: a module and a command of that name."""
    path = folder / "envo-9.0-py3-none-any.whl"
    info = "envo-9.0.dist-info"
    files = {
        "envo/__init__.py": "def main(): print('another envo')\n",
        "envo/__main__.py": "from envo import main\nmain()\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: envo\nVersion: 9.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nenvo = envo:main\n",
    }
    record = "".join(f"{name},,\n" for name in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def files_of(environment: Path, distribution: str) -> Set[str]:
    """The files that pip has recorded, those it compiled left out."""
    (record,) = environment.glob(f"lib/python*/site-packages/{distribution}-*.dist-info/RECORD")
    return {line.partition(",")[0] for line in record.read_text().splitlines() if "__pycache__" not in line}


def test_the_other_envo_and_this_one_share_an_environment_but_for_the_command(wheel: Path, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    variables = bare(folder)
    python, program, command = (str(folder / "bin" / name) for name in ("python", "envo", "envo-run"))
    find = [python, "-c", "import envo_run; print(envo_run.find_program())"]
    other = str(foreign_wheel(tmp_path))

    pip_install(folder, "--no-index", other)
    pip_install(folder, "--no-index", str(wheel))
    assert files_of(folder, "envo") & files_of(folder, "envo_run") == {"../../../bin/envo"}
    version = run([command, "--version"], env=variables)
    assert version.startswith("envo ") and version == run([program, "--version"], env=variables)
    assert run([python, "-m", "envo"], env=variables) == "another envo\n"
    assert run(find, env=variables) == program + "\n"

    # The last one that is installed has the command. The other's is not taken for the program.
    pip_install(folder, "--no-index", "--force-reinstall", other)
    assert run([program], env=variables) == "another envo\n"
    for words in ([command], [python, "-m", "envo_run"]):
        done = subprocess.run(words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        assert done.returncode == 1 and done.stdout.startswith(f"`{program}` is the command of another package"), done.stdout
        assert "hint: `pip install --force-reinstall --no-deps envo-run`" in done.stdout
    pip_install(folder, "--no-index", "--force-reinstall", "--no-deps", str(wheel))
    assert run([command, "--version"], env=variables) == version
    assert run([python, "-m", "envo"], env=variables) == "another envo\n"


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
    (package,) = environment.glob("lib/python*/site-packages/envo_run")
    assert (package / "py.typed").exists()
    assert not list(package.parent.glob("tests"))


def test_the_source_distribution_has_what_a_build_needs(tmp_path: Path) -> None:
    maturin("sdist", "--out", str(tmp_path))
    (archive,) = tmp_path.glob("envo_run-*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    sources = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "src").rglob("*") if path.is_file()}
    package = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "python/envo_run").glob("*.py")}
    assert not (sources | package | {"Cargo.toml", "Cargo.lock", "pyproject.toml", "README.md", "LICENSE"}) - names
    assert not [name for name in names if name.startswith(("fixtures/", "compat-tests/", "python/tests/"))]


def test_the_source_distribution_builds_and_its_program_starts(tmp_path: Path) -> None:
    maturin("sdist", "--out", str(tmp_path))
    (archive,) = tmp_path.glob("envo_run-*.tar.gz")
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
    assert list(folder.glob("lib/python*/site-packages/envo_run/pytest_plugin.py"))
    assert run([str(folder / "bin" / "envo-run"), "--version"], env=bare(folder)).startswith("envo ")
