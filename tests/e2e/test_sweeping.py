"""What is old goes, also through MLflow's server, and what a version needs stays."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.operators import SECONDS, Operator
from tests.e2e.trainings import Training, completed, published

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.filterwarnings("default"),
]

DAYS = 15
"""More than checkpoints are kept, and less than anything else."""


@pytest.fixture
def mlflow_of_servers(operator: Operator) -> Iterator[str]:
    """Load from the operator's registry meanwhile."""
    import mlflow

    mlflow.set_tracking_uri(operator.mlflow)
    yield operator.mlflow
    mlflow.set_tracking_uri(None)


def age(folder: Path) -> None:
    then = time.time() - DAYS * 86_400
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then))


def checkpoints(training: Training) -> list[str]:
    """The folders of a run that only going on with it needs."""
    return sorted(name for name in ("best", "checkpoints") if (training.folder / name).is_dir())


@pytest.mark.usefixtures("mlflow_of_servers")
def test_a_sweep_takes_the_old_checkpoints_of_a_former_champion_and_every_version_is_loaded(
    operator: Operator,
) -> None:
    import lopt

    operator.up()
    (former, its_version), (latest, champion) = published(operator), published(operator)
    for training in (former, latest):
        age(training.folder)
    digests = {training: training.digest for training in (former, latest)}
    flow_run_id = completed(operator, "sweep-storage")
    assert checkpoints(former) == []
    assert checkpoints(latest) == ["best", "checkpoints"]
    for training, version in ((former, its_version), (latest, champion)):
        uri = f"models:/learned-optimizer/{version}"
        assert lopt.load(uri).provenance == lopt.load(training.folder / "release").provenance
        assert training.digest == digests[training]
    (swept,) = operator.tables(flow_run_id, "swept")
    assert (swept["what"], swept["how many"]) == ("checkpoints of meta-trainings", 2)


def test_files_of_an_old_run_go_from_the_folder_of_the_server(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from tasks import old_runs, tracking
    from tasks.needed import needed

    monkeypatch.setenv("MLFLOW_TRACKING_URI", operator.mlflow)
    monkeypatch.setenv("LOPT_HOME", str(operator.home))
    try:
        with tracking.tracked("evaluate-release", {}) as mlflow_run_id:
            tracking.client().log_text(mlflow_run_id, "a page", "report/page.html")
            tracking.client().log_metric(mlflow_run_id, "score", 2.0)
        kept = list(operator.home.glob(f"mlartifacts/**/{mlflow_run_id}/**/page.html"))
        assert [path.read_text() for path in kept] == ["a page"]
        found = {run.info.run_id: run for run in old_runs.old_runs(0, set(), needed())}
        assert old_runs.bytes_of(found[mlflow_run_id]) == len("a page")
        old_runs.empty(mlflow_run_id)
        run = tracking.client().get_run(mlflow_run_id)
        assert not tracking.client().list_artifacts(mlflow_run_id)
        assert not kept[0].exists()
        assert run.data.metrics == {"score": 2.0}
        assert mlflow_run_id not in {
            one.info.run_id for one in old_runs.old_runs(0, set(), needed())
        }
    finally:
        mlflow.set_tracking_uri(None)
