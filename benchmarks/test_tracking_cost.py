"""What it costs that MLflow, Prefect and the terminal are told of a meta-training.

Segments as flows.meta_train takes them with the settings of conf/quick.yaml, each against one just
before of the same run of which nobody is told. What is told once a run is a share of a whole run.
"""

import statistics

import pytest

from benchmarks.paired import Reading, ratio, read

ROUNDS = 4
LIMIT = 1.03
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(1800)]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Have everything written to a folder of its own, with a Prefect server."""
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from tasks import settings

    settings.set_environment()
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.usefixtures("server")
def test_tracking_cost(benchmark, benchmark_table):
    from prefect import flow

    from benchmarks.tracked_segments import Once, begun

    once = Once()
    readings: list[Reading] = []
    untracked: list[Reading] = []

    @flow
    def measured() -> float:
        with begun(once) as segments:
            benchmark.pedantic(
                lambda: readings.append(read(segments.tracked, 1)),
                setup=lambda: untracked.append(read(segments.untracked, 1)),
                rounds=ROUNDS,
            )
            return segments.of_a_run

    of_a_run = measured()
    seconds = statistics.median(r.wall for r in untracked)
    wall = ratio([r.wall for r in readings], [r.wall for r in untracked])
    whole = wall.median + once.seconds / (seconds * of_a_run)
    benchmark_table(
        "tracking",
        {
            "run": "conf/quick.yaml",
            "segment untracked, s": f"{seconds:.1f}",
            "wall, x untracked": wall,
            "CPU, x untracked": ratio([r.cpu for r in readings], [r.cpu for r in untracked]),
            "once a run, s": f"{once.seconds:.1f}",
            "whole run, x untracked": f"{whole:.3f}",
        },
    )
    # Three quarters of the rounds, for the machine's other work is in each of them.
    assert wall.lower_quartile + whole - wall.median < LIMIT
