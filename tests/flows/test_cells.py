"""Cells on a task runner: what one that fails costs, and what is not computed again."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import cells, code_version
from tasks.cell_orders import CandidateReference, CellOrder
from tasks.confs import DEFAULTS, EvaluationConf
from tasks.evaluation import evaluate_cells
from tasks.evaluation_targets import TargetReference
from tasks.references import DataSetReference

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]
CONF = DEFAULTS.evaluation.model_copy(update={"learning_rates": (1e-3, 1e-2)})


def orders_of(target: TargetReference, names: Sequence[str], label: str) -> list[CellOrder]:
    """Return cells that no other label has: it decides the seed."""
    decided = {"seed": zlib.crc32(label.encode()) % 1000, "library": code_version.running_library()}
    candidates = [CandidateReference(name=name, learning_rates=(1e-3, 1e-2)) for name in names]
    return [
        CellOrder(target=target, candidate=candidate, seeds=2, **decided)
        for candidate in candidates
    ]


def evaluated(conf: EvaluationConf, orders: list[CellOrder]) -> list[Any]:
    from prefect import flow

    @flow(name="cells")
    def run() -> list[Any]:
        return evaluate_cells(conf, orders)

    return run()


@pytest.fixture
def bowls(home: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> TargetReference:
    from lopt.evaluation.targets.held_out import HeldOut

    del home, server
    (target,) = HeldOut.examples()
    monkeypatch.setattr(cells, "target_of", lambda reference: target)
    return TargetReference(name="bowls", steps=4, record_every=2)


def test_a_failing_cell_is_named_with_its_reason_and_loses_no_other(
    bowls: TargetReference, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = orders_of(bowls, ("Adam", "Nadir", "SGD+momentum"), "one fails")
    # With checkpoints from several threads at once.
    (failure,) = evaluated(CONF.model_copy(update={"checkpoint_seconds": 1e-9}), orders)
    assert (failure.target, failure.optimizer) == ("bowls", "Nadir")
    assert failure.reason.startswith("ValueError: There are no baselines called Nadir")
    assert [order.directory.is_dir() for order in orders] == [True, False, True]
    assert "Nadir on bowls has failed: ValueError" in capsys.readouterr().out


def test_finished_cells_are_not_computed_again_and_failed_ones_are(
    bowls: TargetReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []
    original = cells._computed

    def counted(order: CellOrder, *rest: Any) -> Any:
        computed.append(order.candidate.name)
        if order.candidate.name == "Adam" and computed.count("Adam") == 1:
            raise cells.CellStoppedError("this once")
        return original(order, *rest)

    monkeypatch.setattr(cells, "_computed", counted)
    orders = orders_of(bowls, ("Adam", "RMSProp"), "once")
    assert len(evaluated(CONF, orders)) == 1
    assert evaluated(CONF, orders) == []
    assert evaluated(CONF, orders) == []
    assert sorted(computed) == ["Adam", "Adam", "RMSProp"]


def test_stopping_the_flow_stops_the_cells_in_their_threads(
    bowls: TargetReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import evaluation

    def interrupted(futures: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "as_completed", interrupted)
    orders = orders_of(bowls, ("Adam", "RMSProp", "SGD+momentum"), "stopped")
    with pytest.raises(KeyboardInterrupt):
        evaluated(CONF.model_copy(update={"max_workers": 1}), orders)
    assert cells.STOP.is_set()
    assert not orders[-1].directory.exists()


@pytest.mark.slow
def test_a_local_dask_cluster_computes_the_same_cells_as_threads(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch, jax_cache: Path
) -> None:
    from lopt import datasets

    del server
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(jax_cache))
    digits = datasets.prepare("digits", home / "datasets")
    reference = DataSetReference(
        name="digits", version="1", digest="d", directory=str(digits.directory), counts={}
    )
    target = TargetReference(name="digits/mlp", steps=4, record_every=2, data_set=reference)
    losses = []
    for runner in ("threads", "dask"):
        conf = CONF.model_copy(update={"task_runner": runner})
        # Cells of their own, of the same losses.
        own = {"timed_at_one_rate": runner == "dask"}
        orders = [
            order.model_copy(update=own)
            for order in orders_of(target, ("Adam", "Nadir", "RMSProp"), "runners")
        ]
        (failure,) = evaluated(conf, orders)
        assert failure.optimizer == "Nadir"
        assert "no baselines called Nadir" in failure.reason
        losses.append([cells.find_cell(order).losses for order in orders[::2]])
    np.testing.assert_allclose(*losses, rtol=1e-4)
