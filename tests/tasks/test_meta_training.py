import pytest

from tasks.confs import MetaTrainingConf
from tasks.meta_training import all_compiled_by, announce_compiling, losses_in_words
from tasks.references import EnsembleReference

ENSEMBLE = EnsembleReference(path="x.parquet", digest="a" * 64, entries=7, programs=3)


@pytest.mark.parametrize(("done", "said"), [(0, True), (9, True), (10, False)])
def test_what_is_compiled_is_announced_unless_all_steps_are_done(
    capsys: pytest.CaptureFixture[str], done: int, said: bool
) -> None:
    announce_compiling(MetaTrainingConf(meta_steps=10, warmup_meta_steps=0), ENSEMBLE, done)
    assert ("compiling 3 programs" in capsys.readouterr().out) is said


@pytest.mark.parametrize(
    ("groups", "said"),
    [(0, "3 programs: some"), (3, "3 programs: some"), (2, "3 programs, 2 at first")],
)
def test_programs_that_are_compiled_later_are_announced_as_such(
    capsys: pytest.CaptureFixture[str], groups: int, said: str
) -> None:
    announce_compiling(MetaTrainingConf(groups_per_meta_step=groups), ENSEMBLE, done=0)
    assert f"compiling {said}" in capsys.readouterr().out


@pytest.mark.parametrize(("groups", "step"), [(0, 7), (3, 7), (2, 15), (1, 19)])
def test_all_is_compiled_when_every_bundle_has_had_its_turn(groups: int, step: int) -> None:
    conf = MetaTrainingConf(groups_per_meta_step=groups, meta_steps_per_dispatch=4)
    assert all_compiled_by(conf, ENSEMBLE, done=7) == step


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, ""),
        ({"meta/loss": -1.23456, "inner/steps": 3.0}, "meta-loss -1.235"),
        ({"meta/loss": -1.0, "imitation/loss": 0.25}, "meta-loss -1.000, imitation 0.250"),
    ],
)
def test_the_losses_that_are_known_are_said(row: dict[str, float], said: str) -> None:
    assert losses_in_words(row) == said
