"""Laws of problems that remember something beside their params."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.evaluation.target import Target
from lopt.evaluation.with_memory import TargetWithMemory, WithMemory, loss_gradient_and_memory
from lopt.problems import Quadratic, loss_and_gradient


class Centred(WithMemory):
    """Squared distance of the params from noisy inputs, whose mean is remembered."""

    size: int = eqx.field(static=True, default=3)

    def init(self, key):
        return jax.random.normal(key, (self.size,), jnp.float32)

    def init_memory(self):
        return jnp.zeros(self.size, jnp.float32)

    def loss_and_memory(self, params, memory, batch, key):
        mean = batch.mean(axis=0)
        return jnp.sum(jnp.square(params - mean)), 0.9 * memory + 0.1 * mean

    def loss_with_memory(self, params, memory, batch, key):
        return jnp.sum(jnp.square(params - memory))

    def draw(self, key):
        return self

    def sample_batch(self, key):
        return 1 + jax.random.normal(key, (8, self.size), jnp.float32)

    def perturb_gradient(self, gradient, key):
        return gradient + 0.1 * jax.random.normal(key, gradient.shape, jnp.float32)

    @classmethod
    def examples(cls):
        return [cls()]


class Measured(TargetWithMemory):
    name: str = eqx.field(static=True, default="centred")
    steps: int = eqx.field(static=True, default=4)
    record_every: int = eqx.field(static=True, default=2)

    def draw(self, key):
        return Centred()

    def metrics_with_memory(self, problem, params, memory):
        return {"remembered": memory.mean()}

    @classmethod
    def examples(cls) -> list[Target]:
        return [cls()]


def test_one_key_gives_the_loss_and_gradient_of_a_problem_without_memory(getkey):
    problem, key = Centred(), getkey()
    params = problem.init(getkey())
    loss, gradient, memory = loss_gradient_and_memory(problem, params, jnp.ones(3), key)
    expected_loss, expected_gradient = loss_and_gradient(problem, params, key)
    np.testing.assert_array_equal(loss, expected_loss)
    np.testing.assert_array_equal(gradient, expected_gradient)
    assert not np.array_equal(memory, jnp.ones(3))


def test_metrics_without_a_memory_are_those_at_the_memory_of_the_beginning(getkey):
    target = Measured()
    problem = target.draw(getkey())
    assert float(target.metrics(problem, problem.init(getkey()))["remembered"]) == 0
    later = target.metrics_with_memory(problem, problem.init(getkey()), jnp.ones(3))
    assert float(later["remembered"]) == 1


def test_a_problem_without_memory_is_refused(getkey):
    problem = Quadratic(dimensions=2, key=getkey())
    with pytest.raises(TypeError, match=r"'centred' measures problems with a memory.*Quadratic"):
        Measured().metrics(problem, problem.init(getkey()))
