"""Inner steps a second of meta-training, against optax.adam's forward unroll and the reference."""

import jax
import pytest

import lopt.architectures
import lopt.meta_gradients
from benchmarks import straight
from benchmarks.meta_steps import (
    SPECS,
    AdamSteps,
    BackwardSteps,
    ForwardSteps,
    MetaSteps,
    Size,
    StraightMetaSteps,
)
from benchmarks.paired import Reading, ratio, read, repeats_for
from lopt.architectures import HierarchicalRNN, LearnedOptimizer
from lopt.catalogue import concrete_classes
from lopt.meta_gradients import MetaGradient

# A reading of whole trajectories of a network is half a minute with the slowest architecture.
pytestmark = pytest.mark.timeout(1800)

ROUNDS = 7
ESTIMATORS = concrete_classes(lopt.meta_gradients, MetaGradient)
ARCHITECTURES = concrete_classes(lopt.architectures, LearnedOptimizer)
# Every size but the first differs from it in one thing.
SIZES = {
    "32 problems x 20 steps": {},
    "8 problems": {"problems": 8},
    "128 problems": {"problems": 128},
    "512 problems": {"problems": 512},
    "5 steps": {"steps": 5},
    "80 steps": {"steps": 80},
    "1 device": {"devices": 1},
}
REFERENCES = {
    "TruncatedBackprop": straight.backprop_step,
    "PersistentES": straight.evolution_step,
}


def seconds_a_step(work, readings):
    return [reading.wall / work.inner_steps for reading in readings]


def measure(benchmark, candidate, reference):
    readings: list[Reading] = []
    references: list[Reading] = []
    repeats, reference_repeats = repeats_for(candidate), repeats_for(reference)
    benchmark.pedantic(
        lambda: readings.append(read(candidate, repeats)),
        setup=lambda: references.append(read(reference, reference_repeats)),
        rounds=ROUNDS,
    )
    ours = seconds_a_step(candidate, readings)
    return ours, seconds_a_step(reference, references)


def readings_in_turn(candidate, reference):
    """As `measure` does it, but for a second pair in one test, which is timed by hand."""
    repeats, reference_repeats = repeats_for(candidate), repeats_for(reference)
    pairs = [(read(reference, reference_repeats), read(candidate, repeats)) for _ in range(ROUNDS)]
    references, readings = zip(*pairs, strict=True)
    return seconds_a_step(candidate, readings), seconds_a_step(reference, references)


@pytest.mark.parametrize("problem", SPECS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_meta_training(architecture, estimator, problem, benchmark, benchmark_table):
    optimizer = ARCHITECTURES[architecture].release(key=jax.random.key(0))
    candidate = MetaSteps(ESTIMATORS[estimator], optimizer, problem)
    ours, adams = measure(benchmark, candidate, AdamSteps(problem))
    benchmark_table(
        f"inner steps of meta-training, {problem}",
        {
            "optimizer": architecture,
            "estimator": estimator,
            "time a step, x adam forward": ratio(ours, adams),
            "steps/s, best": f"{1 / min(ours):,.0f}",
        },
    )


@pytest.mark.parametrize("problem", SPECS)
@pytest.mark.parametrize("estimator", REFERENCES)
def test_straight_reference(estimator, problem, benchmark, benchmark_table):
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    candidate = MetaSteps(ESTIMATORS[estimator], optimizer, problem)
    reference = StraightMetaSteps(REFERENCES[estimator], optimizer, problem)
    ours, theirs = measure(benchmark, candidate, reference)
    benchmark_table(
        "lopt over the straight reference, hierarchical RNN",
        {
            "optimizer": problem,
            "estimator": estimator,
            "steps/s, x reference": ratio(theirs, ours),
            "steps/s, best": f"{1 / min(ours):,.0f}",
            "reference, best": f"{1 / min(theirs):,.0f}",
        },
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("estimator", REFERENCES)
def test_growth(estimator, size, benchmark, benchmark_table):
    optimizer = HierarchicalRNN.release(key=jax.random.key(0))
    asked = Size(**SIZES[size])
    candidate = MetaSteps(ESTIMATORS[estimator], optimizer, "Quadratic(10)", asked)
    ours, adams = measure(benchmark, candidate, AdamSteps("Quadratic(10)", asked))
    benchmark_table(
        f"growth: inner steps of meta-training, hierarchical RNN, {jax.device_count()} devices",
        {
            "optimizer": size,
            "estimator": estimator,
            "time a step, x adam forward": ratio(ours, adams),
            "steps/s, best": f"{1 / min(ours):,.0f}",
        },
    )


@pytest.mark.parametrize("problem", SPECS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_backward_over_forward(architecture, problem, benchmark, benchmark_table):
    optimizer = ARCHITECTURES[architecture].release(key=jax.random.key(0))
    forward = ForwardSteps(optimizer, problem)
    there_and_back, forward_alone = measure(benchmark, BackwardSteps(optimizer, problem), forward)
    candidate = MetaSteps(ESTIMATORS["TruncatedBackprop"], optimizer, problem, Size(devices=1))
    whole, forward_again = readings_in_turn(candidate, forward)
    benchmark_table(
        "backpropagation over the forward pass alone, time a step, 1 device",
        {
            "optimizer": architecture,
            "problem": problem,
            "there and back, x forward": ratio(there_and_back, forward_alone),
            "whole meta-step, x forward": ratio(whole, forward_again),
            "there and back, steps/s": f"{1 / min(there_and_back):,.0f}",
            "forward, steps/s": f"{1 / min(forward_alone):,.0f}",
        },
    )


@pytest.mark.parametrize("problem", SPECS)
def test_hierarchical_over_small_mlp(problem, benchmark, benchmark_table):
    estimator = ESTIMATORS["PersistentES"]
    hierarchical, small_mlp = (
        MetaSteps(
            estimator,
            ARCHITECTURES[name].release(key=jax.random.key(0)),
            problem,
            Size(devices=1),
        )
        for name in ("HierarchicalRNN", "AdafactorMLP")
    )
    ours, theirs = measure(benchmark, hierarchical, small_mlp)
    benchmark_table(
        "the hierarchical RNN's rate over AdafactorMLP's, persistent evolution strategies",
        {
            "problem": problem,
            "steps/s, x AdafactorMLP": ratio(theirs, ours),
            "steps/s, best": f"{1 / min(ours):,.0f}",
            "AdafactorMLP, best": f"{1 / min(theirs):,.0f}",
        },
    )


@pytest.mark.parametrize("estimator", REFERENCES)
@pytest.mark.parametrize("architecture", ["HierarchicalRNN", "AdafactorMLP"])
def test_compiled_quickly(architecture, estimator, benchmark, benchmark_table):
    """Of problems that are not small, which alone `compile_quickly` is for."""
    problem = "MLP of 197 params"
    optimizer = ARCHITECTURES[architecture].release(key=jax.random.key(0))
    quickly, well = (
        MetaSteps(ESTIMATORS[estimator], optimizer, problem, Size(devices=1), compile_quickly)
        for compile_quickly in (True, False)
    )
    ours, reference = measure(benchmark, quickly, well)
    benchmark_table(
        f"compiled quickly over compiled well, {problem}, 1 device",
        {
            "optimizer": architecture,
            "estimator": estimator,
            "time a step, x compiled well": ratio(ours, reference),
        },
    )
