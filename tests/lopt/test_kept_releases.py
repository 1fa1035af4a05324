"""What was released once loads for ever and computes what it computed."""

import json
import runpy
from pathlib import Path

import jax
import numpy as np

from lopt import release

RELEASES = Path(__file__).parent / "releases"


def test_format_1_loads_and_computes_its_first_updates() -> None:
    made = runpy.run_path(str(RELEASES / "make_format_1.py"))
    expected = json.loads((RELEASES / "format_1_expected.json").read_text())
    assert release.digest(RELEASES / "format_1") == expected["digest"]
    optimizer = release.load(RELEASES / "format_1")
    assert (made["GRADIENTS"], made["LEARNING_RATE"]) == (
        expected["gradients"],
        expected["initial_learning_rate"],
    )
    found, written = made["updates_of"](optimizer), expected["updates"]
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(written), strict=True):
        # XLA's rounding differs between versions and machines by some units in the last place.
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-9)


def test_format_1_keeps_its_provenance() -> None:
    provenance = release.load(RELEASES / "format_1").provenance
    assert provenance is not None
    assert provenance.dataset_digests == (("digits", "0" * 64),)
    assert provenance.checkpoint_digest is None
