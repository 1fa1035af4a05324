"""The way to an optimizer for its users: one name, wherever it lies."""

import re
from pathlib import Path

from lopt import release
from lopt.architectures.base import LearnedOptimizer

# Two letters at least, or a Windows drive would look like a scheme.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def load(uri: str | Path) -> LearnedOptimizer:
    """Return the optimizer under `uri`, with its meta-params and its provenance.

    `uri` is a model of MLflow's registry ("models:/learned-optimizer@champion", "models:/
    learned-optimizer/3"), of a run ("runs:/<mlflow_run_id>/optimizer"), any other URI that
    MLflow reads, or the path of a release or of a saved MLflow model. MLflow is needed only
    for what it wrote. No code from the artifact is ever run.

    Raises `lopt.release.ReleaseError` for an artifact that must not be used, naming file and
    key; `lopt.registry.RegistryError` where there is nothing, naming what there is;
    `ImportError` where MLflow is needed and missing.

    **Example**

    ```python
    optimizer = lopt.load("models:/learned-optimizer@champion")
    transformation = optimizer.transformation()  # where optax.adam(1e-3) stood
    ```
    """
    is_mlflow_model = bool(_URI.match(str(uri))) or (Path(uri) / "MLmodel").is_file()
    if not is_mlflow_model:
        return release.load(Path(uri))
    from lopt import registry

    return registry.load_model(str(uri))
