import pytest

from tasks import inner_steps
from tasks.confs import MetaTrainingConf
from tasks.references import EnsembleReference

CONF = MetaTrainingConf(problems=4, unroll_steps=5)
ENSEMBLE = EnsembleReference(path="x.parquet", digest="a" * 64, entries=7, programs=3)


def test_inner_steps_are_those_of_all_problems_of_all_groups_from_the_beginning_on() -> None:
    resumed = inner_steps.InnerSteps(CONF, ENSEMBLE)
    assert [resumed.metrics(step)["inner/steps"] for step in (11, 12)] == [660.0, 720.0]


def test_the_speed_leaves_out_the_meta_step_that_may_have_been_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([100.0, 100.5, 102.5])
    monkeypatch.setattr(inner_steps.time, "monotonic", lambda: next(now))
    segment = inner_steps.InnerSteps(CONF, ENSEMBLE)
    speeds = [segment.metrics(step).get("inner/steps_per_second") for step in (1, 2, 3)]
    assert speeds == [None, 120.0, 30.0]
