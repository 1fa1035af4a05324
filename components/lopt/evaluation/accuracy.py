"""What is measured of a network that classifies images, at the end of its training."""

from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from lopt.evaluation.target import Better
from lopt.problems.losses import cross_entropy

Images = Float[Array, "images height width channels"]

BETTER: Mapping[str, Better] = {
    "training_accuracy": "higher",
    "test_loss": "lower",
    "test_accuracy": "higher",
}


def accuracies(
    logits_of: Callable[[Images], Float[Array, "images classes"]],
    training: tuple[Float[Array, "seen height width channels"], Int32[Array, " seen"]],
    test: tuple[Float[Array, "others height width channels"], Int32[Array, " others"]],
) -> dict[str, Float[Array, ""]]:
    """Return the accuracy on training images, and loss and accuracy on test images.

    The network looks at both in one pass: a program with two takes longer to compile.

    **Example**

    ```python
    accuracies(jax.vmap(network), problem.full_batch(), (images, labels))["test_accuracy"]
    ```
    """
    (seen, known), (images, labels) = training, test
    logits = logits_of(jnp.concatenate([seen, images]))
    right = jnp.argmax(logits, axis=-1).astype(jnp.int32) == jnp.concatenate([known, labels])
    first = known.shape[0]
    return {
        "training_accuracy": right[:first].mean(dtype=jnp.float32),
        "test_loss": cross_entropy(logits[first:], labels),
        "test_accuracy": right[first:].mean(dtype=jnp.float32),
    }
