"""Redis as a service of envo."""

import shutil
from typing import Any, Dict

__all__ = ["service"]


def service() -> Dict[str, Any]:
    """What ``[testenv:redis]`` would say."""
    program = shutil.which("redis-server") or "redis-server"
    return {
        "description": "a Redis that keeps nothing",
        "runtime": "system",
        "serve": [program, "--bind", "{host}", "--port", "{port}", "--save", "", "--dir", "{env_tmp_dir}"],
        "ports": ["redis"],
        "ready": "log:Ready to accept connections",
        "url": "redis://{host}:{port}/0",
    }
