"""Strings of a language that is drawn from a key, wholly inside traced code."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int32, Key

CONTRAST = 3.0

Strings = Int32[Array, "strings length"]


def generated_strings(key: Key[Array, ""], strings: int, length: int, letters: int) -> Strings:
    """Draw strings whose first half is a Markov chain and whose second half is the first again.

    Letters are numbers below `letters`. The logits of which follows which are normal with
    standard deviation 3, so that a few do. As in text, a part of what comes next is learned
    soon, because the letter before tells it, and a part late, because one has to look back:
    by `length / 2`, rounded up.

    **Example**

    ```python
    strings = generated_strings(jax.random.key(0), strings=128, length=16, letters=12)
    ```
    """
    logits_key, first_key, later_key = jax.random.split(key, 3)
    logits = CONTRAST * jax.random.normal(logits_key, (letters, letters), jnp.float32)
    first = jax.random.randint(first_key, (strings,), 0, letters, jnp.int32)
    half = -(-length // 2)

    def follow(
        letter: Int[Array, " strings"], noise: Float[Array, "strings letters"]
    ) -> tuple[Array, Array]:
        following = jnp.argmax(logits[letter] + noise, axis=1).astype(jnp.int32)
        return following, following

    # The largest of logits with Gumbel noise is a draw from the softmax.
    noise = jax.random.gumbel(later_key, (half - 1, strings, letters), jnp.float32)
    _, later = jax.lax.scan(follow, first, noise)
    written = jnp.concatenate([first[:, None], later.T], axis=1)
    return jnp.concatenate([written, written], axis=1)[:, :length]
