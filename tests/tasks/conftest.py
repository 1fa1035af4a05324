"""Tasks are called without a server, in a home of their own with a copied MLflow database."""

import os
import shutil
import tempfile
from pathlib import Path

# Prefect makes its folder when it is first imported; it must not be in the user's home.
os.environ.setdefault("PREFECT_HOME", tempfile.mkdtemp(prefix="lopt-prefect-"))

import pytest


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database after its migrations, which take seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template_database: Path) -> Path:
    """A new LOPT_HOME with an MLflow database."""
    shutil.copy(template_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path
