"""Whatever a conf can name is what meta-training is made of."""

import pytest

import lopt.meta_gradients
import lopt.meta_objectives
from lopt.catalogue import concrete_classes
from lopt.meta_gradients import (
    GrowingLengths,
    Imitation,
    LogUniformLengths,
    MetaGradient,
    PersistentES,
    TruncatedBackprop,
)
from lopt.meta_objectives import MetaObjective
from tasks import settings
from tasks.conf_files import SECTIONS, read_conf
from tasks.confs import MetaTrainingConf
from tasks.meta_states import training_of


def test_the_programs_of_a_night_are_those_of_make_run() -> None:
    """So that not even the first night compiles them."""
    run, night = (
        read_conf(settings.REPOSITORY / "conf" / name, [], SECTIONS)
        for name in ("quick.yaml", "nightly.yaml")
    )
    assert (
        training_of(run.meta_training).of_program() == training_of(night.meta_training).of_program()
    )
    same = ("architecture", "preset", "architecture_options", "compile_quickly")
    for name in same:
        assert getattr(run.meta_training, name) == getattr(night.meta_training, name)
    assert run.ensemble.entries == night.ensemble.entries


@pytest.mark.parametrize("name", concrete_classes(lopt.meta_gradients, MetaGradient))
def test_every_estimator_can_be_named_and_gets_its_settings(name: str) -> None:
    conf = MetaTrainingConf(estimator=name, deviation=0.5, problem_clip_norm=7.0, problems=3)
    estimator = training_of(conf).estimator
    assert type(estimator).__name__ == name
    assert estimator.unrolling.problems == 3
    assert getattr(estimator, "deviation", 0.5) == 0.5
    assert getattr(estimator, "problem_clip_norm", 7.0) == 7.0


@pytest.mark.parametrize("name", concrete_classes(lopt.meta_objectives, MetaObjective))
def test_every_objective_can_be_named_with_its_data(name: str) -> None:
    conf = MetaTrainingConf(objective=name, objective_data="validation")
    objective = training_of(conf).estimator.unrolling.objective
    assert (type(objective).__name__, objective.data) == (name, "validation")


@pytest.mark.parametrize(("preset", "papers"), [("paper", True), ("release", False)])
def test_the_paper_s_preset_has_the_paper_s_meta_loss(preset: str, papers: bool) -> None:
    objective = training_of(MetaTrainingConf(preset=preset)).estimator.unrolling.objective
    assert objective.numerator_epsilon is papers


def test_lengths_are_those_of_the_conf() -> None:
    conf = MetaTrainingConf(
        lengths="log_uniform", shortest_unrolls=2, longest_unrolls=9, growing_meta_steps=50
    )
    lengths = training_of(conf).estimator.unrolling.lengths
    assert lengths == GrowingLengths(LogUniformLengths(2, 9), first=2, last=9, meta_steps=50)


def test_settings_of_the_engine_are_those_of_the_conf() -> None:
    conf = MetaTrainingConf(
        second_derivatives=False,
        rematerialise=True,
        groups_per_meta_step=2,
        meta_steps_per_dispatch=5,
        equal_groups=True,
        compile_quickly=False,
        explosion_factor=1e3,
    )
    training = training_of(conf)
    assert isinstance(training.estimator, TruncatedBackprop)
    assert not training.estimator.second_derivatives
    assert training.estimator.unrolling.rematerialise
    assert training.estimator.unrolling.explosion_factor == 1e3
    assert (training.groups_per_step, training.steps_per_dispatch) == (2, 5)
    assert training.equal_groups
    assert not training.compile_quickly
    assert training_of(MetaTrainingConf()).groups_per_step is None
    assert training_of(MetaTrainingConf()).compile_quickly


def test_imitation_goes_beside_the_estimator_that_is_named() -> None:
    conf = MetaTrainingConf(
        estimator="PersistentES",
        deviation=0.5,
        imitation_weight=0.2,
        teacher="rmsprop",
        teacher_learning_rate=0.03,
        problem_clip_norm=7.0,
    )
    estimator = training_of(conf).estimator
    unrolling = estimator.unrolling
    other = PersistentES(unrolling, deviation=0.5)
    assert estimator == Imitation(unrolling, other, 0.2, "rmsprop", 0.03, 7.0)


def test_there_is_no_imitation_without_a_weight() -> None:
    conf = MetaTrainingConf(imitation_weight=0.0, teacher="rmsprop")
    assert training_of(conf) == training_of(MetaTrainingConf())
    assert isinstance(training_of(conf).estimator, TruncatedBackprop)
