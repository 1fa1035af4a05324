"""Signs of life of the processes that follow, for process 0 while it waits for them.

JAX's own heartbeats end a process by aborting it, with nothing told to MLflow or Prefect. These
are noticed earlier, and what process 0 is waiting in then ends with an error.
"""

import threading
from collections.abc import Callable, Mapping

BEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0
"""How long process 0 waits for a process that gives no sign of life."""


class Beating:
    """A thread that gives signs of life until it is stopped."""

    def __init__(self, give: Callable[[int], None]) -> None:
        self._give = give
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="beating", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give no more signs, and wait for the one that is being given."""
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        from jax.errors import JaxRuntimeError

        count = 0
        while not self._stopped.wait(BEAT_SECONDS if count else 0):
            count += 1
            try:
                self._give(count)
            except JaxRuntimeError:
                # Process 0 is gone, which whoever waits for it is told.
                return


class Listening:
    """Who is silent, as far as process 0 has listened.

    A process is silent if it has given no sign for some time in which process 0 has listened
    without a break: if all processes were stopped for a while, none has missed anything.
    """

    def __init__(self) -> None:
        self._heard: dict[int, tuple[str | None, float]] = {}
        self._listened = float("-inf")

    def silent(self, signs: Mapping[int, str | None], now: float) -> list[int]:
        """Return the numbers of those who are silent, from their last signs."""
        broken = now - self._listened > BEAT_SECONDS
        self._listened = now
        for number, sign in signs.items():
            if broken or number not in self._heard or self._heard[number][0] != sign:
                self._heard[number] = (sign, now)
        return [n for n in signs if now - self._heard[n][1] >= SILENT_SECONDS]
