"""What becomes of cells whose Dask worker is killed: they are computed by another, or named."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tasks import cells
from tasks.cell_orders import CellOrder
from tasks.evaluation_targets import TargetReference
from tests.flows.test_cells import CONF, evaluated, orders_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(1200),
]

DASK = CONF.model_copy(update={"task_runner": "dask", "max_workers": 2})
ROSENBROCK = TargetReference(name="papers/rosenbrock", steps=4, record_every=2)
NAMES = ("Adam", "RMSProp", "SGD+momentum", "Lion", "AdamW", "SGD+momentum+cosine")


class Killer(threading.Thread):
    """Sends SIGKILL to whoever computes a cell, the first time or whenever it is begun."""

    def __init__(self, order: CellOrder, most: int) -> None:
        super().__init__(daemon=True)
        self.lock = str(order.directory.with_name(f"{order.directory.name}.begun") / "lock")
        self.most = most
        self.killed: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while len(self.killed) < self.most and not self.over.wait(0.02):
            for process in psutil.Process().children(recursive=True):
                if self._computes(process):
                    process.kill()
                    self.killed.append(process.pid)
                    process.wait(60)

    def _computes(self, process: psutil.Process) -> bool:
        try:
            return any(one.path == self.lock for one in process.open_files())
        except psutil.NoSuchProcess:
            return False


@pytest.fixture
def kill(
    home: Path, server: str, jax_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Killer]]:
    """A function that begins to kill whoever computes a cell."""
    del home, server
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax_cache))
    begun: list[Killer] = []

    def kill(order: CellOrder, most: int) -> Killer:
        begun.append(Killer(order, most))
        begun[-1].start()
        return begun[-1]

    yield kill
    for killer in begun:
        killer.over.set()
        killer.join()


def times(orders: list[CellOrder]) -> list[int]:
    """When each finished cell was written."""
    return [order.directory.stat().st_mtime_ns for order in orders if order.directory.is_dir()]


def test_a_cell_whose_worker_is_killed_is_computed_by_another(kill) -> None:
    orders = orders_of(ROSENBROCK, NAMES, "killed once")
    killer = kill(orders[0], most=1)
    assert evaluated(DASK, orders) == []
    assert len(killer.killed) == 1
    assert all(cells.find_cell(order) is not None for order in orders)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_kills_every_worker_is_named_and_no_other(
    kill, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    """Where there is one worker, another cell may wait there each time that it dies."""
    orders = orders_of(ROSENBROCK, NAMES, f"killed always, {workers}")
    killer = kill(orders[0], most=100)
    runner = DASK.model_copy(update={"max_workers": workers})
    (failure,) = evaluated(runner, orders)
    killer.over.set()
    assert (failure.optimizer, "has died" in failure.reason) == ("Adam", True)
    # Four times among others, and four times alone.
    assert len(killer.killed) == 8
    said = capsys.readouterr().out
    assert "Adam on papers/rosenbrock: workers died with it; it is tried again alone" in said
    finished = orders[1:]
    assert all(order.directory.is_dir() for order in finished)
    before = times(finished)
    assert evaluated(runner, orders) == []
    assert times(finished) == before
    assert all(cells.find_cell(order) is not None for order in orders)
