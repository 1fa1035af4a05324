"""What the machine does while a run works, in the store that MLflow really has."""

import threading
import time

import pytest

from tasks import system_metrics, tracking

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("home")]
NAME = "system/cpu_utilization_percentage"
OTHERS = {"system/system_memory_usage_percentage", "system/disk_available_megabytes"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")


def numbers(mlflow_run_id: str) -> list[int]:
    history = tracking.client().get_metric_history(mlflow_run_id, NAME)
    assert all(0 <= point.value <= 100 for point in history)
    return [point.step for point in history]


def wait_for_more(mlflow_run_id: str, than: int) -> None:
    end = time.monotonic() + 60
    while len(numbers(mlflow_run_id)) <= than:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_says_what_the_machine_did_and_goes_on_with_it_when_it_goes_on() -> None:
    with tracking.tracked("stage", {}) as mlflow_run_id:
        with system_metrics.logged(mlflow_run_id):
            wait_for_more(mlflow_run_id, than=1)
        found = numbers(mlflow_run_id)
        time.sleep(0.2)
        assert numbers(mlflow_run_id) == found, "it has not ended"
        with system_metrics.logged(mlflow_run_id):
            wait_for_more(mlflow_run_id, than=len(found))
        assert numbers(mlflow_run_id) == list(range(len(numbers(mlflow_run_id))))
        assert set(tracking.client().get_run(mlflow_run_id).data.metrics) > OTHERS | {NAME}


def test_reading_that_an_outage_has_ended_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.system_metrics import system_metrics_monitor

    def away(*_: object) -> None:
        raise ConnectionError("MLflow is away")

    with tracking.tracked("stage", {}) as mlflow_run_id:
        with system_metrics.logged(mlflow_run_id) as monitoring:
            wait_for_more(mlflow_run_id, than=1)
            with monkeypatch.context() as patch:
                patch.setattr(MlflowClient, "get_run", away)
                time.sleep(1.0)
            found = numbers(mlflow_run_id)
            time.sleep(0.5)
            assert numbers(mlflow_run_id) == found, "the outage has ended nothing"
            with monkeypatch.context() as patch:
                patch.setattr(MlflowClient, "get_run", away)
                # MLflow would count from 0 again, which it cannot know to be wrong.
                patch.setattr(system_metrics_monitor, "SystemMetricsMonitor", None)
                monitoring.renew()
            monitoring.renew()
            monitoring.renew()
            wait_for_more(mlflow_run_id, than=len(found))
        assert numbers(mlflow_run_id) == list(range(len(numbers(mlflow_run_id))))


def test_whoever_switches_it_off_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    with tracking.tracked("stage", {}) as mlflow_run_id:
        with system_metrics.logged(mlflow_run_id):
            time.sleep(0.2)
        assert numbers(mlflow_run_id) == []


def test_an_mlflow_that_is_away_is_not_waited_for_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    answers, finished = threading.Event(), threading.Event()
    finish = SystemMetricsMonitor.finish

    def finish_late(monitor: SystemMetricsMonitor) -> None:
        answers.wait()
        finish(monitor)
        finished.set()

    monkeypatch.setattr(SystemMetricsMonitor, "finish", finish_late)
    monkeypatch.setattr(system_metrics, "SECONDS_TO_END", 0.1)
    with tracking.tracked("stage", {}) as mlflow_run_id, system_metrics.logged(mlflow_run_id):
        wait_for_more(mlflow_run_id, than=0)
    assert not finished.is_set()
    answers.set()
    assert finished.wait(60)
