"""Two releases are compared on every target that both were measured on, whatever baselines did."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks import settings
from tasks.comparison import merge_reports, pair_reports

if TYPE_CHECKING:
    from lopt.evaluation import Report
    from lopt.evaluation.gate import Ruling

pytestmark = pytest.mark.usefixtures("home")
LOST = "digits/mlp"
RELEASES = {"new": "a" * 64, "old": "b" * 64}
Lose = Callable[..., str]


@pytest.fixture
def lose(make_report: "Callable[..., Report]", home: Path) -> Lose:
    """A function that writes a release's report, without a target that an optimizer failed on."""
    from lopt.evaluation import Failure, Report

    cells = make_report((1e-3, 1e-2), {}).cells
    mine = next(cell for cell in cells if (cell.target, cell.optimizer) == (LOST, "learned"))

    def write(
        name: str,
        failed: str | None = "Adam",
        *,
        place: str = "cells/mlp/learned-{name}",
        release: str | None = None,
    ) -> str:
        facts = {"release": RELEASES[name], "conf": "{}"}
        kept = tuple(cell for cell in cells if failed is None or cell.target != LOST)
        if failed == "Adam":
            where = place.format(name=name)
            Report((mine,), {"release": release or RELEASES[name]}).write(home / where)
            facts["left_out"] = json.dumps({f"learned on {LOST}": where})
        failures = () if failed is None else (Failure(LOST, failed, "out of memory"),)
        return f"{name}={Report(kept, facts, failures).write(settings.reports_root() / name)}"

    return write


def ruled(*sources: str) -> "tuple[Report, Ruling]":
    from lopt.evaluation import Report
    from lopt.evaluation.gate import rule

    report = Report.read(Path(pair_reports.fn(sources).directory))
    return report, rule(report, "new", "old", tolerance=10.0)


def test_a_target_that_a_baseline_has_failed_on_is_compared_on(lose: Lose) -> None:
    report, ruling = ruled(lose("new"), lose("old"))
    assert report.ours == report.optimizers == ("new", "old")
    assert [gap.target for gap in ruling.targets] == ["held_out/bowls", LOST]
    assert not any("not compared on" in reason for reason in ruling.reasons)


@pytest.mark.parametrize(("new", "old"), [("Adam", None), (None, "Adam")])
def test_it_is_where_the_baseline_has_failed_beside_one_release_only(
    lose: Lose, new: str | None, old: str | None
) -> None:
    report, ruling = ruled(lose("new", new), lose("old", old))
    assert report.targets == ("held_out/bowls", LOST)
    assert not any("not compared on" in reason for reason in ruling.reasons)


def test_the_report_that_people_see_says_what_the_baseline_lacks(lose: Lose) -> None:
    from lopt.evaluation import Report
    from lopt.evaluation.words import missing

    shown = Report.read(Path(merge_reports.fn([lose("new"), lose("old")]).directory))
    assert f"Missing: Adam on {LOST} (out of memory)." in missing(shown)


@pytest.mark.parametrize(("new", "old"), [("learned", "Adam"), ("Adam", "learned")])
def test_a_release_that_was_not_measured_on_a_target_is_refused(
    lose: Lose, new: str, old: str
) -> None:
    report, ruling = ruled(lose("new", new), lose("old", old))
    assert report.targets == ("held_out/bowls",)
    name = "new" if new == "learned" else "old"
    assert f"{LOST} is not compared on: {name} could not be measured (out of memory)." in (
        ruling.reasons
    )


@pytest.mark.parametrize(
    "changes",
    [{"place": "elsewhere/{name}"}, {"place": "cells/../{name}"}, {"release": "c" * 64}],
)
def test_only_a_cell_of_the_release_among_the_cells_stands_for_it(
    lose: Lose, changes: dict[str, str]
) -> None:
    report, ruling = ruled(lose("new", **changes), lose("old"))
    assert report.targets == ("held_out/bowls",)
    assert any(reason.startswith(f"{LOST} is not compared on") for reason in ruling.reasons)


def test_a_cell_that_is_gone_or_damaged_is_a_target_that_was_not_compared_on(lose: Lose) -> None:
    sources = lose("new"), lose("old")
    (settings.cells_root() / "mlp" / "learned-new" / "report.json").write_text("{")
    report, ruling = ruled(*sources)
    assert report.targets == ("held_out/bowls",)
    assert any(reason.startswith(f"{LOST} is not compared on") for reason in ruling.reasons)
