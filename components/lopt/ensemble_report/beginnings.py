"""How trajectories on the entries of an ensemble begin: first losses and first gradients.

Problems are drawn anew for each start, as meta-training does, so the spread is the one that an
optimizer meets.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from lopt.ensemble_report.first_step import first_loss_and_norm, is_real
from lopt.ensembles import EnsembleError, Group, Row

if TYPE_CHECKING:
    import pandas as pd

STARTS = 16
"""Trajectories that are begun on each entry."""
QUICK_TO_COMPILE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""A program that runs once takes longer to compile than to run."""


@dataclasses.dataclass(frozen=True)
class Beginnings:
    """Where trajectories on one entry stand before their first step.

    **Example**

    ```python
    np.median(beginnings.losses), beginnings.gradient_norms.max()
    ```
    """

    row: Row
    shapes: tuple[tuple[int, ...], ...]
    """Of the tensors among the params, padding included."""
    params: int
    """The number of scalars that are trained, padding left out."""
    losses: np.ndarray
    """Float32 [starts]: the loss over all data, free of noise."""
    gradient_norms: np.ndarray
    """Float32 [starts]: the norm of the gradient that an optimizer is shown, noise included."""

    @property
    def unusable(self) -> np.ndarray:
        """Tell the starts that make the entry unusable: losses below 0, or all if none is finite.

        Single ones that are not finite do not: meta-training leaves such trajectories out.
        """
        finite: np.ndarray = np.isfinite(self.losses)
        unusable: np.ndarray = self.losses < 0 if finite.any() else ~finite
        return unusable


def measure(
    rows: Sequence[Row], groups: Sequence[Group], key: Key[Array, ""], starts: int = STARTS
) -> Iterator[tuple[Beginnings, ...]]:
    """Yield the beginnings of the entries of each group, one compiled program a group.

    `groups` are those of the ensemble that `rows` are of; constants that are drawn anew may be
    zeros. What is drawn for a row depends on `key` and the row's index only.

    **Example**

    ```python
    groups = ensemble.groups(to_be_drawn=True)
    for beginnings in measure(ensemble.rows, groups, jax.random.key(0)):
        print(beginnings[0].row.family, beginnings[0].losses)
    ```
    """
    for group, members in with_rows(rows, groups):
        shapes = _shapes(group)
        yield tuple(
            Beginnings(
                row, shapes, *_begun(group, place, jax.random.fold_in(key, row.index), starts)
            )
            for place, row in enumerate(members)
        )


def with_rows(
    rows: Sequence[Row], groups: Sequence[Group]
) -> tuple[tuple[Group, tuple[Row, ...]], ...]:
    """Pair each group with the rows that its entries were built from, in their order.

    **Example**

    ```python
    for group, members in with_rows(ensemble.rows, ensemble.groups()):
        assert group.size == len(members)
    ```
    """
    rows_of = collections.defaultdict[tuple[str, str], list[Row]](list)
    for row in rows:
        rows_of[row.family, row.program].append(row)
    pairs = zip(groups, map(tuple, rows_of.values()), strict=True)
    return tuple(pairs)


def check_usable(beginnings: Sequence[Beginnings]) -> None:
    """Raise `EnsembleError`, naming the rows, where meta-training can never take the logarithm.

    **Example**

    ```python
    check_usable([one for part in measure(rows, groups, key) for one in part])
    ```
    """
    found = [one for one in beginnings if one.unusable.any()]
    if not found:
        return
    rows = "; ".join(
        f"row {one.row.index} ({one.row.family}, {one.row.spec}): {one.losses[one.unusable][0]:g} "
        f"at {one.unusable.sum()} of {one.losses.size} starts"
        for one in found
    )
    raise EnsembleError(
        f"{len(found)} of {len(beginnings)} rows begin with a loss that is negative or nowhere "
        f"finite, and meta-training takes its logarithm. Mend the entries or leave them out. {rows}"
    )


def beginnings_table(beginnings: Sequence[Beginnings]) -> "pd.DataFrame":
    """Return a row for each start of each entry.

    **Example**

    ```python
    beginnings_table(beginnings).groupby("problem_set")["loss"].median()
    ```
    """
    import pandas as pd

    frames = [
        pd.DataFrame(
            {
                "index": one.row.index,
                "category": one.row.category,
                "problem_set": one.row.problem_set,
                "family": one.row.family,
                "program": one.row.program,
                "params": one.params,
                "start": np.arange(one.losses.size, dtype=np.int64),
                "loss": one.losses,
                "gradient_norm": one.gradient_norms,
            }
        )
        for one in beginnings
    ]
    return pd.concat(frames, ignore_index=True)


def _begun(
    group: Group, place: int, key: Key[Array, ""], starts: int
) -> tuple[int, np.ndarray, np.ndarray]:
    index = jnp.asarray(place, jnp.int32)
    # A loop around a compiled start: one inside would take longer to compile than all starts.
    begun = [_begin(group, index, one) for one in jax.random.split(key, starts)]
    params, losses, norms = (np.asarray(parts) for parts in zip(*begun, strict=True))
    return int(params[0]), losses, norms


@functools.partial(jax.jit, compiler_options=QUICK_TO_COMPILE)
def _begin(
    group: Group, place: Int[Array, ""], key: Key[Array, ""]
) -> tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]:
    problem = group.entry(place)
    return is_real(problem).sum(), *first_loss_and_norm(problem, key)


def _shapes(group: Group) -> tuple[tuple[int, ...], ...]:
    params = eqx.filter_eval_shape(lambda one: one.entry(0).init(jax.random.key(0)), group)
    return tuple(leaf.shape for leaf in jax.tree.leaves(params))
