"""What tells one program from another: shapes and static choices, never a value or an address."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from lopt.problems import Problem, RandomRotation, RescaleEach
from lopt.problems.programs import program_digest

KEY = jax.random.key(0)


class NamedParams(Problem):
    """A bowl whose params are a dictionary, as those of many libraries are."""

    sizes: tuple[int, int] = eqx.field(static=True, default=(2, 3))

    def init(self, key):
        slopes, bias = self.sizes
        normal = jax.random.normal(key, (slopes + bias,), jnp.float32)
        return {"slopes": normal[:slopes], "bias": normal[slopes:]}

    def loss(self, params, batch, key):
        del batch, key
        return sum(jnp.sum(jnp.square(leaf)) for leaf in params.values())

    def draw(self, key):
        del key
        return self

    @classmethod
    def examples(cls):
        return [cls()]


class Static(NamedParams):
    """The same with something in a field that fixes code."""

    choice: Any = eqx.field(static=True, default=None)


class Held(NamedParams):
    """The same with leaves of its own."""

    held: Any = None


@pytest.mark.parametrize("transform", [RescaleEach, RandomRotation])
def test_draws_of_a_transform_around_named_params_share_a_program(transform, getkey):
    problem = transform(NamedParams(), key=getkey())
    drawn = problem.draw(getkey())
    leaves = zip(jax.tree.leaves(problem), jax.tree.leaves(drawn), strict=True)
    assert any((one != other).any() for one, other in leaves)
    assert program_digest(drawn) == program_digest(problem)
    larger = transform(NamedParams(sizes=(2, 4)), key=getkey())
    assert program_digest(larger) != program_digest(problem)


def test_names_of_leaves_are_part_of_a_program_and_their_order_is_not():
    one, other = jnp.zeros(1), jnp.zeros(2)
    digests = [
        program_digest(Held(held=held))
        for held in ({"a": one, "b": other}, {"b": other, "a": one}, {"a": other, "b": one}, {})
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize("values", [(None, False), (False, 0), (0, 0.0), (0.0, "0.0"), ("a", "b")])
def test_static_fields_of_another_value_or_type_are_another_program(values):
    one, other = (program_digest(Static(choice=value)) for value in values)
    assert one != other


@pytest.mark.parametrize("choice", [jnp.tanh, jnp.float32, frozenset({1}), {"of": jnp.tanh}])
def test_what_looks_different_in_every_process_is_refused(choice):
    with pytest.raises(TypeError, match=r"cannot be told by a .* as a static text or number"):
        program_digest(Static(choice=choice))
