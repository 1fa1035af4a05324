"""What was released once loads for ever, computes what it computed and keeps its digest."""

import dataclasses
import json
import runpy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from lopt import registry, release, release_config
from lopt.provenance import Provenance

RELEASES = Path(__file__).parent / "releases"
DIGEST = "392e79448b088844a1db8fc42e61b679802a92e33d3fc66be9aafb04b1d13b0b"


@dataclasses.dataclass(frozen=True)
class LaterProvenance(Provenance):
    """What the provenance may be one day."""

    device: str | None = None


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lopt whose provenance has a field more."""
    monkeypatch.setattr(release_config, "Provenance", LaterProvenance)


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


def test_format_1_keeps_its_digest_and_its_text_where_provenance_has_got_a_field(
    later: None, tmp_path: Path
) -> None:
    assert release.digest(RELEASES / "format_1") == DIGEST
    loaded = release.load(RELEASES / "format_1")
    assert loaded.provenance == LaterProvenance(**provenance_of_format_1(), device=None)
    again = release.save(loaded, tmp_path / "again")
    kept = RELEASES / "format_1" / "config.json"
    assert (again / "config.json").read_bytes() == kept.read_bytes()


@pytest.mark.filterwarnings("default")  # MLflow's own.
def test_a_model_of_before_a_field_of_the_provenance_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    registry.save_model(release.load(RELEASES / "format_1"), tmp_path / "model")
    monkeypatch.setattr(release_config, "Provenance", LaterProvenance)
    registry.load_model(str(tmp_path / "model"))


def test_a_later_field_of_the_provenance_that_is_known_is_kept_and_counts(
    later: None, tmp_path: Path
) -> None:
    provenance = LaterProvenance(**provenance_of_format_1(), device="GPU")
    optimizer = release.load(RELEASES / "format_1").with_provenance(provenance)
    saved = release.save(optimizer, tmp_path / "later")
    assert release.load(saved).provenance == provenance
    assert release.digest(saved) != DIGEST


def test_a_release_that_lacks_a_field_has_the_digest_that_was_stored(tmp_path: Path) -> None:
    content = json.loads((RELEASES / "format_1" / "config.json").read_text())
    del content["provenance"]["checkpoint_digest"], content["config_sha256"]
    stored = release_config._digest(content)
    older = tmp_path / "older"
    older.mkdir()
    text = release_config._render({**content, "config_sha256": stored})
    (older / "config.json").write_text(text)
    meta_params = (RELEASES / "format_1" / "meta_params.safetensors").read_bytes()
    (older / "meta_params.safetensors").write_bytes(meta_params)
    assert release.digest(older) == stored
    assert release.load(older).provenance == Provenance(**provenance_of_format_1())


def provenance_of_format_1() -> dict[str, Any]:
    provenance = release.load(RELEASES / "format_1").provenance
    assert provenance is not None
    known = {field.name for field in dataclasses.fields(Provenance)}
    return {name: value for name, value in vars(provenance).items() if name in known}
