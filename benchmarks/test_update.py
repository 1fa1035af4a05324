"""What one update costs, as a multiple of what optax.adam's costs in the same seconds.

The widths are those of a 100 thousand and a 1 million parameter MLP on 28x28 images. The row of
optax.adam against itself says how far to trust the others.
"""

import optax
import pytest

from benchmarks.paired import Reading, ratio, read, repeats_for
from benchmarks.updates import Updating, bytes_of, learned_optimizers

ROUNDS = 9
SIZES = {"100k": (784, 120, 64, 10), "1M": (784, 768, 512, 10)}
COMPETITORS = {
    "optax.adam": optax.adam(1e-3),
    "optax.sgd, momentum": optax.sgd(1e-2, momentum=0.9),
    "optax.adamw": optax.adamw(1e-3),
    "optax.adafactor": optax.adafactor(1e-3),
}
OPTIMIZERS = COMPETITORS | dict(learned_optimizers())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_update(name, size, benchmark, benchmark_table):
    candidate = Updating(OPTIMIZERS[name], SIZES[size])
    adam = Updating(optax.adam(1e-3), SIZES[size])
    repeats, adam_repeats = repeats_for(candidate), repeats_for(adam)
    readings: list[Reading] = []
    adam_readings: list[Reading] = []

    benchmark.pedantic(
        lambda: readings.append(read(candidate, repeats)),
        setup=lambda: adam_readings.append(read(adam, adam_repeats)),
        rounds=ROUNDS,
    )

    scalars = bytes_of(candidate.params) // 4
    benchmark_table(
        "update",
        {
            "optimizer": name,
            "params": size,
            "wall, x adam": ratio([r.wall for r in readings], [r.wall for r in adam_readings]),
            "CPU, x adam": ratio([r.cpu for r in readings], [r.cpu for r in adam_readings]),
            "ns/param, best": f"{1e9 * min(r.wall for r in readings) / scalars:.2f}",
            "state B/param": f"{bytes_of(candidate.state) / scalars:.2f}",
            "first call, s": f"{candidate.first_seconds:.1f}",
            "traces": candidate.traces,
        },
    )
