"""`python -m flows.meta_train` in processes of its own, to be stopped, killed and begun again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

COMMAND = [sys.executable, "-m", "flows.meta_train", "--conf", "conf/tiny.yaml"]
SECONDS = 600


class CommandRun(NamedTuple):
    """One meta-training, however often it is begun again; all it writes lies in its home."""

    home: Path
    server: str | None
    """Prefect's; without one the command starts its own, and stands alone as at a terminal."""
    jax_cache: Path
    settings: tuple[str, ...]

    def start(self) -> "subprocess.Popen[bytes]":
        outside = ("MLFLOW", "MPL", "XDG", "PYTHONDONTWRITEBYTECODE")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(outside)},
            "HOME": str(self.users_folder),
            "LOPT_HOME": str(self.home),
            "PREFECT_HOME": str(self.home / "prefect"),
            "JAX_COMPILATION_CACHE_DIR": str(self.jax_cache),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
            # Where packages are installed without it, compiling Python is half of a start.
            "PYTHONPYCACHEPREFIX": str(self.jax_cache.with_name("python")),
            "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.5",
        }
        environment.pop("PREFECT_API_URL", None)
        if self.server is not None:
            environment["PREFECT_API_URL"] = self.server
        self.home.mkdir(exist_ok=True)
        self.users_folder.mkdir(exist_ok=True)
        changes = [part for setting in self.settings for part in ("--set", setting)]
        # Whoever has started the tests aside has them, and all that they start, ignore Ctrl-C.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with (self.home / "log.txt").open("ab") as log:
                return subprocess.Popen(
                    [*COMMAND, *changes],
                    env=environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=self.server is None,
                )
        finally:
            signal.signal(signal.SIGINT, before)

    def finish(self) -> None:
        """Begin it or go on with it, until it is done."""
        assert self.start().wait(SECONDS) == 0, self.log()

    def signalled(self, number: int, is_now: Callable[[], bool]) -> int:
        """Begin it or go on with it, and send a signal as soon as it is time; the exit status.

        If it ends before, that is the status of this end. Without a server all that it has
        started hears the signal, too, as at a terminal.
        """
        process = self.start()
        end = time.monotonic() + SECONDS
        while process.poll() is None and not is_now():
            assert time.monotonic() < end, self.log()
            time.sleep(0.005)
        if self.server is None:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        return process.wait(SECONDS)

    @property
    def users_folder(self) -> Path:
        return self.home.with_name(f"user_of_{self.home.name}")

    def log(self) -> str:
        return (self.home / "log.txt").read_text()

    def checkpoint(self, meta_step: int) -> Path:
        """Where this checkpoint of the only run is, or is not yet."""
        folders = [path.parent for path in self.home.glob("runs/*/001/run.json")]
        return (folders[0] if folders else self.home / "runs") / "checkpoints" / str(meta_step)

    def has(self, meta_step: int) -> bool:
        return self.checkpoint(meta_step).is_dir()

    def is_released(self) -> bool:
        return bool(list(self.home.glob("runs/*/*/release")))

    def meta_params(self) -> bytes:
        (path,) = self.home.glob("runs/*/*/release/meta_params.safetensors")
        return path.read_bytes()

    def digest(self, meta_step: int) -> str:
        """Of all that the checkpoint of this meta-step holds."""
        from lopt.checkpoint import Checkpoints

        with Checkpoints(self.checkpoint(meta_step).parent) as found:
            return found.digest(meta_step)

    def sound_checkpoints(self, name: str = "checkpoints") -> list[int]:
        """The meta-steps that there are checkpoints of, each of them whole."""
        from lopt.checkpoint import Checkpoints

        (folder,) = self.home.glob(f"runs/*/001/{name}")
        with Checkpoints(folder) as found:
            assert found.set_aside_damaged() == ()
        return sorted(int(path.name) for path in folder.iterdir())

    def tracked(self) -> tuple[str, list[int]]:
        """The status of the only MLflow run, and the meta-steps that it has rows of."""
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{self.home / 'mlflow.db'}")
        (experiment,) = client.search_experiments(filter_string="name = 'lopt'")
        (run,) = client.search_runs([experiment.experiment_id])
        history = client.get_metric_history(run.info.run_id, "meta/loss")
        return run.info.status, [point.step for point in history]
