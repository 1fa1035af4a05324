"""The kernel for GPUs computes what the parameter RNN does, operation by operation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.architectures import HierarchicalRNN, blocks, hierarchical_rnn
from lopt.architectures.scalar_kernel import fused_step, on_cuda
from tests.lopt.processors import on_processors

OPTIMIZERS = HierarchicalRNN.examples()
every_variant = pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=range(len(OPTIMIZERS)))
SHAPES = {"matrix": (70, 60), "vector": (300,), "number": ()}


def trained(optimizer: HierarchicalRNN) -> object:
    keys = jax.random.split(jax.random.key(1), len(SHAPES))
    shapes = zip(keys, SHAPES.items(), strict=True)
    gradient = {name: jax.random.normal(key, shape) for key, (name, shape) in shapes}
    transformation = optimizer.transformation()
    state = transformation.init(gradient)
    update = jax.jit(transformation.update)
    for _ in range(3):
        updates, state = update(gradient, state)
    return updates, state


def assert_close(found: object, expected: object) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(float(np.abs(other).max()), 1e-12)
        np.testing.assert_allclose(np.asarray(one) / scale, np.asarray(other) / scale, atol=2e-5)


@every_variant
def test_the_kernel_computes_what_the_operations_do(
    optimizer: HierarchicalRNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = trained(optimizer)
    used = []

    def interpreted(kernel: object, operations: object, *arguments: object) -> object:
        used.append(kernel)
        return fused_step(*arguments, interpret=True)

    monkeypatch.setattr(hierarchical_rnn, "can_run", lambda width, together: not together)
    monkeypatch.setattr(hierarchical_rnn, "on_cuda", interpreted)
    assert_close(trained(optimizer), expected)
    assert used == [fused_step]


@every_variant
def test_the_kernel_is_one_that_triton_takes(
    optimizer: HierarchicalRNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    if jax.__version_info__ >= (0, 11) and jax.default_backend() != "gpu":
        pytest.skip("JAX 0.11 asks the GPU itself what it is")
    monkeypatch.setattr(hierarchical_rnn, "can_run", lambda width, together: not together)
    params = {name: jnp.ones(shape) for name, shape in SHAPES.items()}
    transformation = optimizer.transformation()
    traced = jax.jit(transformation.update).trace(params, transformation.init(params))
    assert "triton" in traced.lower(lowering_platforms=("cuda",)).as_text()


@on_processors
def test_elsewhere_the_operations_are_run_and_differentiated() -> None:
    def fails(x: jax.Array) -> jax.Array:
        return x + jnp.nan

    def one(x: jax.Array) -> jax.Array:
        return on_cuda(fails, jnp.square, x)

    assert jax.value_and_grad(one)(jnp.asarray(3.0)) == (9.0, 6.0)


def test_sums_of_tensors_are_the_same_in_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_WIDTH", 4)
    monkeypatch.setattr(blocks, "_BUNDLE", 3)
    division = blocks.Blocks((41, 3, 17, 1))
    sums = jnp.arange(division.count * 2, dtype=jnp.float32).reshape(division.count, 2)
    plain = division._sums_of_tensors(sums)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_array_equal(division._sums_of_tensors(sums), plain)
