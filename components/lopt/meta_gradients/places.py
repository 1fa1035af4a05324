"""The trajectories in work, side by side: when each ends, and what begins in its place."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from lopt.ensembles import Group
from lopt.meta_gradients.base import Faults
from lopt.meta_gradients.lengths import TrajectoryLengths
from lopt.unroll import Beginning, Trajectory, beginning

Drawn = TypeVar("Drawn")


class Places(NamedTuple):
    """Stacked trajectories, of which entry each is, and when it is to begin anew."""

    trajectories: Trajectory
    entries: Int[Array, " problems"]
    # Inner steps after which a trajectory begins anew, and how often it has begun.
    lengths: Int[Array, " problems"]
    begun: Int[Array, " problems"]


class Renewal(NamedTuple):
    """Which places begin anew, and with what; of the other places, anything."""

    finished: Bool[Array, " problems"]
    starts: Beginning
    entries: Int[Array, " problems"]
    lengths: Int[Array, " problems"]


def empty_places(shapes: Trajectory, problems: int) -> Places:
    """Return places whose trajectories begin at the first estimate.

    Beginning them here would compile the drawing of problems a second time. Zeros made by JAX
    would compile a program for each shape, so outside of a compiled program NumPy makes them.
    `shapes` is one trajectory, its leaves anything with a shape and a dtype.

    **Example**

    ```python
    places = empty_places(eqx.filter_eval_shape(begin, problem, optimizer, key), problems=24)
    ```
    """
    is_traced = isinstance(jnp.zeros(()), jax.core.Tracer)
    blank = _blank if is_traced else _blank_of_numpy
    trajectories = jax.tree.map(lambda leaf: blank((problems, *leaf.shape), leaf.dtype), shapes)
    entries, lengths, begun = (blank((problems,), jnp.int32) for _ in range(3))
    return Places(trajectories, entries, lengths, begun)


def renewal(
    places: Places,
    group: Group,
    lengths: TrajectoryLengths,
    unroll_steps: int,
    key: Key[Array, ""],
    meta_step: Int[Array, ""],
    entries: Int[Array, " problems"] | None = None,
) -> Renewal:
    """Draw entries, problems, initial params and lengths for the places that are finished.

    A place's first trajectory is only a part of its length, so that ends are staggered. With
    `entries` these are not drawn by weight, but there they are.

    **Example**

    ```python
    new = renewal(places, group, ExponentialLengths(), 20, jax.random.key(0), jnp.array(0))
    ```
    """
    begin_key, length_key = jax.random.split(key)
    count = places.begun.shape[0]
    finished = places.trajectories.inner_step >= places.lengths
    drawn = _lengths(lengths, length_key, places.begun == 0, meta_step)

    def draw() -> tuple[Int[Array, " problems"], Beginning]:
        keys = jax.random.split(begin_key, count)
        return jax.vmap(lambda key, entry: draw_beginning(group, key, entry))(keys, entries)

    entries, starts = _if_needed(finished.any(), draw)
    return Renewal(
        finished=finished,
        starts=starts,
        entries=jnp.where(finished, entries, places.entries),
        lengths=jnp.where(finished, unroll_steps * drawn, places.lengths),
    )


def draw_beginning(
    group: Group, key: Key[Array, ""], entry: Int[Array, ""] | None = None
) -> tuple[Int[Array, ""], Beginning]:
    """Draw an entry by weight if none is given, its random constants anew, and initial params.

    **Example**

    ```python
    entry, start = draw_beginning(group, jax.random.key(0))
    ```
    """
    entry_key, draw_key, begin_key = jax.random.split(key, 3)
    if entry is None and len(group.weights) == 1:
        entry = jnp.zeros((), jnp.int32)
    elif entry is None:
        entry = jax.random.categorical(entry_key, jnp.log(group.weights)).astype(jnp.int32)
    return entry, beginning(group.entry(entry).draw(draw_key), begin_key)


def where(condition: Bool[Array, ""], new: PyTree[Array], old: PyTree[Array]) -> Any:
    """Choose between two trees of one structure.

    **Example**

    ```python
    trajectory = where(is_finished, fresh, trajectory)
    ```
    """
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def moved_on(
    places: Places, new: Renewal, trajectories: Trajectory, ended: Bool[Array, " problems"]
) -> Places:
    """Return the places after an unroll; what has `ended` begins anew at the next estimate.

    **Example**

    ```python
    places = moved_on(places, new, trajectories, ended=~combined.sound)
    ```
    """
    lengths = jnp.where(ended, 0, new.lengths)
    begun = places.begun + new.finished.astype(jnp.int32)
    return Places(trajectories, new.entries, lengths, begun)


def faults_of(
    sound: Bool[Array, " problems"],
    entries: Int[Array, " problems"],
    last_steps: Int[Array, " problems"],
    losses: Float[Array, "problems inner_steps"],
) -> Faults:
    """Name the entries that are not sound and the steps at which that showed.

    **Example**

    ```python
    faults = faults_of(combined.sound, new.entries, trajectories.inner_step, losses)
    ```
    """
    infinite = ~jnp.isfinite(losses)
    steps = losses.shape[1]
    first = last_steps - steps + 1 + jnp.argmax(infinite, axis=1).astype(jnp.int32)
    where_it_showed = jnp.where(infinite.any(1), first, last_steps)
    return Faults(~sound, entries, where_it_showed)


def counts(which: Mapping[str, Bool[Array, " problems"]]) -> dict[str, Float[Array, ""]]:
    """Count what is true, as metrics.

    **Example**

    ```python
    metrics = counts({"meta/clipped": clipped, "inner/resets": new.finished})
    ```
    """
    return {name: flags.sum().astype(jnp.float32) for name, flags in which.items()}


def _lengths(
    lengths: TrajectoryLengths,
    key: Key[Array, ""],
    is_first: Bool[Array, " problems"],
    meta_step: Int[Array, ""],
) -> Int[Array, " problems"]:
    length_key, part_key = jax.random.split(key)
    drawn = lengths.draw(length_key, is_first.shape, meta_step)
    part = jax.random.uniform(part_key, is_first.shape, jnp.float32)
    shortened = jnp.ceil(part * drawn.astype(jnp.float32)).astype(jnp.int32)
    return jnp.where(is_first, jnp.maximum(shortened, 1), drawn)


def _if_needed(needed: Bool[Array, ""], draw: Callable[[], Drawn]) -> Drawn:
    """Return what is drawn, or anything of its form.

    Only on CPUs: what an accelerator would save by not drawing, it loses by asking the host
    which of two programs to go on with.
    """
    if jax.default_backend() != "cpu":
        return draw()
    blank = jax.tree.map(lambda leaf: _blank(leaf.shape, leaf.dtype), jax.eval_shape(draw))
    drawn: Drawn = jax.lax.cond(needed, draw, lambda: blank)
    return drawn


def _blank(shape: tuple[int, ...], dtype: Any) -> Array:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape)
    return jnp.zeros(shape, dtype)


def _blank_of_numpy(shape: tuple[int, ...], dtype: Any) -> Array:
    if not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        zeros: Array = jax.device_put(np.zeros(shape, dtype))
        return zeros
    key = jax.random.key(0)
    data = np.asarray(jax.random.key_data(key))
    repeated: Array = jax.device_put(np.broadcast_to(data, shape + data.shape))
    keys: Array = jax.random.wrap_key_data(repeated, impl=jax.random.key_impl(key))
    return keys
