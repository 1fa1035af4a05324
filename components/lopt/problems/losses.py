"""What networks lose."""

import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "*many classes"], labels: Int[Array, "*many"]
) -> Float[Array, ""]:
    """Return the mean cross-entropy of the softmax in nats, which is never below 0.

    **Example**

    ```python
    loss = cross_entropy(inputs @ weights, labels)
    ```
    """
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
