"""A loss and what meta-training takes of it."""

from typing import Any

import jax


@jax.jit
def loss_and_derivatives(problem: Any, params: Any) -> tuple[Any, Any, Any]:
    """The loss over all data, its gradient, and the Hessian times the gradient."""

    def loss(params: Any) -> Any:
        return problem.loss(params, problem.full_batch(), jax.random.key(0))

    gradient = jax.grad(loss)(params)
    return loss(params), gradient, jax.jvp(jax.grad(loss), (params,), (gradient,))[1]
