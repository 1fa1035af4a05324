"""What the parameter RNN is shown of the gradient: PAPER.md section 2, equations (1) to (4).

All arrays are features first: `[scales, n]` for `n` scalars of a block. Epsilons are those
of the released code (PAPER.md section 3.6).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

LARGEST_GRADIENT = 1e15
"""Beyond it squares overflow float32; larger gradients are cut to it."""


def clean(gradient: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """Return the gradient in float32 with entries that are NaN or infinite set to zero.

    The released code lets them through; one of them would spoil the state for ever.

    **Example**

    ```python
    clean(jnp.array([1.0, jnp.nan]))  # [1, 0]
    ```
    """
    gradient = gradient.astype(jnp.float32)
    bounded = jnp.clip(gradient, -LARGEST_GRADIENT, LARGEST_GRADIENT)
    return jnp.where(jnp.isfinite(gradient), bounded, 0.0)


def timescales(decay: Float[Array, " n"], scales: int) -> Float[Array, "scales n"]:
    """Return decay^(2^-s) for every scale s: each averages over about twice the last one's time.

    The paper's eq. (1); the released code takes square roots of square roots.

    **Example**

    ```python
    timescales(jnp.full((5,), 0.9), scales=4)[:, 0]  # 0.900, 0.949, 0.974, 0.987
    ```
    """
    return _roots(scales, decay)


# Derivatives by hand, here and below: those of the single operations are many times as many
# numbers to be kept at every step of an unroll.
@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _roots(scales: int, decay: Float[Array, " n"]) -> Float[Array, "scales n"]:
    # All rows by one operation: rows put together have a layout that others have to be copied to.
    # The root of 0 has no finite derivative.
    logarithm = jnp.log(jnp.maximum(decay, 1e-12))
    return jnp.exp(_exponents(scales) * logarithm[None])


@_roots.defjvp
def _roots_jvp(scales: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    roots = _roots(scales, *primals)
    inverse = jnp.where(primals[0] > 1e-12, 1 / primals[0], 0.0)
    return roots, _exponents(scales) * roots * (inverse * tangents[0])[None]


def _exponents(scales: int) -> Float[Array, "scales 1"]:
    return jnp.asarray(0.5 ** np.arange(scales), jnp.float32)[:, None]


def average(
    old: Float[Array, "scales n"],
    new: Float[Array, "#scales n"],
    decay: Float[Array, "#scales n"],
    first: Bool[Array, ""],
) -> Float[Array, "scales n"]:
    """Move an exponential average on by one step; the first step sets it to what is new.

    In the released code the decay that begins at 0 has that effect; a switch on the step
    instead keeps the meta-gradient finite (PAPER.md section 3.7).

    **Example**

    ```python
    average(jnp.zeros((4, 5)), jnp.ones((1, 5)), jnp.full((4, 5), 0.9), jnp.array(True))
    ```
    """
    return mixed(jnp.where(first, 0.0, decay), old, new)


@jax.custom_jvp
def mixed(
    kept: Float[Array, " *#shape"], old: Float[Array, " *#shape"], new: Float[Array, " *#shape"]
) -> Float[Array, " *shape"]:
    """Return kept * old + (1 - kept) * new.

    **Example**

    ```python
    mixed(jnp.array(0.9), jnp.zeros(3), jnp.ones(3))  # 0.1
    ```
    """
    return kept * old + (1 - kept) * new


@mixed.defjvp
def _mixed_jvp(
    primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]
) -> tuple[Array, Array]:
    kept, old, new = primals
    by_kept, by_old, by_new = tangents
    return mixed(*primals), (old - new) * by_kept + kept * (by_old - by_new) + by_new


def scaled_momenta(
    momenta: Float[Array, "scales n"], mean_squares: Float[Array, "scales n"], squash: bool
) -> Float[Array, "scales n"]:
    """Return the averages in units of their own root mean square: the paper's eq. (3).

    With `squash` an arsinh follows, which the released code has and the paper has not.

    **Example**

    ```python
    scaled_momenta(jnp.ones((4, 5)), jnp.ones((4, 5)), squash=True)  # arsinh(1) = 0.881
    ```
    """
    scaled = momenta * jax.lax.rsqrt(mean_squares + 1e-16)
    return arsinh(scaled) if squash else scaled


@jax.custom_jvp
def arsinh(x: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """Return the inverse hyperbolic sine of finite numbers, with as many digits as float32 has.

    The compiler's own takes a fifth of an unroll on a CPU, for what no formula of one range
    needs. Beyond 1e19 it is that of half of x.

    **Example**

    ```python
    arsinh(jnp.array([0.0, 1.0]))  # 0.0, 0.881
    ```
    """
    size = jnp.abs(x)
    u = size + size * (size / (1 + jnp.sqrt(size * size + 1)))
    return jnp.copysign(jnp.log1p(u), x)


@arsinh.defjvp
def _arsinh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,) = primals
    return arsinh(x), jax.lax.rsqrt(x * x + 1) * tangents[0]


@jax.custom_jvp
def tanh(x: Float[Array, " *shape"]) -> Float[Array, " *shape"]:
    """Return the hyperbolic tangent.

    **Example**

    ```python
    tanh(jnp.array([0.0, 1.0]))  # 0.0, 0.762
    ```
    """
    return jnp.tanh(x)


@tanh.defjvp
def _tanh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    result = tanh(*primals)
    return result, (1 - result * result) * tangents[0]


def relative_magnitudes(mean_squares: Float[Array, "scales n"]) -> Float[Array, "scales n"]:
    """Return the log mean squares relative to their mean over the scales: the paper's eq. (4).

    **Example**

    ```python
    relative_magnitudes(jnp.ones((4, 5)))  # zeros
    ```
    """
    logarithms = jnp.log(mean_squares + 1e-16)
    return logarithms - logarithms.mean(0, keepdims=True)


def clip_straight_through(
    x: Float[Array, " *shape"], low: float, high: float
) -> Float[Array, " *shape"]:
    """Clip, with the derivative of the identity, so that what is clipped can find back.

    **Example**

    ```python
    jax.grad(lambda x: clip_straight_through(x, -33.0, 33.0))(40.0)  # 1.0
    ```
    """
    # What is added is 0. The other way round, x + (clipped - x), far values would lose all digits.
    return jax.lax.stop_gradient(jnp.clip(x, low, high)) + (x - jax.lax.stop_gradient(x))


def extreme_indicator(log_learning_rate: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return how far log learning rates lie outside [log 1e-6, log 1], signed (off by default).

    **Example**

    ```python
    extreme_indicator(jnp.array([2.0, -1.0]))  # [2, 0]
    ```
    """
    too_large = jax.nn.relu(log_learning_rate)
    return too_large - jax.nn.relu(math.log(1e-6) - log_learning_rate)
