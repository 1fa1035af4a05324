"""Python's garbage collector, kept from going through all that a run's programs are made of.

With the programs of `conf/quick.yaml` in memory a full collection takes 0.6 s, and sending the rows
of a few segments makes objects enough for one.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# New objects after which the youngest are gone through: 700 by default in Python 3.11. Tracing a
# program makes millions, most of which stay.
SELDOM = 100_000


def collect_seldom() -> None:
    """Have the collector run more seldom, for processes that trace programs.

    Tracing and lowering that of `conf/quick.yaml` takes 7.8 instead of 11 s so.
    https://docs.python.org/3/library/gc.html#gc.set_threshold
    """
    gc.set_threshold(SELDOM)


@contextmanager
def set_aside() -> Iterator[Callable[[], None]]:
    """Give a function that has the collector leave alone what there is when it is first called.

    Until the end of all that is done inside the collector runs seldom, too. The function is to be
    called when all is compiled, and not again: what becomes garbage later is collected as ever,
    what was before is at the end of all that is done inside.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    settled = False

    def settle() -> None:
        nonlocal settled
        if not settled:
            gc.freeze()
        settled = True

    before = gc.get_threshold()
    collect_seldom()
    try:
        yield settle
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
