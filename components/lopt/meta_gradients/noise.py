"""Normal noise for evolution strategies: at each meta-step a number a problem and meta-param."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

Words = UInt32[Array, " half"]

# Threefry-2x32 with 20 rounds: Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405.
PARITY = np.uint32(0x1BD11BDA)
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
KEYS_ADDED = 5


def standard_normal(key: Key[Array, ""], size: int) -> Float[Array, " size"]:
    """Draw float32 numbers from the standard normal distribution.

    What `jax.random.normal` does, but both words that the generator gives for a count are
    used, where JAX makes one of the two: half the work, of which evolution strategies have much.

    **Example**

    ```python
    noise = standard_normal(jax.random.key(0), 8349)
    ```
    """
    words = jnp.concatenate(random_words(key, (size + 1) // 2))[:size]
    # 23 bits, in the middle between two of their 2^23 values, so that neither 0 nor 1 comes.
    uniform = ((words >> np.uint32(9)).astype(jnp.float32) + 0.5) * np.float32(2.0**-23)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(2 * uniform - 1)


def random_words(key: Key[Array, ""], half: int) -> tuple[Words, Words]:
    """Return twice `half` random words, the very ones of `jax.extend.random.threefry_2x32`.

    Its rounds are written out. JAX has a CPU go through them in a loop, whose steps read and
    write all words in memory: a fifth of a meta-step of evolution strategies on small problems.

    **Example**

    ```python
    first, second = random_words(jax.random.key(0), 4175)
    ```
    """
    one, other = jax.random.key_data(key)
    keys = (one, other, one ^ other ^ PARITY)
    first = jnp.arange(half, dtype=jnp.uint32) + one
    second = jnp.arange(half, 2 * half, dtype=jnp.uint32) + other
    for number in range(KEYS_ADDED):
        for distance in ROTATIONS[number % 2]:
            first = first + second
            second = _rotated(second, distance) ^ first
        first = first + keys[(number + 1) % 3]
        second = second + keys[(number + 2) % 3] + np.uint32(number + 1)
    return first, second


def _rotated(words: Words, distance: int) -> Words:
    return (words << np.uint32(distance)) | (words >> np.uint32(32 - distance))
