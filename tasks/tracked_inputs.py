"""Data sets and ensembles as inputs of an MLflow run, with their digests."""

import json
from collections.abc import Mapping
from pathlib import Path

from tasks.references import DataSetReference, EnsembleReference
from tasks.tracking import client

LONGEST_DIGEST = 36


def log_data_set(mlflow_run_id: str, data_set: DataSetReference, context: str) -> None:
    """Record a data set as an input of the run; `context` says what for."""
    source = {"directory": data_set.directory, "sha256": data_set.digest}
    _log(mlflow_run_id, data_set.name, source, data_set.counts, context)


def log_ensemble(mlflow_run_id: str, ensemble: EnsembleReference, context: str) -> None:
    """Record an ensemble as an input of the run; `context` says what for."""
    source = {"path": ensemble.path, "sha256": ensemble.digest}
    counts = {"entries": ensemble.entries, "programs": ensemble.programs}
    _log(mlflow_run_id, Path(ensemble.path).stem, source, counts, context)


def _log(
    mlflow_run_id: str,
    name: str,
    source: Mapping[str, str],
    counts: Mapping[str, int],
    context: str,
) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    # MLflow refuses longer digests; the whole one is in the source.
    short = source["sha256"][:LONGEST_DIGEST]
    dataset = Dataset(name, short, "local", json.dumps(source), profile=json.dumps(counts))
    tag = InputTag("mlflow.data.context", context)
    client().log_inputs(mlflow_run_id, [DatasetInput(dataset, [tag])])
