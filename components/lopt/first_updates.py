"""An optimizer as a function from gradients to updates, for tools that know only functions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lopt.architectures.base import LearnedOptimizer
from lopt.architectures.learning_rates import DEFAULT_LEARNING_RATE


class FirstUpdates:
    """What `mlflow.pyfunc.load_model` gives: an optimizer squeezed into one function.

    It is artificial, since an optimizer lives in a training loop; training scripts use
    `lopt.load`. It serves to try a model out and to compare two of them over HTTP.

    **Example**

    ```python
    updates = mlflow.pyfunc.load_model("models:/learned-optimizer@champion").predict(gradients)
    ```
    """

    def __init__(self, optimizer: LearnedOptimizer) -> None:
        self._optimizer = optimizer

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Return the updates for gradients `[steps, scalars]`, in float32, of the same shape.

        The first row is the first update after `init`, the next rows follow it; the scalars
        are one tensor of params, which begin at zero and are updated. `params` may hold
        `initial_learning_rate`.
        """
        gradients = jnp.asarray(np.asarray(model_input), jnp.float32)
        rate = float((params or {}).get("initial_learning_rate", DEFAULT_LEARNING_RATE))
        return np.asarray(_updates(self._optimizer, rate, gradients))


def _updates(optimizer: LearnedOptimizer, rate: float, gradients: jax.Array) -> jax.Array:
    transformation = optimizer.transformation(rate)

    def step(carry: tuple[Any, jax.Array], gradient: jax.Array) -> tuple[Any, jax.Array]:
        opt_state, params = carry
        updates, opt_state = transformation.update(gradient, opt_state, params)
        return (opt_state, params + jnp.asarray(updates)), jnp.asarray(updates)

    params = jnp.zeros(gradients.shape[1:], jnp.float32)
    return jax.lax.scan(step, (transformation.init(params), params), gradients)[1]
