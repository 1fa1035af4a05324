"""Laws of computing a cell: once, gone on from its checkpoints, one process at a time."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks import cells, code_version
from tasks.cell_orders import CandidateReference, CellOrder
from tasks.cells import CellStoppedError, OtherCodeError, evaluate_cell
from tasks.evaluation_targets import TargetReference
from tasks.locks import locked

OFTEN = 1e-9
NEVER = 1e9


class StoppedHereError(Exception):
    """Raised by a test in the middle of a cell."""


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CellOrder:
    """Adam at two rates on bowls, in four segments."""
    from lopt.evaluation import cell_states
    from lopt.evaluation.targets.held_out import HeldOut

    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.setattr(cell_states, "SEGMENT_SECONDS", 0.0)
    bowls = dataclasses.replace(HeldOut.examples()[0], steps=8)
    monkeypatch.setattr(cells, "target_of", lambda reference: bowls)
    return CellOrder(
        target=TargetReference(name="bowls", steps=8, record_every=2),
        candidate=CandidateReference(name="Adam", learning_rates=(0.01, 0.1)),
        seed=0,
        seeds=2,
        library=code_version.running_library(),
    )


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows after each segment."""
    seen: list[str] = []
    monkeypatch.setattr(cells, "_check_stopped", lambda: seen.append("segment"))
    return seen


def again(order: CellOrder, monkeypatch: pytest.MonkeyPatch) -> CellOrder:
    """The same cell as other code would compute it, which then is what runs."""
    monkeypatch.setattr(code_version, "running_library", lambda: "b" * 64)
    return order.model_copy(update={"library": "b" * 64})


def losses_of(order: CellOrder) -> np.ndarray:
    found = cells.find_cell(order)
    assert found is not None
    return found.losses


def stopped_by(fault: Callable[[], None], order: CellOrder, monkeypatch: Any) -> None:
    """Compute a cell, with a checkpoint after each segment, until a fault that comes then."""
    with monkeypatch.context() as patch:
        patch.setattr(cells, "_check_stopped", fault)
        with pytest.raises(StoppedHereError):
            evaluate_cell.fn(order, OFTEN)


def test_a_cell_is_computed_once(order: CellOrder, looks: list[str]) -> None:
    assert evaluate_cell.fn(order, NEVER) == evaluate_cell.fn(order, NEVER) == str(order.directory)
    assert len(looks) == 4
    assert [path.name for path in order.directory.parent.iterdir()] == [order.directory.name]


def test_resuming_equals_never_stopping(
    order: CellOrder, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_cell.fn(order, NEVER)
    never_stopped = losses_of(order)
    order = again(order, monkeypatch)

    def fault() -> None:
        looks.append("segment")
        raise StoppedHereError

    for _ in range(2):
        stopped_by(fault, order, monkeypatch)
    looks.clear()
    evaluate_cell.fn(order, OFTEN)
    assert len(looks) == 2, "two of four segments were done before"
    np.testing.assert_array_equal(losses_of(order), never_stopped)


def test_a_damaged_checkpoint_costs_what_came_after_the_one_before(
    order: CellOrder, looks: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fault() -> None:
        looks.append("segment")
        if len(looks) == 2:
            raise StoppedHereError

    stopped_by(fault, order, monkeypatch)
    (newest,) = order.directory.parent.glob("*.begun/checkpoints/4")
    for file in (newest / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    looks.clear()
    evaluate_cell.fn(order, OFTEN)
    assert len(looks) == 3
    assert "checkpoint 4 is damaged: now in" in capsys.readouterr().out


def test_a_cell_without_a_sound_checkpoint_begins_anew(
    order: CellOrder, looks: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fault() -> None:
        raise StoppedHereError

    stopped_by(fault, order, monkeypatch)
    (only,) = order.directory.parent.glob("*.begun/checkpoints/*/state")
    for file in only.rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    evaluate_cell.fn(order, OFTEN)
    assert len(looks) == 4
    assert "begins anew; its checkpoints are in" in capsys.readouterr().out
    assert list(order.directory.parent.glob("damaged-*"))


def test_a_worker_of_other_code_leaves_no_cell(order: CellOrder) -> None:
    foreign = order.model_copy(update={"library": "f" * 64})
    with pytest.raises(OtherCodeError, match=r"ffffffffffff.*Restart the workers"):
        evaluate_cell.fn(foreign, NEVER)
    assert not foreign.directory.parent.exists()


def test_who_waits_for_a_cell_takes_it_from_who_has_finished_it(
    order: CellOrder, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate_cell.fn(order, NEVER)
    done = order.directory.rename(order.directory.with_name("elsewhere"))
    looks.clear()
    workshop = order.directory.with_name(f"{order.directory.name}.begun")
    workshop.mkdir(parents=True)
    with locked(workshop / "lock", wait=False):

        def finish(seconds: float) -> None:
            done.rename(order.directory)
            shutil.rmtree(workshop)

        monkeypatch.setattr(cells, "time", SimpleNamespace(sleep=finish))
        evaluate_cell.fn(order, NEVER)
    assert order.directory.exists()
    assert not workshop.exists()


def test_stopping_ends_a_cell_between_two_segments(order: CellOrder) -> None:
    cells.STOP.set()
    try:
        with pytest.raises(CellStoppedError):
            evaluate_cell.fn(order, NEVER)
    finally:
        cells.STOP.clear()
    assert not order.directory.exists()


def test_one_process_at_a_time_computes_a_cell(
    order: CellOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = order.directory.with_name(f"{order.directory.name}.begun") / "lock"
    lock.parent.mkdir(parents=True)
    waited: list[float] = []
    with locked(lock, wait=False):

        def sleep(seconds: float) -> None:
            waited.append(seconds)
            cells.STOP.set()

        monkeypatch.setattr(cells, "time", SimpleNamespace(sleep=sleep))
        try:
            with pytest.raises(CellStoppedError):
                evaluate_cell.fn(order, NEVER)
        finally:
            cells.STOP.clear()
    assert waited
    evaluate_cell.fn(order, NEVER)
    assert order.directory.exists()
