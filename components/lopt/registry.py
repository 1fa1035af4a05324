"""Learned optimizers as MLflow models: the flavour `lopt`, on MLflow's public API.

Only stores of artifacts are asked by the interface that MLflow has for plugins. The artifact is a
release with MLflow's own text files around it; there is no code and no pickle in it, so loading
runs only what the installed lopt contains. The one module that imports mlflow, inside its
functions. After https://mlflow.org/docs/latest/ml/community-model-flavors.
"""

import contextlib
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from lopt import release
from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE
from lopt.first_updates import FirstUpdates
from lopt.model_card import THIS_FOLDER, model_card
from lopt.model_limits import (
    RELEASE_FOLDER,
    check_limits,
    local_listing,
    read_mlmodel,
    store_listing,
)
from lopt.registry_contents import what_there_is
from lopt.release import ReleaseError
from lopt.version import NOT_INSTALLED, lopt_version

FLAVOR_NAME = "lopt"
INPUT_EXAMPLE = np.array([[0.5, -2.0, 1e-3], [0.4, -1.0, 0.0]], np.float32)
"""Gradients of two steps of three scalars."""

_CONDA_FILE, _PYTHON_FILE, _REQUIREMENTS_FILE = "conda.yaml", "python_env.yaml", "requirements.txt"
_EXAMPLE_FILE = "input_example.json"
# By which MLflow finds code of a model to run.
_CODE_KEYS = {"loader_module", "code", "model_code_path", "python_model"}


class RegistryError(LookupError):
    """Nothing to load under this URI; says what there is."""


def get_default_pip_requirements() -> list[str]:
    """Return what an environment for the model needs: lopt as it is here, and what it brings.

    **Example**

    ```python
    get_default_pip_requirements()  # ["lopt[mlflow]==0.1.0"]
    ```
    """
    version = lopt_version()
    return ["lopt[mlflow]" if version == NOT_INSTALLED else f"lopt[mlflow]=={version}"]


def get_default_conda_env() -> dict[str, Any]:
    """Return the same as a conda environment.

    **Example**

    ```python
    get_default_conda_env()["dependencies"]
    ```
    """
    python = f"python={platform.python_version()}"
    dependencies = [python, "pip", {"pip": get_default_pip_requirements()}]
    return {"name": "lopt", "channels": ["conda-forge"], "dependencies": dependencies}


