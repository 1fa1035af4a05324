"""Laws of what is left to compare when cells have failed."""

from lopt.evaluation import comparable

RATES = (0.1,)


def left(make_cell, targets, optimizers, failed):
    cells = [
        make_cell(target, optimizer, RATES, 0)
        for target in targets
        for optimizer in optimizers
        if target + optimizer not in failed
    ]
    kept = comparable(cells)
    return {cell.target for cell in kept}, {cell.optimizer for cell in kept}, len(kept)


def test_a_grid_without_gaps_is_left_as_it_is(make_cell):
    assert left(make_cell, "abc", "XY", ()) == (set("abc"), set("XY"), 6)


def test_one_failure_costs_its_target_and_no_optimizer(make_cell):
    assert left(make_cell, "abc", "XYZ", {"bY"}) == (set("ac"), set("XYZ"), 6)


def test_an_optimizer_that_fails_nearly_everywhere_costs_no_target(make_cell):
    assert left(make_cell, "abc", "XYZ", {"aY", "bY"}) == (set("abc"), set("XZ"), 6)
    assert left(make_cell, "abc", "XYZ", {"aY", "bY", "cY"}) == (set("abc"), set("XZ"), 6)


def test_failures_of_both_kinds_cost_what_is_needed(make_cell):
    kept = left(make_cell, "abcd", "XYZ", {"aY", "bY", "cY", "dZ"})
    assert kept == (set("abc"), set("XZ"), 6)


def test_the_order_is_kept_and_of_nothing_nothing_is_left(make_cell):
    cells = [make_cell(target, "X", RATES, 0) for target in "cab"]
    assert comparable(cells) == tuple(cells)
    assert comparable([]) == ()


def test_a_failure_where_optimizers_begin_at_all_rates_costs_nothing_elsewhere(make_cell):
    names = [f"initial_rates/{target}" for target in "ab"]
    failed = {f"{name}Y" for name in names}
    targets, optimizers, number = left(make_cell, [*"ab", *names], "XYZ", failed)
    assert (targets, optimizers, number) == ({*"ab", *names}, set("XYZ"), 6 + 4)
