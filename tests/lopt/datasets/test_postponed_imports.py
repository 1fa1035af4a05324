"""While TFDS postpones its imports, other threads import as ever."""

import builtins
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from etils import epy

from lopt.datasets.postponed_imports import PerThread, keep_to_their_thread

# Asks without a pause, in another thread, until TFDS is imported.
ANOTHER_THREAD_IMPORTS = """
import sys, threading

sys.setswitchinterval(1e-6)
wrong, asked, done = [], [], threading.Event()

def ask():
    while not done.is_set():
        from decimal import Decimal
        asked.append(1)
        if not isinstance(Decimal, type):
            wrong.append(Decimal)

thread = threading.Thread(target=ask)
thread.start()
try:
    {imported}
finally:
    done.set()
    thread.join()
print(bool(asked), len(wrong))
"""


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    before = builtins.__import__
    keep_to_their_thread()
    yield
    assert builtins.__import__ is before


@contextmanager
def in_another_thread(work: Callable[[], Any]) -> Iterator[Callable[[], Any]]:
    """Start a thread, which works when what is given is called; that returns what it found."""
    found: list[Any] = []
    go = threading.Event()

    def wait_and_work() -> None:
        go.wait()
        found.append(work())

    thread = threading.Thread(target=wait_and_work)
    thread.start()

    def let_go() -> Any:
        go.set()
        thread.join()
        return found[0]

    try:
        yield let_go
    finally:
        go.set()
        thread.join()


def a_class_by_its_import() -> Any:
    from fractions import Fraction

    return Fraction


def test_only_the_thread_that_asked_for_it_has_its_imports_postponed() -> None:
    with in_another_thread(a_class_by_its_import) as found, epy.lazy_imports():
        here, there = a_class_by_its_import(), found()
    assert isinstance(here, epy.lazy_imports_utils.LazyModule)
    assert there is a_class_by_its_import()


def test_what_is_postponed_comes_when_it_is_used_and_callbacks_are_kept() -> None:
    came: list[str] = []
    with epy.lazy_imports(success_callback=came.append):
        import colorsys
    assert not came
    assert colorsys.rgb_to_hsv(0.0, 0.0, 0.0) == (0.0, 0.0, 0.0)
    assert came == ["colorsys"]


def test_threads_may_leave_in_any_order() -> None:
    real, per_thread = builtins.__import__, PerThread()
    entered, first_left = threading.Event(), threading.Event()
    found = []

    def come_second_and_leave_last() -> None:
        with per_thread.replaced(lambda *_: "second"):
            entered.set()
            first_left.wait()
            found.append(builtins.__import__("math"))

    second = threading.Thread(target=come_second_and_leave_last)
    with per_thread.replaced(lambda *_: "first"):
        second.start()
        entered.wait()
        found.append(builtins.__import__("math"))
    found.append(builtins.__import__("math"))
    first_left.set()
    second.join()
    assert found == ["first", sys.modules["math"], "second"]
    assert builtins.__import__ is real


@pytest.mark.parametrize(
    ("imported", "is_safe"),
    [("from lopt.datasets.tfds import tfds", True), ("import tensorflow_datasets", False)],
)
def test_another_thread_gets_what_it_imports_while_tfds_is_imported(
    imported: str, is_safe: bool
) -> None:
    """And without us it does not: if TFDS no longer does that, this is no longer needed."""
    command = [sys.executable, "-c", ANOTHER_THREAD_IMPORTS.format(imported=imported)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.stdout.split()[:1] == ["True"], run.stderr
    assert (run.stdout.split()[1] == "0") is is_safe
