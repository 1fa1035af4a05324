"""Tracing once what is asked for its form and then run."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

Given = TypeVar("Given")
Result = TypeVar("Result")


def traced_once(
    function: Callable[[Given], Result],
    argument: Given,
    runnable: Callable[[ClosedJaxpr], Callable[..., Any]] = jaxpr_as_fun,
) -> tuple[Callable[[Given], Result], Result]:
    """Return `function` as it was traced with `argument`, and the form of its result.

    `jax.eval_shape` traces it for nothing but the form. A meta-step takes seconds to trace, which
    is what a person waits for where its program is on disk already. `runnable` makes what is run
    of what was traced, of flat arguments and results.

    **Example**

    ```python
    double, form = traced_once(lambda x: 2 * x, jnp.ones(3))
    form.shape  # (3,)
    double(jnp.ones(3))
    ```
    """
    closed, form = jax.make_jaxpr(function, return_shape=True)(argument)
    run = runnable(closed)
    structure = jax.tree.structure(form)

    def traced(argument: Given) -> Result:
        result: Result = jax.tree.unflatten(structure, run(*jax.tree.leaves(argument)))
        return result

    return traced, form
