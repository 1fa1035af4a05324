from pathlib import Path

import pytest

from tasks.conf_errors import ConfError
from tasks.deployment_confs import read_deployments

HEAD = "work_pool: {name: lopt, queues: {gpu: {concurrency_limit: 1}}}\ndeployments:\n"
ONE = "  - {flow: meta_train, name: a, queue: gpu, description: Trains.}\n"


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "deployments.yaml"
    monkeypatch.setenv("LOPT_DEPLOYMENTS", str(path))
    return path


def test_every_flow_has_a_deployment() -> None:
    flows = {path.stem for path in Path("flows").glob("*.py")} - {"__init__"}
    assert {one.flow for one in read_deployments().deployments} == flows


def test_what_meta_trains_waits_in_one_queue_for_the_only_place() -> None:
    conf = read_deployments()
    queues = {one.queue for one in conf.deployments if one.flow in {"meta_train", "full_cycle"}}
    assert [conf.work_pool.queues[name].concurrency_limit for name in queues] == [1]


def test_nights_are_in_the_queue_of_meta_training_and_one_at_a_time() -> None:
    conf = read_deployments()
    scheduled = {one.flow: one for one in conf.deployments if one.schedule}
    assert set(scheduled) == {"nightly_retraining", "sweep_storage"}
    night = scheduled["nightly_retraining"]
    assert night.queue == "meta-training"
    assert conf.work_pool.queues[night.queue].concurrency_limit == 1


def test_nothing_that_meta_trains_has_a_place_that_it_loses_when_prefect_is_away() -> None:
    # Prefect's engine renews a deployment's place, and ends the run where that fails three times.
    long = [one for one in read_deployments().deployments if one.queue == "meta-training"]
    assert {one.name: one.concurrency_limit for one in long if one.concurrency_limit} == {}


def test_another_file_can_be_named(declared: Path) -> None:
    declared.write_text(HEAD + ONE)
    assert [one.flow for one in read_deployments().deployments] == ["meta_train"]


MISTAKES = [
    (HEAD + ONE + ONE, "meta_train has two deployments called a"),
    (HEAD + ONE.replace("queue: gpu", "queue: cpu"), "meta_train/a: no queue 'cpu' among gpu"),
    (HEAD + ONE.replace("name: a", "name: A!"), r"deployments\.0\.name: String should match"),
    (HEAD + ONE.replace("flow:", "flwo:"), r"deployments\.0\.flwo: Extra inputs are not permitted"),
    (
        HEAD + ONE.replace("name:", "schedule: {cron: 0 25 * * *}, name:"),
        r"'0 25 \* \* \*' in Etc/UTC",
    ),
    (
        HEAD + ONE.replace("name:", "schedule: {cron: 0 2 * * *, time_zone: Mars/Base}, name:"),
        "in Mars/Base: ",
    ),
    (HEAD, "deployments: Input should be"),
    ("work_pool: {", "is not YAML"),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_named_with_its_file_and_place(declared: Path, text: str, words: str) -> None:
    declared.write_text(text)
    with pytest.raises(ConfError, match=words) as error:
        read_deployments()
    assert all(str(declared) in line for line in error.value.lines)
