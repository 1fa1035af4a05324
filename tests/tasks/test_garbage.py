"""What is set aside is not gone through by the collector and not kept for good."""

import gc
import weakref

import pytest

from tasks import garbage


class Node:
    """One that refers to itself: only the collector can remove it."""

    def __init__(self) -> None:
        self.itself = self


def test_only_what_was_there_at_the_first_call_is_left_alone_and_only_inside() -> None:
    before = weakref.ref(Node())
    with garbage.set_aside() as settle:
        settle()
        after = weakref.ref(Node())
        settle()
        gc.collect()
        assert before() is not None
        assert after() is None
    gc.collect()
    assert before() is None
    assert gc.get_freeze_count() == 0


def test_nothing_is_left_alone_where_the_work_ends_in_an_error() -> None:
    def fail() -> None:
        with garbage.set_aside() as settle:
            settle()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gc.get_freeze_count() == 0


def test_the_collector_runs_seldom_inside_and_as_before_after_it() -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        with garbage.set_aside():
            assert gc.get_threshold() == (garbage.SELDOM, 10, 10)
        assert gc.get_threshold() == (700, 10, 10)
    finally:
        gc.set_threshold(*before)
