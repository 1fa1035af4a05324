"""Normal noise for evolution strategies: at each meta-step a number a problem and meta-param."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key


def standard_normal(key: Key[Array, ""], size: int) -> Float[Array, " size"]:
    """Draw float32 numbers from the standard normal distribution.

    What `jax.random.normal` does, but both words that the generator gives for a count are
    used, where JAX makes one of the two: half the work, of which evolution strategies have much.

    **Example**

    ```python
    noise = standard_normal(jax.random.key(0), 8349)
    ```
    """
    counts = jnp.arange(size + size % 2, dtype=jnp.uint32)
    words = jax.extend.random.threefry_2x32(jax.random.key_data(key), counts)[:size]
    # 23 bits, in the middle between two of their 2^23 values, so that neither 0 nor 1 comes.
    uniform = ((words >> np.uint32(9)).astype(jnp.float32) + 0.5) * np.float32(2.0**-23)
    return np.float32(np.sqrt(2)) * jax.lax.erf_inv(2 * uniform - 1)
