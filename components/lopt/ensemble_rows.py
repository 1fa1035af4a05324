"""The entries of an ensemble: as rows, which are data, and as groups, which are problems."""

import dataclasses
import json
from collections.abc import Sequence

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from lopt.blank_constants import with_blank_constants
from lopt.ensemble_entries import EnsembleError
from lopt.problems.base import Problem
from lopt.problems.images import NO_DATA_SETS, DataSets
from lopt.problems.programs import program_digest
from lopt.problems.specs import SpecError, build


@dataclasses.dataclass(frozen=True)
class Row:
    """One entry: a problem as JSON, its place, its weight and the seed of its constants.

    **Example**

    ```python
    problem = row.build()
    ```
    """

    index: int
    category: str
    """What kind of difficulty it stands for: one of `lopt.ensemble_entries.CATEGORIES`."""
    problem_set: str
    """The set of problems that the entry belongs to, such as "noisy_quadratic"; may be empty."""
    family: str
    """What is stacked and reported together."""
    spec: str
    """Canonical JSON, without distributions; see `lopt.problems.specs`."""
    program: str
    """Equal for two rows exactly if their problems share one compiled program."""
    data_sets: str
    """Canonical JSON: the digest of each data set that the spec names."""
    weight: float
    """How much of the meta-training this row gets, relative to the other rows."""
    seed: int

    def build(self, data_sets: DataSets = NO_DATA_SETS, *, to_be_drawn: bool = False) -> Problem:
        """Make the problem, of the data sets that the spec names.

        The same bits whatever JAX's settings for random numbers are, and on every CPU that
        multiplies and adds at once (x86: AVX2); elsewhere normal numbers differ in their last
        bits. Where it is `to_be_drawn` anew before it is used, the random constants that this
        replaces are zeros (`with_blank_constants`).

        Raises `EnsembleError` where this lopt makes another problem than was drawn, and where
        a data set is not given or is not the one that the row was drawn with.
        """
        where = f"row {self.index}"
        self._check(data_sets, where)

        def make(key: Key[Array, ""]) -> Problem:
            return build(json.loads(self.spec), key, where=where, data_sets=data_sets)

        try:
            with jax.threefry_partitionable(True):
                key = jax.random.key(self.seed, impl="threefry2x32")
                problem = with_blank_constants(make, key) if to_be_drawn else make(key)
        except SpecError as error:
            raise EnsembleError(str(error)) from error
        if program_digest(problem) != self.program:
            raise EnsembleError(
                f"{where}: this version of lopt makes another problem of {self.spec} than the "
                f"one that drew the ensemble (program {self.program}). Draw the ensemble again."
            )
        return problem

    def _check(self, data_sets: DataSets, where: str) -> None:
        for name, digest in json.loads(self.data_sets).items():
            if name not in data_sets:
                raise EnsembleError(
                    f"{where} is made of the data set {name!r}, which is not among the given ones "
                    f"({', '.join(data_sets) or 'none'}). Prepare it and hand it over."
                )
            if (found := data_sets[name].digest) != digest:
                raise EnsembleError(
                    f"{where} was drawn with the data set {name!r} of digest {digest}, but the one "
                    f"that is given has {found}: other images make another problem. Draw the "
                    f"ensemble again, or prepare the data set that it was drawn with."
                )


class Group(eqx.Module):
    """The entries of one family that share one compiled program.

    `problems` is one problem whose leaves have a leading axis `entries`.

    **Example**

    ```python
    group = ensemble.groups()[0]
    losses = jax.vmap(lambda problem: problem.loss(params, None, key))(group.problems)
    ```
    """

    family: str = eqx.field(static=True)
    problems: Problem
    weights: Float[Array, " entries"]

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.weights.shape[0]

    def entry(self, index: int | Int[Array, ""]) -> Problem:
        """Return one problem; `index` may be traced."""
        problem: Problem = jax.tree.map(lambda leaf: leaf[index], self.problems)
        return problem


def stacked(
    family: str,
    rows: Sequence[Row],
    data_sets: DataSets = NO_DATA_SETS,
    *,
    to_be_drawn: bool = False,
) -> Group:
    """Build the problems of rows of one program, and stack them.

    Raises `EnsembleError` for what `Row.build` refuses.

    **Example**

    ```python
    group = stacked("bowls", ensemble.rows)
    ```
    """
    built = [row.build(data_sets, to_be_drawn=to_be_drawn) for row in rows]
    # Not by `jnp.stack`: a program for every shape and number of rows takes long to compile.
    problems = jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *built)
    weights = np.asarray([row.weight for row in rows], np.float32)
    return Group(family, problems, jax.device_put(weights))
