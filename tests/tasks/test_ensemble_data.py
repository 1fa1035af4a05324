"""Ensembles that are made of prepared data sets, from confs."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from tasks.conf_checks import check
from tasks.conf_errors import ConfError
from tasks.conf_files import read_conf
from tasks.confs import DEFAULTS, Conf, EnsembleConf
from tasks.datasets import prepare_dataset
from tasks.ensemble_data import stand_ins, training_images
from tasks.ensembles import draw_ensemble, groups_of

ENTRY = """
entries:
  - family: mlps
    count: 2
    spec: {{problem: ImageMLP, data_set: {data_set}, samples: {samples}, hidden: [2]}}
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnsembleConf:
    """A conf of two networks on the digits, in a home where nothing is prepared."""
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    return written(tmp_path)


def written(folder: Path, data_set: str = "digits", samples: int = 20) -> EnsembleConf:
    path = folder / "mlps.yaml"
    path.write_text(ENTRY.format(data_set=data_set, samples=samples))
    return EnsembleConf(entries=str(path))


def refused(conf: EnsembleConf, sections: tuple[str, ...], *overrides: str) -> tuple[str, ...]:
    overrides = (f"ensemble.entries={conf.entries}", *overrides)
    with pytest.raises(ConfError) as error:
        check(read_conf(None, overrides, sections), sections)
    return error.value.lines


def test_networks_are_drawn_and_built_of_the_prepared_training_images(conf: EnsembleConf) -> None:
    prepared = prepare_dataset.fn("digits", DEFAULTS.datasets)
    drawn = draw_ensemble.fn(conf)
    (group,) = groups_of.__wrapped__(drawn)
    data = group.problems.data
    assert data.levels.shape == (2, 20, 8, 8, 1)
    from lopt.datasets import open_dataset
    from lopt.ensembles import Ensemble

    train = open_dataset(Path(prepared.directory)).split("train")
    known = {image.tobytes() for image in train.images}
    assert {np.asarray(image).tobytes() for image in data.levels.reshape(-1, 64)} <= known
    np.testing.assert_allclose(data.mean, train.images.mean(), rtol=1e-6)
    assert Ensemble.read(Path(drawn.path)).data_sets == {"digits": prepared.digest}


def test_a_data_set_that_is_not_prepared_is_refused_with_what_prepares_it(
    conf: EnsembleConf,
) -> None:
    from lopt.datasets import DataSetError

    message = (
        r"^digits is not prepared under .* "
        r"python -m flows\.prepare_datasets --set names=\[digits\]$"
    )
    with pytest.raises(DataSetError, match=message) as error:
        draw_ensemble.fn(conf)
    assert error.value.__cause__ is None, "or it would be tried again"


def test_all_that_are_needed_are_named_at_once(conf: EnsembleConf) -> None:
    from lopt.datasets import DataSetError

    with pytest.raises(DataSetError, match=r"names=\[digits,mnist\]"):
        training_images(["digits", "mnist"])


def test_stand_ins_have_the_shapes_of_what_is_prepared(conf: EnsembleConf) -> None:
    prepare_dataset.fn("digits", DEFAULTS.datasets)
    real, stand_in = training_images(["digits"])["digits"], stand_ins()["digits"]

    def shapes(arrays: object) -> object:
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), arrays)

    assert shapes(real[:2]) == shapes(stand_in[:2])
    assert real.classes == stand_in.classes


def test_a_conf_is_checked_without_anything_prepared(conf: EnsembleConf, tmp_path: Path) -> None:
    sections = tuple(Conf.model_fields)
    check(read_conf(None, [f"ensemble.entries={conf.entries}"], sections), sections)
    assert [path.name for path in tmp_path.iterdir()] == ["mlps.yaml"]


@pytest.mark.parametrize(
    ("data_set", "samples", "message"),
    [
        ("digitz", 20, "data_set must be the name of a data set .* 'digitz'; given: cifar10, dig"),
        ("digits", 1443, "samples must be at most 1442, .* but is 1443"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_before_anything_is_prepared(
    conf: EnsembleConf, tmp_path: Path, data_set: str, samples: int, message: str
) -> None:
    (line,) = refused(written(tmp_path, data_set, samples), ("datasets", "ensemble"))
    key = f"ensemble.entries: '{conf.entries}' is not allowed"
    assert line.startswith(f"{key}; family mlps, entries[0].spec")
    assert re.search(message, line)


def test_a_cycle_has_to_prepare_the_data_sets_of_its_ensemble(
    conf: EnsembleConf, tmp_path: Path
) -> None:
    (line,) = refused(written(tmp_path, "mnist"), ("datasets", "ensemble"))
    assert line == (
        "datasets.names: digits is not allowed; allowed: with mnist, "
        f"of which {conf.entries} makes problems"
    )
    alone = ("ensemble",)
    check(read_conf(None, [f"ensemble.entries={conf.entries}"], alone), alone)
