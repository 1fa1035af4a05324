"""What a report is made of, and what is refused; the cells themselves are stand-ins."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tasks import cells, evaluation
from tasks.cell_orders import CellOrder, cell_orders
from tasks.confs import DEFAULTS
from tasks.evaluation import (
    NotHeldOutError,
    NothingToReportError,
    check_held_out,
    write_report,
)
from tasks.evaluation_targets import TargetReference
from tasks.references import EnsembleReference, ReleaseReference

if TYPE_CHECKING:
    from lopt.evaluation import Report

HELD_OUT = EnsembleReference(path="x.parquet", digest="a" * 64, entries=3, programs=2)
CONF = DEFAULTS.evaluation.model_copy(update={"baselines": ("Adam",)})


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: ReleaseReference) -> list:
    """Two targets, the release and Adam: four cells."""
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    targets = [
        TargetReference(name=name, steps=3, record_every=1, ensemble=HELD_OUT)
        for name in ("held_out/bowls", "digits/mlp")
    ]
    return cell_orders(CONF, targets, trained)


@pytest.fixture
def write_cells(make_report: "Callable[..., Report]") -> Callable[[list[CellOrder]], None]:
    """A function that writes cells, random ones, as if they had been computed."""
    from lopt.evaluation import Report

    made = {(c.target, c.optimizer): c for c in make_report((1e-3, 1e-2), {}).cells}

    def write(orders: list[CellOrder]) -> None:
        for order in orders:
            cell = made[order.target.name, order.candidate.name]
            Report((cell,), order.facts).write(order.directory)

    return write


def test_a_report_holds_all_cells_and_says_what_they_are_of(orders, write_cells) -> None:
    from lopt.evaluation import Report

    write_cells(orders)
    reference = write_report.fn(CONF, orders, [])
    report = Report.read(Path(reference.directory))
    assert report.optimizers == ("learned", "Adam")
    assert report.targets == ("held_out/bowls", "digits/mlp")
    assert report.facts["release"] == reference.release_digest
    assert report.facts["held_out_ensemble"] == HELD_OUT.digest
    assert report.failures == ()


def test_where_and_how_fast_cells_are_computed_changes_no_report(orders, write_cells) -> None:
    write_cells(orders)
    elsewhere = {"task_runner": "dask", "dask_address": "tcp://host:1", "max_workers": 3}
    faster = {"stream_processes": 2, "checkpoint_seconds": 1.0}
    other = CONF.model_copy(update=elsewhere | faster)
    assert write_report.fn(other, orders, []) == write_report.fn(CONF, orders, [])


def test_who_decodes_images_makes_no_other_cell(orders) -> None:
    order = orders[1]
    target = order.target.model_copy(update={"processes": 2})
    assert order.model_copy(update={"target": target}).directory == order.directory


def test_a_damaged_report_is_put_aside_and_written_again(orders, write_cells) -> None:
    from lopt.evaluation import Report

    write_cells(orders)
    directory = Path(write_report.fn(CONF, orders, []).directory)
    (directory / "scores.parquet").write_bytes(b"")
    assert Path(write_report.fn(CONF, orders, []).directory) == directory
    assert Report.read(directory).optimizers == ("learned", "Adam")


def test_a_report_does_without_what_has_failed_and_names_it(orders, write_cells) -> None:
    from lopt.evaluation import Failure, Report

    write_cells(orders[:3])
    failure = Failure("digits/mlp", "Adam", "ValueError: of no use")
    report = Report.read(Path(write_report.fn(CONF, orders, [failure]).directory))
    assert report.targets == ("held_out/bowls",)
    assert report.failures == (failure,)


def test_a_report_says_which_finished_cells_are_not_in_it_and_where_they_lie(
    orders, write_cells
) -> None:
    from lopt.evaluation import Failure, Report
    from lopt.evaluation.words import missing
    from tasks import settings

    write_cells(orders[:3])
    failure = Failure("digits/mlp", "Adam", "ValueError: of no use")
    report = Report.read(Path(write_report.fn(CONF, orders, [failure]).directory))
    places = json.loads(report.facts["left_out"])
    assert list(places) == ["learned on digits/mlp"]
    (cell,) = Report.read(settings.home() / places["learned on digits/mlp"]).cells
    assert (cell.optimizer, cell.target) == ("learned", "digits/mlp")
    assert len(missing(report)) == 2
    write_cells(orders[3:])
    assert "left_out" not in Report.read(Path(write_report.fn(CONF, orders, []).directory)).facts


def test_without_any_cell_of_the_release_there_is_no_report(orders, write_cells) -> None:
    from lopt.evaluation import Failure

    write_cells([order for order in orders if order.candidate.name == "Adam"])
    failures = [Failure(name, "learned", "why") for name in ("held_out/bowls", "digits/mlp")]
    with pytest.raises(NothingToReportError, match=r"2 of 4 cells.*learned on digits/mlp: why"):
        write_report.fn(CONF, orders, failures)


def test_what_decides_a_cell_and_nothing_else_is_in_the_name_of_its_folder(orders) -> None:
    order = orders[1]
    other_seed = order.model_copy(update={"seed": 1})
    other_code = order.model_copy(update={"library": "f" * 64})
    moved = HELD_OUT.model_copy(update={"path": "elsewhere.parquet"})
    same = order.model_copy(update={"target": order.target.model_copy(update={"ensemble": moved})})
    assert same.directory == order.directory
    assert len({one.directory for one in (*orders, other_seed, other_code)}) == 6


def test_another_release_shares_the_cells_of_the_baselines(orders, trained) -> None:
    newer = trained.model_copy(update={"digest": "9" * 64})
    again = cell_orders(CONF, [order.target for order in orders[::2]], newer)
    same = [one.directory == other.directory for one, other in zip(orders, again, strict=True)]
    assert same == [False, True, False, True]


@pytest.mark.parametrize("file", ["report.json", "curves.parquet"])
def test_a_damaged_cell_is_put_aside_with_a_line(
    orders, write_cells, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    order = orders[1]
    write_cells([order])
    (order.directory / file).write_bytes(b"{")
    assert cells.find_cell(order) is None
    (aside,) = order.directory.parent.glob("damaged-*")
    assert (aside / file).read_bytes() == b"{"
    assert f"{order.directory.name} is damaged: now in {aside}" in capsys.readouterr().out
    write_cells([order])
    assert cells.find_cell(order).optimizer == "Adam"


def test_what_a_release_was_trained_on_is_not_held_out(trained: ReleaseReference) -> None:
    seen = HELD_OUT.model_copy(update={"digest": "e" * 64})
    with pytest.raises(NotHeldOutError, match=r"held_out_seed = 1000000 draws: nothing would be"):
        check_held_out(DEFAULTS.evaluation, seen, trained)


def test_what_a_release_was_chosen_on_is_not_held_out(tmp_path: Path) -> None:
    import jax

    from lopt import HierarchicalRNN, release
    from lopt.provenance import Provenance

    conf = json.dumps({"meta_training": {"validation_seed": 7}})
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    chosen = optimizer.with_provenance(Provenance(lopt_version="0.1.0", conf=conf))
    directory = release.save(chosen, tmp_path / "release")
    reference = ReleaseReference(directory=str(directory), digest=release.digest(directory))
    check_held_out(DEFAULTS.evaluation, HELD_OUT, reference)
    on_the_same = DEFAULTS.evaluation.model_copy(update={"held_out_seed": 7})
    with pytest.raises(NotHeldOutError, match=r"the seed 7 draws, so evaluation.held_out_seed"):
        check_held_out(on_the_same, HELD_OUT, reference)


def test_cells_given_up_beside_one_that_kills_workers_are_tried_alone_and_it_alone_is_named(
    orders, write_cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Dask does where all lie at one worker: each has been there at four deaths."""
    killer, given_up, done, waited = orders
    died = SimpleNamespace(state=SimpleNamespace(message=None), killed=True)
    fine = SimpleNamespace(state=SimpleNamespace(message=None), killed=False)
    tried = []

    def ended(_, now: list[CellOrder]) -> Iterator[tuple[CellOrder, SimpleNamespace]]:
        tried.append(list(now))
        for order in now:
            lost = order is killer or (len(now) > 1 and order in (given_up, waited))
            if not lost:
                write_cells([order])
            yield order, died if lost else fine

    monkeypatch.setattr(evaluation, "_ended", ended)
    monkeypatch.setattr(evaluation, "worker_has_died", lambda future: future.killed)
    (failure,) = evaluation.evaluate_cells(CONF, orders)
    assert tried == [orders, [killer], [given_up], [waited]]
    assert (failure.target, failure.optimizer) == (killer.target.name, killer.candidate.name)
    assert all(cells.find_cell(order) is not None for order in (given_up, done, waited))


