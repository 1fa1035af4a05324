"""Ten processes write to MLflow at once: nothing is lost, nothing is there twice, none fails."""

import os
import subprocess
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import writer
from tests.e2e.operators import SECONDS, Operator

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.filterwarnings("default"),
]

WRITERS = 10
MODEL = "learned-optimizer"
CHAMPION = f"models:/{MODEL}@champion"
COMMAND = (sys.executable, "-m", "tests.e2e.writer")


@contextmanager
def started(home: Path, **variables: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Give ten processes that have begun to write, at one moment."""
    outside = ("LOPT", "MLFLOW", "PREFECT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(outside)}
    processes = [
        subprocess.Popen(
            [*COMMAND, str(number)],
            env={**kept, "LOPT_HOME": str(home), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("begin\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def let_them_end(processes: list["subprocess.Popen[str]"], uri: str) -> int:
    """Load the champion all the while, as its users do; how often that was."""
    import mlflow

    from lopt.loading import load
    from tasks.tags import REPLACES

    loaded = 0
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient(uri)
    try:
        while any(process.poll() is None for process in processes):
            versions = client.search_model_versions(f"name = '{MODEL}'")
            if any(REPLACES + "champion" in one.tags for one in versions) and (
                "champion" in client.get_registered_model(MODEL).aliases
            ):
                assert load(CHAMPION).provenance is not None
                loaded += 1
            time.sleep(0.2)
    finally:
        mlflow.set_tracking_uri(None)
    said = {number: one.communicate()[1] for number, one in enumerate(processes) if one.returncode}
    assert not said, said
    return loaded


def assert_each_has_all_of_its_own_once(uri: str) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("lopt")
    asked = f"tags.`mlflow.source.name` = '{writer.NAME}'"
    runs = client.search_runs([experiment.experiment_id], asked)
    assert sorted(int(run.data.tags[writer.NAME]) for run in runs) == list(range(WRITERS))
    for run in runs:
        assert run.info.status == "FINISHED"
        number, mlflow_run_id = int(run.data.tags[writer.NAME]), run.info.run_id
        assert run.data.params["publication.alias"] == "champion"
        for metric in range(writer.METRICS):
            history = client.get_metric_history(mlflow_run_id, f"level/{metric}")
            expected = [(step, writer.value(number, step, metric)) for step in range(writer.STEPS)]
            assert sorted((point.step, point.value) for point in history) == expected
        for file in range(writer.FILES):
            address = f"{run.info.artifact_uri}/texts/{file}.txt"
            found = download_artifacts(artifact_uri=address, tracking_uri=uri)
            assert Path(found).read_text() == writer.text(number, file)


def versions_of(uri: str) -> dict[int, Any]:
    from mlflow import MlflowClient

    found = MlflowClient(uri).search_model_versions(f"name = '{MODEL}'")
    return {int(one.version): one for one in found}


def assert_each_was_champion_once(uri: str, before: Container[int] = ()) -> None:
    """From the champion back over what each has replaced, every new version is met once."""
    from mlflow import MlflowClient

    from tasks import promotion
    from tasks.tags import REPLACES

    client = MlflowClient(uri)
    versions = {number: one for number, one in versions_of(uri).items() if number not in before}
    assert len(versions) == WRITERS
    assert len({one.tags["release_digest"] for one in versions.values()}) == WRITERS
    met, said = [], str(client.get_model_version_by_alias(MODEL, "champion").version)
    while said.isdecimal() and int(said) not in before:
        met.append(int(said))
        said = versions[int(said)].tags[f"{REPLACES}champion"]
    assert said == promotion.NOTHING or int(said) in before
    assert sorted(met) == sorted(versions)


def test_ten_that_write_through_the_server_at_once_lose_nothing(operator: Operator) -> None:
    home = operator.home / "writers"
    home.mkdir()
    variables = {
        "MLFLOW_TRACKING_URI": operator.mlflow,
        "PREFECT_API_URL": f"{operator.prefect}/api",
    }
    # Those of other tests on the same servers.
    before = versions_of(operator.mlflow)
    with started(home, **variables) as processes:
        assert let_them_end(processes, operator.mlflow) > 0
    assert_each_has_all_of_its_own_once(operator.mlflow)
    assert_each_was_champion_once(operator.mlflow, before)


def test_ten_that_write_to_a_new_database_without_a_server_at_once_lose_nothing(
    tmp_path: Path,
) -> None:
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with started(tmp_path) as processes:
        # The database is made by whoever comes first.
        while not (tmp_path / "mlflow.db").exists() and processes[0].poll() is None:
            time.sleep(0.2)
        let_them_end(processes, database)
    assert_each_has_all_of_its_own_once(database)
    assert_each_was_champion_once(database)
