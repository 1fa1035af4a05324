"""Problems whose loss is a quadratic form of the params: PAPER.md section 5.2."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar, whole
from lopt.problems.base import Batch, Params, Problem


class Quadratic(Problem):
    """Half the squared distance of `matrix @ params` from `target`, all Gaussian.

    The well-behaved convex problem of the ensemble: its coupling is random, its least value
    is 0 almost surely, its condition number is heavy-tailed. Params: float32
    `[dimensions, 1]`. `Quadratic` of Wichrowska et al. 2017's code.

    **Example**

    ```python
    problem = Quadratic(dimensions=20, key=jax.random.key(0))
    ```
    """

    matrix: Float[Array, "dimensions dimensions"]
    target: Float[Array, "dimensions 1"]

    def __init__(self, *, dimensions: int, key: Key[Array, ""]) -> None:
        size = whole("dimensions", dimensions, at_least=1)
        matrix_key, target_key = jax.random.split(key)
        self.matrix = jax.random.normal(matrix_key, (size, size), jnp.float32)
        self.target = jax.random.normal(target_key, (size, 1), jnp.float32)

    def init(self, key: Key[Array, ""]) -> Params:
        return jax.random.normal(key, self.target.shape, jnp.float32)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        return 0.5 * jnp.sum(jnp.square(self.matrix @ params - self.target))

    def draw(self, key: Key[Array, ""]) -> "Quadratic":
        return Quadratic(dimensions=self.target.shape[-2], key=key)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(dimensions=size, key=jax.random.key(size)) for size in (1, 4)]


class Bowl(Problem):
    """A quadratic in the plane with a chosen condition number, turned by an angle.

    Separates how an optimizer deals with ill conditioning from whether the axes of the bowl
    are those of the params, the only ones a per-parameter scale can act on. Its least value
    is 0. Params: float32 `[2, 1]`; `angle` in radians, counter-clockwise. Bowls that differ
    in their arguments share one program. `Bowl` of Wichrowska et al. 2017's code.

    **Example**

    ```python
    problem = Bowl(condition_number=5.0, angle=math.pi / 4)
    ```
    """

    condition_number: Float[Array, ""]
    angle: Float[Array, ""]

    def __init__(self, *, condition_number: float, angle: float = 0.0) -> None:
        self.condition_number = scalar("condition_number", condition_number, above=0.0)
        self.angle = scalar("angle", angle)

    def init(self, key: Key[Array, ""]) -> Params:
        return jax.random.normal(key, (2, 1), jnp.float32)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        cosine, sine = jnp.cos(self.angle), jnp.sin(self.angle)
        along = cosine * params[0, 0] - sine * params[1, 0]
        across = sine * params[0, 0] + cosine * params[1, 0]
        return 0.5 * (self.condition_number * jnp.square(along) + jnp.square(across))

    def draw(self, key: Key[Array, ""]) -> "Bowl":
        del key
        return self

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(condition_number=0.1), cls(condition_number=5.0, angle=math.pi / 4)]
