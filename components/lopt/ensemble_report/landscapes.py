"""The problems in the plane, evaluated on a grid around where trajectories begin."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from lopt.ensemble_entries import CATEGORIES
from lopt.ensemble_report.beginnings import QUICK_TO_COMPILE, Beginnings, with_rows
from lopt.ensemble_report.first_step import is_real
from lopt.ensembles import Group, Row

STARTS = 200
GRID = 241
MARGIN = 0.1
"""How far the grid reaches beyond the starts, as a share of their range."""
LEAST_MARGIN = 1e-3
"""The same where all starts are one point, as a share of the scalar's size or of 1."""
SAME = 1e-4
"""Relative difference up to which numbers of two programs are the same numbers."""


@dataclasses.dataclass(frozen=True)
class Landscape:
    """A function of two scalars, and where trajectories on it begin.

    `rows` are the entries of which it is the picture: they differ in what is done to
    gradients at most. All arrays are float32.

    **Example**

    ```python
    axes.contourf(landscape.x, landscape.y, landscape.losses)
    axes.scatter(*landscape.starts.T)
    ```
    """

    rows: tuple[Row, ...]
    starts: np.ndarray
    """[starts, 2]"""
    start_losses: np.ndarray
    """[starts]"""
    x: np.ndarray
    """[grid], the first scalar."""
    y: np.ndarray
    """[grid], the second."""
    losses: np.ndarray
    """[y, x]"""


def in_the_plane(beginnings: Sequence[Beginnings]) -> tuple[Row, ...]:
    """Return the rows of the entries with two scalars to train, in the ensemble's order.

    **Example**

    ```python
    Ensemble(in_the_plane(beginnings)).groups()
    ```
    """
    rows = [one.row for one in beginnings if one.params == 2]
    return tuple(sorted(rows, key=lambda row: row.index))


def survey(
    rows: Sequence[Row], groups: Sequence[Group], key: Key[Array, ""]
) -> tuple[Landscape, ...]:
    """Return the landscape of every entry, all of two scalars to train, each once, by category.

    `groups` are those of an ensemble of these rows alone, with the constants that they have. Two
    entries have the same landscape if trajectories begin at the same points and with the same
    losses there, whatever they are called.

    **Example**

    ```python
    rows = in_the_plane(beginnings)
    for landscape in survey(rows, Ensemble(rows).groups(), jax.random.key(0)):
        print(landscape.rows[0].spec)
    ```
    """
    found: list[Landscape] = []
    for one in _all(rows, groups, key):
        same = [place for place, other in enumerate(found) if _is_same(one, other)]
        if same:
            other = found[same[0]]
            found[same[0]] = dataclasses.replace(other, rows=(*other.rows, *one.rows))
        else:
            found.append(one)
    return tuple(
        sorted(found, key=lambda one: min(CATEGORIES.index(row.category) for row in one.rows))
    )


def _all(rows: Sequence[Row], groups: Sequence[Group], key: Key[Array, ""]) -> Iterator[Landscape]:
    for group, members in with_rows(rows, groups):
        for place, row in enumerate(members):
            arrays = _surveyed(group, jnp.asarray(place, jnp.int32), key)
            yield Landscape((row,), *(np.asarray(array) for array in arrays))


def _is_same(one: Landscape, other: Landscape) -> bool:
    return np.allclose(one.starts, other.starts, rtol=SAME) and np.allclose(
        one.start_losses, other.start_losses, rtol=SAME
    )


@functools.partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _surveyed(
    group: Group, place: Int[Array, ""], key: Key[Array, ""]
) -> tuple[
    Float[Array, "starts 2"],
    Float[Array, " starts"],
    Float[Array, " grid"],
    Float[Array, " grid"],
    Float[Array, "grid grid"],
]:
    problem = group.entry(place)
    start_key, loss_key = jax.random.split(key)
    real = jnp.flatnonzero(is_real(problem), size=2)

    def start(one: Key[Array, ""]) -> Float[Array, "2"]:
        return ravel_pytree(problem.init(one))[0][real]

    def loss(point: Float[Array, "2"]) -> Float[Array, ""]:
        flat, unravel = ravel_pytree(problem.init(start_key))
        params = unravel(flat.at[real].set(point))
        return problem.loss(params, problem.full_batch(), loss_key)

    starts = jax.vmap(start)(jax.random.split(start_key, STARTS))
    low, high = starts.min(axis=0), starts.max(axis=0)
    around_one = LEAST_MARGIN * jnp.maximum(1.0, jnp.abs(high))
    rim = jnp.where(high > low, MARGIN * (high - low), around_one)
    x, y = jnp.linspace(low - rim, high + rim, GRID, axis=1)
    on_grid = jax.vmap(jax.vmap(loss))(jnp.stack(jnp.meshgrid(x, y), axis=-1))
    return starts, jax.vmap(loss)(starts), x, y, on_grid
