"""What a release says of where it came from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.runtime import flow_run

from tasks import code_version
from tasks.confs import EnsembleConf, MetaTrainingConf
from tasks.references import CheckpointReference, EnsembleReference, RunReference

if TYPE_CHECKING:
    from lopt.provenance import Provenance


def provenance_of(
    run: RunReference,
    conf: MetaTrainingConf,
    ensemble_conf: EnsembleConf,
    ensemble: EnsembleReference,
    checkpoint: CheckpointReference,
) -> "Provenance":
    """Return the facts of a run; the data sets are those that the ensemble's rows name."""
    from lopt.ensembles import Ensemble
    from lopt.provenance import Provenance
    from lopt.version import lopt_version

    return Provenance(
        lopt_version=lopt_version(),
        seed=run.seed,
        meta_steps=checkpoint.meta_step,
        git_commit=code_version.git_commit(),
        mlflow_run_id=run.mlflow_run_id,
        flow_run_id=flow_run.get_id(),
        conf=_canonical(conf, ensemble_conf),
        dataset_digests=tuple(Ensemble.read(Path(ensemble.path)).data_sets.items()),
        ensemble_digest=ensemble.digest,
        checkpoint_digest=checkpoint.digest,
    )


def _canonical(conf: MetaTrainingConf, ensemble_conf: EnsembleConf) -> str:
    """Return what was asked for, by section, and what the git commit does not say of the code."""
    values = {
        "meta_training": conf.model_dump(mode="json"),
        "ensemble": ensemble_conf.model_dump(mode="json"),
        "code": {
            "git_dirty": code_version.git_dirty(),
            "lock_sha256": code_version.lock_digest(),
        },
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
