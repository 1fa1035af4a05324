"""Small sets of encoded images, prepared once for all tests of streams."""

from pathlib import Path

import pytest

from lopt.datasets.streams import EncodedSet
from lopt.datasets.streams.preparation import prepare_source
from tests.lopt.datasets.streams.pictures import PICTURES


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> EncodedSet:
    """Twenty-three pictures and five to test with: not to be changed."""
    return prepare_source(PICTURES, tmp_path_factory.mktemp("datasets"), Path())
