"""Words that are hashed by few operations are those that JAX hashes one draw at a time."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun

import lopt.meta_gradients
from lopt.architectures import LearnedAdam
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.hashed_ahead import hashed_ahead
from lopt.hashed_together import MANY, hashed_together
from lopt.inlining import inlined
from lopt.meta_gradients import MetaGradient
from tests.lopt.loops import OF_ONE_KIND
from tests.lopt.trees import assert_equal

HASHES = ("random_split", "random_bits", "random_fold_in", "threefry2x32")
CLASSES = concrete_classes(lopt.meta_gradients, MetaGradient)
KEYS = jax.random.split(jax.random.key(5), 6).reshape(3, 2)


def hashes(closed: ClosedJaxpr) -> list[str]:
    """Return what hashes words in a program, outside its loops and branches."""
    names = [equation.eqn.primitive.name for equation in inlined(closed).equations]
    return [name for name in names if name in HASHES]


def jaxprs_in_params(params: dict[str, Any]) -> list[Jaxpr]:
    every = [
        one for value in params.values() for one in (value if type(value) is tuple else [value])
    ]
    closed = [one.jaxpr for one in every if isinstance(one, ClosedJaxpr)]
    return closed + [one for one in every if isinstance(one, Jaxpr)]


def everywhere(closed: ClosedJaxpr) -> int:
    """Count what hashes words in a program, in its loops and branches as well."""
    programs = [closed.jaxpr]
    count = 0
    for program in programs:
        count += sum(eqn.primitive.name in HASHES for eqn in program.eqns)
        programs += [inner for eqn in program.eqns for inner in jaxprs_in_params(eqn.params)]
    return count


def numbers_of(closed: ClosedJaxpr, *leaves: Any) -> list[np.ndarray]:
    written = jax.jit(jaxpr_as_fun(closed), compiler_options=OF_ONE_KIND)(*leaves)
    is_key = [jnp.issubdtype(one.dtype, jax.dtypes.prng_key) for one in written]
    pairs = zip(written, is_key, strict=True)
    return [np.asarray(jax.random.key_data(one) if key else one) for one, key in pairs]


def both_ways(function: Callable[..., Any], *arguments: Any) -> tuple[ClosedJaxpr, ClosedJaxpr]:
    """Return a function as it is and with its words hashed together, having compared the two."""
    plain = jax.make_jaxpr(function)(*arguments)
    run = hashed_together(hashed_ahead(plain))
    leaves = jax.tree.leaves(arguments)
    together = jax.make_jaxpr(run)(*leaves)
    assert_equal(numbers_of(together, *leaves), numbers_of(plain, *leaves))
    return plain, together


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "split": lambda keys: over_all(jax.random.split, keys).reshape(-1),
    "split in a rectangle": lambda keys: over_all(
        lambda key: jax.random.split(key, (2, 3)), keys
    ).reshape(-1)[:7],
    "fold in": lambda keys: over_all(lambda key: jax.random.fold_in(key, 7), keys),
    "one of them": lambda keys: keys.reshape(-1)[-1],
}


def over_all(function: Callable[[Any], Any], keys: Any) -> Any:
    for _ in range(keys.ndim):
        function = jax.vmap(function)
    return function(keys)


@given(
    chains=st.lists(st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=3), max_size=4),
    shape=st.sampled_from([(), (1,), (5,), (2, 3)]),
)
@settings(max_examples=20, deadline=None)
def test_words_hashed_together_are_those_of_jax(
    chains: list[list[str]], shape: tuple[int, ...]
) -> None:
    def draw(keys: Any) -> list[Any]:
        drawn = []
        for chain in chains:
            made = functools.reduce(lambda keys, name: OPERATIONS[name](keys), chain, keys)
            drawn += [made, over_all(lambda key: jax.random.normal(key, shape), made)]
        return drawn

    both_ways(draw, KEYS)


def test_what_is_known_at_the_same_time_is_hashed_at_once() -> None:
    def draw(keys: Any) -> Any:
        one, other = (jax.random.split(key) for key in keys[0])
        return jax.random.normal(one[0], 5), jax.random.uniform(other[1]), jax.random.bits(one[1])

    plain, together = both_ways(draw, KEYS)
    assert len(hashes(plain)) == 5
    assert hashes(together) == ["threefry2x32", "threefry2x32"]


def test_words_of_all_steps_are_hashed_before_the_first() -> None:
    def draw(key: Any, start: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            count, total = carry
            key_of_step = jax.random.fold_in(key, 2 * count)
            noise = jax.random.normal(jax.random.split(key_of_step)[1], 3)
            return (count + 3, total + x * noise), jax.random.bits(key_of_step)

        carry = (start, jnp.zeros(3))
        xs = jnp.arange(4.0)
        return jax.lax.scan(step, carry, xs), jax.lax.scan(step, carry, xs, reverse=True)

    plain, together = both_ways(draw, KEYS[0, 0], jnp.asarray(11, jnp.int32))
    assert not hashes(plain)
    assert len(hashes(together)) == 3
    assert "random" not in str([eqn for eqn in together.eqns if eqn.primitive.name == "scan"])


def test_keys_that_a_step_makes_for_the_next_one_stay_in_the_loop() -> None:
    def draw(key: Any) -> Any:
        def step(key: Any, _: None) -> Any:
            key, own = jax.random.split(key)
            return key, jax.random.normal(own)

        return jax.lax.scan(step, key, length=5)

    both_ways(draw, KEYS[0, 0])


def test_a_number_of_the_step_that_overflows_is_counted_as_in_the_loop() -> None:
    def draw(key: Any, start: Any) -> Any:
        def step(count: Any, _: None) -> Any:
            return count + 7, jax.random.bits(jax.random.fold_in(key, count))

        return jax.lax.scan(step, start, length=300)

    for dtype in (jnp.uint8, jnp.int8):
        _, together = both_ways(draw, KEYS[0, 0], jnp.asarray(100, dtype))
        assert len(hashes(together)) == 2


def test_words_of_what_may_round_otherwise_stay_in_their_step() -> None:
    def draw(key: Any, factor: Any) -> Any:
        def step(count: Any, _: None) -> Any:
            number = jnp.round(jnp.exp(factor * count.astype(jnp.float32))).astype(jnp.uint32)
            return count + 1, jax.random.bits(jax.random.fold_in(key, number))

        return jax.lax.scan(step, jnp.asarray(0, jnp.int32), length=5)

    plain, together = both_ways(draw, KEYS[0, 0], jnp.asarray(0.7))
    assert everywhere(together) == everywhere(plain)
    assert not hashes(together)


def test_draws_of_nothing_are_hashed_with_others() -> None:
    def draw(keys: Any) -> Any:
        return jax.random.bits(keys[0, 0], (0, 3)), jax.random.bits(keys[0, 1], 2)

    _, together = both_ways(draw, KEYS)
    assert len(hashes(together)) == 1


@pytest.mark.parametrize("needed", [False, True])
def test_words_of_branches_are_hashed_before_one_is_taken(needed: bool) -> None:
    def draw(needed: Any, key: Any) -> Any:
        def many(key: Any) -> Any:
            return jax.lax.map(jax.random.normal, jax.random.split(key, 4))

        return jax.lax.cond(needed, many, lambda key: jax.random.uniform(key, 4), key)

    _, together = both_ways(draw, jnp.asarray(needed), KEYS[0, 0])
    (branches,) = (eqn for eqn in together.eqns if eqn.primitive.name == "cond")
    assert "random" not in str(branches)


def test_very_many_words_are_hashed_where_they_were_and_by_themselves() -> None:
    def draw(key: Any) -> Any:
        def many(key: Any) -> Any:
            return jax.random.bits(key, (MANY + 1,))

        return many(key), jax.random.bits(key), jax.lax.cond(True, many, many, key)

    plain, together = both_ways(draw, KEYS[0, 0])
    assert hashes(together) == hashes(plain)


def test_words_of_other_generators_are_left_to_jax() -> None:
    def draw(keys: Any) -> Any:
        return jax.random.bits(keys[0]), jax.random.bits(keys[1])

    plain, together = both_ways(draw, jax.random.split(jax.random.key(0, impl="rbg")))
    assert hashes(together) == hashes(plain)


def test_a_step_that_prints_still_does(capsys: pytest.CaptureFixture[str]) -> None:
    def draw(key: Any) -> Any:
        def step(count: Any, _: None) -> Any:
            jax.debug.print("step {}", count)
            return count + 1, jax.random.normal(jax.random.fold_in(key, count))

        return jax.lax.scan(step, jnp.asarray(0, jnp.int32), length=3)

    plain = jax.make_jaxpr(draw)(KEYS[0, 0])
    jax.block_until_ready(jax.jit(hashed_together(hashed_ahead(plain)))(KEYS[0, 0]))
    jax.effects_barrier()
    assert capsys.readouterr().out.split() == ["step", "0", "step", "1", "step", "2"]


@pytest.mark.parametrize("length", [0, 1])
def test_a_loop_of_no_step_or_one_is_a_loop(length: int) -> None:
    def draw(key: Any) -> Any:
        def step(count: Any, _: None) -> Any:
            return count + 1, jax.random.normal(jax.random.fold_in(key, count), (2, 0, 3))

        return jax.lax.scan(step, jnp.asarray(0, jnp.int32), length=length)

    both_ways(draw, KEYS[0, 0])


def test_a_carry_that_two_steps_swap_is_no_number_of_the_step() -> None:
    def draw(key: Any) -> Any:
        def step(counts: Any, _: None) -> Any:
            one, other = counts
            return (other + 1, one), jax.random.bits(jax.random.fold_in(key, one))

        return jax.lax.scan(step, (jnp.asarray(0, jnp.int32), jnp.asarray(9, jnp.int32)), length=5)

    both_ways(draw, KEYS[0, 0])


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.uint16])
def test_words_of_another_width_are_left_to_jax(dtype: Any) -> None:
    plain, together = both_ways(
        lambda keys: [jax.random.bits(key, (3,), dtype) for key in keys[0]], KEYS
    )
    assert hashes(together) == hashes(plain)


def test_words_are_those_of_the_way_in_which_they_were_traced() -> None:
    def draw(keys: Any) -> Any:
        with jax.threefry_partitionable(False):
            older = [jax.random.bits(key, (3,)) for key in keys[0]]
        return older, [jax.random.bits(key, (3,)) for key in keys[1]]

    plain, together = both_ways(draw, KEYS)
    assert everywhere(together) == everywhere(plain) - 1


def test_what_has_effects_has_them_in_its_order(capsys: pytest.CaptureFixture[str]) -> None:
    def draw(key: Any) -> Any:
        drawn = jax.random.bits(key) + jax.random.bits(jax.random.fold_in(key, 1))
        jax.debug.print("first {}", drawn, ordered=True)
        jax.debug.print("second", ordered=True)
        return drawn

    plain = jax.make_jaxpr(draw)(KEYS[0, 0])
    jax.block_until_ready(jax.jit(hashed_together(plain))(KEYS[0, 0]))
    jax.effects_barrier()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["first", "second"]


def test_a_choice_by_platform_is_left_to_the_compiler() -> None:
    def draw(key: Any) -> Any:
        return jax.lax.platform_dependent(
            key,
            tpu=lambda key: jax.random.bits(key, 2),
            cpu=lambda key: jax.random.bits(key, 2) + 1,
        )

    _, together = both_ways(draw, KEYS[0, 0])
    assert not hashes(together)


@pytest.mark.parametrize("out_axis", [0, 1])
def test_every_key_is_folded_with_its_own_number(out_axis: int) -> None:
    def draw(keys: Any) -> Any:
        fold_in = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None), out_axis)
        folded = fold_in(keys[:, 0], jnp.arange(3, dtype=jnp.uint8))
        return folded, jax.vmap(jax.random.fold_in)(keys[:, 1], jnp.arange(3) + 250)

    both_ways(draw, KEYS)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_an_estimate_is_the_same_to_the_last_bit(name: str) -> None:
    """Of two in a row, on problems whose constants, initial params and gradients are random."""
    estimator = CLASSES[name].examples()[0]
    quadratic = {"problem": "Quadratic", "dimensions": 3}
    noisy = {"problem": "GradientNoise", "std": 1.0, "of": quadratic}
    (group,) = draw_ensemble([{"family": "noisy", "count": 2, "spec": noisy}], seed=0).groups()
    optimizer = LearnedAdam.release(key=jax.random.key(0))

    def estimates(state: Any) -> Any:
        found = []
        for meta_step in range(2):
            made = estimator.estimate(optimizer, group, state, jnp.asarray(meta_step, jnp.int32))
            state = made.state
            found.append(made)
        return found

    plain, together = both_ways(estimates, estimator.init(optimizer, group, KEYS[0, 0]))
    assert everywhere(together) < everywhere(plain)
