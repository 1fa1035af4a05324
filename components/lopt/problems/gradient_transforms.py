"""Problems whose loss is that of another problem, but whose gradients are worse."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Params, Problem
from lopt.problems.quadratics import Bowl, Quadratic
from lopt.problems.transforms import Transform

Vector: TypeAlias = Float[Array, "scalars"]


class GradientTransform(Transform):
    """The inner problem, with every entry of its gradients changed at random.

    All tensors are changed as one vector, because each draw from a key would be code of its
    own in the compiled program. The inner problem's own change comes first.

    **Example**

    ```python
    shown = problem.perturb_gradient(gradient, key)
    ```
    """

    @abstractmethod
    def perturb_vector(self, gradient: Vector, key: Key[Array, ""]) -> Vector:
        """Return what the optimizer is shown of all entries, of the same dtype."""

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        inner_key, own_key = jax.random.split(key)
        inner_gradient = self.inner.perturb_gradient(gradient, inner_key)
        vector, with_shapes = ravel_pytree(inner_gradient)
        perturbed: Params = with_shapes(self.perturb_vector(vector, own_key))
        return perturbed


class GradientNoise(GradientTransform):
    """The inner problem with Gaussian noise on every gradient, drawn anew at each step.

    Teaches the optimizer to average. The loss itself stays free of noise. `std` may be 0, so
    that noisy and noise-free entries share one program.

    **Example**

    ```python
    problem = GradientNoise(Quadratic(dimensions=20, key=key), std=0.5)
    ```
    """

    std: Float[Array, ""]

    def __init__(self, inner: Problem, *, std: float) -> None:
        self.inner = inner
        self.std = scalar("std", std, at_least=0.0)

    def perturb_vector(self, gradient: Vector, key: Key[Array, ""]) -> Vector:
        noise = jax.random.normal(key, gradient.shape, gradient.dtype)
        return gradient + self.std.astype(gradient.dtype) * noise

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, std=0.5), cls(Bowl(condition_number=5.0), std=0.0)]


class SparseGradient(GradientTransform):
    """The inner problem with most entries of every gradient set to 0, drawn at each step.

    Stands for embeddings and rare features, whose params see a gradient now and then.
    `probability` is that of an entry to be set to 0, 0 included; the others stay as they are,
    inner noise too. Unlike the paper's code, trajectories begin where the inner problem says.

    **Example**

    ```python
    problem = SparseGradient(Quadratic(dimensions=20, key=key), probability=0.99)
    ```
    """

    probability: Float[Array, ""]

    def __init__(self, inner: Problem, *, probability: float = 0.99) -> None:
        self.inner = inner
        self.probability = scalar("probability", probability, at_least=0.0, below=1.0)

    def perturb_vector(self, gradient: Vector, key: Key[Array, ""]) -> Vector:
        is_kept = jax.random.uniform(key, gradient.shape, jnp.float32) >= self.probability
        return jnp.where(is_kept, gradient, jnp.zeros_like(gradient))

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        noisy = GradientNoise(Bowl(condition_number=5.0), std=0.1)
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, probability=0.5), cls(noisy, probability=0.0)]
