"""Meta-training by segments: the unit of retrying, and of resuming after a fault."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task
from prefect.exceptions import TerminationSignal

from tasks import run_folders, terminal, tracking
from tasks.accelerators import mesh_of
from tasks.confs import EnsembleConf, MetaTrainingConf
from tasks.ensembles import groups_of
from tasks.errors import may_pass
from tasks.leading import Alone, together
from tasks.meta_rows import MetaRows, Row
from tasks.meta_states import initial_meta_state, training_of
from tasks.outbox import Outbox
from tasks.provenance import provenance_of
from tasks.references import CheckpointReference, EnsembleReference, ReleaseReference, RunReference
from tasks.releases import LOGGED_MODEL, release_of
from tasks.validation import LOSS, MetaTrainingFailedError, in_words, judged, validate

if TYPE_CHECKING:
    from lopt.checkpoint import Checkpoints, Damage
    from lopt.meta_training import MetaMetrics, MetaState

CHECKPOINTS_KEPT = 3
FAULTS_NAMED = 3


@task(
    name="find-checkpoint",
    description="Find the newest sound checkpoint of a run and move damaged ones aside.",
)
def find_checkpoint(run: RunReference) -> int:
    """Return the meta-step that the run goes on from, 0 where it begins."""
    with _opened(run) as checkpoints, _best(run) as best:
        for damage in best.set_aside_damaged():
            terminal.warn(f"best {_moved(damage)} The best is that of {best.latest()}.")
        for damage in checkpoints.set_aside_damaged():
            newest = checkpoints.latest()
            terminal.warn(f"{_moved(damage)} The run goes on from that of meta-step {newest}.")
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
    run: RunReference,
    conf: MetaTrainingConf,
    ensemble: EnsembleReference,
    held_out: EnsembleReference,
    last_meta_step: int,
) -> CheckpointReference:
    """Go on from the newest checkpoint to a meta-step, validate, log, and save a checkpoint.

    Whoever stops it in between gets a checkpoint of the meta-step that it was stopped at.
    """
    with _opened(run) as checkpoints, _best(run) as best:
        meta_state = _restored(run, conf, ensemble, checkpoints)
        # Kept by a segment that died before its own checkpoint: it is taken again.
        for newer in best.set_aside_newer(int(meta_state.meta_step)):
            terminal.say(f"  the best checkpoint is newer than the run's newest: now in {newer}")
        if int(meta_state.meta_step) < last_meta_step:
            with together(run, conf, ensemble, held_out, last_meta_step) as others:
                progress = _Progress(run, conf, ensemble, others.given(meta_state), others)
                try:
                    progress.train(last_meta_step)
                    others.validate()
                    found = validate(conf, ensemble, held_out, progress.meta_state)
                    progress.note(last_meta_step, found.metrics())
                    trained = others.whole(progress.meta_state)
                    first = initial_meta_state(run, conf, ensemble)
                    meta_state = judged(conf, best, first, trained, found, _facts(run))
                    if meta_state is trained:  # What is rolled back has been told of.
                        terminal.say(f"  {in_words(best, last_meta_step, found)}")
                    progress.keep_rows(last_meta_step)
                    checkpoints.save(last_meta_step, meta_state, _facts(run))
                    progress.send_rows()
                except (KeyboardInterrupt, SystemExit, TerminationSignal):
                    progress.keep(checkpoints, last_meta_step)
                    raise
        else:
            # An attempt before may have saved its checkpoint and then been refused by MLflow.
            _outbox(run).send_if_there()
        return _reference(checkpoints, int(meta_state.meta_step))


@task(name="find-best-checkpoint")
def find_best_checkpoint(run: RunReference) -> CheckpointReference:
    """Return the checkpoint with the best validation loss, which the release is made of."""
    with _best(run) as best:
        meta_step = best.latest()
        if meta_step is None:
            raise MetaTrainingFailedError(
                f"No validation of {run.directory} has given a loss: there is nothing to publish. "
                "Take a smaller meta_training.meta_learning_rate."
            )
        return _reference(best, meta_step)


@task(name="write-release")
def write_release(
    run: RunReference,
    conf: MetaTrainingConf,
    ensemble_conf: EnsembleConf,
    ensemble: EnsembleReference,
    checkpoint: CheckpointReference,
) -> None:
    """Make a release of the best checkpoint in the run's folder, which so is finished."""
    from lopt import release

    with _best(run) as best:
        meta_state = _restored(run, conf, ensemble, best)
        loss = best.facts(checkpoint.meta_step)[LOSS]
    provenance = provenance_of(run, conf, ensemble_conf, ensemble, checkpoint)
    optimizer = meta_state.optimizer.with_provenance(provenance)
    release.save(optimizer, run_folders.read(Path(run.directory)).release)
    terminal.say(f"  release of meta-step {checkpoint.meta_step}, validation loss {loss:.3f}")


