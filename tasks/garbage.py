"""Python's garbage collector, kept from going through all that a run's programs are made of.

With the programs of `conf/quick.yaml` in memory a full collection takes 0.6 s, and sending the rows
of a few segments makes objects enough for one.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def set_aside() -> Iterator[Callable[[], None]]:
    """Give a function that has the collector leave alone what there is when it is first called.

    To be called when all is compiled, and not again: what becomes garbage later is collected as
    ever, what was before is at the end of all that is done inside.
    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    settled = False

    def settle() -> None:
        nonlocal settled
        if not settled:
            gc.freeze()
        settled = True

    try:
        yield settle
    finally:
        gc.unfreeze()
