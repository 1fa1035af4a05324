"""A process finds on disk what another one of the same home has compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks import settings

PROGRAM = Path(__file__).with_name("trained_briefly.py")
ASKED = "/jax/compilation_cache/compile_requests_use_cache"
FOUND = "/jax/compilation_cache/cache_hits"
WRITTEN = "/jax/compilation_cache/cache_misses"


def trained(environment: dict[str, str]) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def programs(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.endswith("-cache")}


def test_a_second_process_compiles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    environment = {name: value for name, value in os.environ.items() if name[:4] != "JAX_"}
    environment |= settings.defaults() | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    first = trained(environment)
    kept = programs(tmp_path / "jax")
    assert any("_meta_steps" in name for name in kept)
    assert first["events"][WRITTEN] == len(kept)

    second = trained(environment)
    assert second["events"][ASKED] == second["events"][FOUND] == first["events"][ASKED]
    assert WRITTEN not in second["events"]
    assert programs(tmp_path / "jax") == kept
    assert second["state"] == first["state"]
