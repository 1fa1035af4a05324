"""What meta-training minimises: one number for the losses along an unroll."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class AverageLogLoss(eqx.Module):
    """The mean logarithm of the loss, relative to the loss at the trajectory's beginning.

    The logarithm rewards exact convergence: each factor of ten counts the same. Wichrowska
    et al. 2017, eq. (14). Losses after steps 1 to T are scored; the released code scores 0
    to T-1, and 0 twice (PAPER.md section 4.1).

    `numerator_epsilon` is the paper's form, log((f + e) / (f0 + e)); without it the released
    code's, log(f / (f0 + e) + e). Losses must not be negative.

    **Example**

    ```python
    meta_loss = AverageLogLoss()(jnp.array([1.0, 0.1]), jnp.array(10.0))
    ```
    """

    epsilon: float = eqx.field(static=True, default=1e-6)
    numerator_epsilon: bool = eqx.field(static=True, default=False)

    def __call__(
        self, losses: Float[Array, " inner_steps"], initial_loss: Float[Array, ""]
    ) -> Float[Array, ""]:
        if self.numerator_epsilon:
            return jnp.log((losses + self.epsilon) / (initial_loss + self.epsilon)).mean()
        return jnp.log(losses / (initial_loss + self.epsilon) + self.epsilon).mean()
