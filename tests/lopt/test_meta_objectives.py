"""Laws of what meta-training minimises."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import lopt.meta_objectives
from lopt.architectures import LearnedAdam
from lopt.catalogue import concrete_classes
from lopt.meta_objectives import AverageLogLoss, ClippedMeanLoss, FinalLoss, MetaObjective
from lopt.problems import Problem
from lopt.unroll import begin, shown_gradient

CLASSES = concrete_classes(lopt.meta_objectives, MetaObjective)
every_objective = pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)


class Slope(Problem):
    """Its gradient tells which batch it is of; batches of training are below 1."""

    def init(self, key):
        return jnp.array(1.0)

    def loss(self, params, batch, key):
        return params * batch

    def draw(self, key):
        return self

    def sample_batch(self, key):
        return jax.random.uniform(key, ())

    def full_batch(self):
        return jnp.array(0.5)

    def validation_batch(self):
        return jnp.array(20.0)

    @classmethod
    def examples(cls):
        return (cls(),)


@pytest.fixture
def trajectory(getkey):
    return begin(Slope(), LearnedAdam.release(key=getkey()), getkey())


def with_initial_loss(trajectory, loss):
    return trajectory._replace(initial_loss=jnp.array(loss))


@every_objective
def test_objectives_are_static_scalars_and_finite(kind, trajectory):
    assert jax.tree.leaves(kind()) == []
    assert kind() == kind()
    assert hash(kind()) == hash(kind())
    remembered = jnp.stack([kind().remember(trajectory)] * 3)
    assert remembered.shape == (3,)
    for number in kind().score(remembered, trajectory):
        assert number.shape == ()
        assert number.dtype == jnp.float32
        assert jnp.isfinite(number)


@every_objective
def test_data_says_over_which_data_losses_are(kind, trajectory):
    def last_loss(data):
        objective = kind(data=data)
        return objective.score(jnp.stack([objective.remember(trajectory)] * 2), trajectory)[1]

    assert last_loss("validation") == 20.0
    assert last_loss("training") < 1.0


def test_data_that_are_neither_are_refused(monkeypatch):
    """Where types are not checked, which is what users have."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="data is 'test', but must be 'training' or 'validation'"):
        AverageLogLoss(data="test")


def test_a_mean_loss_counts_none_for_more_than_the_ceiling(trajectory):
    trajectory = with_initial_loss(trajectory, 10.0)

    def meta_loss(losses):
        return ClippedMeanLoss(ceiling=2.0).score(losses, trajectory).meta_loss

    losses = jnp.array([5.0, 15.0, 30.0, jnp.inf])
    # 1e-6 is added to the initial loss.
    assert float(meta_loss(losses)) == pytest.approx((0.5 + 1.5 + 2 + 2) / 4, rel=1e-6)
    gradient = jax.grad(meta_loss)(losses[:3])
    np.testing.assert_allclose(gradient, [0.1 / 3, 0.1 / 3, 0.0], rtol=1e-6)
    assert jnp.isnan(meta_loss(losses.at[0].set(jnp.nan)))


@pytest.mark.parametrize("ceiling", [0.0, -1.0, float("nan")])
def test_a_ceiling_that_leaves_nothing_is_refused(ceiling):
    with pytest.raises(ValueError, match=f"ceiling is {ceiling}, but must be positive"):
        ClippedMeanLoss(ceiling=ceiling)


def test_the_last_loss_of_an_average_is_that_of_the_last_step(trajectory):
    for objective in (AverageLogLoss(), ClippedMeanLoss()):
        assert objective.score(jnp.array([3.0, 2.0]), trajectory).last_loss == 2.0


@pytest.mark.parametrize("data", ["training", "validation"])
def test_a_final_loss_is_the_logarithm_relative_to_the_beginning(data, trajectory):
    trajectory = with_initial_loss(trajectory, 40.0)
    meta_loss, last_loss = FinalLoss(data=data, epsilon=1e-6).score(jnp.zeros(5), trajectory)
    assert float(meta_loss) == pytest.approx(np.log(float(last_loss) / 40.0), rel=1e-4)


def test_batches_of_a_final_loss_are_fresh(trajectory):
    """None is one that was trained on, nor the same at another step."""

    @jax.jit
    def batches(inner_step):
        here = trajectory._replace(inner_step=inner_step)
        scored = FinalLoss(batches=1).score(jnp.zeros(1), here)
        return shown_gradient(here), scored.last_loss

    pairs = [batches(jnp.array(step)) for step in range(60)]
    values = {float(value) for pair in pairs for value in pair}
    assert len(values) == 2 * len(pairs)


def test_a_final_loss_averages_over_its_batches(trajectory):
    """Uniform numbers between 0 and 1, whose mean has the standard error 1 / sqrt(12 batches)."""
    last_loss = FinalLoss(batches=3000).score(jnp.zeros(1), trajectory).last_loss
    assert float(last_loss) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 3000))


def test_minibatches_below_0_make_a_final_loss_of_0_and_not_nan(trajectory):
    below = trajectory._replace(params=jnp.array(-1.0))
    meta_loss, last_loss = FinalLoss(epsilon=1e-6).score(jnp.zeros(1), below)
    assert last_loss < 0
    assert float(meta_loss) == pytest.approx(np.log(1e-6), rel=1e-6)


def test_a_final_loss_of_no_batch_is_refused():
    with pytest.raises(ValueError, match="batches is 0, but must be at least 1"):
        FinalLoss(batches=0)
