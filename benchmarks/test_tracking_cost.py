"""What it costs that MLflow, Prefect and the terminal are told of a meta-training.

Segments as flows.meta_train takes them with the settings of conf/quick.yaml, each against one just
before of the same run of which nobody is told. That is all that it costs, and as uncertain as
the machine is restless. So stopwatches run as well while a run tells anybody anything, in which
there is no noise of what it does otherwise, and processors are asked what was done beside, each
second of which is taken for one that the run had to wait. With what is told once that is a
share of all segments of a run.
"""

import statistics

import pytest

from benchmarks.paired import Reading, ratio, read

ROUNDS = 10
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

    from benchmarks.stopwatch import Beside, Stopwatch
    from benchmarks.tracked_segments import Telling, begun

    once, telling, beside = Stopwatch(), Telling(), Beside()
    readings: list[Reading] = []
    untracked: list[Reading] = []
    spent: dict[str, float] = {}

    @flow
    def measured() -> tuple[float, float]:
        with begun(once) as segments:

            def told() -> None:
                with beside.added_to(spent), telling.timed():
                    readings.append(read(segments.tracked, 1))

            benchmark.pedantic(
                told,
                setup=lambda: untracked.append(read(segments.untracked, 1)),
                rounds=ROUNDS,
            )
            return segments.of_a_run, segments.beginning.seconds

    of_a_run, beginning = measured()
    seconds = statistics.median(r.wall for r in untracked)
    wall = ratio([r.wall for r in readings], [r.wall for r in untracked])
    parts = {name: value / ROUNDS for name, value in telling.seconds().items()}
    parts |= {"threads": spent["threads"] / ROUNDS}
    told, work = of_a_run * sum(parts.values()) + once.seconds, of_a_run * seconds
    benchmark_table(
        "tracking",
        {
            "run": "conf/quick.yaml",
            "until compiled, s": f"{beginning:.0f}",
            "segment untracked, s": f"{seconds:.1f}",
            "wall, x": wall,
            "CPU, x": ratio([r.cpu for r in readings], [r.cpu for r in untracked]),
        },
    )
    of_a_core = spent["children"] / sum(r.wall for r in readings)
    benchmark_table(
        "seconds in which a segment's run tells somebody, and who",
        {name: f"{value:.3f}" for name, value in parts.items()}
        | {
            "of a segment": f"{sum(parts.values()) / seconds:.2%}",
            "once a run": f"{once.seconds:.1f}",
            "of all segments": f"{told / work:.2%}",
            "with compiling": f"{told / (work + beginning):.2%}",
            "Prefect's server, of a core": f"{of_a_core:.2%}",
        },
    )
    # Without the compiling: a night finds its programs on disk.
    assert told / work < LIMIT - 1
    # Three quarters of the rounds, for the machine's other work is in each of them.
    assert wall.lower_quartile + once.seconds / work < LIMIT
