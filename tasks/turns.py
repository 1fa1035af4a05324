"""Working beside others, or alone: so that what is timed is not timed beside a compiler.

Between threads and processes of one machine, by files in a folder that they share.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.locks import locked


class Turns:
    """Turns of those who share a folder.

    **Example**

    ```python
    turns = Turns(folder)
    with turns.beside():  # others do as well
        compile_it()
    with turns.alone():  # all others wait until this is over
        time_it()
    ```
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._turnstile, self._room = folder / "turnstile.lock", folder / "room.lock"

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Work beside others, but not while somebody works alone or waits for that."""
        with locked(self._turnstile, wait=True):
            pass
        with locked(self._room, wait=True, shared=True):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work alone, when all others have done what they are at; nobody begins meanwhile."""
        with locked(self._turnstile, wait=True), locked(self._room, wait=True):
            yield
