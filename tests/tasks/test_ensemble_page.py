import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tasks import ensemble_page, terminal, tracking
from tasks.confs import EnsembleConf
from tasks.ensembles import draw_ensemble
from tasks.references import EnsembleReference

CONF = EnsembleConf(entries="conf/ensembles/tiny.yaml")

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def drawn(home: Path) -> EnsembleReference:
    return draw_ensemble.fn(CONF)


@pytest.fixture
def shown_by_prefect(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The tables that Prefect, of which there is no server here, is given to show."""
    tables: list[Any] = []
    show = "create_table_artifact"
    monkeypatch.setattr(ensemble_page, show, lambda table, **more: tables.append(table))
    return tables


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are said to be reached."""
    steps: list[int] = []
    monkeypatch.setattr(terminal, "reach", lambda step, note="": steps.append(step))
    return steps


def artifacts(mlflow_run_id: str, folder: str | None = None) -> set[str]:
    listed = tracking.client().list_artifacts(mlflow_run_id, folder)
    return {Path(one.path).name for one in listed if not one.is_dir}


def test_a_page_its_plots_its_numbers_and_counts_are_logged(
    drawn: EnsembleReference, shown_by_prefect: list[Any], reached: list[int]
) -> None:
    with tracking.tracked("generate-ensemble", {}) as mlflow_run_id:
        ensemble_page.log_page.fn(mlflow_run_id, CONF, drawn)
    assert artifacts(mlflow_run_id) == {"ensemble.html", "beginnings.parquet"}
    plots = artifacts(mlflow_run_id, "plots")
    assert plots == {"counts.png", "beginnings.png", "landscapes_1.png"}

    folder = Path(tracking.client().download_artifacts(mlflow_run_id, ""))
    page = (folder / "ensemble.html").read_text(encoding="utf-8")
    assert "<h1>Ensemble tiny</h1>" in page
    assert drawn.digest in page
    table = pd.read_parquet(folder / "beginnings.parquet")
    assert set(table["index"]) == set(range(drawn.entries))

    metrics = tracking.client().get_run(mlflow_run_id).data.metrics
    assert metrics["ensemble/entries/all"] == drawn.entries == 6
    assert metrics["ensemble/programs"] == drawn.programs == 2
    assert metrics["ensemble/entries/convex"] == 4
    assert metrics["ensemble/entries/two_dimensional"] == 2
    # Where MLflow stores in files, a metric is one, and what is before a slash a folder.
    assert not any(one.startswith(f"{other}/") for one in metrics for other in metrics)
    categories = [row["category"] for row in shown_by_prefect[0]]
    assert categories == ["two dimensional", "convex", "all"]
    assert json.dumps(shown_by_prefect[0])
    assert reached == list(range(1, ensemble_page.steps_in_all(drawn) + 1))


QUADRATICS_IN_THE_PLANE = """
entries:
  - family: in_the_plane
    category: convex
    count: 3
    weight: 1.0
    spec: {problem: Quadratic, dimensions: 2}
"""


@pytest.mark.usefixtures("shown_by_prefect", "reached")
def test_landscapes_are_of_the_constants_that_entries_have(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although what is measured draws them anew, and is built without."""
    from lopt import ensemble_report

    surveyed: list[ensemble_report.Landscape] = []
    survey = ensemble_report.survey

    def remembered(*arguments: Any) -> tuple[ensemble_report.Landscape, ...]:
        surveyed.extend(survey(*arguments))
        return tuple(surveyed)

    monkeypatch.setattr(ensemble_report, "survey", remembered)
    entries = home / "in_the_plane.yaml"
    entries.write_text(QUADRATICS_IN_THE_PLANE, encoding="utf-8")
    conf = EnsembleConf(entries=str(entries))
    drawn = draw_ensemble.fn(conf)
    with tracking.tracked("generate-ensemble", {}) as mlflow_run_id:
        ensemble_page.log_page.fn(mlflow_run_id, conf, drawn)
    # Without their constants all three were one.
    assert [len(landscape.rows) for landscape in surveyed] == [1, 1, 1]


@pytest.mark.usefixtures("reached")
def test_an_ensemble_with_a_negative_loss_is_refused_and_no_page_is_logged(
    drawn: EnsembleReference, shown_by_prefect: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lopt import ensemble_report
    from lopt.ensembles import EnsembleError

    def measure(rows: Sequence[Any], groups: Any, key: Any) -> Iterator[Any]:
        losses = np.array([1.0, -2.0], np.float32)
        yield tuple(ensemble_report.Beginnings(row, ((2,),), 2, losses, losses) for row in rows)

    monkeypatch.setattr(ensemble_report, "measure", measure)
    with (
        pytest.raises(EnsembleError, match="6 of 6 rows begin with a loss that is negative"),
        tracking.tracked("generate-ensemble", {}) as mlflow_run_id,
    ):
        ensemble_page.log_page.fn(mlflow_run_id, CONF, drawn)
    assert artifacts(mlflow_run_id) == set()
    run = tracking.client().get_run(mlflow_run_id)
    assert run.info.status == "FAILED"
    assert run.data.metrics == {}
    assert shown_by_prefect == []


def test_the_terminal_gets_the_counts_of_each_category(
    drawn: EnsembleReference, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble_page.show_counts(drawn)
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert ["two dimensional", "2", "50.0%", "1"] in cells
    assert ["convex", "4", "50.0%", "1"] in cells
    assert ["all", "6", "100.0%", "2"] in cells
