"""Ensembles whose problems are made of a data set, which has to be prepared first."""

from pathlib import Path

import pytest

from tasks.conf_files import read_conf
from tasks.confs import DEFAULTS, Conf, EnsembleConf
from tests.flows.cycles import parts_of

NETWORKS = EnsembleConf(entries="conf/ensembles/networks.yaml")
MLPS = """
entries:
  - family: mlps
    count: 2
    spec: {problem: ImageMLP, data_set: digits, samples: 20, hidden: [2], batch_size: 4}
"""

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("home", "server"),
]


def test_networks_are_drawn_from_what_has_been_prepared() -> None:
    from flows.generate_ensemble import generate_ensemble
    from flows.prepare_datasets import prepare_datasets
    from lopt.datasets import NotPreparedError
    from lopt.ensembles import Ensemble

    with pytest.raises(NotPreparedError, match=r"prepare_datasets --set names=\[digits\]"):
        generate_ensemble(NETWORKS)
    (digits,) = prepare_datasets(DEFAULTS.datasets)
    drawn = generate_ensemble(NETWORKS)
    assert (drawn.entries, drawn.programs) == (64, 8)
    assert Ensemble.read(Path(drawn.path)).data_sets == {"digits": digits.digest}


def test_a_release_names_the_data_sets_that_it_was_trained_on(tmp_path: Path) -> None:
    from flows.full_cycle import full_cycle
    from lopt.loading import load
    from tasks import tracking
    from tasks.datasets import prepare_dataset

    (tmp_path / "mlps.yaml").write_text(MLPS)
    overrides = [f"ensemble.entries={tmp_path / 'mlps.yaml'}"]
    conf = read_conf(Path("conf/tiny.yaml"), overrides, list(Conf.model_fields))
    version = full_cycle(**parts_of(conf))
    tracking.client()  # points the registry to this home
    digits = prepare_dataset.fn("digits", conf.datasets)
    assert load(version.uri).provenance.dataset_digests == (("digits", digits.digest),)
