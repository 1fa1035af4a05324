"""The store that MLflow keeps runs and models in: made once, whoever comes first."""

import functools
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import settings
from tasks.locks import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

EXPERIMENT = "lopt"
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own variables, the seconds of a request among them."""


class TrackingError(RuntimeError):
    """The store does not take what is to be recorded; says what to do."""


def client() -> "MlflowClient":
    """Return a client of the tracking store and the registry.

    What works on an implicit store (`lopt.registry`) is pointed to the same one.
    """
    import mlflow

    uri = settings.tracking_uri()
    if mlflow.get_tracking_uri() != uri:
        mlflow.set_tracking_uri(uri)
    make_ready(uri)
    return mlflow.MlflowClient(tracking_uri=uri)


def experiment_id() -> str:
    """Return the experiment that all runs are in, made if there is none.

    Raises `TrackingError` if somebody deleted it.
    """
    found = client().get_experiment_by_name(EXPERIMENT) or _created()
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"The experiment {EXPERIMENT!r} was deleted in MLflow, so nothing can be recorded. "
            f"Restore it: MLFLOW_TRACKING_URI={settings.tracking_place()} "
            f"mlflow experiments restore --experiment-id {found.experiment_id}"
        )
    return str(found.experiment_id)


def is_code(error: Exception, code: str) -> bool:
    """Return whether an error of MLflow has this code, such as "RESOURCE_DOES_NOT_EXIST"."""
    return getattr(error, "error_code", None) == code


def is_away(error: BaseException) -> bool:
    """Return whether an error says that the store does not answer or is too busy: it may later."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return is_code(error, "INTERNAL_ERROR") or is_code(error, "TEMPORARILY_UNAVAILABLE")
    return isinstance(error, ConnectionError)


@contextmanager
def without_patience() -> Iterator[None]:
    """Have MLflow's client give up soon, as it reads this at every request.

    Its own patience is four minutes a request.
    """
    before = {name: os.environ.get(name) for name in IMPATIENT}
    os.environ.update(IMPATIENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# Two processes that migrate one database at the same time break it for each other.
@functools.cache
def make_ready(uri: str) -> None:
    """Make and migrate a SQLite database, once and by one process; leave any other store alone."""
    from mlflow import MlflowClient

    if uri.startswith("sqlite:"):
        settings.home().mkdir(parents=True, exist_ok=True)
        with locked(settings.home() / "mlflow.lock", wait=True):
            _make(uri)
            MlflowClient(tracking_uri=uri).search_registered_models(max_results=1)


def _make(uri: str) -> None:
    """Make a SQLite database where there is none, aside: one half made can never be opened."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import make_url

    url = make_url(uri)
    path = Path(url.database or ":memory:")
    if path.name == ":memory:" or path.exists():
        return
    for left in path.parent.glob(f"{path.name}.new-*"):
        left.unlink()
    # Another name each time, for MLflow keeps its connections by it.
    aside = path.with_name(f"{path.name}.new-{uuid.uuid4().hex}")
    store = SqlAlchemyStore(str(url.set(database=str(aside))), settings.artifacts_root().as_uri())
    store.engine.dispose()
    aside.replace(path)


def _created() -> "Experiment":
    from mlflow.exceptions import MlflowException

    try:
        client().create_experiment(EXPERIMENT, settings.artifact_location())
    except MlflowException as error:
        # Another process may have made it meanwhile.
        if not is_code(error, "RESOURCE_ALREADY_EXISTS"):
            raise
    return client().get_experiment_by_name(EXPERIMENT)