# Not before the release is on disk: MLflow may not answer, and this be done again alone.
@task(name="send-rows", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def send_rows(run: RunReference) -> None:
    """Send what was kept of the run's metrics while MLflow did not answer."""
    _outbox(run).send()


@task(name="log-release", retries=1, retry_delay_seconds=5, retry_condition_fn=may_pass)
def log_release(run: RunReference) -> ReleaseReference:
    """Log the release of a finished run as the run's model."""
    from lopt import registry, release

    folder = run_folders.read(Path(run.directory))
    optimizer = release.load(folder.release)
    meta_step = optimizer.provenance.meta_steps if optimizer.provenance else None
    info = registry.log_model(
        optimizer, LOGGED_MODEL, run_id=run.mlflow_run_id, step=meta_step or 0
    )
    return release_of(folder.noted(model_uri=info.model_uri))


def announce_compiling(conf: MetaTrainingConf, ensemble: EnsembleReference, done: int) -> None:
    """Say that nothing will be seen for a while, if there is a meta-step to be compiled."""
    if done >= conf.meta_steps:
        return
    first = conf.groups_per_meta_step
    order = f", {first} at first and the others meanwhile" if 0 < first < ensemble.programs else ""
    terminal.say(
        f"  compiling {ensemble.programs} programs{order}: some 10 s each, "
        "more for large networks, less if done before"
    )


def all_compiled_by(conf: MetaTrainingConf, ensemble: EnsembleReference, done: int) -> int:
    """Return the meta-step before which some bundle has had no turn, and so may be compiled."""
    bundles = -(-ensemble.programs // (conf.groups_per_meta_step or ensemble.programs))
    return done + bundles * conf.meta_steps_per_dispatch if bundles > 1 else done


def losses_in_words(row: dict[str, float]) -> str:
    """Say the losses of a dispatch that are known."""
    words = {"meta/loss": "meta-loss", "imitation/loss": "imitation"}
    known = [f"{said} {row[name]:.3f}" for name, said in words.items() if name in row]
    return ", ".join(known)


def segment_ends(conf: MetaTrainingConf, done: int) -> Iterator[int]:
    """Yield the meta-steps at which the segments end that are still to be run."""
    for end in range(conf.segment_meta_steps, conf.meta_steps, conf.segment_meta_steps):
        if end > done:
            yield end
    # Also if all is done: a segment that finds nothing to do gives the last checkpoint.
    yield conf.meta_steps


class _Progress:
    """A meta-training between two checkpoints: how far it is, and what is to be logged of it."""

    def __init__(
        self,
        run: RunReference,
        conf: MetaTrainingConf,
        ensemble: EnsembleReference,
        meta_state: "MetaState",
        others: Alone,
    ) -> None:
        self._run, self._conf, self._groups = run, conf, groups_of(ensemble)
        self._others = others
        self.meta_state = self._state_before = meta_state
        self._rows_of, self._rows = _meta_rows(run, ensemble), list[Row]()
        self._waiting: tuple[MetaMetrics, ...] = ()
        self._faults_told = 0

    def train(self, last_meta_step: int) -> None:
        """Take the meta-steps up to this one."""
        from lopt.meta_training import meta_train
        from lopt.meta_training.ahead import is_compiling

        self._rows_of.begin()
        states = meta_train(
            training_of(self._conf),
            self._groups,
            self.meta_state,
            last_meta_step=last_meta_step,
            mesh=mesh_of(self._conf),
        )
        for newest, metrics in self._others.turns(states):
            self._waiting += (metrics,)
            self._state_before, self.meta_state = self.meta_state, newest
            # A dispatch late, so that the device does not wait for the metrics to be fetched. One
            # that has done all waits for nothing, as processors do here, and the last dispatch of
            # a segment, which is timed by being fetched, would seem to have taken no time. Nor does
            # anybody wait to be told of the first ones until the next program is compiled.
            at_once = metrics.is_ready() or is_compiling()
            self._fetch_all_but(0 if at_once else 1)
        self._fetch_all_but(0)

    def note(self, meta_step: int, metrics: dict[str, float]) -> None:
        """Add metrics to those of a meta-step."""
        self._rows = [(s, row | metrics if s == meta_step else row) for s, row in self._rows]

    def keep_rows(self, last_meta_step: int) -> None:
        """Put on disk what is to be logged; before the checkpoint, whose steps nobody repeats."""
        _outbox(self._run).keep([row for row in self._rows if row[0] <= last_meta_step])

    def send_rows(self) -> None:
        """Log what is kept; after the checkpoint, which MLflow may not cost anybody."""
        _outbox(self._run).send_if_there()

    def keep(self, checkpoints: "Checkpoints", last_meta_step: int) -> None:
        """Save a checkpoint of the last dispatch that is done, and log the rows up to it.

        Where all are done it is the one before: what is validated after the last is still to be.
        Whoever stops a run is not told of anything else: what cannot be kept is done again.
        """
        from lopt.checkpoint import CheckpointError

        try:
            self._keep(checkpoints, last_meta_step)
        except (OSError, RuntimeError, CheckpointError) as error:
            terminal.warn(
                f"stopped, but what came after the checkpoint of meta-step "
                f"{checkpoints.latest() or 0} is not kept: {type(error).__name__}: {error}"
            )
            return
        try:
            self.send_rows()
        except (OSError, RuntimeError) as error:
            terminal.warn(
                f"what is to be logged is kept, and sent when the run goes on: "
                f"{type(error).__name__}: {error}"
            )

    def _keep(self, checkpoints: "Checkpoints", last_meta_step: int) -> None:
        self._fetch_all_but(0)
        all_done = int(self.meta_state.meta_step) == last_meta_step
        state = self._state_before if all_done else self.meta_state
        meta_step = int(state.meta_step)
        if meta_step > (checkpoints.latest() or 0):
            self.keep_rows(meta_step)
            whole = self._others.whole(state, before=all_done)
            checkpoints.save(meta_step, whole, _facts(self._run))
            terminal.say(f"  stopped: checkpoint of meta-step {meta_step} is saved")

    def _fetch_all_but(self, count: int) -> None:
        while len(self._waiting) > count:
            self._fetch(self._waiting[0])

    def _fetch(self, metrics: "MetaMetrics") -> None:
        meta_step, row = self._rows_of.of(metrics)
        # Not before: a signal comes while the device is waited for, and then they wait on.
        self._rows, self._waiting = [*self._rows, (meta_step, row)], self._waiting[1:]
        if row.get("meta/nonfinite"):
            self._name_faults(metrics)
        terminal.reach(meta_step, losses_in_words(row))

    def _name_faults(self, metrics: "MetaMetrics") -> None:
        """Name some of each dispatch, and the first of a segment among Prefect's logs as well."""
        faults = metrics.named_faults()
        for fault in faults[:FAULTS_NAMED]:
            if self._faults_told < FAULTS_NAMED:
                terminal.warn(str(fault))
            else:
                terminal.say(f"  {fault}")
            self._faults_told += 1
        if len(faults) > FAULTS_NAMED:
            terminal.say(f"  and {len(faults) - FAULTS_NAMED} more in the same dispatch")


def _moved(damage: "Damage") -> str:
    return f"checkpoint {damage.meta_step} is damaged: now in {damage.moved_to}."


# Kept from segment to segment: the losses of all families, and that all is compiled.
@functools.lru_cache(maxsize=1)
def _meta_rows(run: RunReference, ensemble: EnsembleReference) -> MetaRows:
    del run
    return MetaRows({group.family: float(group.weights.sum()) for group in groups_of(ensemble)})


# Kept as well: how far a run is logged.
@functools.lru_cache(maxsize=1)
def _outbox(run: RunReference) -> Outbox:
    logged = tracking.LoggedRows(run.mlflow_run_id, "inner/steps")
    return Outbox(Path(run.directory), logged)


def _restored(
    run: RunReference, conf: MetaTrainingConf, ensemble: EnsembleReference, checkpoints: Any
) -> "MetaState":
    from lopt.checkpoint import CheckpointError

    meta_state = initial_meta_state(run, conf, ensemble)
    if checkpoints.latest() is None:
        return meta_state
    restored: tuple[MetaState, Any] = checkpoints.restore(like=meta_state)
    meta_state, facts = restored
    if {key: facts.get(key) for key in _facts(run)} != _facts(run):
        raise CheckpointError(
            f"The checkpoints in {checkpoints.directory} are of {facts}, but this run is of "
            f"{_facts(run)}: they were put there by somebody. Move them away to begin anew."
        )
    return meta_state


def _facts(run: RunReference) -> dict[str, Any]:
    return {"conf_digest": run.conf_digest, "seed": run.seed}


def _opened(run: RunReference) -> "Checkpoints":
    from lopt.checkpoint import Checkpoints

    return Checkpoints(Path(run.directory) / "checkpoints", CHECKPOINTS_KEPT)


def _best(run: RunReference) -> "Checkpoints":
    from lopt.checkpoint import Checkpoints

    return Checkpoints(Path(run.directory) / "best", keep=2)


def _reference(checkpoints: "Checkpoints", meta_step: int) -> CheckpointReference:
    return CheckpointReference(
        directory=str(checkpoints.directory),
        meta_step=meta_step,
        digest=checkpoints.digest(meta_step),
    )
