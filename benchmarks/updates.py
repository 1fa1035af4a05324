"""The update of an optimizer on an MLP, alone: fixed gradients, compiled, the state donated."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import optax

import lopt.architectures
from lopt.architectures.base import LearnedOptimizer
from lopt.catalogue import concrete_classes


def mlp_params(widths: Sequence[int], key: jax.Array) -> list[dict[str, jax.Array]]:
    """Draw the float32 params of an MLP, two leaves a layer."""
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {
            "weights": jax.random.normal(k, (rows, columns)) * rows**-0.5,
            "biases": jnp.zeros(columns),
        }
        for k, (rows, columns) in zip(keys, pairwise(widths), strict=True)
    ]


def bytes_of(tree: Any) -> int:
    """Return how much memory the arrays of a tree take."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def learned_optimizers() -> Iterator[tuple[str, optax.GradientTransformation]]:
    """Find every architecture with its presets."""
    key = jax.random.key(0)
    for name, architecture in concrete_classes(lopt.architectures, LearnedOptimizer).items():
        for preset in architecture.presets:
            optimizer = getattr(architecture, preset)(key=key)
            yield f"{name}.{preset}", optimizer.transformation()


class Updating:
    """An optimizer in the middle of training: calling it makes so many updates more."""

    def __init__(self, transformation: optax.GradientTransformation, widths: Sequence[int]):
        """Compile the update and make the first one, whose time is `first_seconds`."""
        params_key, gradient_key = jax.random.split(jax.random.key(0))
        self.params = mlp_params(widths, params_key)
        self.gradient = mlp_params(widths, gradient_key)
        self.state = transformation.init(self.params)
        self.traces = 0
        self._transformation = transformation
        self._update = jax.jit(self._traced, donate_argnums=1)
        start = time.perf_counter()
        self(1)
        self.first_seconds = time.perf_counter() - start

    def __call__(self, repeats: int) -> None:
        """Make so many updates and wait for the last one."""
        for _ in range(repeats):
            updates, self.state = self._update(self.gradient, self.state, self.params)
        jax.block_until_ready((updates, self.state))

    def _traced(self, gradient: Any, state: Any, params: Any) -> Any:
        self.traces += 1
        return self._transformation.update(gradient, state, params)
