"""Publishing alone, from a shell: after it was killed, and after MLflow was away."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks import promotion
from tasks.locks import locked
from tasks.servers import running
from tasks.servers.supervisor import Supervisor
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, SEGMENT, Training

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(3 * SECONDS),
    pytest.mark.filterwarnings("default"),
]

MODEL = "learned-optimizer"
CHAMPION = f"models:/{MODEL}@champion"
COMMAND = (sys.executable, "-m", "flows.publish_release")


@pytest.fixture
def supervisor(operator: Operator) -> Iterator[Supervisor]:
    """Who starts and stops the servers; all of them run after a test."""
    operator.up()
    yield Supervisor(running.folder_of(operator.home))
    operator.up()


@pytest.fixture
def client(operator: Operator) -> Iterator[Any]:
    """The operator's registry, which is loaded from meanwhile."""
    import mlflow

    mlflow.set_tracking_uri(operator.mlflow)
    yield mlflow.MlflowClient(operator.mlflow)
    mlflow.set_tracking_uri(None)


def trained(operator: Operator) -> Training:
    operator.up()
    training = Training(operator, SEGMENT)
    assert training.ends() == "COMPLETED", operator.log()
    assert training.folder.is_dir()
    return training


def publish(operator: Operator) -> None:
    run = subprocess.run(
        COMMAND,
        env=operator.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@contextmanager
def publishing(operator: Operator, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Give a publishing at work, which is killed in the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(COMMAND, env=operator.environment(), stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def versions(client: Any) -> dict[int, Any]:
    found = client.search_model_versions(f"name = '{MODEL}'")
    return {int(one.version): one for one in found}


def digest_of_champion(client: Any) -> str:
    """Load the champion, and return which release it is."""
    import lopt

    version = client.get_model_version_by_alias(MODEL, "champion")
    published = client.get_logged_model(version.source.removeprefix("models:/"))
    folder = Path(published.artifact_location.removeprefix("file://")) / "release"
    assert lopt.load(CHAMPION).provenance == lopt.load(folder).provenance
    return str(version.tags["release_digest"])


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether a process waits until another one has given back a lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


def test_a_publishing_killed_between_version_and_alias_has_moved_nothing_and_is_repeated_alone(
    operator: Operator, client: Any, tmp_path: Path
) -> None:
    import lopt

    first = trained(operator)
    publish(operator)
    second, before, log = trained(operator), versions(client), tmp_path / "log.txt"

    def waits() -> bool:
        assert process.poll() is None, log.read_text()
        return waits_for_a_lock(process.pid)

    # Whoever moves an alias waits here.
    with locked(operator.home / "promotion.lock", wait=True), publishing(operator, log) as process:
        eventually(waits, log.read_text)
    (half,) = set(versions(client)) - set(before)
    assert digest_of_champion(client) == first.digest
    assert versions(client)[half].aliases == []
    assert client.get_model_version(MODEL, str(half)).tags["release_digest"] == second.digest
    assert lopt.load(f"models:/{MODEL}/{half}").provenance == (
        lopt.load(second.folder / "release").provenance
    )
    publish(operator)
    assert digest_of_champion(client) == second.digest


def places_taken(operator: Operator) -> int:
    """How many have the right to move an alias, as Prefect's server has it."""
    path = f"v2/concurrency_limits/{promotion.LIMIT}"
    return int(operator.request("GET", path).json()["active_slots"])


@contextmanager
def suspended(server: psutil.Process) -> Iterator[None]:
    """Let a server answer nothing meanwhile."""
    processes = [server, *server.children(recursive=True)]
    for one in processes:
        one.suspend()
    try:
        yield
    finally:
        for one in processes:
            one.resume()


def test_the_place_of_a_publishing_that_was_killed_becomes_free_though_prefect_was_killed_too(
    operator: Operator, client: Any, supervisor: Supervisor, tmp_path: Path
) -> None:
    trained(operator)
    log = tmp_path / "log.txt"
    mlflow, prefect = (psutil.Process(supervisor.statuses()[n].pid) for n in ("mlflow", "prefect"))

    def waits() -> bool:
        assert process.poll() is None, log.read_text()
        return waits_for_a_lock(process.pid)

    with ExitStack() as kept:
        lock = kept.enter_context(ExitStack())
        lock.enter_context(locked(operator.home / "promotion.lock", wait=True))
        process = kept.enter_context(publishing(operator, log))
        eventually(waits, log.read_text)
        # With the place it asks who is champion, and gets no answer.
        kept.enter_context(suspended(mlflow))
        lock.close()
        eventually(lambda: places_taken(operator) == 1, log.read_text, 120)
        process.kill()
        prefect.kill()
    eventually(lambda: prefect.pid != supervisor.statuses()["prefect"].pid, operator.log)
    operator.up()
    eventually(lambda: places_taken(operator) == 0, operator.log, 4 * promotion.LEASE_SECONDS)


def test_what_was_trained_when_mlflow_went_away_is_published_alone_once_it_is_back(
    operator: Operator, client: Any, supervisor: Supervisor
) -> None:
    training = Training(operator, 20 * SEGMENT)
    training.reaches(SEGMENT)
    supervisor.stop("mlflow")
    eventually(lambda: training.state in ENDED, operator.log)
    assert training.state in {"FAILED", "CRASHED"}
    supervisor.start("mlflow")
    operator.up()
    publish(operator)
    assert digest_of_champion(client) == training.digest
    count = len(versions(client))
    # What was kept of the run's own metrics is sent by whoever goes on with it.
    training.begin()
    assert training.ends() == "COMPLETED", operator.log()
    assert training.logged() == list(range(1, 20 * SEGMENT + 1))
    assert len(versions(client)) == count
