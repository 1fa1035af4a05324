"""Laws of which groups each meta-step works on."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lopt.meta_training.schedule import Schedule

weights = st.lists(st.floats(0.01, 100.0), min_size=1, max_size=20).map(tuple)
schedules = st.tuples(weights, st.integers(1, 21), st.integers(1, 12))


@given(schedules)
def test_every_group_is_in_one_bundle_and_bundles_are_as_few_as_can_be(settings):
    schedule = Schedule(*settings)
    count = len(schedule.weights)
    assert sorted(sum(schedule.bundles, ())) == list(range(count))
    assert all(0 < len(bundle) <= schedule.groups_per_step for bundle in schedule.bundles)
    assert len(schedule.bundles) == -(-count // schedule.groups_per_step)


@given(schedules)
def test_no_bundle_outweighs_another_by_more_than_the_heaviest_group(settings):
    schedule = Schedule(*settings)
    totals = [sum(schedule.weights[group] for group in bundle) for bundle in schedule.bundles]
    # Sums of at most twenty floats are rounded.
    assert max(totals) - min(totals) <= max(schedule.weights) * (1 + 1e-9)


@given(schedules)
def test_shares_are_as_the_weights_and_of_mean_sum_1(settings):
    schedule = Schedule(*settings)
    number = len(schedule.bundles)
    shares = {}
    for bundle in range(number):
        shares |= dict(zip(schedule.bundles[bundle], schedule.shares(bundle), strict=True))
    assert sum(shares.values()) / number == pytest.approx(1.0)
    for group, weight in enumerate(schedule.weights):
        assert shares[group] * sum(schedule.weights) == pytest.approx(weight * number)


@given(schedules, st.integers(0, 10_000), st.none() | st.integers(1, 50))
def test_a_turn_ends_with_its_bundles_or_at_the_last_meta_step(settings, done, more):
    schedule = Schedule(*settings)
    turn = schedule.turn(done, None if more is None else done + more)
    number, into = divmod(done, schedule.steps_per_turn)
    assert turn.done == done
    assert turn.bundle == number % len(schedule.bundles)
    assert turn.groups == schedule.bundles[turn.bundle]
    assert turn.shares == schedule.shares(turn.bundle)
    left = schedule.steps_per_turn - into
    assert turn.steps == (left if more is None else min(left, more)) >= 1


@given(schedules, st.integers(0, 200), st.integers(1, 200), st.data())
def test_what_a_meta_step_works_on_does_not_depend_on_where_calls_began(
    settings, start, length, data
):
    """However the way is cut, which bundle each meta-step works on is the same."""

    schedule = Schedule(*settings)

    def bundles(done, last):
        found = []
        while done < last:
            turn = schedule.turn(done, last)
            found += [turn.bundle] * turn.steps
            done += turn.steps
        assert done == last
        return found

    last = start + length
    cut = data.draw(st.integers(start, last))
    assert bundles(start, cut) + bundles(cut, last) == bundles(0, last)[start:]


@given(schedules)
def test_every_bundle_has_as_many_meta_steps_in_a_round(settings):
    schedule = Schedule(*settings)
    number, done, taken = len(schedule.bundles), 0, collections.Counter()
    while done < number * schedule.steps_per_turn:
        turn = schedule.turn(done)
        taken[turn.bundle] += turn.steps
        done += turn.steps
    assert taken == dict.fromkeys(range(number), schedule.steps_per_turn)
