"""Padding: problems of several sizes share a program, and each is what it would be alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.problems import Problem, loss_and_gradient
from lopt.problems.column_sums import Sampling
from lopt.problems.matmul import MatMulAlgorithm
from lopt.problems.minibatch_quadratics import ProjectionQuadratic, SumOfQuadratics
from lopt.problems.norms import Norm
from lopt.problems.outward_snake import OutwardSnake
from lopt.problems.padding import Size
from lopt.problems.programs import program_digest
from lopt.problems.quadratics import IsotropicQuadratic, Quadratic
from lopt.problems.slow import DependencyChain, MinMaxWell

KEY = jax.random.key(7)
ROOMS = {"padded_to": 6, "samples_room": 12, "batch_room": 5}
DATA = {"dimensions": 4, "samples": 8, "batch_size": 3, "key": KEY}
# A class, the arguments that make a small one, and those that give it room for a larger one.
PADDED = {
    Quadratic: ({"dimensions": 4, "key": KEY}, {"padded_to": 6}),
    IsotropicQuadratic: ({"dimensions": 4}, {"padded_to": 6}),
    Norm: ({"dimensions": 4, "order": 1.5, "key": KEY}, {"padded_to": 6}),
    MatMulAlgorithm: ({"size": 2, "rank": 5}, {"padded_to": 7}),
    DependencyChain: ({"links": 4}, {"padded_to": 6}),
    MinMaxWell: ({"dimensions": 4}, {"padded_to": 6}),
    OutwardSnake: (DATA, ROOMS),
    ProjectionQuadratic: (DATA, ROOMS),
    SumOfQuadratics: (DATA, ROOMS),
}
# Arguments of problems that share a program, for sizes as the ensemble has them.
SHARED = {
    Quadratic: [{"dimensions": n, "padded_to": 100} for n in (20, 25, 50, 100)],
    Norm: [{"dimensions": n, "order": q, "padded_to": 27} for n, q in ((27, 1.0), (22, 3.0))],
    MatMulAlgorithm: [{"size": 3, "rank": k, "padded_to": 24} for k in range(19, 25)],
    DependencyChain: [{"links": n, "padded_to": 64} for n in (20, 12, 56, 64, 13)],
    MinMaxWell: [{"dimensions": n, "padded_to": 64} for n in (20, 12, 56, 64, 13)],
} | {
    made: [
        {"dimensions": n, "samples": samples, "batch_size": batch} | rooms
        for n, samples, batch in ((20, 1000, 100), (12, 300, 16), (13, 10000, 50), (64, 1000, 128))
        for rooms in [{"padded_to": 64, "samples_room": 10000, "batch_room": 128}]
    ]
    for made in (OutwardSnake, ProjectionQuadratic, SumOfQuadratics)
}


@jax.jit
def all_derivatives(problem, params, key):
    def squared_gradient(params):
        gradient = jax.grad(problem.loss)(params, problem.full_batch(), key)
        return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradient))

    full_loss = problem.loss(params, problem.full_batch(), key)
    loss, gradient = loss_and_gradient(problem, params, key)
    return full_loss, loss, gradient, jax.grad(squared_gradient)(params)


def cut(leaf, like):
    return leaf[tuple(slice(size) for size in like.shape)]


def pair(made: type[Problem]):
    """Make a padded problem and the unpadded one with the same numbers in it."""
    arguments, rooms = PADDED[made]
    padded, unpadded = made(**arguments, **rooms), made(**arguments)
    found = dict(jax.tree_util.tree_leaves_with_path(padded))
    return padded, jax.tree_util.tree_map_with_path(
        lambda path, leaf: cut(found[path], leaf), unpadded
    )


@pytest.mark.parametrize("made", PADDED)
def test_padding_changes_neither_loss_nor_minibatches_nor_derivatives(made, getkey):
    padded, unpadded = pair(made)
    params, key = padded.init(getkey()), getkey()
    alone = jax.tree.map(cut, params, unpadded.init(getkey()))
    with_padding = all_derivatives(padded, params, key)
    without = all_derivatives(unpadded, alone, key)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(cut(one, other), other, 1e-4, 1e-5),
        with_padding,
        without,
    )
    is_padding = jax.tree.map(jnp.logical_not, padded.valid())
    for tree in (params, *with_padding[2:]):
        jax.tree.map(
            lambda leaf, there: np.testing.assert_array_equal(leaf[there], 0), tree, is_padding
        )


@pytest.mark.parametrize("made", PADDED)
def test_what_stands_in_the_padding_of_params_changes_nothing(made, getkey):
    padded, _ = pair(made)
    params, key = padded.init(getkey()), getkey()
    filled = jax.tree.map(
        lambda leaf, is_real: jnp.where(is_real, leaf, 7.0), params, padded.valid()
    )
    expected, found = (all_derivatives(padded, one, key) for one in (params, filled))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("made", PADDED)
def test_the_real_params_come_first_and_are_as_many_as_without_padding(made, getkey):
    padded, unpadded = pair(made)
    assert unpadded.valid() is None
    alone, params, valid = unpadded.init(getkey()), padded.init(getkey()), padded.valid()
    for real, leaf, is_real in zip(*map(jax.tree.leaves, (alone, params, valid)), strict=True):
        assert (is_real.shape, is_real.dtype) == (leaf.shape, jnp.bool_)
        assert cut(is_real, real).all()
        assert int(is_real.sum()) == real.size
        assert (leaf[is_real] != 0).all()


@pytest.mark.parametrize("made", PADDED)
def test_a_padded_problem_drawn_anew_is_padded_as_before(made, getkey):
    padded, _ = pair(made)
    drawn = padded.draw(getkey())
    arguments, rooms = PADDED[made]
    if "key" in arguments:
        anew = made(**arguments | {"key": (key := getkey())}, **rooms)
        assert jax.tree.structure(anew) == jax.tree.structure(drawn)
        jax.tree.map(np.testing.assert_array_equal, padded.draw(key), anew)
    jax.tree.map(np.testing.assert_array_equal, drawn.valid(), padded.valid())


@pytest.mark.parametrize("made", SHARED)
def test_problems_of_all_sizes_share_a_program(made):
    key = {} if made in (MatMulAlgorithm, DependencyChain, MinMaxWell) else {"key": KEY}
    shapes = [jax.eval_shape(lambda a=arguments: made(**a, **key)) for arguments in SHARED[made]]
    assert len(set(map(program_digest, shapes))) == 1


def test_the_padding_of_an_axis_is_masked_along_that_axis():
    size = Size("dimensions", 2, 3)
    np.testing.assert_array_equal(size.is_real(), [True, True, False])
    np.testing.assert_array_equal(size.only_real(jnp.ones((3, 2)), 0), [[1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(size.only_real(jnp.ones((2, 3)), 1), [[1, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(size.valid((1, 3), 1), [[True, True, False]])


def test_room_for_as_many_as_there_are_is_a_program_of_its_own():
    alone, with_room = Size("dimensions", 3), Size("dimensions", 3, 3)
    assert not alone.is_padded()
    assert with_room.is_padded()
    assert int(alone.count()) == int(with_room.count()) == 3
    assert alone.is_real().all()
    assert with_room.is_real().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Size("links", 5, 4), "padded_to must be 0, .* or at least links, .* 5, but is 4"),
        (lambda: Size("links", 5, -1), "padded_to must be 0, .* but is -1"),
        (lambda: Size("links", 1, at_least=2), "links must be .* at least 2, but is 1"),
        (lambda: Quadratic(dimensions=5, padded_to=4, key=KEY), "at least dimensions, which is 5"),
        (
            lambda: Sampling(samples=5, batch_size=2, samples_room=4),
            "samples_room must be 0, .* or at least samples, which is 5, but is 4",
        ),
        (
            lambda: Sampling(samples=5, batch_size=2, batch_room=1),
            "batch_room must be 0, .* or at least batch_size, which is 2, but is 1",
        ),
    ],
)
def test_a_room_that_is_too_small_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
