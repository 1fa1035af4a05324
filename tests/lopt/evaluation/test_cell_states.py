"""Laws of cells in the making: what they are divided into, kept and gone on from."""

import contextlib
import dataclasses
import importlib
import itertools
from collections.abc import Sequence
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.evaluation import Candidate, cell_states, evaluate_one
from lopt.evaluation.cell_states import CellState, first_state, later_states
from lopt.evaluation.evaluate import (
    evaluate,
    finished,
    prepared,
    seed_keys,
    timed_at_one_rate,
)
from lopt.evaluation.target import Target
from lopt.evaluation.targets.streamed import StreamedTarget
from lopt.evaluation.trajectory import records_of
from lopt.evaluation.with_memory import TargetWithMemory, WithMemory
from lopt.packed_state import pack, unpack
from lopt.problems import Problem

ADAM = Candidate("Adam", optax.adam, (0.01, 0.3))


@pytest.fixture
def one_record_a_segment(monkeypatch):
    """Segments that are as short as can be."""
    monkeypatch.setattr(cell_states, "SEGMENT_SECONDS", 0.0)


def copied(state: CellState) -> CellState:
    """What is left of a state that has been written and read, as another process would."""
    like = jax.tree.map(lambda leaf: leaf.copy(), state)
    return unpack(pack(like), like)


def assert_same_bits(one, other):
    np.testing.assert_array_equal(one.losses, other.losses)
    assert one.metrics.keys() == other.metrics.keys()
    for name, value in one.metrics.items():
        np.testing.assert_array_equal(value, other.metrics[name])


class Drifting(WithMemory):
    """Squared distance from minibatches, of which the mean is remembered."""

    def init(self, key):
        return jax.random.normal(key, (2,), jnp.float32)

    def init_memory(self):
        return jnp.zeros(2, jnp.float32)

    def loss_and_memory(self, params, memory, batch, key):
        return jnp.sum(jnp.square(params - batch)), 0.5 * memory + 0.5 * batch

    def loss_with_memory(self, params, memory, batch, key):
        return jnp.sum(jnp.square(params - memory))

    def draw(self, key):
        return self

    def sample_batch(self, key):
        return 3 + jax.random.normal(key, (2,), jnp.float32)

    @classmethod
    def examples(cls):
        return [cls()]


class DriftingTarget(TargetWithMemory):
    name: str = eqx.field(static=True, default="drifting")
    steps: int = eqx.field(static=True, default=12)
    record_every: int = eqx.field(static=True, default=3)

    def draw(self, key):
        return Drifting()

    def metrics_with_memory(self, problem, params, memory):
        return {"remembered": memory.mean(), "param": params.mean()}

    def better(self):
        return {"remembered": "higher", "param": "lower"}

    @classmethod
    def examples(cls) -> Sequence[Target]:
        return [cls()]


class Following(Problem):
    """Squared distance from the minibatch; measured at a distance from 3."""

    def init(self, key):
        return jax.random.normal(key, (2,), jnp.float32)

    def loss(self, params, batch, key):
        return jnp.sum(jnp.square(params - batch))

    def draw(self, key):
        return self

    def full_batch(self):
        return jnp.full(2, 3, jnp.float32)

    @classmethod
    def examples(cls):
        return [cls()]


class FollowingTarget(Target):
    name: str = eqx.field(static=True, default="")
    steps: int = eqx.field(static=True, default=1)
    record_every: int = eqx.field(static=True, default=1)

    def draw(self, key):
        return Following()

    @classmethod
    def examples(cls) -> Sequence[Target]:
        return [cls()]


class Stream:
    """Minibatches around 3, halved; `asked` grows with what is asked for and given back."""

    def __init__(self, length=1000):
        self.asked, self.length = [], length

    def batches(self, seed, step):
        self.asked.append((seed, step))
        try:
            for index in range(step, self.length):
                yield batch_of(seed, index) / 2
        finally:
            self.asked.append((seed, "closed"))


def doubled(batch):
    return 2 * batch


def fed_by(stream):
    return StreamedTarget("fed", 12, 3, FollowingTarget(), stream, doubled)


