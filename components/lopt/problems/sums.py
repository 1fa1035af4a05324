"""Several problems trained at once."""

import collections
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.base import Batch, Params, Problem
from lopt.problems.gradient_transforms import GradientNoise
from lopt.problems.programs import program_digest
from lopt.problems.quadratics import Bowl, Quadratic
from lopt.problems.two_dimensional import TwoDimensional


class Sum(Problem):
    """The sum of the losses of problems that share no params.

    Makes the optimizer meet tensors of different scale and difficulty in one network. Params
    and batches are tuples with one item for each part. What a part does to its gradients is
    done to its gradients; the paper's code forgets it (PAPER.md section 9, item 13). Parts of
    one program are computed side by side, so that it is compiled once.

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

    @property
    def nonnegative(self) -> bool:
        return all(part.nonnegative for part in self.parts)

    def init(self, key: Key[Array, ""]) -> Params:
        return self._each(lambda part, part_key: part.init(part_key), self._keys(key))

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        losses = self._each(
            lambda part, *inputs: part.loss(*inputs), params, batch, self._keys(key)
        )
        return jnp.stack(losses).sum()

    def draw(self, key: Key[Array, ""]) -> "Sum":
        return Sum(self._each(lambda part, part_key: part.draw(part_key), self._keys(key)))

    def sample_batch(self, key: Key[Array, ""]) -> Batch:
        return self._each(lambda part, part_key: part.sample_batch(part_key), self._keys(key))

    def full_batch(self) -> Batch:
        return tuple(part.full_batch() for part in self.parts)

    def validation_batch(self) -> Batch:
        return tuple(part.validation_batch() for part in self.parts)

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        return self._each(
            lambda part, *inputs: part.perturb_gradient(*inputs), gradient, self._keys(key)
        )

    def valid(self) -> Params | None:
        of_parts = [part.valid() for part in self.parts]
        if all(valid is None for valid in of_parts):
            return None
        return tuple(
            _all_valid(part) if valid is None else valid
            for part, valid in zip(self.parts, of_parts, strict=True)
        )

    def _keys(self, key: Key[Array, ""]) -> list[Key[Array, ""]]:
        keys = jax.random.split(key, len(self.parts))
        return [keys[index] for index in range(len(self.parts))]

    def _each(self, function: Callable[..., Any], *inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Apply `function` to each part and its item of each of the inputs."""
        results: dict[int, Any] = {}
        items = list(zip(self.parts, *inputs, strict=True))
        for indices in self._alike():
            if len(indices) == 1:
                results[indices[0]] = function(*items[indices[0]])
                continue
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[items[i] for i in indices])
            together = jax.vmap(function)(*stacked)
            for position, index in enumerate(indices):
                results[index] = jax.tree.map(lambda leaf, p=position: leaf[p], together)
        return tuple(results[index] for index in range(len(self.parts)))

    def _alike(self) -> list[list[int]]:
        """Return the indices of the parts, those of one program together."""
        indices = collections.defaultdict(list)
        for index, part in enumerate(self.parts):
            indices[program_digest(part)].append(index)
        return list(indices.values())

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        noisy = GradientNoise(Quadratic(dimensions=3, key=jax.random.key(0)), std=0.5)
        bowl = Bowl(condition_number=5.0)
        alike = [TwoDimensional(function=name) for name in ("Ackley", "Booth")]
        return [cls([alike[0], noisy, alike[1]]), cls([cls([bowl]), bowl])]


def _all_valid(part: Problem) -> Params:
    shapes = jax.eval_shape(lambda: part.init(jax.random.key(0)))
    return jax.tree.map(lambda leaf: jnp.ones(leaf.shape, jnp.bool_), shapes)
