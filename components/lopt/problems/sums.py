"""Several problems trained at once."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.gradient_transforms import GradientNoise
from lopt.problems.quadratics import Bowl, Quadratic
from lopt.problems.two_dimensional import TwoDimensional


class Sum(Problem):
    """The sum of the losses of problems that share no params.

    Makes the optimizer meet tensors of different scale and difficulty in one network. Params
    and batches are tuples with one item for each part. What a part does to its gradients is
    done to its gradients; the paper's code forgets it (PAPER.md section 9, item 13).

    Raises `ValueError` if there are no parts.

    **Example**

    ```python
    problem = Sum([TwoDimensional(function="Ackley"), Quadratic(dimensions=5, key=key)])
    ```
    """

    parts: tuple[Problem, ...]

    def __init__(self, parts: Sequence[Problem]) -> None:
        if not parts:
            raise ValueError("A sum must have at least one part, but the list is empty.")
        self.parts = tuple(parts)

    # A property, because it is known of instances only.
    @property
    def nonnegative(self) -> bool:  # type: ignore[override]
        return all(part.nonnegative for part in self.parts)

    def init(self, key: Key[Array, ""]) -> Params:
        return tuple(part.init(part_key) for part, part_key in self._with_keys(key))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        total = jnp.zeros((), jnp.float32)
        for index, (part, part_key) in enumerate(self._with_keys(key)):
            total = total + part.loss(params[index], batch[index], part_key)
        return total

    def draw(self, key: Key[Array, ""]) -> "Sum":
        return Sum([part.draw(part_key) for part, part_key in self._with_keys(key)])

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return tuple(part.sample_batch(part_key) for part, part_key in self._with_keys(key))

    def full_batch(self) -> Batch:
        return tuple(part.full_batch() for part in self.parts)

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        return tuple(
            part.perturb_gradient(gradient[index], part_key)
            for index, (part, part_key) in enumerate(self._with_keys(key))
        )

    def valid(self) -> Params | None:
        of_parts = [part.valid() for part in self.parts]
        if all(valid is None for valid in of_parts):
            return None
        return tuple(
            _all_valid(part) if valid is None else valid
            for part, valid in zip(self.parts, of_parts, strict=True)
        )

    def _with_keys(self, key: Key[Array, ""]) -> list[tuple[Problem, Key[Array, ""]]]:
        keys = jax.random.split(key, len(self.parts))
        return [(part, keys[index]) for index, part in enumerate(self.parts)]

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        noisy = GradientNoise(Quadratic(dimensions=3, key=jax.random.key(0)), std=0.5)
        bowl = Bowl(condition_number=5.0)
        return [cls([noisy, TwoDimensional(function="Ackley")]), cls([cls([bowl]), bowl])]


def _all_valid(part: Problem) -> Params:
    shapes = jax.eval_shape(lambda: part.init(jax.random.key(0)))
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.bool_), shapes)
