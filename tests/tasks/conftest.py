"""Tasks are called without a server, in a home of their own with a copied MLflow database."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tasks.references import ReleaseReference

if TYPE_CHECKING:
    from lopt.evaluation import Report


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database after its migrations, which take seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        # The artifacts of the default experiment lie in the folder of this moment.
        patch.chdir(path.parent)
        MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template_database: Path
) -> Iterator[Path]:
    """A new LOPT_HOME with an MLflow database, which is MLflow's own default meanwhile."""
    import mlflow

    shutil.copy(template_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield tmp_path
    mlflow.set_tracking_uri(None)


@pytest.fixture
def make_report() -> "Callable[..., Report]":
    """A function that makes a report: ours, and at these learning rates Adam, which is better."""
    from lopt.evaluation import Cell, Report

    generator = np.random.default_rng(0)

    def cell(target: str, optimizer: str, rates: tuple[float, ...]) -> Cell:
        steps = np.arange(4, dtype=np.int32)
        noise = generator.lognormal(sigma=0.1, size=(len(rates), 3, 4))
        losses = noise * np.exp(-steps * (2.0 if optimizer == "Adam" else 0.1))
        return Cell(target, optimizer, rates, steps, losses.astype(np.float32), {}, {})

    def make(rates: tuple[float, ...], facts: dict[str, str]) -> Report:
        targets = ("held_out/bowls", "digits/mlp")
        optimizers = {"learned": (1e-3,), "Adam": rates}
        return Report(tuple(cell(t, o, r) for t in targets for o, r in optimizers.items()), facts)

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ReleaseReference:
    """A release that says it was trained on the ensemble "eee..."."""
    import jax

    from lopt import HierarchicalRNN, release
    from lopt.provenance import Provenance

    provenance = Provenance(lopt_version="0.1.0", ensemble_digest="e" * 64)
    optimizer = HierarchicalRNN.release(key=jax.random.key(0)).with_provenance(provenance)
    directory = release.save(optimizer, tmp_path_factory.mktemp("trained") / "release")
    return ReleaseReference(directory=str(directory), digest=release.digest(directory))
