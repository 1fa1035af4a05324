"""Confidence intervals for means over seeds, and for means of such means over targets."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

CONFIDENCE = 0.95
RESAMPLES = 2000
_SEED = 0
_TAIL = 0.5 * (1 - CONFIDENCE)

Interval = tuple[float, float, float]


def mean_with_interval(samples: Sequence[Float64[np.ndarray, " _"]]) -> Interval:
    """Return the mean of the samples' means, and the ends of its 95 % bootstrap interval.

    Percentile bootstrap, reproducible. Each sample (one target's values, say) weighs the same
    and is resampled by itself: the interval is about other seeds, not about other targets.
    Each sample needs two values or more. Resampling a handful of values makes intervals that
    are too narrow (of eight, they hold the truth in 86 % of the cases), so the distances of
    both ends from the mean are stretched as Student's t stretches a normal interval, with the
    degrees of freedom of Welch and Satterthwaite (Hesterberg 2015 does so to the
    levels: https://arxiv.org/abs/1411.5279).

    Infinite values make the mean infinite, or 0 if there are some of either sign. The interval
    is then everything, for what the others say is lost in it, unless nearly every resample
    holds an infinite one, all of one sign: three of eight, say. Then both ends are infinite.
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
        if low != high:
            return 0.0, low, high
        return (low, low, high) if _without_infinite(samples) < _TAIL else (low, -np.inf, np.inf)
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
    stretch = _stretch(samples)
    low = mean - stretch * (mean - float(interval.low))
    return mean, low, mean + stretch * (float(interval.high) - mean)


def _without_infinite(samples: Sequence[Float64[np.ndarray, " _"]]) -> float:
    """Return the part of all resamples in which no value is infinite."""
    return float(np.prod([np.isfinite(sample).mean() ** sample.size for sample in samples]))


def _stretch(samples: Sequence[Float64[np.ndarray, " _"]]) -> float:
    """Return how much wider than the bootstrap's an interval from so few values has to be."""
    from scipy.stats import norm, t

    sizes = np.array([sample.size for sample in samples])
    deviations = np.array([np.std(sample) for sample in samples])
    if not deviations.max() > 0:
        return 1.0
    resampled = np.square(deviations / deviations.max()) / sizes
    unbiased = resampled * sizes / (sizes - 1)
    freedom = unbiased.sum() ** 2 / np.sum(unbiased**2 / (sizes - 1))
    wider = np.sqrt(unbiased.sum() / resampled.sum())
    return float(wider * t.ppf(1 - _TAIL, freedom) / norm.ppf(1 - _TAIL))


def _mean_of_means(
    *samples: Float64[np.ndarray, "..."], axis: int = -1
) -> Float64[np.ndarray, "..."]:
    return np.asarray(np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0))
