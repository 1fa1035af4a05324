"""Going on from a checkpoint is the same as never having stopped, or it is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.checkpoint import CheckpointError, Checkpoints

DTYPES = ["float32", "bfloat16", "float16", "int32", "uint32", "int8", "uint8", "bool"]


class Moments(NamedTuple):
    count: Any
    trace: Any


class State(eqx.Module):
    """Every kind of node and leaf that a meta-training's state has."""

    weights: dict[str, Any]
    moments: Moments
    key: Any
    squash: Any
    size: int = eqx.field(static=True)


def make_state(key: jax.Array, size: int = 3) -> State:
    return State(
        weights={"a/b": jax.random.normal(key, (size, 2)), "..": jnp.ones(size, jnp.bfloat16)},
        moments=Moments(jnp.int32(4), (None, jnp.zeros((0, 3)), np.arange(3))),
        key=jax.random.split(key, 2),
        squash=jnp.tanh,
        size=size,
    )


def bits(state: Any) -> list[Any]:
    def of_leaf(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array | np.ndarray):
            return leaf
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        numbers = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        return type(leaf), leaf.shape, leaf.dtype, numbers.tobytes()

    return [jax.tree.structure(state), *map(of_leaf, jax.tree.leaves(state))]


@pytest.fixture
def state(getkey: Callable[[], jax.Array]) -> State:
    return make_state(getkey())


def damage(path: Path) -> None:
    """Flip a bit in the middle of every file that holds numbers."""
    for file in path.rglob("d/*"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


def test_restoring_returns_what_was_saved_bit_for_bit(state: State, tmp_path: Path) -> None:
    facts = {"conf": "ab", "numbers": [1, 2.5, None], "nested": {"x": True}}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(7, state, facts)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() == 7
        restored, restored_facts = checkpoints.restore(like=state)
    assert bits(restored) == bits(state)
    assert restored_facts == facts


def test_random_numbers_go_on_where_they_stopped(tmp_path: Path) -> None:
    keys = {impl: jax.random.key(3, impl=impl) for impl in ("threefry2x32", "rbg")}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, keys, {})
        restored, _ = checkpoints.restore(like=jax.eval_shape(lambda: keys))
    for impl, key in keys.items():
        expected = jax.random.normal(key, (4,))
        np.testing.assert_array_equal(jax.random.normal(restored[impl], (4,)), expected)


# Every bit pattern, NaNs with a payload and minus zero among them.
def arrays_of(dtype: str) -> st.SearchStrategy[np.ndarray]:
    numpy_dtype = jnp.dtype(dtype)
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    if dtype == "bool":
        return hnp.arrays(np.bool_, shapes)
    unsigned = np.dtype(f"uint{8 * numpy_dtype.itemsize}")
    return hnp.arrays(unsigned, shapes).map(lambda array: array.view(numpy_dtype))


@hypothesis.given(
    arrays=st.lists(st.sampled_from(DTYPES).flatmap(arrays_of), min_size=1, max_size=4),
    on_device=st.booleans(),
)
@hypothesis.settings(max_examples=25)
def test_every_bit_of_every_dtype_survives(
    tmp_path_factory: pytest.TempPathFactory, arrays: list[np.ndarray], on_device: bool
) -> None:
    state = [jnp.asarray(array) if on_device else array for array in arrays] + [np.ones(1)]
    with Checkpoints(tmp_path_factory.mktemp("any")) as checkpoints:
        checkpoints.save(0, state, {})
        restored, _ = checkpoints.restore(like=state)
    assert bits(restored) == bits(state)


def test_shapes_without_numbers_are_enough_to_restore(state: State, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state.weights, {})
        like = jax.eval_shape(lambda: state.weights)
        assert bits(checkpoints.restore(like)[0]) == bits(state.weights)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in range(4):
            checkpoints.save(step, jnp.full(3, step), {"step": step})
        assert checkpoints.restore(like=jnp.zeros(3, jnp.int32))[1] == {"step": 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_saving_the_same_again_changes_nothing(state: State, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, state, {"a": 1})
        before = (tmp_path / "5").stat().st_mtime_ns
        checkpoints.save(5, state, {"a": 1})
    assert (tmp_path / "5").stat().st_mtime_ns == before


@pytest.mark.parametrize("step", [4, 5])
def test_a_checkpoint_is_never_overwritten_or_put_before_another(
    state: State, tmp_path: Path, step: int
) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, state, {"a": 1})
        with pytest.raises(
            CheckpointError, match=rf"of meta-step 5, .* of meta-step {step} is not"
        ):
            checkpoints.save(step, state, {"a": 2})
        assert checkpoints.restore(like=state)[1] == {"a": 1}


def test_the_digest_tells_states_facts_and_dtypes_apart(tmp_path: Path) -> None:
    states = [jnp.zeros(2), jnp.ones(2), jnp.zeros(2), jnp.zeros(2, jnp.int32), jnp.zeros((2, 1))]
    facts = [{}, {}, {"a": 1}, {}, {}]
    with Checkpoints(tmp_path, keep=9) as checkpoints:
        for step, (state, fact) in enumerate(zip(states, facts, strict=True)):
            checkpoints.save(step, state, fact)
        checkpoints.save(9, states[0], facts[0])
        digests = [checkpoints.digest(step) for step in range(5)]
        assert len(set(digests)) == 5
        assert checkpoints.digest(9) == digests[0]


