"""Where the losses of an optimizer are measured, which is not always where its gradients are."""

import jax
import optax

from lopt.architectures.base import eval_params
from lopt.problems.base import Params


def measured_params(opt_state: optax.OptState, params: Params) -> Params:
    """Return the params to measure at: theta of ours, the average of a schedule-free one.

    The params themselves for all other optimizers. A schedule-free state is found inside
    `optax.chain` and other transformations of all params; optax raises `ValueError` if it is
    one of some of them only, as inside `optax.masked`.

    **Example**

    ```python
    loss = problem.loss(measured_params(opt_state, params), problem.full_batch(), key)
    ```
    """
    for node in jax.tree.leaves(opt_state, is_leaf=_is_schedule_free):
        if _is_schedule_free(node):
            averaged: Params = optax.contrib.schedule_free_eval_params(node, params)
            return averaged
    return eval_params(opt_state, params)


def _is_schedule_free(node: object) -> bool:
    return isinstance(node, optax.contrib.ScheduleFreeState)
