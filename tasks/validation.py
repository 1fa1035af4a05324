"""The validation loss of a meta-training, and what follows from it."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks import terminal
from tasks.accelerators import mesh_of
from tasks.confs import MetaTrainingConf
from tasks.ensembles import groups_of
from tasks.meta_states import training_of
from tasks.references import EnsembleReference, RunReference

if TYPE_CHECKING:
    from lopt.checkpoint import Checkpoints
    from lopt.ensembles import Group
    from lopt.meta_training import MetaState

LOSS = "validation_loss"
ROLLED_BACK = 0.5
"""What a rollback leaves of the meta-learning rate."""


class MetaTrainingFailedError(RuntimeError):
    """A meta-training that cannot go on; its best optimizer is kept."""


class Validation(NamedTuple):
    """The validation loss of each family, and their weighted mean."""

    loss: float
    by_family: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """Return the losses as metrics."""
        families = {f"validation/loss/{name}": loss for name, loss in self.by_family.items()}
        return {"validation/loss": self.loss} | families


def validate(
    conf: MetaTrainingConf,
    ensemble: EnsembleReference,
    held_out: EnsembleReference,
    meta_state: "MetaState",
) -> Validation:
    """Measure the optimizer on held-out draws, the same ones at every call.

    On the first `validation_meta_steps` unrolls of trajectories: what goes wrong later is not seen.
    """
    import jax

    from lopt.meta_training import validation_losses, weighted

    groups = held_out_groups(ensemble, held_out)
    losses = validation_losses(
        training_of(conf),
        groups,
        meta_state,
        jax.random.key(conf.validation_seed),
        conf.validation_meta_steps,
        mesh_of(conf),
    )
    return Validation(weighted(losses, groups), losses)


@functools.lru_cache(maxsize=1)
def held_out_groups(
    ensemble: EnsembleReference, held_out: EnsembleReference
) -> tuple["Group", ...]:
    """Return the held-out draws of every group of the ensemble.

    Where the other seed has drawn problems of another form, which would be another program to
    compile, the group's own entries are taken, and it is said so: their constants are drawn anew
    all the same.
    """
    known = {(group.family, _form(group)): group for group in groups_of(held_out)}
    groups = groups_of(ensemble)
    own = [group.family for group in groups if (group.family, _form(group)) not in known]
    if own:
        terminal.warn(
            f"validated on the entries that are trained on, with other constants, in "
            f"{', '.join(own)}: with validation_seed nothing of the same program is drawn there."
        )
    return tuple(known.get((group.family, _form(group)), group) for group in groups)


def _form(group: "Group") -> Any:
    import jax

    leaves, structure = jax.tree.flatten(group)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


def judged(
    conf: MetaTrainingConf,
    best: "Checkpoints",
    first: "MetaState",
    meta_state: "MetaState",
    found: Validation,
    facts: dict[str, Any],
) -> "MetaState":
    """Return the state to go on from: this one, or that with the best loss after a rise.

    A state with the best loss so far is kept as such. Raises `MetaTrainingFailedError` when a
    rise comes after as many rollbacks as the conf allows.
    """
    meta_step, kept = int(meta_state.meta_step), best.latest()
    best_loss = math.inf if kept is None else float(best.facts(kept)[LOSS])
    if found.loss < best_loss:
        best.save(meta_step, meta_state, facts | {LOSS: found.loss})
        return meta_state
    # NaN is no less than anything, and has risen.
    if found.loss <= best_loss + conf.rollback_rise:
        return meta_state
    reason = _reason(meta_step, found, best_loss)
    done = round(math.log(float(meta_state.rate_scale), ROLLED_BACK))
    if done >= conf.rollbacks:
        rollbacks = "1 rollback" if done == 1 else f"{done} rollbacks"
        raise MetaTrainingFailedError(f"{reason}, after {rollbacks}. {_kept(best, kept)}")
    state: MetaState = first if kept is None else best.restore(like=first)[0]
    terminal.warn(
        f"{reason}: back to meta-step {kept or 0}, with "
        f"{ROLLED_BACK ** (done + 1):g} of the meta-learning rate ({done + 1} of "
        f"{conf.rollbacks} rollbacks)"
    )
    return dataclasses.replace(
        state, meta_step=meta_state.meta_step, rate_scale=meta_state.rate_scale * ROLLED_BACK
    )


def in_words(best: "Checkpoints", meta_step: int, found: Validation) -> str:
    """Say what a validation gave, and the best loss where that is another one's."""
    kept = best.latest()
    words = f"validation loss {found.loss:.3f} at meta-step {meta_step}"
    if kept in {None, meta_step}:
        return words
    return f"{words}, best {best.facts(kept)[LOSS]:.3f} at {kept}"


def best_folder(run: RunReference) -> Path:
    """Return where the checkpoint with the best validation loss is kept."""
    return Path(run.directory) / "best"


def _reason(meta_step: int, found: Validation, best_loss: float) -> str:
    infinite = [name for name, loss in found.by_family.items() if not math.isfinite(loss)]
    if infinite:
        return f"at meta-step {meta_step} no problem of {', '.join(infinite)} has a finite loss"
    return f"at meta-step {meta_step} the validation loss is {found.loss:.3f}, best {best_loss:.3f}"


def _kept(best: "Checkpoints", kept: int | None) -> str:
    if kept is None:
        return "Nothing was learned: take a smaller meta_training.meta_learning_rate."
    return (
        f"The best optimizer, of meta-step {kept}, is kept in {best.directory}: take a smaller "
        "meta_training.meta_learning_rate, or fewer meta-steps, to end before."
    )
