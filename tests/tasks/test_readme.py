"""What the README shows a user is run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from lopt import HierarchicalRNN, registry

# mlflow warns of its own code while it is imported.
pytestmark = pytest.mark.filterwarnings("default")
ROOT = Path(__file__).resolve().parents[2]


def user_example() -> str:
    """The README's first block of Python."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks, "README.md has no Python example."
    return blocks[0]


def test_the_user_example_trains_with_the_optimizer_from_the_registry(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{home / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(home)
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    info = registry.log_model(optimizer, "optimizer", "learned-optimizer")
    client = MlflowClient(uri)
    client.set_registered_model_alias(
        "learned-optimizer", "champion", str(info.registered_model_version)
    )
    example = home / "example.py"
    example.write_text(user_example())
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=home,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, last = (float(number) for number in re.findall(r"\d+\.\d+", done.stdout)[:2])
    assert last < first
