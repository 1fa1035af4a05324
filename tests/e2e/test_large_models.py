"""A version whose files have grown is not downloaded from a server, whoever asks for it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jax
import pytest

from tests.e2e.operators import SECONDS, eventually, free_port

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(SECONDS),
    pytest.mark.filterwarnings("default"),
]


def answers(address: str) -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return httpx.get(f"{address}/health", timeout=60).is_success
        except httpx.TransportError:
            return False

    return asked


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """A server of MLflow that files go through, as in `compose.yaml`."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", f"--port={port}", "--workers=1"),
        f"--backend-store-uri=sqlite:///{tmp_path / 'mlflow.db'}",
        f"--artifacts-destination={tmp_path / 'served'}",
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = tmp_path / "server.log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=said, stderr=subprocess.STDOUT
        ) as server,
    ):
        try:
            eventually(answers(address), log.read_text)
            yield address
        finally:
            server.terminate()


def test_a_server_is_asked_for_sizes_and_a_large_file_stays_there(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from lopt import registry
    from lopt.architectures.global_learning_rate import GlobalLearningRate
    from lopt.model_limits import LARGEST_MLMODEL
    from lopt.release import ReleaseError

    aside = tmp_path / "aside"
    aside.mkdir()
    mlflow.set_tracking_uri(served)
    try:
        with mlflow.start_run():
            info = registry.log_model(
                GlobalLearningRate(key=jax.random.key(0)), "optimizer", "too-large"
            )
        location = mlflow.MlflowClient().get_logged_model(info.model_id).artifact_location
        uris = ("models:/too-large/1", f"runs:/{info.run_id}/optimizer", info.model_uri, location)
        assert location.startswith("mlflow-artifacts:/")
        assert all(registry.load_model(uri) for uri in uris)
        (file,) = (tmp_path / "served").glob(f"**/{info.model_id}/artifacts/MLmodel")
        with file.open("ab") as opened:
            opened.truncate(LARGEST_MLMODEL + 1)
        monkeypatch.setattr(tempfile, "tempdir", str(aside))
        for uri in uris:
            with pytest.raises(ReleaseError, match=f"'MLmodel' has {LARGEST_MLMODEL + 1} bytes"):
                registry.load_model(uri, dst_path=tmp_path / "kept")
        assert not (tmp_path / "kept").exists()
        assert not list(aside.iterdir())
    finally:
        mlflow.set_tracking_uri(None)
