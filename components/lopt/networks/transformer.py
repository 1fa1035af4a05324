"""A small transformer that reads an image row by row."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Tokens = Float[Array, "tokens width"]


class Transformer(eqx.Module):
    """A classifier of sequences of pixels: each row of the image is a token.

    Learned positions, blocks of attention and a perceptron with normalization before either
    (Xiong et al. 2020, https://arxiv.org/abs/2002.04745), and a read-out of the mean over the
    tokens. No dropout, so that the loss is free of noise. Everything begins as in Equinox, but
    the positions by a standard deviation of 0.02.

    Raises `ValueError` unless `heads` divides `width`.

    **Example**

    ```python
    network = Transformer((28, 28, 1), classes=10, width=32, heads=4, blocks=2, key=key)
    logits = network(image)
    ```
    """

    embedding: eqx.nn.Linear
    positions: Float[Array, "tokens width"]
    blocks: tuple["Block", ...]
    last_norm: eqx.nn.LayerNorm
    readout: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        width: int = 32,
        heads: int = 4,
        blocks: int = 2,
        key: Key[Array, ""],
    ) -> None:
        if width % heads:
            raise ValueError(
                f"A transformer divides its width among its heads, but {heads} heads do not "
                f"divide a width of {width}."
            )
        rows, columns, channels = shape
        embedding_key, position_key, readout_key, *keys = jax.random.split(key, 3 + blocks)
        self.embedding = eqx.nn.Linear(columns * channels, width, key=embedding_key)
        self.positions = 0.02 * jax.random.normal(position_key, (rows, width), jnp.float32)
        self.blocks = tuple(Block(width, heads, key=block_key) for block_key in keys)
        self.last_norm = eqx.nn.LayerNorm(width)
        self.readout = eqx.nn.Linear(width, classes, key=readout_key)

    def __call__(self, image: Float[Array, "height width channels"]) -> Float[Array, " classes"]:
        tokens = jax.vmap(self.embedding)(image.reshape(image.shape[0], -1)) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.readout(jax.vmap(self.last_norm)(tokens).mean(axis=0))


class Block(eqx.Module):
    """Attention among all tokens, then a perceptron four times as wide for each.

    **Example**

    ```python
    tokens = Block(width=32, heads=4, key=jax.random.key(0))(tokens)
    ```
    """

    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    queries_keys_values: eqx.nn.Linear
    mixed: eqx.nn.Linear
    perceptron: tuple[eqx.nn.Linear, eqx.nn.Linear]
    heads: int = eqx.field(static=True)

    def __init__(self, width: int, heads: int, *, key: Key[Array, ""]) -> None:
        first, second, third, fourth = jax.random.split(key, 4)
        self.norms = (eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width))
        self.queries_keys_values = eqx.nn.Linear(width, 3 * width, use_bias=False, key=first)
        self.mixed = eqx.nn.Linear(width, width, use_bias=False, key=second)
        self.perceptron = (
            eqx.nn.Linear(width, 4 * width, key=third),
            eqx.nn.Linear(4 * width, width, key=fourth),
        )
        self.heads = heads

    def __call__(self, tokens: Tokens) -> Tokens:
        before_attention, before_perceptron = self.norms
        wide, narrow = self.perceptron
        projected = jax.vmap(self.queries_keys_values)(jax.vmap(before_attention)(tokens))
        by_head = projected.reshape(tokens.shape[0], 3, self.heads, -1)
        attended = jax.nn.dot_product_attention(by_head[:, 0], by_head[:, 1], by_head[:, 2])
        tokens = tokens + jax.vmap(self.mixed)(attended.reshape(tokens.shape))
        units = jax.nn.gelu(jax.vmap(wide)(jax.vmap(before_perceptron)(tokens)))
        return tokens + jax.vmap(narrow)(units)
