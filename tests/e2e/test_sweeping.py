"""What MLflow's server keeps of old runs is removed through that server."""

import pytest

from tests.e2e.operators import SECONDS, Operator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.filterwarnings("default"),
]


def test_files_of_an_old_run_go_from_the_folder_of_the_server(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    from tasks import old_runs, tracking
    from tasks.needed import needed

    monkeypatch.setenv("MLFLOW_TRACKING_URI", operator.mlflow)
    monkeypatch.setenv("LOPT_HOME", str(operator.home))
    before = mlflow.get_tracking_uri()
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
        mlflow.set_tracking_uri(before)
