"""Problems without their random constants, for whoever draws these anew before they are used."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key

from lopt.inlining import Atom, Inlined, inlined, needed, read
from lopt.problems.base import Problem


def with_blank_constants(make: Callable[[Key[Array, ""]], Problem], key: Key[Array, ""]) -> Problem:
    """Return `make(key)` as NumPy arrays, with zeros for what `Problem.draw` does not look at.

    The other leaves have the bits that `make` gives them. Hundreds of small programs are compiled
    for the random constants of a large ensemble, one for each operation and shape: half a minute
    on one core, for numbers of which meta-training draws its own. `make` can be traced, and none
    of its leaves is a PRNG key.

    **Example**

    ```python
    blank = with_blank_constants(lambda key: Quadratic(dimensions=20, key=key), jax.random.key(0))
    assert not blank.matrix.any()
    problem = blank.draw(jax.random.key(1))
    ```
    """
    closed, form = jax.make_jaxpr(make, return_shape=True)(key)
    forms, structure = jax.tree.flatten(form)
    # Calls are kept, so that what is wanted is rounded as ever.
    made = inlined(closed, with_calls=True)
    wanted = _looked_at(form)
    atoms = [atom for atom, is_wanted in zip(made.outputs, wanted, strict=True) if is_wanted]
    known = iter(_computed(made, atoms, [*closed.consts, key]))
    leaves = [
        np.asarray(next(known), leaf.dtype) if is_wanted else np.zeros(leaf.shape, leaf.dtype)
        for leaf, is_wanted in zip(forms, wanted, strict=True)
    ]
    problem: Problem = jax.tree.unflatten(structure, leaves)
    return problem


def _looked_at(problem: Problem) -> list[bool]:
    """Tell of each leaf whether what is drawn anew depends on it."""
    forms, structure = jax.tree.flatten(problem)

    def draw(leaves: Sequence[Any], key: Key[Array, ""]) -> Problem:
        old: Problem = jax.tree.unflatten(structure, leaves)
        return old.draw(key)

    closed = jax.make_jaxpr(draw)(forms, jax.random.key(0))
    drawn = inlined(closed)
    makers = needed(drawn.equations, drawn.outputs, ())
    looked_at = {atom for atom in drawn.outputs if isinstance(atom, int)}
    looked_at = looked_at.union(*(equation.numbers for equation in makers))
    first = len(closed.consts)
    return [first + place in looked_at for place in range(len(forms))]


def _computed(function: Inlined, wanted: Sequence[Atom], arguments: Sequence[Any]) -> list[Any]:
    values = dict(enumerate(arguments))
    for equation in needed(function.equations, wanted, ()):
        values |= equation.run(values)
    return read(wanted, values)
