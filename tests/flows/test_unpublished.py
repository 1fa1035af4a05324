"""A cycle that ends after its meta-training, and the next one."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from tasks.conf_files import read_conf
from tasks.confs import Conf
from tests.flows.cycles import parts_of

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(600),
    pytest.mark.slow,  # Three cycles.
]


def fail(*arguments: Any) -> None:
    raise ConnectionError("the registry cannot be reached")


@pytest.fixture
def cycle(home: Path, server: str) -> Any:
    """The whole cycle, on the conf of the other tests, which has been compiled by now."""
    conf = read_conf(Path("conf/tiny.yaml"), [], list(Conf.model_fields))
    flow = importlib.import_module("flows.full_cycle").full_cycle
    return lambda: flow(**parts_of(conf))


def test_the_next_cycle_publishes_what_the_last_one_could_not_and_then_one_begins_anew(
    home: Path, cycle: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from flows.sweep_storage import sweep_storage
    from lopt.loading import load
    from tasks import tracking
    from tasks.confs import RetentionConf

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("flows.full_cycle"), "publish_release", fail)
        with pytest.raises(ConnectionError):
            cycle()
    text = capsys.readouterr().out
    assert "begins" in text
    assert "flows.publish_release" not in text, "a cycle does by itself what comes next"

    assert sweep_storage(RetentionConf(checkpoint_days=0)).count == 2
    assert not list(home.glob("runs/*/*/checkpoints"))

    first = cycle()
    assert "seed 0: finished, to be published" in capsys.readouterr().out
    assert first.version == 1
    assert load(first.uri).provenance.seed == 0
    assert len(list(home.glob("runs/*/*/release"))) == 1

    second = cycle()
    assert second.version == 2
    assert load(second.uri).provenance.seed == 1

    found = tracking.client().search_runs([tracking.experiment_id()])
    trained = [run for run in found if run.data.tags["mlflow.source.name"] == "meta-train"]
    cycles = {
        run.info.run_id: run for run in found if run.data.tags["mlflow.source.name"] == "full-cycle"
    }
    assert sorted(run.info.status for run in cycles.values()) == ["FAILED", "FINISHED", "FINISHED"]
    assert len(trained) == 2
    owners = {run.data.tags["mlflow.parentRunId"] for run in trained}
    assert {cycles[owner].info.status for owner in owners} == {"FINISHED"}
