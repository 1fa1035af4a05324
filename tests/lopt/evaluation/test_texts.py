"""Numbers of a report can be read, however large they are."""

import pytest

from lopt.evaluation.texts import value_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1.25, "-1.250"), (999_999.0, "999999.000"), (2.994e25, "2.99e+25"), (-8.7e24, "-8.7e+24")],
)
def test_large_numbers_are_written_by_their_powers_of_ten(value, text):
    assert value_text("training_loss", value) == text


def test_speed_ups_are_written_as_how_many_times_they_are():
    assert value_text("speed_up", 1.0) == "2.00x"
