"""What holds for every problem that the catalogue finds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt.problems
from lopt.catalogue import concrete_classes
from lopt.problems import Problem, loss_and_gradient
from lopt.problems.programs import program_digest

EXAMPLES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, found in concrete_classes(lopt.problems, Problem).items()
    for number, example in enumerate(found.examples())
]

# What compiling could change is looked at once for each program, not for other numbers in it.
FIRSTS: dict[str, object] = {}
for example in EXAMPLES:
    FIRSTS.setdefault(program_digest(example.values[0]), example)

# Compiled once for all problems of one structure; that jit changes nothing is a test of its own.
init = jax.jit(lambda problem, key: problem.init(key))
draw = jax.jit(lambda problem, key: problem.draw(key))
full_loss = jax.jit(lambda problem, params, key: problem.loss(params, problem.full_batch(), key))
step = jax.jit(loss_and_gradient)
sample_batch = jax.jit(lambda problem, key: problem.sample_batch(key))
perturb = jax.jit(lambda problem, gradient, key: problem.perturb_gradient(gradient, key))

every_problem = pytest.mark.parametrize("problem", EXAMPLES)
every_program = pytest.mark.parametrize("problem", FIRSTS.values())


def signature(tree):
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, tree))
    return structure, [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in leaves]


def assert_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other):
    """Fusion may reorder sums: allow a few units in the last place of the largest number."""
    scale = max([1.0, *(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(other))])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5 * scale), one, other)


def is_finite(tree):
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tree))


def lowest(problem):
    return 0.0 if problem.nonnegative else -jnp.inf


@pytest.mark.parametrize(
    "found", [pytest.param(f, id=n) for n, f in concrete_classes(lopt.problems, Problem).items()]
)
def test_every_class_has_examples_of_itself_somewhere_in_them(found):
    def contains(problem):
        inner = [getattr(problem, "inner", None), *getattr(problem, "parts", ())]
        return isinstance(problem, found) or any(contains(one) for one in inner if one is not None)

    assert all(map(contains, found.examples()))
    assert len(found.examples()) > 0


@every_problem
def test_the_loss_is_a_finite_float32_scalar_that_is_not_negative_unless_it_says_so(
    problem, getkey
):
    for _ in range(3):
        loss = full_loss(problem, init(problem, getkey()), getkey())
        assert loss.shape == ()
        assert loss.dtype == jnp.float32
        assert lowest(problem) <= loss < jnp.inf


@every_problem
def test_params_are_float32_and_differ_between_keys(problem, getkey):
    first, second = init(problem, getkey()), init(problem, getkey())
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(first))
    assert signature(first) == signature(second)
    leaves = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    assert all((one != other).any() for one, other in leaves)


@every_problem
def test_what_the_optimizer_is_shown_is_finite_and_like_the_params(problem, getkey):
    params = init(problem, getkey())
    loss, gradient = step(problem, params, getkey())
    assert is_finite((loss, gradient))
    assert signature(gradient) == signature(params)


@every_problem
def test_far_away_loss_and_gradient_are_still_finite(problem, getkey):
    params = jax.tree.map(lambda leaf: 100 * leaf, init(problem, getkey()))
    loss, gradient = step(problem, params, getkey())
    assert abs(loss) < jnp.inf
    assert full_loss(problem, params, getkey()) >= lowest(problem)
    assert is_finite(gradient)


@jax.jit
def gradient_of_squared_gradient(problem, params, key):
    def squared_gradient(params):
        gradient = jax.grad(problem.loss)(params, problem.full_batch(), key)
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient))

    return jax.grad(squared_gradient)(params)


@every_problem
def test_the_gradient_of_the_gradient_is_finite(problem, getkey):
    assert is_finite(gradient_of_squared_gradient(problem, init(problem, getkey()), getkey()))


@every_problem
def test_perturbing_keeps_structure_shapes_and_dtypes(problem, getkey):
    gradient = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), init(problem, getkey()))
    perturbed = perturb(problem, gradient, getkey())
    assert signature(perturbed) == signature(gradient)


@every_problem
def test_the_same_key_gives_the_same_params_batch_and_gradient(problem, getkey):
    key = getkey()
    assert_equal(init(problem, key), init(problem, key))
    assert_equal(sample_batch(problem, key), sample_batch(problem, key))
    params = init(problem, getkey())
    assert_equal(step(problem, params, key), step(problem, params, key))


@every_problem
def test_drawing_is_traceable_reproducible_and_keeps_the_program(problem, getkey):
    key = getkey()
    drawn = draw(problem, key)
    assert type(drawn) is type(problem)
    assert signature(drawn) == signature(problem)
    assert program_digest(drawn) == program_digest(problem)
    assert_equal(drawn, draw(problem, key))


@every_problem
def test_a_minibatch_is_made_like_the_whole_data(problem, getkey):
    part = jax.eval_shape(problem.sample_batch, getkey())
    for whole in (problem.full_batch, problem.validation_batch):
        everything = jax.eval_shape(whole)
        assert jax.tree.structure(part) == jax.tree.structure(everything)
        for one, other in zip(jax.tree.leaves(part), jax.tree.leaves(everything), strict=True):
            assert (one.shape[1:], one.dtype) == (other.shape[1:], other.dtype)


@every_program
def test_jit_changes_neither_structure_nor_dtype_nor_value(problem, getkey):
    # What is written for one problem, without the derivatives that JAX makes of it.
    params, key = init(problem, getkey()), getkey()
    plain = (
        problem.sample_batch(key),
        problem.loss(params, problem.full_batch(), key),
        problem.perturb_gradient(params, key),
    )
    compiled = (
        sample_batch(problem, key),
        full_loss(problem, params, key),
        perturb(problem, params, key),
    )
    assert signature(compiled) == signature(plain)
    for one, other in zip(compiled, plain, strict=True):
        assert_close(one, other)


init_each = jax.jit(jax.vmap(lambda problem, key: problem.init(key)))
step_each = jax.jit(jax.vmap(loss_and_gradient))


@every_program
def test_many_stacked_draws_under_vmap_are_the_same_as_one_after_the_other(problem, getkey):
    draws = [draw(problem, getkey()) for _ in range(3)]
    keys = jax.random.split(getkey(), 3)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *draws)
    params = init_each(stacked, keys)
    results = step_each(stacked, params, keys)
    for index, drawn in enumerate(draws):
        one_params, one_result = jax.tree.map(lambda leaf, i=index: leaf[i], (params, results))
        assert_close(one_params, init(drawn, keys[index]))
        assert_close(one_result, step(drawn, one_params, keys[index]))
