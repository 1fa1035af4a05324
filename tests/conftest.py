"""What every test gets: reproducible keys, and JAX at its strictest."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator

import hypothesis
import jax
import pytest
from jaxtyping import Array, Key

from lopt.compiled_programs import forget_if_many
from tests.lopt.loops import QUICK_TO_COMPILE

# For processes that tests start as well, unless the caller says else.
os.environ["XLA_FLAGS"] = f"{QUICK_TO_COMPILE} {os.environ.get('XLA_FLAGS', '')}".strip()

# Importing prefect and flows makes folders and reads settings: not in anybody's home or tree.
_home = tempfile.TemporaryDirectory(prefix="lopt-")
os.environ.setdefault("LOPT_HOME", _home.name)
os.environ.setdefault("PREFECT_HOME", os.environ["LOPT_HOME"] + "/prefect")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# A deadline would be a timed test, and the first example compiles.
hypothesis.settings.register_profile("lopt", deadline=None, print_blob=True)
hypothesis.settings.load_profile("lopt")
# For the same reason: what runs is small.
jax.config.update("jax_disable_most_optimizations", True)
# Looked for now, so that no flow under test makes several of them for the tests that follow.
jax.devices()


@pytest.fixture
def getkey(request: pytest.FixtureRequest) -> Callable[[], Key[Array, ""]]:
    """A function that gives a new key at each call, the same ones in every run of the test."""
    seed = sum(request.node.name.encode())
    count = 0

    def next_key() -> Key[Array, ""]:
        nonlocal count
        count += 1
        return jax.random.fold_in(jax.random.key(seed), count)

    return next_key


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_programs() -> Iterator[None]:
    """After a module, forget what was compiled, if that has become much."""
    yield
    forget_if_many()


@pytest.fixture(scope="module", autouse=True)
def hang_up_on_prefect() -> Iterator[None]:
    """After a module with flows, end the connection on which Prefect's client sends their events.

    It pings every 20 seconds with a number from `random`, in a thread of its own. Hypothesis calls
    a test flaky if it meets that while it draws an example.
    """
    yield
    worker = sys.modules.get("prefect.events.worker")
    if worker is not None:
        worker.EventsWorker.drain_all(timeout=60, at_exit=False)
