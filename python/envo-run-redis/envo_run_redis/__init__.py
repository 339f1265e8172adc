"""Redis as a service of envo."""

import shutil
import sys
from typing import Any, Dict

__all__ = ["service"]


def service() -> Dict[str, Any]:
    """What ``[testenv:redis]`` would say."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit(
            "`redis-server` was not found: is Redis installed? "
            "(`apt-get install redis-server`, `dnf install redis` or `brew install redis` does it)"
        )
    return {
        "description": "a Redis that keeps nothing",
        "runtime": "system",
        "serve": [program, "--bind", "{host}", "--port", "{port}", "--save", "", "--dir", "{env_tmp_dir}"],
        "ports": ["redis"],
        "ready": "log:Ready to accept connections",
        "url": "redis://{host}:{port}/0",
    }
