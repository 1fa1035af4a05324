"""Compiling the programs of later bundles while the first ones run already."""

import atexit
import functools
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue

import equinox as eqx
import jax
from jax.sharding import Mesh

from lopt.compiled_programs import refuse_if_many
from lopt.cores import usable_cores
from lopt.ensembles import Group
from lopt.meta_training.schedule import Schedule, Turn
from lopt.meta_training.settings import MetaTraining
from lopt.meta_training.state import MetaState
from lopt.meta_training.steps import compile_turn

MOST_AT_ONCE = 4

Job = tuple["Future[None]", Callable[[], None]]


class Ahead:
    """The programs that are being compiled, by bundle."""

    def __init__(self, programs: Mapping[int, Callable[[], None]]) -> None:
        """Begin as many as may be compiled at once."""
        _aheads.add(self)
        self._compiling = {bundle: Future[None]() for bundle in programs}
        jobs: SimpleQueue[Job] = SimpleQueue()
        for bundle, compile_one in programs.items():
            jobs.put((self._compiling[bundle], compile_one))
        for _ in range(min(MOST_AT_ONCE, usable_cores(), len(programs))):
            # No pool of threads: Python ends none before all that it was ever given is done.
            thread = threading.Thread(target=_work, args=(jobs,), daemon=True)
            _threads.add(thread)
            thread.start()

    def wait_for(self, bundle: int) -> None:
        """Wait until a bundle's program is there; raise what compiling it raised.

        Raises `TooManyProgramsError` where a process cannot hold as many programs.
        """
        if bundle in self._compiling:
            self._compiling.pop(bundle).result()

    def begin_no_more(self) -> None:
        """Leave out what has not been begun; what has been goes on, which can take minutes."""
        for program in self._compiling.values():
            program.cancel()


_threads: "weakref.WeakSet[threading.Thread]" = weakref.WeakSet()
_aheads: "weakref.WeakSet[Ahead]" = weakref.WeakSet()


def _work(jobs: "SimpleQueue[Job]") -> None:
    while True:
        try:
            program, compile_one = jobs.get_nowait()
        except Empty:
            return
        if program.set_running_or_notify_cancel():
            try:
                compile_one()
            except Exception as error:  # noqa: BLE001 raised to whoever waits for it
                program.set_exception(error)
            else:
                program.set_result(None)


@contextmanager
def compiling_ahead(
    training: MetaTraining,
    groups: Sequence[Group],
    meta_state: MetaState,
    schedule: Schedule,
    mesh: Mesh | None,
    done: int,
    last_meta_step: int | None,
) -> Iterator[Ahead]:
    """Compile the programs that are needed in other threads, in the order of need.

    A bundle must be waited for before it is run, or it would be compiled twice. A single
    bundle is left to its first run. What has not been begun when the context or the process
    ends is not compiled; what has been begun is, and the process waits for it, unless it is
    to end `without_waiting`.

    **Example**

    ```python
    with compiling_ahead(training, groups, state, schedule, None, 0, None) as ahead:
        ahead.wait_for(0)
    ```
    """
    several = len(schedule.bundles) > 1
    turns = _first_turns(schedule, done, last_meta_step) if several else []

    form = _form(groups)

    def compile_one(turn: Turn) -> None:
        _refuse_once(training.of_program(), training.compile_quickly, form, turn.groups, mesh)
        compile_turn(training, groups, meta_state, turn, mesh)

    ahead = Ahead({turn.bundle: partial(compile_one, turn) for turn in turns})
    try:
        yield ahead
    finally:
        ahead.begin_no_more()


@functools.cache
def _refuse_once(
    training: MetaTraining,
    quickly: bool,
    form: Hashable,
    groups: tuple[int, ...],
    mesh: Mesh | None,
) -> None:
    """Refuse a program for which there is no room, unless it is there already.

    It is from an earlier segment, or from meta-training where groups of the same form validate.
    """
    del training, quickly, form, groups, mesh
    refuse_if_many()


def _form(groups: Sequence[Group]) -> Hashable:
    """Return what two sequences of groups have in common that share their programs."""
    leaves, structure = jax.tree.flatten(tuple(groups))
    shapes = [
        (leaf.shape, str(leaf.dtype)) if eqx.is_array(leaf) else (leaf, None) for leaf in leaves
    ]
    return structure, tuple(shapes)


def _first_turns(schedule: Schedule, done: int, last_meta_step: int | None) -> list[Turn]:
    """Return the first turn of each bundle that has one, in order."""
    turns: list[Turn] = []
    while len(turns) < len(schedule.bundles) and done != last_meta_step:
        turns.append(schedule.turn(done, last_meta_step))
        done += turns[-1].steps
    return turns


def is_compiling() -> bool:
    """Tell whether a program is being compiled ahead, for whichever meta-training.

    **Example**

    ```python
    if is_compiling():
        print("the process ends in a while")
    ```
    """
    return any(thread.is_alive() for thread in _threads)


@atexit.register
def _end() -> None:
    """Wait for what is being compiled: XLA's threads must not outlive what they work with.

    Nothing else is begun. A generator that nobody has closed would go on here: a run that was
    stopped compiled all its bundles before it ended, a quarter of an hour on one core.
    """
    for ahead in list(_aheads):
        ahead.begin_no_more()
    for thread in list(_threads):
        thread.join()


def without_waiting() -> None:
    """Let the process end while programs are being compiled, which cannot be stopped.

    It then has to end by `os._exit` when everything else is done: the compiler is not to meet
    an interpreter that is half gone.

    **Example**

    ```python
    without_waiting()
    atexit.register(os._exit, 1)
    ```
    """
    atexit.unregister(_end)
