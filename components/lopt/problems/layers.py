"""Layers of a small classifier: how they begin and what they lose. PAPER.md section 5.2."""

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from lopt.problems.base import Batch, Params
from lopt.problems.initial_weights import standard_normals
from lopt.problems.losses import cross_entropy

INIT_SCALE = 1.2
L2_PENALTY = 1e-3


def init_layers(key: Key[Array, ""], widths: Sequence[int]) -> Params:
    """Draw a (weights, bias) for each pair of neighbouring widths.

    Gaussian with standard deviation `1.2 / sqrt(shape[0])`, biases too, as in the paper's code.

    **Example**

    ```python
    layers = init_layers(jax.random.key(0), widths=(8, 5, 2))
    ```
    """
    shapes = [shape for pair in itertools.pairwise(widths) for shape in (pair, pair[1:])]
    tensors = [
        INIT_SCALE / math.sqrt(normal.shape[0]) * normal for normal in standard_normals(key, shapes)
    ]
    return tuple(zip(tensors[::2], tensors[1::2], strict=True))


def classification_loss(
    layers: Params, batch: Batch, activation: Callable[[Array], Array]
) -> Float[Array, ""]:
    """Return the penalized cross-entropy of a network with `activation` between its layers.

    The paper's code looks at the first of two logits only and can have no more than two
    classes (PAPER.md section 9, items 15 and 19).

    **Example**

    ```python
    loss = classification_loss(layers, (inputs, labels), jax.nn.relu)
    ```
    """
    units, labels = batch
    for weights, bias in layers[:-1]:
        units = activation(units @ weights + bias[None, :])
    weights, bias = layers[-1]
    logits = units @ weights + bias[None, :]
    return penalized_cross_entropy(logits, labels, layers)


def penalized_cross_entropy(
    logits: Float[Array, "samples classes"], labels: Int[Array, " samples"], params: Params
) -> Float[Array, ""]:
    """Return the mean cross-entropy of the softmax plus 1e-3 times the mean squared norm.

    The mean of the norms is over the tensors of `params`.

    **Example**

    ```python
    loss = penalized_cross_entropy(inputs @ weights, labels, (weights,))
    ```
    """
    norms = jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params)])
    return L2_PENALTY * jnp.mean(norms) + cross_entropy(logits, labels)
