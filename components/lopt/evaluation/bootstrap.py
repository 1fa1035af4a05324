"""Confidence intervals for means over seeds, and for means of such means over targets."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

CONFIDENCE = 0.95
RESAMPLES = 2000
_SEED = 0

Interval = tuple[float, float, float]


def mean_with_interval(samples: Sequence[Float64[np.ndarray, " _"]]) -> Interval:
    """Return the mean of the samples' means, and the ends of its 95 % bootstrap interval.

    Percentile bootstrap, reproducible. Each sample (one target's values, say) weighs the same
    and is resampled by itself: the interval is about other seeds, not about other targets.
    Each sample needs two values or more. Infinite values make the mean and both ends infinite,
    or if there are some of either sign the mean 0 and the interval everything.
    https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.bootstrap.html

    **Example**

    ```python
    mean, low, high = mean_with_interval([np.array([-1.0, -1.2]), np.array([-3.0, -2.8])])
    ```
    """
    from scipy.stats import bootstrap

    infinite = np.concatenate([sample[~np.isfinite(sample)] for sample in samples])
    if infinite.size:
        low, high = float(infinite.min()), float(infinite.max())
        return (low if low == high else 0.0), low, high
    mean = float(_mean_of_means(*samples))
    interval = bootstrap(
        tuple(samples),
        _mean_of_means,
        vectorized=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return mean, float(interval.low), float(interval.high)


def _mean_of_means(
    *samples: Float64[np.ndarray, "..."], axis: int = -1
) -> Float64[np.ndarray, "..."]:
    return np.asarray(np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0))
