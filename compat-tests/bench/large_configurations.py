#!/usr/bin/env python3
"""Write configurations of many environments below a folder, for measuring: large_configurations.py FOLDER [NUMBER].

Each kind gets a folder of its own with a project in it; NUMBER is how many environments there are, 10,000 by default.
"""

import argparse
from pathlib import Path


def names(number):
    """Names written out of an expression in `env_list`, with conditional settings."""
    first = ",".join(f"a{at}" for at in range(number // 100))
    last = ",".join(f"c{at}" for at in range(10))
    return f"""[tox]
env_list = {{{first}}}-x{{0-9}}-{{{last}}}
[testenv]
description = for {{env_name}}
package = wheel
pass_env =
    CI
    a1: A1
    GITHUB_*
deps =
    a1: pytest
    x{{1-3}}: other
commands = pytest {{posargs}}
"""


def ranges(number):
    """Names written out of a range."""
    return f"""[tox]
env_list = {{a,b}}-{{1-{number // 2}}}
[testenv]
description = for {{env_name}}
package = wheel
deps =
    a: pytest
    b: other
commands = pytest {{posargs}}
"""


def listed(number):
    """Names written one by one, with nothing said of them."""
    return "[tox]\nenv_list =\n" + "".join(f"    e{at}\n" for at in range(number)) + "[testenv]\ncommands = pytest\n"


def sections(number):
    """A section of its own for every environment."""
    own = """[testenv:e{0}]
description = environment number {0}
package = wheel
pass_env =
    CI
    GITHUB_*
    E{0}
set_env =
    A = {0}
    B = {{env:HOME}}
deps =
    pytest>=8
    one-{0}
commands =
    pytest {{posargs:tests}} --number {0}
"""
    return "[tox]\nenv_list = e0, e1\n[testenv]\npackage = wheel\n" + "".join(own.format(at) for at in range(number))


def tables(number):
    """The same as `sections`, in TOML."""
    own = """[env.e{0}]
description = "environment number {0}"
package = "wheel"
pass_env = ["CI", "GITHUB_*", "E{0}"]
set_env = {{ A = "{0}", B = "x" }}
deps = ["pytest>=8", "one-{0}"]
commands = [["pytest", {{ replace = "posargs", default = ["tests"], extend = true }}, "--number", "{0}"]]
"""
    start = 'env_list = ["e0", "e1"]\n[env_run_base]\npackage = "wheel"\n'
    return start + "".join(own.format(at) for at in range(number))


def pyproject(number):
    """The same as `tables`, in `pyproject.toml`."""
    return tables(number).replace("[env", "[tool.tox.env").replace("env_list", "[tool.tox]\nenv_list", 1)


def template(number):
    """Names written out of a template's factors, in TOML."""

    def group(letter, count):
        return "[" + ", ".join(f'"{letter}{at}"' for at in range(count)) + "]"

    factors = ", ".join([group("a", number // 100), group("b", 10), group("c", 10)])
    return f"""env_list = []
[env_base.t]
factors = [{factors}]
description = "for {{env_name}}"
package = "wheel"
pass_env = ["CI", "GITHUB_*"]
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int, nargs="?", default=10_000)
    options = parser.parse_args()
    folder, number = options.folder, options.number
    kinds = {
        "tox.ini": [listed, names, ranges, sections],
        "tox.toml": [tables, template],
        "pyproject.toml": [pyproject],
    }
    for file, write in ((file, write) for file, writers in kinds.items() for write in writers):
        project = folder / f"{write.__name__}-{number}"
        project.mkdir(parents=True, exist_ok=True)
        (project / "pyproject.toml").write_text('[project]\nname = "large"\n', encoding="utf-8")
        with (project / file).open("a" if file == "pyproject.toml" else "w", encoding="utf-8") as out:
            out.write(write(number))


main()
