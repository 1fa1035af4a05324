"""A small architecture for the tests of releases: a step of a learned length."""

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE, InitialLearningRate


class ScaledDescent(LearnedOptimizer):
    """Gradient descent with a learned rate; it has every kind of field that a release meets."""

    version: ClassVar[int] = 1

    layers: list[dict[str, Array]]
    log_rate: Float[Array, ""]
    gate: Array
    nothing: None
    squash: Any
    sizes: tuple[int, ...] = eqx.field(static=True)
    names: tuple[tuple[str, float], ...] = eqx.field(static=True)
    label: str | None = eqx.field(static=True)

    def __init__(
        self,
        sizes: tuple[int, ...] = (2, 3),
        names: tuple[tuple[str, float], ...] = (("a", 0.1), ("b", 1e-7)),
        label: str | None = None,
        *,
        key: Key[Array, ""],
    ) -> None:
        self.sizes, self.names, self.label = sizes, names, label
        keys = jax.random.split(key, len(sizes))
        self.layers = [
            {"weight": jax.random.normal(k, (n, 2)), "bias": jnp.zeros(n, jnp.bfloat16)}
            for k, n in zip(keys, sizes, strict=True)
        ]
        self.log_rate = jnp.float32(-3.0)
        self.gate = jnp.array([True, False])
        self.nothing, self.squash = None, jnp.tanh

    def transformation(
        self, initial_learning_rate: InitialLearningRate = DEFAULT_LEARNING_RATE
    ) -> optax.GradientTransformationExtraArgs:
        rate = jnp.exp(self.log_rate) * initial_learning_rate
        return optax.with_extra_args_support(optax.scale(-rate))

    @classmethod
    def examples(cls) -> Sequence["ScaledDescent"]:
        return [cls(key=jax.random.key(0))]
