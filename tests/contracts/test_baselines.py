"""What every baseline keeps, over every one that is in the table."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import yaml

from lopt.ensembles import draw_ensemble
from lopt.evaluation import BASELINES, baselines, evaluate_one
from lopt.evaluation.evaluate import seed_keys
from lopt.evaluation.measures import values
from lopt.evaluation.targets.held_out import HeldOut
from lopt.problems import loss_and_gradient

ROOT = Path(__file__).parents[2]
RATES = (0.003, 0.1)
NAMES = tuple(BASELINES)
# A matrix and a vector, which Muon treats differently.
SPEC = {
    "problem": "SoftmaxRegression",
    "features": 3,
    "classes": 2,
    "samples": 20,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def target():
    ensemble = draw_ensemble([{"family": "softmax", "count": 2, "spec": SPEC}], seed=0)
    return HeldOut.of(ensemble.groups()[0], steps=9, record_every=3)


@pytest.fixture(scope="module")
def quadratics():
    spec = {"problem": "Quadratic", "dimensions": 5}
    ensemble = draw_ensemble([{"family": "quadratics", "count": 2, "spec": spec}], seed=0)
    return HeldOut.of(ensemble.groups()[0], steps=100, record_every=10)


def by_hand(target, key, transformation, measured):
    """The losses of a loop as anybody would write it with optax."""
    draw_key, init_key, step_key, loss_key = jax.random.split(key, 4)
    problem = target.draw(draw_key)
    params = problem.init(init_key)
    opt_state = transformation.init(params)

    @jax.jit
    def step(params, opt_state, batch_key):
        _, gradient = loss_and_gradient(problem, params, batch_key)
        with jax.numpy_dtype_promotion("standard"):  # optax.adam needs it
            updates, opt_state = transformation.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    losses = [problem.loss(params, problem.full_batch(), loss_key)]
    for index in range(target.steps):
        params, opt_state = step(params, opt_state, jax.random.fold_in(step_key, index))
        if (index + 1) % target.record_every == 0:
            at = measured(opt_state, params)
            losses.append(problem.loss(at, problem.full_batch(), loss_key))
    return jnp.stack(losses)


@pytest.mark.parametrize("name", NAMES)
def test_a_sweep_equals_loops_by_hand_at_every_rate_and_seed(name, target, getkey):
    (candidate,), key = baselines(RATES, (name,)), getkey()
    cell = evaluate_one(target, candidate, 2, key)
    baseline = BASELINES[name]
    free = name.startswith("ScheduleFree")
    measured = optax.contrib.schedule_free_eval_params if free else lambda _, params: params
    falls = name.endswith("+cosine")
    for rate, of_rate in zip(RATES, cell.losses, strict=True):
        made_with = optax.cosine_decay_schedule(rate, target.steps) if falls else jnp.float32(rate)
        for seed_key, losses in zip(seed_keys(key, target.name, 2), of_rate, strict=True):
            alone = by_hand(target, seed_key, baseline.make(made_with), measured)
            # Muon iterates a polynomial of large slope, Lion takes signs: roundings grow.
            np.testing.assert_allclose(losses, alone, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_learns_a_quadratic_at_some_rate(name, quadratics, getkey):
    (candidate,) = baselines((0.003, 0.03, 0.3), (name,))
    final = values(evaluate_one(quadratics, candidate, 4, getkey()), "final").mean(axis=1)
    assert final.min() < -0.5


def test_a_name_says_whether_there_is_a_cosine():
    for name, baseline in BASELINES.items():
        with jax.numpy_dtype_promotion("standard"):
            rate = baseline.schedule(jnp.float32(0.1), 10)
            last = rate(10) if callable(rate) else rate
        assert float(last) == (0.0 if name.endswith("+cosine") else np.float32(0.1))


@pytest.mark.parametrize("name", [name for name in NAMES if f"{name}+cosine" in NAMES])
def test_who_has_a_cosine_as_well_is_compiled_once(name, target, getkey):
    # Of other tests nothing is compiled for so many steps.
    target, key, compiled = dataclasses.replace(target, steps=6), getkey(), []

    def listen(event, duration, **facts):
        if "backend_compile" in event:
            compiled.append((event, duration, facts))

    counts = []
    for candidate in baselines(RATES, (name, f"{name}+cosine")):
        compiled.clear()
        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            evaluate_one(target, candidate, 2, key)
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)
        counts.append(len(compiled))
    assert counts[0] > 0
    assert counts[1] == 0


def test_the_conf_of_all_baselines_has_all_and_the_page_describes_all():
    conf = yaml.safe_load((ROOT / "conf" / "all_baselines.yaml").read_text(encoding="utf-8"))
    assert tuple(conf["evaluation"]["baselines"]) == NAMES
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []
