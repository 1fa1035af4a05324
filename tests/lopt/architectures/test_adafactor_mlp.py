"""Laws of the small MLP with factored accumulators: PAPER.md section 7.2."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import AdafactorMLP, blocks, tensor_views
from tests.lopt.processors import on_processors

SMALL = {
    "hidden_size": 3,
    "hidden_layers": 1,
    "momentum_decays": (0.9, 0.99),
    "factored_decays": (0.5, 0.99),
}
LAYOUTS = ["together", "alone", "in slabs"]


@pytest.fixture
def optimizer(getkey):
    """Small, and with biases, so that relus let something through."""
    made = AdafactorMLP(**SMALL, step_scale=1.0, key=getkey())
    return eqx.tree_at(lambda o: o.mlp.first.bias, made, jnp.array([0.5, -0.2, 1.0]))


@pytest.fixture
def lay_out(monkeypatch):
    """A function that says how tensors of more than 4 scalars are computed."""

    def choose(layout):
        monkeypatch.setattr(blocks, "BLOCK_WIDTH", 2048 if layout == "together" else 2)
        monkeypatch.setattr(tensor_views, "SLAB_SIZE", 10 if layout == "in slabs" else 2**16)
        monkeypatch.setattr(tensor_views, "SMALLEST_SLAB", 1)

    return choose


def normals(key, tree):
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)


def run(optimizer, gradients, params, initial=1e-3, **extra):
    """The updates of successive gradients at the same params, and the last state."""
    transformation = optimizer.transformation(initial)
    update = jax.jit(transformation.update)
    state, found = transformation.init(params), []
    for gradient in gradients:
        updates, state = update(gradient, state, params, **extra)
        found.append(updates)
    return found, state


def assert_same(found, expected):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@on_processors
def test_how_tensors_lie_in_memory_changes_no_step(optimizer, lay_out, getkey) -> None:
    shapes = {"tall": (6, 4), "kernel": (4, 2, 5), "vector": (11,), "one": ()}
    params = normals(getkey(), {name: jnp.zeros(shape) for name, shape in shapes.items()})
    gradients = [normals(getkey(), params) for _ in range(2)]
    results = []
    for layout in LAYOUTS:
        lay_out(layout)
        assert tensor_views.Slabs((1, 6, 4)).count == (3 if layout == "in slabs" else 1)
        found, state = run(optimizer, gradients, params)
        assert len(state.pieces) == (1 if layout == "together" else 4)
        results.append(found)
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


def test_how_tensors_lie_in_memory_changes_no_meta_gradient(optimizer, lay_out, getkey) -> None:
    params = normals(getkey(), jnp.zeros((4, 6)))
    gradient = normals(getkey(), params)
    meta_params, static = eqx.partition(optimizer, eqx.is_inexact_array)
    results = []
    for layout in ("together", "in slabs"):
        lay_out(layout)

        def meta_loss(meta_params):
            found, _ = run(eqx.combine(meta_params, static), [gradient], params)
            return jnp.square(found[0] + 1).sum()

        results.append(jax.grad(meta_loss)(meta_params))
    assert_same(results[1], results[0])


@pytest.mark.parametrize(
    ("layout", "size", "room"),
    [
        ("together", (5, 2), (6, 9)),
        ("together", (2, 5), (9, 6)),
        ("together", (2, 4, 3), (3, 6, 5)),
        ("in slabs", (5, 2), (6, 9)),
        ("in slabs", (3,), (8,)),
    ],
)
def test_padding_changes_no_step_of_the_others(optimizer, lay_out, layout, size, room) -> None:
    """Not even where it makes the shorter axis the longer one."""
    lay_out(layout)
    keys = jax.random.split(jax.random.key(1), 3)
    params = normals(keys[0], jnp.zeros(size))
    gradients = [normals(key, params) for key in keys[1:]]
    inside = tuple(slice(length) for length in size)

    def pad(array, fill):
        return jnp.full(room, fill, array.dtype).at[inside].set(array)

    expected, _ = run(optimizer, gradients, params)
    found, _ = run(
        optimizer,
        [pad(gradient, jnp.nan) for gradient in gradients],
        pad(params, 7.0),
        valid=pad(jnp.ones(size, bool), False),
    )
    assert_same([updates[inside] for updates in found], expected)
    assert all(jnp.count_nonzero(updates) <= params.size for updates in found)


def test_nothing_but_padding_stays_where_it_is(optimizer, getkey) -> None:
    params = normals(getkey(), {"w": jnp.zeros((2, 3)), "b": jnp.zeros(2)})
    valid = {"w": np.zeros((2, 3), bool), "b": np.ones(2, bool)}
    found, _ = run(optimizer, [params], params, valid=jax.tree.map(jnp.asarray, valid))
    assert not found[0]["w"].any()
    assert found[0]["b"].all()


def test_permuting_rows_and_columns_permutes_steps(optimizer, getkey) -> None:
    params = normals(getkey(), jnp.zeros((4, 6)))
    gradients = [normals(getkey(), params) for _ in range(2)]
    rows = jax.random.permutation(getkey(), 4)[:, None]
    columns = jax.random.permutation(getkey(), 6)[None]
    plain, _ = run(optimizer, gradients, params)
    moved = [gradient[rows, columns] for gradient in gradients]
    permuted, _ = run(optimizer, moved, params[rows, columns])
    assert_same(permuted, [updates[rows, columns] for updates in plain])


@pytest.mark.parametrize(("shape", "axes"), [((4, 6), (1, 0)), ((2, 4, 3), (2, 0, 1))])
def test_moving_axes_moves_steps(optimizer, shape, axes, getkey) -> None:
    """Rows and columns are told apart by their lengths."""
    params = normals(getkey(), jnp.zeros(shape))
    gradients = [normals(getkey(), params) for _ in range(2)]
    plain, _ = run(optimizer, gradients, params)
    moved, _ = run(optimizer, [g.transpose(axes) for g in gradients], params.transpose(axes))
    assert_same(moved, [updates.transpose(axes) for updates in plain])


def test_permuting_scalars_of_a_vector_permutes_their_steps(optimizer, getkey) -> None:
    params = normals(getkey(), jnp.zeros(9))
    gradients = [normals(getkey(), params) for _ in range(2)]
    order = jax.random.permutation(getkey(), 9)
    plain, _ = run(optimizer, gradients, params)
    permuted, _ = run(optimizer, [gradient[order] for gradient in gradients], params[order])
    assert_same(permuted, [updates[order] for updates in plain])


def test_a_tensor_s_steps_do_not_depend_on_other_tensors(optimizer, getkey) -> None:
    params = normals(getkey(), {"w": jnp.zeros((3, 4)), "b": jnp.zeros(4)})
    gradients = [normals(getkey(), params) for _ in range(2)]
    both, _ = run(optimizer, gradients, params)
    alone, _ = run(optimizer, [gradient["w"] for gradient in gradients], params["w"])
    assert_same(alone, [updates["w"] for updates in both])


def test_large_gradients_are_known_up_to_a_factor_only(optimizer, getkey) -> None:
    """Features are divided by their root mean squares, beside which epsilons vanish."""
    params = normals(getkey(), jnp.zeros((3, 4)))
    gradients = [normals(getkey(), params) for _ in range(3)]
    some, _ = run(optimizer, [3e6 * gradient for gradient in gradients], params)
    more, _ = run(optimizer, [3e7 * gradient for gradient in gradients], params)
    for a, b in zip(some, more, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-3)


def test_params_are_read_up_to_a_factor(optimizer, getkey) -> None:
    params = normals(getkey(), jnp.zeros((3, 4)))
    gradient = normals(getkey(), params)
    plain, _ = run(optimizer, [gradient], params)
    scaled, _ = run(optimizer, [gradient], 1e3 * params)
    others, _ = run(optimizer, [gradient], -params)
    np.testing.assert_allclose(scaled[0], plain[0], rtol=1e-4, atol=1e-4)
    assert jnp.abs(others[0] - plain[0]).max() > 1e-2


def test_one_param_that_is_not_finite_spoils_no_other_s_step(optimizer, getkey) -> None:
    params = normals(getkey(), jnp.zeros((3, 4))).at[1, 2].set(jnp.nan)
    found, _ = run(optimizer, [normals(getkey(), params)], params)
    assert jnp.isfinite(found[0]).all()


def test_decays_never_leave_their_range(optimizer, getkey) -> None:
    """Whatever meta-training does, averages neither change sign nor grow by themselves."""
    wild = eqx.tree_at(lambda o: o.momenta.x, optimizer, jnp.array([5.0, -50.0]))
    assert (wild.momenta.rates() >= 0).all()
    assert (wild.momenta.rates() <= 1).all()
    slope = jax.grad(lambda o: o.momenta.rates().sum())(wild)
    assert slope.momenta.x[0] != 0  # so that it finds back


def test_the_learning_rate_asked_for_changes_nothing(optimizer, getkey) -> None:
    params = normals(getkey(), jnp.zeros((3, 4)))
    low, _ = run(optimizer, [params], params, initial=1e-6)
    high, _ = run(optimizer, [params], params, initial=1.0)
    np.testing.assert_array_equal(low, high)


@pytest.mark.parametrize(
    ("params", "valid"), [(jnp.ones((3, 2)), None), (jnp.ones((2, 3)), jnp.ones(6, bool))]
)
def test_params_and_padding_of_another_shape_are_refused(optimizer, params, valid) -> None:
    gradient = jnp.ones((2, 3))
    transformation = optimizer.transformation()
    with pytest.raises(ValueError, match=r"\(2, 3\).*one shape"):
        transformation.update(gradient, transformation.init(gradient), params, valid=valid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden_size": 0}, "hidden_size.*at least 1.*0"),
        ({"hidden_layers": 0}, "hidden_layers"),
        ({"momentum_decays": (0.9, 0.99, 1.0)}, r"less than 1.*1\.0"),
        ({"mean_square_decay": -0.1}, r"at least 0.*-0\.1"),
        ({"factored_decays": (0.9,)}, "equally many"),
        ({"momentum_decays": (), "factored_decays": ()}, "not none"),
        ({"step_scale": 0.0}, r"step_scale.*positive.*0\.0"),
        ({"magnitude_scale": float("inf")}, "magnitude_scale"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        AdafactorMLP(**arguments, key=jax.random.key(0))


def test_a_matrix_takes_four_floats_a_scalar_and_three_a_row_and_column() -> None:
    state = AdafactorMLP.release(key=jax.random.key(0)).transformation().init(jnp.zeros((60, 70)))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == 4 * 60 * 70 + 3 * (60 + 70) + 1
