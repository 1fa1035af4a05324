"""What is kept is enough to make all that is wanted, and nothing smaller would be."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lopt.cheapest_cut import cheapest_cut


@st.composite
def programs(draw):
    """Values made of earlier ones, some of them at no cost; sizes; and which are wanted."""
    count = draw(st.integers(1, 8))
    made_of = {}
    for value in range(count):
        if draw(st.booleans()):
            made_of[value] = set(
                draw(st.lists(st.sampled_from(range(value)), max_size=3)) if value else ()
            )
    sizes = {value: draw(st.integers(1, 9)) for value in range(count)}
    wanted = draw(st.sets(st.sampled_from(range(count)), max_size=count))
    return wanted, made_of, sizes


def can_be_made(value, kept, made_of):
    return value in kept or (
        value in made_of and all(can_be_made(part, kept, made_of) for part in made_of[value])
    )


def suffices(kept, wanted, made_of):
    return all(can_be_made(value, kept, made_of) for value in wanted)


def total(values, sizes):
    return sum(sizes[value] for value in values)


@given(programs())
def test_all_that_is_wanted_can_be_made_of_what_is_kept_and_of_nothing_smaller(program):
    wanted, made_of, sizes = program
    kept = cheapest_cut(wanted, made_of, sizes)
    assert suffices(kept, wanted, made_of)
    smallest = min(
        total(some, sizes)
        for number in range(len(sizes) + 1)
        for some in itertools.combinations(sizes, number)
        if suffices(some, wanted, made_of)
    )
    assert total(kept, sizes) == smallest


@given(programs(), st.integers(10**8, 10**12))
def test_sizes_beyond_32_bits_are_no_smaller_to_it(program, unit):
    """They are rounded up to a fraction of their sum."""
    wanted, made_of, sizes = program
    large = {value: size * unit for value, size in sizes.items()}
    kept = cheapest_cut(wanted, made_of, large)
    assert suffices(kept, wanted, made_of)
    exact = cheapest_cut(wanted, made_of, sizes)
    assert total(kept, large) <= total(exact, large) * 1.001


def test_what_is_wanted_is_kept_rather_than_another_value_of_its_size():
    chain = {1: {0}, 2: {1}, 3: {2}}
    assert cheapest_cut({3}, chain, dict.fromkeys(range(4), 5)) == {3}


def test_nothing_is_kept_of_what_comes_from_nothing():
    assert cheapest_cut({1, 2}, {0: set(), 1: {0}, 2: {0, 1}}, dict.fromkeys(range(3), 5)) == set()
    assert cheapest_cut(set(), {}, {}) == set()
