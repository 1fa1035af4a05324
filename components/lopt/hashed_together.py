"""A traced function whose random words are hashed by few operations instead of many.

On a processor JAX writes a loop of some ten operations for every split of keys and for every draw,
be it of two words or of thousands: a third of what there was to compile for a meta-step (LOG.md,
2026-11-29). Words whose keys are known at the same time can be hashed by one such loop, for a pair
of them depends on its key and its number alone.
https://docs.jax.dev/en/latest/jep/263-prng.html
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr
from jax.extend.random import threefry2x32_p
from jaxtyping import Array, UInt32

from lopt.inlining import Equation, inlined, read

Words = UInt32[Array, " words"]

SPLIT, BITS, FOLD_IN = "random_split", "random_bits", "random_fold_in"
"""JAX's names of what hashes words."""
THREEFRY = "threefry2x32"
"""The generator whose words these are: JAX's own, unless someone says otherwise."""
KEYS = "key<fry>"
"""The dtype of its keys."""
MANY = 1 << 17
"""More pairs of words than these are worth a loop of their own."""


def hashed_together(closed: ClosedJaxpr) -> Callable[..., list[Any]]:
    """Return a traced function to be called, which hashes together what it can at each time.

    Bit for bit the same function. Draws of very many words, of other than 32 bits or by other
    generators than JAX's own have operations of their own, as before.

    **Example**

    ```python
    closed = jax.make_jaxpr(lambda key: jax.random.normal(key) + jax.random.normal(key, 3))(key)
    (numbers,) = hashed_together(closed)(key)
    ```
    """
    program = inlined(closed)

    def run(*arguments: Any) -> list[Any]:
        values = dict(enumerate([*closed.consts, *arguments]))
        waiting = program.equations
        while waiting:
            later, hashes = list[Equation](), list[Equation]()
            held = False
            for equation in waiting:
                acts = bool(equation.eqn.effects)
                # What has effects has them in the order in which it was written.
                if (acts and held) or not equation.numbers <= values.keys():
                    later.append(equation)
                    held = held or acts
                elif pair_count(equation) is not None:
                    hashes.append(equation)
                else:
                    values |= equation.run(values)
            _hash(hashes, values)
            waiting = later
        return read(program.outputs, values)

    return run


def pair_count(equation: Equation) -> int | None:
    """Count the pairs of words that an equation hashes; `None` if it hashes none with others.

    **Example**

    ```python
    closed = jax.make_jaxpr(jax.random.split)(jax.random.key(0))
    pair_count(inlined(closed).equations[0])  # 2
    ```
    """
    name = equation.eqn.primitive.name
    # As it was traced, whatever holds when it is run.
    if name not in (SPLIT, BITS, FOLD_IN) or not equation.eqn.ctx.threefry_partitionable:
        return None
    if str(equation.read_forms[0].dtype) != KEYS:
        return None
    if name == BITS and equation.eqn.params["bit_width"] != 32:
        return None
    count = math.prod(equation.forms[0].shape)
    return count if count <= MANY else None


def _hash(equations: Sequence[Equation], values: dict[int, Any]) -> None:
    """Do what these equations do, and add what they write to the values."""
    if len(equations) < 2:
        values |= equations[0].run(values) if equations else {}
        return
    parts = [_part(equation, read(equation.reads, values)) for equation in equations]
    keys, counts = (jnp.concatenate(every) for every in zip(*parts, strict=True))
    words = threefry2x32_p.bind(keys[:, 0], keys[:, 1], jnp.zeros_like(counts), counts)
    begin = 0
    for equation, part in zip(equations, parts, strict=True):
        end = begin + part.counts.size
        values[equation.writes[0]] = _made(equation, *(word[begin:end] for word in words))
        begin = end


class _Part(NamedTuple):
    """What one equation gives to a hash: of each pair of words the key, and which it is of it."""

    keys: UInt32[Array, "pairs 2"]
    counts: Words


def _part(equation: Equation, reads: Sequence[Any]) -> _Part:
    shape = equation.forms[0].shape
    keys = jax.random.key_data(reads[0])
    own = shape[keys.ndim - 1 :]
    if equation.eqn.primitive.name == FOLD_IN:
        counts = reads[1].astype(jnp.uint32)
    else:
        counts = jnp.arange(math.prod(own), dtype=jnp.uint32).reshape(own)
    keys = keys.reshape(*keys.shape[:-1], *(1 for _ in own), 2)
    return _Part(
        jnp.broadcast_to(keys, (*shape, 2)).reshape(-1, 2),
        jnp.broadcast_to(counts, shape).reshape(-1),
    )


def _made(equation: Equation, first: Words, second: Words) -> Any:
    """Return what an equation makes of both words of all its pairs."""
    shape = equation.forms[0].shape
    if equation.eqn.primitive.name == BITS:
        return (first ^ second).reshape(shape)
    return jax.random.wrap_key_data(
        jnp.stack([first.reshape(shape), second.reshape(shape)], axis=-1), impl=THREEFRY
    )
