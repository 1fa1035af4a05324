"""What the processes other than 0 do: the same meta-steps, and nothing else.

They write nothing but the drawn ensemble and JAX's cache, talk neither to Prefect nor to MLflow,
and end when process 0 does, with its exit status.
"""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from tasks import terminal
from tasks.accelerators import mesh_of
from tasks.confs import Conf, EnsembleConf
from tasks.ensembles import draw_ensemble, groups_of
from tasks.meta_states import initial_meta_state, training_of
from tasks.processes import END_SECONDS, Company, CompanyError
from tasks.references import EnsembleReference, RunReference
from tasks.stopping import heeded
from tasks.validation import validate

if TYPE_CHECKING:
    from lopt.meta_training import MetaMetrics, MetaState


def follow(found: Company, conf: Conf) -> NoReturn:
    """Do what process 0 says; raise `SystemExit` when it says that this is the end.

    A signal is passed on to process 0. What fails here is told to it, too.
    """
    terminal.say(f"{str(found).capitalize()}: follows process 0")
    follower = _Follower(found, conf)
    # A first signal is noted here and heeded by process 0, for all at the same meta-step.
    with heeded(found.ask_to_stop):
        try:
            while True:
                word = found.next_word()
                follower.heard[word.what](**word.facts)
        except Exception as error:
            found.fail(f"{type(error).__name__}: {error}")
            found.wait_for_end(END_SECONDS)
            found.leave(1)
            raise


class _Follower:
    """A meta-training as far as process 0 has said it."""

    def __init__(self, found: Company, conf: Conf) -> None:
        self._company, self._conf = found, conf
        self._ensemble: EnsembleReference
        self._held_out: EnsembleReference
        self._states: Iterator[tuple[MetaState, MetaMetrics]]
        self._last_meta_step = 0
        self._before: MetaState
        self._newest: MetaState
        self.heard = {
            "begin": self._begin,
            "take-state": self._take_state,
            "turn": self._turn,
            "validate": self._validate,
            "gather": self._gather,
        }

    def _begin(
        self, run: dict[str, Any], ensemble: str, held_out: str, last_meta_step: int
    ) -> None:
        conf = self._conf
        held_out_conf = conf.ensemble.with_seed(conf.meta_training.validation_seed)
        self._ensemble = _drawn(conf.ensemble, ensemble)
        self._held_out = _drawn(held_out_conf, held_out)
        reference = RunReference.model_validate(run)
        self._newest = initial_meta_state(reference, conf.meta_training, self._ensemble)
        self._last_meta_step = last_meta_step
        self._company.arrive()

    def _take_state(self) -> None:
        from lopt.meta_training import from_first, meta_train

        conf = self._conf.meta_training
        self._before = self._newest = from_first(self._newest)
        self._states = meta_train(
            training_of(conf),
            groups_of(self._ensemble),
            self._newest,
            last_meta_step=self._last_meta_step,
            mesh=mesh_of(conf),
        )

    def _turn(self) -> None:
        taken = next(self._states, None)
        if taken is not None:
            self._before, self._newest = self._newest, taken[0]

    def _validate(self) -> None:
        validate(self._conf.meta_training, self._ensemble, self._held_out, self._newest)

    def _gather(self, before: bool) -> None:
        from lopt.meta_training import gathered

        gathered(self._before if before else self._newest, mesh_of(self._conf.meta_training))


@functools.lru_cache(maxsize=2)
def _drawn(conf: EnsembleConf, digest: str) -> EnsembleReference:
    """Draw the ensemble of process 0 here, too; raise `CompanyError` if it is another one."""
    drawn = draw_ensemble.fn(conf)
    if drawn.digest != digest:
        raise CompanyError(
            f"{conf.entries} draws the ensemble {drawn.digest} here and {digest} on process 0. "
            "Bring the same files and data sets to all hosts."
        )
    return drawn
