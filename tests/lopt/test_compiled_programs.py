"""Programs are forgotten before they take all mappings of memory that a process may have."""

from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from lopt import compiled_programs
from lopt.compiled_programs import (
    MAPPINGS,
    TooManyProgramsError,
    count_mappings,
    forget_if_many,
    refuse_if_many,
)

pytestmark = pytest.mark.skipif(not MAPPINGS.exists(), reason="Linux alone counts mappings")


def compile_one(number: int) -> None:
    size = number + 2
    jax.jit(lambda x: jnp.sort(jnp.tanh(x @ x.T) @ x, axis=0) + number)(jnp.ones((size, size)))


def test_forgetting_gives_mappings_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jax.clear_caches()
    before = count_mappings()
    for number in range(60):
        compile_one(number)
    full = count_mappings()
    assert full > before + 60
    limit = tmp_path / "limit"
    monkeypatch.setattr(compiled_programs, "LIMIT", limit)
    limit.write_text(f"{10 * full}\n")
    assert not forget_if_many(part=0.2)
    limit.write_text(f"{full}\n")
    assert forget_if_many(part=0.2)
    assert count_mappings() < before + (full - before) / 2


def test_a_program_that_was_forgotten_can_be_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_programs, "count_mappings", lambda: 10**9)
    square = jax.jit(lambda x: x * x)
    first = square(jnp.asarray(3.0))
    assert forget_if_many()
    assert square(jnp.asarray(3.0)) == first == 9.0


def test_where_nothing_is_limited_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled_programs, "MAPPINGS", tmp_path / "nowhere")
    assert not forget_if_many(part=0.0)


def test_more_programs_than_a_process_can_hold_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "limit"
    monkeypatch.setattr(compiled_programs, "LIMIT", limit)
    limit.write_text(f"{10 * count_mappings()}\n")
    refuse_if_many()
    limit.write_text("10\n")
    with pytest.raises(TooManyProgramsError, match=r"allows it 10: .*sysctl -w vm.max_map_count"):
        refuse_if_many()


@pytest.mark.parametrize(
    ("quickly", "small", "level", "emitters"),
    [
        (False, False, None, None),
        (False, True, 2, None),
        (True, False, 2, False),
        (True, True, 2, None),
    ],
)
def test_meta_steps_are_compiled_for_what_they_are(
    quickly: bool, small: bool, level: int | None, emitters: bool | None
) -> None:
    options = compiled_programs.processor_options(quickly, small)
    assert options.get("xla_backend_optimization_level") == level
    assert options["xla_cpu_prefer_vector_width"] == 512
    known = compiled_programs.HAS_OLDER_LOOPS
    assert options.get("xla_cpu_use_fusion_emitters") == (emitters if known else None)


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("quickly", [False, True])
def test_this_version_of_jax_knows_the_options(quickly: bool, small: bool) -> None:
    options = compiled_programs.processor_options(quickly, small)
    assert jax.jit(lambda x: x + 1, compiler_options=options)(1) == 2


def test_other_devices_have_options_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not compiled_programs.processor_options(quickly=True, small=True)
