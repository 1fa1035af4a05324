"""Problems whose axes are not those of the params."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lopt.problems.base import Params, Problem
from lopt.problems.quadratics import Quadratic
from lopt.problems.transforms import ChangeOfCoordinates

MOST_SCALARS = 2048


class RandomRotation(ChangeOfCoordinates):
    """The inner problem with each tensor of its params turned by a random rotation.

    `inner_params = rotation @ params` for each tensor as a vector, with a rotation of uniform
    (Haar) distribution: what is special about the axes, and with it the advantage of a scale
    for each parameter, is gone. Rotations are leaves, `[scalars, scalars]` for each tensor,
    and `draw` draws them anew.

    Raises `ValueError` for a tensor of more than 2048 scalars, whose rotation would be too
    large, and for padding, which would be mixed with the params.

    **Example**

    ```python
    problem = RandomRotation(Bowl(condition_number=5.0), key=key)
    ```
    """

    rotations: Params

    def __init__(self, inner: Problem, *, key: Key[Array, ""]) -> None:
        _check_no_padding(inner)
        self.inner = inner
        self.rotations = _rotations(inner, key)

    def to_inner(self, params: Params) -> Params:
        return jax.tree.map(_turned, self.rotations, params)

    def from_inner(self, params: Params) -> Params:
        back = jax.tree.map(jnp.transpose, self.rotations)
        return jax.tree.map(_turned, back, params)

    def draw(self, key: Key[Array, ""]) -> Problem:
        inner_key, own_key = jax.random.split(key)
        inner = self.inner.draw(inner_key)
        drawn: Problem = eqx.tree_at(
            lambda outer: (outer.inner, outer.rotations), self, (inner, _rotations(inner, own_key))
        )
        return drawn

    @classmethod
    def examples(cls) -> Sequence[Problem]:
        key = jax.random.key(0)
        return [cls(Quadratic(dimensions=3, key=key), key=key)]


def random_rotation(key: Key[Array, ""], dimensions: int) -> Float[Array, "dimensions dimensions"]:
    """Draw an orthogonal matrix of determinant 1, all of them equally likely.

    The QR decomposition of a Gaussian matrix is that if the diagonal of R is made positive
    (Mezzadri 2007, https://arxiv.org/abs/math-ph/0609050) and, for the determinant, one
    column is turned round where needed.

    **Example**

    ```python
    rotation = random_rotation(jax.random.key(0), 3)
    ```
    """
    normal = jax.random.normal(key, (dimensions, dimensions), jnp.float32)
    orthogonal, triangular = jnp.linalg.qr(normal)
    signs = jnp.where(jnp.diagonal(triangular) < 0, -1.0, 1.0)
    orthogonal = orthogonal * signs[None, :]
    determinant, _ = jnp.linalg.slogdet(orthogonal)
    return orthogonal.at[:, 0].multiply(determinant)


def _turned(rotation: Array, tensor: Array) -> Array:
    # At full precision: some accelerators round what they multiply, and length would not be kept.
    vector = tensor.reshape(-1)
    turned = jnp.matmul(rotation.astype(tensor.dtype), vector, precision="highest")
    return turned.reshape(tensor.shape)


def _rotations(inner: Problem, key: Key[Array, ""]) -> Params:
    shapes = jax.eval_shape(lambda: inner.init(key))
    leaves, structure = jax.tree.flatten(shapes)
    for leaf in leaves:
        if leaf.size > MOST_SCALARS:
            raise ValueError(
                f"A tensor of {type(inner).__name__} has {leaf.size} scalars, and its rotation the "
                f"square of that: rotate problems whose tensors have at most {MOST_SCALARS}."
            )
    keys = jax.random.split(key, len(leaves))
    rotations = [random_rotation(keys[index], leaf.size) for index, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, rotations)


def _check_no_padding(inner: Problem) -> None:
    if inner.valid() is not None:
        raise ValueError(
            f"{type(inner).__name__} has padding, which a rotation would mix with the params: "
            f"rotate a problem of exactly the wanted size."
        )