def save_model(
    optimizer: LearnedOptimizer,
    path: str | Path,
    mlflow_model: Any = None,
    signature: Any = None,
    input_example: np.ndarray | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Save `optimizer` as an MLflow model in the new directory `path`.

    `signature` and `input_example` (gradients `[steps, scalars]`) describe the pyfunc flavour
    and have sensible defaults; `metadata` goes into the MLmodel file. Raises `ReleaseError`
    if there is a model in `path` already, or what `release.save` raises.

    **Example**

    ```python
    registry.save_model(optimizer, "model")
    mlflow.pyfunc.load_model("model").predict(gradients)
    ```
    """
    models = _mlflow().models
    path = Path(path)
    if (path / "MLmodel").exists():
        raise ReleaseError(f"{path} holds a model already; choose another directory.")
    release.save(optimizer, path / RELEASE_FOLDER)
    model = models.Model() if mlflow_model is None else mlflow_model
    _write_example(path, INPUT_EXAMPLE if input_example is None else input_example)
    _write_environment(path)
    # Under which name it will be registered, if it will be, is not known yet.
    uri = f"models:/{model.model_id}" if model.model_id else THIS_FOLDER
    (path / "README.md").write_text(model_card(optimizer, uri), encoding="utf-8")
    _describe(model, optimizer, path, signature, metadata)
    # Last, because it is what makes the directory a model.
    model.save(str(path / "MLmodel"))


def log_model(
    optimizer: LearnedOptimizer,
    name: str,
    registered_model_name: str | None = None,
    step: int = 0,
    run_id: str | None = None,
    tags: dict[str, Any] | None = None,
    **save_arguments: Any,
) -> Any:
    """Log `optimizer` as the model `name` of a run and return MLflow's `ModelInfo`.

    The run is `run_id` or the active one. MLflow links the run's metrics of exactly `step`
    with the model, so give the last meta-step. With `registered_model_name` a new version is
    registered, with the model card as its description. `save_arguments` go to `save_model`.

    **Example**

    ```python
    with mlflow.start_run():
        info = registry.log_model(optimizer, "optimizer", "learned-optimizer", step=meta_steps)
    lopt.load(info.model_uri)
    ```
    """
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    info = mlflow.models.Model.log(
        artifact_path=None,
        flavor=sys.modules[__name__],
        flavor_name=FLAVOR_NAME,
        name=name,
        registered_model_name=registered_model_name,
        step=step,
        run_id=run_id,
        model_id=run_id and _new_model(client, name, run_id, tags),
        tags=tags,
        optimizer=optimizer,
        **save_arguments,
    )
    if registered_model_name is not None:
        version = info.registered_model_version
        card = model_card(optimizer, f"models:/{registered_model_name}/{version}")
        client.update_model_version(registered_model_name, version, card)
    return info


def load_model(model_uri: str, dst_path: str | Path | None = None) -> LearnedOptimizer:
    """Return the optimizer under an MLflow URI or in the directory of an MLflow model.

    With `dst_path`, an existing directory, the artifact is kept there. MLflow shows a progress
    bar unless MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR is "false". How large the files are is
    asked first. Raises `RegistryError` if there is no such model, naming those there are, and
    `ReleaseError` for a model that is too large, not of this flavour or was changed.

    **Example**

    ```python
    optimizer = registry.load_model("models:/learned-optimizer@champion")
    ```
    """
    with contextlib.ExitStack() as stack:
        if Path(model_uri).is_dir():
            check_limits(local_listing(Path(model_uri)), str(model_uri))
            return _load(Path(model_uri))
        if dst_path is None:
            dst_path = stack.enter_context(tempfile.TemporaryDirectory(prefix="lopt-"))
        return _load(_download(model_uri, Path(dst_path)))


def _load_pyfunc(path: str) -> FirstUpdates:
    return FirstUpdates(release.load(Path(path)))


def _mlflow() -> Any:
    try:
        import mlflow
    except ImportError as error:
        raise ImportError(
            "The model registry needs MLflow, which is not installed: pip install lopt[mlflow]. "
            "A release in a directory is loaded without it."
        ) from error
    return mlflow


def _describe(
    model: Any, optimizer: LearnedOptimizer, path: Path, signature: Any, metadata: Any
) -> None:
    digest = release.digest(path / RELEASE_FOLDER)
    architecture = type(optimizer).__name__
    model.add_flavor(
        FLAVOR_NAME,
        lopt_version=lopt_version(),
        architecture=architecture,
        data=RELEASE_FOLDER,
        release_digest=digest,
    )
    _mlflow().pyfunc.add_to_model(
        model, __name__, RELEASE_FOLDER, conda_env=_CONDA_FILE, python_env=_PYTHON_FILE
    )
    model.signature = _signature() if signature is None else signature
    model.saved_input_example_info = {"artifact_path": _EXAMPLE_FILE, "type": "ndarray"}
    model.metadata = {"architecture": architecture, "release_digest": digest, **(metadata or {})}
    model.model_size_bytes = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    rate = ParamSpec("initial_learning_rate", "double", DEFAULT_LEARNING_RATE)
    gradients = Schema([TensorSpec(np.dtype("float32"), (-1, -1))])
    return ModelSignature(inputs=gradients, outputs=gradients, params=ParamSchema([rate]))


def _new_model(client: Any, name: str, run_id: str, tags: dict[str, Any] | None) -> str:
    """Without it MLflow puts the model into the active experiment, not into that of the run."""
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name, run_id, tags, params=run.data.params
    )
    return str(model.model_id)


def _write_example(path: Path, example: np.ndarray) -> None:
    (path / _EXAMPLE_FILE).write_text(json.dumps(np.asarray(example).tolist()))


def _write_environment(path: Path) -> None:
    python = {"python": platform.python_version(), "dependencies": [f"-r {_REQUIREMENTS_FILE}"]}
    # JSON is YAML, and needs no YAML library.
    (path / _CONDA_FILE).write_text(json.dumps(get_default_conda_env(), indent=2))
    (path / _PYTHON_FILE).write_text(json.dumps(python, indent=2))
    (path / _REQUIREMENTS_FILE).write_text("\n".join(get_default_pip_requirements()) + "\n")


def _download(model_uri: str, directory: Path) -> Path:
    mlflow = _mlflow()
    try:
        store, folder = _store(model_uri)
        if not check_limits(store_listing(store.list_artifacts, folder), model_uri):
            raise mlflow.MlflowException("there is no model with files in it.")
        directory.mkdir(parents=True, exist_ok=True)
        return Path(store.download_artifacts(folder, dst_path=str(directory)))
    except (mlflow.MlflowException, OSError) as error:
        there_is = what_there_is(mlflow.MlflowClient(), model_uri, mlflow.MlflowException)
        raise RegistryError(f"Cannot load {model_uri!r}: {error} {there_is}") from error


def _store(model_uri: str) -> tuple[Any, str]:
    """The artifact store of a model, and the model's folder in it.

    One for listing and downloading: it has looked up an alias, which may move in between.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.models_artifact_repo import ModelsArtifactRepository

    parts, models = urlsplit(model_uri), cast(Any, ModelsArtifactRepository)
    if models.is_models_uri(model_uri):
        root, folder = models.split_models_uri(model_uri)
    else:
        above, _, folder = parts.path.rstrip("/").rpartition("/")
        # A folder below the root has nothing above it but that.
        root = urlunsplit(parts._replace(path=above or ("/" if parts.path[:1] == "/" else "")))
    return get_artifact_repository(root), folder


def _load(directory: Path) -> LearnedOptimizer:
    flavors = _flavors(directory)
    folder = directory / RELEASE_FOLDER
    if FLAVOR_NAME not in flavors:
        raise ReleaseError(
            f"{directory / 'MLmodel'}: the model has the flavours {', '.join(flavors)}, but not "
            f"{FLAVOR_NAME!r}: it is no learned optimizer of lopt. Nothing of it was run."
        )
    _refuse_other_folders(directory, flavors)
    _refuse_other_code(directory, flavors)
    if flavors[FLAVOR_NAME].get("release_digest") != release.digest(folder):
        raise ReleaseError(
            f"{folder} is not the release that {directory / 'MLmodel'} was written for: key "
            "'release_digest' differs. Get the model again from where it was published."
        )
    return release.load(folder)


def _refuse_other_folders(directory: Path, flavors: dict[str, Any]) -> None:
    """Nothing but the release's own folder is read; an artifact that names another is not ours."""
    named = {flavor["data"] for flavor in flavors.values() if "data" in flavor} - {RELEASE_FOLDER}
    if named or (directory / RELEASE_FOLDER).is_symlink():
        found = ", ".join(map(repr, sorted(named))) or "a link"
        raise ReleaseError(
            f"{directory / 'MLmodel'}: the data is {found}, but has to be the folder "
            f"{RELEASE_FOLDER!r} of the model itself. Nothing was read from there."
        )


def _refuse_other_code(directory: Path, flavors: dict[str, Any]) -> None:
    """Nothing here would run it, but `mlflow.pyfunc.load_model` would: such a model is not ours.

    https://mlflow.org/docs/latest/api_reference/python_api/mlflow.pyfunc.html
    """
    for flavor in flavors.values():
        for key in _CODE_KEYS & flavor.keys():
            if (key, flavor[key]) != ("loader_module", __name__):
                raise ReleaseError(
                    f"{directory / 'MLmodel'}: {key} is {flavor[key]!r}, which lopt never writes: "
                    "MLflow would run it. Nothing of it was run. Get the model again from where it "
                    "was published."
                )


def _flavors(directory: Path) -> dict[str, Any]:
    mlflow = _mlflow()
    data = read_mlmodel(directory)
    from yaml import safe_load

    try:
        flavors: dict[str, Any] = mlflow.models.Model.from_dict(safe_load(data)).flavors
    except Exception as error:  # of YAML's own, or whatever a file of another content leads to
        raise ReleaseError(f"{directory} is not an MLflow model: {error}") from error
    return flavors
