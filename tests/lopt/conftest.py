"""A tracking store of MLflow for each test that asks for one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, made once: migrations take seconds, a copy takes none."""
    folder = tmp_path_factory.mktemp("template")
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        # MLflow makes its default folder for artifacts where it stands.
        patch.chdir(folder)
        mlflow.MlflowClient("sqlite:///mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture
def tracking(
    template_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An empty tracking store and registry of this test alone, without any server."""
    import mlflow

    monkeypatch.chdir(tmp_path)
    shutil.copyfile(template_database, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    artifacts = (tmp_path / "artifacts").as_uri()
    experiment = mlflow.MlflowClient().create_experiment("tests", artifact_location=artifacts)
    # Not by set_experiment, which would hold for later tests too.
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    yield
    mlflow.set_tracking_uri(None)
