"""Every architecture, under every preset, goes through the whole cycle by its name in a conf."""

from pathlib import Path

import pytest

import lopt.architectures
from lopt.architectures import LearnedOptimizer
from lopt.catalogue import concrete_classes
from tasks.conf_checks import check
from tasks.conf_files import read_conf
from tasks.confs import Conf
from tests.flows.cycles import SECTIONS, parts_of

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.timeout(600)]

NAMES = [
    (name, preset)
    for name, architecture in concrete_classes(lopt.architectures, LearnedOptimizer).items()
    for preset in architecture.presets
]


def conf_of(architecture: str, preset: str) -> Conf:
    chosen = [
        f"architecture={architecture}",
        f"preset={preset}",
        f"model_name={architecture}-{preset}",
        "meta_steps=2",
        "segment_meta_steps=1",
        "warmup_meta_steps=1",
    ]
    return read_conf(Path("conf/tiny.yaml"), chosen, SECTIONS)


@pytest.mark.parametrize(("architecture", "preset"), NAMES)
def test_every_preset_is_allowed_in_a_conf(architecture: str, preset: str) -> None:
    check(conf_of(architecture, preset), SECTIONS)


@pytest.mark.slow
@pytest.mark.usefixtures("home", "server")
@pytest.mark.parametrize(("architecture", "preset"), NAMES)
def test_an_architecture_named_in_a_conf_goes_through_the_full_cycle(
    architecture: str, preset: str
) -> None:
    from flows.full_cycle import full_cycle
    from lopt.loading import load

    conf = conf_of(architecture, preset)
    version = full_cycle(**parts_of(conf))
    loaded = load(version.uri)
    assert type(loaded).__name__ == architecture
    assert loaded.provenance is not None
    assert f'"preset":"{preset}"' in loaded.provenance.conf.replace(" ", "")
