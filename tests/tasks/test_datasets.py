"""Preparing data sets of either kind."""

from pathlib import Path

import pytest

from lopt.datasets.streams import open_encoded, open_stream
from tasks.confs import DatasetsConf
from tasks.datasets import prepare_dataset


def test_pictures_are_prepared_as_a_stream_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOPT_HOME", str(tmp_path))
    found = prepare_dataset.fn("encoded_digits", DatasetsConf(names=("encoded_digits",)))
    assert found.counts == {"train": 1442, "test": 355}
    assert found.digest == open_encoded(Path(found.directory)).digest
    stream = open_stream(Path(found.directory), "train", batch_size=2, image_size=64)
    _, batch = next(stream.batches())
    assert batch["images"].shape == (2, 64, 64, 3)
