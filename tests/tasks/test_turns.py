import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.turns import Turns

SECONDS = 30.0


@pytest.fixture
def turns(tmp_path: Path) -> Turns:
    return Turns(tmp_path / "turns")


def test_any_number_work_beside_each_other(turns: Turns) -> None:
    met = threading.Barrier(3, timeout=SECONDS)

    def work() -> None:
        with turns.beside():
            met.wait()

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for _ in range(3)]:
            done.result(SECONDS)


def test_nobody_works_beside_who_works_alone(turns: Turns) -> None:
    now, most = [], []

    def beside() -> None:
        for _ in range(50):
            with turns.beside():
                now.append("beside")
                most.append(now.count("alone"))
                now.remove("beside")

    def alone() -> None:
        for _ in range(50):
            with turns.alone():
                now.append("alone")
                most.append(len(now) - 1)
                now.remove("alone")

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for work in (beside, beside, alone, alone)]:
            done.result(SECONDS)
    assert len(most) == 200
    assert set(most) == {0}


def test_who_waits_to_work_alone_is_not_waited_out_by_those_who_come_later(turns: Turns) -> None:
    order: list[str] = []
    inside, waits = threading.Event(), threading.Event()

    def first() -> None:
        with turns.beside():
            inside.set()
            waits.wait(SECONDS)
            # Long enough that the one who waits has passed the turnstile.
            threading.Event().wait(0.5)
            order.append("first")

    def alone() -> None:
        inside.wait(SECONDS)
        waits.set()
        with turns.alone():
            order.append("alone")

    def later() -> None:
        waits.wait(SECONDS)
        threading.Event().wait(0.25)
        with turns.beside():
            order.append("later")

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(work) for work in (first, alone, later)]:
            done.result(SECONDS)
    assert order == ["first", "alone", "later"]