def batch_of(seed, index):
    return 3 + np.random.default_rng([seed, index]).normal(size=2).astype(np.float32)


@pytest.fixture(params=["noisy quadratics", "with a memory", "fed"])
def target(request, noisy_quadratics):
    others = {"with a memory": DriftingTarget, "fed": lambda: fed_by(Stream())}
    return others.get(request.param, lambda: noisy_quadratics)()


@pytest.mark.usefixtures("one_record_a_segment")
def test_resuming_equals_never_stopping(target, getkey):
    key = getkey()
    work = prepared(target, ADAM, 3, key)
    states = [copied(state) for state in later_states(work, first_state(work))]
    assert [int(state.records) for state in states] == [2, 3, 4, 5]
    whole = finished(target, ADAM, work, states[-1])
    for stopped in states[:-1]:
        *_, last = later_states(work, copied(stopped))
        assert_same_bits(finished(target, ADAM, work, last), whole)
        assert last.seconds > stopped.seconds


def test_where_segments_end_changes_no_bit(target, getkey, monkeypatch):
    key = getkey()
    long = evaluate_one(target, ADAM, 3, key)
    monkeypatch.setattr(cell_states, "SEGMENT_SECONDS", 0.0)
    assert_same_bits(evaluate_one(target, ADAM, 3, key), long)


def test_segments_grow_until_they_take_their_time(noisy_quadratics, getkey):
    work = prepared(noisy_quadratics, ADAM, 2, getkey())
    ends = [int(state.records) for state in later_states(work, first_state(work))]
    assert ends == [2, 4, records_of(noisy_quadratics)]


def test_a_cell_that_is_done_has_no_later_states(noisy_quadratics, getkey):
    work = prepared(noisy_quadratics, ADAM, 2, getkey())
    *_, last = later_states(work, first_state(work))
    assert list(later_states(work, last)) == []


