"""Meta-training by segments: the unit of retrying, and of resuming after a fault."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import run_folders, terminal, tracking
from tasks.confs import EnsembleConf, MetaTrainingConf
from tasks.ensembles import groups_of
from tasks.errors import may_pass
from tasks.inner_steps import InnerSteps
from tasks.meta_states import initial_meta_state, training_of
from tasks.provenance import provenance_of
from tasks.references import CheckpointReference, EnsembleReference, ReleaseReference, RunReference
from tasks.releases import LOGGED_MODEL, release_of

if TYPE_CHECKING:
    from lopt.meta_training import MetaState

CHECKPOINTS_KEPT = 3
Row = tuple[int, dict[str, float]]


@task(
    name="find-checkpoint",
    description="Find the newest sound checkpoint of a run and move damaged ones aside.",
)
def find_checkpoint(run: RunReference) -> int:
    """Return the meta-step that the run goes on from, 0 where it begins."""
    from lopt.checkpoint import Checkpoints

    with Checkpoints(_checkpoints(run), CHECKPOINTS_KEPT) as checkpoints:
        for damage in checkpoints.set_aside_damaged():
            terminal.say(f"  checkpoint {damage.meta_step} is damaged: now in {damage.moved_to}")
        return checkpoints.latest() or 0


@task(
    name="meta-train-segment",
    task_run_name="meta-steps-to-{last_meta_step}",
    # A retry begins with the checkpoint before, so it costs one segment at most.
    retries=1,
    retry_delay_seconds=5,
    retry_condition_fn=may_pass,
)
def meta_train_segment(
    run: RunReference, conf: MetaTrainingConf, ensemble: EnsembleReference, last_meta_step: int
) -> CheckpointReference:
    """Go on from the newest checkpoint to a meta-step, log what happened, save a checkpoint."""
    from lopt.checkpoint import Checkpoints

    with Checkpoints(_checkpoints(run), CHECKPOINTS_KEPT) as checkpoints:
        meta_state = _restored(run, conf, ensemble, checkpoints)
        if int(meta_state.meta_step) < last_meta_step:
            meta_state, rows = _meta_trained(conf, ensemble, meta_state, last_meta_step)
            _log(run, rows)
            checkpoints.save(last_meta_step, meta_state, _facts(run))
        return _reference(run, checkpoints, int(meta_state.meta_step))


@task(name="write-release")
def write_release(
    run: RunReference,
    conf: MetaTrainingConf,
    ensemble_conf: EnsembleConf,
    ensemble: EnsembleReference,
    checkpoint: CheckpointReference,
) -> ReleaseReference:
    """Make a release of the last checkpoint and log it as the run's model."""
    from lopt import registry, release
    from lopt.checkpoint import Checkpoints

    with Checkpoints(_checkpoints(run), CHECKPOINTS_KEPT) as checkpoints:
        meta_state = _restored(run, conf, ensemble, checkpoints)
    provenance = provenance_of(run, conf, ensemble_conf, ensemble, checkpoint)
    optimizer = meta_state.optimizer.with_provenance(provenance)
    info = registry.log_model(
        optimizer, LOGGED_MODEL, run_id=run.mlflow_run_id, step=checkpoint.meta_step
    )
    folder = run_folders.read(Path(run.directory)).noted(model_uri=info.model_uri)
    # Last, because a folder with a release in it is a finished run.
    release.save(optimizer, folder.release)
    return release_of(folder)


def announce_compiling(conf: MetaTrainingConf, ensemble: EnsembleReference, done: int) -> None:
    """Say that nothing will be seen for a while, if there is a meta-step to be compiled."""
    if done < conf.meta_steps:
        terminal.say(
            f"  compiling {ensemble.programs} programs: 10 to 30 s each on two cores, "
            "less if done before"
        )


def segment_ends(conf: MetaTrainingConf, done: int) -> Iterator[int]:
    """Yield the meta-steps at which the segments end that are still to be run."""
    for end in range(conf.segment_meta_steps, conf.meta_steps, conf.segment_meta_steps):
        if end > done:
            yield end
    # Also if all is done: a segment that finds nothing to do gives the last checkpoint.
    yield conf.meta_steps


def _meta_trained(
    conf: MetaTrainingConf,
    ensemble: EnsembleReference,
    meta_state: "MetaState",
    last_meta_step: int,
) -> tuple["MetaState", list[Row]]:
    from lopt.meta_training import meta_train

    first = int(meta_state.meta_step)
    groups = groups_of(ensemble)
    endless = meta_train(training_of(conf), groups, meta_state)
    inner_steps = InnerSteps(conf, ensemble)
    rows: list[Row] = []
    waiting: dict[str, Any] | None = None
    for newest, metrics in itertools.islice(endless, last_meta_step - first):
        # A step late, so that the device does not wait for the metrics to be fetched.
        _fetch(waiting, first + len(rows) + 1, rows, inner_steps)
        meta_state, waiting = newest, metrics
    _fetch(waiting, last_meta_step, rows, inner_steps)
    return meta_state, rows


def _fetch(
    metrics: dict[str, Any] | None, meta_step: int, rows: list[Row], inner_steps: InnerSteps
) -> None:
    if metrics is not None:
        values = {name: float(value) for name, value in metrics.items()}
        rows.append((meta_step, values | inner_steps.metrics(meta_step)))
        terminal.reach(meta_step, f"meta-loss {values['meta/loss']:.3f}")


def _log(run: RunReference, rows: list[Row]) -> None:
    """Log the steps that are not logged yet: a process may die between this and its checkpoint."""
    logged = tracking.last_step(run.mlflow_run_id, "meta/loss")
    tracking.log_metrics(run.mlflow_run_id, [row for row in rows if row[0] > logged])


def _restored(
    run: RunReference, conf: MetaTrainingConf, ensemble: EnsembleReference, checkpoints: Any
) -> "MetaState":
    from lopt.checkpoint import CheckpointError

    meta_state = initial_meta_state(run, conf, ensemble)
    if checkpoints.latest() is None:
        return meta_state
    restored: tuple[MetaState, Any] = checkpoints.restore(like=meta_state)
    meta_state, facts = restored
    if facts != _facts(run):
        raise CheckpointError(
            f"The checkpoints in {_checkpoints(run)} are of {facts}, but this run is of "
            f"{_facts(run)}: they were put there by somebody. Move them away to begin anew."
        )
    return meta_state


def _facts(run: RunReference) -> dict[str, Any]:
    return {"conf_digest": run.conf_digest, "seed": run.seed}


def _checkpoints(run: RunReference) -> Path:
    return Path(run.directory) / "checkpoints"


def _reference(run: RunReference, checkpoints: Any, meta_step: int) -> CheckpointReference:
    return CheckpointReference(
        directory=str(_checkpoints(run)),
        meta_step=meta_step,
        digest=checkpoints.digest(meta_step),
    )
