"""Computing cells, each once: in the order of the evaluation, side by side, and to be resumed.

A finished cell is a report of its own, whole or not there. One that takes long leaves
checkpoints beside, from which the next attempt goes on.
"""

import json
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import task

from tasks import code_version, settings, terminal
from tasks.cell_orders import BEGUN, CellOrder, candidate_of
from tasks.errors import may_pass
from tasks.evaluation_targets import target_of
from tasks.locks import locked
from tasks.turns import Turns

if TYPE_CHECKING:
    from lopt.evaluation import Cell
    from lopt.evaluation.cell_states import CellState
    from lopt.evaluation.evaluate import Turn

STOP = threading.Event()
"""Set where the evaluation has been stopped: threads get no signals."""
WORTH_KEEPING = 10.0
"""Seconds of a cell that are kept when somebody stops it; a shorter one begins anew sooner."""
SECONDS_BETWEEN_LOOKS = 0.5


class CellStoppedError(RuntimeError):
    """The evaluation was stopped while this cell was computed."""


class OtherCodeError(RuntimeError):
    """A worker does not run the code that the evaluation runs."""


@task(
    name="evaluate-cell",
    task_run_name="{order.name}",
    # A retry goes on from the last checkpoint.
    retries=1,
    retry_delay_seconds=1,
    retry_condition_fn=may_pass,
)
def evaluate_cell(order: CellOrder, checkpoint_seconds: float) -> str:
    """Compute a cell and write it, or find it written; return its folder."""
    _refuse_other_code(order)
    from lopt.compiled_programs import forget_if_many
    from lopt.evaluation import Report

    with _workshop(order) as workshop:
        if find_cell(order) is None:
            cell = _computed(order, checkpoint_seconds, workshop)
            Report((cell,), order.facts).write(order.directory)
            # Each cell has programs of its own, and an evaluation hundreds of cells.
            forget_if_many()
    return str(order.directory)


def _refuse_other_code(order: CellOrder) -> None:
    """Leave no cell under a digest of other code: workers of a cluster outlive their code."""
    running = code_version.running_library()
    if running != order.library:
        raise OtherCodeError(
            f"This worker computes with other code or another device ({running[:12]}) than the "
            f"evaluation asks for ({order.library[:12]}). Restart the workers of the cluster, with "
            "the same code, packages and kind of device as where the flow runs."
        )


def find_cell(order: CellOrder) -> "Cell | None":
    """Return a finished cell, `None` if there is none; a damaged one is moved aside."""
    report = read_whole(order.directory)
    return None if report is None else report.cells[0]


def whole_grid(orders: Sequence[CellOrder]) -> "tuple[Cell, ...]":
    """Return the cells that are there, without the targets or optimizers that lack too many."""
    from lopt.evaluation import comparable

    return tuple(comparable([cell for cell in map(find_cell, orders) if cell is not None]))


def left_out(orders: Sequence[CellOrder], kept: "Sequence[Cell]") -> dict[str, str]:
    """Return as a fact where the finished cells lie that are not among those kept, if any are."""
    from lopt.evaluation.failures import LEFT_OUT

    compared = {(cell.target, cell.optimizer) for cell in kept}
    others = [one for one in orders if (one.target.name, one.candidate.name) not in compared]
    home = settings.home()
    places = {
        one.name: str(one.directory.relative_to(home)) for one in others if one.directory.is_dir()
    }
    return {LEFT_OUT: json.dumps(places)} if places else {}


def read_whole(directory: Path) -> Any:
    """Return the report in a folder, `None` if there is none; a damaged one is moved aside."""
    from lopt.evaluation import Report, ReportError

    if not directory.exists():
        return None
    try:
        return Report.read(directory)
    except ReportError as error:
        aside = directory.with_name(f"damaged-{directory.name}-{uuid.uuid4().hex[:8]}")
        directory.rename(aside)
        terminal.warn(f"{directory.name} is damaged: now in {aside} ({error})")
        return None


def _computed(order: CellOrder, checkpoint_seconds: float, workshop: Path) -> "Cell":
    import jax

    from lopt.evaluation.evaluate import finished as finished_cell
    from lopt.evaluation.evaluate import first_state, later_states, prepared, timed_at_one_rate

    target, candidate = target_of(order.target), candidate_of(order.candidate)
    key = jax.random.key(order.seed)
    beside, alone = _turns(order)
    with beside():
        work = prepared(target, candidate, order.seeds, key)
        state = _restored(first_state(work), workshop)
    kept = float(state.seconds)
    for newer in _each(later_states(work, state), beside):
        state = newer
        if state.seconds - kept >= (WORTH_KEEPING if STOP.is_set() else checkpoint_seconds):
            _keep(order, state, workshop)
            kept = float(state.seconds)
        _check_stopped()
    with beside():
        cell = finished_cell(target, candidate, work, state)
    if not order.timed_at_one_rate:
        return cell
    return timed_at_one_rate(cell, target, candidate, key, beside=beside, alone=alone)


def _turns(order: CellOrder) -> "tuple[Turn, Turn]":
    """Return how a cell works beside others, and alone: where seconds do not count, anyhow."""
    if not order.timed_at_one_rate:
        return nullcontext, nullcontext
    turns = Turns(settings.cells_root() / "turns")
    return turns.beside, turns.alone


def _each(states: "Iterator[CellState]", beside: "Turn") -> "Iterator[CellState]":
    """Yield states, each of which is computed beside others."""
    while True:
        with beside():
            newer = next(states, None)
        if newer is None:
            return
        yield newer


def _restored(first: Any, workshop: Path) -> Any:
    from lopt.checkpoint import CheckpointError, Checkpoints

    if not (workshop / "checkpoints").is_dir():
        return first
    try:
        with Checkpoints(workshop / "checkpoints", keep=2) as checkpoints:
            for damage in checkpoints.set_aside_damaged():
                terminal.warn(f"checkpoint {damage.meta_step} is damaged: now in {damage.moved_to}")
            if checkpoints.latest() is None:
                return first
            return checkpoints.restore(like=first)[0]
    except CheckpointError as error:
        # Of a cell all can be computed again.
        aside = workshop.with_name(f"damaged-{workshop.name}-{uuid.uuid4().hex[:8]}")
        (workshop / "checkpoints").rename(aside)
        terminal.warn(f"{workshop.name} begins anew; its checkpoints are in {aside}: {error}")
        return first


def _keep(order: CellOrder, state: Any, workshop: Path) -> None:
    from lopt.checkpoint import Checkpoints

    steps = (int(state.records) - 1) * order.target.record_every
    with Checkpoints(workshop / "checkpoints", keep=2) as checkpoints:
        checkpoints.save(steps, state, order.facts)
    terminal.say(f"  {order.name}: {steps:,} of {order.target.steps:,} steps")


def _check_stopped() -> None:
    if STOP.is_set():
        raise CellStoppedError("The evaluation was stopped.")


@contextmanager
def _workshop(order: CellOrder) -> Iterator[Path]:
    """Give a folder for what is not finished, kept from other processes; a success removes it."""
    folder = order.directory.with_name(f"{order.directory.name}{BEGUN}")
    with ExitStack() as kept:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                kept.enter_context(locked(folder / "lock", wait=False))
                break
            # The second where it has just been removed by who has finished the cell.
            except (BlockingIOError, FileNotFoundError):
                # Not by waiting for the lock, in which nothing could stop a thread.
                _check_stopped()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
