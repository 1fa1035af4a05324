"""One home whose servers are up for all tests that need them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.operators import Operator, free_port


@pytest.fixture(scope="session")
def operator() -> Iterator[Operator]:
    """An operator who has done `make up`."""
    # pytest's own folders have names too long for a socket on some machines.
    with tempfile.TemporaryDirectory(prefix="lopt-") as home:
        found = Operator(Path(home), free_port(), free_port())
        try:
            found.up()
            yield found
        finally:
            found.down()
