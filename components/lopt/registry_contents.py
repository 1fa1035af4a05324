"""What a registry holds, said to somebody who asked it for something else."""

from collections.abc import Iterator
from typing import Any


def what_there_is(client: Any, model_uri: str, cannot_ask: type[Exception]) -> str:
    """Return sentences naming the models, aliases and versions near `model_uri`.

    `client` is an `MlflowClient`; `cannot_ask` is what it raises, and is told, not raised.

    **Example**

    ```python
    what_there_is(MlflowClient(), "models:/learned-optimizer@nope", MlflowException)
    ```
    """
    scheme, _, rest = model_uri.partition(":/")
    name_or_run = rest.strip("/").partition("@")[0].partition("/")[0]
    sentences = {"models": _of_registry, "runs": _of_run}.get(scheme, _of_nothing)
    try:
        return " ".join(sentences(client, name_or_run))
    except cannot_ask as error:
        return f"What there is could not be listed either: {error}"


def _of_registry(client: Any, name: str) -> Iterator[str]:
    known = {model.name: model for model in client.search_registered_models()}
    if name not in known:
        yield f"Registered models: {', '.join(known) or 'none'}."
        yield "If this is the wrong registry, set MLFLOW_TRACKING_URI or MLFLOW_REGISTRY_URI."
        return
    aliases = [f"{alias} (version {number})" for alias, number in known[name].aliases.items()]
    versions = [int(v.version) for v in client.search_model_versions(f"name='{name}'")]
    yield f"Aliases of {name!r}: {', '.join(aliases) or 'none'};"
    yield f"versions: {', '.join(map(str, sorted(versions))) or 'none'}."


def _of_run(client: Any, mlflow_run_id: str) -> Iterator[str]:
    run = client.get_run(mlflow_run_id)
    outputs = run.outputs.model_outputs if run.outputs else []
    names = [client.get_logged_model(output.model_id).name for output in outputs]
    yield f"Models of that run: {', '.join(names) or 'none'}."


def _of_nothing(client: Any, name: str) -> Iterator[str]:
    del client, name
    yield from ()
