"""Laws of gradients that are each a number times a direction."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.meta_gradients.combining import combine, combine_along


def drawn(problems: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    losses = generator.normal(size=problems).astype(np.float32)
    slopes = generator.normal(size=problems).astype(np.float32)
    return losses, slopes, generator.normal(size=(problems, 7)).astype(np.float32)


def test_it_is_the_combination_of_the_products_without_clipping() -> None:
    losses, slopes, directions = (jnp.asarray(one) for one in drawn(8))
    along = combine_along(losses, slopes, directions)
    whole = combine(losses, slopes[:, None] * directions, clip_norm=jnp.inf)
    np.testing.assert_allclose(along.gradient, whole.gradient, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(along.variance, whole.variance, rtol=1e-5)
    assert along.meta_loss == whole.meta_loss


@settings(max_examples=30)
@given(
    bad_losses=st.sets(st.integers(0, 7)),
    bad_slopes=st.sets(st.integers(0, 7)),
    # A slope times a direction, its square, or the sum of all squares is infinite.
    bad=st.sampled_from([np.nan, np.inf, -np.inf, 1e36, -1e25, 9e18]),
)
def test_bad_problems_are_left_out_and_whatever_is_left_has_finite_squares(
    bad_losses: set[int], bad_slopes: set[int], bad: float
) -> None:
    losses, slopes, directions = drawn(8)
    directions *= 1e3 if abs(bad) == 1e36 else 1
    good = [i for i in range(8) if i not in bad_losses | bad_slopes]
    expected = combine_along(*(jnp.asarray(one[good]) for one in (losses, slopes, directions)))
    losses[list(bad_losses)] = np.nan
    slopes[list(bad_slopes)] = bad
    combined = combine_along(jnp.asarray(losses), jnp.asarray(slopes), jnp.asarray(directions))
    assert list(np.flatnonzero(combined.sound)) == good
    assert np.isfinite(jnp.square(combined.gradient).sum())
    assert np.isfinite(combined.variance)
    np.testing.assert_allclose(combined.gradient, expected.gradient, rtol=1e-5, atol=1e-7)
    assert float(combined.variance) == pytest.approx(float(expected.variance), rel=1e-4, abs=1e-6)
    assert np.isfinite(combined.meta_loss) == bool(good)
