"""What the README shows a user is run as it stands there."""

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


def user_example() -> tuple[str, str]:
    """The README's first block of Python, and the first line for a shell after it."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"```python\n(.*?)```.*?```sh\n(.*?)```", text, re.DOTALL)
    assert found, "README.md has no Python example with a line that runs it."
    return found[1], found[2]


def test_the_user_example_trains_with_the_optimizer_from_the_registry(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    # A clone after `make run`, as far as the example can see it.
    clone = home / "a clone"
    (clone / ".lopt").mkdir(parents=True)
    (clone / ".lopt" / "mlflow.db").symlink_to(home / "mlflow.db")
    (clone / ".venv").symlink_to(sys.prefix)
    monkeypatch.chdir(clone)
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    info = registry.log_model(optimizer, "optimizer", "learned-optimizer")
    MlflowClient().set_registered_model_alias(
        "learned-optimizer", "champion", str(info.registered_model_version)
    )
    program, command = user_example()
    (clone / "train.py").write_text(program)
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    losses = [float(number) for number in re.findall(r"loss (\d+\.\d+)", done.stdout)]
    assert losses[-1] < losses[0]
    assert re.search(r"test accuracy \d\.\d+", done.stdout)
