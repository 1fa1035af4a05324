"""The entries of an ensemble: as rows, which are data, and as groups, which are problems."""

import dataclasses
import json
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from lopt.ensemble_entries import EnsembleError
from lopt.problems.base import Problem
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
    """JSON: the digest of each data set that the spec names."""
    weight: float
    """How much of the meta-training this row gets, relative to the other rows."""
    seed: int

    def build(self) -> Problem:
        """Make the problem; raises `EnsembleError` where this lopt makes another than was drawn."""
        where = f"row {self.index}"
        try:
            problem = build(json.loads(self.spec), jax.random.key(self.seed), where=where)
        except SpecError as error:
            raise EnsembleError(str(error)) from error
        if program_digest(problem) != self.program:
            raise EnsembleError(
                f"{where}: this version of lopt makes another problem of {self.spec} than the "
                f"one that drew the ensemble (program {self.program}). Draw the ensemble again."
            )
        return problem


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


def stacked(family: str, rows: Sequence[Row]) -> Group:
    """Build the problems of rows of one program, and stack them.

    **Example**

    ```python
    group = stacked("bowls", ensemble.rows)
    ```
    """
    problems = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[row.build() for row in rows])
    return Group(family, problems, jnp.asarray([row.weight for row in rows], jnp.float32))
