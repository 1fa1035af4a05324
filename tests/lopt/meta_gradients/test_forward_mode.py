"""Forward mode is a faster way to the gradients of backpropagation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt.architectures
from lopt.architectures import LearnedOptimizer
from lopt.catalogue import concrete_classes
from lopt.ensembles import draw_ensemble
from lopt.meta_gradients import TruncatedBackprop, Unrolling, truncated_backprop
from lopt.meta_gradients.forward_mode import MOST, is_better_forward
from lopt.meta_gradients.vectors import number_of_meta_params

ARCHITECTURES = concrete_classes(lopt.architectures, LearnedOptimizer)
FEW = {
    name: optimizer
    for name, kind in ARCHITECTURES.items()
    for optimizer in kind.examples()[:1]
    if number_of_meta_params(optimizer) <= MOST
}
SPECS = [
    {"problem": "Quadratic", "dimensions": 10},
    {
        "problem": "GradientNoise",
        "of": {"problem": "TwoDimensional", "function": "Beale"},
        "std": 0.1,
    },
    {"problem": "SoftmaxRegression", "features": 5, "samples": 20, "batch_size": 4},
]


def group_of(spec):
    (group,) = draw_ensemble([{"family": "small", "spec": spec}], seed=0).groups()
    return group


def test_some_architectures_have_few_meta_params():
    assert {"GlobalLearningRate", "LearnedAdam"} <= set(FEW)


@pytest.mark.parametrize("second_derivatives", [True, False])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["problem"])
@pytest.mark.parametrize("optimizer", FEW.values(), ids=FEW)
def test_estimates_are_those_of_backpropagation(
    optimizer, spec, second_derivatives, monkeypatch, getkey
):
    group, key = group_of(spec), getkey()
    estimator = TruncatedBackprop(
        Unrolling(steps=5, problems=6), second_derivatives=second_derivatives
    )

    def estimates(forward):
        asked = []

        def decided(*arguments):
            asked.append(is_better_forward(*arguments))
            return forward

        monkeypatch.setattr(truncated_backprop, "is_better_forward", decided)
        state, found = estimator.init(optimizer, group, key), []
        # A function of its own: JAX knows those that it has traced.
        estimate = jax.jit(lambda state: estimator.estimate(optimizer, group, state, jnp.array(0)))
        for _ in range(3):
            found.append(estimate(state))
            state = found[-1].state
        assert asked == [True]
        return found

    for one, other in zip(estimates(forward=True), estimates(forward=False), strict=True):
        assert one.gradient.any()
        for name in ("gradient", "meta_loss", "variance"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=2e-4, atol=1e-7, err_msg=name
            )
        assert {k: float(v) for k, v in one.metrics.items()} == {
            k: float(v) for k, v in other.metrics.items()
        }


@pytest.mark.parametrize(
    ("meta_params", "params", "better"),
    [(1, (32, 64), True), (4, (32, 10), True), (5, (32, 10), False), (1, (32, 65), False)],
)
def test_it_is_taken_for_few_meta_params_on_small_problems(meta_params, params, better):
    assert is_better_forward(jnp.zeros(meta_params), jnp.zeros(params)) == better
