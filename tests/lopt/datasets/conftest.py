"""The digits, prepared once for all tests, and a folder of them to do harm to."""

import shutil
from pathlib import Path

import pytest

from lopt.datasets import DataSet, prepare


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """The digits as every test but those of preparing itself sees them: not to be changed."""
    return prepare("digits", tmp_path_factory.mktemp("datasets"))


@pytest.fixture
def copied_digits(digits: DataSet, tmp_path: Path) -> Path:
    """A folder with a copy of the prepared digits, free to be damaged."""
    return Path(shutil.copytree(digits.directory, tmp_path / digits.directory.name))
