"""Problems whose loss is that of another problem, but whose gradients are worse."""

from abc import abstractmethod
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Params, Problem
from lopt.problems.quadratics import Bowl, Quadratic
from lopt.problems.transforms import Transform


class GradientTransform(Transform):
    """The inner problem, with every tensor of its gradients changed at random.

    Every tensor gets its own key. The inner problem's own change comes first.

    **Example**

    ```python
    shown = problem.perturb_gradient(gradient, key)
    ```
    """

    @abstractmethod
    def perturb_tensor(self, gradient: Array, key: Key[Array, ""]) -> Array:
        """Return the tensor that the optimizer is shown, of the same shape and dtype."""

    def perturb_gradient(self, gradient: Params, key: Key[Array, ""]) -> Params:
        inner_key, own_key = jax.random.split(key)
        inner_gradient = self.inner.perturb_gradient(gradient, inner_key)
        leaves, structure = jax.tree.flatten(inner_gradient)
        keys = jax.random.split(own_key, len(leaves))
        perturbed = [self.perturb_tensor(leaf, keys[i]) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, perturbed)


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

    def perturb_tensor(self, gradient: Array, key: Key[Array, ""]) -> Array:
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

    def perturb_tensor(self, gradient: Array, key: Key[Array, ""]) -> Array:
        is_kept = jax.random.uniform(key, gradient.shape, jnp.float32) >= self.probability
        return jnp.where(is_kept, gradient, jnp.zeros_like(gradient))

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        noisy = GradientNoise(Bowl(condition_number=5.0), std=0.1)
        quadratic = Quadratic(dimensions=3, key=jax.random.key(0))
        return [cls(quadratic, probability=0.5), cls(noisy, probability=0.0)]
