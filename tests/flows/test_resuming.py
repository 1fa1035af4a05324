import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Enough segments that the one being killed is never the last.
COMMAND = [
    *(sys.executable, "-m", "flows.meta_train", "--conf", "conf/tiny.yaml"),
    *("--set", "meta_steps=24", "--set", "segment_meta_steps=3"),
]
SECONDS = 200


def start(home: Path, server: str, jax_cache: Path) -> "subprocess.Popen[bytes]":
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "MPL", "XDG"))},
        "HOME": str(users_folder(home)),
        "LOPT_HOME": str(home),
        "PREFECT_API_URL": server,
        "JAX_COMPILATION_CACHE_DIR": str(jax_cache),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.5",
    }
    home.mkdir(exist_ok=True)
    users_folder(home).mkdir(exist_ok=True)
    with (home / "log.txt").open("ab") as log:
        return subprocess.Popen(COMMAND, env=environment, stdout=log, stderr=log)


def users_folder(home: Path) -> Path:
    return home.with_name(f"user_of_{home.name}")


def finish(home: Path, server: str, jax_cache: Path) -> None:
    process = start(home, server, jax_cache)
    assert process.wait(SECONDS) == 0, (home / "log.txt").read_text()


def kill_after_checkpoint(home: Path, server: str, jax_cache: Path) -> None:
    process = start(home, server, jax_cache)
    end = time.monotonic() + SECONDS
    while not list(home.glob("runs/*/001/checkpoints/3")):
        assert process.poll() is None, (home / "log.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(SECONDS) == -signal.SIGKILL


def meta_params(home: Path) -> bytes:
    (path,) = home.glob("runs/*/*/release/meta_params.safetensors")
    return path.read_bytes()


@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(600)
def test_a_killed_run_goes_on_and_ends_with_the_bits_of_one_never_killed(
    tmp_path: Path, server: str, jax_cache: Path
) -> None:
    from mlflow import MlflowClient

    from tasks import run_folders

    never_killed, killed = tmp_path / "never_killed", tmp_path / "killed"
    finish(never_killed, server, jax_cache)
    kill_after_checkpoint(killed, server, jax_cache)
    assert not list(killed.glob("runs/*/*/release"))
    finish(killed, server, jax_cache)
    assert meta_params(killed) == meta_params(never_killed)
    assert not list(users_folder(killed).iterdir()), "written outside of LOPT_HOME"

    folder = run_folders.newest_finished(killed / "runs")
    assert folder is not None
    mlflow_run_id = str(folder.record.mlflow_run_id)
    client = MlflowClient(f"sqlite:///{killed / 'mlflow.db'}")
    history = client.get_metric_history(mlflow_run_id, "meta/loss")
    assert [point.step for point in history] == list(range(1, 25)), "each step is logged once"
    run = client.get_run(mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert len(run.inputs.dataset_inputs) == 1
    assert run.data.metrics["system/cpu_utilization_percentage"] > 0
