"""A night that fails on the real servers: somebody is told of it, and of no secret."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from tasks.servers import processes
from tasks.servers.programs import WORKER
from tasks.tags import NIGHT, NIGHT_DONE
from tests.chats import Chat
from tests.e2e.operators import SECONDS, Operator, eventually
from tests.e2e.trainings import ENDED, champion, completed, published

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(3 * SECONDS)]

RISES = {
    "meta_learning_rate": 1.0,
    "meta_steps": 40,
    "rollbacks": 0,
    "rollback_rise": 1e-9,
}
"""Twenty validations in a row would have to be better and better."""
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Night(NamedTuple):
    """A night that failed, and who was champion before it."""

    flow_run_id: str
    champion: int


def working(operator: Operator, flow_run_id: str) -> bool:
    found = processes.marked(operator.home, WORKER)
    return flow_run_id in processes.flow_runs(found)


@pytest.fixture(scope="module")
def failed(operator: Operator) -> Night:
    """A night whose meta-training becomes worse and worse."""
    operator.up()
    _, before = published(operator)
    given = dict(operator.deployment("nightly-retraining")["parameters"]["meta_training"])
    flow_run_id = operator.start("nightly-retraining", meta_training=given | RISES)
    eventually(lambda: operator.state(flow_run_id) in ENDED, operator.log)
    assert operator.state(flow_run_id) == "FAILED", operator.log()
    # What is told is told by then.
    eventually(lambda: not working(operator, flow_run_id), operator.log)
    return Night(flow_run_id, before)


def test_a_night_that_fails_is_told_of_once_with_a_link_and_the_champion_stays(
    operator: Operator, failed: Night, chat: Chat
) -> None:
    run = operator.flow_run(failed.flow_run_id)
    link = f"{operator.prefect}/runs/flow-run/{failed.flow_run_id}"
    (told,) = [text for text in chat.told if failed.flow_run_id in text]
    said = told.removesuffix(f" {link}")
    assert told != said, told
    assert said.startswith(f"nightly-retraining {run['name']}: Failed. ")
    assert "MetaTrainingFailedError" in said
    lines = operator.warnings(failed.flow_run_id)
    assert lines.count(said) == 1, lines
    assert not [line for line in lines if WEBHOOK_IS_DEAF in line]
    assert champion(operator) == failed.champion


WEBHOOK_IS_DEAF = "could not be told"


def dump(database: Path) -> str:
    """Return all that a database holds, as text."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return "\n".join(connection.iterdump())
    finally:
        connection.close()


def test_no_secret_of_the_environment_is_in_a_database_a_file_or_a_command_line(
    operator: Operator, failed: Night, chat: Chat
) -> None:
    hidden = [chat.secret, *(operator.given[name] for name in AWS)]
    worked = processes.marked(operator.home, WORKER)
    assert all(worked[0].environ()[name] == operator.given[name] for name in AWS)
    recorded = {path.name: dump(path) for path in operator.home.rglob("*.db")}
    assert failed.flow_run_id in recorded["prefect.db"]
    assert failed.flow_run_id in recorded["mlflow.db"]
    texts = {name: text.encode() for name, text in recorded.items()}
    # But for what a database writes for a moment.
    files = [
        path
        for path in operator.home.rglob("*")
        if path.is_file() and not path.name.endswith("-journal")
    ]
    texts |= {str(path): path.read_bytes() for path in files}
    names = {path.name for path in files}
    assert {"prefect.log", "mlflow.log", "worker.log", "config.json", "run.json"} <= names
    texts |= {str(one.pid): " ".join(one.cmdline()).encode() for one in worked}
    found = [name for name, text in texts.items() if any(one.encode() in text for one in hidden)]
    assert found == []


def test_a_night_that_failed_is_taken_up_at_the_time_that_its_alarm_says(
    operator: Operator, failed: Night, chat: Chat
) -> None:
    # Last of all: its run in MLflow leads to another run in Prefect then.
    (told,) = [text for text in chat.told if failed.flow_run_id in text]
    at = told.partition(" at=")[2].partition(". ")[0]
    completed(operator, "nightly-retraining", at=at)
    client = MlflowClient(operator.mlflow)
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{NIGHT}` = '{at}'")
    # One night, that failed at first.
    assert [NIGHT_DONE in run.data.tags for run in runs] == [True]
