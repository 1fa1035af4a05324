"""What process 0 says to the others while it takes a segment of meta-steps with them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.accelerators import mesh_of
from tasks.confs import MetaTrainingConf
from tasks.processes import GO_ON, Company, CompanyError, company
from tasks.references import EnsembleReference, RunReference
from tasks.stopping import Wish, heeded

if TYPE_CHECKING:
    from lopt.meta_training import MetaMetrics, MetaState


class Alone:
    """There are no other processes: nothing has to be said."""

    def given(self, meta_state: "MetaState") -> "MetaState":
        """Give the others the state to begin with."""
        return meta_state

    def turns(
        self, states: "Iterator[tuple[MetaState, MetaMetrics]]"
    ) -> "Iterator[tuple[MetaState, MetaMetrics]]":
        """Take each dispatch together, and stop before one if anybody has been asked to."""
        return states

    def validate(self) -> None:
        """Let the others take part in validation, which has to follow."""

    def whole(self, meta_state: "MetaState", *, before: bool = False) -> "MetaState":
        """Gather the newest state, or that `before` the last dispatch, so it can be saved."""
        del before
        return meta_state


class Leading(Alone):
    """The other processes do the same as this one."""

    def __init__(self, found: Company, conf: MetaTrainingConf, wish: Wish) -> None:
        self._company, self._conf, self._wish = found, conf, wish

    def given(self, meta_state: "MetaState") -> "MetaState":
        from lopt.meta_training import from_first

        self._company.say("take-state")
        return from_first(meta_state)

    def turns(
        self, states: "Iterator[tuple[MetaState, MetaMetrics]]"
    ) -> "Iterator[tuple[MetaState, MetaMetrics]]":
        while True:
            self.stop_if_asked()
            self._company.say("turn")
            newest = next(states, None)
            if newest is None:
                return
            yield newest

    def validate(self) -> None:
        self._company.say("validate")

    def whole(self, meta_state: "MetaState", *, before: bool = False) -> "MetaState":
        from lopt.meta_training import gathered

        self._company.say("gather", before=before)
        return gathered(meta_state, mesh_of(self._conf))

    def stop_if_asked(self) -> None:
        """Raise what a signal raises that came to this process or to another one."""
        number = self._wish.number or self._company.asked_to_stop()
        if number is not None:
            self._wish.grant(number)


@contextmanager
def together(
    run: RunReference,
    conf: MetaTrainingConf,
    ensemble: EnsembleReference,
    held_out: EnsembleReference,
    last_meta_step: int,
) -> Iterator[Alone]:
    """Begin a segment with the other processes, if there are any.

    Signals wait meanwhile for `turns`, or for the end. Raises `CompanyError` if another process
    is lost, which trying again does not mend.
    """
    found = company()
    if found is None:
        yield Alone()
        return
    from jax.errors import JaxRuntimeError

    with heeded() as wish:
        leading = Leading(found, conf, wish)
        try:
            found.say(
                "begin",
                run=run.model_dump(),
                ensemble=ensemble.digest,
                held_out=held_out.digest,
                last_meta_step=last_meta_step,
            )
            found.arrivals()
            yield leading
        except JaxRuntimeError as error:
            found.check()
            raise CompanyError(
                f"{found} cannot go on: {str(error).splitlines()[0]} {GO_ON}"
            ) from None
    leading.stop_if_asked()