def test_without_a_checkpoint_there_is_nothing_to_restore(state: State, tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest() is None
        with pytest.raises(CheckpointError, match="There is no checkpoint in"):
            checkpoints.restore(like=state)
        with pytest.raises(CheckpointError, match="there are only those of"):
            checkpoints.digest(3)


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"a": jnp.zeros(3)}, r"leaf 'b' is int32\[\] in the checkpoint, but missing in this"),
        ({"a": jnp.zeros(3), "b": jnp.int32(0), "c": jnp.int32(0)}, r"leaf 'c' is missing in the"),
        ({"a": jnp.zeros((3, 1)), "b": jnp.int32(0)}, r"'a' is float32\[3\] .* float32\[3, 1\]"),
        ({"a": jnp.zeros(3), "b": jnp.uint32(0)}, r"'b' is int32\[\] .* uint32\[\]"),
        ({"a": jax.random.key(0), "b": jnp.int32(0)}, r"'a' is float32\[3\] .* key<fry>\[\]"),
    ],
)
def test_a_program_of_another_structure_is_told_the_first_difference(
    tmp_path: Path, like: Any, message: str
) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, {"a": jnp.zeros(3), "b": jnp.int32(0)}, {})
        with pytest.raises(CheckpointError, match=message):
            checkpoints.restore(like)
        assert checkpoints.set_aside_damaged() == ()


@pytest.mark.parametrize("number", [3, 0.5, True, np.float32(1)])
def test_a_number_that_would_not_be_restored_is_not_saved(tmp_path: Path, number: Any) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(CheckpointError, match=r"Leaf 'a' is the number"):
            checkpoints.save(1, {"a": number, "b": jnp.zeros(2)}, {})
        assert checkpoints.latest() is None


@pytest.mark.parametrize("facts", [{"a": float("nan")}, {"a": (1, 2)}, {"a": {3}}, {"a": {1: "b"}}])
def test_facts_that_json_cannot_carry_are_not_saved(tmp_path: Path, facts: Any) -> None:
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(CheckpointError, match="The facts"):
        checkpoints.save(1, jnp.zeros(2), facts)


def test_at_least_one_checkpoint_has_to_be_kept(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="keep is 0"):
        Checkpoints(tmp_path, keep=0)


def two_checkpoints(directory: Path) -> None:
    with Checkpoints(directory) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, jnp.full(64, step, jnp.int32), {"step": step})


def remove_the_record(path: Path) -> None:
    (path / "record" / "metadata").unlink()


def change_the_facts(path: Path) -> None:
    file = path / "record" / "metadata"
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "facts": {"step": 3}}))


@pytest.mark.parametrize("harm", [damage, remove_the_record, change_the_facts])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_a_call_away(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    two_checkpoints(tmp_path)
    harm(tmp_path / "2")
    like = jnp.zeros(64, jnp.int32)
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(CheckpointError, match=r"/2 cannot be used: .*set_aside_damaged"):
            checkpoints.restore(like)
        (found,) = checkpoints.set_aside_damaged()
        assert found.meta_step == 2
        assert found.moved_to.is_dir()
        assert checkpoints.latest() == 1
        restored, facts = checkpoints.restore(like)
        assert facts == {"step": 1}
        np.testing.assert_array_equal(restored, np.full(64, 1))
        checkpoints.save(2, restored, {"step": 2})
        assert checkpoints.latest() == 2


def test_where_nothing_is_sound_that_is_said_and_nothing_is_moved(tmp_path: Path) -> None:
    two_checkpoints(tmp_path)
    damage(tmp_path / "1")
    damage(tmp_path / "2")
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(CheckpointError, match=r"Damaged: 2, 1\. Move .* to begin anew"):
            checkpoints.set_aside_damaged()
        assert checkpoints.latest() == 2


SAVE_FOR_EVER = """
import sys, numpy as np
from pathlib import Path
from lopt.checkpoint import Checkpoints
with Checkpoints(Path(sys.argv[1]), keep=2) as checkpoints:
    first = (checkpoints.latest() or 0) + 1
    for step in range(first, 10**6):
        noise = np.random.default_rng(step).integers(0, 2**32, 2**20, np.uint32)
        checkpoints.save(step, {"noise": noise}, {"step": step})
        print(step, flush=True)
"""


def kill_while_saving(directory: Path, times: int) -> int:
    """Start the saving process, kill -9 it inside a save and return the last step it finished."""
    command = [sys.executable, "-c", SAVE_FOR_EVER, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        finished = [int(process.stdout.readline()) for _ in range(times)][-1]
        deadline = time.monotonic() + 30
        while not list(directory.glob("*tmp*")):
            assert time.monotonic() < deadline, "no save was seen to be under way"
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL
    return int(rest[-1]) if rest else finished


def test_a_process_killed_while_saving_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    for times in (1, 2):
        finished = kill_while_saving(tmp_path, times)
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            # One more, where it was killed between renaming and saying so.
            step = checkpoints.latest()
            assert step in (finished, finished + 1)
            restored, facts = checkpoints.restore({"noise": np.zeros(2**20, np.uint32)})
        assert facts == {"step": step}
        expected = np.random.default_rng(step).integers(0, 2**32, 2**20, np.uint32)
        np.testing.assert_array_equal(restored["noise"], expected)