def test_memory_does_not_grow_with_the_number_of_steps(noisy_quadratics, getkey):
    def taken(steps):
        long = dataclasses.replace(noisy_quadratics, steps=steps, record_every=steps // 4)
        work = prepared(long, ADAM, 2, getkey())
        trajectories = first_state(work).trajectories
        given = (work.program, cell_states._span(0, 5), None)
        lowered = cell_states._advance_all.lower(given, trajectories)
        found = lowered.compile().compiled.memory_analysis()
        return found.temp_size_in_bytes, found.output_size_in_bytes

    assert taken(12) == taken(100_000)


def test_an_optimizer_with_many_rates_can_be_timed_as_one_with_one_is(noisy_quadratics, getkey):
    key = getkey()
    cell = evaluate_one(noisy_quadratics, ADAM, 2, key)
    assert cell.timing[1] == 4
    alone = timed_at_one_rate(cell, noisy_quadratics, ADAM, key, seconds=0.0)
    assert alone.timing[1] == 2
    assert alone.timing[0] > 0
    np.testing.assert_array_equal(alone.losses, cell.losses)


def test_a_target_with_one_record_after_the_first_takes_time_as_well(noisy_quadratics, getkey):
    short = dataclasses.replace(noisy_quadratics, record_every=noisy_quadratics.steps)
    key = getkey()
    timed = timed_at_one_rate(evaluate_one(short, ADAM, 2, key), short, ADAM, key)
    assert timed.timing[0] > 0


def test_one_disturbed_run_of_many_does_not_count(noisy_quadratics, getkey, monkeypatch):
    paces = itertools.chain([8.0], itertools.repeat(2.0))
    module = importlib.import_module("lopt.evaluation.evaluate")
    monkeypatch.setattr(module, "_pace", lambda *_: next(paces))
    key = getkey()
    cell = evaluate_one(noisy_quadratics, ADAM, 2, key)
    timed = timed_at_one_rate(cell, noisy_quadratics, ADAM, key, seconds=0.01)
    assert timed.timing == (1.0, 2)


def test_what_is_timed_is_compiled_beside_others_and_runs_alone(noisy_quadratics, getkey):
    key, now = getkey(), []
    one = dataclasses.replace(ADAM, learning_rates=(0.01,))
    cell = evaluate_one(noisy_quadratics, one, 2, key)

    def turn(name):
        @contextlib.contextmanager
        def entered():
            now.append(name)
            yield
            now.append(f"no longer {name}")

        return entered

    kept = {"beside": turn("beside"), "alone": turn("alone")}
    timed = timed_at_one_rate(cell, noisy_quadratics, one, key, **kept)
    assert now == ["beside", "no longer beside", "alone", "no longer alone"]
    # Also of who had no other rate: it ran beside others before.
    assert timed.timing[1] == cell.timing[1] == 2
    assert timed.timing[0] != cell.timing[0]


def test_large_problems_are_trained_one_after_the_other_and_equal_small_ones(getkey, monkeypatch):
    target, key = fed_by(Stream()), getkey()
    side_by_side = evaluate_one(target, ADAM, 2, key)
    monkeypatch.setattr(cell_states, "LARGE", 0)
    # Of other shapes, or it would be the program that is there.
    one_by_one = evaluate_one(target, ADAM, 3, key)
    np.testing.assert_allclose(one_by_one.losses[:, :2], side_by_side.losses, rtol=1e-5)
    for name, values in side_by_side.metrics.items():
        np.testing.assert_allclose(one_by_one.metrics[name][:, :2], values, rtol=1e-5)


def test_a_problem_is_trained_in_one_mode_and_measured_in_the_other(getkey):
    target, key = DriftingTarget(), getkey()
    cell = evaluate_one(target, Candidate("still", optax.sgd, (1e-30,)), 2, key)
    # Params that stay where they are: what changes the loss is what is remembered alone.
    assert (np.diff(cell.losses[0], axis=1) != 0).all()
    assert (np.abs(cell.metrics["remembered"] - 3) < 1.5).all()


def test_a_fed_trajectory_equals_a_loop_over_what_its_seed_is_given(getkey):
    target, key = fed_by(Stream()), getkey()
    cell = evaluate_one(target, Candidate("SGD", optax.sgd, (0.1,)), 2, key)
    for seed_key, losses in zip(seed_keys(key, "fed", 2), cell.losses[0], strict=True):
        seed = int(jax.random.bits(seed_key))
        params = np.asarray(Following.examples()[0].init(jax.random.split(seed_key, 4)[1]))
        expected = [np.square(params - 3).sum()]
        for index in range(target.steps):
            params = params - 0.2 * (params - batch_of(seed, index))
            if (index + 1) % 3 == 0:
                expected.append(np.square(params - 3).sum())
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_every_optimizer_is_fed_the_same_and_no_stream_is_left_open(getkey):
    key, opened = getkey(), []
    for _ in range(2):
        stream = Stream()
        list(evaluate([fed_by(stream)], [ADAM], 2, key))
        opened.append(stream.asked)
    assert opened[0] == opened[1]
    seeds = [seed for seed, step in opened[0] if step == 0]
    assert len(set(seeds)) == 2
    assert {seed for seed, step in opened[0] if step == "closed"} == set(seeds)


def test_a_stream_that_ends_too_early_is_refused(getkey):
    with pytest.raises(ValueError, match=r"come to an end where 3 more were needed"):
        evaluate_one(fed_by(Stream(length=7)), ADAM, 2, getkey())


def test_another_stream_does_not_compile_again(getkey):
    traced = []

    def counted(rate):
        traced.append(rate)
        return optax.sgd(rate)

    candidate = Candidate("SGD", counted, (0.01,))
    evaluate_one(fed_by(Stream()), candidate, 2, getkey())
    first = len(traced)
    evaluate_one(fed_by(Stream()), candidate, 2, getkey())
    assert len(traced) == first


def test_seconds_per_step_leave_compiling_out(noisy_quadratics, getkey, monkeypatch):
    clock = iter([10.0, 12.0, 20.0, 22.0, 30.0, 32.0])
    monkeypatch.setattr(cell_states, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    cell = evaluate_one(noisy_quadratics, ADAM, 2, getkey())
    assert cell.seconds_per_step == pytest.approx(6.0 / (12 * 2 * 2))
