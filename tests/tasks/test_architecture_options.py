"""A conf names an architecture's options, and what it must not say is refused before any work."""

from collections.abc import Mapping
from typing import Any

import pytest

from tasks.conf_checks import mistakes
from tasks.conf_files import read_conf
from tasks.confs import Conf, MetaTrainingConf
from tasks.run_choice import conf_digest

SECTIONS = ("meta_training",)


def refused(options: Mapping[str, Any], architecture: str = "HierarchicalRNN") -> str:
    conf = MetaTrainingConf(architecture=architecture, architecture_options=dict(options))
    (line,) = mistakes(Conf(meta_training=conf), SECTIONS)
    return line


def test_an_option_that_there_is_not_is_refused_with_the_nearest_one() -> None:
    line = refused({"attentoin": False})
    assert line.startswith(
        "meta_training.architecture_options.attentoin: False is not allowed, for HierarchicalRNN "
        "has no such option; did you mean attention? allowed: hidden_sizes, scales, "
    )
    assert refused({"scales": 1}, "LearnedAdam").endswith("no such option; allowed: none")


@pytest.mark.parametrize("value", [1, "no", None, [True]])
def test_an_option_of_another_type_is_refused(value: object) -> None:
    assert refused({"attention": value}) == (
        f"meta_training.architecture_options.attention: {value!r} is not allowed; "
        "allowed: true or false"
    )


def test_options_that_do_not_go_together_are_refused_in_the_architecture_s_words() -> None:
    line = refused({"scales": 1})
    assert line.startswith("meta_training.architecture_options: {'scales': 1} is not allowed; ")
    assert "gradient_products multiply neighbouring scales" in line


@pytest.mark.parametrize("preset", ["release", "paper"])
def test_options_change_what_the_preset_says_and_nothing_else(preset: str) -> None:
    import jax

    from lopt import HierarchicalRNN
    from tasks.initial_optimizers import new_optimizer

    text = "architecture_options={learned_decays: [scale], attention: true}"
    conf = read_conf(None, [text, f"preset={preset}"], SECTIONS).meta_training
    assert mistakes(Conf(meta_training=conf), SECTIONS) == []
    made = new_optimizer(conf, jax.random.key(0)).hyper_parameters()
    by_preset = getattr(HierarchicalRNN, preset)(key=jax.random.key(0)).hyper_parameters()
    assert made == {**by_preset, "learned_decays": ("scale",), "attention": True}


def test_another_option_is_another_run() -> None:
    confs = [MetaTrainingConf(), MetaTrainingConf(architecture_options={"attention": True})]
    assert len({conf_digest(conf, "e") for conf in confs}) == 2
    assert len({hash(conf) for conf in confs}) == 2
