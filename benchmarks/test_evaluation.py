"""Evaluation's throughput against the same loop by hand, and a sweep at once against one by one."""

import jax
import pytest

from benchmarks.paired import Reading, ratio, read, repeats_for
from benchmarks.sweeps import NETWORKS, RATES, SEEDS, STEPS, ByHand, Evaluated
from lopt.architectures import HierarchicalRNN
from lopt.evaluation import BASELINES

ROUNDS = 7
LIMIT = 1.1
ADAM = BASELINES["Adam"].make


def learned():
    return HierarchicalRNN.release(key=jax.random.key(0)).transformation


CELLS = {
    **{("Adam", network): (ADAM, RATES) for network in NETWORKS},
    ("HierarchicalRNN", "mlp"): (learned(), RATES[:1]),
}


def measure(benchmark, candidate, reference):
    readings: list[Reading] = []
    references: list[Reading] = []
    repeats, reference_repeats = repeats_for(candidate), repeats_for(reference)
    benchmark.pedantic(
        lambda: readings.append(read(candidate, repeats)),
        setup=lambda: references.append(read(reference, reference_repeats)),
        rounds=ROUNDS,
    )
    return [r.wall for r in readings], [r.wall for r in references]


@pytest.mark.parametrize(("optimizer", "network"), CELLS)
def test_by_hand(optimizer, network, benchmark, benchmark_table):
    make, rates = CELLS[optimizer, network]
    candidate = Evaluated(network, make, rates, SEEDS)
    ours, theirs = measure(benchmark, candidate, ByHand(network, make, rates, SEEDS))
    steps = candidate.members * STEPS
    found = ratio(ours, theirs)
    benchmark_table(
        "evaluation against the loop by hand, digits",
        {
            "optimizer": optimizer,
            "network": network,
            "rates x seeds": f"{len(rates)} x {SEEDS}",
            "time, x by hand": found,
            "steps/s, best": f"{steps / min(ours):,.0f}",
            "by hand, best": f"{steps / min(theirs):,.0f}",
        },
    )
    assert found.median < LIMIT


@pytest.mark.parametrize("network", NETWORKS)
def test_one_by_one(network, benchmark, benchmark_table):
    together = Evaluated(network, ADAM, RATES, SEEDS)
    alone = Evaluated(network, ADAM, RATES[:1], 1)
    ours, theirs = measure(benchmark, together, alone)
    of_one = [seconds / together.members for seconds in ours]
    benchmark_table(
        f"a sweep at once against one by one, Adam on the digits, {STEPS} steps",
        {
            "optimizer": network,
            "members": together.members,
            "members/s, x one by one": ratio(theirs, of_one),
            "members/s, best": f"{1 / min(of_one):,.1f}",
            "one by one, best": f"{1 / min(theirs):,.1f}",
        },
    )