def test_where_optimizers_begin_at_all_rates_cells_are_of_those_rates_and_not_timed(
    trained: ReleaseReference,
) -> None:
    from lopt.evaluation.robustness import INITIAL_LEARNING_RATES

    names = ("digits/mlp", "initial_rates/digits/mlp")
    targets = [TargetReference(name=name, steps=3, record_every=1) for name in names]
    conf = CONF.model_copy(update={"compare_seconds": True})
    plain, apart = (
        [order for order in cell_orders(conf, targets, trained) if order.target.name == name]
        for name in names
    )
    assert {order.candidate.learning_rates for order in apart} == {INITIAL_LEARNING_RATES}
    assert len({order.candidate.learning_rates for order in plain}) == 2
    assert {order.timed_at_one_rate for order in plain} == {True}
    assert {order.timed_at_one_rate for order in apart} == {False}


def test_robustness_alone_is_nothing_to_report(orders, write_cells) -> None:
    from lopt.evaluation import Failure, Report

    learned, adam = (order for order in orders if order.target.name == "digits/mlp")
    write_cells([learned])
    (cell,) = Report.read(learned.directory).cells
    apart = learned.model_copy(
        update={"target": learned.target.model_copy(update={"name": "initial_rates/digits/mlp"})}
    )
    robust = dataclasses.replace(cell, target=apart.target.name)
    Report((robust,), apart.facts).write(apart.directory)
    learned.directory.rename(learned.directory.with_name("lost"))
    failure = Failure("digits/mlp", "Adam", "ValueError: no")
    with pytest.raises(NothingToReportError, match="nothing is left to compare the release on"):
        write_report.fn(CONF, [learned, adam, apart], [failure])
