"""Where a run writes, and the settings of other packages that follow from it."""

import errno
import os
import re
from pathlib import Path

from tasks.servers import running

HOME_VARIABLE = "LOPT_HOME"
REPOSITORY = Path(__file__).resolve().parent.parent
LEASES = "prefect.server.concurrency.lease_storage.filesystem"
"""Where Prefect's server remembers who has a place of a concurrency limit."""
LEASES_FOLDER = "concurrency_leases"
"""In PREFECT_HOME."""
LEASES_LOCK = "expirations.lock"
"""In that folder, while they are written."""


def home() -> Path:
    """Return the one folder under which everything is written: `LOPT_HOME`, else `./.lopt`."""
    return Path(os.environ.get(HOME_VARIABLE) or ".lopt").absolute()


def datasets_root() -> Path:
    """Return the folder of the prepared data sets."""
    return home() / "datasets"


def ensembles_root() -> Path:
    """Return the folder of the drawn ensembles."""
    return home() / "ensembles"


def nights_root() -> Path:
    """Return the folder of the locks of nights, each held while somebody is doing that night."""
    return home() / "nights"


def runs_root() -> Path:
    """Return the folder of the meta-training runs."""
    return home() / "runs"


def figures_root() -> Path:
    """Return the folder of the paper's figures as they were drawn here."""
    return home() / "figures"


def figure_runs_root() -> Path:
    """Return the folder of the meta-trainings that were done for a figure."""
    return figures_root() / "runs"


def reports_root() -> Path:
    """Return the folder of the evaluation reports."""
    return home() / "reports"


def cells_root() -> Path:
    """Return the folder of the cells that evaluations are made of."""
    return home() / "cells"


def servers_root() -> Path:
    """Return the folder of the servers' logs."""
    return running.folder_of(home())


def tracking_uri() -> str:
    """Return where MLflow records: `MLFLOW_TRACKING_URI`, else SQLite under the home."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _database()


def tracking_place() -> str:
    """Return the same as one may say it to anybody: without a user and a password in it."""
    return without_passwords(tracking_uri())


def without_passwords(text: str) -> str:
    """Return a text without the users and passwords of the addresses in it.

    **Example**

    ```python
    without_passwords("http://me:secret@127.0.0.1 is away")  # 'http://127.0.0.1 is away'
    ```
    """
    return re.sub(r"://[^/\s]*@", "://", text)


def backend_store_uri() -> str:
    """Return where our MLflow server records: `MLFLOW_BACKEND_STORE_URI`, else the same SQLite."""
    return os.environ.get("MLFLOW_BACKEND_STORE_URI") or _database()


def _database() -> str:
    return f"sqlite:///{home() / 'mlflow.db'}"


def artifacts_root() -> Path:
    """Return the folder of MLflow's files on this machine."""
    return home() / "mlartifacts"


def artifact_location() -> str | None:
    """Return where MLflow's files go, `None` where a server decides it itself."""
    return artifacts_root().as_uri() if tracking_uri().startswith("sqlite:") else None


def prefect_home() -> Path:
    """Return where Prefect keeps its own: `PREFECT_HOME`, else under the home."""
    return Path(os.environ.get("PREFECT_HOME") or home() / "prefect")


def set_environment() -> None:
    """Give Prefect, MLflow, JAX and matplotlib their settings, leaving alone what the user has set.

    Where `make up` has started servers of this home, they are what is asked and told. Prefect reads
    its settings when it is first imported, so this must come before.
    """
    refuse_odd(home())
    for name, value in {**defaults(), **_servers()}.items():
        os.environ.setdefault(name, value)
    # Prefect creates this folder but not its parents, and then fails without saying why.
    make_writable(home())
    make_writable(Path(os.environ["PREFECT_HOME"]))


def refuse_odd(folder: Path) -> None:
    """End with one line: SQLite's address would be that of another file, or of none."""
    if found := sorted(set("?%") & set(str(folder))):
        raise SystemExit(
            f"{folder} has {' and '.join(found)} in its name, which the address of a database "
            f"cannot hold. Set {HOME_VARIABLE} to a folder without."
        )


def make_writable(folder: Path) -> None:
    """Make the folder, or end with one line: without it no flow can say anything."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "Permission denied")
    except OSError as error:
        raise SystemExit(
            f"{folder} cannot be written to: {error.strerror}. "
            f"Set {HOME_VARIABLE} (now {home()}) to a folder that can."
        ) from None


def _servers() -> dict[str, str]:
    found = running.addresses(home())
    if found is None:
        return {}
    return {"PREFECT_API_URL": found.prefect_api, "MLFLOW_TRACKING_URI": found.mlflow}


def defaults() -> dict[str, str]:
    """Return our settings of Prefect, MLflow, JAX and matplotlib, by environment variable."""
    prefect = {
        "PREFECT_HOME": str(prefect_home()),
        # 20 s by default, which a cold start on a busy machine does not keep.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # On disk: of those in its memory a server that was killed would never free the places, and
        # Prefect ends a run whose lease is not known any more.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # This user interface calls nobody outside; the newer one does, at every page.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        # The terminal belongs to our own progress, and an error is said there once, at the end;
        # the API still gets every line with its traceback.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
    }
    mlflow = {
        "MLFLOW_TRACKING_URI": tracking_uri(),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        # Of meta-trainings; reading and logging takes 17 ms of a core each time.
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "10",
    }
    jax = {
        "JAX_COMPILATION_CACHE_DIR": str(home() / "jax"),
        # A second process begins with the dozens of small programs, too: 6.6 s against 1.6 s.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    # matplotlib's list of fonts, which would lie in the user's own folders.
    plots = {"MPLCONFIGDIR": str(home() / "matplotlib")}
    return prefect | mlflow | jax | plots
