import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.pace import Pace, clock


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (75.0, "1:15"), (3661.0, "1:01:01")])
def test_a_duration_is_minutes_and_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@given(
    total=st.integers(3, 1000),
    first=st.integers(0, 500),
    per_step=st.integers(1, 100),
    data=st.data(),
)
def test_at_a_steady_pace_what_is_left_is_what_is_left(
    total: int, first: int, per_step: int, data: st.DataObject
) -> None:
    first = min(first, total - 2)
    step = data.draw(st.integers(first + 1, total - 1))
    pace = Pace(total)
    assert pace.left(first, 50.0) == ""
    expected = clock((total - step) * per_step) + " left"
    assert pace.left(step, 50.0 + (step - first) * per_step) == expected
    assert pace.left(total, 1e6) == ""


def test_no_time_is_told_while_programs_are_compiled_nor_reckoned_with() -> None:
    pace = Pace(100, steady_from=20)
    assert [pace.left(step, 100.0 * step) for step in (5, 10, 15)] == [""] * 3
    assert pace.left(20, 2000.0) == ""
    assert pace.left(40, 2010.0) == "0:30 left"
