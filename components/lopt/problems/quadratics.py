"""Problems whose loss is a quadratic form of the params: PAPER.md section 5.2."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.arguments import scalar
from lopt.problems.base import Batch, Params, Problem
from lopt.problems.padding import Size


class Quadratic(Problem):
    """Half the squared distance of `matrix @ params` from `target`, all Gaussian.

    The well-behaved convex problem of the ensemble: its coupling is random, its least value
    is 0 almost surely, its condition number is heavy-tailed. Params: float32
    `[dimensions, 1]`, or `[padded_to, 1]` where quadratics of up to `padded_to` dimensions
    are to share one program; 0 means no padding. `Quadratic` of Wichrowska et al. 2017's code.

    **Example**

    ```python
    problem = Quadratic(dimensions=20, key=jax.random.key(0))
    ```
    """

    matrix: Float[Array, "room room"]
    target: Float[Array, "room 1"]
    size: Size

    def __init__(self, *, dimensions: int, padded_to: int = 0, key: Key[Array, ""]) -> None:
        self.size = Size("dimensions", dimensions, padded_to)
        self.matrix, self.target = gaussian_system(key, self.size)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, self.target.shape, jnp.float32), 0)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        return 0.5 * jnp.sum(jnp.square(self.matrix @ params - self.target))

    def draw(self, key: Key[Array, ""]) -> "Quadratic":
        system = gaussian_system(key, self.size)
        redrawn: Quadratic = eqx.tree_at(lambda one: (one.matrix, one.target), self, system)
        return redrawn

    def valid(self) -> Params | None:
        return self.size.valid(self.target.shape, 0)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        sizes = [(4, 0), (3, 5)]
        key = jax.random.key(0)
        return [cls(dimensions=size, padded_to=room, key=key) for size, room in sizes]


def gaussian_system(
    key: Key[Array, ""], size: Size
) -> tuple[Float[Array, "room room"], Float[Array, "room 1"]]:
    """Draw a matrix and a target, both standard normal, with zeros for padding.

    A row and a column of zeros keep padding out of `matrix @ params - target` and its gradient.

    **Example**

    ```python
    matrix, target = gaussian_system(jax.random.key(0), Size("dimensions", 20))
    ```
    """
    matrix_key, target_key = jax.random.split(key)
    matrix = jax.random.normal(matrix_key, (size.room, size.room), jnp.float32)
    target = jax.random.normal(target_key, (size.room, 1), jnp.float32)
    return size.only_real(size.only_real(matrix, 0), 1), size.only_real(target, 0)


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


class IsotropicQuadratic(Problem):
    """The squared length of the params: the easiest problem there is.

    Nothing is coupled and nothing is drawn but where trajectories begin. Params: float32
    `[dimensions, 1]`, or `[padded_to, 1]` where several sizes are to share one program. In no
    set of the paper's code, where it has the same name.

    **Example**

    ```python
    problem = IsotropicQuadratic(dimensions=20)
    ```
    """

    size: Size

    def __init__(self, *, dimensions: int, padded_to: int = 0) -> None:
        self.size = Size("dimensions", dimensions, padded_to)

    def init(self, key: Key[Array, ""]) -> Params:
        return self.size.only_real(jax.random.normal(key, (self.size.room, 1), jnp.float32), 0)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        return jnp.sum(jnp.square(self.size.only_real(params, 0)))

    def draw(self, key: Key[Array, ""]) -> "IsotropicQuadratic":
        del key
        return self

    def valid(self) -> Params | None:
        return self.size.valid((self.size.room, 1), 0)

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls(dimensions=3, padded_to=5)]


class Saddle(Problem):
    """`x^2 - y^2`: steep to nowhere on one axis, downhill without end on the other.

    For looking at optimizers, not for training them: it has no least value, and the
    meta-loss takes a logarithm. Params: float32 `[2]`. In no set of the paper's code.

    **Example**

    ```python
    problem = Saddle()
    ```
    """

    @property
    def nonnegative(self) -> bool:
        return False

    def init(self, key: Key[Array, ""]) -> Params:
        return jax.random.normal(key, (2,), jnp.float32)

    def loss(self, params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        del batch, key
        squares = jnp.square(params)
        return jnp.subtract(squares[0], squares[1])

    def draw(self, key: Key[Array, ""]) -> "Saddle":
        del key
        return self

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        return [cls()]
